//! Playback tokens: `1.{key id}.{claims}.{mac}`, which stand in paths (`/t/{token}/live/…`) so that relative addresses
//! inherit them, in HLS and DASH alike. Pure.
//!
//! The claims are text in base64url: when it expires (seconds since 1970), what it opens, from which network, and for
//! which viewer, with one space between and `-` for what is left open:
//!
//! ```text
//!  1795348800 live/show 192.0.2.0/24 alice
//! ```
//!
//! The mac is HMAC-SHA256 over everything before its dot, cut to 128 bits (RFC 2104 §5), in base64url.

use std::{
    fmt,
    net::IpAddr,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, Mac as _};
use ipnet::IpNet;
use media::StreamName;
use sha2::Sha256;

use crate::route::number;

/// The only form there is so far.
const VERSION: &str = "1";
/// Signed along, so that no other use of a key can make a token.
const PURPOSE: &[u8] = b"sluice playback token\n";
/// Bytes of the HMAC that a token carries.
const MAC: usize = 16;
/// Longest token that is looked at, in characters.
pub(super) const LONGEST: usize = 512;
/// Shortest secret, in bytes.
const SECRET: usize = 16;

/// What a token opens, and what a path is under: `live/{name}` or `vod/{recording}`.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Scope {
    /// A live stream.
    Live(StreamName),
    /// A recording.
    Recording {
        /// What was recorded.
        stream: StreamName,
        /// When it began, in milliseconds since 1970.
        start: u64,
    },
}

impl Scope {
    /// The stream that it is, or is recorded from.
    pub fn stream(&self) -> &str {
        match self {
            Self::Live(stream) | Self::Recording { stream, .. } => stream.as_str(),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live(name) => write!(f, "live/{name}"),
            Self::Recording { stream, start } => write!(f, "vod/{stream}-{start}"),
        }
    }
}

impl FromStr for Scope {
    type Err = BadToken;

    /// Only the one canonical spelling is read.
    fn from_str(text: &str) -> Result<Self, BadToken> {
        let (kind, name) = text.split_once('/').ok_or(BadToken::Malformed)?;
        let scope = match kind {
            "live" => name.parse().ok().map(Self::Live),
            "vod" => name.rsplit_once('-').and_then(|(stream, start)| {
                Some(Self::Recording { stream: stream.parse().ok()?, start: number(start)? })
            }),
            _ => None,
        };
        scope.ok_or(BadToken::Malformed)
    }
}

/// What a token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claims {
    /// When it ends, in seconds since 1970.
    pub expires: u64,
    /// What it opens.
    pub scope: Scope,
    /// Where it counts; everywhere where `None`.
    pub address: Option<IpNet>,
    /// Whom it was made for, in the operator's words: its requests are one viewer, wherever they come from. 1 to 64
    /// letters, digits, `.`, `_` and `-`, and not `-` alone.
    pub viewer: Option<String>,
}

/// Why a token does not open what was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadToken {
    /// There is none.
    #[error("This stream is for viewers with a link of their own; this address has no token.")]
    Missing,
    /// It has not the form, its key is unknown, or it is signed by somebody else. Which one is nobody's business.
    #[error("This link is not valid: its token was not made here, or was changed on its way.")]
    Malformed,
    /// Its time is over.
    #[error("This link has expired; ask for a new one.")]
    Expired,
    /// It opens something else.
    #[error("This link is for another stream.")]
    OtherScope,
    /// It counts elsewhere.
    #[error("This link is for another network address.")]
    OtherAddress,
}

impl BadToken {
    /// As metrics count it.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "no token",
            Self::Malformed => "not valid",
            Self::Expired => "expired",
            Self::OtherScope => "other stream",
            Self::OtherAddress => "other address",
        }
    }
}

/// Keys by id: the first signs, all count. Not for logs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<(String, Vec<u8>)>);

/// Why keys cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadKeys {
    /// An id that could not stand in a token.
    #[error("{0:?} is no id of a key: 1 to 32 letters, digits, _ and -")]
    Id(String),
    /// A secret that could be guessed.
    #[error("the secret of {0:?} is shorter than {SECRET} characters")]
    Short(String),
    /// Two of the same id.
    #[error("two keys have the id {0:?}")]
    Twice(String),
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl Keys {
    /// Keys as `(id, secret)`.
    ///
    /// # Errors
    /// When an id or a secret is not fit for it.
    pub fn new(keys: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, BadKeys> {
        let mut all: Vec<(String, Vec<u8>)> = Vec::new();
        for (id, secret) in keys {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            if id.is_empty() || id.len() > 32 || !id.bytes().all(plain) {
                return Err(BadKeys::Id(id));
            }
            if secret.len() < SECRET {
                return Err(BadKeys::Short(id));
            }
            if all.iter().any(|(other, _)| *other == id) {
                return Err(BadKeys::Twice(id));
            }
            all.push((id, secret));
        }
        Ok(Self(all))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A token of these claims by the first key; `None` without a key, or when the viewer's name is not fit for one.
    pub fn sign(&self, claims: &Claims) -> Option<String> {
        if !claims.viewer.as_deref().is_none_or(is_viewer) {
            return None;
        }
        let (id, secret) = self.0.first()?;
        let Claims { expires, scope, address, viewer } = claims;
        let address = address.map_or_else(|| "-".to_owned(), |network| network.to_string());
        let text = format!("{expires} {scope} {address} {}", viewer.as_deref().unwrap_or("-"));
        let signed = format!("{VERSION}.{id}.{}", BASE64.encode(text));
        let mac = mac(secret, &signed).finalize().into_bytes();
        Some(format!("{signed}.{}", BASE64.encode(&mac[..MAC])))
    }

    /// What a token says, once it is known to be ours.
    ///
    /// # Errors
    /// [`BadToken::Malformed`] in all cases.
    pub fn read(&self, token: &str) -> Result<Claims, BadToken> {
        if token.len() > LONGEST {
            return Err(BadToken::Malformed);
        }
        self.verified(token).ok_or(BadToken::Malformed)
    }

    fn verified(&self, token: &str) -> Option<Claims> {
        let (signed, proof) = token.rsplit_once('.')?;
        let [version, id, claims]: [&str; 3] = signed.split('.').collect::<Vec<_>>().try_into().ok()?;
        if version != VERSION {
            return None;
        }
        let (_, secret) = self.0.iter().find(|(known, _)| known == id)?;
        let proof: [u8; MAC] = BASE64.decode(proof).ok()?.try_into().ok()?;
        // Takes as long for a near miss as for a far one. Nothing of the claims is read before.
        mac(secret, signed).verify_truncated_left(&proof).ok()?;
        let text = String::from_utf8(BASE64.decode(claims).ok()?).ok()?;
        let [expires, scope, address, viewer]: [&str; 4] =
            text.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let given = |text: &str| (text != "-").then(|| text.to_owned());
        Some(Claims {
            expires: expires.parse().ok()?,
            scope: scope.parse().ok()?,
            address: given(address).map(|text| text.parse()).transpose().ok()?,
            viewer: given(viewer),
        })
    }
}

impl Claims {
    /// Whether it opens `scope` now, for somebody at `address`; one that is not known lies in no network.
    ///
    /// # Errors
    /// When it does not.
    pub fn admit(&self, scope: &Scope, address: Option<IpAddr>, now: SystemTime) -> Result<(), BadToken> {
        if now.duration_since(UNIX_EPOCH).unwrap_or_default() >= Duration::from_secs(self.expires) {
            return Err(BadToken::Expired);
        }
        if self.scope != *scope {
            return Err(BadToken::OtherScope);
        }
        match (self.address, address) {
            (Some(network), Some(address)) if network.contains(&address.to_canonical()) => Ok(()),
            (Some(_), _) => Err(BadToken::OtherAddress),
            (None, _) => Ok(()),
        }
    }
}

/// Whether a viewer may be called so.
pub fn is_viewer(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !text.is_empty() && text.len() <= 64 && text != "-" && text.bytes().all(plain)
}

fn mac(secret: &[u8], signed: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(PURPOSE);
    mac.update(signed.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ids: &[&str]) -> Keys {
        let secret = |id: &&str| ((*id).to_owned(), format!("secret of {id} and some more").into_bytes());
        Keys::new(ids.iter().map(secret)).unwrap()
    }

    fn claims() -> Claims {
        Claims { expires: 2000, scope: "live/show".parse().unwrap(), address: None, viewer: None }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_signed_is_read() {
        let keys = keys(&["k1"]);
        for (address, viewer) in
            [(None, None), (Some("192.0.2.0/24"), Some("alice")), (Some("2001:db8::/48"), Some("a.b_c-1"))]
        {
            let claims = Claims {
                address: address.map(|text| text.parse().unwrap()),
                viewer: viewer.map(str::to_owned),
                ..claims()
            };
            let token = keys.sign(&claims).unwrap();
            assert_eq!(keys.read(&token).unwrap(), claims);
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            assert!(token.bytes().all(plain) && token.len() < 130, "{token}");
        }
    }

    #[test]
    fn no_letter_of_it_can_be_changed() {
        let keys = keys(&["k1"]);
        let token = keys.sign(&claims()).unwrap();
        for at in 0..token.len() {
            for other in ["A", "b", "0", ".", "-"] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, other);
                if changed != token {
                    assert_eq!(keys.read(&changed), Err(BadToken::Malformed), "{changed}");
                }
            }
            assert!(keys.read(&token[..at]).is_err() && keys.read(&token[at + 1..]).is_err());
        }
        for tail in ["=", "A", ".", " ", "\0"] {
            assert!(keys.read(&format!("{token}{tail}")).is_err(), "{tail:?}");
        }
        assert!(keys.read(&"1.".repeat(4000)).is_err());
    }

    #[test]
    fn keys_are_changed_one_after_the_other() {
        let old = keys(&["k1"]).sign(&claims()).unwrap();
        let both = keys(&["k2", "k1"]);
        assert!(both.read(&old).is_ok(), "the old one counts as long as it is listed");
        let new = both.sign(&claims()).unwrap();
        assert!(keys(&["k2"]).read(&new).is_ok(), "the first signs");
        assert_eq!(keys(&["k2"]).read(&old), Err(BadToken::Malformed));
        // The same id with another secret.
        let other = Keys::new([("k1".to_owned(), b"another secret of some length".to_vec())]).unwrap();
        assert_eq!(other.read(&old), Err(BadToken::Malformed));
        assert_eq!(Keys::default().sign(&claims()), None);
    }

    #[test]
    fn it_opens_one_thing_for_a_time_and_from_some_places() {
        let bound = Claims { address: Some("192.0.2.0/24".parse().unwrap()), ..claims() };
        let show: Scope = "live/show".parse().unwrap();
        let here: Option<IpAddr> = Some("192.0.2.7".parse().unwrap());
        assert_eq!(claims().admit(&show, None, at(1999)), Ok(()));
        assert_eq!(claims().admit(&show, here, at(2000)), Err(BadToken::Expired));
        for other in ["live/show2", "live/sho", "live/show-17", "vod/show-17"] {
            let other = other.parse().unwrap();
            assert_eq!(claims().admit(&other, here, at(0)), Err(BadToken::OtherScope));
        }
        for (address, want) in [
            (Some("192.0.2.7"), Ok(())),
            (Some("::ffff:192.0.2.7"), Ok(())),
            (Some("192.0.3.7"), Err(BadToken::OtherAddress)),
            (Some("2001:db8::1"), Err(BadToken::OtherAddress)),
            (None, Err(BadToken::OtherAddress)),
        ] {
            let address = address.map(|text| text.parse().unwrap());
            assert_eq!(bound.admit(&show, address, at(0)), want, "{address:?}");
        }
    }

    #[test]
    fn a_recording_is_of_a_stream() {
        let recording: Scope = "vod/my-show-1795348800000".parse().unwrap();
        assert_eq!(
            (recording.stream(), recording.to_string().as_str()),
            ("my-show", "vod/my-show-1795348800000")
        );
        assert_eq!("live/my-show".parse::<Scope>().unwrap().stream(), "my-show");
        for bad in [
            "",
            "live",
            "live/",
            "live/a b",
            "live/a/b",
            "watch/a",
            "/live/a",
            "vod/show",
            "vod/show-01",
            "vod/-1",
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn unfit_keys_and_viewers_are_told() {
        let make = |rows: &[(&str, &str)]| {
            Keys::new(rows.iter().map(|(id, secret)| ((*id).to_owned(), secret.as_bytes().to_vec())))
        };
        let good = "0123456789abcdef";
        assert_eq!(make(&[("a.b", good)]), Err(BadKeys::Id("a.b".to_owned())));
        assert_eq!(make(&[("", good)]), Err(BadKeys::Id(String::new())));
        assert_eq!(make(&[("a", "short")]), Err(BadKeys::Short("a".to_owned())));
        assert_eq!(make(&[("a", good), ("a", good)]), Err(BadKeys::Twice("a".to_owned())));
        assert!(!format!("{:?}", make(&[("a", good)])).contains(good));
        for bad in ["", "-", "a b", "a/b", &"a".repeat(65)] {
            assert_eq!(keys(&["k"]).sign(&Claims { viewer: Some(bad.to_owned()), ..claims() }), None);
        }
    }
}
