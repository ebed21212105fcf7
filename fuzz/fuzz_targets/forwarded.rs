//! Hands what the fuzzer makes to `domain::testing::fuzzing::forwarded`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| domain::testing::fuzzing::forwarded(data));
