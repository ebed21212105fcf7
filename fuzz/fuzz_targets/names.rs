//! Hands what the fuzzer makes to `domain::testing::fuzzing::names`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| domain::testing::fuzzing::names(data));
