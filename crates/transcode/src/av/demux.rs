//! Reading media files.

use std::path::Path;

use bytes::Bytes;
use ffmpeg_next::{
    Packet, Rational, Rescale,
    codec::{Id, Parameters},
    format::{self, context::Input},
};

use super::CodecError;

const WHAT: &str = "demuxer";

/// The codecs that are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StreamKind {
    H264,
    Aac,
}

/// A track of a file.
#[derive(Clone, Debug)]
pub(crate) struct StreamInfo {
    index: usize,
    time_base: Rational,
    /// The decoder's out-of-band headers; may be empty.
    pub(crate) headers: Vec<u8>,
    pub(crate) frame_rate: Option<f64>,
    pub(crate) bitrate_bps: Option<u32>,
}

/// A packet as it lies in the file, its times in 90 kHz.
pub(crate) struct RawPacket {
    pub(crate) kind: StreamKind,
    pub(crate) pts: i64,
    pub(crate) dts: i64,
    pub(crate) data: Bytes,
}

/// An open file: its first H.264 and its first AAC track.
pub(crate) struct Demuxer {
    input: Input,
    streams: Vec<(StreamKind, StreamInfo)>,
}

impl Demuxer {
    pub(crate) fn open(path: &Path) -> Result<Self, CodecError> {
        let input = format::input(path).map_err(CodecError::at("avformat_open_input", WHAT))?;
        let mut streams: Vec<(StreamKind, StreamInfo)> = Vec::new();
        for stream in input.streams() {
            let parameters = stream.parameters();
            let kind = match parameters.id() {
                Id::H264 => StreamKind::H264,
                Id::AAC => StreamKind::Aac,
                _ => continue,
            };
            if streams.iter().any(|(known, _)| *known == kind) {
                continue;
            }
            let rate = stream.avg_frame_rate();
            let (headers, bitrate) = details(&parameters);
            let info = StreamInfo {
                index: stream.index(),
                time_base: stream.time_base(),
                headers,
                frame_rate: (rate.denominator() > 0).then(|| f64::from(rate)),
                bitrate_bps: u32::try_from(bitrate).ok().filter(|bps| *bps > 0),
            };
            streams.push((kind, info));
        }
        Ok(Self { input, streams })
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = (StreamKind, &StreamInfo)> {
        self.streams.iter().map(|(kind, info)| (*kind, info))
    }

    /// The next packet; `None` at the end, or where reading fails.
    pub(crate) fn read(&mut self) -> Option<RawPacket> {
        loop {
            let mut packet = Packet::empty();
            packet.read(&mut self.input).ok()?;
            let found = self.streams.iter().find(|(_, info)| info.index == packet.stream());
            let (Some((kind, info)), Some(data)) = (found, packet.data()) else { continue };
            let ticks =
                |stamp: i64| stamp.rescale(info.time_base, Rational(1, media::TICKS_PER_SECOND as i32));
            let Some(dts) = packet.dts().or(packet.pts()).map(ticks) else { continue };
            let pts = packet.pts().map_or(dts, ticks);
            return Some(RawPacket { kind: *kind, pts, dts, data: Bytes::copy_from_slice(data) });
        }
    }
}

/// Headers and bits a second, which the safe interface does not show.
fn details(parameters: &Parameters) -> (Vec<u8>, i64) {
    // SAFETY: the parameters are valid while borrowed; extradata is null or has extradata_size readable bytes.
    unsafe {
        let parameters = parameters.as_ptr();
        let (at, len) = ((*parameters).extradata, (*parameters).extradata_size);
        let headers = if at.is_null() || len <= 0 {
            Vec::new()
        } else {
            std::slice::from_raw_parts(at, len as usize).to_vec()
        };
        (headers, (*parameters).bit_rate)
    }
}
