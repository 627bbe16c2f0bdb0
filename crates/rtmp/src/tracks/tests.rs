use media::{TrackKind, aac};

use super::*;

/// x264 High@3.1 1280x720; the second is Baseline 320x240 by the same encoder.
const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
const OTHER_SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0xfb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00,
    0x03, 0x03, 0x20, 0xf1, 0x42, 0xa4, 0x80,
];
const OTHER_PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];
/// x265 4.3, Main 10, 1280x720.
const HEVC_RECORD: &[u8] = &[
    0x01, 0x02, 0x20, 0x00, 0x00, 0x00, 0x90, 0x00, 0x00, 0x00, 0x00, 0x00, 0x5d, 0xf0, 0x00, 0xfc, 0xfd,
    0xfa, 0xfa, 0x00, 0x00, 0x0f, 0x03, 0xa0, 0x00, 0x01, 0x00, 0x18, 0x40, 0x01, 0x0c, 0x01, 0xff, 0xff,
    0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x5d, 0x95, 0x94,
    0x09, 0xa1, 0x00, 0x01, 0x00, 0x2e, 0x42, 0x01, 0x01, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00,
    0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x5d, 0xa0, 0x02, 0x80, 0x80, 0x2d, 0x13, 0x65, 0x95, 0x95, 0x29,
    0x30, 0xbc, 0x05, 0xa8, 0x10, 0x10, 0x48, 0x20, 0x00, 0x00, 0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03,
    0xc1, 0xa2, 0x00, 0x01, 0x00, 0x06, 0x44, 0x01, 0xc0, 0x73, 0xc1, 0x89,
];
const IDR: &[u8] = &[0x65, 0x88, 0x80, 0x10, 0x20];
const SLICE: &[u8] = &[0x41, 0x9a, 0x80, 0x10, 0x20];

fn lengths(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat()).collect()
}

fn record(sps: &[u8], pps: &[u8]) -> Vec<u8> {
    let mut out = vec![0x17, 0, 0, 0, 0, 1, sps[1], sps[2], sps[3], 0xFF, 0xE1, 0, sps.len() as u8];
    out.extend(sps);
    out.extend([1, 0, pps.len() as u8]);
    out.extend(pps);
    out
}

fn frame(nals: &[&[u8]]) -> Vec<u8> {
    [vec![0x27, 1, 0, 0, 0], lengths(nals)].concat()
}

enum In {
    V(u32, Vec<u8>),
    A(u32, Vec<u8>),
}
use In::{A, V};

/// Feeds messages and tells each event in a word.
fn told(tracks: &mut Tracks, messages: Vec<In>) -> Vec<String> {
    let mut sink = Sink::new();
    for message in messages {
        match message {
            V(wire, body) => tracks.video(wire, &body.into(), &mut sink).unwrap(),
            A(wire, body) => tracks.audio(wire, &body.into(), &mut sink).unwrap(),
        }
    }
    tracks.flush(&mut sink);
    let name = |word: &str, track: TrackId| match track.0 {
        0 => word.to_owned(),
        further => format!("{word}{further}"),
    };
    sink.iter()
        .map(|event| match event {
            MediaEvent::VideoConfig(track, config) => {
                format!("{} {:?}", name("video", *track), config.dimensions())
            }
            MediaEvent::AudioConfig(track, config) => {
                format!("{} {}", name("audio", *track), config.sample_rate())
            }
            MediaEvent::Break(reason) => format!("{reason:?}"),
            MediaEvent::Packet(p) => {
                let word = match (p.kind, p.keyframe) {
                    (TrackKind::Video, true) => "key",
                    (TrackKind::Video, false) => "inter",
                    (TrackKind::Audio, _) => "sound",
                };
                format!("{} {}", name(word, p.track), p.pts.ticks() / 90)
            }
        })
        .collect()
}

#[track_caller]
fn check(name: &str, messages: Vec<In>, want: &[&str], dropped: u64) {
    let mut tracks = Tracks::new();
    assert_eq!(told(&mut tracks, messages), want, "{name}");
    assert_eq!(tracks.counters().dropped, dropped, "{name}: dropped");
}

const ASC: [u8; 4] = [0xAF, 0, 0x11, 0x90];
const SOUND: [u8; 4] = [0xAF, 1, 0x21, 0x10];

#[test]
fn pictures_flow_from_the_first_keyframe_after_their_configuration() {
    check(
        "the usual",
        vec![V(0, record(SPS, PPS)), V(0, frame(&[IDR])), V(33, frame(&[SLICE]))],
        &["video (1280, 720)", "key 0", "inter 33"],
        0,
    );
    check(
        "frames before the configuration",
        vec![V(0, frame(&[IDR])), V(33, record(SPS, PPS)), V(66, frame(&[SLICE])), V(99, frame(&[IDR]))],
        &["video (1280, 720)", "key 0"],
        2,
    );
    check(
        "parameter sets in-band alone",
        vec![V(0, frame(&[SPS, PPS, IDR])), V(33, frame(&[SLICE]))],
        &["video (1280, 720)", "key 0", "inter 33"],
        0,
    );
    check(
        "the frame type of the tag is not believed",
        vec![V(0, record(SPS, PPS)), V(0, [&[0x17, 1, 0, 0, 0][..], &lengths(&[SLICE])].concat())],
        &["video (1280, 720)"],
        1,
    );
    check(
        "empty configuration, end of sequence",
        vec![
            V(0, vec![0x17, 0, 0, 0, 0]),
            V(0, vec![0x17, 2, 0, 0, 0]),
            V(0, record(SPS, PPS)),
            V(0, frame(&[IDR])),
        ],
        &["video (1280, 720)", "key 0"],
        0,
    );
    check(
        "Annex B bodies",
        vec![V(0, record(SPS, PPS)), V(0, [&[0x17, 1, 0, 0, 0][..], &[0, 0, 0, 1], IDR].concat())],
        &["video (1280, 720)", "key 0"],
        0,
    );
}

#[test]
fn a_changed_picture_waits_for_its_keyframe() {
    let start = || vec![V(0, record(SPS, PPS)), V(0, frame(&[IDR])), V(40, frame(&[SLICE]))];
    let with = |more: Vec<In>| start().into_iter().chain(more).collect::<Vec<_>>();
    let head = ["video (1280, 720)", "key 0", "inter 40"];
    check(
        "same record at every keyframe",
        with(vec![V(80, record(SPS, PPS)), V(80, frame(&[IDR]))]),
        &[&head[..], &["key 80"]].concat(),
        0,
    );
    check(
        "new record",
        with(vec![V(80, record(OTHER_SPS, OTHER_PPS)), V(80, frame(&[SLICE])), V(120, frame(&[IDR]))]),
        &[&head[..], &["VideoConfigChanged", "video (320, 240)", "key 120"]].concat(),
        1,
    );
    check(
        "new sets in-band",
        with(vec![V(80, frame(&[OTHER_SPS, OTHER_PPS, IDR]))]),
        &[&head[..], &["VideoConfigChanged", "video (320, 240)", "key 80"]].concat(),
        0,
    );
    check(
        "a change taken back",
        with(vec![V(80, record(OTHER_SPS, OTHER_PPS)), V(80, record(SPS, PPS)), V(80, frame(&[IDR]))]),
        &[&head[..], &["key 80"]].concat(),
        0,
    );
    check(
        "a change before the first keyframe is no break",
        vec![V(0, record(SPS, PPS)), V(0, record(OTHER_SPS, OTHER_PPS)), V(0, frame(&[IDR]))],
        &["video (1280, 720)", "video (320, 240)", "key 0"],
        0,
    );
}

#[test]
fn sound_needs_its_configuration() {
    let adts = |rate| {
        let header = aac::Config::lc(rate, 2).unwrap().adts_header(2).unwrap();
        [&[0xAF, 1][..], &header, &[0x21, 0x10]].concat()
    };
    check(
        "the usual, an empty one first",
        vec![
            A(0, vec![0xAF, 0]),
            A(0, ASC.to_vec()),
            A(0, SOUND.to_vec()),
            A(21, SOUND.to_vec()),
            A(42, vec![]),
        ],
        &["audio 48000", "sound 0", "sound 21"],
        0,
    );
    check(
        "frames before it",
        vec![A(0, SOUND.to_vec()), A(21, ASC.to_vec()), A(21, SOUND.to_vec())],
        &["audio 48000", "sound 0"],
        1,
    );
    check("ADTS", vec![A(0, adts(48_000)), A(21, adts(48_000))], &["audio 48000", "sound 0", "sound 21"], 0);
    check(
        "changed, no picture",
        vec![
            A(0, ASC.to_vec()),
            A(0, SOUND.to_vec()),
            A(21, vec![0xAF, 0, 0x12, 0x10]),
            A(21, SOUND.to_vec()),
        ],
        &["audio 48000", "sound 0", "AudioConfigChanged", "audio 44100", "sound 21"],
        0,
    );
    check(
        "changed under a picture: at the next keyframe",
        vec![
            V(0, record(SPS, PPS)),
            V(0, frame(&[IDR])),
            A(0, ASC.to_vec()),
            A(0, SOUND.to_vec()),
            A(21, vec![0xAF, 0, 0x12, 0x10]),
            A(21, SOUND.to_vec()),
            V(40, frame(&[SLICE])),
            V(80, frame(&[IDR])),
            A(80, SOUND.to_vec()),
        ],
        &[
            "video (1280, 720)",
            "key 0",
            "audio 48000",
            "sound 0",
            "inter 40",
            "AudioConfigChanged",
            "audio 44100",
            "key 80",
            "sound 80",
        ],
        1,
    );
    check("a broken configuration", vec![A(0, vec![0xAF, 0, 0xFF, 0xFF]), A(0, SOUND.to_vec())], &[], 1);
}

#[test]
fn without_any_configuration_metadata_is_believed_after_a_while() {
    let mut tracks = Tracks::new();
    tracks.metadata(&Metadata {
        audio_sample_rate: Some(44_100),
        audio_channels: Some(1),
        ..Metadata::default()
    });
    let frames = (0..100).map(|n| A(n * 23, SOUND.to_vec())).collect();
    let got = told(&mut tracks, frames);
    assert_eq!(got[..2], ["audio 44100", "sound 0"]);
    assert_eq!(tracks.counters().dropped, 87); // 2000 ms of 23 ms each
}

#[test]
fn foreign_codings_are_refused_in_words_but_not_beside_a_good_track() {
    let mut sink = Sink::new();
    let refusal = |bytes: &'static [u8], video: bool| {
        let (mut tracks, body) = (Tracks::new(), Bytes::from_static(bytes));
        let result = if video {
            tracks.video(0, &body, &mut Sink::new())
        } else {
            tracks.audio(0, &body, &mut Sink::new())
        };
        result.unwrap_err().0
    };
    assert_eq!(
        refusal(b"\x90vvc1\0", true),
        "The stream's video is VVC (H.266), which cannot be decoded here. Set the encoder's video to H.264, HEVC, AV1 \
         or VP9."
    );
    assert!(refusal(&[0x19, 0], true).contains("video is video codec id 9"));
    assert!(refusal(b"\x90xyz1\0", true).contains("video is the unknown coding 'xyz1'"));
    assert!(refusal(&[0xF2, 0xFF], false).contains("audio is a device-specific format"));
    assert!(refusal(b"\x91abcd\0", false).contains("Set the encoder's audio to AAC or Opus"));

    let mut tracks = Tracks::new();
    tracks.video(0, &record(SPS, PPS).into(), &mut sink).unwrap();
    tracks.video(0, &Bytes::from_static(b"\x96\x01vvc1\x01"), &mut sink).unwrap();
    tracks.video(0, &Bytes::from_static(b"\x96\x01avc1\x10"), &mut sink).unwrap();
    assert_eq!((tracks.counters().dropped, tracks.quirks.take().len()), (2, 1));
}

#[test]
fn tracks_are_kept_apart() {
    let track =
        |four_cc: &[u8; 4], id: u8, kind: u8, body: &[u8]| [&[0x96, kind][..], four_cc, &[id], body].concat();
    let avc = |record: Vec<u8>| record[5..].to_vec();
    let coded = |nals: &[&[u8]]| [vec![0, 0, 0], lengths(nals)].concat();
    let mut tracks = Tracks::new();
    let got = told(
        &mut tracks,
        vec![
            V(0, record(SPS, PPS)),
            V(0, track(b"avc1", 1, 0, &avc(record(OTHER_SPS, OTHER_PPS)))),
            V(0, frame(&[IDR])),
            V(0, track(b"avc1", 1, 1, &coded(&[IDR]))),
            V(40, frame(&[SLICE])),
            V(40, track(b"avc1", 1, 1, &coded(&[SLICE]))),
            V(40, track(b"vp09", 2, 1, &[0x82, 0x49, 0x83, 0x42, 0x00, 0x27, 0xF0, 0x16, 0x76, 0x00])),
            A(0, ASC.to_vec()),
            A(0, b"\x95\x00mp4a\x01\x12\x10".to_vec()),
            A(0, SOUND.to_vec()),
            A(0, b"\x95\x01mp4a\x01\x21\x10".to_vec()),
            A(20, b"\x95\x01Opus\x02\xFC\x10".to_vec()),
        ],
    );
    let want = [
        "video (1280, 720)",
        "video1 (320, 240)",
        "key 0",
        "key1 0",
        "inter 40",
        "inter1 40",
        "video2 (640, 360)",
        "key2 40",
        "audio 48000",
        "audio1 44100",
        "sound 0",
        "sound1 0",
        "audio2 48000",
        "sound2 20",
    ];
    assert_eq!(got, want);
    assert_eq!(tracks.counters().dropped, 0);
}

#[test]
fn hevc_labelled_as_avc_is_hevc() {
    let record = media::hevc::Record::parse(&Bytes::from_static(HEVC_RECORD)).unwrap();
    let head = [0x17, 0, 0, 0, 0];
    let body = [&head[..], HEVC_RECORD].concat();
    assert_eq!(record.units.sps.len(), 1);
    check(
        "OBS before 29.1",
        vec![V(0, body), V(0, frame(&[&[0x26, 1, 0xAF]])), V(40, frame(&[&[2, 1, 0xD0]]))],
        &["video (1280, 720)", "key 0", "inter 40"],
        0,
    );
}

#[test]
fn colours_may_come_before_or_after_the_configuration() {
    let color = |transfer: f64| {
        let colors = [("colorPrimaries", 9.0.into()), ("transferCharacteristics", transfer.into())];
        let info = crate::amf0::object([("colorConfig", crate::amf0::object(colors))]);
        let body = crate::amf0::Encoder::new().put("colorInfo").put(info).finish();
        [&b"\xD4vp09"[..], &body].concat()
    };
    let key = b"\x91vp09\x82\x49\x83\x42\x00\x27\xF0\x16\x76\x00".to_vec();
    let colors = |messages: Vec<In>| {
        let (mut tracks, mut sink) = (Tracks::new(), Sink::new());
        for message in messages {
            let V(wire, body) = message else { panic!() };
            tracks.video(wire, &body.into(), &mut sink).unwrap();
        }
        let transfers = sink.iter().filter_map(|event| match event {
            MediaEvent::VideoConfig(_, config) => match &**config {
                VideoConfig::Other(other) => Some(other.color.map_or(0, |color| color.transfer)),
                VideoConfig::H264(_) => None,
            },
            _ => None,
        });
        transfers.collect::<Vec<_>>()
    };
    assert_eq!(colors(vec![V(0, color(16.0)), V(0, key.clone())]), [16]);
    assert_eq!(colors(vec![V(0, key.clone()), V(0, color(18.0)), V(40, key.clone())]), [0, 18]);
    let reset = b"\xD4vp09\x02\x00\x09colorInfo\x06".to_vec();
    let and_back = vec![V(0, color(16.0)), V(0, key.clone()), V(20, reset), V(40, key)];
    assert_eq!(colors(and_back), [16, 0]);
}

#[test]
fn colours_of_another_coding_do_not_touch_the_default_track() {
    check(
        "FFmpeg, multitrack: H.264 and HEVC",
        vec![
            V(0, record(SPS, PPS)),
            V(0, frame(&[IDR])),
            V(20, b"\xD4hvc1\x02\x00\x09colorInfo\x06".to_vec()),
            V(40, frame(&[SLICE])),
        ],
        &["video (1280, 720)", "key 0", "inter 40"],
        0,
    );
}

#[test]
fn sound_that_cannot_be_read_is_dropped_and_counted() {
    check(
        "MP3 and rubbish",
        vec![A(0, vec![0x2F, 0xFF, 0xFB, 0x94, 0xC4]), A(24, vec![0x2F, 1, 2, 3, 4]), A(24, vec![0x2F])],
        &["audio 48000", "sound 0"],
        1,
    );
}

#[test]
fn rates_that_tags_cannot_write_are_metadatas() {
    let rate = |hint| {
        let mut tracks = Tracks::new();
        tracks.metadata(&Metadata { audio_sample_rate: hint, ..Metadata::default() });
        told(&mut tracks, vec![A(0, vec![0x32, 0, 0, 0, 0])])[0].clone()
    };
    assert_eq!([None, Some(16_000), Some(44_100)].map(rate), ["audio 5512", "audio 16000", "audio 5512"]);
}

#[test]
fn a_coding_may_change_in_mid_stream() {
    let key = b"\x91vp09\x82\x49\x83\x42\x00\x27\xF0\x16\x76\x00".to_vec();
    check(
        "H.264, then VP9; AAC, then Opus",
        vec![
            V(0, record(SPS, PPS)),
            V(0, frame(&[IDR])),
            A(0, ASC.to_vec()),
            A(0, SOUND.to_vec()),
            A(21, b"\x91Opus\xFC\x10".to_vec()),
            V(40, b"\x91vp09\x86\x00\x40\x92".to_vec()),
            V(80, key),
            A(80, b"\x91Opus\xFC\x10".to_vec()),
        ],
        &[
            "video (1280, 720)",
            "key 0",
            "audio 48000",
            "sound 0",
            "VideoConfigChanged",
            "video (640, 360)",
            "AudioConfigChanged",
            "audio 48000",
            "key 80",
            "sound 80",
        ],
        2,
    );
}

#[test]
fn a_jump_is_told_before_its_packet() {
    let day = 86_400_000;
    let mut messages = vec![V(0, record(SPS, PPS)), V(0, frame(&[IDR]))];
    messages.extend([V(40, frame(&[SLICE])), V(day, frame(&[IDR])), V(day + 40, frame(&[SLICE]))]);
    check(
        "a day forward",
        messages,
        &["video (1280, 720)", "key 0", "inter 40", "key 80", "TimestampJump", "inter 120"],
        0,
    );
}

#[test]
fn a_clock_of_31_bits_runs_on() {
    let top = 1u32 << 31;
    let messages = vec![
        V(top - 80, record(SPS, PPS)),
        V(top - 80, frame(&[IDR])),
        V(top - 40, frame(&[SLICE])),
        V(0, frame(&[SLICE])),
        V(40, frame(&[SLICE])),
    ];
    check("video", messages, &["video (1280, 720)", "key 0", "inter 40", "inter 80", "inter 120"], 0);
}

#[test]
fn packets_are_slices_of_the_message() {
    let (mut tracks, mut sink) = (Tracks::new(), Sink::new());
    tracks.video(0, &record(SPS, PPS).into(), &mut sink).unwrap();
    let body = Bytes::from(frame(&[IDR]));
    tracks.video(0, &body, &mut sink).unwrap();
    let Some(MediaEvent::Packet(packet)) = sink.pop_back() else { panic!() };
    assert_eq!(packet.data.as_ptr(), body[5..].as_ptr());
}
