//! Whole streams, from media events to what viewers are given: clips made by FFmpeg, publications one after another.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hls::snapshot::{RenditionView, Snapshot};
use media::{MediaEvent, MediaSpan, TrackId, TrackKind};
use transcode::file::File;

use super::*;

struct Clips {
    dir: tempfile::TempDir,
}

impl Clips {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// `ffmpeg … name`, with the arguments in one string.
    fn make(&self, name: &str, args: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let done = Command::new("ffmpeg")
            .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"])
            .args(args.split_whitespace())
            .arg(&path)
            .status()
            .unwrap();
        assert!(done.success(), "ffmpeg {args}");
        path
    }
}

fn events(path: &Path) -> Vec<MediaEvent> {
    File::open(path).unwrap().collect()
}

/// How a publication ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Lost,
    Clean,
}

struct Show {
    shared: Shared,
    name: StreamName,
    handle: Option<Handle>,
    /// Of the publishers to come.
    own: Option<Wishes>,
    _dir: tempfile::TempDir,
}

impl Show {
    fn new(wishes: Wishes) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            hold: Duration::from_secs(60),
            keep_ended: Duration::from_secs(60),
            linger: Duration::ZERO,
            window: Duration::from_secs(120),
            pictures: Duration::from_secs(1),
            min_segments: 6,
            low_latency: false,
            part: Duration::from_millis(500),
            wishes,
            own_wishes: Vec::new(),
            isolation: Isolation::Thread,
            worker_memory: 2 << 30,
            sandbox: transcode::Sandbox::Auto,
            fault: None,
            latency_ceiling: Duration::from_secs(10),
            show_address: true,
            captions: crate::config::Captions::Auto,
        };
        let shared = Shared {
            settings: Arc::new(settings),
            store: Store::open(dir.path()).unwrap(),
            library: origin::Library::new(),
            recordings: None,
            governor: Governor::new(crate::governor::Settings {
                budget: 1.0,
                ceiling: Duration::from_secs(10),
                admission: crate::governor::Admission::Always,
            }),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Self { shared, name: "show".parse().unwrap(), handle: None, own: None, _dir: dir }
    }

    /// Publishes the events as fast as they are taken, and waits until the stream has made of them what it can.
    async fn publish(&mut self, events: Vec<MediaEvent>, end: End) -> Arc<Snapshot> {
        let before = self.shared.library.snapshot(&self.name).and_then(|snapshot| newest(&snapshot));
        let (items, packets) = mpsc::channel(LANE);
        let (farewell, farewells) = watch::channel(None);
        let publisher = Publisher {
            peer: ([127, 0, 0, 1], 1).into(),
            transport: ingest::Transport::Rtmp,
            since: std::time::SystemTime::now(),
            encoder: None,
            quirks: Vec::new(),
            packets,
            farewell,
            publication: Publication::untold(),
            wishes: self.own.clone().map(Box::new),
        };
        match &self.handle {
            Some(handle) => assert!(handle.publish(publisher).await.is_ok(), "the stream is there"),
            None => self.handle = Some(start(&self.shared, self.name.clone(), publisher)),
        }
        for event in events {
            assert!(items.send(FromPublisher::Media(event)).await.is_ok(), "the publisher is let in");
        }
        let ended = FromPublisher::Ended { clean: end == End::Clean, why: "the test is over".to_owned() };
        assert!(items.send(ended).await.is_ok(), "the publisher is let in");
        items.closed().await; // the stream knows that the publisher is gone
        assert_eq!(*farewells.borrow(), None);
        let want = if end == End::Clean { hls::snapshot::Phase::Ended } else { hls::snapshot::Phase::Held };
        loop {
            let snapshot = self.shared.library.snapshot(&self.name).unwrap();
            if snapshot.phase() == want && newest(&snapshot) > before {
                return snapshot;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The newest number that has media.
fn newest(snapshot: &Snapshot) -> Option<media::MediaSequence> {
    let listed = snapshot.renditions().first()?.listed();
    listed.iter().rev().find(|segment| !segment.gap).map(|segment| segment.sequence)
}

/// Numbers, `!` for a discontinuity, `-` for a gap.
fn marks(view: &RenditionView) -> String {
    let first = view.listed()[0].sequence.0;
    let one = |segment: &Arc<hls::Segment>| {
        let marks = [(segment.discontinuity, "!"), (segment.gap, "-")];
        let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
        format!("{}{marks}", segment.sequence.0 - first)
    };
    view.listed().iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Frames that FFmpeg decodes of a rendition's segments from `from` on, which must be without fault.
fn decoded(view: &RenditionView, from: usize, kind: TrackKind) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.ts");
    let bytes: Vec<u8> =
        view.listed()[from..].iter().flat_map(|segment| segment.bytes.iter().copied()).collect();
    fs::write(&path, bytes).unwrap();
    let stream = if kind == TrackKind::Video { "v:0" } else { "a:0" };
    let output = Command::new("ffprobe")
        .args(["-loglevel", "error", "-count_frames", "-select_streams", stream])
        .args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(&path)
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.is_empty(), "{}: {complaints}", view.id());
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().and_then(|line| line.trim_matches(',').parse().ok()).unwrap_or(0)
}

fn ids(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.renditions().iter().map(RenditionView::id).collect()
}

const TWO_PICTURES: &str = "-f lavfi -i testsrc2=size=640x360:rate=30 -f lavfi -i sine=f=500:r=48000 \
     -f lavfi -i sine=f=900:r=44100 -filter_complex [0:v]split[a][b];[b]scale=426:240,setsar=1[c] \
     -map [a] -map [c] -map 1:a -map 2:a -t 8 -c:v libx264 -preset veryfast -bf 2 -g 60 -keyint_min 60 \
     -sc_threshold 0 -c:a:0 aac -c:a:1 libopus -metadata:s:a:1 language=eng -metadata:s:a:1 title=Comments";

#[tokio::test]
async fn a_multitrack_publication_becomes_renditions_with_a_small_one_filled_in() {
    let clips = Clips::new();
    let clip = clips.make("two.mkv", TWO_PICTURES);
    let wishes = Wishes {
        rungs: vec![transcode::ladder::RungWish { height: 120, bitrate_bps: None }],
        ..Wishes::default()
    };
    let mut show = Show::new(wishes);
    let snapshot = show.publish(events(&clip), End::Lost).await;
    assert_eq!(ids(&snapshot), ["360p", "240p", "120p", "audio-1"]);
    for view in snapshot.renditions() {
        assert_eq!(marks(view), "0 1 2 3", "{}", view.id());
        if view.video().is_some() {
            assert_eq!(decoded(view, 0, TrackKind::Video), 240, "{}", view.id());
        }
        let sounds = decoded(view, 0, TrackKind::Audio);
        assert!((370..=378).contains(&sounds), "{}: {sounds} sounds", view.id());
    }
    let list = String::from_utf8(snapshot.multivariant().unwrap().body().to_vec()).unwrap();
    assert!(list.contains("RESOLUTION=640x360") && list.contains("RESOLUTION=426x240"), "{list}");
    assert_eq!(list.matches("FRAME-RATE=30.000").count(), 3, "{list}");
    assert!(list.contains("LANGUAGE=\"und\",DEFAULT=NO") && list.contains("CHANNELS=\"2\""), "{list}");
    // Back with the first picture alone: the same renditions, one discontinuity.
    let alone: Vec<MediaEvent> = events(&clip)
        .into_iter()
        .filter(|event| match event {
            MediaEvent::VideoConfig(track, _) => *track == TrackId(0),
            MediaEvent::Packet(packet) => packet.kind == TrackKind::Audio || packet.track == TrackId(0),
            _ => true,
        })
        .collect();
    let snapshot = show.publish(alone, End::Clean).await;
    assert_eq!(ids(&snapshot), ["360p", "240p", "120p", "audio-1"]);
    for view in snapshot.renditions() {
        assert_eq!(marks(view).matches('!').count(), 1, "{}: {}", view.id(), marks(view));
        let from = view.listed().iter().position(|segment| segment.discontinuity).unwrap();
        if view.video().is_some() {
            assert_eq!(decoded(view, from, TrackKind::Video), 240, "{}", view.id());
        }
    }
}

#[tokio::test]
async fn an_encoder_that_returns_with_other_codings_keeps_the_renditions() {
    let clips = Clips::new();
    let picture = "-f lavfi -i testsrc2=size=320x240:rate=30 -f lavfi -i sine=r=48000 -t 5";
    let h264 = "-c:v libx264 -preset veryfast -g 60 -keyint_min 60 -sc_threshold 0";
    let hevc = "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=60";
    let first = clips.make("first.mkv", &format!("{picture} {h264} -c:a aac"));
    let second = clips.make("second.mp4", &format!("{picture} {hevc} -c:a libopus"));
    let third =
        clips.make("third.mkv", &format!("{picture} -c:v libsvtav1 -preset 12 -g 60 -c:a libmp3lame"));
    let mut show = Show::new(Wishes { rungs: vec![], max_rungs: 2, ..Wishes::default() });
    let snapshot = show.publish(events(&first), End::Lost).await;
    assert_eq!(ids(&snapshot), ["240p"]);
    assert_eq!(decoded(&snapshot.renditions()[0], 0, TrackKind::Video), 150);
    for (nth, clip) in [(1, &second), (2, &third)] {
        let end = if nth == 2 { End::Clean } else { End::Lost };
        let snapshot = show.publish(events(clip), end).await;
        let view = &snapshot.renditions()[0];
        assert_eq!(ids(&snapshot), ["240p"]);
        assert_eq!(marks(view).matches('!').count(), nth, "{}", marks(view));
        let from = view.listed().iter().rposition(|segment| segment.discontinuity).unwrap();
        assert_eq!(decoded(view, from, TrackKind::Video), 150, "{nth}");
        let sounds = decoded(view, from, TrackKind::Audio);
        assert!((230..=237).contains(&sounds), "{nth}: {sounds}");
        assert!(view.codecs().starts_with("avc1.") && view.codecs().ends_with("mp4a.40.2"));
    }
}

#[tokio::test]
async fn codings_that_change_in_the_stream_cost_one_discontinuity() {
    let clips = Clips::new();
    let source = "-f lavfi -i testsrc2=size=320x240:rate=30 -f lavfi -i sine=r=48000 -t 5 -c:v libx264 \
                  -preset veryfast -g 60 -keyint_min 60 -sc_threshold 0";
    let aac = clips.make("aac.mkv", &format!("{source} -c:a aac"));
    let opus = clips.make("opus.mkv", &format!("{source} -c:a libopus"));
    let mut all = events(&aac);
    let shift = MediaSpan::from_millis(5000);
    all.extend(events(&opus).into_iter().filter_map(|event| match event {
        MediaEvent::Packet(packet) => Some(MediaEvent::Packet(packet.shifted(shift))),
        MediaEvent::VideoConfig(..) => None, // as before
        other => Some(other),
    }));
    let mut show = Show::new(Wishes { max_rungs: 1, ..Wishes::default() });
    let snapshot = show.publish(all, End::Clean).await;
    let view = &snapshot.renditions()[0];
    assert_eq!(marks(view).matches('!').count(), 1, "{}", marks(view));
    assert_eq!(decoded(view, 0, TrackKind::Video), 300);
    let sounds = decoded(view, 0, TrackKind::Audio);
    assert!((464..=472).contains(&sounds), "{sounds}");
}

#[tokio::test]
async fn a_picture_that_comes_after_sound_alone_begins_a_new_session() {
    let clips = Clips::new();
    let both = clips.make(
        "both.mkv",
        "-f lavfi -i testsrc2=size=320x240:rate=30 -f lavfi -i sine=r=48000 -t 10 -c:v libx264 -preset veryfast \
         -g 60 -keyint_min 60 -sc_threshold 0 -c:a aac",
    );
    let all = events(&both);
    let picture: Vec<MediaEvent> =
        all.iter().filter(|event| matches!(event, MediaEvent::VideoConfig(..))).cloned().collect();
    let mut late = Vec::new();
    let mut announced = false;
    for event in all {
        match &event {
            MediaEvent::VideoConfig(..) => continue,
            MediaEvent::Packet(packet) if packet.kind == TrackKind::Video => {
                if packet.pts.ticks() < 5 * 90_000 {
                    continue;
                }
                if !std::mem::replace(&mut announced, true) {
                    late.extend(picture.iter().cloned());
                }
            }
            _ => {}
        }
        late.push(event);
    }
    let mut show = Show::new(Wishes { max_rungs: 1, ..Wishes::default() });
    let snapshot = show.publish(late, End::Clean).await;
    assert_eq!(ids(&snapshot), ["240p"]);
    let frames = decoded(&snapshot.renditions()[0], 0, TrackKind::Video);
    assert!(frames >= 120, "{frames}: from the keyframe at 6 s on");
}

#[tokio::test]
async fn pictures_without_sound_get_silence_until_sound_comes() {
    let clips = Clips::new();
    let picture = "-f lavfi -i testsrc2=size=320x240:rate=30";
    let coded = "-t 5 -c:v libx264 -preset veryfast -g 60 -keyint_min 60 -sc_threshold 0";
    let mute = clips.make("mute.mkv", &format!("{picture} {coded}"));
    let heard = clips.make("heard.mkv", &format!("{picture} -f lavfi -i sine=r=44100 {coded} -c:a aac"));
    let mut show = Show::new(Wishes { max_rungs: 1, ..Wishes::default() });
    for (nth, clip, end) in [(0, &mute, End::Lost), (1, &heard, End::Lost), (2, &mute, End::Clean)] {
        let snapshot = show.publish(events(clip), end).await;
        let view = &snapshot.renditions()[0];
        assert_eq!(ids(&snapshot), ["240p"]);
        assert!(view.codecs().ends_with(",mp4a.40.2"), "{}", view.codecs());
        assert_eq!(marks(view).matches('!').count(), nth, "{}", marks(view));
        let from = if nth == 0 {
            0
        } else {
            view.listed().iter().rposition(|segment| segment.discontinuity).unwrap()
        };
        assert_eq!(decoded(view, from, TrackKind::Video), 150, "{nth}");
        let sounds = decoded(view, from, TrackKind::Audio);
        // silence at first runs at 48 kHz, later as the sound before it did
        let want = if nth == 0 { 230..=237 } else { 209..=219 };
        assert!(want.contains(&sounds), "{nth}: {sounds}");
    }
    let mut show = Show::new(Wishes { max_rungs: 1, fill_sound: false, ..Wishes::default() });
    let snapshot = show.publish(events(&mute), End::Clean).await;
    let view = &snapshot.renditions()[0];
    assert!(!view.codecs().contains("mp4a"), "{}", view.codecs());
    assert_eq!(decoded(view, 0, TrackKind::Audio), 0);
}

/// 24 seconds of picture and sound, without the pictures between these times in seconds.
fn with_a_hole(clips: &Clips, hole: std::ops::Range<i64>) -> Vec<MediaEvent> {
    let both = clips.make(
        "both.mkv",
        "-f lavfi -i testsrc2=size=320x240:rate=30 -f lavfi -i sine=r=48000 -t 24 -c:v libx264 -preset veryfast -g 30 \
         -keyint_min 30 -sc_threshold 0 -c:a aac",
    );
    let there = |event: &MediaEvent| match event {
        MediaEvent::Packet(packet) if packet.kind == TrackKind::Video => {
            !(hole.start * 90_000..hole.end * 90_000).contains(&packet.pts.ticks())
        }
        _ => true,
    };
    events(&both).into_iter().filter(there).collect()
}

/// The first 7.5 seconds: what comes at once is not too much for an encoder.
fn beginning(events: Vec<MediaEvent>) -> Vec<MediaEvent> {
    let early = |event: &MediaEvent| match event {
        MediaEvent::Packet(packet) => packet.pts.ticks() < 675_000,
        _ => true,
    };
    events.into_iter().filter(early).collect()
}

fn sound_only(events: &[MediaEvent]) -> Vec<MediaEvent> {
    let sound = |event: &&MediaEvent| match event {
        MediaEvent::VideoConfig(..) => false,
        MediaEvent::Packet(packet) => packet.kind == TrackKind::Audio,
        _ => true,
    };
    events.iter().filter(sound).cloned().collect()
}

/// Equal numbers begin at the same time, and none lasts longer than it may.
fn assert_even(snapshot: &Snapshot) {
    let first = snapshot.renditions()[0].listed();
    for view in snapshot.renditions() {
        assert_eq!(marks(view), marks(&snapshot.renditions()[0]), "{}", view.id());
        for (segment, other) in view.listed().iter().zip(first).filter(|(segment, _)| !segment.gap) {
            assert_eq!(segment.start, other.start, "{}", view.id());
            assert!(
                segment.duration <= MediaSpan::from_millis(2490),
                "{}: {:?}",
                view.id(),
                segment.duration
            );
        }
    }
}

#[tokio::test]
async fn sound_alone_gets_a_dark_picture_if_that_is_wished() {
    let clips = Clips::new();
    let heard = sound_only(&with_a_hole(&clips, 0..0));
    let mut show = Show::new(Wishes { fill_picture: true, ..Wishes::default() });
    for (nth, end) in [(0, End::Lost), (1, End::Clean)] {
        let snapshot = show.publish(heard.clone(), end).await;
        assert_eq!(ids(&snapshot), ["360p"]);
        let view = &snapshot.renditions()[0];
        assert!(
            view.codecs().starts_with("avc1.64") && view.codecs().ends_with(",mp4a.40.2"),
            "{}",
            view.codecs()
        );
        assert_eq!(marks(view).matches('!').count(), nth, "{}", marks(view));
        let from = view.listed().iter().rposition(|segment| segment.discontinuity).unwrap_or(0);
        let (frames, sounds) = (decoded(view, from, TrackKind::Video), decoded(view, from, TrackKind::Audio));
        assert!((119..=122).contains(&frames) && (1120..=1127).contains(&sounds), "{frames} {sounds}");
        assert_even(&snapshot);
        let bits = view.measured_average_bps();
        assert!(bits < 180_000, "{bits} bit/s of 69k sound and next to nothing");
    }
}

#[tokio::test]
async fn sound_alone_in_a_presentation_with_pictures_keeps_their_place() {
    let clips = Clips::new();
    let both = beginning(with_a_hole(&clips, 0..0));
    let rungs = vec![
        transcode::ladder::RungWish { height: 240, bitrate_bps: None },
        transcode::ladder::RungWish { height: 120, bitrate_bps: None },
    ];
    let mut show = Show::new(Wishes { rungs, ..Wishes::default() });
    for (nth, clip, end) in
        [(0, both.clone(), End::Lost), (1, sound_only(&both), End::Lost), (2, both, End::Clean)]
    {
        let snapshot = show.publish(clip, end).await;
        assert_eq!(ids(&snapshot), ["240p", "120p"]);
        for view in snapshot.renditions() {
            assert_eq!(marks(view).matches('!').count(), nth, "{}: {}", view.id(), marks(view));
            let from = view.listed().iter().rposition(|segment| segment.discontinuity).unwrap_or(0);
            let (frames, sounds) =
                (decoded(view, from, TrackKind::Video), decoded(view, from, TrackKind::Audio));
            let want = if nth == 1 { 37..=39 } else { 225..=225 };
            assert!(want.contains(&frames), "{}, {nth}: {frames}", view.id());
            assert!((349..=354).contains(&sounds), "{}, {nth}: {sounds}", view.id());
        }
        assert_even(&snapshot);
    }
}

#[tokio::test]
async fn pictures_that_stop_while_sound_goes_on_are_filled_in() {
    let clips = Clips::new();
    let rungs = vec![
        transcode::ladder::RungWish { height: 240, bitrate_bps: None },
        transcode::ladder::RungWish { height: 120, bitrate_bps: None },
    ];
    let mut show = Show::new(Wishes { rungs, ..Wishes::default() });
    let snapshot = show.publish(with_a_hole(&clips, 8..99), End::Clean).await;
    assert_eq!(ids(&snapshot), ["240p", "120p"]);
    assert_even(&snapshot);
    for view in snapshot.renditions() {
        assert_eq!(marks(view).matches('!').count(), 1, "{}: {}", view.id(), marks(view));
        assert!(!marks(view).contains('-'), "{}", marks(view));
        // 8 s of pictures, 16 s of dark ones; of the sound only what is in the step from one to the other may lack
        let (frames, sounds) = (decoded(view, 0, TrackKind::Video), decoded(view, 0, TrackKind::Audio));
        assert!((240 + 79..=240 + 81).contains(&frames), "{}: {frames}", view.id());
        assert!((1120..=1127).contains(&sounds), "{}: {sounds}", view.id());
    }
}

#[tokio::test]
async fn pictures_that_return_take_their_place_again() {
    let clips = Clips::new();
    let mut show = Show::new(Wishes { max_rungs: 1, ..Wishes::default() });
    let snapshot = show.publish(with_a_hole(&clips, 8..18), End::Clean).await;
    let view = &snapshot.renditions()[0];
    assert_eq!(marks(view).matches('!').count(), 2, "{}", marks(view));
    let frames = decoded(view, 0, TrackKind::Video);
    // 8 s, dark ones until ten seconds later a keyframe comes, at 19 s, and 5 s
    assert!((240 + 53 + 150..=240 + 56 + 150).contains(&frames), "{frames}");
    let sounds = decoded(view, 0, TrackKind::Audio);
    assert!((1115..=1135).contains(&sounds), "{sounds}");
}

#[tokio::test]
async fn the_sound_alone_is_a_variant_with_the_numbers_of_the_others() {
    let clips = Clips::new();
    let both = beginning(with_a_hole(&clips, 0..0));
    let mute: Vec<MediaEvent> = both
        .iter()
        .filter(|event| match event {
            MediaEvent::AudioConfig(..) => false,
            MediaEvent::Packet(packet) => packet.kind == TrackKind::Video,
            _ => true,
        })
        .cloned()
        .collect();
    for always_encode in [false, true] {
        let audio = transcode::ladder::AudioWishes { always_encode, ..Wishes::default().audio };
        let mut show = Show::new(Wishes { max_rungs: 1, audio_only: true, audio, ..Wishes::default() });
        for (nth, clip, end) in
            [(0, both.clone(), End::Lost), (1, mute.clone(), End::Lost), (2, sound_only(&both), End::Clean)]
        {
            let snapshot = show.publish(clip, end).await;
            assert_eq!(ids(&snapshot), ["240p", "audio"]);
            let (top, alone) = (&snapshot.renditions()[0], &snapshot.renditions()[1]);
            assert_eq!(marks(alone), marks(top), "{always_encode} {nth}");
            assert_eq!(marks(alone).matches('!').count(), nth, "{}", marks(alone));
            assert_eq!((alone.codecs(), alone.video()), ("mp4a.40.2", None));
            let from = alone.listed().iter().rposition(|segment| segment.discontinuity).unwrap_or(0);
            let pairs = alone.listed()[from..].iter().zip(&top.listed()[from..]);
            for (segment, of_top) in pairs.filter(|(segment, _)| !segment.gap) {
                let apart = (segment.start - of_top.start).abs();
                // a cut is told as early as half a frame, which are dark ones at the end
                assert!(
                    apart <= MediaSpan::from_millis(if nth == 2 { 75 } else { 30 }),
                    "{always_encode} {nth}: {apart:?}"
                );
            }
            let sounds = decoded(alone, from, TrackKind::Audio);
            assert!((348..=354).contains(&sounds), "{always_encode} {nth}: {sounds}");
            assert_eq!(decoded(alone, from, TrackKind::Video), 0);
            let list = String::from_utf8(snapshot.multivariant().unwrap().body().to_vec()).unwrap();
            let line = list.lines().find(|line| line.contains("CODECS=\"mp4a.40.2\"")).unwrap();
            assert!(!line.contains("RESOLUTION") && list.contains("/audio/index.m3u8"), "{list}");
        }
    }
}

#[tokio::test]
async fn a_publisher_may_bring_its_own_ladder() {
    let clips = Clips::new();
    let both = with_a_hole(&clips, 0..0);
    let mut show = Show::new(Wishes::default());
    let rungs = vec![transcode::ladder::RungWish { height: 120, bitrate_bps: None }];
    show.own = Some(Wishes { rungs, ..Wishes::default() });
    let snapshot = show.publish(both, End::Clean).await;
    assert_eq!(ids(&snapshot), ["120p"]);
}
