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
    sink.iter()
        .map(|event| match event {
            MediaEvent::VideoConfig(_, config) => format!("video {:?}", config.dimensions()),
            MediaEvent::AudioConfig(_, config) => format!("audio {}", config.sample_rate()),
            MediaEvent::Break(reason) => format!("{reason:?}"),
            MediaEvent::Packet(p) => match (p.kind, p.keyframe) {
                (TrackKind::Video, true) => format!("key {}", p.pts.ticks() / 90),
                (TrackKind::Video, false) => format!("inter {}", p.pts.ticks() / 90),
                (TrackKind::Audio, _) => format!("sound {}", p.pts.ticks() / 90),
            },
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
    assert!(refusal(&[0x1C, 0, 0, 0, 0], true).contains("the stream's video is HEVC (H.265)"));
    assert!(refusal(&[0x90, b'a', b'v', b'0', b'1'], true).contains("av01 over Enhanced RTMP"));
    assert!(refusal(&[0x2F, 0xFF], false).contains("audio is MP3"));
    let mut hevc =
        vec![0x17, 0, 0, 0, 0, 1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93, 0xF0, 0, 0xFC, 0xFD, 0xF8];
    hevc.extend([0xF8, 0, 0, 0x0F, 3, 0x20, 0, 1, 0, 4, 0x40, 1, 12, 1]);
    let error = Tracks::new().video(0, &hevc.into(), &mut sink).unwrap_err();
    assert!(error.0.contains("labelled as H.264"), "{error:?}");

    let mut tracks = Tracks::new();
    tracks.video(0, &record(SPS, PPS).into(), &mut sink).unwrap();
    tracks.video(0, &Bytes::from_static(&[0x96, 0x01, b'a', b'v', b'c', b'1', 1]), &mut sink).unwrap();
    assert_eq!((tracks.counters().dropped, tracks.quirks.take().len()), (1, 1));
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
