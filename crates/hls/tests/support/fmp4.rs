//! Makes chunkers, reads fragmented MP4 with `mp4-atom`, and holds it against what was told of it.

use std::io::Cursor;

use hls::{
    Opening, Part, Segment,
    cmaf::{Chunked, Chunker},
    cut::{Cut, CutPlan},
};
use media::{MediaSequence, MediaSpan, MediaTime, Packet, TrackKind};
use mp4_atom::{Atom, Decode, DecodeMaybe, Ftyp, Header, Moof, Moov};

use super::{CLOCK, audio_config, video_config};

pub const SECOND: i64 = 90_000;
pub const HALF: i64 = SECOND / 2;

/// A cut at a time in ticks.
pub fn cut(sequence: u64, at: i64, discontinuity: bool) -> Cut {
    Cut { sequence: MediaSequence(sequence), at: MediaTime::from_ticks(at), discontinuity, clock: CLOCK }
}

/// A chunker of pictures, configured; `target` in ticks.
pub fn pictures(target: i64) -> Chunker {
    let mut chunker = Chunker::new(TrackKind::Video, MediaSpan::from_ticks(target));
    chunker.video_config(video_config());
    chunker
}

/// The same for sound.
pub fn sounds(target: i64, rate: u32) -> Chunker {
    let mut chunker = Chunker::new(TrackKind::Audio, MediaSpan::from_ticks(target));
    chunker.audio_config(audio_config(rate));
    chunker
}

/// Number, start, duration, discontinuity and gap of a segment.
pub fn shape(segment: &Segment) -> (u64, i64, i64, bool, bool) {
    let (start, duration) = (segment.start.ticks(), segment.duration.ticks());
    (segment.sequence.0, start, duration, segment.discontinuity, segment.gap)
}

/// One sample of a chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    pub decode: i64,
    pub duration: u32,
    pub offset: i32,
    pub key: bool,
    pub data: Vec<u8>,
}

impl Sample {
    pub fn pts(&self) -> i64 {
        self.decode + i64::from(self.offset)
    }
}

/// One `moof` and `mdat`, with the types of the boxes before them.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub before: Vec<String>,
    pub sequence: u32,
    pub decode: i64,
    pub samples: Vec<Sample>,
}

impl Chunk {
    pub fn end(&self) -> i64 {
        self.decode + self.samples.iter().map(|sample| i64::from(sample.duration)).sum::<i64>()
    }
}

/// Reads chunk after chunk, to the last byte.
pub fn chunks(bytes: &[u8]) -> Vec<Chunk> {
    let (mut out, mut before, mut at) = (vec![], vec![], 0);
    let mut moof: Option<(usize, Moof)> = None;
    while at < bytes.len() {
        let mut cursor = Cursor::new(&bytes[at..]);
        let header = Header::decode_maybe(&mut cursor).unwrap().unwrap();
        let len = cursor.position() as usize + header.size.unwrap();
        let kind = header.kind.to_string();
        match &kind[..] {
            "moof" => {
                assert!(moof.is_none(), "two moof in a row");
                moof = Some((at, Moof::decode(&mut Cursor::new(&bytes[at..at + len])).unwrap()));
            }
            "mdat" => {
                let (moof_at, moof) = moof.take().expect("a moof before mdat");
                out.push(chunk(bytes, moof_at, &moof, std::mem::take(&mut before), at + len));
            }
            _ => before.push(kind),
        }
        at += len;
    }
    assert_eq!(at, bytes.len());
    assert!(moof.is_none() && before.is_empty(), "{before:?} behind the last chunk");
    out
}

fn chunk(bytes: &[u8], moof_at: usize, moof: &Moof, before: Vec<String>, end: usize) -> Chunk {
    let [traf] = &moof.traf[..] else { panic!("one track") };
    let [trun] = &traf.trun[..] else { panic!("one run") };
    assert!(traf.tfhd.default_base_is_moof && traf.tfhd.base_data_offset.is_none());
    let decode = traf.tfdt.as_ref().unwrap().base_media_decode_time as i64;
    let mut at = moof_at + trun.data_offset.unwrap() as usize;
    let mut clock = decode;
    let mut samples = vec![];
    for entry in trun.samples.iter() {
        let duration = entry.duration.or(traf.tfhd.default_sample_duration).unwrap();
        let size = entry.size.or(traf.tfhd.default_sample_size).unwrap() as usize;
        let flags = entry.flags.or(traf.tfhd.default_sample_flags).unwrap();
        let key = match flags {
            0x0200_0000 => true,
            0x0101_0000 => false,
            other => panic!("sample flags {other:08x}"),
        };
        let offset = i32::try_from(entry.cts.unwrap_or(0)).unwrap();
        samples.push(Sample { decode: clock, duration, offset, key, data: bytes[at..at + size].to_vec() });
        clock += i64::from(duration);
        at += size;
    }
    assert_eq!(at, end, "the samples fill mdat");
    assert!(!samples.is_empty());
    Chunk { before, sequence: moof.mfhd.sequence_number, decode, samples }
}

/// Reads a header.
pub fn header(bytes: &[u8]) -> (Ftyp, Moov) {
    let mut cursor = Cursor::new(bytes);
    let ftyp = Ftyp::decode(&mut cursor).unwrap();
    let moov = Moov::decode(&mut cursor).unwrap();
    assert_eq!(cursor.position() as usize, bytes.len());
    assert_eq!(Ftyp::KIND.to_string(), "ftyp");
    (ftyp, moov)
}

/// The timescale that a header tells. (`mp4-atom` cannot read all sample entries.)
pub fn timescale(header: &[u8]) -> i64 {
    let at = header.windows(4).position(|four| four == b"mdhd").unwrap();
    assert_eq!(header[at + 4], 0, "version");
    i64::from(u32::from_be_bytes(header[at + 16..at + 20].try_into().unwrap()))
}

/// All that came out, put in order and held against each other.
#[derive(Default)]
pub struct Read {
    /// Cuts came with any numbers and times.
    pub hostile: bool,
    pub openings: Vec<Opening>,
    pub parts: Vec<(u64, Part)>,
    pub segments: Vec<Segment>,
    /// Parts that came before the open segment's.
    pub told_before: usize,
}

impl Read {
    /// The parts that came since the segment was opened.
    fn of_open_segment(&self) -> impl Iterator<Item = &Part> {
        self.parts[self.told_before..].iter().map(|(_, part)| part)
    }

    /// The samples of a segment.
    pub fn samples(segment: &Segment) -> Vec<Sample> {
        let bytes: Vec<u8> = segment.chunks().flat_map(|chunk| chunk.to_vec()).collect();
        chunks(&bytes).into_iter().flat_map(|chunk| chunk.samples).collect()
    }
}

/// Takes what came out, and checks what holds for any packets and cuts. `target` in ticks.
pub fn collect(chunker: &mut Chunker, read: &mut Read, target: i64) {
    while let Some(event) = chunker.poll() {
        match event {
            Chunked::Opened(opening) => {
                assert!(
                    read.hostile
                        || read.parts.last().is_none_or(|(sequence, _)| *sequence < opening.sequence.0),
                    "a segment of which parts were told is opened again"
                );
                read.openings.push(opening);
                read.told_before = read.parts.len();
            }
            Chunked::Part { sequence, index, part } => {
                assert_eq!(read.openings.last().unwrap().sequence, sequence);
                assert_eq!(index as usize, read.of_open_segment().count());
                assert!(part.duration.ticks() > 0 && part.duration.ticks() <= target, "{part:?}");
                assert_eq!(part.gap, part.bytes.is_empty());
                read.parts.push((sequence.0, part));
            }
            Chunked::Finished(segment) => {
                check_segment(&segment, read);
                read.segments.push(segment);
            }
        }
    }
}

fn check_segment(segment: &Segment, read: &Read) {
    if let Some(before) = read.segments.last() {
        let next = segment.sequence == before.sequence.next();
        assert!(next || read.hostile, "numbers count up by one");
    }
    assert!(segment.duration.ticks() > 0, "{segment:?}");
    if segment.gap {
        assert!(segment.parts.is_empty() && segment.init.is_none());
        return;
    }
    let opening = read.openings.last().unwrap();
    assert_eq!(
        (segment.sequence, segment.start, segment.discontinuity, segment.unix_micros),
        (opening.sequence, opening.start, opening.discontinuity, opening.unix_micros)
    );
    assert_eq!(segment.init.as_ref(), Some(&opening.init));
    assert!(read.of_open_segment().eq(&segment.parts), "the same parts, in the same order");
    let mut at = segment.start;
    for part in &segment.parts {
        assert_eq!(part.start, at, "parts join");
        at += part.duration;
    }
    assert_eq!(at, segment.end(), "sum of the parts");

    let scale = timescale(&opening.init.bytes);
    let ticks = |units: i64| (units as f64 * 90_000.0 / scale as f64).round() as i64 - 900_000;
    let (mut offset, mut end, mut keyframes) = (0, None, segment.keyframes.iter());
    for (nth, part) in segment.parts.iter().enumerate() {
        if part.gap {
            continue;
        }
        let [chunk] = &chunks(&part.bytes)[..] else { panic!("one chunk a part") };
        assert_eq!(chunk.before.iter().any(|kind| kind == "styp"), nth == 0);
        assert_eq!(MediaTime::from_ticks(ticks(chunk.decode)), part.start, "tfdt is what the list says");
        assert_eq!(part.independent, chunk.samples[0].key);
        let hole_before = nth > 0 && segment.parts[nth - 1].gap;
        match end {
            // a hole before it may be one that the file tells, or a jump
            Some(end) if hole_before => assert!(chunk.decode >= end),
            Some(end) => assert_eq!(chunk.decode, end, "tfdt goes on"),
            None => {}
        }
        end = Some(chunk.end());
        if part.independent && scale == 90_000 {
            let keyframe = keyframes.next().unwrap();
            assert_eq!(keyframe.at.ticks() + 900_000, chunk.samples[0].pts());
            let (from, to) = (keyframe.offset as usize, (keyframe.offset + keyframe.length) as usize);
            let whole: Vec<u8> = segment.chunks().flat_map(|chunk| chunk.to_vec()).collect();
            assert_eq!(&whole[from + 4..from + 8], b"moof");
            assert!(whole[from..to].ends_with(&chunk.samples[0].data));
            assert!(offset <= from && to <= offset + part.bytes.len());
        }
        offset += part.bytes.len();
    }
    assert!(keyframes.next().is_none());
}

/// Runs packets of one kind through a plan that sees them, and a chunker, to the end.
pub fn chunk_all(packets: &[Packet], plan: &mut CutPlan, chunker: &mut Chunker, target: i64) -> Read {
    let mut read = Read::default();
    for packet in packets {
        plan.see(packet, CLOCK).into_iter().for_each(|cut| chunker.cut(cut));
        chunker.push(packet.clone());
        collect(chunker, &mut read, target);
    }
    chunker.finish();
    collect(chunker, &mut read, target);
    read
}
