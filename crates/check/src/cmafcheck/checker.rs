//! The checker's state, and the rules over a segment's chunks and between a segment and the ones before.

use super::fragment::{self, Chunk, Run};
use super::init::{self, Header, Track};
use super::{boxes, pictures};
use crate::report::Findings;
use crate::tscheck::{AudioFacts, Entry, SegmentFacts, TICKS, VideoFacts};
use std::collections::BTreeMap;

/// sample_is_non_sync_sample (ISO/IEC 14496-12 §8.8.3.1).
const NON_SYNC: u32 = 0x1_0000;

/// Largest fragment that a range of an I-frame list may begin.
const I_FRAME_LIMIT: usize = 64 << 20;

/// What one part holds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PartFacts {
    /// It begins with a key picture, or is of sound.
    pub independent: bool,
    /// Its samples' durations, microseconds.
    pub micros: i64,
}

/// The state that runs on from segment to segment.
#[derive(Default)]
pub struct Checker {
    header: Option<Header>,
    /// Ticks at which each track's next samples have to begin.
    next: BTreeMap<u32, i64>,
    sequence: Option<u32>,
    /// What was found.
    pub findings: Findings,
}

impl Checker {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Checker::default()
    }

    /// Takes an initialization section. `discontinuity`: the segment that follows has one.
    pub fn init(&mut self, place: &str, discontinuity: bool, bytes: &[u8]) {
        let Some(header) = init::parse(bytes, place, &mut self.findings) else { return };
        if let Some(before) = self.header.replace(header)
            && let Some(header) = self.header.as_ref().filter(|h| **h != before && !discontinuity)
        {
            let shape = |h: &Header| {
                h.tracks.iter().map(|t| (t.id, t.timescale, t.handler, t.config.entry)).collect::<Vec<_>>()
            };
            let rule = if shape(header) == shape(&before) { "M9" } else { "M8" };
            self.findings.violation(rule, place, "the header changed without DISCONTINUITY");
        }
    }

    /// Whether a header was read.
    pub fn ready(&self) -> bool {
        self.header.is_some()
    }

    /// The names of what the header holds, as CODECS has them.
    pub fn codecs(&self) -> Vec<String> {
        self.header.iter().flat_map(|h| h.tracks.iter().map(|t| t.config.codec.clone())).collect()
    }

    /// Whether the header has a track of pictures.
    pub fn has_video(&self) -> bool {
        self.header.iter().flat_map(|h| &h.tracks).any(|t| t.handler == *b"vide")
    }

    /// Why the bytes are not one I-frame with its moof.
    pub fn iframe_fault(&self, bytes: &[u8]) -> Option<String> {
        let header = self.header.as_ref()?;
        // The range ends behind the picture, its mdat goes on: what is missing is taken for zeros.
        let mut whole = bytes.to_vec();
        whole.resize(boxes::declared(bytes).min(I_FRAME_LIMIT).max(bytes.len()), 0);
        let chunks = fragment::parse(&whole, header, "", &mut Findings::default());
        let Some(run) = chunks.first().and_then(|c| c.runs.first()) else {
            return Some("the range holds no moof with its samples".into());
        };
        let track = header.tracks.iter().find(|t| t.id == run.track)?;
        let sample = run.samples.first()?;
        let end = sample.data.as_ptr() as usize + sample.data.len() - whole.as_ptr() as usize;
        if end > bytes.len() {
            return Some(format!("the range has {} bytes, the first sample ends at {end}", bytes.len()));
        }
        (!self.key(track, sample.data, sample.flags)).then(|| "the first sample is no key picture".into())
    }

    /// Looks at a part by itself; the rules of its content are judged with its segment.
    pub fn part(&self, bytes: &[u8]) -> Option<PartFacts> {
        let header = self.header.as_ref()?;
        let chunks = fragment::parse(bytes, header, "", &mut Findings::default());
        let run = chunks.first()?.runs.first()?;
        let track = header.tracks.iter().find(|t| t.id == run.track)?;
        let key = run.samples.first().is_some_and(|s| self.key(track, s.data, s.flags));
        let ticks: i64 = chunks
            .iter()
            .flat_map(|c| &c.runs)
            .filter(|r| r.track == track.id)
            .flat_map(|r| &r.samples)
            .map(|s| i64::from(s.duration))
            .sum();
        Some(PartFacts {
            independent: track.handler != *b"vide" || key,
            micros: ticks * 1_000_000 / i64::from(track.timescale),
        })
    }

    fn key(&self, track: &Track, data: &[u8], flags: u32) -> bool {
        let content = pictures::read(track.config.entry, track.config.nal_length, data);
        content.ok().and_then(|c| c.key).unwrap_or(flags & NON_SYNC == 0)
    }

    /// Checks the next segment. `place` stands in the findings.
    pub fn segment(&mut self, place: &str, entry: Entry, bytes: &[u8]) -> SegmentFacts {
        let mut facts =
            SegmentFacts { name: place.into(), bytes: bytes.len() as u64, video: None, audio: None };
        let Some(header) = self.header.clone() else { return facts };
        if entry.discontinuity || entry.missed {
            self.next.clear();
            self.sequence = None;
        }
        let faults = self.findings.violations.len();
        let chunks = fragment::parse(bytes, &header, place, &mut self.findings);
        // Where chunks were lost, what follows from their loss is not told as well.
        let intact = self.findings.violations.len() == faults;
        if !intact {
            self.next.clear();
            self.sequence = None;
        }
        self.sequences(&chunks, place);
        let mut opened = Vec::new();
        for (n, chunk) in chunks.iter().enumerate() {
            if chunk.styp && n > 0 {
                self.findings.violation("cmaf.styp", place, format!("styp in front of chunk {n}"));
            }
            for run in &chunk.runs {
                let Some(track) = header.tracks.iter().find(|t| t.id == run.track) else { continue };
                let first = !opened.contains(&run.track);
                if intact {
                    self.times(run, track, place, first);
                }
                opened.push(run.track);
                match &track.handler {
                    b"vide" => self.pictures(run, track, place, first, &mut facts),
                    b"soun" => self.sounds(run, track, place, &mut facts),
                    _ => {}
                }
            }
        }
        self.unique(&chunks, &header, place);
        facts
    }

    fn sequences(&mut self, chunks: &[Chunk<'_>], place: &str) {
        for chunk in chunks {
            if let Some(before) = self.sequence.replace(chunk.sequence)
                && chunk.sequence <= before
            {
                let text = format!("moof has number {} after {before}", chunk.sequence);
                self.findings.violation("cmaf.mfhd", place, text);
            }
        }
    }

    /// tfdt is where the samples before end.
    fn times(&mut self, run: &Run<'_>, track: &Track, place: &str, opening: bool) {
        let Some(time) = run.time else { return };
        let ticks: i64 = run.samples.iter().map(|s| i64::from(s.duration)).sum();
        if let Some(want) = self.next.insert(track.id, time + ticks)
            && want != time
        {
            let off = time - want;
            let ms = off as f64 * 1e3 / f64::from(track.timescale);
            let text = format!("tfdt {time}, the samples before end at {want} ({ms:.3} ms off)");
            let rule = if opening && ms.abs() > 1_000.0 { "cmaf.continuity" } else { "cmaf.tfdt-sum" };
            self.findings.violation(rule, place, text);
        }
    }

    fn pictures(&mut self, run: &Run<'_>, track: &Track, place: &str, first: bool, facts: &mut SegmentFacts) {
        for (n, sample) in run.samples.iter().enumerate() {
            let opens = first && n == 0;
            let name = || format!("{place}, sample at {}", sample.dts);
            let content = match pictures::read(track.config.entry, track.config.nal_length, sample.data) {
                Ok(content) => content,
                Err(text) => {
                    self.findings.violation("cmaf.nal", name(), text);
                    continue;
                }
            };
            if content.pictures.is_some_and(|count| count != 1) {
                let text = format!("{} pictures in one sample", content.pictures.unwrap_or(0));
                self.findings.violation("cmaf.nal", name(), text);
            }
            if let Some(kind) = content.inband.filter(|_| matches!(&track.config.entry, b"avc1" | b"hvc1")) {
                self.findings.violation("cmaf.inband", name(), format!("NAL unit of type {kind}"));
            }
            let told = sample.flags & NON_SYNC == 0;
            let key = content.key.unwrap_or(told);
            let depends = sample.flags >> 24 & 3;
            if told != key || (key && depends == 1) || (!key && depends == 2) {
                let text = format!("flags {:#010x}, key picture: {key}", sample.flags);
                self.findings.violation("cmaf.flags", name(), text);
            }
            let time = |ticks: i64| ticks_90k(ticks, track.timescale);
            let (pts, dts) = (time(sample.dts + sample.offset), time(sample.dts));
            if opens {
                if !key {
                    self.findings.violation(
                        "cmaf.sync-first",
                        place,
                        "the segment does not open with a key picture",
                    );
                }
                if sample.offset != 0 {
                    let text =
                        format!("the first picture is shown {} ticks after it is decoded", sample.offset);
                    self.findings.violation("cmaf.start", place, text);
                }
            }
            match &mut facts.video {
                None => {
                    facts.video = Some(VideoFacts {
                        first_pts: pts,
                        last_pts: pts,
                        first_dts: dts,
                        frames: 1,
                        idrs: u64::from(key),
                        codec: Some(track.config.codec.clone()),
                        size: track.config.size,
                    });
                }
                Some(video) => {
                    video.first_pts = video.first_pts.min(pts);
                    video.last_pts = video.last_pts.max(pts);
                    video.frames += 1;
                    video.idrs += u64::from(key);
                }
            }
        }
    }

    fn sounds(&mut self, run: &Run<'_>, track: &Track, place: &str, facts: &mut SegmentFacts) {
        if run.samples.iter().any(|s| s.flags & NON_SYNC != 0) {
            self.findings.violation(
                "cmaf.flags",
                place,
                "a sample of sound says that it cannot be started at",
            );
        }
        let (Some(first), Some(last)) = (run.samples.first(), run.samples.last()) else { return };
        let (rate, channels) = track.config.sound.unwrap_or((track.timescale, 0));
        let time = |ticks: i64| ticks_90k(ticks, track.timescale);
        let end = time(last.dts + i64::from(last.duration));
        let object = track.config.codec.strip_prefix("mp4a.40.").and_then(|o| o.parse().ok()).unwrap_or(0);
        let audio = facts.audio.get_or_insert(AudioFacts {
            first_pts: time(first.dts + first.offset),
            end_pts: end,
            frames: 0,
            rate,
            channels,
            object,
            codec: Some(track.config.codec.clone()),
        });
        audio.frames += run.samples.len() as u64;
        audio.end_pts = end;
    }

    fn unique(&mut self, chunks: &[Chunk<'_>], header: &Header, place: &str) {
        for track in header.tracks.iter().filter(|t| t.handler == *b"vide") {
            let runs = chunks.iter().flat_map(|c| &c.runs).filter(|r| r.track == track.id);
            let mut times: Vec<i64> = runs.flat_map(|r| r.samples.iter().map(|s| s.dts + s.offset)).collect();
            times.sort_unstable();
            if let Some(pair) = times.windows(2).find(|p| p[0] == p[1]) {
                self.findings.violation("cmaf.pts", place, format!("two pictures at {}", pair[0]));
            }
        }
    }
}

/// Ticks of 90 kHz, rounded.
fn ticks_90k(ticks: i64, timescale: u32) -> i64 {
    let scale = i128::from(timescale);
    let value = i128::from(ticks) * i128::from(TICKS);
    i64::try_from((value + value.signum() * scale / 2) / scale).unwrap_or(i64::MAX)
}
