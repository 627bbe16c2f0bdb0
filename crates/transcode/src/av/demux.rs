//! Reading media files.

use std::{collections::VecDeque, path::Path};

use bytes::Bytes;
use ffmpeg_next::{
    Packet, Rational, Rescale,
    codec::{Id, Parameters},
    ffi,
    format::{self, context::Input, stream::Disposition},
};
use media::{AudioCodec, ColorInfo, TrackId, TrackKind, VideoCodec};

use super::{
    CodecError,
    coding::{audio_codec, video_codec},
};

const WHAT: &str = "demuxer";
/// Most tracks of one kind that are read: as many as a publication may have.
const MAX_TRACKS: usize = 16;
/// Packets of one stream that wait for a decode time: as many as may be shown before the first decoded (H.264's
/// max_dec_frame_buffering), and one.
const MAX_UNDATED: usize = 17;

/// The codings that are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StreamKind {
    H264,
    Aac,
    Video(VideoCodec),
    Audio(AudioCodec),
}

impl StreamKind {
    fn of(id: Id) -> Option<Self> {
        match id {
            Id::H264 => Some(Self::H264),
            Id::AAC => Some(Self::Aac),
            id => video_codec(id).map(Self::Video).or_else(|| audio_codec(id).map(Self::Audio)),
        }
    }

    /// Picture or sound.
    pub(crate) fn track_kind(self) -> TrackKind {
        match self {
            Self::H264 | Self::Video(_) => TrackKind::Video,
            Self::Aac | Self::Audio(_) => TrackKind::Audio,
        }
    }
}

/// A track of a file.
#[derive(Clone, Debug)]
pub(crate) struct StreamInfo {
    index: usize,
    time_base: Rational,
    pub(crate) kind: StreamKind,
    /// Its place among the tracks of its kind.
    pub(crate) track: TrackId,
    pub(crate) details: Details,
    pub(crate) frame_rate: Option<f64>,
    pub(crate) title: Option<String>,
    pub(crate) language: Option<String>,
}

/// What the container says of a track's coding.
#[derive(Clone, Debug)]
pub(crate) struct Details {
    /// The decoder's out-of-band headers; may be empty.
    pub(crate) headers: Bytes,
    pub(crate) bitrate_bps: Option<u32>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Bits of a sample, 8 where unknown.
    pub(crate) bit_depth: u8,
    pub(crate) color: Option<ColorInfo>,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u8,
}

/// A packet as it lies in the file, its times in 90 kHz.
pub(crate) struct RawPacket {
    /// Place of its track in [`Demuxer::streams`].
    pub(crate) stream: usize,
    pub(crate) pts: i64,
    pub(crate) dts: i64,
    pub(crate) keyframe: bool,
    pub(crate) data: Bytes,
}

/// An open file: all its tracks of codings that publishers use. Of several programs, such as the variants of a multivariant
/// playlist, only those of the one with the largest picture.
pub(crate) struct Demuxer {
    input: Input,
    streams: Vec<StreamInfo>,
    /// Packets that wait for their decode times, in file order, per stream.
    undated: Vec<Vec<RawPacket>>,
    ready: VecDeque<RawPacket>,
    ended: bool,
}

impl Demuxer {
    pub(crate) fn open(path: &Path) -> Result<Self, CodecError> {
        let mut input = format::input(path).map_err(CodecError::at("avformat_open_input", WHAT))?;
        let program = main_program(&mut input);
        let mut streams: Vec<StreamInfo> = Vec::new();
        for stream in input.streams() {
            if program.as_ref().is_some_and(|kept| !kept.contains(&stream.index())) {
                continue;
            }
            let parameters = stream.parameters();
            let Some(kind) = StreamKind::of(parameters.id()) else { continue };
            if stream.disposition().contains(Disposition::ATTACHED_PIC) {
                continue; // the cover of an album
            }
            let before = streams.iter().filter(|other| other.kind.track_kind() == kind.track_kind()).count();
            if before >= MAX_TRACKS {
                continue;
            }
            let rate = stream.avg_frame_rate();
            let metadata = stream.metadata();
            let said = |key| metadata.get(key).map(str::to_owned);
            streams.push(StreamInfo {
                index: stream.index(),
                time_base: stream.time_base(),
                kind,
                track: TrackId(before as u8),
                details: details(&parameters),
                frame_rate: (rate.denominator() > 0).then(|| f64::from(rate)),
                title: said("title"),
                language: said("language").filter(|language| language != "und"),
            });
        }
        let undated = streams.iter().map(|_| Vec::new()).collect();
        Ok(Self { input, streams, undated, ready: VecDeque::new(), ended: false })
    }

    pub(crate) fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    /// The next packet; `None` at the end, or where reading fails.
    pub(crate) fn read(&mut self) -> Option<RawPacket> {
        while self.ready.is_empty() && !self.ended {
            let mut packet = Packet::empty();
            if packet.read(&mut self.input).is_ok() {
                self.take(&packet);
            } else {
                self.ended = true;
                (0..self.streams.len()).for_each(|stream| self.date(stream, None));
            }
        }
        self.ready.pop_front()
    }

    fn take(&mut self, packet: &Packet) {
        let found = self.streams.iter().position(|info| info.index == packet.stream());
        let (Some(stream), Some(data)) = (found, packet.data()) else { return };
        let time_base = self.streams[stream].time_base;
        let ticks = |stamp: i64| stamp.rescale(time_base, Rational(1, media::TICKS_PER_SECOND as i32));
        let (pts, dts) = (packet.pts().map(ticks), packet.dts().map(ticks));
        let Some(shown) = pts.or(dts) else { return };
        let (keyframe, data) = (packet.is_key(), Bytes::copy_from_slice(data));
        let raw = RawPacket { stream, pts: shown, dts: dts.unwrap_or(shown), keyframe, data };
        let waits = &mut self.undated[stream];
        match dts {
            None if waits.len() < MAX_UNDATED => waits.push(raw),
            _ => {
                self.date(stream, dts);
                self.ready.push_back(raw);
            }
        }
    }

    /// Lets waiting packets go. Containers without decode times (Matroska) leave the first ones of a stream with B-frames
    /// undated: FFmpeg finds the rest by the order of showing. They lie a frame apart before `next`.
    fn date(&mut self, stream: usize, next: Option<i64>) {
        let waiting = std::mem::take(&mut self.undated[stream]);
        let step = self.streams[stream].frame_rate.filter(|rate| *rate > 0.0);
        let step = step.map_or(1, |rate| (media::TICKS_PER_SECOND as f64 / rate) as i64);
        let count = waiting.len() as i64;
        for (nth, mut raw) in waiting.into_iter().enumerate() {
            if let Some(next) = next {
                raw.dts = raw.pts.min(next - step * (count - nth as i64));
            }
            self.ready.push_back(raw);
        }
    }
}

/// The streams of the program with the largest picture, or the first such, where there are several programs; the streams of
/// the others are left out from here on, and not loaded where they lie in files of their own.
fn main_program(input: &mut Input) -> Option<Vec<usize>> {
    // SAFETY: the context is valid and open; it lists `nb_programs` programs, each with `nb_stream_indexes` numbers of its
    // streams, of which it has `nb_streams`. `discard` is for the user to set at any time.
    unsafe {
        let context = input.as_mut_ptr();
        let programs = (0..(*context).nb_programs as usize).map(|at| *(*context).programs.add(at));
        let count = (*context).nb_streams as usize;
        let streams_of = |program: *mut ffi::AVProgram| -> Vec<usize> {
            let numbers = (0..(*program).nb_stream_indexes as usize)
                .map(|at| *(*program).stream_index.add(at) as usize);
            numbers.filter(|number| *number < count).collect()
        };
        let parameters = |number: usize| (**(*context).streams.add(number)).codecpar;
        let pixels = |streams: &Vec<usize>| {
            let sizes = streams.iter().map(|number| {
                let parameters = parameters(*number);
                i64::from((*parameters).width) * i64::from((*parameters).height)
            });
            sizes.max().unwrap_or(0)
        };
        let all: Vec<Vec<usize>> = programs.map(streams_of).collect();
        if all.len() < 2 {
            return None;
        }
        let kept = all.into_iter().rev().max_by_key(pixels)?;
        for number in (0..count).filter(|number| !kept.contains(number)) {
            (**(*context).streams.add(number)).discard = ffi::AVDiscard::AVDISCARD_ALL;
        }
        Some(kept)
    }
}

/// What the safe interface does not show.
#[allow(clippy::unnecessary_cast, reason = "enumerations of FFmpeg are signed on some machines")]
fn details(parameters: &Parameters) -> Details {
    // SAFETY: the parameters are valid while borrowed; extradata is null or has extradata_size readable bytes; the
    // format's description is a static of the library, or null.
    unsafe {
        let parameters = parameters.as_ptr();
        let (at, len) = ((*parameters).extradata, (*parameters).extradata_size);
        let headers = if at.is_null() || len <= 0 {
            Bytes::new()
        } else {
            Bytes::copy_from_slice(std::slice::from_raw_parts(at, len as usize))
        };
        let is_video = (*parameters).codec_type == ffi::AVMediaType::AVMEDIA_TYPE_VIDEO;
        let format = if is_video { pixel_format((*parameters).format) } else { std::ptr::null() };
        let bit_depth = if format.is_null() { 8 } else { (*format).comp[0].depth };
        // ITU-T H.273's numbers, in FFmpeg as in the bitstreams; 2 is unspecified
        let color = ColorInfo {
            primaries: (*parameters).color_primaries as u8,
            transfer: (*parameters).color_trc as u8,
            matrix: (*parameters).color_space as u8,
        };
        let said = |code: u8| !matches!(code, 0 | 2);
        Details {
            headers,
            bitrate_bps: u32::try_from((*parameters).bit_rate).ok().filter(|bps| *bps > 0),
            width: u32::try_from((*parameters).width).unwrap_or(0),
            height: u32::try_from((*parameters).height).unwrap_or(0),
            bit_depth: u8::try_from(bit_depth).unwrap_or(8),
            color: Some(color)
                .filter(|color| said(color.primaries) || said(color.transfer) || said(color.matrix)),
            sample_rate: u32::try_from((*parameters).sample_rate).unwrap_or(0),
            channels: u8::try_from((*parameters).ch_layout.nb_channels).unwrap_or(0),
        }
    }
}

/// The description of a pixel format by its number; null where there is none.
///
/// # Safety
/// `format` must be a number that FFmpeg gave: it becomes a Rust enumeration.
unsafe fn pixel_format(format: i32) -> *const ffi::AVPixFmtDescriptor {
    if format < 0 {
        return std::ptr::null();
    }
    // SAFETY: by the caller's word, and this build's bindings hold all numbers of the library they were made from.
    unsafe { ffi::av_pix_fmt_desc_get(std::mem::transmute::<i32, ffi::AVPixelFormat>(format)) }
}
