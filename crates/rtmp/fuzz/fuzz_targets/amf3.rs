#![no_main]
//! `rtmp::fuzzing::amf3`, where the body stands and runs with the tests.

libfuzzer_sys::fuzz_target!(|data: &[u8]| rtmp::fuzzing::amf3(data));
