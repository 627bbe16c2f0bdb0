//! Signed packets: where digest and public key stand in C1 and S1, and how they are computed. Offsets count from the
//! start of the 1536 bytes.
//!
//! ```text
//!  time 4, version 4, then two blocks of 764 bytes:   key block: [ … key 128 … ][offset 4]     digest block: [offset 4][ … digest 32 … ]
//!  scheme 0: key block, digest block                  scheme 1: digest block, key block
//! ```

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{PACKET, fill};

/// Bytes of a digest and of a signature.
pub(super) const DIGEST: usize = 32;
/// Bytes of a Diffie-Hellman public key and of a shared secret.
pub(super) const KEY: usize = 128;
/// Version in a signed S1: 4.5.0.1, as a Flash Media Server of that number says. FFmpeg and librtmp look for a digest
/// from a first byte of 3 on.
pub(super) const SERVER_VERSION: [u8; 4] = [4, 5, 0, 1];

pub(super) type Digest = [u8; DIGEST];
type Sha256Mac = Hmac<Sha256>;

/// The names that both sides sign with are known to everybody; the 32 bytes behind them are common to both.
const TAIL: Digest = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57, 0x6E,
    0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];

/// Who signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Signer {
    Client,
    Server,
}

impl Signer {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Client => b"Genuine Adobe Flash Player 001",
            Self::Server => b"Genuine Adobe Flash Media Server 001",
        }
    }

    /// The key of the digest in C1 or S1.
    fn short_key(self) -> Sha256Mac {
        keyed(self.name())
    }

    /// The key behind the signature in C2 or S2.
    fn long_key(self) -> Sha256Mac {
        keyed(&[self.name(), &TAIL].concat())
    }
}

/// How the two blocks of C1 or S1 are ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    /// Scheme 0: the key block comes first.
    KeyFirst,
    /// Scheme 1: the digest block comes first.
    DigestFirst,
}

impl Scheme {
    /// Where the digest stands.
    pub(super) fn digest_at(self, packet: &[u8; PACKET]) -> usize {
        let (field, base) = match self {
            Self::KeyFirst => (772, 776),
            Self::DigestFirst => (8, 12),
        };
        base + sum(packet, field) % 728
    }

    /// Where the public key stands.
    pub(super) fn key_at(self, packet: &[u8; PACKET]) -> usize {
        let (field, base) = match self {
            Self::KeyFirst => (768, 8),
            Self::DigestFirst => (1532, 772),
        };
        base + sum(packet, field) % 632
    }

    /// The public key in `packet`.
    pub(super) fn key(self, packet: &[u8; PACKET]) -> [u8; KEY] {
        let at = self.key_at(packet);
        std::array::from_fn(|offset| packet[at + offset])
    }

    /// Puts a public key into `packet`, which is signed afterwards.
    pub(super) fn put_key(self, packet: &mut [u8; PACKET], key: &[u8; KEY]) {
        let at = self.key_at(packet);
        packet[at..at + KEY].copy_from_slice(key);
    }
}

/// An offset is told as the sum of four bytes.
fn sum(packet: &[u8; PACKET], field: usize) -> usize {
    packet[field..field + 4].iter().map(|byte| usize::from(*byte)).sum()
}

/// Finds the scheme in which `signer` signed `packet`, and the digest. Compares in constant time.
pub(super) fn verify(packet: &[u8; PACKET], signer: Signer) -> Option<(Scheme, Digest)> {
    [Scheme::KeyFirst, Scheme::DigestFirst].into_iter().find_map(|scheme| {
        let at = scheme.digest_at(packet);
        let told = std::array::from_fn(|offset| packet[at + offset]);
        around(packet, at, signer).verify_slice(&told).ok()?;
        Some((scheme, told))
    })
}

/// Signs C1 or S1: the digest covers all but itself.
pub(super) fn sign(packet: &mut [u8; PACKET], scheme: Scheme, signer: Signer) -> Digest {
    let at = scheme.digest_at(packet);
    let digest: Digest = around(packet, at, signer).finalize().into_bytes().into();
    packet[at..at + DIGEST].copy_from_slice(&digest);
    digest
}

/// C2 or S2: filler, and a signature that proves knowledge of the peer's digest.
pub(super) fn answer(peer: &Digest, signer: Signer, seed: u64) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    let (filler, signature) = packet.split_at_mut(PACKET - DIGEST);
    fill(filler, seed);
    signature.copy_from_slice(&answer_mac(peer, signer, filler).finalize().into_bytes());
    packet
}

/// Whether C2 or S2 is `signer`'s answer to `digest`. We never ask this of a client.
#[cfg(test)]
pub(super) fn answers(packet: &[u8], digest: &Digest, signer: Signer) -> bool {
    let (filler, signature) = packet.split_at(packet.len().saturating_sub(DIGEST));
    answer_mac(digest, signer, filler).verify_slice(signature).is_ok()
}

fn answer_mac(peer: &Digest, signer: Signer, filler: &[u8]) -> Sha256Mac {
    let inner = signer.long_key().chain_update(peer).finalize().into_bytes();
    keyed(&inner).chain_update(filler)
}

fn around(packet: &[u8; PACKET], at: usize, signer: Signer) -> Sha256Mac {
    signer.short_key().chain_update(&packet[..at]).chain_update(&packet[at + DIGEST..])
}

/// The first 16 bytes of HMAC-SHA256, which is what RTMPE's key streams are keyed with.
pub(super) fn stream_key(secret: &[u8; KEY], public: &[u8; KEY]) -> [u8; 16] {
    let mac = keyed(secret).chain_update(public).finalize().into_bytes();
    std::array::from_fn(|at| mac[at])
}

fn keyed(key: &[u8]) -> Sha256Mac {
    Mac::new_from_slice(key).expect("HMAC takes keys of any length")
}
