//! Hands what the fuzzer makes to `infra::log::fuzzing::damage`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| infra::log::fuzzing::damage(data));
