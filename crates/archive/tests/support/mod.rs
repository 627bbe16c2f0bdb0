//! A film with a flash and a beep at each whole second, as segments of fragmented MP4 that FFmpeg made; a stream that shows
//! them; and what FFmpeg says of what comes out.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, OnceLock},
    time::Instant,
};

use archive::{Archive, Catalog, Feed, Row, Settings, mp4::Piece};
use bytes::Bytes;
use hls::{
    Init, Part, Segment,
    presentation::{
        Bandwidth, Choice, Family, Presentation, RenditionSpec, Role, Settings as Live, VideoSpec,
    },
    snapshot::Phase,
};
use media::{
    AudioConfig, Epoch, FrameRate, MediaSequence, MediaSpan, MediaTime, RecordingId, VideoConfig, aac, h264,
};

pub const SESSION: u64 = 1_795_348_800_000;
pub const SEGMENT_MS: i64 = 2000;
pub const FPS: u32 = 25;
/// Of all decode times, as live streams have it.
const BASE_SECONDS: u64 = 10;

/// One track of the film.
pub struct Track {
    pub init: Arc<Init>,
    /// Parts by segment.
    pub segments: Vec<Vec<Part>>,
}

pub struct Film {
    pub video: Track,
    pub audio: Track,
}

/// 30 seconds, made once.
pub fn film() -> &'static Film {
    static FILM: OnceLock<Film> = OnceLock::new();
    FILM.get_or_init(|| Film { video: track(true), audio: track(false) })
}

fn track(video: bool) -> Track {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("film.mp4");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i"]);
    if video {
        ffmpeg.arg(format!(
            "color=black:s=320x180:r={FPS}:d=30,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.12)',noise=alls=8"
        ));
        ffmpeg.args([
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-bf",
            "2",
            "-sc_threshold",
            "0",
            "-b:v",
            "400k",
        ]);
        ffmpeg.args(["-g", &(u64::from(FPS) * 2).to_string(), "-pix_fmt", "yuv420p"]);
    } else {
        ffmpeg.arg("aevalsrc='if(lt(mod(t,1),0.12),sin(2*PI*1000*t),0)':s=48000:d=30");
        ffmpeg.args(["-c:a", "aac", "-b:a", "64k", "-ac", "2"]);
    }
    // Sound is cut at any frame, since segments begin where the pictures' do.
    ffmpeg.args(["-use_editlist", "0", "-frag_duration", if video { "500000" } else { "20000" }]);
    ffmpeg.args(["-video_track_timescale", "90000"]);
    ffmpeg.args(["-movflags", "+empty_moov+default_base_moof+negative_cts_offsets+frag_keyframe"]);
    assert!(ffmpeg.args(["-f", "mp4"]).arg(&file).status().unwrap().success());

    let bytes = Bytes::from(std::fs::read(file).unwrap());
    let timescale: u64 = if video { 90_000 } else { 48_000 };
    let (mut at, mut init_end, mut fragments) = (0, 0, Vec::new());
    while at < bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        match &bytes[at + 4..at + 8] {
            b"moov" => init_end = at + size,
            b"moof" => {
                let mdat = at + size;
                let end = mdat + u32::from_be_bytes(bytes[mdat..mdat + 4].try_into().unwrap()) as usize;
                fragments.push(rebase(&bytes[at..end], BASE_SECONDS * timescale));
            }
            _ => {}
        }
        at += size;
    }
    let segment_ticks = timescale * SEGMENT_MS as u64 / 1000;
    let mut segments: Vec<Vec<Part>> = Vec::new();
    for (nth, (time, data)) in fragments.iter().enumerate() {
        let next = fragments.get(nth + 1).map_or(30 * timescale, |(next, _)| *next);
        let ticks = |time: u64| i64::try_from(time * 90_000 / timescale).unwrap();
        // A frame of sound may begin before the pictures' segment does.
        let number = ((time + timescale / 40) / segment_ticks) as usize;
        if segments.len() <= number {
            segments.push(Vec::new());
        }
        let duration = MediaSpan::from_ticks(ticks(next) - ticks(*time));
        let independent = !video || segments[number].is_empty();
        let start = MediaTime::from_ticks(ticks(*time));
        segments[number].push(Part { start, duration, independent, gap: false, bytes: data.clone() });
    }
    let name = format!("init-{:016x}.mp4", if video { 1 } else { 2 });
    let codecs = if video { "avc1.64000c" } else { "mp4a.40.2" }.to_owned();
    Track { init: Arc::new(Init { name, bytes: bytes.slice(..init_end), codecs }), segments }
}

/// A fragment with its decode time put off; the time from the film's beginning comes too.
fn rebase(fragment: &[u8], by: u64) -> (u64, Bytes) {
    let mut fragment = fragment.to_vec();
    let at = fragment.windows(4).position(|window| window == b"tfdt").unwrap() + 4;
    assert_eq!(fragment[at], 1, "version 1");
    let time = u64::from_be_bytes(fragment[at + 4..at + 12].try_into().unwrap());
    fragment[at + 4..at + 12].copy_from_slice(&(time + by).to_be_bytes());
    (time, fragment.into())
}

/// What a stream shows next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Show {
    /// A segment of the film, pictures and sound.
    Film,
    /// Nobody publishes: a gap.
    Gap,
    /// The next segment of the film does not continue what came before.
    Jump,
    /// The pictures are missing, the sound is there.
    NoPicture,
}

/// A live stream that shows the film.
pub struct Stream {
    pub presentation: Presentation,
    pub feed: Option<Feed>,
    sequence: u64,
    /// On the stream's clock, in segments.
    now: i64,
    /// Of the film.
    next: usize,
}

impl Stream {
    pub fn begin(archive: &Archive, name: &str) -> Self {
        Self::resume(archive, name, 0)
    }

    /// As after a restart, when so many segments have been shown.
    pub fn resume(archive: &Archive, name: &str, shown: usize) -> Self {
        let settings = Live {
            name: name.parse().unwrap(),
            session: Epoch(SESSION),
            target_duration: 2,
            window: MediaSpan::from_millis(120_000),
            min_segments: 6,
            discontinuity_sequence: 0,
            part_target: MediaSpan::from_millis(500),
        };
        let specs = vec![
            RenditionSpec {
                id: "v-180p".into(),
                family: Family::Cmaf,
                video: Some(VideoSpec { width: 320, height: 180, frame_rate: FrameRate::new(FPS, 1) }),
                has_audio: false,
                bandwidth: Bandwidth::Measured { hint_average_bps: None },
                role: Role::Variant(None),
            },
            RenditionSpec {
                id: "a-main".into(),
                family: Family::Cmaf,
                video: None,
                has_audio: true,
                bandwidth: Bandwidth::Measured { hint_average_bps: None },
                role: Role::Alternate(Choice {
                    name: "Main".into(),
                    language: Some("en".into()),
                    channels: 2,
                }),
            },
        ];
        let mut presentation = Presentation::new(settings, specs);
        let init = &film().video.init.bytes;
        let at = init.windows(4).position(|window| window == b"avcC").unwrap();
        // `avcC`: five bytes, then SPS and PPS, each counted and with its length.
        let unit = |at: usize| {
            let length = usize::from(u16::from_be_bytes([init[at + 1], init[at + 2]]));
            init.slice(at + 3..at + 3 + length)
        };
        let sps = unit(at + 9);
        let pps = unit(at + 12 + sps.len());
        let config = h264::Config::from_units(vec![sps], vec![pps]).unwrap();
        presentation.set_codecs(0, Some(&VideoConfig::H264(config)), None);
        presentation.set_codecs(1, None, Some(&AudioConfig::Aac(aac::Config::lc(48_000, 2).unwrap())));
        let feed = archive.record(name.parse().unwrap());
        feed.update(presentation.snapshot());
        let sequence = 897_674_400 + shown as u64;
        Self { presentation, feed: Some(feed), sequence, now: shown as i64, next: shown }
    }

    pub fn id(name: &str) -> RecordingId {
        format!("{name}-{SESSION}").parse().unwrap()
    }

    pub fn show(&mut self, what: Show) {
        let start = MediaTime::from_ticks(self.now * SEGMENT_MS * 90);
        let whole = MediaSpan::from_millis(SEGMENT_MS);
        let unix_micros = (SESSION as i64 + self.now * SEGMENT_MS) * 1000;
        let sequence = MediaSequence(self.sequence);
        for (rendition, track) in [&film().video, &film().audio].into_iter().enumerate() {
            let missing = what == Show::Gap || what == Show::NoPicture && rendition == 0;
            let segment = if missing {
                Segment::missing(sequence, start, whole, false, unix_micros)
            } else {
                let parts = track.segments[self.next].clone();
                // The film's own beginning of this segment, to the frame of sound.
                let film_start = MediaTime::from_ticks(self.next as i64 * SEGMENT_MS * 90);
                let offset = parts[0].start - film_start;
                let duration = MediaSpan::from_ticks(parts.iter().map(|part| part.duration.ticks()).sum());
                Segment {
                    sequence,
                    start: start + offset,
                    duration,
                    discontinuity: what == Show::Jump,
                    unix_micros: unix_micros + offset.ticks() * 100 / 9,
                    init: Some(track.init.clone()),
                    parts,
                    ..Segment::default()
                }
            };
            self.presentation.push(Instant::now(), rendition, segment);
            self.update();
        }
        self.sequence += 1;
        self.now += 1;
        self.next += usize::from(what != Show::Gap);
    }

    /// The film begins anew.
    pub fn rewind(&mut self) {
        self.next = 0;
    }

    pub fn update(&self) {
        if let Some(feed) = &self.feed {
            feed.update(self.presentation.snapshot());
        }
    }

    pub fn end(&mut self) {
        self.presentation.set_phase(Phase::Ended);
        self.update();
    }
}

/// A catalogue in memory.
#[derive(Default)]
pub struct Rows(pub Mutex<Vec<Row>>);

impl Catalog for Rows {
    fn rows(&self) -> Vec<Row> {
        self.0.lock().unwrap().clone()
    }

    fn put(&self, row: &Row) {
        let mut rows = self.0.lock().unwrap();
        rows.retain(|other| other.id != row.id);
        rows.push(row.clone());
    }

    fn remove(&self, id: &RecordingId) {
        self.0.lock().unwrap().retain(|other| other.id != *id);
    }
}

/// Everything quick.
pub fn quick() -> Settings {
    let ms = std::time::Duration::from_millis;
    Settings { commit: ms(20), grace: ms(2000), look: ms(100), ..Settings::default() }
}

/// Waits for a condition that nothing tells of.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begin.elapsed().as_secs() < 60, "waited for {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Waits until a recording is complete.
pub async fn complete(archive: &Archive, id: &RecordingId) -> Arc<archive::recording::Recording> {
    until("the end", async || archive.find(id).await.ok().filter(|recording| recording.is_complete())).await
}

/// Writes all lists and segments of a recording as a server would have them; the multivariant playlist's path.
pub async fn unpack(archive: &Archive, id: &RecordingId, dir: &Path) -> PathBuf {
    let (recording, lists) = archive.lists(id).await.unwrap();
    let renditions = dir.join(recording.header.session.to_string());
    for (rendition, list) in recording.header.renditions.iter().zip(&lists.media) {
        std::fs::create_dir_all(renditions.join(&rendition.id)).unwrap();
        std::fs::write(renditions.join(&rendition.id).join("index.m3u8"), list.body()).unwrap();
    }
    for entry in recording.all() {
        let rendition = &recording.header.renditions[usize::from(entry.rendition)];
        let bytes = archive.read(id, entry.at).await.unwrap();
        let extension = if entry.init.is_some() { "m4s" } else { "ts" };
        std::fs::write(renditions.join(&rendition.id).join(format!("{}.{extension}", entry.sequence)), bytes)
            .unwrap();
        if let Some(init) = entry.init {
            let init = &recording.inits[init as usize];
            let bytes = archive.read(id, init.at).await.unwrap();
            std::fs::write(renditions.join(&rendition.id).join(&init.name), bytes).unwrap();
        }
    }
    let index = dir.join("index.m3u8");
    std::fs::write(&index, lists.multivariant.as_ref().unwrap().body()).unwrap();
    index
}

/// A range of a recording's MP4.
pub async fn mp4(archive: &Archive, id: &RecordingId, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let (_, layout) = archive.mp4(id, None, None).await.unwrap();
    let range = range.unwrap_or(0..layout.length());
    let mut out = Vec::new();
    for piece in layout.pieces(range) {
        match piece {
            Piece::Bytes(bytes) => out.extend_from_slice(&bytes),
            Piece::Stored { pack, range, parts } => {
                let read = archive.part(id, pack, range).await.unwrap();
                for part in parts {
                    out.extend_from_slice(&read[part.start as usize..part.end as usize]);
                }
            }
        }
    }
    out
}

/// Runs a program and gives back all it says.
pub fn says(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// What decoding a file to its end yields: pictures, and samples of sound.
pub fn decoded(file: &str) -> (u64, u64) {
    let count = |stream: &str, entry: &str| {
        let args = [
            "-v",
            "error",
            "-select_streams",
            stream,
            "-count_frames",
            "-show_entries",
            entry,
            "-of",
            "csv=p=0",
            file,
        ];
        let said = says("ffprobe", &args);
        // Programs repeat what their streams say.
        said.split_whitespace().next().unwrap_or("0").trim_matches(',').parse::<u64>().unwrap()
    };
    (count("v:0", "stream=nb_read_frames"), count("a:0", "stream=nb_read_frames") * 1024)
}

/// When a file's pictures become white and its sound begins, in seconds.
pub fn flashes_and_beeps(file: &str) -> (Vec<f64>, Vec<f64>) {
    let args = [
        "-v",
        "info",
        "-i",
        file,
        "-vf",
        "negate,blackdetect=d=0.04:pix_th=0.3",
        "-af",
        "silencedetect=n=-30dB:d=0.3",
        "-f",
        "null",
        "-",
    ];
    let said = says("ffmpeg", &args);
    let after = |key: &str| -> Vec<f64> {
        said.split(key).skip(1).map(|rest| rest.split([' ', '\n']).next().unwrap().parse().unwrap()).collect()
    };
    let mut beeps = after("silence_end: ");
    beeps.pop(); // the end of the file
    (after("black_start:"), beeps)
}
