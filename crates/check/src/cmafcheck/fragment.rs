//! Chunks: `[styp] [prft] [emsg…] moof mdat` (ISO/IEC 14496-12 §8.8, CMAF §7.3.2.3).

use super::boxes::{Cursor, Item, inside, one, read};
use super::init::{Header, Track};
use crate::report::Findings;

/// Most samples of one run that are read.
const SAMPLES: u32 = 100_000;

/// One sample; times in ticks of its track.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    pub(crate) dts: i64,
    pub(crate) offset: i64,
    pub(crate) duration: u32,
    pub(crate) flags: u32,
    pub(crate) data: &'a [u8],
}

/// The samples of one track in one chunk.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) track: u32,
    /// baseMediaDecodeTime.
    pub(crate) time: Option<i64>,
    pub(crate) samples: Vec<Sample<'a>>,
}

/// One moof with its mdat.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) sequence: u32,
    pub(crate) styp: bool,
    pub(crate) runs: Vec<Run<'a>>,
}

/// Reads the chunks of a segment or of a part.
pub(crate) fn parse<'a>(
    bytes: &'a [u8],
    header: &Header,
    place: &str,
    found: &mut Findings,
) -> Vec<Chunk<'a>> {
    let items = match read(bytes, 0) {
        Ok(items) => items,
        Err(text) => {
            found.violation("cmaf.box", place, text);
            return Vec::new();
        }
    };
    let mut out = Vec::new();
    let (mut styp, mut prft) = (false, false);
    let mut moof: Option<Item<'a>> = None;
    for item in items {
        if moof.is_some() && item.kind != *b"mdat" {
            found.violation("cmaf.order", place, format!("{} behind moof, not mdat", item.name()));
            moof = None;
        }
        match &item.kind {
            b"styp" => {
                if prft || styp {
                    found.violation("cmaf.order", place, "styp behind other boxes of its chunk");
                }
                styp = true;
            }
            b"prft" => prft = true,
            b"emsg" => event(&item, place, found),
            b"sidx" => found.violation("cmaf.sidx", place, format!("sidx at {}", item.at)),
            b"moof" => moof = Some(item),
            b"mdat" => match moof.take() {
                Some(head) => match chunk(bytes, &head, &item, header, place, found) {
                    Ok((sequence, runs)) => {
                        out.push(Chunk { sequence, styp, runs });
                        (styp, prft) = (false, false);
                    }
                    Err(text) => found.violation("cmaf.order", place, format!("moof at {}: {text}", head.at)),
                },
                None => found.violation("cmaf.order", place, format!("mdat at {} without moof", item.at)),
            },
            b"ftyp" | b"moov" => {
                found.violation("cmaf.order", place, format!("{} in a media segment", item.name()));
            }
            _ => {} // free, uuid …: to be passed over
        }
    }
    if moof.is_some() {
        found.violation("cmaf.order", place, "moof without mdat at the end");
    }
    if out.is_empty() {
        found.violation("cmaf.order", place, "no moof with its mdat");
    }
    out
}

/// DASH event messages (ISO/IEC 23009-1 §5.10.3.3).
fn event(item: &Item<'_>, place: &str, found: &mut Findings) {
    let mut cursor = Cursor(item.body);
    let read = || {
        let (version, _) = cursor.full()?;
        if version == 1 {
            cursor.u32()?;
            cursor.u64()?;
            cursor.u32()?;
            cursor.u32()?;
            let scheme = cursor.0.iter().position(|b| *b == 0)?;
            cursor.take(scheme + 1)?;
            let value = cursor.0.iter().position(|b| *b == 0)?;
            cursor.take(value + 1)?;
        }
        Some((version, cursor.0))
    };
    match { read }() {
        Some((1, _)) => {}
        Some((version, _)) => found.violation("cmaf.emsg", place, format!("emsg of version {version}")),
        None => found.violation("cmaf.emsg", place, "emsg is cut"),
    }
}

fn chunk<'a>(
    bytes: &'a [u8],
    moof: &Item<'a>,
    mdat: &Item<'a>,
    header: &Header,
    place: &str,
    found: &mut Findings,
) -> Result<(u32, Vec<Run<'a>>), String> {
    let children = inside(moof)?;
    let sequence =
        Cursor(one(&children, b"mfhd")?.body.get(4..).unwrap_or_default()).u32().ok_or("mfhd is cut")?;
    let mut runs = Vec::new();
    let mut filled = 0;
    for traf in children.iter().filter(|i| i.kind == *b"traf") {
        let Some((run, bytes)) = track_run(bytes, moof, mdat, traf, header, place, found)? else {
            return Ok((sequence, runs)); // told; what its samples fill is not known
        };
        filled += bytes;
        runs.push(run);
    }
    if runs.is_empty() {
        return Err("no traf".into());
    }
    if filled != mdat.body.len() {
        let text = format!("mdat at {} has {} bytes, samples fill {filled}", mdat.at, mdat.body.len());
        found.violation("cmaf.trun", place, text);
    }
    Ok((sequence, runs))
}

fn track_run<'a>(
    bytes: &'a [u8],
    moof: &Item<'a>,
    mdat: &Item<'a>,
    traf: &Item<'a>,
    header: &Header,
    place: &str,
    found: &mut Findings,
) -> Result<Option<(Run<'a>, usize)>, String> {
    let children = inside(traf)?;
    let mut c = Cursor(one(&children, b"tfhd")?.body);
    let cut = || "tfhd is cut".to_owned();
    let (_, flags) = c.full().ok_or_else(cut)?;
    let id = c.u32().ok_or_else(cut)?;
    if flags & 0x1 != 0 || flags & 0x02_0000 == 0 {
        found.violation("cmaf.tfhd", place, format!("moof at {}: tfhd has flags {flags:#x}", moof.at));
    }
    let Some(track) = header.tracks.iter().find(|t| t.id == id) else {
        found.violation(
            "cmaf.tfhd",
            place,
            format!("moof at {} is of track {id}, which has no header", moof.at),
        );
        return Ok(None);
    };
    if flags & 0x1 != 0 {
        c.u64().ok_or_else(cut)?;
    }
    if flags & 0x2 != 0 {
        c.u32().ok_or_else(cut)?;
    }
    let mut field =
        |bit: u32, default: u32| if flags & bit != 0 { c.u32().ok_or_else(cut) } else { Ok(default) };
    let defaults = (field(0x8, track.duration)?, field(0x10, track.size)?, field(0x20, track.flags)?);
    let time = match one(&children, b"tfdt") {
        Ok(tfdt) => {
            let mut c = Cursor(tfdt.body);
            c.full().and_then(|(version, _)| c.sized(version)).and_then(|t| i64::try_from(t).ok())
        }
        Err(_) => None,
    };
    if time.is_none() {
        found.violation("cmaf.tfdt", place, format!("moof at {} has no tfdt that can be read", moof.at));
    }
    let truns: Vec<_> = children.iter().filter(|i| i.kind == *b"trun").collect();
    if truns.len() != 1 {
        found.violation("cmaf.trun", place, format!("moof at {} has {} trun", moof.at, truns.len()));
    }
    let mut run = Run { track: id, time, samples: Vec::new() };
    let mut at = None;
    let mut total = 0;
    for trun in truns {
        let start = at.unwrap_or(moof.at);
        let (end, bytes) =
            samples(bytes, trun, (moof.at, start), mdat, track, defaults, &mut run, place, found)?;
        at = Some(end);
        total += bytes;
    }
    Ok(Some((run, total)))
}

/// Reads one trun; gives where its data ends, and how much there was.
#[allow(clippy::too_many_arguments)] // the pieces of one chunk
fn samples<'a>(
    bytes: &'a [u8],
    trun: &Item<'a>,
    (moof, start): (usize, usize),
    mdat: &Item<'a>,
    track: &Track,
    (duration, size, default_flags): (u32, u32, u32),
    run: &mut Run<'a>,
    place: &str,
    found: &mut Findings,
) -> Result<(usize, usize), String> {
    let cut = || "trun is cut".to_owned();
    let mut c = Cursor(trun.body);
    let (version, flags) = c.full().ok_or_else(cut)?;
    let count = c.u32().ok_or_else(cut)?;
    let mut at = start;
    if flags & 0x1 != 0 {
        let offset = c.u32().ok_or_else(cut)? as i32;
        at = moof.checked_add_signed(offset as isize).ok_or("data offset before the file")?;
    } else {
        found.violation("cmaf.trun", place, format!("trun at {} has no data-offset", trun.at));
        if run.samples.is_empty() {
            at = mdat.at + mdat.header;
        }
    }
    let first_flags = if flags & 0x4 != 0 { Some(c.u32().ok_or_else(cut)?) } else { None };
    if count > SAMPLES {
        return Err(format!("{count} samples in one trun"));
    }
    let begin = at;
    let mut dts = run.samples.last().map_or(run.time.unwrap_or(0), |s| s.dts + i64::from(s.duration));
    for n in 0..count {
        let mut field =
            |bit: u32, default: u32| if flags & bit != 0 { c.u32().ok_or_else(cut) } else { Ok(default) };
        let duration = field(0x100, duration)?;
        let size = field(0x200, size)? as usize;
        let own = field(0x400, default_flags)?;
        let flags = if n == 0 { first_flags.unwrap_or(own) } else { own };
        let offset = field(0x800, 0)?;
        let offset = if version == 0 { i64::from(offset) } else { i64::from(offset as i32) };
        let end = at.saturating_add(size);
        let inside = at >= mdat.at + mdat.header && end <= mdat.end();
        let Some(data) = bytes.get(at..end).filter(|_| inside) else {
            let text = format!(
                "sample {n} of track {} lies at {at} to {end}, mdat at {} to {}",
                track.id,
                mdat.at,
                mdat.end()
            );
            found.violation("cmaf.trun", place, text);
            // Where one lies wrong, the others' bytes mean nothing.
            run.samples.clear();
            return Ok((at, mdat.body.len()));
        };
        run.samples.push(Sample { dts, offset, duration, flags, data });
        dts = dts.saturating_add(i64::from(duration));
        at = end;
    }
    Ok((at, at - begin))
}
