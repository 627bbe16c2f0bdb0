//! Why a connection cannot go on.

use std::{fmt, time::Duration};

use super::Session;
use crate::{chunk::ChunkError, handshake::HandshakeError, limits::Limit, quirk::Quirk};

/// Why a connection cannot go on. All of these end it; the variant says who or what was at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The peer does not speak RTMP, or a form of it that is not taken.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The chunk stream cannot be read on, or passed a limit.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A phase took too long.
    #[error("{phase} did not come within {limit:?}")]
    Timeout {
        /// What was awaited.
        phase: Phase,
        /// For how long.
        limit: Duration,
    },
    /// More commands than any encoder sends.
    #[error("more than {limit} commands {span}")]
    TooManyCommands {
        /// Which limit.
        which: Limit,
        /// Its value.
        limit: u32,
        /// Over what.
        span: &'static str,
    },
    /// `connect` could not be read, so nothing can follow.
    #[error("connect is malformed: {reason}")]
    BadConnect {
        /// What was met.
        reason: String,
    },
    /// A second `connect` differs from the first.
    #[error("connect came twice, to different addresses")]
    ConnectChanged,
    /// Input beyond the limit came while the client was being decided on.
    #[error("more than {limit} bytes came before its request was answered")]
    Held {
        /// The limit.
        limit: usize,
    },
}

impl ProtocolError {
    /// The limit that was passed, if one was.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::Chunk(error) => error.limit(),
            Self::Timeout { phase, .. } => Some(phase.limit()),
            Self::TooManyCommands { which, .. } => Some(*which),
            Self::Held { .. } => Some(Limit::Held),
            _ => None,
        }
    }
}

impl Session {
    /// How often limits were hit that do not end the connection.
    pub fn soft_limits(&self) -> [(Limit, u64); 3] {
        [
            (Limit::Data, self.reader.quirks.count(Quirk::LongData)),
            (Limit::Pings, self.quirks.count(Quirk::PingFlood)),
            (Limit::Outbound, self.quirks.count(Quirk::NotReading)),
        ]
    }
}

/// What a session may wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The first byte.
    FirstByte,
    /// The end of the handshake.
    Handshake,
    /// `connect`.
    Connect,
    /// `publish`.
    Publish,
    /// The owner's answer to `connect`, `publish` or `play`.
    Verdict,
    /// The first audio or video message.
    FirstMedia,
    /// A further audio or video message.
    Media,
}

impl Phase {
    fn limit(self) -> Limit {
        match self {
            Self::FirstByte => Limit::FirstByte,
            Self::Handshake => Limit::Handshake,
            Self::Connect => Limit::Connect,
            Self::Publish => Limit::Publish,
            Self::Verdict => Limit::Verdict,
            Self::FirstMedia => Limit::FirstMedia,
            Self::Media => Limit::MediaIdle,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstByte => "the first byte",
            Self::Handshake => "the whole handshake",
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Verdict => "the answer to its request",
            Self::FirstMedia => "the first audio or video message",
            Self::Media => "another audio or video message",
        })
    }
}
