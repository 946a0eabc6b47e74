//! The document of a log entry.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backstay_fuzz::log_entry(data));
