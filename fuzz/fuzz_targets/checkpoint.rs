//! The plain body of a checkpoint.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backstay_fuzz::checkpoint(data));
