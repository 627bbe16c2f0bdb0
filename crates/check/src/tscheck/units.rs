//! Rules over a segment's PES packets, pictures and sounds, and between a segment and the ones before.

use super::checker::{AudioClock, Checker, Walk};
use super::facts::{AudioFacts, SegmentFacts, Tracks, VideoFacts};
use super::pes::{Fault, Pes, Raw};
use super::{TICKS, es};
use std::collections::BTreeMap;

const WRAP: i64 = 1 << 33;
/// Sound may be anchored anew by a millisecond: encoders tell no finer.
const AUDIO_STEP: i64 = 92;

impl Checker {
    pub(super) fn units(&mut self, walk: &Walk<'_>, bytes: usize) -> SegmentFacts {
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
                    size: find(7).and_then(|n| crate::codec::avc_size(n.bytes)),
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
            codec: None,
        });
        audio.frames += frames;
        audio.end_pts = clock.end();
    }

    /// Rules between this segment and the ones before, and between its streams.
    pub(super) fn across(&mut self, walk: &Walk<'_>, facts: &SegmentFacts) {
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
