//! A client that signs, and one that speaks RTMPE, for tests: as strict as the strictest in the field, and
//! with either of the ways in which those fill up a short secret.

use bytes::{BufMut, BytesMut};

pub(crate) use super::digest::Scheme;
use super::{
    Ciphers, PACKET,
    digest::{self, Digest, KEY, Signer},
    exchange::Pair,
    hello, put_opening, take,
};
use crate::rc4::Rc4;

/// Where a client puts the zeros of a secret that is shorter than 128 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Padding {
    /// librtmp with GnuTLS, FFmpeg with mbedTLS.
    InFront,
    /// FFmpeg with GMP, librtmp with OpenSSL.
    Behind,
}

/// How a client behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Manner {
    /// C0.
    pub(crate) version: u8,
    /// Scheme of C1.
    pub(crate) scheme: Scheme,
    /// Whether C2 is signed; otherwise it echoes S1.
    pub(crate) signs_c2: bool,
    pub(crate) padding: Padding,
}

/// One handshake of such a client.
pub(crate) struct SigningClient {
    manner: Manner,
    pair: Pair,
    digest: Digest,
    seen: Vec<u8>,
}

impl SigningClient {
    /// Writes C0 and C1.
    pub(crate) fn start(manner: Manner, seed: u64, out: &mut BytesMut) -> Self {
        let pair = Pair::generate().expect("the system has random numbers");
        let mut c1 = hello([128, 0, 3, 2], seed);
        manner.scheme.put_key(&mut c1, &pair.public);
        let digest = digest::sign(&mut c1, manner.scheme, Signer::Client);
        put_opening(out, manner.version, &c1);
        Self { manner, pair, digest, seen: Vec::new() }
    }

    /// Takes S0, S1 and S2 from the front of `input`, checks them, and writes C2. Gives the key streams that hold from
    /// here on; they have a meaning for RTMPE only.
    pub(crate) fn feed(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Option<Ciphers> {
        let wanted = (1 + 2 * PACKET - self.seen.len()).min(input.len());
        self.seen.extend_from_slice(take(input, wanted));
        let (s0, rest) = self.seen.split_first()?;
        let (s1, s2) = rest.split_at_checked(PACKET)?;
        if s2.len() < PACKET {
            return None;
        }
        let s1: &[u8; PACKET] = s1.try_into().expect("split there");
        let (scheme, digest) = digest::verify(s1, Signer::Server).expect("S1 is signed");
        assert!(digest::answers(s2, &self.digest, Signer::Server), "S2 answers our digest");
        // FFmpeg publishing over RTMPE looks for the key in scheme 1 and nowhere else.
        let encrypted = self.manner.version != 3;
        let (version, expected) = if encrypted { (6, Scheme::DigestFirst) } else { (3, self.manner.scheme) };
        assert_eq!((*s0, scheme), (version, expected));
        match self.manner.signs_c2 {
            true => out.put_slice(&digest::answer(&digest, Signer::Client, 7)),
            false => out.put_slice(s1),
        }
        let theirs = scheme.key(s1);
        let secret = match encrypted {
            true => self.padded(self.pair.shared(&theirs).expect("the server's key is in range")),
            false => [0; KEY],
        };
        let stream = |public| Rc4::new(&digest::stream_key(&secret, public), PACKET);
        Some(Ciphers { inbound: stream(&self.pair.public), outbound: stream(&theirs) })
    }

    fn padded(&self, mut secret: [u8; KEY]) -> [u8; KEY] {
        if self.manner.padding == Padding::Behind {
            let zeros = secret.iter().take_while(|byte| **byte == 0).count();
            secret.rotate_left(zeros);
        }
        secret
    }
}
