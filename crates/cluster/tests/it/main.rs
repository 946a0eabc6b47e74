//! Tests of `backstay-cluster` over its public API: one binary, a module per topic.
