//! Our publisher and our session, joined in memory; and what the publisher sent, cut and damaged.

use std::sync::Arc;

use media::{AudioConfig, MediaTime, Packet, TrackId, TrackKind, VideoConfig, aac, h264};
use proptest::prelude::*;

use super::*;
use crate::client::{self, Publisher, Target};

const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

/// Our publisher and our session, joined by two byte pipes; `step` bytes a time towards the session.
struct Joined {
    now: Instant,
    publisher: Publisher,
    session: Session,
    step: usize,
    verdict: Verdict,
    /// Everything the publisher sent.
    sent: Vec<u8>,
    events: Vec<Event>,
    client_events: Vec<client::Event>,
}

impl Joined {
    fn new(step: usize, verdict: Verdict) -> Self {
        let now = Instant::now();
        let target = Target::parse("rtmp://host/live/key?a=b").unwrap();
        let publisher = Publisher::new(now, target);
        let session = Session::new(now, Settings::default());
        Self { now, publisher, session, step, verdict, sent: vec![], events: vec![], client_events: vec![] }
    }

    fn run(&mut self) {
        loop {
            let up = self.publisher.take_outbound();
            self.sent.extend_from_slice(&up);
            for piece in up.chunks(self.step) {
                self.session.feed(self.now, piece).unwrap();
                while let Some(event) = self.session.poll_event() {
                    if matches!(event, Event::PublishRequested(_)) {
                        self.session.answer(self.verdict.clone());
                    }
                    self.events.push(event);
                }
            }
            let down = self.session.take_outbound();
            for piece in down.chunks(self.step) {
                self.publisher.feed(self.now, piece).unwrap();
            }
            self.client_events.extend(std::iter::from_fn(|| self.publisher.poll_event()));
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }
}

fn configs() -> (Arc<VideoConfig>, Arc<AudioConfig>) {
    let video =
        h264::Config::from_units(vec![Bytes::from_static(SPS)], vec![Bytes::from_static(PPS)]).unwrap();
    (Arc::new(VideoConfig::H264(video)), Arc::new(AudioConfig::Aac(aac::Config::lc(48_000, 2).unwrap())))
}

/// A picture for each frame of 48 kHz AAC, so that neither track runs ahead; every 25th a keyframe, one of reordering.
fn packets(frames: i64) -> Vec<Packet> {
    let mut out = vec![];
    for n in 0..frames {
        let keyframe = n % 25 == 0;
        let len = if keyframe { 9000 } else { 300 };
        let mut data = vec![0xAB; len];
        data[..4].copy_from_slice(&(len as u32 - 4).to_be_bytes());
        data[4] = if keyframe { 0x65 } else { 0x41 };
        let dts = MediaTime::from_ticks(n * 1920);
        let pts = MediaTime::from_ticks(n * 1920 + 1920);
        let video =
            Packet { track: TrackId(0), kind: TrackKind::Video, pts, dts, keyframe, data: data.into() };
        let at = MediaTime::from_ticks(n * 1920);
        let data = Bytes::from(vec![0x21; 200]);
        let audio =
            Packet { track: TrackId(0), kind: TrackKind::Audio, pts: at, dts: at, keyframe: true, data };
        out.extend([video, audio]);
    }
    out
}

fn whole_publication(step: usize) -> Joined {
    let mut joined = Joined::new(step, Verdict::Accept);
    joined.run();
    assert_eq!(joined.client_events, [client::Event::Ready]);
    let (video, audio) = configs();
    let metadata = Metadata { width: Some(1280), encoder: Some("test".into()), ..Metadata::default() };
    joined.publisher.send_metadata(&metadata);
    joined.publisher.send_video_config(&video);
    joined.publisher.send_audio_config(&audio);
    for packet in packets(60) {
        joined.publisher.send_packet(&packet);
    }
    joined.run();
    joined.publisher.finish();
    joined.run();
    joined
}

#[test]
fn publisher_and_session_understand_each_other() {
    let joined = whole_publication(usize::MAX);
    assert_eq!(joined.client_events, [client::Event::Ready, client::Event::Closed]);
    let (video, audio) = configs();
    let mut media = vec![];
    for event in joined.events {
        match event {
            Event::Media(event) => media.push(event),
            Event::Metadata(metadata) => assert_eq!(metadata.encoder.as_deref(), Some("test")),
            Event::PublishEnded { clean } => assert!(clean),
            Event::PublishRequested(request) => assert_eq!(request.query.expose(), "a=b"),
            other => panic!("{other:?}"),
        }
    }
    let mut want = vec![
        MediaEvent::VideoConfig(TrackId::default(), video),
        MediaEvent::AudioConfig(TrackId::default(), audio),
    ];
    want.extend(packets(60).into_iter().map(MediaEvent::Packet));
    for (got, want) in media.iter().zip(&want) {
        match (got, want) {
            (MediaEvent::Packet(got), MediaEvent::Packet(want)) => {
                assert_eq!((got.kind, got.keyframe, &got.data), (want.kind, want.keyframe, &want.data));
                assert!((got.pts - want.pts).abs().ticks() <= 90, "{:?} for {:?}", got.pts, want.pts);
            }
            (got, want) => assert_eq!(got, want),
        }
    }
    assert_eq!(media.len(), want.len());
    let stats = joined.session.stats();
    assert_eq!((stats.packets, stats.media_dropped, stats.nal_repairs), (120, 0, 0));
    assert_eq!(stats.bytes_in, joined.sent.len() as u64);
}

#[test]
fn a_refused_publisher_reads_why() {
    let description = "No stream has this key.".to_owned();
    let refusal = Verdict::Refuse { code: RefusalCode::BadName, description: description.clone() };
    let mut joined = Joined::new(usize::MAX, refusal);
    joined.run();
    let code = "NetStream.Publish.BadName".to_owned();
    assert_eq!(joined.client_events, [client::Event::Refused { code, description }]);
}

#[test]
fn a_byte_at_a_time_is_enough_for_both() {
    assert_eq!(whole_publication(1).events, whole_publication(usize::MAX).events);
}

/// Feeds `bytes` in pieces that end at `cuts`, accepting whoever publishes.
fn replay(bytes: &[u8], cuts: &[usize]) -> Vec<Event> {
    let now = Instant::now();
    let mut session = Session::new(now, Settings::default());
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let (mut out, mut from) = (vec![], 0);
    for end in ends {
        session.feed(now, &bytes[from..end]).unwrap();
        from = end;
        while let Some(event) = session.poll_event() {
            if matches!(event, Event::PublishRequested(_)) {
                session.answer(Verdict::Accept);
            }
            // Notes are told once the call that met them is over, so their place depends on the cuts.
            if !matches!(event, Event::Note(_)) {
                out.push(event);
            }
        }
        session.take_outbound();
    }
    out
}

fn sent() -> &'static [u8] {
    static SENT: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    SENT.get_or_init(|| whole_publication(usize::MAX).sent)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reads_may_split_anywhere(cuts in prop::collection::vec(any::<usize>(), 0..64)) {
        prop_assert_eq!(replay(sent(), &cuts), replay(sent(), &[]));
    }

    /// Real bytes, some of them changed: the parser goes further in than random ones let it.
    #[test]
    fn damaged_publications_do_not_panic(damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..20), step in 1usize..3000) {
        let mut bytes = sent().to_vec();
        let len = bytes.len();
        for (at, value) in damage { bytes[3073 + at % (len - 3073)] = value; }
        let now = Instant::now();
        let mut session = Session::new(now, Settings::default());
        for piece in bytes.chunks(step) {
            if session.feed(now, piece).is_err() { break; }
            while let Some(event) = session.poll_event() {
                if matches!(event, Event::PublishRequested(_)) { session.answer(Verdict::Accept); }
            }
            session.take_outbound();
        }
    }
}
