//! A record sealed with the right key around any codec, length and body.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backstay_fuzz::forged_record(data));
