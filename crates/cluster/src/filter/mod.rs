//! What is chosen: Velero's two families of filters, label selectors, globs of namespaces.
//!
//! Everything here is pure: what is asked is decided from names, labels and what discovery said.

mod globs;
mod selector;

pub use globs::Globs;
pub use selector::LabelSelector;

/// A filter that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("the label selector {text:?} cannot be used: {detail}")]
    Selector { text: String, detail: String },
    #[error("the pattern {pattern:?} cannot be used: {detail}")]
    Pattern { pattern: String, detail: String },
}

impl FilterError {
    fn selector(text: &str, detail: impl Into<String>) -> Self {
        Self::Selector { text: text.to_owned(), detail: detail.into() }
    }
}
