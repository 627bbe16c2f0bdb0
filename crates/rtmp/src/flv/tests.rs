use media::{AudioCodec, VideoCodec};

use super::*;
use crate::amf0::{Encoder, Value, object};

fn v(bytes: &[u8]) -> Vec<VideoTag> {
    video(&Bytes::copy_from_slice(bytes)).collect()
}

fn a(bytes: &[u8]) -> Vec<AudioTag> {
    audio(&Bytes::copy_from_slice(bytes)).collect()
}

fn b(bytes: &'static [u8]) -> Bytes {
    Bytes::from_static(bytes)
}

const HEVC: VideoCoding = VideoCoding::Other(VideoCodec::Hevc);
const AV1: VideoCoding = VideoCoding::Other(VideoCodec::Av1);
const VP9: VideoCoding = VideoCoding::Other(VideoCodec::Vp9);
const OPUS: AudioCoding = AudioCoding::Other(AudioCodec::Opus);

fn frame(composition_ms: i32, key: bool, body: &'static [u8]) -> VideoContent {
    VideoContent::Frame { composition_ms, key, body: b(body) }
}

/// One video tag's track, coding and content.
#[track_caller]
fn video_is(name: &str, bytes: &[u8], want: &[(u8, VideoCoding, VideoContent)]) {
    let got: Vec<_> = v(bytes).into_iter().map(|tag| (tag.track, tag.coding.unwrap(), tag.content)).collect();
    assert_eq!(got, want, "{name}");
}

#[track_caller]
fn audio_is(name: &str, bytes: &[u8], want: &[(u8, AudioCoding, AudioContent)]) {
    let got: Vec<_> = a(bytes).into_iter().map(|tag| (tag.track, tag.coding.unwrap(), tag.content)).collect();
    assert_eq!(got, want, "{name}");
}

#[test]
fn legacy_video_bodies() {
    use VideoContent::{Config, End, Nothing};
    let avc = VideoCoding::H264;
    for (name, bytes, coding, want) in [
        ("config", &[0x17, 0, 0, 0, 0, 1, 2][..], avc, Config(b(&[1, 2]))),
        ("empty config", &[0x17, 0, 0, 0, 0], avc, Config(b(&[]))),
        ("frame", &[0x27, 1, 0, 0, 80, 9], avc, frame(80, false, &[9])),
        ("negative composition time", &[0x27, 1, 0xFF, 0xFF, 0xD8, 9], avc, frame(-40, false, &[9])),
        ("generated keyframe", &[0x47, 1, 0, 0, 0, 9], avc, frame(0, true, &[9])),
        ("end of sequence", &[0x17, 2, 0, 0, 0], avc, End),
        ("short", &[0x17, 1, 0], avc, Nothing),
        ("seek mark", &[0x57, 0], avc, Nothing),
        ("HEVC as 12", &[0x1C, 1, 0, 0, 40, 9], HEVC, frame(40, true, &[9])),
        ("HEVC's record as 12", &[0x1C, 0, 0, 0, 0, 1], HEVC, Config(b(&[1]))),
        ("AV1 as 13", &[0x1D, 1, 0, 0, 0, 9], AV1, frame(0, true, &[9])),
        (
            "Sorenson H.263",
            &[0x12, 0, 0],
            VideoCoding::Other(VideoCodec::SorensonH263),
            frame(0, true, &[0, 0]),
        ),
        ("Screen video", &[0x23, 1], VideoCoding::Other(VideoCodec::ScreenVideo), frame(0, false, &[1])),
        ("VP6", &[0x14, 1], VideoCoding::Other(VideoCodec::Vp6), frame(0, true, &[1])),
        ("VP6 with alpha", &[0x15, 1], VideoCoding::Other(VideoCodec::Vp6Alpha), frame(0, true, &[1])),
        ("Screen video 2", &[0x16, 1], VideoCoding::Other(VideoCodec::ScreenVideo2), frame(0, true, &[1])),
        ("no body", &[0x12], VideoCoding::Other(VideoCodec::SorensonH263), Nothing),
    ] {
        video_is(name, bytes, &[(0, coding, want)]);
    }
    assert_eq!(v(&[]), []);
    assert_eq!(v(&[0x19, 0])[0].coding, Err("video codec id 9".into()));
}

#[test]
fn legacy_audio_bodies() {
    use AudioContent::{Config, Frame, Nothing};
    for (name, bytes, want) in [
        ("config", &[0xAF, 0, 0x11, 0x90][..], Config(b(&[0x11, 0x90]))),
        ("empty config (FFmpeg, copied audio)", &[0xAF, 0], Config(b(&[]))),
        ("frame", &[0xAF, 1, 7], Frame(b(&[7]))),
        ("frame without data", &[0xAF, 1], Nothing),
        ("packet type missing", &[0xAF], Nothing),
    ] {
        audio_is(name, bytes, &[(0, AudioCoding::Aac, want)]);
    }
    assert_eq!(a(&[]), []);
    for (first, codec, sample_rate, channels) in [
        (0x0F, AudioCodec::PcmS16Le, 44_100, 2),
        (0x3A, AudioCodec::PcmS16Le, 22_050, 1),
        (0x30, AudioCodec::PcmU8, 5_512, 1),
        (0x1E, AudioCodec::AdpcmSwf, 44_100, 1),
        (0x2F, AudioCodec::Mp3, 44_100, 2),
        (0x4E, AudioCodec::Nellymoser, 16_000, 1),
        (0x5E, AudioCodec::Nellymoser, 8_000, 1),
        (0x66, AudioCodec::Nellymoser, 11_025, 1),
        (0x7E, AudioCodec::ALaw, 8_000, 1),
        (0x83, AudioCodec::MuLaw, 8_000, 2),
        (0xB2, AudioCodec::Speex, 16_000, 1),
        (0xE2, AudioCodec::Mp3, 8_000, 1),
    ] {
        let tag = a(&[first, 1, 2]).remove(0);
        assert_eq!(tag.coding, Ok(AudioCoding::Other(codec)), "{first:02x}");
        assert_eq!(tag.format, Format { sample_rate, channels }, "{first:02x}");
        assert_eq!(tag.content, Frame(b(&[1, 2])), "{first:02x}");
    }
    assert_eq!(a(&[0xF2, 0])[0].coding, Err("a device-specific format".into()));
    assert_eq!(a(&[0xC2, 0])[0].coding, Err("audio format 12".into()));
}

#[test]
fn enhanced_video_headers() {
    use VideoContent::{Config, End, Nothing};
    for (name, bytes, want) in [
        ("sequence start", &b"\x90hvc1\x01\x02"[..], vec![(0, HEVC, Config(b(&[1, 2])))]),
        ("hev1", b"\x90hev1\x01", vec![(0, HEVC, Config(b(&[1])))]),
        (
            "coded frames have a composition time",
            b"\xA1hvc1\xFF\xFF\xD8\x09",
            vec![(0, HEVC, frame(-40, false, &[9]))],
        ),
        ("so has avc1", b"\x91avc1\0\0\x50\x09", vec![(0, VideoCoding::H264, frame(80, true, &[9]))]),
        ("coded frames X have none", b"\xA3hvc1\x09", vec![(0, HEVC, frame(0, false, &[9]))]),
        ("nor has AV1", b"\x91av01\x12\x00", vec![(0, AV1, frame(0, true, &[0x12, 0]))]),
        ("nor VP9", b"\xA1vp09\x86", vec![(0, VP9, frame(0, false, &[0x86]))]),
        ("nor VP8", b"\x91vp08\x10", vec![(0, VideoCoding::Other(VideoCodec::Vp8), frame(0, true, &[0x10]))]),
        ("VVC", b"\x90vvc1", vec![(0, VideoCoding::Other(VideoCodec::Vvc), Config(b(&[])))]),
        ("sequence end", b"\x92hvc1", vec![(0, HEVC, End)]),
        ("MPEG-2 TS sequence start", b"\x95av01\x80\x04\x81\x00\x0c\x00", vec![(0, AV1, Nothing)]),
        ("composition time cut", b"\x91hvc1\0\0", vec![(0, HEVC, Nothing)]),
        ("reserved packet type", b"\x98hvc1\x01", vec![(0, HEVC, Nothing)]),
        ("a command frame is one byte and no FourCC", b"\xD1\x00", vec![]),
        ("FourCC cut", b"\x91hvc", vec![]),
    ] {
        video_is(name, bytes, &want);
    }
    assert_eq!(v(b"\x90xyz1")[0].coding, Err("the unknown coding 'xyz1'".into()));
    assert_eq!(v(b"\x90\0\0\0\0")[0].coding, Err("an unknown coding".into()));
}

#[test]
fn enhanced_audio_headers() {
    use AudioContent::{Channels, Config, End, Frame, Nothing};
    let layout = |count, order| Channels(ChannelLayout { count, order });
    for (name, bytes, want) in [
        ("sequence start", &b"\x90OpusOpusHead"[..], (0, OPUS, Config(b(b"OpusHead")))),
        ("coded frames", b"\x91Opus\xFC\x01", (0, OPUS, Frame(b(&[0xFC, 1])))),
        ("an empty one", b"\x91Opus", (0, OPUS, Nothing)),
        ("sequence end", b"\x92Opus", (0, OPUS, End)),
        (
            "native channels (FFmpeg)",
            b"\x94Opus\x01\x01\0\0\0\x04",
            (0, OPUS, layout(1, ChannelOrder::Native(4))),
        ),
        (
            "custom channels",
            b"\x94Opus\x02\x02\x00\x01",
            (0, OPUS, layout(2, ChannelOrder::Custom(b(&[0, 1])))),
        ),
        ("unspecified channels", b"\x94Opus\x00\x06", (0, OPUS, layout(6, ChannelOrder::Unspecified))),
        ("channels cut", b"\x94Opus\x02\x09\x00", (0, OPUS, Nothing)),
        (
            "one further track's channels",
            b"\x95\x04mp4a\x01\x01\x01\0\0\0\x04",
            (1, AudioCoding::Aac, layout(1, ChannelOrder::Native(4))),
        ),
        (
            "one further track's record",
            b"\x95\x00mp4a\x01\x11\x90",
            (1, AudioCoding::Aac, Config(b(&[0x11, 0x90]))),
        ),
        ("FLAC", b"\x91fLaC\xFF", (0, AudioCoding::Other(AudioCodec::Flac), Frame(b(&[0xFF])))),
        ("AC-3", b"\x91ac-3\x0B", (0, AudioCoding::Other(AudioCodec::Ac3), Frame(b(&[0x0B])))),
        ("E-AC-3", b"\x91ec-3\x0B", (0, AudioCoding::Other(AudioCodec::Eac3), Frame(b(&[0x0B])))),
        ("MP3", b"\x91.mp3\xFF", (0, AudioCoding::Other(AudioCodec::Mp3), Frame(b(&[0xFF])))),
    ] {
        audio_is(name, bytes, &[want]);
    }
}

#[test]
fn colours_of_what_follows() {
    let info = |fields: Vec<(&'static str, Value)>| {
        let info = object([("colorConfig", object(fields))]);
        let body = Encoder::new().put("colorInfo").put(info).finish();
        // FFmpeg writes 0xD4, whose frame type would be a command's; OBS 0x84
        [&b"\xD4hvc1"[..], &body].concat()
    };
    let full = vec![
        ("bitDepth", 10.0.into()),
        ("colorPrimaries", 9.0.into()),
        ("transferCharacteristics", 16.0.into()),
        ("matrixCoefficients", 9.0.into()),
    ];
    let pq = ColorInfo { primaries: 9, transfer: 16, matrix: 9 };
    video_is("PQ", &info(full), &[(0, HEVC, VideoContent::Color(Some(pq)))]);
    let partly = vec![("transferCharacteristics", 18.0.into()), ("colorPrimaries", f64::NAN.into())];
    let hlg = ColorInfo { primaries: 2, transfer: 18, matrix: 2 };
    video_is("partly", &info(partly), &[(0, HEVC, VideoContent::Color(Some(hlg)))]);
    video_is("nothing in it", &info(vec![]), &[(0, HEVC, VideoContent::Color(None))]);
    let undefined = [&b"\x84hvc1\x02\0\x09colorInfo"[..], &[6]].concat();
    video_is("undefined", &undefined, &[(0, HEVC, VideoContent::Color(None))]);
    let other = [&b"\x84hvc1"[..], &Encoder::new().put("what").put(1.0).finish()].concat();
    video_is("other metadata", &other, &[(0, HEVC, VideoContent::Nothing)]);
}

#[test]
fn modifiers_come_in_chains() {
    let nanos =
        |bytes: &[u8]| v(bytes).iter().map(|tag| (tag.nanos, tag.content.clone())).collect::<Vec<_>>();
    let want = |nanos| vec![(nanos, frame(0, true, &[9]))];
    assert_eq!(nanos(b"\x97\x02\x07\xA1\x20\x03hvc1\x09"), want(500_000));
    assert_eq!(nanos(b"\x97\x02\xFF\xFF\xFF\x03hvc1\x09"), want(999_999), "no more than a millisecond");
    assert_eq!(nanos(b"\x97\x00\x55\x17\x02\x00\x00\x64\x03hvc1\x09"), want(100), "an unknown one is passed");
    assert_eq!(nanos(b"\x97\x01\x00\x00\x03hvc1\x09"), want(0), "too short for a time");
    let mut long = vec![0x97, 0xFF, 0x01, 0x2B]; // 300 bytes
    long.extend([0, 0, 50]);
    long.resize(4 + 300, 0);
    long.extend(b"\x03hvc1\x09");
    assert_eq!(nanos(&long), want(50));
    for cut in [&b"\x97"[..], b"\x97\x02\x00", b"\x97\x02\0\0\0", b"\x97\xFF\x01"] {
        assert_eq!(v(cut), [], "{cut:02x?}");
    }
    let audio = a(b"\x97\x02\0\0\x07\x01Opus\xFC");
    assert_eq!((audio[0].nanos, audio[0].content.clone()), (7, AudioContent::Frame(b(&[0xFC]))));
    // around a multitrack message
    let inside = v(b"\x97\x02\0\0\x09\x06\x03avc1\x02\x0A");
    assert_eq!((inside[0].track, inside[0].nanos), (2, 9));
}

#[test]
fn several_tracks_in_one_message() {
    let avc = VideoCoding::H264;
    video_is("one track", b"\x96\x01avc1\x01\0\0\x28\x09", &[(1, avc, frame(40, true, &[9]))]);
    video_is(
        "many tracks of one coding",
        b"\xA6\x13hvc1\x01\0\0\x01\x07\x05\0\0\x02\x08\x09",
        &[(1, HEVC, frame(0, false, &[7])), (5, HEVC, frame(0, false, &[8, 9]))],
    );
    video_is(
        "many tracks of many codings, each with its composition time or without",
        b"\xA6\x21avc1\x00\0\0\x04\0\0\x28\x07vp09\x01\0\0\x01\x86",
        &[(0, avc, frame(40, false, &[7])), (1, VP9, frame(0, false, &[0x86]))],
    );
    audio_is(
        "many tracks of many codings",
        b"\x95\x21mp4a\x00\0\0\x01\x21Opus\x02\0\0\x01\xFC",
        &[(0, AudioCoding::Aac, AudioContent::Frame(b(&[0x21]))), (2, OPUS, AudioContent::Frame(b(&[0xFC])))],
    );
    video_is(
        "a size past the end",
        b"\xA6\x13hvc1\x01\0\0\x01\x07\x05\0\0\x09\x08",
        &[(1, HEVC, frame(0, false, &[7]))],
    );
    for (name, bytes) in [
        ("multitrack inside multitrack", &b"\xA6\x06avc1\x01"[..]),
        ("a modifier inside", b"\xA6\x07avc1\x01"),
        ("a reserved type", b"\xA6\x31avc1\x01"),
        ("nothing in it", b"\xA6"),
        ("track number missing", b"\xA6\x01avc1"),
    ] {
        assert_eq!(v(bytes), [], "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn hostile_bytes_do_not_panic(first in 0x80u8.., bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
        let enhanced = Bytes::from([&[first], &bytes[..]].concat());
        let plain = Bytes::from(bytes);
        for body in [enhanced, plain] {
            proptest::prop_assert!(video(&body).count() <= body.len());
            proptest::prop_assert!(audio(&body).count() <= body.len());
        }
    }
}
