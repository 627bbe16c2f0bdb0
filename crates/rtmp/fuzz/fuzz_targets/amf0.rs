#![no_main]
//! `rtmp::fuzzing::amf0`, where the body stands and runs with the tests.

libfuzzer_sys::fuzz_target!(|data: &[u8]| rtmp::fuzzing::amf0(data));
