//! What is chosen: Velero'"'"'s two families of filters, label selectors, globs of namespaces.

/// A filter that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {}
