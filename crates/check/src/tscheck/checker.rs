//! The checker's state, and the walk over a segment's packets: PSI, counters, PCR, PES put together.

use super::facts::{Entry, Report, SegmentFacts, Tracks};
use super::packet::{PACKET, Packet};
use super::pes::Raw;
use super::{TICKS, es, psi};
use std::collections::{BTreeMap, BTreeSet};

const PCR_GAP_27M: u64 = 2_700_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) pmt_pid: u16,
    pub(super) pcr_pid: u16,
    pub(super) video: Option<u16>,
    pub(super) audio: Option<u16>,
}

/// The state that runs on from segment to segment.
pub struct Checker {
    pub(super) tracks: Option<Tracks>,
    pub(super) report: Report,
    pub(super) layout: Option<Layout>,
    pub(super) counters: BTreeMap<u16, u8>,
    /// PIDs seen in the present segment.
    pub(super) counted_here: BTreeSet<u16>,
    pub(super) last_pcr: Option<u64>,
    /// The last PCR before a discontinuity, until the next one is seen.
    pub(super) pcr_before_break: Option<u64>,
    pub(super) last_dts: BTreeMap<u16, i64>,
    /// Latest picture time of the segments before.
    pub(super) last_picture: Option<i64>,
    /// Running end of the audio in (ticks × rate), exact.
    pub(super) audio_end: Option<AudioClock>,
    /// Time of the last audio frame of the segment before.
    pub(super) audio_tail: Option<i64>,
    pub(super) parameters: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) adts: Option<es::Adts>,
    /// Typical picture distance, for the jump rule.
    pub(super) frame: Option<i64>,
}

#[derive(Clone, Copy)]
pub(super) struct AudioClock {
    pub(super) anchor: i64,
    pub(super) frames: u64,
    pub(super) rate: u32,
}

impl AudioClock {
    pub(super) fn end(&self) -> i64 {
        let samples = i128::from(self.frames) * 1024 * i128::from(TICKS);
        self.anchor
            + i64::try_from((samples + i128::from(self.rate) / 2) / i128::from(self.rate)).unwrap_or(i64::MAX)
    }
}

/// Everything found while walking one segment's packets.
pub(super) struct Walk<'n> {
    pub(super) name: &'n str,
    pub(super) entry: Entry,
    pub(super) units: Vec<Raw>,
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

    /// The time, since the watch began, that further findings bear.
    pub fn set_time(&mut self, now: std::time::Duration) {
        self.report.findings.set_time(now);
    }

    /// What was found so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What was found in all.
    pub fn finish(self) -> Report {
        self.report
    }

    pub(super) fn broken(&mut self, rule: &'static str, name: &str, detail: impl Into<String>) {
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
}
