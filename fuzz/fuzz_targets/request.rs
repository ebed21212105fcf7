//! Hands what the fuzzer makes to `ingest::fuzzing::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ingest::fuzzing::request(data));
