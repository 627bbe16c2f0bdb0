//! What host and worker say to each other: a `u32` length, little-endian, then the message in postcard's form. Both
//! ends are the same build of the same program, so there is no version in it.

use std::io::{self, Read, Write};

use media::MediaTime;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Layers;
use crate::{Input, Job, Load, Output, Stats};

/// Longest message, in bytes: a packet of the largest picture taken is far below.
pub(super) const MAX_MESSAGE: usize = 16 << 20;

/// Host to worker. The job comes first, and once.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
pub(super) enum ToWorker {
    Job(Box<Job>),
    Input(Input),
    /// Which rungs are to have an encoder, a bit each. Overtakes inputs.
    Want(u64),
}

/// Worker to host.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
pub(super) enum FromWorker {
    Output(Output),
    Stats(Stats),
    Load(Load),
    /// What shuts it in; comes once, before what it says first.
    ShutIn(Layers),
    /// The group that begins with the packet of this decoding time is decoded next. Written by the decoding thread
    /// itself, so that it is known even when the next thing it does kills the process.
    Group(MediaTime),
}

/// A message as it goes on the wire.
pub(super) fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = postcard::to_extend(message, vec![0; 4]).map_err(io::Error::other)?;
    let len = bytes.len() - 4;
    if len > MAX_MESSAGE {
        return Err(too_long(len));
    }
    bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
    Ok(bytes)
}

/// Writes one message.
pub(super) fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&frame(message)?)
}

/// Reads one message; `None` when the stream ends between messages.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    if from.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[1..])?;
    buffer.resize(length(head)?, 0);
    from.read_exact(buffer)?;
    postcard::from_bytes(buffer).map(Some).map_err(io::Error::other)
}

/// The same for the host. Not cancel-safe.
pub(super) async fn read_async<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    if from.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[1..]).await?;
    buffer.resize(length(head)?, 0);
    from.read_exact(buffer).await?;
    postcard::from_bytes(buffer).map(Some).map_err(io::Error::other)
}

fn length(head: [u8; 4]) -> io::Result<usize> {
    match u32::from_le_bytes(head) as usize {
        len if len > MAX_MESSAGE => Err(too_long(len)),
        len => Ok(len),
    }
}

fn too_long(len: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("message of {len} bytes, limit {MAX_MESSAGE}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::{Packet, TrackId, TrackKind};

    use super::*;

    fn packet(len: usize) -> ToWorker {
        ToWorker::Input(Input::Packet(Packet {
            track: TrackId(0),
            kind: TrackKind::Video,
            pts: MediaTime::from_ticks(-5),
            dts: MediaTime::from_ticks(i64::MIN),
            keyframe: true,
            data: Bytes::from(vec![7; len]),
        }))
    }

    #[test]
    fn messages_round_trip() {
        let sent = [packet(0), packet(70_000), ToWorker::Input(Input::CutAt(MediaTime::from_ticks(1 << 40)))];
        let mut wire = Vec::new();
        for message in &sent {
            write(&mut wire, message).unwrap();
        }
        let mut from = &wire[..];
        let mut buffer = Vec::new();
        for message in &sent {
            assert_eq!(read::<ToWorker>(&mut from, &mut buffer).unwrap().as_ref(), Some(message));
        }
        assert!(read::<ToWorker>(&mut from, &mut buffer).unwrap().is_none());
    }

    #[test]
    fn what_is_no_message_is_an_error_and_takes_no_memory() {
        let mut buffer = Vec::new();
        for (name, wire) in [
            ("length over the limit", &[0xFF, 0xFF, 0xFF, 0xFF, 0][..]),
            ("cut inside the length", &[1, 0]),
            ("cut inside the message", &[9, 0, 0, 0, 1]),
            ("no such message", &[1, 0, 0, 0, 0x70]),
        ] {
            assert!(read::<ToWorker>(&mut { wire }, &mut buffer).is_err(), "{name}");
            assert!(buffer.capacity() < 1000, "{name}");
        }
        assert!(frame(&packet(MAX_MESSAGE)).is_err());
    }
}
