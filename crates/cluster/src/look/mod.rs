//! Looking into snapshots without a cluster: get, diff, history, export.
