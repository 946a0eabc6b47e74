//! Moves Kubernetes objects in and out of a repository, and shows before it acts.
//!
//! Blocking calls on plain threads; only `api` knows of async and of `kube`. Objects are bytes as the server sent them: nothing here
//! puts them through typed structures, which would lose what they do not know. Design: docs/design/0004.

pub mod api;
pub mod backup;
mod error;
pub mod filter;
pub mod look;
pub mod object;
pub mod resource;
pub mod restore;
pub mod snapshot;

pub use error::{ClusterError, Result};
