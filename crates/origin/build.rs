//! Makes sure that the folder of the built web page exists, so that the crate also builds where nobody has Node.

use std::{fs, path::Path};

fn main() {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web");
    let dist = web.join("dist");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", dist.display());
    if let Err(error) = fs::create_dir_all(&dist) {
        println!("cargo::warning=cannot create {}: {error}", dist.display());
    }
    if !dist.join("index.html").exists() {
        println!("cargo::warning=the web page is not built, the server will say so at /: run `make web`");
    }
}
