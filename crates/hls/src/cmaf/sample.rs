//! From a packet's data to a sample's, and how long a frame of sound is.

use bytes::{BufMut, Bytes, BytesMut};
use media::{
    AudioCodec, AudioConfig, Packet, VideoCodec, VideoConfig, av1, flac, h264, h264::units, hevc, mp3, opus,
};

/// A packet's picture as its sample entry wants it: no delimiters, no parameter sets, no filler. Empty when nothing is
/// left.
pub(super) fn picture(config: &VideoConfig, packet: &Packet) -> Bytes {
    match config {
        VideoConfig::H264(_) => without(&packet.data, |unit| {
            use h264::nal_type::{AUD, FILLER, SPS};
            matches!(unit[0] & 0x1F, SPS..=AUD | FILLER)
        }),
        VideoConfig::Other(other) if other.codec == VideoCodec::Hevc => without(&packet.data, |unit| {
            use hevc::nal_type::{AUD, FILLER, VPS};
            matches!(unit[0] >> 1 & 0x3F, VPS..=AUD | FILLER)
        }),
        VideoConfig::Other(other) if other.codec == VideoCodec::Av1 && packet.keyframe => {
            with_sequence_header(&packet.data, &other.extradata)
        }
        VideoConfig::Other(_) => packet.data.clone(),
    }
}

/// The units behind four-byte lengths that are kept; the same bytes when all are.
fn without(data: &Bytes, dropped: impl Fn(&[u8]) -> bool) -> Bytes {
    let dropped = |unit: &&[u8]| unit.is_empty() || dropped(unit);
    let whole: usize = units(data).filter(|unit| !dropped(unit)).map(|unit| unit.len() + 4).sum();
    if whole == data.len() {
        return data.clone();
    }
    let mut out = BytesMut::with_capacity(whole);
    for unit in units(data).filter(|unit| !dropped(unit)) {
        out.put_u32(unit.len() as u32); // it came behind a length of 32 bits
        out.put_slice(unit);
    }
    out.freeze()
}

/// A sync sample holds the sequence header (AV1 codec ISO media file format binding §2.4).
fn with_sequence_header(data: &Bytes, record: &[u8]) -> Bytes {
    const SEQUENCE_HEADER: u8 = 1;
    if av1::obus(data).any(|obu| obu.kind == SEQUENCE_HEADER) {
        return data.clone();
    }
    [record.get(4..).unwrap_or_default(), data].concat().into()
}

/// How many samples of each channel a packet decodes to; 0 when it does not tell.
pub(super) fn frames(config: &AudioConfig, data: &[u8]) -> u32 {
    match config {
        AudioConfig::Aac(config) => config.samples_per_frame,
        AudioConfig::Other(other) => match other.codec {
            AudioCodec::Opus => opus::samples(data).unwrap_or(0),
            AudioCodec::Flac => flac::samples(data).unwrap_or(0),
            AudioCodec::Mp3 => mp3::packet(data).map_or(0, |(_, samples)| samples),
            _ => 0,
        },
    }
}
