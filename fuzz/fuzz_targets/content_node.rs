//! The plain bytes of a content node, at each level.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backstay_fuzz::content_node(data));
