//! The document of a key slot with a right hash line, and any text.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backstay_fuzz::key_slot(data));
