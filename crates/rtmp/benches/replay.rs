//! Replays a captured publication.
fn main() {}
