#![no_main]

#[path = "../sarif.rs"]
mod sarif;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sarif::sarif(bytes));
