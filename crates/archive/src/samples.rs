//! The sample table of a segment of fragmented MP4: what a progressive MP4 wants to know of it, read from its `moof`s once,
//! when it is kept, and stored small beside it. Reading fails on anything that is not as our packager makes it; then
//! there is no table, and the segment plays as before.

use crate::mp4::boxes::{Boxes, Reader};

/// One segment's samples.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Table {
    /// Decode time of the first sample, in the track's timescale (`tfdt`).
    pub(crate) decode_time: u64,
    /// Runs of samples that lie end to end, in order.
    pub(crate) chunks: Vec<Chunk>,
}

/// Samples that lie end to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Chunk {
    /// From the segment's beginning, in bytes.
    pub(crate) offset: u64,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sample {
    pub(crate) size: u32,
    pub(crate) duration: u32,
    /// Composition offset.
    pub(crate) offset: i32,
    pub(crate) sync: bool,
}

/// `sample_is_non_sync_sample` (ISO/IEC 14496-12 §8.8.3.1).
const NON_SYNC: u32 = 0x0001_0000;
/// Samples that one segment may have: a minute at 1000 a second.
const MAX_SAMPLES: usize = 60_000;

impl Chunk {
    /// Bytes of all samples.
    pub(crate) fn length(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.size)).sum()
    }
}

impl Table {
    /// Reads the parts of a segment, each whole boxes.
    pub(crate) fn of_parts<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut table = Self::default();
        let (mut base, mut count, mut next_decode) = (0_u64, 0, None);
        for part in parts {
            let mut at = 0_usize;
            for (kind, body, whole) in Boxes::of(part).framed() {
                let whole = whole?;
                if &kind == b"moof" {
                    let run = Run::read(body)?;
                    let decode = *next_decode.get_or_insert(run.decode_time);
                    if table.chunks.is_empty() {
                        table.decode_time = decode;
                    } else if decode != run.decode_time {
                        return None;
                    }
                    count += run.samples.len();
                    let spans = run.samples.iter().map(|sample| u64::from(sample.duration));
                    next_decode = Some(decode.checked_add(spans.sum())?);
                    if count > MAX_SAMPLES || run.samples.is_empty() {
                        return None;
                    }
                    let offset = base + u64::try_from(at).ok()? + u64::try_from(run.data_offset).ok()?;
                    table.chunks.push(Chunk { offset, samples: run.samples });
                }
                at += whole;
            }
            base += part.len() as u64;
            let end = table.chunks.last().map_or(0, |chunk| chunk.offset + chunk.length());
            if end > base {
                return None;
            }
        }
        (!table.chunks.is_empty()).then_some(table)
    }

    /// As it is stored: numbers of seven bits a byte; sizes with the sync flag, durations and offsets as differences.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(
            16 + self.chunks.iter().map(|chunk| 4 + chunk.samples.len() * 6).sum::<usize>(),
        );
        put(&mut out, self.decode_time);
        put(&mut out, self.chunks.len() as u64);
        let (mut offset, mut duration, mut composition) = (0, 0, 0);
        for chunk in &self.chunks {
            put(&mut out, chunk.offset - offset);
            offset = chunk.offset;
            put(&mut out, chunk.samples.len() as u64);
            for sample in &chunk.samples {
                put(&mut out, u64::from(sample.size) << 1 | u64::from(sample.sync));
                put_signed(&mut out, i64::from(sample.duration) - duration);
                put_signed(&mut out, i64::from(sample.offset) - composition);
                (duration, composition) = (i64::from(sample.duration), i64::from(sample.offset));
            }
        }
        out
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut table = Self { decode_time: take(&mut rest)?, chunks: Vec::new() };
        let chunks = take(&mut rest)?;
        let (mut offset, mut duration, mut composition, mut count) = (0_u64, 0_i64, 0_i64, 0);
        for _ in 0..chunks {
            offset = offset.checked_add(take(&mut rest)?)?;
            let mut samples = Vec::new();
            for _ in 0..take(&mut rest)? {
                count += 1;
                if count > MAX_SAMPLES {
                    return None;
                }
                let size = take(&mut rest)?;
                duration = duration.checked_add(take_signed(&mut rest)?)?;
                composition = composition.checked_add(take_signed(&mut rest)?)?;
                samples.push(Sample {
                    size: u32::try_from(size >> 1).ok()?,
                    duration: u32::try_from(duration).ok()?,
                    offset: i32::try_from(composition).ok()?,
                    sync: size & 1 == 1,
                });
            }
            table.chunks.push(Chunk { offset, samples });
        }
        rest.is_empty().then_some(table)
    }
}

/// One track fragment run.
struct Run {
    decode_time: u64,
    /// From the beginning of the `moof`.
    data_offset: i32,
    samples: Vec<Sample>,
}

impl Run {
    /// A `moof` of one `traf` with one `trun` (ISO/IEC 14496-12 §8.8).
    fn read(moof: &[u8]) -> Option<Self> {
        let traf = Boxes::of(moof).find(b"traf")?;
        let (mut duration, mut size, mut flags) = (None, None, None);
        let mut tfhd = Reader::new(Boxes::of(traf).find(b"tfhd")?);
        let present = tfhd.u32()? & 0x00ff_ffff;
        tfhd.u32()?; // track_ID
        if present & 0x02_0000 == 0 || present & 0x1 != 0 {
            return None; // offsets are not from the moof
        }
        if present & 0x2 != 0 {
            tfhd.u32()?;
        }
        if present & 0x8 != 0 {
            duration = Some(tfhd.u32()?);
        }
        if present & 0x10 != 0 {
            size = Some(tfhd.u32()?);
        }
        if present & 0x20 != 0 {
            flags = Some(tfhd.u32()?);
        }
        let mut tfdt = Reader::new(Boxes::of(traf).find(b"tfdt")?);
        let decode_time = if tfdt.u32()? >> 24 == 1 { tfdt.u64()? } else { u64::from(tfdt.u32()?) };
        if Boxes::of(traf).filter(|(kind, _)| kind == b"trun").count() != 1 {
            return None;
        }
        let mut trun = Reader::new(Boxes::of(traf).find(b"trun")?);
        let head = trun.u32()?;
        let count = trun.u32()?;
        if head & 0x1 == 0 || count as usize > MAX_SAMPLES {
            return None;
        }
        let data_offset = i32::try_from(trun.u32()?).ok()?;
        let first_flags = if head & 0x4 != 0 { Some(trun.u32()?) } else { None };
        let mut samples = Vec::with_capacity(count.min(4096) as usize);
        for nth in 0..count {
            let duration = if head & 0x100 != 0 { trun.u32()? } else { duration? };
            let size = if head & 0x200 != 0 { trun.u32()? } else { size? };
            let own = if head & 0x400 != 0 { Some(trun.u32()?) } else { flags };
            let own = if nth == 0 { first_flags.or(own) } else { own };
            // Version 0 has no negative offsets, and none of ours is as large as would tell the two apart.
            let offset = if head & 0x800 != 0 { trun.u32()? as i32 } else { 0 };
            samples.push(Sample { size, duration, offset, sync: own.is_none_or(|own| own & NON_SYNC == 0) });
        }
        Some(Self { decode_time, data_offset, samples })
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, (value << 1 ^ value >> 63) as u64);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_signed(rest: &mut &[u8]) -> Option<i64> {
    let value = take(rest)?;
    Some((value >> 1) as i64 ^ -((value & 1) as i64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> impl Strategy<Value = Sample> {
        (0..u32::MAX / 2, 0..u32::MAX / 2, any::<i32>(), any::<bool>())
            .prop_map(|(size, duration, offset, sync)| Sample { size, duration, offset, sync })
    }

    proptest! {
        #[test]
        fn tables_round_trip(
            decode_time in any::<u64>(),
            chunks in prop::collection::vec((0..1_u64 << 40, prop::collection::vec(sample(), 1..9)), 0..5),
        ) {
            let mut offset = 0;
            let chunks = chunks.into_iter().map(|(step, samples)| {
                offset += step;
                Chunk { offset, samples }
            });
            let table = Table { decode_time, chunks: chunks.collect() };
            prop_assert_eq!(Table::from_bytes(&table.to_bytes()), Some(table));
        }

        #[test]
        fn rubbish_is_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Table::from_bytes(&bytes);
            let _ = Table::of_parts([&bytes[..]].into_iter());
        }
    }
}
