//! A small transport stream reader that trusts nothing, written from ISO/IEC 13818-1 and sharing no code with the muxer.
//! It asserts the rules that HLS segments must keep and hands out what is inside.

use std::collections::HashMap;

const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;
const PMT: u16 = 0x1000;
const WRAP: i64 = 1 << 33;

/// One PES packet as read.
#[derive(Clone, Debug)]
pub struct Pes {
    pub pid: u16,
    /// 33 bits, as on the wire.
    pub pts: u64,
    pub dts: u64,
    pub payload: Vec<u8>,
    pub random_access: bool,
    pub discontinuity: bool,
    announced: usize,
}

impl Pes {
    /// NAL units behind their start codes.
    pub fn units(&self) -> Vec<&[u8]> {
        let data = &self.payload;
        let mut starts = vec![];
        let mut at = 0;
        while at + 3 <= data.len() {
            if data[at..at + 3] == [0, 0, 1] {
                starts.push(at + 3);
                at += 3;
            } else {
                at += 1;
            }
        }
        assert!(data.starts_with(&[0, 0, 0, 1]), "a four-byte start code comes first");
        starts
            .iter()
            .enumerate()
            .map(|(nth, start)| {
                let end = starts.get(nth + 1).map_or(data.len(), |next| next - 3);
                let unit = &data[*start..end];
                &unit[..unit.len() - unit.iter().rev().take_while(|byte| **byte == 0).count()]
            })
            .collect()
    }

    /// Raw frames behind ADTS headers that tile the payload, with sampling frequency index and channels.
    pub fn adts(&self) -> Vec<(&[u8], u8, u8)> {
        let mut frames = vec![];
        let mut rest = &self.payload[..];
        while !rest.is_empty() {
            assert!(rest.len() >= 7 && rest[0] == 0xFF && rest[1] == 0xF1, "ADTS sync, MPEG-4, no CRC");
            let len = usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5] >> 5);
            assert_eq!(rest[2] >> 6, 1, "AAC LC");
            frames.push((&rest[7..len], rest[2] >> 2 & 15, (rest[2] & 1) << 2 | rest[3] >> 6));
            rest = &rest[len..];
        }
        frames
    }

    pub fn is_idr(&self) -> bool {
        self.pid == VIDEO && self.units().iter().any(|unit| unit[0] & 31 == 5)
    }
}

/// Reads one rendition's segments in order; what must run on between them is checked over them.
#[derive(Default)]
pub struct Demuxer {
    counters: HashMap<u16, u8>,
    last_pcr: Option<i64>,
    last_dts: HashMap<u16, i64>,
}

impl Demuxer {
    /// Asserts every rule and returns the PES packets in the order they begin.
    pub fn segment(&mut self, bytes: &[u8], has_video: bool, has_audio: bool) -> Vec<Pes> {
        assert!(!bytes.is_empty() && bytes.len().is_multiple_of(188), "{} bytes", bytes.len());
        let lead = if has_video { VIDEO } else { AUDIO };
        let mut open: HashMap<u16, usize> = HashMap::new();
        let mut read: Vec<Pes> = vec![];
        let mut first_pcr = true;
        let mut psi_before_next_pes = false;
        for (nth, packet) in bytes.chunks(188).enumerate() {
            assert_eq!(packet[0], 0x47, "sync byte of packet {nth}");
            assert_eq!(packet[1] & 0xA0, 0, "no error, no priority");
            assert_eq!(packet[3] >> 6, 0, "not scrambled");
            let pid = u16::from(packet[1] & 31) << 8 | u16::from(packet[2]);
            let starts = packet[1] & 0x40 != 0;
            let has_field = packet[3] & 0x20 != 0;
            let has_payload = packet[3] & 0x10 != 0;
            let counter = packet[3] & 15;
            if let Some(last) = self.counters.insert(pid, counter) {
                let want = if has_payload { (last + 1) & 15 } else { last };
                assert_eq!(counter, want, "counter of PID {pid:#x} in packet {nth}");
            }
            let mut at = 4;
            let (mut random_access, mut discontinuity, mut pcr) = (false, false, None);
            if has_field {
                let len = usize::from(packet[4]);
                assert!(if has_payload { len <= 182 } else { len == 183 }, "adaptation field of {len}");
                let field = &packet[5..5 + len];
                at = 5 + len;
                if let Some(flags) = field.first() {
                    assert_eq!(flags & 0x2F, 0, "only flags that we use");
                    discontinuity = flags & 0x80 != 0;
                    random_access = flags & 0x40 != 0;
                    let mut used = 1;
                    if flags & 0x10 != 0 {
                        let [b0, b1, b2, b3, b4, b5] = field[1..7] else { panic!("a PCR has six bytes") };
                        assert_eq!(b4 & 0x7E, 0x7E, "reserved bits of the PCR are 1");
                        assert_eq!((b4 & 1, b5), (0, 0), "no extension: PCR is a whole tick");
                        let high = i64::from(u32::from_be_bytes([b0, b1, b2, b3]));
                        pcr = Some(high << 1 | i64::from(b4 >> 7));
                        used = 7;
                    }
                    assert!(field[used..].iter().all(|byte| *byte == 0xFF), "stuffing");
                }
            }
            let payload = &packet[at..];
            if nth < 2 {
                assert_eq!(pid, [0, PMT][nth], "PAT, then PMT");
            }
            if pid == 0 || pid == PMT {
                assert!(starts && has_payload && !has_field);
                check_table(pid, payload, has_video, has_audio);
                psi_before_next_pes = true;
                continue;
            }
            assert!(pid == VIDEO && has_video || pid == AUDIO && has_audio, "PID {pid:#x} is in the PMT");
            if let Some(pcr) = pcr {
                assert_eq!(pid, lead, "the PCR is on the lead PID");
                if let Some(last) = self.last_pcr
                    && !discontinuity
                {
                    let step = (pcr - last).rem_euclid(WRAP);
                    assert!((1..=9000).contains(&step), "PCR step of {step} ticks at packet {nth}");
                }
                self.last_pcr = Some(pcr);
                first_pcr = false;
            }
            if !has_payload {
                continue;
            }
            if starts {
                let mut pes = read_pes(pid, payload);
                pes.random_access = random_access;
                pes.discontinuity = discontinuity;
                if pid == lead {
                    assert!(!first_pcr, "the first PES of the lead carries a PCR");
                }
                let ahead = (pes.dts as i64 - self.last_pcr.unwrap()).rem_euclid(WRAP);
                assert!(ahead < 3 * 90_000, "PCR is above the DTS, or far below: {ahead}");
                if let Some(last) = self.last_dts.insert(pid, pes.dts as i64)
                    && !discontinuity
                {
                    let step = (pes.dts as i64 - last).rem_euclid(WRAP);
                    assert!((1..WRAP / 2).contains(&step), "DTS of PID {pid:#x} rises, step {step}");
                }
                if pes.pid == VIDEO && random_access {
                    assert!(psi_before_next_pes, "PAT and PMT before each IDR");
                }
                psi_before_next_pes = false;
                open.insert(pid, read.len());
                read.push(pes);
            } else {
                assert!(!random_access && !discontinuity);
                let pes = &mut read[*open.get(&pid).expect("a PES begins in its own segment")];
                pes.payload.extend_from_slice(payload);
            }
        }
        check_elementary(&read, has_video);
        read
    }
}

fn check_table(pid: u16, payload: &[u8], has_video: bool, has_audio: bool) {
    assert_eq!(payload[0], 0, "pointer field");
    let section = &payload[1..];
    assert_eq!(section[1] & 0xF0, 0xB0);
    let len = 3 + (usize::from(section[1] & 15) << 8 | usize::from(section[2]));
    assert_eq!(crc(&section[..len]), 0, "CRC over the whole section");
    assert!(section[len..].iter().all(|byte| *byte == 0xFF), "stuffed by 0xFF");
    assert_eq!(section[5] & 0xC1, 0xC1, "reserved bits, current");
    if pid == 0 {
        assert_eq!(section[0], 0);
        assert_eq!(&section[8..12], &[0, 1, 0xF0, 0], "program 1, PMT on 0x1000");
        assert_eq!(len, 16, "one program");
        return;
    }
    assert_eq!(section[0], 2);
    let pcr_pid = if has_video { VIDEO } else { AUDIO };
    let mut want = vec![0xE0 | (pcr_pid >> 8) as u8, pcr_pid as u8, 0xF0, 0];
    if has_video {
        want.extend([0x1B, 0xE1, 0x00, 0xF0, 0]);
    }
    if has_audio {
        want.extend([0x0F, 0xE1, 0x01, 0xF0, 0]);
    }
    assert_eq!(&section[8..len - 4], &want[..]);
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = 0xFFFF_FFFFu32;
    for byte in bytes {
        for bit in (0..8).rev() {
            let top = (crc >> 31) as u8 ^ (byte >> bit & 1);
            crc = (crc << 1) ^ (if top == 1 { 0x04C1_1DB7 } else { 0 });
        }
    }
    crc
}

fn read_pes(pid: u16, payload: &[u8]) -> Pes {
    assert_eq!(payload[..3], [0, 0, 1], "PES start code");
    assert_eq!(payload[3], if pid == VIDEO { 0xE0 } else { 0xC0 });
    let announced = usize::from(u16::from_be_bytes([payload[4], payload[5]]));
    assert_eq!(payload[6], 0x84, "marker and data alignment");
    let time = |at: usize, mark: u8| {
        let b: Vec<u64> = payload[at..at + 5].iter().map(|byte| u64::from(*byte)).collect();
        assert_eq!((b[0] >> 4) as u8, mark);
        assert!(b[0] & 1 == 1 && b[2] & 1 == 1 && b[4] & 1 == 1, "marker bits");
        (b[0] >> 1 & 7) << 30 | b[1] << 22 | (b[2] >> 1) << 15 | b[3] << 7 | b[4] >> 1
    };
    let (pts, dts) = match (payload[7], payload[8]) {
        (0x80, 5) => (time(9, 2), time(9, 2)),
        (0xC0, 10) => (time(9, 3), time(14, 1)),
        other => panic!("PES flags and header length {other:02x?}"),
    };
    assert!(payload[7] == 0x80 || pts != dts, "both times only where they differ");
    let payload = payload[9 + usize::from(payload[8])..].to_vec();
    Pes { pid, pts, dts, payload, random_access: false, discontinuity: false, announced }
}

fn check_elementary(read: &[Pes], has_video: bool) {
    for (nth, pes) in read.iter().enumerate() {
        if pes.pid == VIDEO {
            assert_eq!(pes.announced, 0);
            let types: Vec<u8> = pes.units().iter().map(|unit| unit[0] & 31).collect();
            assert_eq!(types.iter().filter(|kind| **kind == 9).count(), 1, "one delimiter: {types:?}");
            assert_eq!(types[0], 9, "the delimiter comes first");
            assert_eq!(pes.units()[0], [9, 0xF0]);
            let idr = types.contains(&5);
            assert_eq!(pes.random_access, idr, "random access on IDR pictures only");
            if idr {
                assert_eq!(types[1..3], [7, 8], "SPS and PPS before the IDR: {types:?}");
            }
            assert!(nth > 0 || idr, "an IDR comes first");
        } else {
            assert_eq!(pes.announced, pes.payload.len() + if pes.pts == pes.dts { 8 } else { 13 });
            assert!(!pes.adts().is_empty());
            assert_eq!(pes.random_access, !has_video && nth == 0);
        }
    }
    if has_video {
        assert_eq!(read[0].pid, VIDEO, "pictures come first");
    }
}
