//! Tests of the repository over its public interface.

mod model;
mod protocol;
mod store;
mod store_servers;
