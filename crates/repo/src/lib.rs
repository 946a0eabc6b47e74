//! A safe, concurrent, collectable repository on any object store.

pub mod protocol;
pub mod store;
