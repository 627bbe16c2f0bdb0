//! RTMPT: one RTMP session carried in HTTP requests, without the HTTP.
//!
//! ```text
//!  POST /open/1          ─▶ a new id, then '\n'
//!  POST /send/ID/SEQ     ─▶ Exchange::arrive ─▶ bytes for the session, in order ─▶ Exchange::reply: hint + its answer
//!  POST /idle/ID/SEQ     ─▶ the same, with nothing to say
//!  POST /close/ID/SEQ    ─▶ the same, and the end
//! ```
//!
//! Requests of one session may come over several HTTP connections and from several addresses, so they are known by
//! id and put in order by number. Ids are secrets of 128 bits, given by the caller; numbers are not secret.

mod exchange;
mod table;

use std::{fmt, str::FromStr};

pub use self::{
    exchange::{Arrival, Exchange, Fault, Item},
    table::{Expiry, Table},
};

/// Content-Type of both directions.
pub const CONTENT_TYPE: &str = "application/x-fcs";
/// The body that answers `close`.
pub const CLOSED: u8 = 0x00;

/// Names a session. Whoever knows it can speak for the session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(pub [u8; 16]);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The first bytes only: enough to follow a session in a log, too little to speak for it.
impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..3].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is no id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session id of 32 hexadecimal digits")]
pub struct NoId;

impl FromStr for Id {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return Err(NoId);
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).ok_or(NoId);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(id))
    }
}

/// What a request's path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// `/fcs/ident`, `/fcs/ident2`: Flash looking for another server's address. Answered with 404, after which it opens.
    Identify,
    /// `/open/1`: a new session.
    Open,
    /// `/send/ID/SEQ`: RTMP bytes.
    Send(Id, u64),
    /// `/idle/ID/SEQ`: is there anything?
    Idle(Id, u64),
    /// `/close/ID/SEQ`: the end.
    Close(Id, u64),
    /// A tunnel path with an id that cannot be ours.
    Unknown,
}

impl Target {
    /// Reads a path; `None` if it is none of a tunnel's.
    pub fn parse(path: &str) -> Option<Self> {
        let path = path.split('?').next().unwrap_or_default();
        let mut parts = path.strip_prefix('/')?.splitn(3, '/');
        let (verb, id, seq) = (parts.next()?, parts.next()?, parts.next());
        match verb {
            "fcs" if id.starts_with("ident") => return Some(Self::Identify),
            "open" => return Some(Self::Open),
            "send" | "idle" | "close" => {}
            _ => return None,
        }
        // u64::from_str would take a sign.
        let seq =
            seq.map(|seq| seq.trim_end_matches('/')).filter(|seq| seq.bytes().all(|c| c.is_ascii_digit()));
        let (Ok(id), Some(Ok(seq))) = (id.parse(), seq.map(str::parse)) else { return Some(Self::Unknown) };
        Some(match verb {
            "send" => Self::Send(id, seq),
            "idle" => Self::Idle(id, seq),
            _ => Self::Close(id, seq),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let text = "000102030405060708090a0b0c0d0e0f";
        let id: Id = text.parse().unwrap();
        assert_eq!((id.to_string().as_str(), format!("{id:?}").as_str()), (text, "000102"));
        for (path, want) in [
            ("/open/1".to_owned(), Some(Target::Open)),
            ("/fcs/ident2".to_owned(), Some(Target::Identify)),
            (format!("/send/{text}/0"), Some(Target::Send(id, 0))),
            (format!("/idle/{text}/18446744073709551615"), Some(Target::Idle(id, u64::MAX))),
            (format!("/close/{text}/7?x=y"), Some(Target::Close(id, 7))),
            (format!("/send/{text}/18446744073709551616"), Some(Target::Unknown)),
            (format!("/send/{text}/+1"), Some(Target::Unknown)),
            (format!("/send/{text}/-1"), Some(Target::Unknown)),
            (format!("/send/{text}"), Some(Target::Unknown)),
            (format!("/send/{text}/"), Some(Target::Unknown)),
            (format!("/send/{}é/1", &text[..30]), Some(Target::Unknown)),
            ("/send/1234/1".to_owned(), Some(Target::Unknown)),
            ("/".to_owned(), None),
            ("/live/studio/index.m3u8".to_owned(), None),
            ("open/1".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(Target::parse(&path), want, "{path}");
        }
    }
}
