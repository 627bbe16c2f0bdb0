//! Names and numbers that identify things, each with its range held by its constructor.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The public name of a stream, as it stands in URLs: 1 to 64 of `a-z A-Z 0-9 - _ .`, not starting with a dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName(Arc<str>);

/// Why a text is not a [`StreamName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a stream name: use 1 to 64 letters, digits, '-', '_' or '.', not starting with '.'")]
pub struct BadName(String);

impl StreamName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if (1..=64).contains(&text.len()) && text.chars().all(plain) && !text.starts_with('.') {
            Ok(Self(text.into()))
        } else {
            Err(BadName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for StreamName {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<StreamName> for String {
    fn from(name: StreamName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// One publication's birth, in milliseconds since 1970: part of every object's name, a higher one always wins (D10).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The public name of a recording, as it stands in URLs: `{stream}-{start}`, the start in milliseconds since 1970.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordingId {
    /// The stream that was recorded.
    pub stream: StreamName,
    /// When its recording began; that of the publication, unless a long one was split.
    pub start: Epoch,
}

/// Why a text is not a [`RecordingId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a recording: that is a stream's name, '-', and the milliseconds of its start"
)]
pub struct BadRecordingId(String);

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stream, self.start)
    }
}

impl FromStr for RecordingId {
    type Err = BadRecordingId;
    /// Only the one canonical spelling is read.
    fn from_str(text: &str) -> Result<Self, BadRecordingId> {
        let bad = || BadRecordingId(text.chars().take(100).collect());
        let (stream, start) = text.rsplit_once('-').ok_or_else(bad)?;
        let plain = start.bytes().all(|b| b.is_ascii_digit()) && (start == "0" || !start.starts_with('0'));
        let start = start.parse().ok().filter(|_| plain).ok_or_else(bad)?;
        Ok(Self { stream: stream.parse().map_err(|_| bad())?, start: Epoch(start) })
    }
}

impl TryFrom<String> for RecordingId {
    type Error = BadRecordingId;
    fn try_from(text: String) -> Result<Self, BadRecordingId> {
        text.parse()
    }
}

impl From<RecordingId> for String {
    fn from(id: RecordingId) -> Self {
        id.to_string()
    }
}

/// An HLS media sequence number (RFC 8216 §4.3.3.2): equal numbers are the same content in every rendition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct MediaSequence(pub u64);

impl MediaSequence {
    /// The number after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for MediaSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A track within one stream. 0 is the default track of its kind; others come with multitrack publishing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct TrackId(pub u8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_hurt_a_url_or_a_path_are_refused() {
        for bad in ["", ".", "..", ".a", "a/b", "a b", "é", "a?b", "a%2f", &"x".repeat(65)] {
            assert!(bad.parse::<StreamName>().is_err(), "{bad:?}");
        }
        for good in ["live", "my-show_1.2", "A", &"x".repeat(64)] {
            assert_eq!(good.parse::<StreamName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn recordings_have_one_name() {
        let id: RecordingId = "my-show-1795348800123".parse().unwrap();
        assert_eq!((id.stream.as_str(), id.start), ("my-show", Epoch(1_795_348_800_123)));
        assert_eq!(id.to_string(), "my-show-1795348800123");
        for bad in [
            "",
            "-",
            "show",
            "show-",
            "-7",
            "show-07",
            "show-+7",
            "show-7a",
            "a/b-7",
            "show-99999999999999999999",
        ] {
            assert!(bad.parse::<RecordingId>().is_err(), "{bad:?}");
        }
    }
}
