//! The handshake: simple (RTMP 1.0 §5.2), signed as Flash Player and FFmpeg do it ("digest", "complex"), and RTMPE's,
//! which is the signed one with a key exchange in it.
//!
//! ```text
//!  C0 C1 ─▶ Server ─▶ S0 S1 S2, at once and in one piece        C2 ─▶ skipped ─▶ what is behind it stays in the input
//!            │ C0 6, 8, 9 ─▶ signed, with keys for both directions; chunks from here on are encrypted
//!            │ version in C1, and a digest that verifies ─▶ signed
//!            └ all else ─▶ simple: every encoder takes that
//! ```
//! C2 is never looked at: rtmp2sink writes times of its own into it, and FFmpeg publishing over RTMPE echoes S1 where it
//! ought to sign. The formats are nobody's standard; they are what the players and encoders in the field do.

mod client;
mod digest;
mod exchange;
mod server;
#[cfg(test)]
pub(crate) mod signing;

use bytes::{BufMut, BytesMut};

pub use self::{client::Client, server::Server};
use crate::rc4::Rc4;

/// Bytes of C1, S1, C2 and S2 each.
pub const PACKET: usize = 1536;
/// The version that we speak.
pub const VERSION: u8 = 3;
/// How many of a stranger's first bytes an error shows.
const SHOWN: usize = 16;
/// RTMPE, and what S0 says to a C0 of 6, 8 or 9: with it no signature is enciphered.
const VERSION_RTMPE: u8 = 6;

/// How a connection was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandshakeKind {
    /// Unsigned.
    Simple,
    /// Both sides signed their first packet.
    Digest,
    /// RTMPE: signed, and all that follows is encrypted. Obfuscation, not security: whoever sits on the line can read
    /// it by taking part in the handshake, which authenticates nobody.
    Encrypted,
}

impl HandshakeKind {
    /// One word for logs and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Digest => "digest",
            Self::Encrypted => "rtmpe",
        }
    }

    /// Whether what follows the handshake is encrypted.
    pub fn is_encrypted(self) -> bool {
        self == Self::Encrypted
    }
}

/// What a handshake leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// How it went.
    pub kind: HandshakeKind,
    /// For an encrypted connection.
    pub(crate) ciphers: Option<Box<Ciphers>>,
}

/// The key streams of an encrypted connection, as one side sees them. They begin behind C2 and S2.
#[derive(Debug)]
pub(crate) struct Ciphers {
    pub(crate) inbound: Rc4,
    pub(crate) outbound: Rc4,
}

/// The bytes are no RTMP handshake, or none that can be answered.
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
    /// RTMPE, encrypted RTMP, where it is switched off.
    #[error(
        "RTMPE (type {version} at byte 0) is switched off here; use rtmp:// or rtmps:// in place of rtmpe://"
    )]
    Encrypted {
        /// C0.
        version: u8,
    },
    /// RTMPE without a digest: where the key stands cannot be told.
    #[error("RTMPE (type {version} at byte 0), but no digest in the 1536 bytes behind it verifies")]
    Unsigned {
        /// C0.
        version: u8,
    },
    /// An RTMPE public key outside 2 to p - 2, which would give the shared secret away.
    #[error("RTMPE public key out of range")]
    KeyOutOfRange,
    /// The system gives no random numbers, or none that fit.
    #[error("no key for RTMPE could be made: {reason}")]
    NoKey {
        /// What was missing.
        reason: String,
    },
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
        [0x16, 3, 0..=4, ..] => stranger("a TLS client: rtmps:// on a port for rtmp://"),
        [b'G' | b'P' | b'H' | b'O', ..] => stranger("HTTP, perhaps RTMPT"),
        [32..=255, ..] => stranger("unknown protocol"),
        _ => Ok(()),
    }
}

/// Whether C0 asks for RTMPE. 8 and 9 differ from 6 in how signatures are enciphered, which S0 = 6 declines.
fn asks_for_rtmpe(version: u8) -> bool {
    matches!(version, VERSION_RTMPE | 8 | 9)
}

/// Time 0, `version` (0 promises no digest), filler.
fn hello(version: [u8; 4], seed: u64) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[4..8].copy_from_slice(&version);
    fill(&mut packet[8..], seed);
    packet
}

/// Filler: nobody checks it, it need only not look like anything. xorshift64.
fn fill(bytes: &mut [u8], seed: u64) {
    let mut state = seed | 1;
    for word in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_be_bytes()[..word.len()]);
    }
}

fn seed_of(packet: &[u8]) -> u64 {
    packet
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3))
}

fn put_opening(out: &mut BytesMut, version: u8, packet: &[u8; PACKET]) {
    out.reserve(1 + 2 * PACKET);
    out.put_u8(version);
    out.put_slice(packet);
}

/// Signs what is to be C1, whatever stands in it: a fuzzer does not find a digest.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn sign_as_client(c1: &mut [u8; PACKET], digest_first: bool) {
    let scheme = if digest_first { digest::Scheme::DigestFirst } else { digest::Scheme::KeyFirst };
    digest::sign(c1, scheme, digest::Signer::Client);
}

#[cfg(test)]
mod tests;
