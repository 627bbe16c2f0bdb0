//! The simple handshake (RTMP 1.0 §5.2), both sides. Clients that sign their C1 (version bytes not 0) are answered
//! simply as well: every encoder takes that. C2 is never looked at, since several encoders write something of their
//! own there.
//!
//! ```text
//!  C0 C1 ─▶ Server ─▶ S0 S1 S2, at once and in one piece        C2 ─▶ skipped ─▶ the chunks behind it stay in the input
//! ```

use bytes::{BufMut, BytesMut};

/// Bytes of C1, S1, C2 and S2 each.
pub const PACKET: usize = 1536;
/// The version that we speak.
pub const VERSION: u8 = 3;
/// How many of a stranger's first bytes an error shows.
const SHOWN: usize = 16;

/// The bytes are no RTMP handshake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The first byte is none that RTMP opens with.
    #[error("not RTMP: expected 03 at byte 0, met {first} ({guess})")]
    NotRtmp {
        /// The first bytes in hexadecimal.
        first: String,
        /// What the peer seems to speak.
        guess: &'static str,
    },
    /// RTMPE: encrypted RTMP.
    #[error("RTMPE (type {version} at byte 0) is not supported; use rtmp:// in place of rtmpe://")]
    Encrypted {
        /// C0.
        version: u8,
    },
}

/// The server's side.
#[derive(Debug)]
pub enum Server {
    /// Gathers C0 and C1.
    Gathering(Vec<u8>),
    /// Skips so many bytes of C2.
    Skipping(usize),
}

impl Server {
    /// Waits for C0.
    pub fn new() -> Self {
        Self::Gathering(Vec::new())
    }

    /// Takes what belongs to the handshake from the front of `input` and writes the answer to `out`. True once the
    /// handshake is over; what is left of `input` then are chunks.
    ///
    /// # Errors
    /// When the first bytes are not RTMP, or are RTMPE.
    pub fn feed(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<bool, HandshakeError> {
        loop {
            match self {
                Self::Gathering(seen) => {
                    let wanted = (1 + PACKET - seen.len()).min(input.len());
                    seen.extend_from_slice(take(input, wanted));
                    check_opening(seen)?;
                    let Some(c1) = seen.get(1..).filter(|c1| c1.len() == PACKET) else { return Ok(false) };
                    out.reserve(1 + 2 * PACKET);
                    out.put_u8(VERSION);
                    put_hello(out, seed_of(c1));
                    out.put_slice(c1);
                    *self = Self::Skipping(PACKET);
                }
                Self::Skipping(left) => {
                    *left -= take(input, (*left).min(input.len())).len();
                    return Ok(*left == 0);
                }
            }
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

/// The client's side.
#[derive(Debug)]
pub struct Client {
    seen: Vec<u8>,
}

impl Client {
    /// Writes C0 and C1.
    pub fn start(out: &mut BytesMut) -> Self {
        out.put_u8(VERSION);
        put_hello(out, 0x5EED);
        Self { seen: Vec::new() }
    }

    /// Takes what belongs to the handshake from the front of `input`. True once S2 is in and C2 written.
    ///
    /// # Errors
    /// When the first byte is not RTMP's.
    pub fn feed(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<bool, HandshakeError> {
        let wanted = (1 + 2 * PACKET - self.seen.len()).min(input.len());
        self.seen.extend_from_slice(take(input, wanted));
        check_opening(&self.seen)?;
        if self.seen.len() < 1 + 2 * PACKET {
            return Ok(false);
        }
        out.put_slice(&self.seen[1..1 + PACKET]);
        self.seen = Vec::new();
        Ok(true)
    }
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (head, tail) = input.split_at(count);
    *input = tail;
    head
}

/// A version byte of 0 to 31 is answered with ours (§5.2.2), save RTMPE's; those from 32 on are not allowed, so that
/// text protocols are recognised.
fn check_opening(seen: &[u8]) -> Result<(), HandshakeError> {
    let stranger = |guess| {
        let first = seen.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        Err(HandshakeError::NotRtmp { first, guess })
    };
    match *seen {
        [version @ (6 | 8 | 9), ..] => Err(HandshakeError::Encrypted { version }),
        [0x16, 3, 0..=4, ..] => stranger("a TLS client: rtmps:// on a port for rtmp://"),
        [b'G' | b'P' | b'H' | b'O', ..] => stranger("HTTP, perhaps RTMPT"),
        [32..=255, ..] => stranger("unknown protocol"),
        _ => Ok(()),
    }
}

/// Time 0, version 0 (which promises no digest), filler.
fn put_hello(out: &mut BytesMut, seed: u64) {
    out.put_bytes(0, 8);
    let mut state = seed | 1;
    for _ in 0..(PACKET - 8) / 8 {
        // xorshift64: filler that nobody checks need only not look like anything
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.put_u64(state);
    }
}

fn seed_of(c1: &[u8]) -> u64 {
    c1.iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(version: u8) -> Vec<u8> {
        let mut bytes = vec![version];
        bytes.extend((0..PACKET).map(|at| (at % 251) as u8));
        bytes
    }

    #[test]
    fn the_answer_comes_in_one_piece_before_c2_and_echoes_c1() {
        for version in [3, 0, 2, 4, 31] {
            let (mut server, mut out) = (Server::new(), BytesMut::new());
            let hello = opening(version);
            assert!(!server.feed(&mut &hello[..PACKET], &mut out).unwrap());
            assert!(out.is_empty());
            assert!(!server.feed(&mut &hello[PACKET..], &mut out).unwrap());
            assert_eq!((out.len(), out[0]), (1 + 2 * PACKET, 3), "version {version}");
            assert_eq!(out[5..9], [0; 4], "bytes 4 to 7 of S1 promise no digest");
            assert_eq!(out[1 + PACKET..], hello[1..]);
        }
    }

    #[test]
    fn c2_is_skipped_whatever_it_says_and_chunks_behind_it_stay() {
        let (mut server, mut out) = (Server::new(), BytesMut::new());
        let mut bytes = opening(3);
        bytes.extend([0xEE; PACKET]);
        bytes.extend([2, 0, 0]);
        let mut input = &bytes[..];
        assert!(server.feed(&mut input, &mut out).unwrap());
        assert_eq!(input, [2, 0, 0]);
    }

    #[test]
    fn it_may_be_cut_anywhere() {
        let mut bytes = opening(3);
        bytes.extend([1; PACKET]);
        let (mut server, mut out) = (Server::new(), BytesMut::new());
        let done = bytes.iter().filter(|byte| server.feed(&mut &[**byte][..], &mut out).unwrap()).count();
        assert_eq!((done, out.len()), (1, 1 + 2 * PACKET));
    }

    #[test]
    fn strangers_are_named() {
        for (name, bytes, want) in [
            ("http", &b"GET / HTTP/1.1\r\n"[..], "HTTP"),
            ("rtmpt", b"POST /open/1", "RTMPT"),
            ("ssh", b"SSH-2.0-OpenSSH", "53 53 48 2d"),
            ("tls", &[0x16, 3, 1, 2, 0], "TLS"),
            ("rtmpe", &[6, 0, 0], "RTMPE (type 6"),
            ("garbage", &[0xFF, 1], "ff 01"),
        ] {
            let error = Server::new().feed(&mut &bytes[..], &mut BytesMut::new()).unwrap_err().to_string();
            assert!(error.contains(want), "{name}: {error}");
        }
    }

    #[test]
    fn our_two_sides_agree() {
        let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
        let mut client = Client::start(&mut to_server);
        let mut server = Server::new();
        assert!(!server.feed(&mut &to_server[..], &mut to_client).unwrap());
        to_server.clear();
        assert!(client.feed(&mut &to_client[..], &mut to_server).unwrap());
        assert!(server.feed(&mut &to_server[..], &mut to_client).unwrap());
    }
}
