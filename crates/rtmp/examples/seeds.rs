//! Writes the fuzz targets' seeds: one folder per target, one file per seed.
//!
//! `cargo run -p rtmp --features fuzzing --example seeds -- crates/rtmp/fuzz/corpus`

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::args_os().nth(1) else { return Err("expected: FOLDER".into()) };
    for (number, (target, seed)) in rtmp::fuzzing::seeds().into_iter().enumerate() {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("seed-{number:04}")), seed)?;
    }
    Ok(())
}
