//! Saves the first bytes that an encoder sends, as a capture for the tests: one connection, everyone accepted.
//!
//! `cargo run -p rtmp --example record -- 127.0.0.1:1935 crates/rtmp/testdata/NAME.rtmp [BYTES]`

use std::{
    error::Error,
    io::{Read, Write},
    net::TcpListener,
    time::{Duration, Instant},
};

use rtmp::{Event, Session, Settings, Verdict};

/// Enough for the dialogue, the first keyframe and some seconds of a small picture.
const DEFAULT_BYTES: usize = 48 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err("expected: ADDRESS FILE [BYTES]".into());
    };
    let wanted = arguments.next().map_or(Ok(DEFAULT_BYTES), |bytes| bytes.parse())?;
    let (mut socket, peer) = TcpListener::bind(address)?.accept()?;
    println!("{peer} connected");
    let mut session = Session::new(Instant::now(), Settings::default());
    let (mut capture, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    while !session.is_closed() {
        let left = session.deadline().saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                capture.extend_from_slice(&buffer[..count]);
                session.feed(Instant::now(), &buffer[..count])?;
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                session.tick(Instant::now())?;
            }
            Err(error) => {
                println!("{error}"); // many encoders close without waiting for our last words
                break;
            }
        }
        while let Some(event) = session.poll_event() {
            match event {
                Event::PublishRequested(request) => {
                    println!("{request:?}");
                    session.answer(Verdict::Accept);
                }
                Event::Media(media::MediaEvent::Packet(_)) => {}
                other => println!("{other:?}"),
            }
        }
        if socket.write_all(&session.take_outbound()).is_err() {
            break;
        }
    }
    capture.truncate(wanted);
    std::fs::write(&path, &capture)?;
    println!("{} bytes in {path}; {:?}", capture.len(), session.stats());
    Ok(())
}
