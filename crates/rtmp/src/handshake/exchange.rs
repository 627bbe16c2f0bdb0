//! RTMPE's Diffie-Hellman exchange: 1024-bit MODP group, generator 2 (RFC 2409 §6.2).
//!
//! The exchange hides a stream from a reader of the line and from nobody else, since neither side proves who it is. That
//! settles two choices. Exponents are 320 bits long, not 1024: the prime is a safe one, so a short exponent loses
//! nothing to small subgroups, and finding one of 320 bits takes 2^160 steps where the group itself falls to 2^80. And the
//! arithmetic need not take constant time: a secret serves one connection. A server's share of a handshake, two
//! exponentiations, is about 0.35 ms of a core; whoever listens bounds how often one address may ask for it.

use std::sync::LazyLock;

use num_bigint::BigUint;

use super::{HandshakeError, digest::KEY};

/// The Second Oakley Group's prime.
static PRIME: LazyLock<BigUint> = LazyLock::new(|| {
    const HEX: &[u8] = b"FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
        020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
        4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
        EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF";
    BigUint::parse_bytes(HEX, 16).expect("the literal above is hexadecimal")
});
/// Bytes of a secret exponent.
const SECRET: usize = 40;
/// Pairs made before giving up; one in 128 does not fit, so even two in a row are rare.
const TRIES: usize = 16;

/// A secret exponent and its public key.
pub(super) struct Pair {
    secret: BigUint,
    pub(super) public: [u8; KEY],
}

impl Pair {
    /// A fresh pair.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn generate() -> Result<Self, HandshakeError> {
        let mut secret = [0; SECRET];
        getrandom::fill(&mut secret).map_err(|error| HandshakeError::NoKey { reason: error.to_string() })?;
        secret[0] |= 0x80;
        let secret = BigUint::from_bytes_be(&secret);
        let public = bytes_of(&BigUint::from(2u8).modpow(&secret, &PRIME));
        Ok(Self { secret, public })
    }

    /// The secret shared with the owner of `peer`, zeros in front.
    ///
    /// # Errors
    /// When `peer` is not within 2 to p - 2: with 0, 1 and p - 1 the secret would be known beforehand.
    pub(super) fn shared(&self, peer: &[u8; KEY]) -> Result<[u8; KEY], HandshakeError> {
        let peer = BigUint::from_bytes_be(peer);
        let two = BigUint::from(2u8);
        if peer < two || peer > &*PRIME - &two {
            return Err(HandshakeError::KeyOutOfRange);
        }
        Ok(bytes_of(&peer.modpow(&self.secret, &PRIME)))
    }
}

/// The server's public key and the secret shared with `client`, neither with a zero in front. Clients disagree on how a
/// short secret fills its 128 bytes (librtmp with GnuTLS puts zeros in front, FFmpeg with GMP behind), and some
/// mishandle short keys; so the pair is made anew until neither is short.
///
/// # Errors
/// When the client's key is out of range, or the system has no random numbers.
pub(super) fn agree(client: &[u8; KEY]) -> Result<([u8; KEY], [u8; KEY]), HandshakeError> {
    for _ in 0..TRIES {
        let pair = Pair::generate()?;
        if pair.public[0] == 0 {
            continue;
        }
        let shared = pair.shared(client)?;
        if shared[0] != 0 {
            return Ok((pair.public, shared));
        }
    }
    Err(HandshakeError::NoKey { reason: format!("{TRIES} pairs in a row were short") })
}

fn bytes_of(number: &BigUint) -> [u8; KEY] {
    let bytes = number.to_bytes_be();
    let mut out = [0; KEY];
    out[KEY - bytes.len()..].copy_from_slice(&bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pairs_share_a_secret() {
        let (a, b) = (Pair::generate().unwrap(), Pair::generate().unwrap());
        assert_eq!(a.shared(&b.public), b.shared(&a.public));
        let (public, shared) = agree(&a.public).unwrap();
        assert_eq!(a.shared(&public), Ok(shared));
        assert_ne!((public[0], shared[0]), (0, 0));
    }

    #[test]
    fn keys_that_give_the_secret_away_are_refused() {
        let below = |less: u8| bytes_of(&(&*PRIME - BigUint::from(less)));
        let small = |value: u8| bytes_of(&BigUint::from(value));
        for (name, key, good) in [
            ("0", small(0), false),
            ("1", small(1), false),
            ("2", small(2), true),
            ("p - 2", below(2), true),
            ("p - 1", below(1), false),
            ("p", below(0), false),
            ("2^1024 - 1", [0xFF; KEY], false),
        ] {
            assert_eq!(Pair::generate().unwrap().shared(&key).is_ok(), good, "{name}");
        }
    }
}
