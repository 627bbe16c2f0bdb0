//! The ways on which RTMP comes.

use std::{fmt, str::FromStr};

/// What carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// In the clear over TCP.
    Rtmp,
    /// RTMP's own encryption over TCP. It hides little: count it as clear text.
    Rtmpe,
    /// Inside TLS.
    Rtmps,
    /// In HTTP requests.
    Rtmpt,
    /// RTMP's own encryption in HTTP requests. Count it as clear text.
    Rtmpte,
    /// In HTTPS requests.
    Rtmpts,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Rtmp, Self::Rtmpe, Self::Rtmps, Self::Rtmpt, Self::Rtmpte, Self::Rtmpts];

    /// The transport before anything is known of encryption inside the session.
    pub(crate) fn of(tls: bool, tunnel: bool) -> Self {
        match (tls, tunnel) {
            (false, false) => Self::Rtmp,
            (true, false) => Self::Rtmps,
            (false, true) => Self::Rtmpt,
            (true, true) => Self::Rtmpts,
        }
    }

    /// The same with RTMP's own encryption inside, which inside TLS changes nothing.
    pub(crate) fn obfuscated(self) -> Self {
        match self {
            Self::Rtmp => Self::Rtmpe,
            Self::Rtmpt => Self::Rtmpte,
            other => other,
        }
    }

    /// Whether TLS protects it.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Rtmps | Self::Rtmpts)
    }

    /// The scheme of its URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmpe => "rtmpe",
            Self::Rtmps => "rtmps",
            Self::Rtmpt => "rtmpt",
            Self::Rtmpte => "rtmpte",
            Self::Rtmpts => "rtmpts",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which transports are offered. Written as their schemes with commas between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transports(u8);

impl Transports {
    /// Whether `transport` is offered.
    pub fn contains(self, transport: Transport) -> bool {
        self.0 & bit(transport) != 0
    }

    /// Whether one of `transports` is offered.
    pub fn any(self, transports: &[Transport]) -> bool {
        transports.iter().any(|transport| self.contains(*transport))
    }
}

fn bit(transport: Transport) -> u8 {
    1 << transport as u8
}

impl Default for Transports {
    fn default() -> Self {
        Transport::ALL.into_iter().collect()
    }
}

impl FromIterator<Transport> for Transports {
    fn from_iter<I: IntoIterator<Item = Transport>>(transports: I) -> Self {
        Self(transports.into_iter().fold(0, |set, transport| set | bit(transport)))
    }
}

impl fmt::Display for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offered = Transport::ALL.into_iter().filter(|transport| self.contains(*transport));
        for (index, transport) in offered.enumerate() {
            write!(f, "{}{transport}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Not the scheme of a transport, or none at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a list of rtmp, rtmpe, rtmps, rtmpt, rtmpte, rtmpts, at least one of them")]
pub struct BadTransport(String);

impl FromStr for Transports {
    type Err = BadTransport;

    fn from_str(text: &str) -> Result<Self, BadTransport> {
        let bad = || BadTransport(text.to_owned());
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let found: Option<Self> =
            names.map(|name| Transport::ALL.into_iter().find(|known| known.as_str() == name)).collect();
        found.filter(|set| set.0 != 0).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_written_and_read() {
        assert_eq!(Transports::default().to_string(), "rtmp,rtmpe,rtmps,rtmpt,rtmpte,rtmpts");
        let some: Transports = "rtmps, rtmp".parse().unwrap();
        assert_eq!(some.to_string(), "rtmp,rtmps");
        assert!(some.contains(Transport::Rtmps) && !some.contains(Transport::Rtmpe));
        for bad in ["", "rtmp;rtmps", "http", ","] {
            assert!(bad.parse::<Transports>().is_err(), "{bad:?}");
        }
    }
}
