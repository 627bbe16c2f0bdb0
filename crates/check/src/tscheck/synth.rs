//! A small muxer for the checker's own tests: right in every rule, so that a test can break one.

use super::psi::crc32;

/// One PES to write.
#[derive(Clone)]
pub(crate) struct Unit {
    pub(crate) video: bool,
    pub(crate) pts: u64,
    pub(crate) dts: u64,
    pub(crate) rai: bool,
    pub(crate) pcr: Option<u64>,
    pub(crate) data: Vec<u8>,
    /// Declared length where it is not the true one.
    pub(crate) declared: Option<usize>,
}

/// State over segments, with the knobs that tests turn.
#[derive(Clone)]
pub(crate) struct Synth {
    pub(crate) counters: [u8; 4], // PAT, PMT, video, audio
    pub(crate) with_video: bool,
    pub(crate) with_audio: bool,
    pub(crate) audio_samples: u64,
    pub(crate) base: u64,
    pub(crate) video_type: u8,
    pub(crate) programs: usize,
}

pub(crate) const SPS: [u8; 6] = [0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9];
pub(crate) const PPS: [u8; 4] = [0x68, 0xeb, 0xe3, 0xcb];

impl Default for Synth {
    fn default() -> Self {
        Synth {
            counters: [0; 4],
            with_video: true,
            with_audio: true,
            audio_samples: 0,
            base: 900_000,
            video_type: 0x1b,
            programs: 1,
        }
    }
}

pub(crate) fn nal(bytes: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1], bytes].concat()
}

pub(crate) fn adts(payload: usize) -> Vec<u8> {
    let len = payload + 7;
    let mut out = vec![
        0xff,
        0xf1,
        1 << 6 | 3 << 2,
        2 << 6 | (len >> 11) as u8,
        (len >> 3) as u8,
        (len << 5) as u8 | 0x1f,
        0xfc,
    ];
    out.resize(len, 0x21);
    out
}

impl Synth {
    /// The units of segment `index`: 60 pictures in 2 s, and the audio frames of those 2 s by threes.
    pub(crate) fn units(&mut self, index: u64) -> Vec<Unit> {
        let start = self.base + index * 180_000;
        let mut out = Vec::new();
        if self.with_video {
            for n in 0..60u64 {
                let mut data = nal(&[9, 0xf0]);
                if n == 0 {
                    data.extend(nal(&SPS));
                    data.extend(nal(&PPS));
                    data.extend(nal(&[vec![0x65, 0x88], vec![0x42; 700]].concat()));
                } else {
                    data.extend(nal(&[vec![0x41, 0x9a], vec![0x42; 200]].concat()));
                }
                let pts = start + n * 3000;
                let pcr = (n % 2 == 0).then(|| pts.saturating_sub(30_000));
                out.push(Unit { video: true, pts, dts: pts, rai: n == 0, pcr, data, declared: None });
            }
        }
        if self.with_audio {
            let mut first_audio = !self.with_video;
            let end = start + 180_000;
            let time = |samples: u64| self.base + (samples * 90_000 + 24_000) / 48_000;
            while time(self.audio_samples) < end {
                let pts = time(self.audio_samples);
                let mut data = Vec::new();
                for size in [90, 91, 92] {
                    if time(self.audio_samples) < end {
                        data.extend(adts(size));
                        self.audio_samples += 1024;
                    }
                }
                let pcr = (!self.with_video).then(|| pts.saturating_sub(30_000));
                out.push(Unit { video: false, pts, dts: pts, rai: first_audio, pcr, data, declared: None });
                first_audio = false;
            }
        }
        out.sort_by_key(|u| (u.dts, !u.video));
        if let Some(i) = out.iter().position(|u| u.video || !self.with_video) {
            out[..=i].rotate_right(1);
        }
        out
    }

    pub(crate) fn write(&mut self, units: &[Unit]) -> Vec<u8> {
        let mut out = self.psi();
        for unit in units {
            self.unit(unit, &mut out);
        }
        out
    }

    pub(crate) fn segment(&mut self, index: u64) -> Vec<u8> {
        let units = self.units(index);
        self.write(&units)
    }

    fn psi(&mut self) -> Vec<u8> {
        let pat: Vec<u8> = (1..=self.programs as u8).flat_map(|n| [0, n, 0xf0, 0x00]).collect();
        let pcr = if self.with_video { 0x00 } else { 0x01 };
        let mut pmt = vec![0xe1, pcr, 0xf0, 0];
        if self.with_video {
            pmt.extend([self.video_type, 0xe1, 0x00, 0xf0, 0]);
        }
        if self.with_audio {
            pmt.extend([0x0f, 0xe1, 0x01, 0xf0, 0]);
        }
        let mut out = self.section(0, 0, 0, &pat);
        out.extend(self.section(1, 0x1000, 2, &pmt));
        out
    }

    fn section(&mut self, slot: usize, pid: u16, table: u8, body: &[u8]) -> Vec<u8> {
        let len = body.len() + 9;
        let mut section = vec![table, 0xb0, len as u8, 0, 1, 0xc1, 0, 0];
        section.extend(body);
        section.extend(crc32(&section).to_be_bytes());
        let mut out = vec![0x47, 0x40 | (pid >> 8) as u8, pid as u8, 0x10 | self.next(slot), 0];
        out.extend(section);
        out.resize(188, 0xff);
        out
    }

    fn next(&mut self, slot: usize) -> u8 {
        let now = self.counters[slot];
        self.counters[slot] = (now + 1) & 15;
        now
    }

    fn unit(&mut self, unit: &Unit, out: &mut Vec<u8>) {
        let both = unit.pts != unit.dts;
        let mut pes = vec![0, 0, 1, if unit.video { 0xe0 } else { 0xc0 }, 0, 0, 0x84];
        pes.extend(if both { [0xc0, 10] } else { [0x80, 5] });
        stamp(&mut pes, if both { 3 } else { 2 }, unit.pts);
        if both {
            stamp(&mut pes, 1, unit.dts);
        }
        pes.extend(&unit.data);
        let length = unit.declared.unwrap_or(if unit.video { 0 } else { pes.len() - 6 });
        pes[4..6].copy_from_slice(&(length as u16).to_be_bytes());
        let (pid, slot) = if unit.video { (0x100u16, 2) } else { (0x101, 3) };
        let mut rest = &pes[..];
        let mut first = true;
        while !rest.is_empty() {
            let mut field = Vec::new();
            if first && (unit.rai || unit.pcr.is_some()) {
                field.push(u8::from(unit.rai) << 6 | u8::from(unit.pcr.is_some()) << 4);
                if let Some(base) = unit.pcr {
                    let v = (base & ((1 << 33) - 1)) << 15 | 0x3f << 9;
                    field.extend(&v.to_be_bytes()[2..]);
                }
            }
            let mut room = if field.is_empty() { 184 } else { 183 - field.len() };
            if rest.len() < room {
                let short = room - rest.len();
                if field.is_empty() {
                    if short > 1 {
                        field.push(0);
                    }
                    field.resize(short - 1, 0xff);
                    out.extend([
                        0x47,
                        u8::from(first) << 6 | (pid >> 8) as u8,
                        pid as u8,
                        0x30 | self.next(slot),
                    ]);
                    out.push(field.len() as u8);
                    out.extend(&field);
                    out.extend(rest);
                    return;
                }
                field.resize(field.len() + short, 0xff);
                room = rest.len();
            }
            let control = if field.is_empty() { 0x10 } else { 0x30 };
            out.extend([0x47, u8::from(first) << 6 | (pid >> 8) as u8, pid as u8, control | self.next(slot)]);
            if !field.is_empty() {
                out.push(field.len() as u8);
                out.extend(&field);
            }
            out.extend(&rest[..room]);
            rest = &rest[room..];
            first = false;
        }
    }
}

fn stamp(out: &mut Vec<u8>, prefix: u8, t: u64) {
    let t = t & ((1 << 33) - 1);
    out.extend([
        prefix << 4 | (t >> 30) as u8 & 7 << 1 | 1,
        (t >> 22) as u8,
        (t >> 14) as u8 | 1,
        (t >> 7) as u8,
        (t << 1) as u8 | 1,
    ]);
    let at = out.len() - 5;
    out[at] = prefix << 4 | ((t >> 30) as u8 & 7) << 1 | 1;
}
