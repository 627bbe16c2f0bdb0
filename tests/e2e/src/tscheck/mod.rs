//! A strict checker of the MPEG-TS segments of one rendition, fed in playlist order.
//!
//!   segment bytes ─▶ packet ─▶ psi │ pes ─▶ es (NAL units, ADTS) ─▶ rules over one segment ─▶ rules over the session
//!
//! | rule | what must hold |
//! |---|---|
//! | `ts.packet` | whole packets of 188 bytes, sync byte, no error or scrambling bits, stuffing of 0xff |
//! | `ts.psi-first` | packet 0 is the PAT, packet 1 the PMT; then the segment's first PES |
//! | `ts.psi` | pointer 0, one section a packet, CRC right, one program, 0xff behind |
//! | `ts.layout` | stream types H.264 (0x1b) and ADTS (0x0f), PIDs and PSI the same for the whole session |
//! | `ts.pid` | no packet of a PID the PMT does not name, no null packets |
//! | `ts.counter` | continuity counters run on per PID, over segments too; at a discontinuity a jump is a note |
//! | `ts.pcr` | on the PCR PID, at most 100 ms apart, in the first packet of the segment's first PES, reserved bits 1 |
//! | `ts.pcr-dts` | never above the DTS of a PES that follows |
//! | `ts.pes` | headers well formed, stream ids, alignment, DTS left out when equal |
//! | `ts.pes-complete` | every PES ends in its own segment |
//! | `ts.dts` | rises strictly per PID; PTS not below DTS, not more than 60 s above |
//! | `ts.pts` | no two pictures of a segment at one time, none before the segment's IDR, none behind the next one's |
//! | `ts.jump` | times run on from segment to segment where no discontinuity is told |
//! | `ts.rai` | random_access_indicator on the first packet of an IDR's PES and nowhere else |
//! | `ts.nal` | Annex B, 4-byte first start code, no empty units, one picture a PES |
//! | `ts.aud` | exactly one access unit delimiter, first |
//! | `ts.params` | SPS then PPS before each IDR, before SEI and slices, the same bytes until a discontinuity |
//! | `ts.idr-first` | a video segment opens with an IDR |
//! | `ts.adts` | whole ADTS frames tile each audio PES, one configuration until a discontinuity, ≤ 250 ms each |
//! | `ts.audio-gap` | audio times equal the running sample count, to 2 ticks; up to a millisecond is a note |
//! | `ts.audio-home` | segment i has the audio from its first picture's time to the next one's, to one frame |
//! | `ts.av-start` | audio starts within 50 ms of the first picture |
//! | `ts.interleave` | the streams are never more than 0.5 s apart in the file |
//! | `ts.missing` | a stream that the presentation has is in each segment |

mod es;
mod packet;
mod pes;
mod psi;
#[cfg(test)]
pub(crate) mod synth;
#[cfg(test)]
mod tests;

use crate::report::Findings;
use packet::{PACKET, Packet};
use pes::{Fault, Pes, Raw};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

pub use packet::PACKET as PACKET_BYTES;

/// Ticks of a second.
pub const TICKS: i64 = 90_000;
const PCR_GAP_27M: u64 = 2_700_000;
const WRAP: i64 = 1 << 33;
/// Sound may be anchored anew by a millisecond: encoders tell no finer.
const AUDIO_STEP: i64 = 92;

/// What the playlist says of the segment that comes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entry {
    /// An EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// Segments between the last one checked and this one were not seen.
    pub missed: bool,
}

/// The tracks a rendition is expected to have in every segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracks {
    /// H.264.
    pub video: bool,
    /// AAC in ADTS.
    pub audio: bool,
}

/// Facts of one segment's pictures. Times are ticks of 90 kHz, unwrapped over the session.
#[derive(Debug, Clone, Serialize)]
pub struct VideoFacts {
    /// Time of the first picture, an IDR's where no rule is broken.
    pub first_pts: i64,
    /// The latest time of a picture.
    pub last_pts: i64,
    /// The first decoding time.
    pub first_dts: i64,
    /// Pictures.
    pub frames: u64,
    /// IDR pictures.
    pub idrs: u64,
    /// `avc1.PPCCLL` of the first SPS.
    pub codec: Option<String>,
}

/// Facts of one segment's audio.
#[derive(Debug, Clone, Serialize)]
pub struct AudioFacts {
    /// Time of the first frame.
    pub first_pts: i64,
    /// End of the last frame.
    pub end_pts: i64,
    /// AAC frames of 1024 samples.
    pub frames: u64,
    /// Hertz.
    pub rate: u32,
    /// channel_configuration.
    pub channels: u8,
    /// AudioObjectType.
    pub object: u8,
}

/// Facts of one segment.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentFacts {
    /// As the caller named it.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// None without a picture.
    pub video: Option<VideoFacts>,
    /// None without an ADTS frame.
    pub audio: Option<AudioFacts>,
}

impl SegmentFacts {
    /// First picture's time, or the first audio frame's where there is no video.
    pub fn start(&self) -> Option<i64> {
        self.video.as_ref().map(|v| v.first_pts).or(self.audio.as_ref().map(|a| a.first_pts))
    }

    /// Audio's start after video's, in ticks.
    pub fn av_offset(&self) -> Option<i64> {
        Some(self.audio.as_ref()?.first_pts - self.video.as_ref()?.first_pts)
    }
}

/// What came out of a session.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Broken rules.
    pub findings: Findings,
    /// In the order they were fed.
    pub segments: Vec<SegmentFacts>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    pmt_pid: u16,
    pcr_pid: u16,
    video: Option<u16>,
    audio: Option<u16>,
}

/// The state that runs on from segment to segment.
pub struct Checker {
    tracks: Option<Tracks>,
    report: Report,
    layout: Option<Layout>,
    counters: BTreeMap<u16, u8>,
    /// PIDs seen in the present segment.
    counted_here: BTreeSet<u16>,
    last_pcr: Option<u64>,
    /// The last PCR before a discontinuity, until the next one is seen.
    pcr_before_break: Option<u64>,
    last_dts: BTreeMap<u16, i64>,
    /// Latest picture time of the segments before.
    last_picture: Option<i64>,
    /// Running end of the audio in (ticks × rate), exact.
    audio_end: Option<AudioClock>,
    /// Time of the last audio frame of the segment before.
    audio_tail: Option<i64>,
    parameters: Option<(Vec<u8>, Vec<u8>)>,
    adts: Option<es::Adts>,
    /// Typical picture distance, for the jump rule.
    frame: Option<i64>,
}

#[derive(Clone, Copy)]
struct AudioClock {
    anchor: i64,
    frames: u64,
    rate: u32,
}

impl AudioClock {
    fn end(&self) -> i64 {
        let samples = i128::from(self.frames) * 1024 * i128::from(TICKS);
        self.anchor
            + i64::try_from((samples + i128::from(self.rate) / 2) / i128::from(self.rate)).unwrap_or(i64::MAX)
    }
}

/// Everything found while walking one segment's packets.
struct Walk<'n> {
    name: &'n str,
    entry: Entry,
    units: Vec<Raw>,
}

impl Checker {
    /// `tracks` None: whatever the first segment has is expected of the others.
    pub fn new(tracks: Option<Tracks>) -> Self {
        Checker {
            tracks,
            report: Report::default(),
            layout: None,
            counters: BTreeMap::new(),
            counted_here: BTreeSet::new(),
            last_pcr: None,
            pcr_before_break: None,
            audio_tail: None,
            last_dts: BTreeMap::new(),
            last_picture: None,
            audio_end: None,
            parameters: None,
            adts: None,
            frame: None,
        }
    }

    /// Checks the next segment. `name` stands in the findings.
    pub fn segment(&mut self, name: &str, entry: Entry, bytes: &[u8]) -> SegmentFacts {
        if entry.discontinuity || entry.missed {
            self.pcr_before_break = self.last_pcr.take().filter(|_| !entry.missed);
            self.audio_tail = None;
            self.last_picture = None;
            self.audio_end = None;
        }
        if entry.discontinuity {
            self.parameters = None;
            self.adts = None;
        }
        if entry.missed {
            self.counters.clear();
        }
        self.counted_here.clear();
        let walk = self.packets(name, entry, bytes);
        let facts = self.units(&walk, bytes.len());
        self.across(&walk, &facts);
        self.report.segments.push(facts.clone());
        facts
    }

    /// What was found so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What was found in all.
    pub fn finish(self) -> Report {
        self.report
    }

    fn broken(&mut self, rule: &'static str, name: &str, detail: impl Into<String>) {
        self.report.findings.violation(rule, name, detail);
    }

    fn packets<'n>(&mut self, name: &'n str, entry: Entry, bytes: &[u8]) -> Walk<'n> {
        let mut walk = Walk { name, entry, units: Vec::new() };
        if bytes.is_empty() || !bytes.len().is_multiple_of(PACKET) {
            self.broken("ts.packet", name, format!("{} bytes are not whole packets", bytes.len()));
        }
        let mut open: BTreeMap<u16, Raw> = BTreeMap::new();
        let mut psi = Vec::new(); // PIDs of the packets before the first PES
        for (index, bytes) in bytes.chunks(PACKET).enumerate() {
            let packet = match Packet::parse(bytes) {
                Ok(packet) => packet,
                Err(text) => {
                    self.broken("ts.packet", name, format!("packet {index}: {text}"));
                    if bytes.first() != Some(&0x47) {
                        break;
                    }
                    continue;
                }
            };
            self.counter(name, entry, index, &packet);
            if walk.units.is_empty() && open.is_empty() {
                psi.push(packet.pid);
            }
            self.pcr(name, index, &packet);
            self.dispatch(&mut walk, &mut open, index, &packet);
        }
        walk.units.extend(open.into_values());
        walk.units.sort_by_key(|u| u.packet);
        let pmt = self.layout.as_ref().map_or(0, |l| l.pmt_pid);
        if psi.len() < 3 || psi[..2] != [0, pmt] || psi[2] == 0 || psi[2] == pmt {
            let text = format!("the first packets are of PIDs {psi:x?}, not PAT, PMT {pmt:x} and a PES");
            self.broken("ts.psi-first", name, text);
        }
        walk
    }

    fn counter(&mut self, name: &str, entry: Entry, index: usize, packet: &Packet<'_>) {
        let before = self.counters.insert(packet.pid, packet.counter);
        let opening = entry.discontinuity && self.counted_here.insert(packet.pid);
        let told = packet.adaptation.as_ref().is_some_and(|a| a.discontinuity);
        let Some(before) = before.filter(|_| !told && packet.pid != 0x1fff) else { return };
        let want = if packet.has_payload { (before + 1) & 15 } else { before };
        if packet.counter == want {
            return;
        }
        let text = format!("packet {index} of PID {:#x} has {}, not {want}", packet.pid, packet.counter);
        if opening {
            self.report.findings.note("ts.counter", name, text); // players start afresh there
        } else {
            self.broken("ts.counter", name, text);
        }
    }

    fn pcr(&mut self, name: &str, index: usize, packet: &Packet<'_>) {
        let Some(field) = &packet.adaptation else { return };
        let Some(pcr) = field.pcr else { return };
        if self.layout.as_ref().is_some_and(|l| l.pcr_pid != packet.pid) {
            self.broken("ts.pcr", name, format!("packet {index} of PID {:#x} has a PCR", packet.pid));
            return;
        }
        if field.pcr_reserved != 0x3f {
            let text = format!("packet {index}: reserved bits are {:#04x}, not 0x3f", field.pcr_reserved);
            self.broken("ts.pcr", name, text);
        }
        if let Some(last) = self.last_pcr {
            let step = (pcr + (300 << 33) - last) % (300 << 33);
            if step == 0 || step > PCR_GAP_27M {
                let ms = if step > 150 << 33 { step as f64 - (300u64 << 33) as f64 } else { step as f64 }
                    / 27_000.0;
                self.broken(
                    "ts.pcr",
                    name,
                    format!("packet {index}: PCR is {ms:.1} ms after the one before"),
                );
            }
        }
        if let Some(before) = self.pcr_before_break.take()
            && (pcr + (300 << 33) - before) % (300 << 33) > PCR_GAP_27M
            && !field.discontinuity
        {
            let text = format!("packet {index}: PCR jumps without discontinuity_indicator");
            self.report.findings.note("ts.pcr", name, text);
        }
        self.last_pcr = Some(pcr);
    }

    fn dispatch(
        &mut self,
        walk: &mut Walk<'_>,
        open: &mut BTreeMap<u16, Raw>,
        index: usize,
        packet: &Packet<'_>,
    ) {
        let name = walk.name;
        let layout = self.layout.clone();
        if packet.pid == 0 {
            match psi::pat(packet.payload) {
                Ok(pmt_pid) => match layout {
                    Some(l) if l.pmt_pid != pmt_pid => {
                        self.broken("ts.layout", name, format!("PMT moved to PID {pmt_pid:#x}"));
                    }
                    Some(_) => {}
                    None => self.layout = Some(Layout { pmt_pid, pcr_pid: 0, video: None, audio: None }),
                },
                Err(text) => self.broken("ts.psi", name, format!("packet {index}, PAT: {text}")),
            }
            return;
        }
        let Some(layout) = layout else {
            self.broken("ts.pid", name, format!("packet {index} of PID {:#x} before any PAT", packet.pid));
            return;
        };
        if packet.pid == layout.pmt_pid {
            match psi::pmt(packet.payload) {
                Ok(pmt) => self.take_pmt(name, &pmt),
                Err(text) => self.broken("ts.psi", name, format!("packet {index}, PMT: {text}")),
            }
            return;
        }
        if layout.video != Some(packet.pid) && layout.audio != Some(packet.pid) {
            self.broken(
                "ts.pid",
                name,
                format!("packet {index} is of PID {:#x}, which no PMT names", packet.pid),
            );
            return;
        }
        let random_access = packet.adaptation.as_ref().is_some_and(|a| a.random_access);
        if packet.unit_start {
            let raw = Raw {
                pid: packet.pid,
                packet: index,
                random_access,
                pcr: self.last_pcr,
                data: packet.payload.to_vec(),
            };
            if walk.units.is_empty()
                && open.is_empty()
                && packet.adaptation.as_ref().is_none_or(|a| a.pcr.is_none())
                && packet.pid == self.layout.as_ref().map_or(0, |l| l.pcr_pid)
            {
                self.broken("ts.pcr", name, "the first packet of the segment's first PES has no PCR");
            }
            walk.units.extend(open.insert(packet.pid, raw));
        } else {
            if random_access {
                self.broken("ts.rai", name, format!("packet {index} continues a PES and has the indicator"));
            }
            match open.get_mut(&packet.pid) {
                Some(unit) => unit.data.extend_from_slice(packet.payload),
                None if packet.has_payload => {
                    let text =
                        format!("packet {index} of PID {:#x} continues a PES of another segment", packet.pid);
                    self.broken("ts.pes-complete", name, text);
                }
                None => {}
            }
        }
    }

    fn take_pmt(&mut self, name: &str, pmt: &psi::Pmt) {
        let Some(layout) = &self.layout else { return };
        let (mut video, mut audio) = (None, None);
        let mut faults = Vec::new();
        for stream in &pmt.streams {
            let slot = match stream.kind {
                0x1b => &mut video,
                0x0f => &mut audio,
                other => {
                    faults.push(format!("stream type {other:#04x} on PID {:#x}", stream.pid));
                    continue;
                }
            };
            if slot.replace(stream.pid).is_some() {
                faults.push(format!("two streams of type {:#04x}", stream.kind));
            }
        }
        let new = Layout { pmt_pid: layout.pmt_pid, pcr_pid: pmt.pcr_pid, video, audio };
        if video.or(audio) != Some(pmt.pcr_pid) {
            faults.push(format!("PCR PID {:#x} is not the leading stream's", pmt.pcr_pid));
        }
        if layout.pcr_pid == 0 {
            let tracks = Tracks { video: video.is_some(), audio: audio.is_some() };
            let want = *self.tracks.get_or_insert(tracks);
            if want != tracks {
                faults.push(format!("the PMT has {tracks:?}, expected {want:?}"));
            }
            self.layout = Some(new);
        } else if *layout != new {
            faults.push(format!("the PMT changed to {new:x?} from {layout:x?}"));
        }
        for fault in faults {
            self.broken("ts.layout", name, fault);
        }
    }

    fn units(&mut self, walk: &Walk<'_>, bytes: usize) -> SegmentFacts {
        let mut facts =
            SegmentFacts { name: walk.name.into(), bytes: bytes as u64, video: None, audio: None };
        let mut newest = BTreeMap::<u16, i64>::new();
        let mut times = Vec::new();
        for unit in &walk.units {
            let pes = match unit.parse() {
                Ok(pes) => pes,
                Err(Fault::Incomplete(text)) => {
                    self.broken("ts.pes-complete", walk.name, format!("packet {}: {text}", unit.packet));
                    continue;
                }
                Err(Fault::Header(text)) => {
                    self.broken("ts.pes", walk.name, format!("packet {}: {text}", unit.packet));
                    continue;
                }
            };
            let (pts, dts) = self.stamps(walk, unit, &pes);
            for (pid, other) in &newest {
                if *pid != unit.pid && (dts - other).abs() > TICKS / 2 {
                    let ms = (dts - other) / 90;
                    let text = format!("packet {}: {ms} ms from the other stream's newest", unit.packet);
                    self.broken("ts.interleave", walk.name, text);
                }
            }
            newest.insert(unit.pid, dts);
            let layout = self.layout.as_ref();
            if layout.and_then(|l| l.video) == Some(unit.pid) {
                self.picture(walk, unit, &pes, (pts, dts), &mut facts.video);
                times.push(pts);
            } else {
                self.sound(walk, unit, &pes, pts, &mut facts);
            }
        }
        times.sort_unstable();
        for pair in times.windows(2).filter(|p| p[0] == p[1]) {
            self.broken("ts.pts", walk.name, format!("two pictures at {}", pair[0]));
        }
        if let (Some(first), Some(last)) = (times.first(), times.last())
            && times.len() > 1
        {
            self.frame = Some((last - first) / (times.len() as i64 - 1));
        }
        facts
    }

    /// Unwrapped PTS and DTS, with the rules that hold for any PES.
    fn stamps(&mut self, walk: &Walk<'_>, unit: &Raw, pes: &Pes<'_>) -> (i64, i64) {
        let at = unit.packet;
        let near = self.last_dts.get(&unit.pid).or(self.last_dts.values().next()).copied();
        let dts = unwrap_near(near, pes.dts);
        let pts = unwrap_near(Some(dts), pes.pts);
        if let Some(last) = self.last_dts.insert(unit.pid, dts)
            && dts <= last
            && !(walk.entry.discontinuity
                && walk.units.iter().find(|u| u.pid == unit.pid).is_some_and(|u| u.packet == at))
        {
            let text = format!("packet {at} of PID {:#x}: DTS {dts} after {last}", unit.pid);
            self.broken("ts.dts", walk.name, text);
        }
        if pts < dts || pts - dts > 60 * TICKS {
            self.broken("ts.dts", walk.name, format!("packet {at}: PTS {pts} with DTS {dts}"));
        }
        if let Some(pcr) = unit.pcr {
            let pcr = unwrap_near(Some(dts), pcr / 300);
            if pcr > dts {
                let text = format!("packet {at} of PID {:#x}: PCR {pcr} above DTS {dts}", unit.pid);
                self.broken("ts.pcr-dts", walk.name, text);
            }
        }
        if pes.redundant_dts {
            self.broken("ts.pes", walk.name, format!("packet {at} writes a DTS equal to its PTS"));
        }
        if !pes.aligned {
            self.broken("ts.pes", walk.name, format!("packet {at}: data_alignment_indicator is 0"));
        }
        (pts, dts)
    }

    fn picture(
        &mut self,
        walk: &Walk<'_>,
        unit: &Raw,
        pes: &Pes<'_>,
        (pts, dts): (i64, i64),
        video: &mut Option<VideoFacts>,
    ) {
        let (name, at) = (walk.name, unit.packet);
        if pes.stream_id != 0xe0 {
            self.broken("ts.pes", name, format!("packet {at}: video has stream_id {:#04x}", pes.stream_id));
        }
        let nals = match es::nals(pes.payload) {
            Ok(nals) => nals,
            Err(text) => {
                self.broken("ts.nal", name, format!("packet {at}: {text}"));
                return;
            }
        };
        let kinds: Vec<u8> = nals.iter().map(|n| n.kind).collect();
        if nals[0].start_code != 4 {
            self.broken(
                "ts.nal",
                name,
                format!("packet {at}: first start code has {} bytes", nals[0].start_code),
            );
        }
        if nals.iter().filter(|n| n.opens_picture()).count() != 1 {
            self.broken(
                "ts.nal",
                name,
                format!("packet {at}: not exactly one picture in NAL units {kinds:?}"),
            );
        }
        if kinds[0] != 9 || kinds.iter().filter(|k| **k == 9).count() != 1 {
            self.broken("ts.aud", name, format!("packet {at}: NAL units are {kinds:?}"));
        }
        let idr = kinds.contains(&5);
        if idr && kinds.contains(&1) {
            self.broken("ts.nal", name, format!("packet {at}: IDR and non-IDR slices in one picture"));
        }
        if idr != unit.random_access {
            let text = format!("packet {at}: IDR {idr}, indicator {}", unit.random_access);
            self.broken("ts.rai", name, text);
        }
        let find = |kind: u8| nals.iter().find(|n| n.kind == kind);
        let place = |test: fn(&es::Nal<'_>) -> bool| nals.iter().position(test);
        if idr {
            let order =
                [place(|n| n.kind == 7), place(|n| n.kind == 8), place(|n| n.kind == 6 || n.is_slice())];
            if order.contains(&None) || !order.is_sorted() {
                self.broken("ts.params", name, format!("packet {at}: IDR with NAL units {kinds:?}"));
            }
        }
        if let (Some(sps), Some(pps)) = (find(7), find(8)) {
            let new = (sps.bytes.to_vec(), pps.bytes.to_vec());
            if self.parameters.get_or_insert_with(|| new.clone()) != &new {
                self.broken(
                    "ts.params",
                    name,
                    format!("packet {at}: SPS or PPS changed without discontinuity"),
                );
                self.parameters = Some(new);
            }
        }
        match video {
            None => {
                if !idr {
                    self.broken("ts.idr-first", name, format!("the first picture has NAL units {kinds:?}"));
                }
                if walk.units.first().is_some_and(|u| u.packet != at) {
                    self.broken("ts.psi-first", name, "the first PES is not the first picture");
                }
                *video = Some(VideoFacts {
                    first_pts: pts,
                    last_pts: pts,
                    first_dts: dts,
                    frames: 1,
                    idrs: u64::from(idr),
                    codec: find(7).and_then(|n| es::avc_codec(n.bytes)),
                });
            }
            Some(facts) => {
                if pts < facts.first_pts {
                    let text =
                        format!("packet {at}: picture at {pts} before the first at {}", facts.first_pts);
                    self.broken("ts.pts", name, text);
                }
                facts.last_pts = facts.last_pts.max(pts);
                facts.frames += 1;
                facts.idrs += u64::from(idr);
            }
        }
    }

    fn sound(&mut self, walk: &Walk<'_>, unit: &Raw, pes: &Pes<'_>, pts: i64, facts: &mut SegmentFacts) {
        let (name, at) = (walk.name, unit.packet);
        if pes.stream_id != 0xc0 {
            self.broken("ts.pes", name, format!("packet {at}: audio has stream_id {:#04x}", pes.stream_id));
        }
        let leads = self.layout.as_ref().is_some_and(|l| l.video.is_none()) && facts.audio.is_none();
        if unit.random_access != leads {
            self.broken("ts.rai", name, format!("packet {at}: audio, indicator {}", unit.random_access));
        }
        let (frames, header) = match es::adts(pes.payload) {
            Ok(found) => found,
            Err(text) => {
                self.broken("ts.adts", name, format!("packet {at}: {text}"));
                self.audio_end = None;
                return;
            }
        };
        if *self.adts.get_or_insert(header) != header {
            self.broken("ts.adts", name, format!("packet {at}: configuration changed to {header:?}"));
            self.adts = Some(header);
            self.audio_end = None;
        }
        if frames * 1024 * 4 > u64::from(header.rate) + 4096 {
            self.broken("ts.adts", name, format!("packet {at}: {frames} frames in one PES"));
        }
        let mut clock = match self.audio_end {
            Some(clock) => {
                let off = pts - clock.end();
                if off.abs() > 2 {
                    let kind = if off > 0 { "gap" } else { "overlap" };
                    let text =
                        format!("packet {at}: {kind} of {} ticks ({:.2} ms)", off.abs(), off as f64 / 90.0);
                    if off.abs() > AUDIO_STEP {
                        self.broken("ts.audio-gap", name, text);
                    } else {
                        self.report.findings.note("ts.audio-gap", name, text);
                    }
                    AudioClock { anchor: pts, frames: 0, rate: header.rate }
                } else {
                    clock
                }
            }
            None => AudioClock { anchor: pts, frames: 0, rate: header.rate },
        };
        clock.frames += frames;
        self.audio_end = Some(clock);
        let audio = facts.audio.get_or_insert(AudioFacts {
            first_pts: pts,
            end_pts: pts,
            frames: 0,
            rate: header.rate,
            channels: header.channels,
            object: header.object,
        });
        audio.frames += frames;
        audio.end_pts = clock.end();
    }

    /// Rules between this segment and the ones before, and between its streams.
    fn across(&mut self, walk: &Walk<'_>, facts: &SegmentFacts) {
        let name = walk.name;
        let tracks = self.tracks.unwrap_or(Tracks { video: false, audio: false });
        for (want, has, what) in
            [(tracks.video, facts.video.is_some(), "video"), (tracks.audio, facts.audio.is_some(), "audio")]
        {
            if want && !has {
                self.broken("ts.missing", name, format!("no {what} in the segment"));
            }
        }
        let Some(video) = &facts.video else { return };
        let frame = self.frame.unwrap_or(TICKS / 10);
        if let Some(last) = self.last_picture {
            let step = video.first_pts - last;
            if step <= 0 {
                let text =
                    format!("first picture at {} but one at {last} in the segment before", video.first_pts);
                self.broken("ts.pts", name, text);
            } else if step > TICKS.max(frame * 4) {
                self.broken("ts.jump", name, format!("{} ms from the last picture before", step / 90));
            }
        }
        self.last_picture = Some(video.last_pts);
        let tail = self.audio_tail.take();
        let Some(audio) = &facts.audio else { return };
        let one = i64::from(1024 * 90_000u32 / audio.rate.max(1)) + 2;
        self.audio_tail = Some(audio.end_pts - one + 2);
        if let Some(late) = tail.map(|t| t - video.first_pts).filter(|late| *late > one) {
            let text = format!("the segment before has audio from {} ms after this one's start", late / 90);
            self.broken("ts.audio-home", name, text);
        }
        let offset = audio.first_pts - video.first_pts;
        if offset.abs() > (50 * 90).max(one + 900) {
            self.broken("ts.av-start", name, format!("audio starts {} ms after video", offset as f64 / 90.0));
        }
        if offset < -one {
            let text = format!("audio from {} ms before the first picture", -offset as f64 / 90.0);
            self.broken("ts.audio-home", name, text);
        }
    }
}

/// The value nearest to `near` that equals `raw` modulo 2^33.
fn unwrap_near(near: Option<i64>, raw: u64) -> i64 {
    let raw = raw as i64;
    let Some(near) = near else { return raw };
    let mut off = (raw - near).rem_euclid(WRAP);
    if off >= WRAP / 2 {
        off -= WRAP;
    }
    near + off
}
