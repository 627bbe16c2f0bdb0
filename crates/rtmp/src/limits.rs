//! Every bound that the protocol code keeps, by name. What a peer can drive up stands here and nowhere else.
//!
//! Bounds that an operator may want to move are fields of [`Limits`] and [`Timeouts`]; those that follow from the
//! format, or from what encoders do, are constants.

use std::time::{Duration, Instant};

/// Longest message the format can announce (24 bits), in bytes.
pub const MESSAGE_MAX: u32 = 0x00FF_FFFF;
/// Chunk size before anybody sets another (RTMP 1.0 §5.4.1).
pub const DEFAULT_CHUNK_SIZE: u32 = 128;
/// Chunk size we announce. FFmpeg takes it over for what it sends.
pub const OUTBOUND_CHUNK_SIZE: u32 = 4096;
/// First reservation for a message in the making; it doubles from there as bytes really come.
pub const FIRST_RESERVATION: usize = 16 * 1024;
/// Distinct chunk streams in use from which on it is worth a note.
pub const CHUNK_STREAMS_NOTED: usize = 16;
/// Longest control message (types 1, 2, 3, 5, 6), in bytes; the format needs 5.
pub const CONTROL_MAX: u32 = 16;
/// Longest User Control message, in bytes; SWF verification, the longest, needs 44.
pub const USER_CONTROL_MAX: u32 = 64;
/// Messages of a type that RTMP does not have after which sync is taken for lost.
pub const UNKNOWN_TYPES_MAX: u32 = 4;
/// Sub-messages read from one aggregate.
pub const AGGREGATE_PARTS_MAX: usize = 4096;
/// Chunks that carry less than this without ending a message count against [`Limits::small_chunks_per_second`].
pub const SMALL_CHUNK: u32 = 128;
/// Window that both sides are taken to have until told otherwise; what FFmpeg and librtmp announce.
pub const ACK_WINDOW: u32 = 2_500_000;
/// Smallest window obeyed: an ack goes out at most every half of it.
pub const ACK_WINDOW_MIN: u32 = 2048;
/// Streams that one connection may have open.
pub const STREAMS_MAX: usize = 8;
/// Longest application, in bytes.
pub const APP_MAX: usize = 1024;
/// Longest stream name with its query, in bytes. Keys of the large services pass 256.
pub const NAME_MAX: usize = 1024;
/// Longest tcUrl, in bytes.
pub const TC_URL_MAX: usize = 4096;
/// Longest encoder name kept, in bytes.
pub const FLASH_VER_MAX: usize = 128;

/// RTMPT: requests of one session that wait for a missing one.
pub const TUNNEL_HELD_REQUESTS: usize = 16;
/// RTMPT: bytes of those requests together.
pub const TUNNEL_HELD_BYTES: usize = 1 << 20;
/// RTMPT: how long they wait.
pub const TUNNEL_HELD_TIME: Duration = Duration::from_secs(5);
/// RTMPT: a session without a request for this long is over.
pub const TUNNEL_SILENCE: Duration = Duration::from_secs(60);

/// AMF: containers inside containers.
pub const AMF_DEPTH_MAX: usize = 16;
/// AMF: properties of one object.
pub const AMF_PROPERTIES_MAX: usize = 1024;
/// AMF: values in one message.
pub const AMF_VALUES_MAX: usize = 4096;
/// AMF: bytes of a property name.
pub const AMF_KEY_MAX: usize = 1024;
/// AMF: bytes of a string.
pub const AMF_STRING_MAX: usize = 64 * 1024;

/// Bounds in bytes and counts. Passing one closes the connection, unless its field says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Distinct chunk streams.
    pub chunk_streams: usize,
    /// Messages in the making at once.
    pub partial_messages: usize,
    /// Bytes of all messages in the making together.
    pub partial_bytes: usize,
    /// Bytes of a command or shared object before `publish` was accepted.
    pub command_early: u32,
    /// Bytes of a command or shared object afterwards.
    pub command_late: u32,
    /// Bytes of a data message; a longer one is skipped.
    pub data: u32,
    /// Bytes of an audio message.
    pub audio: u32,
    /// Bytes of a video message. An intra frame of a 60 Mbit/s 4K stream may pass 1 MiB.
    pub video: u32,
    /// Bytes of an aggregate message.
    pub aggregate: u32,
    /// Chunks under [`SMALL_CHUNK`] bytes that do not end a message, and empty messages, a second.
    pub small_chunks_per_second: u32,
    /// Messages begun anew before they were complete, a minute.
    pub abandoned_per_minute: u32,
    /// Commands a second.
    pub commands_per_second: u32,
    /// Commands over the life of a connection.
    pub commands: u32,
    /// Ping Requests answered a second; more are skipped.
    pub pings_per_second: u32,
    /// Bytes waiting to be sent from which on acks and pings are left out: a peer that does not read.
    pub outbound: usize,
    /// Bytes held back while the owner decides on a publisher.
    pub held: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chunk_streams: 64,
            partial_messages: 8,
            partial_bytes: 12 << 20,
            command_early: 64 << 10,
            command_late: 256 << 10,
            data: 256 << 10,
            audio: 512 << 10,
            video: 8 << 20,
            aggregate: 4 << 20,
            small_chunks_per_second: 20_000,
            abandoned_per_minute: 8,
            commands_per_second: 50,
            commands: 1000,
            pings_per_second: 10,
            outbound: 64 << 10,
            held: 1 << 20,
        }
    }
}

/// Bounds in time. Each phase that passes its bound closes the connection. A peer that sends a byte now and then gains
/// nothing by it: before `publish` the phases end by the clock, after it only whole media messages count. There is no
/// least rate besides, so that a publisher survives a network that is gone for some seconds in the middle of a message.
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
    /// From accept to the first `publish`, whatever came between.
    pub unauthenticated: Duration,
    /// From `publish` to the owner's answer.
    pub verdict: Duration,
    /// From an accepted `publish` to the first audio or video message.
    pub first_media: Duration,
    /// Between two audio or video messages.
    pub media_idle: Duration,
    /// Between two Ping Requests of ours.
    pub ping: Duration,
    /// From a refusal or a shutdown to closing, so that the peer reads the reason.
    pub linger: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            publish: Duration::from_secs(20),
            unauthenticated: Duration::from_secs(30),
            verdict: Duration::from_secs(10),
            first_media: Duration::from_secs(15),
            media_idle: Duration::from_secs(30),
            ping: Duration::from_secs(30),
            linger: Duration::from_millis(500),
        }
    }
}

/// A bound by its name, which is that of its setting and in metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Limit {
    /// [`Limits::chunk_streams`].
    ChunkStreams,
    /// [`Limits::partial_messages`].
    PartialMessages,
    /// [`Limits::partial_bytes`].
    PartialBytes,
    /// [`Limits::command_early`] and [`Limits::command_late`].
    Command,
    /// [`Limits::data`]; hitting it skips the message.
    Data,
    /// [`Limits::audio`].
    Audio,
    /// [`Limits::video`].
    Video,
    /// [`Limits::aggregate`].
    Aggregate,
    /// [`CONTROL_MAX`] and [`USER_CONTROL_MAX`].
    Control,
    /// [`UNKNOWN_TYPES_MAX`].
    UnknownTypes,
    /// [`Limits::small_chunks_per_second`].
    SmallChunks,
    /// [`Limits::abandoned_per_minute`].
    Abandoned,
    /// [`Limits::commands_per_second`].
    CommandsPerSecond,
    /// [`Limits::commands`].
    Commands,
    /// [`Limits::pings_per_second`]; hitting it leaves the ping unanswered.
    Pings,
    /// [`Limits::outbound`]; hitting it leaves acks and pings out.
    Outbound,
    /// [`Limits::held`].
    Held,
    /// [`Timeouts::first_byte`].
    FirstByte,
    /// [`Timeouts::handshake`].
    Handshake,
    /// [`Timeouts::connect`].
    Connect,
    /// [`Timeouts::publish`] and [`Timeouts::unauthenticated`].
    Publish,
    /// [`Timeouts::verdict`].
    Verdict,
    /// [`Timeouts::first_media`].
    FirstMedia,
    /// [`Timeouts::media_idle`].
    MediaIdle,
}

impl Limit {
    /// The setting's name; that of the stricter one where two share a variant.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChunkStreams => "chunk_streams",
            Self::PartialMessages => "partial_messages",
            Self::PartialBytes => "partial_bytes",
            Self::Command => "command",
            Self::Data => "data",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Aggregate => "aggregate",
            Self::Control => "control",
            Self::UnknownTypes => "unknown_types",
            Self::SmallChunks => "small_chunks_per_second",
            Self::Abandoned => "abandoned_per_minute",
            Self::CommandsPerSecond => "commands_per_second",
            Self::Commands => "commands",
            Self::Pings => "pings_per_second",
            Self::Outbound => "outbound",
            Self::Held => "held",
            Self::FirstByte => "first_byte",
            Self::Handshake => "handshake",
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Verdict => "verdict",
            Self::FirstMedia => "first_media",
            Self::MediaIdle => "media_idle",
        }
    }
}

/// Counts happenings within a window of time that starts anew once it has passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    span: Duration,
    since: Instant,
    count: u32,
}

impl Rate {
    pub(crate) fn per(span: Duration, now: Instant) -> Self {
        Self { span, since: now, count: 0 }
    }

    /// One more at `now`: how many that makes in this window.
    pub(crate) fn count(&mut self, now: Instant) -> u32 {
        if now.saturating_duration_since(self.since) >= self.span {
            (self.since, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_starts_anew_when_its_window_has_passed() {
        let start = Instant::now();
        let mut rate = Rate::per(Duration::from_secs(1), start);
        assert_eq!([0, 10, 999].map(|ms| rate.count(start + Duration::from_millis(ms))), [1, 2, 3]);
        assert_eq!(rate.count(start + Duration::from_secs(1)), 1);
    }
}
