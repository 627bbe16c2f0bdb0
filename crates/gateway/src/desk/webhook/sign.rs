//! Signatures: whoever receives a webhook can tell that it comes from here, and when it was sent.

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The header that carries [`signature`].
pub(crate) const HEADER: &str = "sluice-signature";

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 under `secret` of the time in Unix seconds, a dot, and the body.
pub(crate) fn signature(secret: &str, unix_seconds: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{unix_seconds}.").as_bytes());
    mac.update(body);
    let mut text = format!("t={unix_seconds},v1=");
    for byte in mac.finalize().into_bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_as_documented() {
        // printf '1700000000.{"event":"publish"}' | openssl dgst -sha256 -hmac 'a secret of some length'
        assert_eq!(
            signature("a secret of some length", 1_700_000_000, br#"{"event":"publish"}"#),
            "t=1700000000,v1=58163c217857ac068dc87ab2da03e27f83fe4fa65db71deeb0799e537951d391"
        );
    }
}
