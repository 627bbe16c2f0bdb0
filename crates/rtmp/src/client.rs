//! The publisher's side of the dialogue, as the product's own test stream uses it.

use std::time::Instant;

use bytes::Bytes;
use media::{AudioConfig, Packet, VideoConfig};

use crate::{metadata::Metadata, secret::SecretText, session::ProtocolError};

/// Where and what to publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// `rtmp://host[:port]/app`.
    pub tc_url: String,
    /// The application.
    pub app: String,
    /// Name or key, query included.
    pub name: SecretText,
}

/// Why an address is not one to publish to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an address to publish to reads rtmp://host[:port]/app/name")]
pub struct BadTarget;

impl Target {
    /// Reads `rtmp://host[:port]/app/name?query`: the last element is the name.
    ///
    /// # Errors
    /// When scheme, host, application or name are missing.
    pub fn parse(url: &str) -> Result<Self, BadTarget> {
        let rest = url.strip_prefix("rtmp://").ok_or(BadTarget)?;
        let path_end = rest.find('?').unwrap_or(rest.len());
        let cut = rest[..path_end].rfind('/').ok_or(BadTarget)?;
        let (server, name) = (&rest[..cut], &rest[cut + 1..]);
        let (host, app) = server.split_once('/').ok_or(BadTarget)?;
        if host.is_empty() || app.is_empty() || name.is_empty() {
            return Err(BadTarget);
        }
        Ok(Self { tc_url: format!("rtmp://{server}"), app: app.to_owned(), name: SecretText::new(name) })
    }
}

/// What the client tells its owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The server accepted: send metadata, configurations and packets.
    Ready,
    /// The server refused or ended it.
    Refused {
        /// Its status code, such as `NetStream.Publish.BadName`.
        code: String,
        /// Its sentence.
        description: String,
    },
    /// The server confirmed the end of the publication.
    Closed,
}

/// One publication over one connection.
#[derive(Debug)]
pub struct Publisher {
    target: Target,
}

impl Publisher {
    /// Starts the handshake: the first bytes are in `take_outbound`.
    pub fn new(target: Target) -> Self {
        Self { target }
    }
    /// Takes what the server sent.
    ///
    /// # Errors
    /// When the server does not speak RTMP.
    pub fn feed(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ProtocolError> {
        let _ = (now, bytes, &self.target);
        Ok(())
    }
    /// Bytes to send.
    pub fn take_outbound(&mut self) -> Bytes {
        Bytes::new()
    }
    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }
    /// Sends `@setDataFrame onMetaData`.
    pub fn send_metadata(&mut self, metadata: &Metadata) {
        let _ = metadata;
    }
    /// Sends the video sequence header.
    pub fn send_video_config(&mut self, config: &VideoConfig) {
        let _ = config;
    }
    /// Sends the audio sequence header.
    pub fn send_audio_config(&mut self, config: &AudioConfig) {
        let _ = config;
    }
    /// Sends one packet.
    pub fn send_packet(&mut self, packet: &Packet) {
        let _ = packet;
    }
    /// Ends the publication: FCUnpublish and deleteStream.
    pub fn finish(&mut self) {}
}
