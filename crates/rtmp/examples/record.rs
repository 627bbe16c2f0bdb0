//! Saves the first bytes that a client sends to a running server: one connection, passed on both ways.
//!
//! `cargo run -p rtmp --example record -- SERVER FILE [BYTES]` prints the address that it listens on, for the client;
//! `testdata/make.sh` makes all the captures with it.

use std::{
    error::Error,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

/// The dialogue, the first keyframe and some seconds of a small picture.
const DEFAULT_BYTES: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(server), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err("expected: SERVER FILE [BYTES]".into());
    };
    let wanted = arguments.next().map_or(Ok(DEFAULT_BYTES), |bytes| bytes.parse())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    let (client, _) = listener.accept()?;
    let server = TcpStream::connect(server)?;
    let (from, to) = (server.try_clone()?, client.try_clone()?);
    let down = thread::spawn(move || pass(from, to, |_| {}));
    let mut capture = Vec::new();
    pass(client, server, |bytes| {
        let room = wanted - capture.len().min(wanted);
        capture.extend_from_slice(&bytes[..bytes.len().min(room)]);
    });
    std::fs::write(&path, &capture)?;
    let _ = down.join();
    eprintln!("{} bytes in {path}", capture.len());
    Ok(())
}

/// Passes bytes on until either end is gone; many clients go without a word.
fn pass(mut from: TcpStream, mut to: TcpStream, mut seen: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        seen(&buffer[..count]);
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
