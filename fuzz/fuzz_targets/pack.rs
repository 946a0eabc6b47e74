//! A whole pack: its directory, and the scan that does without it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backstay_fuzz::pack(data));
