//! The document of a config, rightly authenticated, and any text.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backstay_fuzz::config(data));
