//! Hands what the fuzzer makes to `ingest::fuzzing::form`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ingest::fuzzing::form(data));
