//! The test kit's own promises.

mod cluster;
