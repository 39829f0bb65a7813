#![no_main]

#[allow(dead_code, reason = "the target uses a part of it")]
#[path = "../../examples/readers/mod.rs"]
mod readers;
#[path = "../sarif.rs"]
mod sarif;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sarif::sarif(bytes));
