//! Where everything lies in a progressive MP4.
//!
//! Samples stand segment by segment, a segment's pictures before its sound. Pictures and sound are placed by the stream's clock:
//! at the beginning, after each discontinuity and after each hole the next segment begins where that clock says, so they
//! never drift apart. A stretch that neither of the two has is left out of the file, not shown as a still.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use media::TICKS_PER_SECOND;

use super::{
    boxes::{put32, put64, wrap, wrap_full},
    track::{Described, Track, matrix},
};
use crate::{index::Entry, recording::Recording, samples::Table};

/// Units of the movie header: milliseconds.
const MOVIE_TIMESCALE: u32 = 1000;
/// `mdat` with a length of 64 bits.
const MDAT_HEAD: u64 = 16;
/// Reads of the store that lie no farther apart are one.
const NEAR: u64 = 64 << 10;
/// The largest read.
const LARGEST_READ: u64 = 4 << 20;
/// Deviations of a continuous track from the clock that are no hole: the clock's own rounding, in ticks of 90 kHz.
const ROUNDING: i64 = 90;

/// Why there is no MP4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Transport streams are not taken apart.
    #[error("this recording is of MPEG-TS; only one of fragmented MP4 can be downloaded as MP4")]
    NotFragmented,
    /// No segment of it can be used.
    #[error("there is nothing in the chosen rendition")]
    Empty,
}

/// Part of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// These bytes.
    Bytes(Bytes),
    /// `parts`, relative to the beginning of `range`, of what a pack holds there.
    Stored {
        /// Number of the pack.
        pack: u32,
        /// To be read at once.
        range: Range<u64>,
        /// Of that, these, in order.
        parts: Vec<Range<u64>>,
    },
}

/// Samples that lie end to end, in the file and in the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Extent {
    /// In the media data.
    at: u64,
    pack: u32,
    offset: u64,
    length: u64,
}

/// A whole file, laid out.
#[derive(Clone, Debug)]
pub struct Layout {
    head: Bytes,
    extents: Vec<Extent>,
    media: u64,
}

/// What a track is made of: a segment of the index with what was read for it.
pub(crate) struct Source<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) table: Table,
    /// Which of [`Layout::build`]'s headers.
    pub(crate) init: usize,
}

impl Layout {
    /// Lays out tracks, pictures first. `inits` are the headers that sources name.
    pub(crate) fn build(
        inits: &[Option<Described>],
        tracks: Vec<Vec<Source<'_>>>,
    ) -> Result<Self, LayoutError> {
        let mut made: Vec<Maker<'_>> =
            tracks.into_iter().filter_map(|sources| Maker::new(sources, inits)).collect();
        if made.is_empty() {
            return Err(LayoutError::Empty);
        }
        let mut by_sequence: BTreeMap<u64, Vec<(usize, usize)>> = BTreeMap::new();
        for (track, maker) in made.iter().enumerate() {
            for (nth, source) in maker.sources.iter().enumerate() {
                by_sequence.entry(source.entry.sequence).or_default().push((track, nth));
            }
        }
        let (mut extents, mut media) = (Vec::new(), 0);
        // What is added to the stream's clock for the file's; ticks of 90 kHz.
        let mut shift: Option<i64> = None;
        let mut end = 0;
        for segments in by_sequence.values() {
            let entries = || segments.iter().map(|(track, nth)| made[*track].sources[*nth].entry);
            let start = entries().map(|entry| entry.start).min().unwrap_or(end);
            let shift = match &mut shift {
                None => *shift.insert(start.saturating_neg()),
                Some(shift) => {
                    // A hole, or a clock that was set back.
                    let hole = start.saturating_sub(end);
                    if !(-TICKS_PER_SECOND..=ROUNDING).contains(&hole) {
                        *shift = shift.saturating_sub(hole);
                    }
                    *shift
                }
            };
            end = entries().map(|entry| entry.start.saturating_add(entry.duration)).max().unwrap_or(end);
            for (track, nth) in segments {
                made[*track].add(*nth, shift, inits, &mut extents, &mut media);
            }
        }
        let mut tracks: Vec<Track> = made.into_iter().map(|maker| maker.track).collect();
        tracks.iter_mut().for_each(Track::close);
        tracks.retain(|track| !track.is_empty());
        if tracks.is_empty() {
            return Err(LayoutError::Empty);
        }
        let length = head(&tracks, media, 0).len() as u64;
        let head = head(&tracks, media, length);
        Ok(Self { head: head.into(), extents, media })
    }

    /// The file's length in bytes.
    pub fn length(&self) -> u64 {
        self.head.len() as u64 + self.media
    }

    /// Memory that it takes, in bytes.
    pub fn weight(&self) -> usize {
        self.head.len() + self.extents.len() * size_of::<Extent>()
    }

    /// What a range of the file consists of, in order. Lazy: nothing is read or copied.
    pub fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = Piece> + Send + use<> {
        let before = self.head.len() as u64;
        let range = range.start.min(self.length())..range.end.min(self.length());
        let head = self.head.slice(range.start.min(before) as usize..range.end.min(before) as usize);
        let media = range.start.saturating_sub(before)..range.end.saturating_sub(before);
        let first = self.extents.partition_point(|extent| extent.at + extent.length <= media.start);
        let last = self.extents.partition_point(|extent| extent.at < media.end);
        let wanted: Vec<Extent> =
            self.extents[first.min(last)..last].iter().map(|extent| extent.within(&media)).collect();
        let head = Some(Piece::Bytes(head)).filter(|_| range.start < before.min(range.end));
        head.into_iter().chain(Reads { wanted, next: 0 })
    }
}

impl Extent {
    /// The part of it that lies in a range of the media data.
    fn within(&self, range: &Range<u64>) -> Self {
        let skip = range.start.saturating_sub(self.at);
        let end = (self.at + self.length).min(range.end);
        let at = self.at + skip;
        Self { at, offset: self.offset + skip, length: end.saturating_sub(at), ..*self }
    }
}

/// Extents, joined to reads of a sensible size.
struct Reads {
    wanted: Vec<Extent>,
    next: usize,
}

impl Iterator for Reads {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let first = *self.wanted.get(self.next)?;
        if first.length > LARGEST_READ {
            // The rest of it is the next piece.
            self.wanted[self.next].offset += LARGEST_READ;
            self.wanted[self.next].length -= LARGEST_READ;
            let range = first.offset..first.offset + LARGEST_READ;
            return Some(Piece::Stored {
                pack: first.pack,
                range,
                parts: std::iter::once(0..LARGEST_READ).collect(),
            });
        }
        self.next += 1;
        let mut range = first.offset..first.offset + first.length;
        let mut parts: Vec<Range<u64>> = std::iter::once(0..first.length).collect();
        while let Some(extent) = self.wanted.get(self.next) {
            let near = extent.pack == first.pack && (range.end..=range.end + NEAR).contains(&extent.offset);
            if !near || extent.offset + extent.length - range.start > LARGEST_READ {
                break;
            }
            let from = extent.offset - range.start;
            parts.push(from..from + extent.length);
            range.end = extent.offset + extent.length;
            self.next += 1;
        }
        Some(Piece::Stored { pack: first.pack, range, parts })
    }
}

/// A track in the making, with what it is made of.
struct Maker<'a> {
    track: Track,
    sources: Vec<Source<'a>>,
    /// Sequence number, discontinuities and decode time where the next segment would follow without a hole.
    next: Option<(u64, u64, u64)>,
}

impl<'a> Maker<'a> {
    fn new(sources: Vec<Source<'a>>, inits: &[Option<Described>]) -> Option<Self> {
        let first = sources.iter().find_map(|source| inits.get(source.init)?.as_ref())?.clone();
        Some(Self { track: Track::new(first), sources, next: None })
    }

    fn add(
        &mut self,
        nth: usize,
        shift: i64,
        inits: &[Option<Described>],
        extents: &mut Vec<Extent>,
        media: &mut u64,
    ) {
        let Source { entry, table, init } = &self.sources[nth];
        let described = inits.get(*init).and_then(Option::as_ref);
        let Some(number) = described.and_then(|described| self.track.entry(described)) else { return };
        let follows = self.next == Some((entry.sequence, entry.discontinuities, table.decode_time));
        if !follows {
            let at = i128::from(entry.start.saturating_add(shift)) * i128::from(self.track.timescale());
            let second = i128::from(TICKS_PER_SECOND);
            self.track.seek(i64::try_from((at + second / 2).div_euclid(second)).unwrap_or(0));
        }
        let mut decode_time = table.decode_time;
        for chunk in &table.chunks {
            let length = chunk.length();
            self.track.push(*media, chunk, number);
            extents.push(Extent {
                at: *media,
                pack: entry.at.pack,
                offset: entry.at.offset + chunk.offset,
                length,
            });
            *media += length;
            decode_time += chunk.samples.iter().map(|sample| u64::from(sample.duration)).sum::<u64>();
        }
        self.next = Some((entry.sequence + 1, entry.discontinuities, decode_time));
    }
}

/// Everything before the media data, when it begins with what is `shift` bytes long.
fn head(tracks: &[Track], media: u64, shift: u64) -> Vec<u8> {
    let mut out = Vec::new();
    wrap(&mut out, b"ftyp", |out| {
        out.extend_from_slice(b"isom");
        put32(out, 512);
        out.extend_from_slice(b"isomiso6mp41");
    });
    let duration = tracks.iter().map(|track| track.duration_in(MOVIE_TIMESCALE)).max().unwrap_or(0);
    wrap(&mut out, b"moov", |out| {
        wrap_full(out, b"mvhd", 1, 0, |out| {
            put64(out, 0);
            put64(out, 0);
            put32(out, MOVIE_TIMESCALE);
            put64(out, duration);
            put32(out, 0x0001_0000);
            put32(out, 0x0100_0000);
            put64(out, 0);
            matrix(out);
            out.extend_from_slice(&[0; 24]);
            put32(out, tracks.len() as u32 + 1);
        });
        for (nth, track) in tracks.iter().enumerate() {
            track.write(out, nth as u32 + 1, MOVIE_TIMESCALE, shift);
        }
    });
    put32(&mut out, 1);
    out.extend_from_slice(b"mdat");
    put64(&mut out, MDAT_HEAD + media);
    out
}

/// The renditions that go into a file: the pictures, and the sound that goes with them.
pub(crate) fn choose(
    recording: &Recording,
    pictures: Option<&str>,
    sound: Option<&str>,
) -> Result<Vec<u16>, LayoutError> {
    use crate::index::Container;
    let all = || recording.header.renditions.iter().enumerate();
    if all().all(|(_, rendition)| rendition.container == Container::Ts) {
        return Err(LayoutError::NotFragmented);
    }
    let largest = all().filter(|(_, one)| one.size.is_some()).max_by_key(|(nth, one)| {
        (one.size.map(|(width, height)| u64::from(width) * u64::from(height)), std::cmp::Reverse(*nth))
    });
    let video = match pictures {
        Some(id) => Some(all().find(|(_, one)| one.id == id).ok_or(LayoutError::Empty)?),
        None => largest,
    };
    let audio = match sound {
        Some(id) => Some(all().find(|(_, one)| one.id == id).ok_or(LayoutError::Empty)?),
        None => all().find(|(_, one)| one.size.is_none()),
    };
    let mut chosen: Vec<u16> = [video, audio].into_iter().flatten().map(|(nth, _)| nth as u16).collect();
    chosen.dedup();
    Ok(chosen)
}
