//! The server's side of one RTMP connection, from handshake to the last packet.

use std::time::Instant;

use bytes::Bytes;
use media::MediaEvent;

use crate::{limits::Timeouts, metadata::Metadata, secret::SecretText};

/// How a session behaves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// Bounds in time.
    pub timeouts: Timeouts,
}

/// What a session tells its owner.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A publisher asks to publish; nothing goes on until [`Session::answer`].
    PublishRequested(PublishRequest),
    /// Media, normalised and on the stream's own clock.
    Media(MediaEvent),
    /// onMetaData came.
    Metadata(Metadata),
    /// The publication is over. `clean`: the encoder said so.
    PublishEnded {
        /// The encoder ended it by FCUnpublish, deleteStream or closeStream.
        clean: bool,
    },
    /// A quirk of this peer, told once per connection; free of secrets and control characters.
    Note(String),
}

/// Who wants to publish what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishRequest {
    /// The application: the path of the server address, such as `live`.
    pub app: String,
    /// The stream name or key, as the encoder was given it.
    pub name: SecretText,
    /// `k=v&k=v` of server address and name together, as sent; the name's values win.
    pub query: SecretText,
    /// Host of the server address, without port.
    pub tc_url_host: Option<String>,
    /// What the encoder calls itself.
    pub flash_ver: Option<String>,
}

/// The owner's word on a [`PublishRequest`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Let it publish.
    Accept,
    /// Tell it why not, then close.
    Refuse {
        /// Which status code the encoder gets.
        code: RefusalCode,
        /// A sentence for the encoder's user.
        description: String,
    },
}

/// The status code of a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusalCode {
    /// `NetStream.Publish.BadName`: no such key, or the name is in use.
    BadName,
    /// `NetStream.Publish.Denied`: known, but not now.
    Denied,
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// Not RTMP.
    #[error("not RTMP")]
    NotRtmp,
}

/// Counters of one session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Bytes received, handshake included.
    pub bytes_in: u64,
    /// Messages received.
    pub messages: u64,
    /// Audio and video packets handed on.
    pub packets: u64,
    /// Audio and video messages dropped: before their configuration or first keyframe, or unusable.
    pub media_dropped: u64,
    /// Faults inside access units that were repaired.
    pub nal_repairs: u64,
    /// Repairs of timestamps.
    pub timeline: media::timeline::Repairs,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    now: Instant,
}

impl Session {
    /// A connection accepted at `now`.
    pub fn new(now: Instant, settings: Settings) -> Self {
        let _ = settings;
        Self { now }
    }
    /// Takes what the peer sent, cut anywhere. Drain `poll_event` and `take_outbound` after every call.
    ///
    /// # Errors
    /// When the connection cannot go on.
    pub fn feed(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ProtocolError> {
        let _ = bytes;
        self.now = now;
        Ok(())
    }
    /// `deadline` has come.
    ///
    /// # Errors
    /// When a phase took too long.
    pub fn tick(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.now = now;
        Ok(())
    }
    /// Answers [`Event::PublishRequested`].
    pub fn answer(&mut self, verdict: Verdict) {
        let _ = verdict;
    }
    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }
    /// Bytes to send.
    pub fn take_outbound(&mut self) -> Bytes {
        Bytes::new()
    }
    /// When `tick` wants to be called.
    pub fn deadline(&self) -> Instant {
        self.now
    }
    /// Whether the connection is to be closed, once the outbound bytes are written.
    pub fn is_closed(&self) -> bool {
        false
    }
    /// Tells the peer, then closes.
    pub fn shut_down(&mut self, reason: &str) {
        let _ = reason;
    }
    /// Counters.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
