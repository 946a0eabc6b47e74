//! A stored record, as it lies in a pack.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backstay_fuzz::record(data));
