//! One track of a progressive MP4 in the making: the sample tables of ISO/IEC 14496-12 §8.5 to §8.7, run-length coded as they
//! grow.

use std::collections::HashMap;

use super::boxes::{Boxes, Reader, put16, put32, put64, wrap, wrap_full};
use crate::samples::Chunk;

/// Pictures or sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Video,
    Audio,
}

/// What a CMAF header says of its track.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Described {
    pub(crate) kind: Kind,
    pub(crate) timescale: u32,
    /// 16.16, as in `tkhd`.
    size: (u32, u32),
    language: u16,
    /// The sample entry, box header included.
    entry: Vec<u8>,
}

impl Described {
    /// Reads `ftyp` and `moov` of one track.
    pub(crate) fn read(init: &[u8]) -> Option<Self> {
        let trak = Boxes::of(init).descend(&[b"moov", b"trak"])?;
        let tkhd = Boxes::of(trak).find(b"tkhd")?;
        let mut size = Reader::new(tkhd.get(tkhd.len().checked_sub(8)?..)?);
        let mdhd = Boxes::of(trak).descend(&[b"mdia", b"mdhd"])?;
        let mut reader = Reader::new(mdhd);
        let long = reader.u32()? >> 24 == 1;
        reader.take(if long { 16 } else { 8 })?;
        let timescale = reader.u32().filter(|scale| *scale > 0)?;
        reader.take(if long { 8 } else { 4 })?;
        let language = reader.take(2)?;
        let hdlr = Boxes::of(trak).descend(&[b"mdia", b"hdlr"])?;
        let kind = match hdlr.get(8..12)? {
            b"vide" => Kind::Video,
            b"soun" => Kind::Audio,
            _ => return None,
        };
        let stsd = Boxes::of(trak).descend(&[b"mdia", b"minf", b"stbl", b"stsd"])?;
        let (_, _, whole) = Boxes::of(stsd.get(8..)?).framed().next()?;
        Some(Self {
            kind,
            timescale,
            size: (size.u32()?, size.u32()?),
            language: u16::from_be_bytes([language[0], language[1]]),
            entry: stsd.get(8..8 + whole?)?.to_vec(),
        })
    }
}

/// A value and how often it comes in a row.
type Runs<T> = Vec<(u32, T)>;

fn push<T: PartialEq>(runs: &mut Runs<T>, value: T) {
    match runs.last_mut() {
        Some((count, same)) if *same == value && *count < u32::MAX => *count += 1,
        _ => runs.push((1, value)),
    }
}

/// A track and its samples so far.
#[derive(Debug)]
pub(crate) struct Track {
    first: Described,
    entries: Vec<Vec<u8>>,
    known: HashMap<Vec<u8>, u32>,
    durations: Runs<u32>,
    offsets: Runs<i32>,
    sizes: Vec<u32>,
    /// Numbers of those that need no other, from 1.
    sync: Vec<u32>,
    all_sync: bool,
    /// First chunk (from 1), samples in each, sample entry (from 1).
    runs: Vec<(u32, u32, u32)>,
    /// Where chunks begin in the media data.
    chunks: Vec<u64>,
    /// The last sample's duration, not in `durations` yet: what follows may lengthen it.
    last: Option<u32>,
    /// Decode time after the last sample, from the track's own beginning, in its timescale.
    pub(crate) end: i64,
    /// How long after the beginning of the file it begins, in its timescale.
    delay: i64,
}

impl Track {
    /// A track without samples.
    pub(crate) fn new(first: Described) -> Self {
        Self {
            first,
            entries: Vec::new(),
            known: HashMap::new(),
            durations: Vec::new(),
            offsets: Vec::new(),
            sizes: Vec::new(),
            sync: Vec::new(),
            all_sync: true,
            runs: Vec::new(),
            chunks: Vec::new(),
            last: None,
            end: 0,
            delay: 0,
        }
    }

    pub(crate) fn timescale(&self) -> u32 {
        self.first.timescale
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// The number of a sample entry; those that are equal are one. `None` for a track of another kind or timescale.
    pub(crate) fn entry(&mut self, described: &Described) -> Option<u32> {
        if (described.kind, described.timescale) != (self.first.kind, self.first.timescale) {
            return None;
        }
        if let Some(known) = self.known.get(&described.entry) {
            return Some(*known);
        }
        self.entries.push(described.entry.clone());
        let number = self.entries.len() as u32;
        self.known.insert(described.entry.clone(), number);
        Some(number)
    }

    /// What comes next is to be shown at `at`, in the timescale, from the beginning of the file. The last sample is made longer
    /// to reach there, or shorter; the first makes the track begin later.
    pub(crate) fn seek(&mut self, at: i64) {
        match self.last {
            None if self.is_empty() => self.delay = at.max(0),
            None => {}
            Some(last) => {
                let wanted = i64::from(last) + at - self.delay - self.end;
                let set = u32::try_from(wanted.clamp(1, i64::from(u32::MAX))).unwrap_or(u32::MAX);
                self.end += i64::from(set) - i64::from(last);
                self.last = Some(set);
            }
        }
    }

    /// Adds samples that lie end to end from `at` on in the media data.
    pub(crate) fn push(&mut self, at: u64, chunk: &Chunk, entry: u32) {
        self.chunks.push(at);
        let (number, count) = (self.chunks.len() as u32, chunk.samples.len() as u32);
        if self.runs.last().is_none_or(|(_, samples, same)| (*samples, *same) != (count, entry)) {
            self.runs.push((number, count, entry));
        }
        for sample in &chunk.samples {
            if let Some(last) = self.last.replace(sample.duration) {
                push(&mut self.durations, last);
            }
            push(&mut self.offsets, sample.offset);
            self.sizes.push(sample.size);
            if sample.sync {
                self.sync.push(self.sizes.len() as u32);
            } else {
                self.all_sync = false;
            }
            self.end += i64::from(sample.duration);
        }
    }

    /// No sample follows.
    pub(crate) fn close(&mut self) {
        if let Some(last) = self.last.take() {
            push(&mut self.durations, last);
        }
    }

    /// Its length from the beginning of the file, in units of `timescale`.
    pub(crate) fn duration_in(&self, timescale: u32) -> u64 {
        scale(self.delay + self.end, self.first.timescale, timescale)
    }

    /// The `trak`, its chunks `shift` bytes behind where [`Self::push`] was told. Its size does not depend on `shift`.
    pub(crate) fn write(&self, out: &mut Vec<u8>, id: u32, movie_timescale: u32, shift: u64) {
        let video = self.first.kind == Kind::Video;
        let movie_duration = self.duration_in(movie_timescale);
        wrap(out, b"trak", |out| {
            // Enabled, in the movie (§8.3.2).
            wrap_full(out, b"tkhd", 1, 3, |out| {
                put64(out, 0);
                put64(out, 0);
                put32(out, id);
                put32(out, 0);
                put64(out, movie_duration);
                put64(out, 0);
                put16(out, 0);
                put16(out, if video { 0 } else { 1 }); // players choose one of a group
                put16(out, if video { 0 } else { 0x0100 });
                put16(out, 0);
                matrix(out);
                put32(out, self.first.size.0);
                put32(out, self.first.size.1);
            });
            if self.delay > 0 {
                wrap(out, b"edts", |out| {
                    wrap_full(out, b"elst", 1, 0, |out| {
                        put32(out, 2);
                        let empty = scale(self.delay, self.first.timescale, movie_timescale);
                        put64(out, empty);
                        put64(out, u64::MAX);
                        put32(out, 0x0001_0000);
                        put64(out, movie_duration - empty.min(movie_duration));
                        put64(out, 0);
                        put32(out, 0x0001_0000);
                    });
                });
            }
            wrap(out, b"mdia", |out| {
                wrap_full(out, b"mdhd", 1, 0, |out| {
                    put64(out, 0);
                    put64(out, 0);
                    put32(out, self.first.timescale);
                    put64(out, u64::try_from(self.end).unwrap_or(0));
                    put16(out, self.first.language);
                    put16(out, 0);
                });
                wrap_full(out, b"hdlr", 0, 0, |out| {
                    put32(out, 0);
                    out.extend_from_slice(if video { b"vide" } else { b"soun" });
                    out.extend_from_slice(&[0; 12]);
                    out.extend_from_slice(if video { b"pictures\0" } else { b"sound\0" });
                });
                wrap(out, b"minf", |out| {
                    if video {
                        wrap_full(out, b"vmhd", 0, 1, |out| put64(out, 0));
                    } else {
                        wrap_full(out, b"smhd", 0, 0, |out| put32(out, 0));
                    }
                    wrap(out, b"dinf", |out| {
                        wrap_full(out, b"dref", 0, 0, |out| {
                            put32(out, 1);
                            wrap_full(out, b"url ", 0, 1, |_| {});
                        });
                    });
                    wrap(out, b"stbl", |out| self.tables(out, shift));
                });
            });
        });
    }

    fn tables(&self, out: &mut Vec<u8>, shift: u64) {
        wrap_full(out, b"stsd", 0, 0, |out| {
            put32(out, self.entries.len() as u32);
            self.entries.iter().for_each(|entry| out.extend_from_slice(entry));
        });
        wrap_full(out, b"stts", 0, 0, |out| {
            put32(out, self.durations.len() as u32);
            for (count, duration) in &self.durations {
                put32(out, *count);
                put32(out, *duration);
            }
        });
        if self.offsets.iter().any(|(_, offset)| *offset != 0) {
            wrap_full(out, b"ctts", 1, 0, |out| {
                put32(out, self.offsets.len() as u32);
                for (count, offset) in &self.offsets {
                    put32(out, *count);
                    put32(out, *offset as u32);
                }
            });
        }
        if !self.all_sync {
            wrap_full(out, b"stss", 0, 0, |out| {
                put32(out, self.sync.len() as u32);
                self.sync.iter().for_each(|number| put32(out, *number));
            });
        }
        wrap_full(out, b"stsc", 0, 0, |out| {
            put32(out, self.runs.len() as u32);
            for (chunk, samples, entry) in &self.runs {
                put32(out, *chunk);
                put32(out, *samples);
                put32(out, *entry);
            }
        });
        wrap_full(out, b"stsz", 0, 0, |out| {
            put32(out, 0);
            put32(out, self.sizes.len() as u32);
            self.sizes.iter().for_each(|size| put32(out, *size));
        });
        wrap_full(out, b"co64", 0, 0, |out| {
            put32(out, self.chunks.len() as u32);
            self.chunks.iter().for_each(|at| put64(out, at + shift));
        });
    }
}

/// `ticks` of one timescale in another.
pub(crate) fn scale(ticks: i64, from: u32, to: u32) -> u64 {
    let ticks = u128::try_from(ticks).unwrap_or(0);
    u64::try_from((ticks * u128::from(to) + u128::from(from) / 2) / u128::from(from.max(1)))
        .unwrap_or(u64::MAX)
}

/// The picture as it is: §8.2.2.
pub(crate) fn matrix(out: &mut Vec<u8>) {
    for value in [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000] {
        put32(out, value);
    }
}
