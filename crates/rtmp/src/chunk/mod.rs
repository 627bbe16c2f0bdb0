//! The chunk stream (RTMP 1.0 §5.3): messages cut into chunks, chunks of several messages in turn.
//!
//! ```text
//!  bytes, cut anywhere ─▶ Reader ─▶ Message ─▶ … ─▶ Message ─▶ Writer ─▶ bytes
//! ```
//! [`Reader`] acts on Set Chunk Size and Abort itself, since they concern nobody else.

mod header;
pub mod reader;
pub mod writer;

pub use reader::{ChunkError, Reader};
pub use writer::Writer;

/// Chunk streams by convention; a reader takes anything on any of them.
pub mod csid {
    /// Protocol control (§5.4).
    pub const CONTROL: u32 = 2;
    /// Commands of the connection.
    pub const COMMAND: u32 = 3;
    /// Data and audio, as FFmpeg sends them.
    pub const AUDIO: u32 = 4;
    /// Commands of a stream, and their status.
    pub const STREAM: u32 = 5;
    /// Video, as FFmpeg sends it.
    pub const VIDEO: u32 = 6;
}
