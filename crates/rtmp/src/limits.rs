//! Every bound that the protocol code keeps, by name. What a peer can drive up stands here and nowhere else.

use std::time::Duration;

/// Bounds in time. Each phase that passes its bound closes the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// From accept to the first byte.
    pub first_byte: Duration,
    /// From accept to the end of the handshake.
    pub handshake: Duration,
    /// From the handshake to `connect`.
    pub connect: Duration,
    /// From `connect` to `publish`, and from the end of a publication to the next one.
    pub publish: Duration,
    /// From accept to an accepted `publish`.
    pub unauthenticated: Duration,
    /// From an accepted `publish` to the first audio or video message.
    pub first_media: Duration,
    /// Between two audio or video messages.
    pub media_idle: Duration,
    /// Between two Ping Requests of ours.
    pub ping: Duration,
    /// From a refusal or a shutdown to closing, so that the peer reads the reason.
    pub linger: Duration,
    /// Window over which a message in the making must grow by [`MIN_BYTES_PER_SECOND`].
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            publish: Duration::from_secs(20),
            unauthenticated: Duration::from_secs(30),
            first_media: Duration::from_secs(15),
            media_idle: Duration::from_secs(30),
            ping: Duration::from_secs(30),
            linger: Duration::from_millis(500),
            stall: Duration::from_secs(10),
        }
    }
}

/// Slowest that a message may grow: below it the peer holds a connection for nothing.
pub const MIN_BYTES_PER_SECOND: u64 = 1024;
