#![forbid(unsafe_code)]
//! (being written)
fn main() {}
