//! What an audit saw, sealed and as text.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backstay_fuzz::audit_results(data));
