//! Program association and program map (ISO/IEC 13818-1 §2.4.4): one program, made once, only the counters change.

use super::{AUDIO_PID, PMT_PID, VIDEO_PID, packet::SIZE};

const PROGRAM: u16 = 1;
/// AVC video stream (table 2-34).
const STREAM_TYPE_H264: u8 = 0x1B;
/// ISO/IEC 13818-7 audio with ADTS (table 2-34).
const STREAM_TYPE_AAC: u8 = 0x0F;

/// The two tables as packets.
#[derive(Debug)]
pub(super) struct Tables {
    packets: [[u8; SIZE]; 2],
    counter: u8,
}

impl Tables {
    pub(super) fn new(has_video: bool, has_audio: bool) -> Self {
        let pcr_pid = if has_video { VIDEO_PID } else { AUDIO_PID };
        let mut streams = vec![];
        let present = [(has_video, STREAM_TYPE_H264, VIDEO_PID), (has_audio, STREAM_TYPE_AAC, AUDIO_PID)];
        for (_, stream_type, pid) in present.into_iter().filter(|(present, ..)| *present) {
            streams.push(stream_type);
            streams.extend(reserved(0b111, pid));
            streams.extend(reserved(0b1111, 0)); // ES_info_length
        }
        let association = [PROGRAM.to_be_bytes(), reserved(0b111, PMT_PID)].concat();
        let map = [&reserved(0b111, pcr_pid)[..], &reserved(0b1111, 0), &streams].concat();
        Self { packets: [table(0, 0x00, &association), table(PMT_PID, 0x02, &map)], counter: 0 }
    }

    /// Writes both, the association first.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) {
        for packet in &mut self.packets {
            packet[3] = 0x10 | self.counter;
            out.extend_from_slice(packet);
        }
        self.counter = (self.counter + 1) & 15;
    }
}

/// A 13-bit PID or a 12-bit length behind its reserved bits, which are 1.
fn reserved(bits: u16, value: u16) -> [u8; 2] {
    let width = if bits == 0b111 { 13 } else { 12 };
    (bits << width | value).to_be_bytes()
}

/// One section in one packet: pointer field 0, section, CRC, then 0xFF.
fn table(pid: u16, table_id: u8, body: &[u8]) -> [u8; SIZE] {
    let mut section = vec![table_id];
    let length = 5 + body.len() + 4; // from after the length to the end of the CRC
    section.extend((0b1011 << 12 | length as u16).to_be_bytes());
    section.extend(1u16.to_be_bytes()); // transport_stream_id in one, program_number in the other
    section.extend([0b1100_0001, 0, 0]); // version 0, current; section 0 of 0
    section.extend(body);
    section.extend(crc32(&section).to_be_bytes());
    let mut packet = [0xFF; SIZE];
    packet[..5].copy_from_slice(&[0x47, 0x40 | (pid >> 8) as u8, pid as u8, 0x10, 0]);
    packet[5..5 + section.len()].copy_from_slice(&section);
    packet
}

/// CRC-32/MPEG-2 (annex A).
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04C1_1DB7 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_that_of_mpeg_2() {
        assert_eq!(crc32(b"123456789"), 0x0376_E6E7);
    }

    #[test]
    fn tables_are_byte_exact() {
        let mut out = vec![];
        let mut tables = Tables::new(true, true);
        tables.write(&mut out);
        tables.write(&mut out);
        let (pat, pmt) = (&out[..188], &out[188..376]);
        assert_eq!(
            pat[..17],
            [0x47, 0x40, 0, 0x10, 0, 0, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0],
            "{pat:02x?}"
        );
        assert_eq!(
            pmt[..27],
            [
                0x47, 0x50, 0, 0x10, 0, 2, 0xB0, 23, 0, 1, 0xC1, 0, 0, 0xE1, 0, 0xF0, 0, 0x1B, 0xE1, 0, 0xF0,
                0, 0x0F, 0xE1, 1, 0xF0, 0
            ],
            "{pmt:02x?}"
        );
        assert!(pat[21..].iter().chain(&pmt[31..]).all(|byte| *byte == 0xFF));
        assert_eq!((out[376 + 3], out[564 + 3]), (0x11, 0x11));
        let mut out = vec![];
        Tables::new(false, true).write(&mut out);
        assert_eq!(out[188 + 13..188 + 22], [0xE1, 1, 0xF0, 0, 0x0F, 0xE1, 1, 0xF0, 0]);
    }
}
