//! One chunk: `[styp] [prft] [emsg …] moof{mfhd, traf{tfhd, tfdt, trun}} mdat` (CMAF chunk, ISO/IEC 23000-19 §7.3.2.3).
//!
//! Everything a player needs stands in the fragment and nothing in `trex`: durations and sizes of each sample, and a
//! `trun` of version 1, whose composition offsets are signed.

use bytes::{BufMut, Bytes};

use super::{
    boxes::{boxed, full},
    init::TRACK_ID,
};

/// sample_depends_on 2: a player may begin here (ISO/IEC 14496-12 §8.8.3.1).
const KEY: u32 = 0x0200_0000;
/// sample_depends_on 1, sample_is_non_sync_sample.
const NOT_KEY: u32 = 0x0101_0000;
/// tfhd: default-sample-duration, default-sample-flags, default-base-is-moof.
const TFHD_FLAGS: u32 = 0x02_0028;
/// trun: data-offset, sample-size; the others only where they are needed.
const TRUN_FLAGS: u32 = 0x0201;
const TRUN_FIRST_FLAGS: u32 = 0x0004;
const TRUN_DURATIONS: u32 = 0x0100;
const TRUN_SAMPLE_FLAGS: u32 = 0x0400;
const TRUN_OFFSETS: u32 = 0x0800;
/// Seconds from 1900, where NTP counts from, to 1970.
const NTP_EPOCH: i64 = 2_208_988_800;
/// prft: the time has a small, constant distance from what the pictures show (§8.16.5).
const PRFT_FLAGS: u32 = 24;
/// Around the samples: moof with one trun, mdat's header.
const OVERHEAD: usize = 160;

/// One coded frame as a file holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Its bytes, in the form of the sample entry.
    pub data: Bytes,
    /// To the next sample's decode time, in the track's timescale.
    pub duration: u32,
    /// Composition time less decode time, in the track's timescale.
    pub offset: i32,
    /// Decoding may start here.
    pub key: bool,
}

/// An event in front of a chunk (`emsg` version 1, ISO/IEC 23009-1 §5.10.3.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When it takes effect, in the track's timescale on the file's clock.
    pub at: u64,
    /// How long it holds, in the same; [`Event::OPEN`] when that is not known.
    pub duration: u32,
    /// Equal events have equal ids.
    pub id: u32,
    /// What `message` is, such as [`Event::ID3`].
    pub scheme: String,
    /// As the scheme says; mostly empty.
    pub value: String,
    /// The event itself, such as a whole ID3v2 tag.
    pub message: Bytes,
}

impl Event {
    /// Timed ID3 metadata: `message` is an ID3v2 tag.
    pub const ID3: &'static str = "https://aomedia.org/emsg/ID3";
    /// SCTE-35 splice information: `message` is a whole splice_info_section.
    pub const SCTE35: &'static str = "urn:scte:scte35:2013:bin";
    /// An end that is not known.
    pub const OPEN: u32 = u32::MAX;

    fn write(&self, out: &mut Vec<u8>, timescale: u32) {
        full(out, b"emsg", 1, 0, |out| {
            out.put_u32(timescale);
            out.put_u64(self.at);
            out.put_u32(self.duration);
            out.put_u32(self.id);
            for text in [&self.scheme, &self.value] {
                out.extend(text.bytes().filter(|byte| *byte != 0));
                out.put_u8(0);
            }
            out.put_slice(&self.message);
        });
    }
}

/// What one chunk is made of.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// mfhd: rises by one with every chunk of the track.
    pub sequence: u32,
    /// tfdt: the first sample's decode time, in the track's timescale.
    pub decode_time: u64,
    /// The frames, in decode order; at least one.
    pub samples: &'a [Sample],
    /// It opens a segment: `styp` stands before it.
    pub opens: bool,
    /// Writes `prft`: microseconds since 1970 at the first sample's decode time.
    pub unix_micros: Option<i64>,
    /// What stands before the `moof`.
    pub events: &'a [Event],
    /// The track's timescale, for `events`.
    pub timescale: u32,
}

/// A chunk that was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// The whole chunk.
    pub bytes: Bytes,
    /// Where its `moof` begins.
    pub moof: usize,
    /// Where the first sample's data end.
    pub first_sample_end: usize,
}

impl Fragment<'_> {
    /// Writes the chunk.
    pub fn write(&self) -> Written {
        let media: usize = self.samples.iter().map(|sample| sample.data.len()).sum();
        let events: usize = self.events.iter().map(|event| event.message.len() + 128).sum();
        let mut out = Vec::with_capacity(media + events + OVERHEAD + 16 * self.samples.len());
        if self.opens {
            boxed(&mut out, b"styp", |out| {
                out.put_slice(b"msdh");
                out.put_u32(0);
                out.put_slice(b"msdhcmfscmffcmfl");
            });
        }
        if let Some(unix_micros) = self.unix_micros {
            full(&mut out, b"prft", 1, PRFT_FLAGS, |out| {
                out.put_u32(TRACK_ID);
                out.put_u64(ntp(unix_micros));
                out.put_u64(self.decode_time);
            });
        }
        self.events.iter().for_each(|event| event.write(&mut out, self.timescale));
        let moof = out.len();
        let data_offset = self.moof(&mut out);
        boxed(&mut out, b"mdat", |out| {
            self.samples.iter().for_each(|sample| out.put_slice(&sample.data));
        });
        let first = self.samples.first().map_or(0, |sample| sample.data.len());
        Written { moof, first_sample_end: moof + data_offset + first, bytes: out.into() }
    }

    /// Writes `moof`; says where the samples begin, counted from its first byte.
    fn moof(&self, out: &mut Vec<u8>) -> usize {
        let first = self.samples.first();
        let duration = first.map_or(0, |sample| sample.duration);
        let first_key = first.is_some_and(|sample| sample.key);
        let (_, later) = self.samples.split_at(self.samples.len().min(1));
        let later_key = later.first().map_or(first_key, |sample| sample.key);
        let told = |wanted: bool, flag: u32| if wanted { flag } else { 0 };
        let mixed = later.iter().any(|sample| sample.key != later_key);
        let flags = TRUN_FLAGS
            | told(later.iter().any(|sample| sample.duration != duration), TRUN_DURATIONS)
            | told(mixed, TRUN_SAMPLE_FLAGS)
            | told(!mixed && first_key != later_key, TRUN_FIRST_FLAGS)
            | told(self.samples.iter().any(|sample| sample.offset != 0), TRUN_OFFSETS);
        let sample_flags = |key: bool| if key { KEY } else { NOT_KEY };
        let at = out.len();
        let mut offset_at = at;
        boxed(out, b"moof", |out| {
            full(out, b"mfhd", 0, 0, |out| out.put_u32(self.sequence));
            boxed(out, b"traf", |out| {
                full(out, b"tfhd", 0, TFHD_FLAGS, |out| {
                    out.put_u32(TRACK_ID);
                    out.put_u32(duration);
                    out.put_u32(sample_flags(later_key));
                });
                full(out, b"tfdt", 1, 0, |out| out.put_u64(self.decode_time));
                full(out, b"trun", 1, flags, |out| {
                    out.put_u32(self.samples.len() as u32);
                    offset_at = out.len();
                    out.put_u32(0);
                    if flags & TRUN_FIRST_FLAGS != 0 {
                        out.put_u32(sample_flags(first_key));
                    }
                    for sample in self.samples {
                        if flags & TRUN_DURATIONS != 0 {
                            out.put_u32(sample.duration);
                        }
                        out.put_u32(sample.data.len() as u32);
                        if flags & TRUN_SAMPLE_FLAGS != 0 {
                            out.put_u32(sample_flags(sample.key));
                        }
                        if flags & TRUN_OFFSETS != 0 {
                            out.put_i32(sample.offset);
                        }
                    }
                });
            });
        });
        let data_offset = out.len() - at + 8;
        out[offset_at..offset_at + 4].copy_from_slice(&(data_offset as u32).to_be_bytes());
        data_offset
    }
}

/// Microseconds since 1970 as NTP writes a time: seconds since 1900 and a binary fraction, 32 bits each.
fn ntp(unix_micros: i64) -> u64 {
    let seconds = unix_micros.div_euclid(1_000_000).saturating_add(NTP_EPOCH);
    let fraction = ((unix_micros.rem_euclid(1_000_000) as u64) << 32) / 1_000_000;
    u64::from(seconds as u32) << 32 | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(len: usize, duration: u32, offset: i32, key: bool) -> Sample {
        Sample { data: vec![0xA5; len].into(), duration, offset, key }
    }

    fn write(samples: &[Sample]) -> Written {
        Fragment {
            sequence: 7,
            decode_time: 900_000,
            samples,
            opens: false,
            unix_micros: None,
            events: &[],
            timescale: 90_000,
        }
        .write()
    }

    /// The fields of `trun`: flags, then the numbers behind the sample count.
    fn trun(bytes: &[u8]) -> (u32, Vec<u32>) {
        let at = bytes.windows(4).position(|four| four == b"trun").unwrap();
        let len = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
        let words: Vec<u32> = bytes[at + 4..at - 4 + len]
            .chunks_exact(4)
            .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
            .collect();
        (words[0], words[2..].to_vec())
    }

    #[test]
    fn a_run_says_no_more_than_it_must() {
        for (name, samples, flags, numbers) in [
            ("one key", vec![sample(5, 10, 0, true)], 0x0100_0201, vec![108, 5]),
            (
                "key and others",
                vec![sample(5, 10, 0, true), sample(6, 10, 0, false)],
                0x0100_0205,
                vec![116, KEY, 5, 6],
            ),
            (
                "reordered",
                vec![sample(5, 10, 20, false), sample(6, 10, -10, false)],
                0x0100_0A01,
                vec![120, 5, 20, 6, -10i32 as u32],
            ),
            (
                "keys in between, uneven",
                vec![sample(5, 10, 0, false), sample(6, 11, 0, true), sample(7, 10, 0, false)],
                0x0100_0701,
                vec![140, 10, 5, NOT_KEY, 11, 6, KEY, 10, 7, NOT_KEY],
            ),
        ] {
            let written = write(&samples);
            assert_eq!(trun(&written.bytes), (flags, numbers), "{name}");
            let media: usize = samples.iter().map(|sample| sample.data.len()).sum();
            let mdat = &written.bytes[written.bytes.len() - media - 8..];
            assert_eq!(&mdat[4..8], b"mdat", "{name}");
            assert_eq!(
                written.first_sample_end,
                written.bytes.len() - media + samples[0].data.len(),
                "{name}"
            );
        }
    }

    #[test]
    fn what_stands_before_the_moof() {
        let events = [Event {
            at: 900_000,
            duration: Event::OPEN,
            id: 3,
            scheme: Event::ID3.to_owned(),
            value: "a\0b".to_owned(),
            message: Bytes::from_static(b"ID3"),
        }];
        let written = Fragment {
            sequence: 1,
            decode_time: 900_000,
            samples: &[sample(4, 3000, 0, true)],
            opens: true,
            unix_micros: Some(-1),
            events: &events,
            timescale: 90_000,
        }
        .write();
        let (mut kinds, mut rest) = (vec![], &written.bytes[..]);
        while let Some(len) = rest.first_chunk::<4>() {
            kinds.push(&rest[4..8]);
            rest = &rest[u32::from_be_bytes(*len) as usize..];
        }
        assert_eq!(kinds, [b"styp", b"prft", b"emsg", b"moof", b"mdat"]);
        assert_eq!(&written.bytes[written.moof + 4..written.moof + 8], b"moof");
        assert!(written.bytes.windows(4).any(|four| four == b"\0ab\0"), "no zero byte inside a text");
        assert_eq!(ntp(0), (NTP_EPOCH as u64) << 32);
        assert_eq!(ntp(-500_000), (NTP_EPOCH as u64 - 1) << 32 | 1 << 31);
        assert_eq!(ntp(1_500_000) & 0xFFFF_FFFF, 1 << 31);
    }
}
