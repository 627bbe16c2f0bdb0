//! Peers that mean no good: sockets from many addresses, bytes as they like, nothing read beyond what is needed.

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;

/// A connection that the other side may have ended.
pub struct Peer {
    stream: TcpStream,
    over: bool,
}

impl Peer {
    /// Connects to `127.0.0.1:PORT` from 127.x.y.z, which `number` chooses: limits count by address.
    pub fn from(number: u16, to: &str) -> Result<Self> {
        let [high, low] = number.to_be_bytes();
        let here = SocketAddrV4::new(Ipv4Addr::new(127, 1 + high, low, 1), 0);
        let there: SocketAddrV4 = to.parse()?;
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&fd, &here)?;
        connect(&fd, &there).with_context(|| format!("from {here}"))?;
        let stream = TcpStream::from(fd);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        Ok(Peer { stream, over: false })
    }

    /// The simple handshake, whole.
    pub fn shake_hands(&mut self) -> Result<()> {
        super::wire::shake_hands(&mut self.stream)
    }

    /// Writes; a failure means that the other side has gone, which `is_over` then tells.
    pub fn send(&mut self, bytes: &[u8]) {
        if !self.over && self.stream.write_all(bytes).is_err() {
            self.over = true;
        }
    }

    /// The next bytes of an answer, waiting up to five seconds; none when there are no more.
    pub fn answer(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(n) if n > 0 => buffer.truncate(n),
            _ => {
                self.over = true;
                buffer.clear();
            }
        }
        buffer
    }

    /// Whether the other side has closed the connection; what it said before is dropped.
    pub fn is_over(&mut self) -> bool {
        if self.over || self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.over = true,
                Ok(_) => continue,
                Err(error) => self.over = error.kind() != ErrorKind::WouldBlock,
            }
            break;
        }
        let _ = self.stream.set_nonblocking(false);
        self.over
    }
}

/// A chunk with a full header: message type and declared length, on a chunk stream of any form (RTMP 1.0 §5.3.1).
pub fn chunk(chunk_stream: u32, kind: u8, declared: u32, body: &[u8]) -> Vec<u8> {
    let mut out = match chunk_stream {
        2..=63 => vec![chunk_stream as u8],
        64..=319 => vec![0, (chunk_stream - 64) as u8],
        _ => {
            let [high, low] = ((chunk_stream - 64) as u16).to_be_bytes();
            vec![1, low, high]
        }
    };
    out.extend([0, 0, 0]);
    out.extend(&declared.to_be_bytes()[1..]);
    out.push(kind);
    out.extend([0; 4]);
    out.extend(body);
    out
}

/// Lets this process, and what it starts, have as many files open as the system allows it.
pub fn many_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let had = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: had.maximum, maximum: had.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
