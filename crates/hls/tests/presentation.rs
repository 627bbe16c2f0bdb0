//! Lists over time: each one against the rules of RFC 8216, and each against those before it.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hls::{
    Segment,
    presentation::{Bandwidth, Choice, Family, Presentation, RenditionSpec, Role, Settings, VideoSpec},
    snapshot::{Phase, RenditionView, Snapshot},
};
use media::{Epoch, FrameRate, MediaSequence, MediaSpan, MediaTime};
use proptest::prelude::*;

const TARGET: u32 = 2;
/// In the unit of an EXTINF's last decimal.
const SECOND: u64 = 100_000;
const WINDOW: u64 = 20 * SECOND;
const UNIX: i64 = 1_795_348_800_000_000;

fn settings() -> Settings {
    Settings {
        name: "show".parse().unwrap(),
        session: Epoch(77),
        target_duration: TARGET,
        window: MediaSpan::from_millis(20_000),
        min_segments: 6,
        discontinuity_sequence: 3,
        part_target: MediaSpan::from_millis(500),
    }
}

fn spec(id: &str, height: u32, bandwidth: Bandwidth) -> RenditionSpec {
    let video = VideoSpec { width: height * 16 / 9, height, frame_rate: FrameRate::new(30, 1) };
    RenditionSpec {
        id: id.into(),
        family: Family::Ts,
        video: Some(video),
        has_audio: true,
        bandwidth,
        role: Role::Variant(None),
    }
}

fn two_renditions() -> Presentation {
    let mut presentation = Presentation::new(
        settings(),
        vec![
            spec("720p", 720, Bandwidth::Measured { hint_average_bps: Some(3_000_000) }),
            spec("360p", 360, Bandwidth::Declared { peak_bps: 1_000_000, average_bps: 800_000 }),
        ],
    );
    for rendition in 0..2 {
        presentation.set_codecs(
            rendition,
            Some(&support::video_config()),
            Some(&support::audio_config(48_000)),
        );
    }
    presentation
}

fn segment(sequence: u64, start_ms: i64, duration_ms: i64, discontinuity: bool, bytes: usize) -> Segment {
    Segment {
        sequence: MediaSequence(sequence),
        start: MediaTime::ZERO + MediaSpan::from_millis(start_ms),
        duration: MediaSpan::from_millis(duration_ms),
        discontinuity,
        gap: false,
        unix_micros: UNIX + start_ms * 1000,
        bytes: Bytes::from(vec![0; bytes]),
        ..Segment::default()
    }
}

/// A media playlist as a strict reader sees it.
#[derive(Debug, Default)]
struct List {
    target: u64,
    first: u64,
    discontinuity_sequence: u64,
    entries: Vec<Entry>,
    ended: bool,
}

#[derive(Clone, PartialEq, Debug)]
struct Entry {
    sequence: u64,
    number: u64,
    discontinuity: bool,
    date: String,
    gap: bool,
    duration: String,
}

impl Entry {
    /// Hundred-thousandths of a second.
    fn units(&self) -> u64 {
        let (whole, part) = self.duration.split_once('.').unwrap();
        assert_eq!(part.len(), 5);
        whole.parse::<u64>().unwrap() * SECOND + part.parse::<u64>().unwrap()
    }
}

fn read(text: &str) -> List {
    let mut lines = text.strip_suffix('\n').expect("ends in a line feed").split('\n');
    let mut header = |prefix: &str| {
        let line = lines.next().unwrap();
        line.strip_prefix(prefix).unwrap_or_else(|| panic!("{line} is not {prefix}")).to_owned()
    };
    assert_eq!(header("#EXTM3U"), "");
    assert_eq!(header("#EXT-X-VERSION:"), "3");
    let mut list = List {
        target: header("#EXT-X-TARGETDURATION:").parse().unwrap(),
        first: header("#EXT-X-MEDIA-SEQUENCE:").parse().unwrap(),
        discontinuity_sequence: header("#EXT-X-DISCONTINUITY-SEQUENCE:").parse().unwrap(),
        ..List::default()
    };
    let (mut number, mut sequence) = (list.discontinuity_sequence, list.first);
    let (mut discontinuity, mut gap, mut date, mut duration) = (false, false, None, None);
    for line in lines {
        assert!(!list.ended, "nothing follows ENDLIST");
        match line.split_once(':').unwrap_or((line, "")) {
            ("#EXT-X-DISCONTINUITY", "") => discontinuity = true,
            ("#EXT-X-GAP", "") => gap = true,
            ("#EXT-X-PROGRAM-DATE-TIME", at) => date = Some(at.to_owned()),
            ("#EXTINF", span) => duration = Some(span.strip_suffix(',').unwrap().to_owned()),
            ("#EXT-X-ENDLIST", "") => list.ended = true,
            (uri, "") => {
                assert_eq!(uri, format!("{sequence}.ts"));
                number += u64::from(discontinuity);
                list.entries.push(Entry {
                    sequence,
                    number,
                    discontinuity: std::mem::take(&mut discontinuity),
                    date: date.take().expect("every segment has its date"),
                    gap: std::mem::take(&mut gap),
                    duration: duration.take().expect("every segment has its EXTINF"),
                });
                sequence += 1;
            }
            other => panic!("unknown line {other:?}"),
        }
    }
    let (rest, other) = m3u8_rs::parse_media_playlist(text.as_bytes()).expect("another reader takes it");
    assert!(rest.is_empty() && other.segments.len() == list.entries.len());
    assert_eq!(
        (other.media_sequence, other.discontinuity_sequence),
        (list.first, list.discontinuity_sequence)
    );
    list
}

/// One rendition's lists over time.
#[derive(Default)]
struct History {
    known: BTreeMap<u64, Entry>,
    last: Option<List>,
    /// Gone from the list: until when it must be there.
    keep: BTreeMap<u64, Instant>,
    longest: BTreeMap<u64, u64>,
}

impl History {
    fn see(&mut self, now: Instant, snapshot: &Snapshot, view: &RenditionView) {
        let Some(document) = snapshot.playlist(view.id(), None) else {
            assert!(self.last.is_none(), "a list never goes away");
            return;
        };
        let list = read(std::str::from_utf8(document.body()).unwrap());
        assert_eq!(list.target, u64::from(TARGET), "M1");
        let span: u64 = list.entries.iter().map(Entry::units).sum();
        for entry in &list.entries {
            assert!((entry.units() + SECOND / 2) / SECOND <= u64::from(TARGET), "M2: {entry:?}");
            let known = self.known.entry(entry.sequence).or_insert_with(|| entry.clone());
            assert_eq!(known, entry, "M5: a segment keeps all its properties");
            let longest = self.longest.entry(entry.sequence).or_default();
            *longest = span.max(*longest);
            let held = view.segment(MediaSequence(entry.sequence)).expect("M13: a listed segment is there");
            assert_eq!(held.bytes.is_empty(), entry.gap);
        }
        assert_eq!(view.newest().unwrap().0, list.entries.last().unwrap().sequence);
        if let Some(last) = self.last.replace(list) {
            let list = self.last.as_ref().unwrap();
            assert!(list.first >= last.first, "M4");
            assert!(list.discontinuity_sequence >= last.discontinuity_sequence, "M6");
            let gone: Vec<&Entry> = last.entries.iter().filter(|entry| entry.sequence < list.first).collect();
            let tags = gone.iter().filter(|entry| entry.discontinuity).count() as u64;
            // what a rendition far behind was filled up with may have come and gone between two lists
            let step = list.discontinuity_sequence - last.discontinuity_sequence;
            let leapt = list.first > last.entries.last().unwrap().sequence + 1;
            assert!(step == tags || leapt && step > tags, "M6: one for each tag, {step} for {tags}");
            assert!(list.entries.len() + gone.len() >= last.entries.len(), "the end only grows");
            for entry in &gone {
                let keep = entry.units() + self.longest[&entry.sequence];
                self.keep.insert(entry.sequence, now + Duration::from_micros(keep * 10 - 1000));
            }
            if !gone.is_empty() {
                assert!(
                    !list.ended && span >= 3 * u64::from(TARGET) * SECOND && span >= WINDOW,
                    "M12: {span}"
                );
                assert!(list.entries.len() >= 6, "M22");
            }
            assert!(!last.ended || list.ended, "M24: the end is final");
        }
        let list = self.last.as_ref().unwrap();
        let first = list.entries[0].units();
        assert!(span - first < WINDOW || list.entries.len() <= 6 || list.ended, "the window is kept: {span}");
        for (sequence, until) in &self.keep {
            assert!(now >= *until || view.segment(MediaSequence(*sequence)).is_some(), "M14: {sequence}");
        }
    }
}

fn check_multivariant(snapshot: &Snapshot, told: &mut BTreeMap<String, u64>) {
    let Some(document) = snapshot.multivariant() else { return };
    let text = std::str::from_utf8(document.body()).unwrap();
    assert!(text.starts_with("#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n"));
    let (_, list) = m3u8_rs::parse_master_playlist(document.body()).unwrap();
    let (keyframes, variants): (Vec<_>, Vec<_>) =
        list.variants.iter().partition(|variant| variant.is_i_frame);
    assert_eq!((variants.len(), keyframes.len()), (snapshot.renditions().len(), variants.len()), "V16");
    for variant in &variants {
        let id = variant.uri.strip_prefix("77/").unwrap().strip_suffix("/index.m3u8").unwrap();
        let view = snapshot.rendition(id).expect("V2: the URI is a rendition's");
        assert!(variant.bandwidth > 0 && variant.average_bandwidth.unwrap() <= variant.bandwidth, "V2, V3");
        assert!(variant.bandwidth >= view.measured_peak_bps(), "the peak is within BANDWIDTH");
        assert_eq!(variant.bandwidth, view.declared_bps());
        assert_eq!(variant.codecs.as_deref(), Some("avc1.64001f,mp4a.40.2"), "V4");
        assert!(variant.resolution.is_some() && variant.frame_rate == Some(30.0), "V5");
        let before = told.insert(id.to_owned(), variant.bandwidth).unwrap_or(0);
        assert!(variant.bandwidth >= before, "BANDWIDTH never falls");
    }
    assert_eq!(text.matches(",CLOSED-CAPTIONS=NONE\n").count(), variants.len(), "V7");
}

#[derive(Clone, Debug)]
enum Step {
    Push { rendition: usize, bytes: usize },
    Miss { rendition: usize },
    Gap { millis: i64, discontinuity: bool },
    Hold,
    Wait(u64),
    Trim,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0usize..2, 188usize..900_000).prop_map(|(rendition, bytes)| Step::Push { rendition, bytes }),
        1 => (0usize..2).prop_map(|rendition| Step::Miss { rendition }),
        1 => (100i64..2500, any::<bool>())
            .prop_map(|(millis, discontinuity)| Step::Gap { millis, discontinuity }),
        1 => Just(Step::Hold),
        4 => (0u64..4000).prop_map(Step::Wait),
        2 => Just(Step::Trim),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_list_keeps_the_rules(
        steps in steps(),
        shape in proptest::collection::vec((200i64..2500, proptest::bool::weighted(0.1)), 210),
    ) {
        let start = |nth: usize| shape[..nth].iter().map(|(millis, _)| millis).sum::<i64>();
        let first = 1000;
        let mut now = Instant::now();
        let mut presentation = two_renditions();
        // how far each rendition is, and what is a gap for all
        let mut at = [0usize; 2];
        let mut histories = [History::default(), History::default()];
        let mut told = BTreeMap::new();
        for step in steps {
            match step {
                Step::Push { rendition, bytes } => {
                    let nth = at[rendition];
                    let (millis, discontinuity) = shape[nth];
                    let made = segment(first + nth as u64, start(nth), millis, discontinuity, bytes / 188 * 188);
                    presentation.push(now, rendition, made.clone());
                    let before = presentation.snapshot();
                    presentation.push(now, rendition, made);
                    prop_assert!(Arc::ptr_eq(&before, &presentation.snapshot()), "a number comes once");
                    at[rendition] += 1;
                }
                // at most one behind the other's front, or none would know what was missed
                Step::Miss { rendition } if at[rendition] < at[1 - rendition] => at[rendition] += 1,
                Step::Miss { .. } => {}
                Step::Gap { millis, discontinuity } => {
                    let nth = at[0].max(at[1]);
                    let sequence = MediaSequence(first + nth as u64);
                    let unix = UNIX + start(nth) * 1000;
                    presentation.gap(now, sequence, MediaSpan::from_millis(millis), discontinuity, unix);
                    at = [nth + 1; 2];
                }
                Step::Hold => {
                    presentation.set_phase(Phase::Held);
                    prop_assert_eq!(presentation.snapshot().phase(), Phase::Held);
                    presentation.set_phase(Phase::Live);
                }
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Trim => presentation.trim(now),
            }
            let snapshot = presentation.snapshot();
            for (view, history) in snapshot.renditions().iter().zip(&mut histories) {
                history.see(now, &snapshot, view);
            }
            check_multivariant(&snapshot, &mut told);
        }
        // M10: equal numbers are equal discontinuity numbers, dates and lengths
        for (sequence, one) in &histories[0].known {
            if let Some(other) = histories[1].known.get(sequence) {
                prop_assert_eq!((one.number, one.discontinuity), (other.number, other.discontinuity));
                prop_assert_eq!((&one.date, &one.duration), (&other.date, &other.duration));
            }
        }
        presentation.set_phase(Phase::Ended);
        presentation.push(now, 0, segment(9000, 0, 2000, false, 188));
        presentation.set_phase(Phase::Live);
        let snapshot = presentation.snapshot();
        prop_assert_eq!(snapshot.phase(), Phase::Ended);
        for (view, history) in snapshot.renditions().iter().zip(&mut histories) {
            history.see(now, &snapshot, view);
            prop_assert!(history.last.as_ref().is_none_or(|list| list.ended), "M24");
        }
        // all that left the lists is freed in the end, nothing else is
        presentation.trim(now + Duration::from_secs(3600));
        for view in presentation.snapshot().renditions() {
            let listed: u64 = view.listed().iter().map(|segment| segment.bytes.len() as u64).sum();
            prop_assert_eq!(view.bytes_held(), listed);
        }
    }
}

#[test]
fn the_multivariant_list_waits_for_codecs_and_a_segment() {
    let now = Instant::now();
    let mut presentation = Presentation::new(
        settings(),
        vec![
            spec("720p", 720, Bandwidth::Measured { hint_average_bps: None }),
            spec("360p", 360, Bandwidth::Declared { peak_bps: 1_000_000, average_bps: 800_000 }),
        ],
    );
    let ready = |presentation: &Presentation| presentation.snapshot().multivariant().is_some();
    assert_eq!(presentation.snapshot().phase(), Phase::Starting);
    presentation.set_codecs(0, Some(&support::video_config()), None);
    presentation.set_codecs(0, None, Some(&support::audio_config(48_000)));
    presentation.push(now, 1, segment(5, 0, 2000, false, 188_000));
    assert_eq!(presentation.snapshot().phase(), Phase::Live);
    assert!(!ready(&presentation), "360p has no codecs, 720p no rate");
    presentation.set_codecs(1, Some(&support::video_config()), Some(&support::audio_config(48_000)));
    assert!(!ready(&presentation), "720p has no rate");
    presentation.push(now, 0, segment(5, 0, 2000, false, 940_000));
    let text = presentation.snapshot().multivariant().unwrap().body().clone();
    // 3.76 Mbit/s and a tenth, up to the next 10 kbit/s
    assert_eq!(
        std::str::from_utf8(&text).unwrap(),
        "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1000000,AVERAGE-BANDWIDTH=800000,CODECS=\"avc1.64001f,mp4a.40.2\",\
         RESOLUTION=640x360,FRAME-RATE=30.000,CLOSED-CAPTIONS=NONE\n77/360p/index.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=4140000,AVERAGE-BANDWIDTH=3760000,CODECS=\"avc1.64001f,mp4a.40.2\",\
         RESOLUTION=1280x720,FRAME-RATE=30.000,CLOSED-CAPTIONS=NONE\n77/720p/index.m3u8\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1000000,CODECS=\"avc1.64001f\",RESOLUTION=640x360,\
         URI=\"77/360p/iframes.m3u8\"\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=4140000,CODECS=\"avc1.64001f\",RESOLUTION=1280x720,\
         URI=\"77/720p/iframes.m3u8\"\n"
    );
    let before = presentation.snapshot();
    presentation.push(now, 0, segment(6, 2000, 2000, false, 188_000));
    let after = presentation.snapshot();
    assert!(std::ptr::eq(before.multivariant().unwrap(), after.multivariant().unwrap()), "rendered once");
    assert!(std::ptr::eq(before.playlist("360p", None).unwrap(), after.playlist("360p", None).unwrap()));
}

#[test]
fn rates_follow_hint_and_measure() {
    let now = Instant::now();
    let one = |bandwidth| Presentation::new(settings(), vec![spec("v", 720, bandwidth)]);
    let rates = |presentation: &Presentation| {
        let snapshot = presentation.snapshot();
        let view = &snapshot.renditions()[0];
        (
            view.declared_bps(),
            view.declared_average_bps(),
            view.measured_peak_bps(),
            view.measured_average_bps(),
        )
    };
    let mut hinted = one(Bandwidth::Measured { hint_average_bps: Some(2_000_000) });
    hinted.push(now, 0, segment(0, 0, 2000, false, 250_000));
    assert_eq!(rates(&hinted), (2_750_000, 2_200_000, 1_000_000, 1_000_000));
    hinted.push(now, 0, segment(1, 2000, 2000, false, 750_000));
    assert_eq!(rates(&hinted), (3_300_000, 2_200_000, 3_000_000, 2_000_000));
    hinted.push(now, 0, segment(2, 4000, 2000, false, 25_000));
    assert_eq!(rates(&hinted).0, 3_300_000, "it never falls");
    let mut declared = one(Bandwidth::Declared { peak_bps: 1_500_000, average_bps: 1_000_000 });
    declared.push(now, 0, segment(0, 0, 2000, false, 250_000));
    assert_eq!(rates(&declared), (1_500_000, 1_000_000, 1_000_000, 1_000_000));
    declared.push(now, 0, segment(1, 2000, 2000, false, 500_000));
    assert_eq!(rates(&declared), (2_000_000, 1_000_000, 2_000_000, 1_500_000));
}

/// What the lists say, as "number(discontinuity number)", with a `-` for a gap.
fn listed(presentation: &Presentation, rendition: usize) -> String {
    let snapshot = presentation.snapshot();
    let Some(document) = snapshot.playlist(snapshot.renditions()[rendition].id(), None) else {
        return String::new();
    };
    let list = read(std::str::from_utf8(document.body()).unwrap());
    let one =
        |entry: &Entry| format!("{}({}){}", entry.sequence, entry.number, if entry.gap { "-" } else { "" });
    list.entries.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_a_rendition_misses_becomes_gaps_of_the_right_length() {
    let now = Instant::now();
    let mut presentation = two_renditions();
    for (nth, discontinuity) in [false, false, true, false].into_iter().enumerate() {
        presentation.push(now, 0, segment(nth as u64, nth as i64 * 1500, 1500, discontinuity, 188));
    }
    presentation.push(now, 1, segment(0, 0, 1500, false, 188));
    presentation.push(now, 1, segment(3, 4500, 1500, false, 188));
    assert_eq!(listed(&presentation, 0), "0(3) 1(3) 2(4) 3(4)");
    assert_eq!(listed(&presentation, 1), "0(3) 1(3)- 2(4)- 3(4)");
    // numbers that no rendition brought: the time between is shared
    presentation.push(now, 0, segment(6, 8000, 1500, false, 188));
    let snapshot = presentation.snapshot();
    let view = &snapshot.renditions()[0];
    assert_eq!(view.segment(MediaSequence(4)).unwrap().duration.millis(), 1000);
    assert_eq!(view.segment(MediaSequence(5)).unwrap().unix_micros, UNIX + 7_000_000);
    presentation.push(now, 1, segment(6, 8000, 1500, false, 188));
    assert_eq!(listed(&presentation, 1), "0(3) 1(3)- 2(4)- 3(4) 4(4)- 5(4)- 6(4)");
}

#[test]
fn a_rendition_may_begin_later_or_earlier_than_the_others() {
    let now = Instant::now();
    let mut presentation = two_renditions();
    presentation.push(now, 0, segment(5, 0, 2000, false, 188));
    presentation.push(now, 0, segment(6, 2000, 2000, true, 188));
    presentation.push(now, 1, segment(6, 2000, 2000, true, 188));
    assert_eq!(listed(&presentation, 1), "6(4)");
    let mut presentation = two_renditions();
    presentation.push(now, 0, segment(5, 4000, 2000, false, 188));
    presentation.push(now, 1, segment(3, 0, 2000, false, 188));
    presentation.push(now, 1, segment(5, 4000, 2000, false, 188));
    assert_eq!(listed(&presentation, 1), "3(3) 4(3)- 5(3)");
}

#[test]
fn a_hold_goes_on_with_gaps_in_the_renditions_that_have_begun() {
    let now = Instant::now();
    let mut presentation = two_renditions();
    presentation.push(now, 0, segment(0, 0, 2000, false, 188));
    presentation.gap(now, MediaSequence(1), MediaSpan::from_millis(2000), true, UNIX + 2_000_000);
    presentation.gap(now, MediaSequence(2), MediaSpan::from_millis(2000), false, UNIX + 4_000_000);
    assert_eq!(listed(&presentation, 0), "0(3) 1(4)- 2(4)-");
    assert_eq!(listed(&presentation, 1), "");
    for rendition in 0..2 {
        presentation.push(now, rendition, segment(3, 6000, 2000, true, 188));
    }
    assert_eq!(listed(&presentation, 0), "0(3) 1(4)- 2(4)- 3(5)");
    assert_eq!(listed(&presentation, 1), "3(5)");
}

#[test]
fn a_leap_too_wide_to_fill_starts_the_list_anew() {
    let now = Instant::now();
    let mut presentation = two_renditions();
    presentation.push(now, 0, segment(0, 0, 2000, false, 188));
    presentation.push(now, 0, segment(1_000_000, 2000, 2000, true, 188));
    assert_eq!(listed(&presentation, 0), "1000000(4)");
}

#[test]
fn sound_alone_has_no_picture_to_tell() {
    let sound = RenditionSpec {
        id: "audio".into(),
        family: Family::Ts,
        video: None,
        has_audio: true,
        bandwidth: Bandwidth::Measured { hint_average_bps: Some(128_000) },
        role: Role::Variant(None),
    };
    let mut presentation = Presentation::new(settings(), vec![sound]);
    presentation.set_codecs(0, None, Some(&support::audio_config(48_000)));
    presentation.push(Instant::now(), 0, segment(0, 0, 2000, false, 1880));
    let snapshot = presentation.snapshot();
    let text = snapshot.multivariant().unwrap().body();
    assert!(std::str::from_utf8(text).unwrap().contains(
        "#EXT-X-STREAM-INF:BANDWIDTH=180000,AVERAGE-BANDWIDTH=150000,CODECS=\"mp4a.40.2\",CLOSED-CAPTIONS=NONE\n"
    ));
}

#[test]
fn further_sounds_are_told_with_the_variants() {
    let choice = |name: &str| Choice { name: name.into(), language: Some("en".into()), channels: 2 };
    let mut variant = spec("360p", 360, Bandwidth::Declared { peak_bps: 1_000_000, average_bps: 800_000 });
    variant.role = Role::Variant(Some(choice("Main")));
    let alternate = |id: &str| RenditionSpec {
        id: id.into(),
        family: Family::Ts,
        video: None,
        has_audio: true,
        bandwidth: Bandwidth::Measured { hint_average_bps: Some(100_000) },
        role: Role::Alternate(choice(id)),
    };
    let mut presentation =
        Presentation::new(settings(), vec![variant, alternate("audio-1"), alternate("audio-2")]);
    let text = |presentation: &Presentation| {
        let body = presentation.snapshot().multivariant().map(|document| document.body().clone());
        body.map(|body| String::from_utf8(body.to_vec()).unwrap()).unwrap_or_default()
    };
    presentation.set_codecs(0, Some(&support::video_config()), Some(&support::audio_config(48_000)));
    presentation.set_codecs(1, None, Some(&support::audio_config(48_000)));
    let now = Instant::now();
    presentation.push(now, 0, segment(0, 0, 2000, false, 188));
    presentation.push(now, 1, segment(0, 0, 2000, false, 188));
    assert_eq!(text(&presentation), "", "the second sound is waited for");
    presentation.push(now, 0, segment(1, 2000, 2000, false, 188));
    let told = text(&presentation);
    assert!(told.contains("NAME=\"Main\"") && told.contains("audio-1/index.m3u8"), "{told}");
    assert!(!told.contains("audio-2"), "not for ever: {told}");
    assert!(told.contains("BANDWIDTH=1140000,AVERAGE-BANDWIDTH=910000,"), "both are loaded: {told}");
    presentation.set_codecs(2, None, Some(&support::audio_config(48_000)));
    presentation.push(now, 2, segment(1, 2000, 2000, false, 188));
    assert!(text(&presentation).contains("audio-2/index.m3u8"));
    assert_eq!(text(&presentation).matches("#EXT-X-STREAM-INF").count(), 1, "sounds are no variants");
}
