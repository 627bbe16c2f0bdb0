//! Bytes in, messages out. Memory grows with the bytes that came, never with the lengths that were announced.
//!
//! ```text
//!  input ─▶ header ─▶ which message? ─▶ its payload, copied once ─▶ whole: Message
//!             └── cut header: up to 18 bytes wait in `carry`
//! ```

use bytes::Bytes;

use super::header::{HEADER_MAX, Header};
use crate::{
    limits::{self, DEFAULT_CHUNK_SIZE, FIRST_RESERVATION, Limit, Limits, MESSAGE_MAX},
    message::{Message, kind},
    quirk::{Quirk, Quirks},
};

/// An extended delta this near to the current time is an absolute time, in milliseconds.
const ABSOLUTE_DELTA_NEAR: u32 = 3_600_000;

/// Why the chunk stream cannot be read on. `offset` is the connection's input byte, the handshake counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A header that leans on an earlier one, where there is none.
    #[error("chunk stream {csid} opens with fmt {fmt}, which needs an earlier header; input byte {offset}")]
    NoEarlierHeader {
        /// Chunk stream.
        csid: u32,
        /// Header form.
        fmt: u8,
        /// Where.
        offset: u64,
    },
    /// A message is longer than its kind may be.
    #[error(
        "message of type {kind} on chunk stream {csid} announces {length} bytes, limit {limit}; input byte {offset}"
    )]
    MessageTooLong {
        /// Message type.
        kind: u8,
        /// Chunk stream.
        csid: u32,
        /// Announced length.
        length: u32,
        /// Its limit.
        limit: u32,
        /// Where.
        offset: u64,
    },
    /// A count passed its limit.
    #[error("more than {limit} {what}; input byte {offset}")]
    TooMany {
        /// Which limit.
        which: Limit,
        /// What was counted, in words.
        what: &'static str,
        /// Its limit.
        limit: usize,
        /// Where.
        offset: u64,
    },
}

impl ChunkError {
    /// The limit that was passed, if one was.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::NoEarlierHeader { .. } => None,
            Self::TooMany { which, .. } => Some(*which),
            Self::MessageTooLong { kind, .. } => Some(match *kind {
                kind::AUDIO => Limit::Audio,
                kind::VIDEO => Limit::Video,
                kind::AGGREGATE => Limit::Aggregate,
                kind::COMMAND | kind::COMMAND_AMF3 | kind::SHARED_OBJECT | kind::SHARED_OBJECT_AMF3 => {
                    Limit::Command
                }
                _ => Limit::Control,
            }),
        }
    }
}

/// Whether continuation chunks repeat the extended timestamp (RTMP 1.0 §5.3.1.3 says so; its draft did not).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Habit {
    Unknown,
    Sends,
    Omits,
}

/// What the headers of one chunk stream have said so far, and the message being gathered on it.
#[derive(Debug)]
struct ChunkStream {
    csid: u32,
    timestamp: u32,
    delta: u32,
    length: u32,
    kind: u8,
    stream: u32,
    /// Extended timestamp of the latest header of fmt 0 to 2, if that had one.
    extended: Option<u32>,
    open: Option<Partial>,
}

/// A message in the making.
#[derive(Debug)]
struct Partial {
    /// Bytes still to come.
    left: u32,
    /// `None`: skipped, not kept.
    payload: Option<Vec<u8>>,
}

/// What a length may be.
enum Room {
    Keep,
    Skip,
    Refuse(u32),
}

/// Reads one direction of one connection.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    chunk_size: u32,
    streams: Vec<ChunkStream>,
    /// Index of the stream whose chunk is being read.
    current: usize,
    /// Payload bytes left of that chunk; 0 with no message open there: a header comes next.
    left: usize,
    in_chunk: bool,
    carry: [u8; HEADER_MAX],
    carried: usize,
    habit: Habit,
    offset: u64,
    partials: usize,
    partial_bytes: usize,
    small_chunks: u32,
    abandoned: u32,
    unknown_kinds: u32,
    publishing: bool,
    completed: u64,
    /// What was odd; the owner drains it.
    pub quirks: Quirks,
}

impl Reader {
    /// A reader whose first byte is input byte `offset` of the connection.
    pub fn new(limits: Limits, offset: u64) -> Self {
        Self {
            limits,
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: Vec::new(),
            current: 0,
            left: 0,
            in_chunk: false,
            carry: [0; HEADER_MAX],
            carried: 0,
            habit: Habit::Unknown,
            offset,
            partials: 0,
            partial_bytes: 0,
            small_chunks: 0,
            abandoned: 0,
            unknown_kinds: 0,
            publishing: false,
            completed: 0,
            quirks: Quirks::default(),
        }
    }

    /// The publisher was let in: the wider limits hold from here.
    pub fn publisher_accepted(&mut self) {
        self.publishing = true;
    }

    /// A second has passed: the budget for small chunks is full again.
    pub fn renew_second(&mut self) {
        self.small_chunks = 0;
    }

    /// A minute has passed: the budget for abandoned messages is full again.
    pub fn renew_minute(&mut self) {
        self.abandoned = 0;
    }

    /// Whether a message is in the making.
    pub fn mid_message(&self) -> bool {
        self.partials > 0
    }

    /// Messages completed so far.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// Bytes held for messages in the making.
    pub fn held_bytes(&self) -> usize {
        self.streams
            .iter()
            .filter_map(|stream| stream.open.as_ref()?.payload.as_ref())
            .map(Vec::capacity)
            .sum()
    }

    /// Takes from the front of `input` until a message is whole. `None`: all of `input` is taken.
    ///
    /// # Errors
    /// When sync is lost or a limit is passed; the reader is of no further use then.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            if self.in_chunk {
                let taken = self.gather(input);
                if self.partial_bytes > self.limits.partial_bytes {
                    let (limit, offset) = (self.limits.partial_bytes, self.offset);
                    return Err(ChunkError::TooMany {
                        which: Limit::PartialBytes,
                        what: "bytes in unfinished messages",
                        limit,
                        offset,
                    });
                }
                let whole = self.streams[self.current].open.as_ref().is_none_or(|open| open.left == 0);
                if self.left == 0 || whole {
                    self.in_chunk = false;
                }
                if whole {
                    if let Some(message) = self.finish()? {
                        return Ok(Some(message));
                    }
                } else if taken == 0 && self.in_chunk {
                    return Ok(None);
                }
                continue;
            }
            let Some(header) = self.header(input) else { return Ok(None) };
            self.begin(&header)?;
        }
    }

    /// Copies payload of the current chunk out of `carry` or `input`.
    fn gather(&mut self, input: &mut &[u8]) -> usize {
        let Some(open) = &mut self.streams[self.current].open else { return 0 };
        let carried = self.carried.min(self.left);
        let count = if carried > 0 { carried } else { self.left.min(input.len()) };
        let source = if carried > 0 { &self.carry[..count] } else { &input[..count] };
        if let Some(payload) = &mut open.payload {
            let have = payload.len();
            if payload.capacity() - have < count {
                let all = have + open.left as usize;
                // What already stands in `input` came too, so room may be made for it at once.
                let wanted = FIRST_RESERVATION.max(2 * have).max(have + input.len().max(count));
                payload.reserve_exact(wanted.min(all) - have);
            }
            payload.extend_from_slice(source);
            self.partial_bytes += count;
        }
        if carried > 0 {
            self.carry.copy_within(count..self.carried, 0);
            self.carried -= count;
        } else {
            *input = &input[count..];
        }
        self.offset += count as u64;
        open.left -= count as u32;
        self.left -= count;
        count
    }

    /// Reads a header, from `carry` and `input` together where it was cut.
    fn header(&mut self, input: &mut &[u8]) -> Option<Header> {
        let header = if self.carried == 0 {
            let Some(header) = self.whole_header(input) else {
                // Every header fits into `carry`, so what does not make one does too.
                self.carried = input.len().min(HEADER_MAX);
                self.carry[..self.carried].copy_from_slice(&input[..self.carried]);
                *input = &input[self.carried..];
                return None;
            };
            *input = &input[header.len..];
            header
        } else {
            let old = self.carried;
            let added = (HEADER_MAX - old).min(input.len());
            self.carry[old..old + added].copy_from_slice(&input[..added]);
            let bytes = self.carry;
            let Some(header) = self.whole_header(&bytes[..old + added]) else {
                self.carried = old + added;
                *input = &input[added..];
                return None;
            };
            if header.len >= old {
                self.carried = 0;
                *input = &input[header.len - old..];
            } else {
                // Bytes that were looked at for an extended timestamp are payload after all.
                self.carry.copy_within(header.len..old, 0);
                self.carried = old - header.len;
            }
            header
        };
        Some(header)
    }

    /// A header with the extended timestamp of a fmt 3, if it has one; `None` when that cannot be told yet.
    fn whole_header(&mut self, bytes: &[u8]) -> Option<Header> {
        let mut header = Header::parse(bytes)?;
        if header.fmt != 3 || self.habit == Habit::Omits {
            return Some(header);
        }
        let Some(stream) = self.streams.iter().find(|stream| stream.csid == header.csid) else {
            return Some(header);
        };
        let Some(value) = stream.extended else { return Some(header) };
        let met = u32::from_be_bytes(*bytes.get(header.len..)?.first_chunk()?);
        if self.habit == Habit::Unknown {
            const LOW: u32 = 0x7FFF_FFFF;
            let same = [value, stream.timestamp].iter().any(|known| known & LOW == met & LOW);
            if !same {
                // At the start of a message nothing is proved: only a continuation decides for the connection.
                if stream.open.is_some() {
                    self.habit = Habit::Omits;
                    // A wrong guess loses sync at once: what it was made from is told.
                    let detail = || format!("expected {value:08x}, met {met:08x}");
                    self.quirks.note_with(Quirk::ExtendedTimestampOmitted, detail);
                }
                return Some(header);
            }
            self.habit = Habit::Sends;
        }
        header.len += 4;
        Some(header)
    }

    /// Opens a message or goes on with one.
    fn begin(&mut self, header: &Header) -> Result<(), ChunkError> {
        let offset = self.offset;
        self.offset += header.len as u64;
        let known = match self.streams.get(self.current) {
            Some(stream) if stream.csid == header.csid => Some(self.current),
            _ => self.streams.iter().position(|stream| stream.csid == header.csid),
        };
        self.current = match known {
            Some(index) => index,
            None => self.fresh(header, offset)?,
        };
        if let Some(open) = &self.streams[self.current].open {
            let stream = &self.streams[self.current];
            let continues = match header.fmt {
                0 => false,
                1 => header.length == stream.length && header.kind == stream.kind,
                _ => true,
            };
            if continues {
                self.left = open.left.min(self.chunk_size) as usize;
                self.in_chunk = true;
                return self.count_chunk(offset);
            }
            self.quirks.note(Quirk::AbandonedMessage);
            self.abandoned += 1;
            if self.abandoned > self.limits.abandoned_per_minute {
                return Err(ChunkError::TooMany {
                    which: Limit::Abandoned,
                    what: "messages begun anew within a minute",
                    limit: self.limits.abandoned_per_minute as usize,
                    offset,
                });
            }
            self.drop_partial(self.current);
        }
        self.open(header, offset)
    }

    /// Makes room for a chunk stream not met before.
    fn fresh(&mut self, header: &Header, offset: u64) -> Result<usize, ChunkError> {
        // librtmp opens a chunk stream with fmt 1 for its ping reply: time and stream count from 0.
        if header.fmt > 1 {
            return Err(ChunkError::NoEarlierHeader { csid: header.csid, fmt: header.fmt, offset });
        }
        if self.streams.len() >= self.limits.chunk_streams {
            let limit = self.limits.chunk_streams;
            return Err(ChunkError::TooMany {
                which: Limit::ChunkStreams,
                what: "chunk streams",
                limit,
                offset,
            });
        }
        self.streams.push(ChunkStream {
            csid: header.csid,
            timestamp: 0,
            delta: 0,
            length: 0,
            kind: 0,
            stream: 0,
            extended: None,
            open: None,
        });
        if self.streams.len() > limits::CHUNK_STREAMS_NOTED {
            self.quirks.note(Quirk::ManyChunkStreams);
        }
        Ok(self.streams.len() - 1)
    }

    fn open(&mut self, header: &Header, offset: u64) -> Result<(), ChunkError> {
        let stream = &mut self.streams[self.current];
        if header.fmt < 3 {
            stream.extended = header.extended;
        }
        match header.fmt {
            0 => (stream.timestamp, stream.delta) = (header.time, header.time),
            1 | 2 if is_absolute(header.time, stream.timestamp) => {
                self.quirks.note(Quirk::AbsoluteDelta);
                stream.delta = header.time.wrapping_sub(stream.timestamp);
                stream.timestamp = header.time;
            }
            1 | 2 => {
                stream.delta = header.time;
                stream.timestamp = stream.timestamp.wrapping_add(header.time);
            }
            _ => stream.timestamp = stream.timestamp.wrapping_add(stream.delta),
        }
        if header.fmt < 2 {
            (stream.length, stream.kind) = (header.length, header.kind);
        }
        if header.fmt == 0 {
            stream.stream = header.stream;
        }
        let (length, kind, csid) = (stream.length, stream.kind, stream.csid);
        let payload = match self.room(kind, length) {
            Room::Keep => Some(Vec::new()),
            Room::Skip => None,
            Room::Refuse(limit) => {
                return Err(ChunkError::MessageTooLong { kind, csid, length, limit, offset });
            }
        };
        if kind == 0 || kind > kind::AGGREGATE {
            self.quirks.note(Quirk::UnknownMessageKind);
            self.unknown_kinds += 1;
            if self.unknown_kinds > limits::UNKNOWN_TYPES_MAX {
                let limit = limits::UNKNOWN_TYPES_MAX as usize;
                return Err(ChunkError::TooMany {
                    which: Limit::UnknownTypes,
                    what: "messages of unknown type",
                    limit,
                    offset,
                });
            }
        }
        self.streams[self.current].open = Some(Partial { left: length, payload });
        self.partials += 1;
        self.left = length.min(self.chunk_size) as usize;
        self.in_chunk = true;
        // A message that one chunk holds is never "in the making" beside others.
        if length > self.chunk_size && self.partials > self.limits.partial_messages {
            let limit = self.limits.partial_messages;
            return Err(ChunkError::TooMany {
                which: Limit::PartialMessages,
                what: "messages in the making",
                limit,
                offset,
            });
        }
        self.count_chunk(offset)
    }

    /// Charges a chunk against the budgets.
    fn count_chunk(&mut self, offset: u64) -> Result<(), ChunkError> {
        let open_left = self.streams[self.current].open.as_ref().map_or(0, |open| open.left);
        let ends = self.left as u32 == open_left;
        if self.left == 0 || (!ends && (self.left as u32) < limits::SMALL_CHUNK) {
            self.small_chunks += 1;
            if self.small_chunks > self.limits.small_chunks_per_second {
                let limit = self.limits.small_chunks_per_second as usize;
                return Err(ChunkError::TooMany {
                    which: Limit::SmallChunks,
                    what: "small chunks within a second",
                    limit,
                    offset,
                });
            }
        }
        Ok(())
    }

    fn room(&self, kind: u8, length: u32) -> Room {
        let limits = &self.limits;
        let (limit, over): (u32, fn(u32) -> Room) = match kind {
            kind::USER_CONTROL => (limits::USER_CONTROL_MAX, Room::Refuse),
            1..=6 => (limits::CONTROL_MAX, Room::Refuse),
            kind::AUDIO => (limits.audio, Room::Refuse),
            kind::VIDEO => (limits.video, Room::Refuse),
            kind::DATA | kind::DATA_AMF3 => (limits.data, |_| Room::Skip),
            kind::COMMAND | kind::COMMAND_AMF3 | kind::SHARED_OBJECT | kind::SHARED_OBJECT_AMF3 => {
                (if self.publishing { limits.command_late } else { limits.command_early }, Room::Refuse)
            }
            kind::AGGREGATE => (limits.aggregate, Room::Refuse),
            _ => return Room::Skip,
        };
        if length > limit { over(limit) } else { Room::Keep }
    }

    fn drop_partial(&mut self, index: usize) {
        if let Some(open) = self.streams[index].open.take() {
            self.partials -= 1;
            self.partial_bytes -= open.payload.map_or(0, |payload| payload.len());
        }
    }

    /// The current message is whole: acts on it or hands it out.
    fn finish(&mut self) -> Result<Option<Message>, ChunkError> {
        let stream = &mut self.streams[self.current];
        let Some(open) = stream.open.take() else { return Ok(None) };
        self.partials -= 1;
        self.completed += 1;
        let Some(payload) = open.payload else {
            if matches!(stream.kind, kind::DATA | kind::DATA_AMF3) {
                self.quirks.note(Quirk::LongData);
            }
            return Ok(None);
        };
        self.partial_bytes -= payload.len();
        let word = payload.first_chunk().map(|word| u32::from_be_bytes(*word));
        match (stream.kind, word) {
            (kind::SET_CHUNK_SIZE, Some(size)) => self.set_chunk_size(size),
            (kind::ABORT, Some(csid)) => {
                if let Some(index) = self.streams.iter().position(|stream| stream.csid == csid) {
                    self.drop_partial(index);
                }
            }
            (kind::SET_CHUNK_SIZE | kind::ABORT, None) => {}
            _ => {
                return Ok(Some(Message {
                    kind: stream.kind,
                    stream: stream.stream,
                    timestamp: stream.timestamp,
                    payload: Bytes::from(payload),
                }));
            }
        }
        Ok(None)
    }

    /// Holds from the next chunk header on. Sizes up to 2^31 - 1 are met; none is ever allocated.
    fn set_chunk_size(&mut self, size: u32) {
        let size = size & 0x7FFF_FFFF;
        if size == 0 || size > MESSAGE_MAX {
            self.quirks.note_with(Quirk::ChunkSizeOutOfRange, || size.to_string());
        }
        if size > 0 {
            self.chunk_size = size.min(MESSAGE_MAX);
        }
    }
}

/// Whether an extended delta is an absolute time, as broken senders write it: far too large for a delta and near to
/// where the stream is. A small step backwards, written modulo 2^32, is a delta.
fn is_absolute(value: u32, now: u32) -> bool {
    let near = |a: u32, b: u32| (a.wrapping_sub(b) as i32).unsigned_abs() <= ABSOLUTE_DELTA_NEAR;
    value > 1 << 24 && near(value, now) && !near(value, 0)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
