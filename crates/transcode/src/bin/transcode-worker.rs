#![forbid(unsafe_code)]
//! The worker process alone, for this crate's tests.

fn main() -> std::process::ExitCode {
    transcode::worker_main()
}
