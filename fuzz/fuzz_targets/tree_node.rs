//! The plain bytes of a tree node, at each level.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backstay_fuzz::tree_node(data));
