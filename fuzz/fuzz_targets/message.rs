//! Hands what the fuzzer makes to `domain::testing::fuzzing::message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| domain::testing::fuzzing::message(data));
