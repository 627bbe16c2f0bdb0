//! What messages hold: aggregates, and the configurations of codecs.

use bytes::Bytes;
use media::{
    AudioCodec, AudioCoding, VideoCodec, VideoCoding, aac, h264,
    pictures::Pictures,
    sounds::{Format, Sounds},
};

use crate::{
    limits::AGGREGATE_PARTS_MAX,
    message::{Message, kind, split_aggregate},
    tracks::{Sink, Tracks},
};

/// An aggregate, its parts handed to the tracks. Parts are within it, and none is an aggregate again.
pub fn aggregate(data: &[u8]) {
    let payload = Bytes::copy_from_slice(data);
    let outer = Message { kind: kind::AGGREGATE, stream: 1, timestamp: u32::MAX - 5, payload };
    let (mut tracks, mut sink, mut bytes, mut count) = (Tracks::new(), Sink::new(), 0, 0);
    for part in split_aggregate(&outer, AGGREGATE_PARTS_MAX) {
        assert_ne!(part.kind, kind::AGGREGATE);
        (bytes, count) = (bytes + part.payload.len(), count + 1);
        let _ = match part.kind {
            kind::VIDEO => tracks.video(part.timestamp, &part.payload, &mut sink),
            kind::AUDIO => tracks.audio(part.timestamp, &part.payload, &mut sink),
            _ => Ok(()),
        };
    }
    assert!(bytes <= data.len() && count <= AGGREGATE_PARTS_MAX);
}

/// Everything that `media` parses out of an encoder's bytes: configurations and access units.
pub fn configs(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    if let Ok(record) = h264::Record::parse(&body)
        && let Ok(config) = h264::Config::from_units(record.sps_units, record.pps_units)
    {
        let again = h264::Record::parse(&config.to_record()).expect("what is written can be read");
        assert_eq!(h264::Config::from_units(again.sps_units, again.pps_units), Ok(config));
    }
    let _ = h264::SpsInfo::parse(data);
    for length_size in [1, 2, 4] {
        let _ = h264::normalise(&body, length_size);
    }
    let _ = h264::normalise_annex_b(&body);
    if let Ok(config) = aac::Config::parse(data) {
        let _ = (config.codecs(), config.adts_header(data.len()));
    }
    let _ = aac::split_adts(data);
    readers(data);
}

/// Configuration records and frames of every coding: the first byte says which, then come pieces of up to 255 bytes, each
/// behind its length and a byte whose bit 0 says record, bit 1 what the tag says of keyframes.
fn readers(data: &[u8]) {
    let Some((&coding, mut data)) = data.split_first() else { return };
    let videos = VIDEO.map(VideoCoding::Other).into_iter().chain([VideoCoding::H264]).cycle();
    let mut audios = AUDIO.map(AudioCoding::Other).into_iter().chain([AudioCoding::Aac]).cycle();
    let mut pictures = videos.skip(usize::from(coding)).find_map(Pictures::new).expect("not only VVC");
    let mut sounds = Sounds::new(audios.nth(usize::from(coding)).expect("endless"));
    while let [len, how, rest @ ..] = data {
        let (body, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        data = rest;
        let body = Bytes::copy_from_slice(body);
        if how & 1 == 1 {
            let _ = (pictures.record(&body), sounds.record(&body));
        }
        if let Ok(frame) = pictures.frame(&body, how & 2 == 2) {
            assert!(frame.data.len() <= 4 * body.len() + 4, "{} bytes of {}", frame.data.len(), body.len());
        }
        let format = Format { sample_rate: 44_100, channels: 1 + (how >> 2 & 1) };
        if let Ok(frame) = sounds.frame(&body, format) {
            assert!(frame.data.len() <= body.len());
        }
        if let Ok(Some(config)) = pictures.config() {
            let (width, height) = config.dimensions();
            assert!(width > 0 && height > 0 && width.max(height) <= 16_384);
        }
        if let Some(config) = sounds.config() {
            assert!(config.sample_rate() > 0);
        }
    }
}

const VIDEO: [VideoCodec; 9] = [
    VideoCodec::Hevc,
    VideoCodec::Av1,
    VideoCodec::Vp9,
    VideoCodec::Vp8,
    VideoCodec::SorensonH263,
    VideoCodec::Vp6,
    VideoCodec::Vp6Alpha,
    VideoCodec::ScreenVideo,
    VideoCodec::ScreenVideo2,
];
const AUDIO: [AudioCodec; 12] = [
    AudioCodec::Opus,
    AudioCodec::Flac,
    AudioCodec::Ac3,
    AudioCodec::Eac3,
    AudioCodec::Mp3,
    AudioCodec::Speex,
    AudioCodec::Nellymoser,
    AudioCodec::PcmS16Le,
    AudioCodec::PcmU8,
    AudioCodec::ALaw,
    AudioCodec::MuLaw,
    AudioCodec::AdpcmSwf,
];
