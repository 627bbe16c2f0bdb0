//! The initialization section: ftyp and moov (ISO/IEC 14496-12 §8, CMAF §7.3.1).

use super::boxes::{Cursor, Item, inside, one, read};
use super::config::{self, Config};
use crate::report::Findings;

/// What the header says of a track.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Track {
    pub(crate) id: u32,
    /// Ticks of a second, at least 1.
    pub(crate) timescale: u32,
    pub(crate) handler: [u8; 4],
    pub(crate) config: Config,
    /// Of trex.
    pub(crate) duration: u32,
    pub(crate) size: u32,
    pub(crate) flags: u32,
}

/// What the whole section says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    pub(crate) tracks: Vec<Track>,
}

const BRANDS: [&[u8; 4]; 9] =
    [b"iso6", b"iso7", b"iso8", b"iso9", b"isoa", b"isob", b"isoc", b"cmfc", b"cmf2"];

/// Reads and judges the section; None when it cannot be used.
pub(crate) fn parse(bytes: &[u8], place: &str, found: &mut Findings) -> Option<Header> {
    let items = match read(bytes, 0) {
        Ok(items) => items,
        Err(text) => {
            found.violation("cmaf.box", place, text);
            return None;
        }
    };
    if items.first().is_none_or(|i| i.kind != *b"ftyp") {
        found.violation("cmaf.init", place, "ftyp does not stand first");
    }
    for item in items.iter().filter(|i| matches!(&i.kind, b"moof" | b"mdat" | b"sidx")) {
        found.violation("cmaf.init", place, format!("{} in the initialization section", item.name()));
    }
    if let Ok(ftyp) = one(&items, b"ftyp") {
        let brands = || ftyp.body.chunks_exact(4).enumerate().filter(|(n, _)| *n != 1).map(|(_, b)| b);
        if !brands().any(|b| BRANDS.iter().any(|known| known[..] == *b)) {
            let text = brands().map(|b| b.escape_ascii().to_string()).collect::<Vec<_>>().join(" ");
            found.violation("cmaf.brand", place, format!("brands are {text}, none is iso6 or later"));
        }
    }
    let moov = match one(&items, b"moov").and_then(inside) {
        Ok(moov) => moov,
        Err(text) => {
            found.violation("cmaf.init", place, text);
            return None;
        }
    };
    duration(&moov, b"mvhd", place, found);
    let mut tracks = Vec::new();
    let defaults = extends(&moov);
    for trak in moov.iter().filter(|i| i.kind == *b"trak") {
        match track(trak, place, found) {
            Ok(mut track) => {
                match defaults.iter().filter(|d| d.0 == track.id).collect::<Vec<_>>()[..] {
                    [&(_, duration, size, flags)] => {
                        (track.duration, track.size, track.flags) = (duration, size, flags);
                    }
                    ref all => {
                        let text = format!("{} trex for track {}", all.len(), track.id);
                        found.violation("cmaf.init", place, text);
                    }
                }
                tracks.push(track);
            }
            Err((rule, text)) => found.violation(rule, place, text),
        }
    }
    let count = moov.iter().filter(|i| i.kind == *b"trak").count();
    if count != 1 {
        found.violation("cmaf.one-track", place, format!("{count} tracks"));
    }
    (!tracks.is_empty()).then_some(Header { tracks })
}

/// Track id and defaults of each trex.
fn extends(moov: &[Item<'_>]) -> Vec<(u32, u32, u32, u32)> {
    let Ok(children) = one(moov, b"mvex").and_then(inside) else { return Vec::new() };
    let read = |item: &Item<'_>| {
        let mut c = Cursor(item.body);
        c.full()?;
        let id = c.u32()?;
        c.u32()?; // sample description
        Some((id, c.u32()?, c.u32()?, c.u32()?))
    };
    children.iter().filter(|i| i.kind == *b"trex").filter_map(read).collect()
}

/// mvhd or tkhd: a duration is 0 or unknown.
fn duration(items: &[Item<'_>], kind: &[u8; 4], place: &str, found: &mut Findings) {
    let Ok(item) = one(items, kind) else {
        found.violation("cmaf.init", place, format!("not exactly one {}", kind.escape_ascii()));
        return;
    };
    let read = || {
        let mut c = Cursor(item.body);
        let (version, _) = c.full()?;
        c.sized(version)?;
        c.sized(version)?;
        c.u32()?; // timescale, or track id
        if kind == b"tkhd" {
            c.u32()?;
        }
        c.sized(version)
    };
    if let Some(ticks) = read().filter(|d| !matches!(*d, 0 | 0xffff_ffff | u64::MAX)) {
        found.violation("cmaf.duration", place, format!("{} says {ticks} ticks", kind.escape_ascii()));
    }
}

type Fault = (&'static str, String);

fn track(trak: &Item<'_>, place: &str, found: &mut Findings) -> Result<Track, Fault> {
    let bad = |text: String| ("cmaf.init", text);
    let cut = |name: &str| ("cmaf.init", format!("{name} is cut"));
    let children = inside(trak).map_err(bad)?;
    duration(&children, b"tkhd", place, found);
    if children.iter().any(|i| i.kind == *b"edts") {
        found.violation("cmaf.edts", place, "the track has an edit list");
    }
    let mut tkhd = Cursor(one(&children, b"tkhd").map_err(bad)?.body);
    let id = (|| {
        let (version, _) = tkhd.full()?;
        tkhd.sized(version)?;
        tkhd.sized(version)?;
        tkhd.u32()
    })()
    .ok_or_else(|| cut("tkhd"))?;
    let mdia = one(&children, b"mdia").and_then(inside).map_err(bad)?;
    let mut mdhd = Cursor(one(&mdia, b"mdhd").map_err(bad)?.body);
    let timescale = (|| {
        let (version, _) = mdhd.full()?;
        mdhd.sized(version)?;
        mdhd.sized(version)?;
        mdhd.u32()
    })()
    .filter(|t| *t > 0)
    .ok_or_else(|| bad("mdhd has no timescale".into()))?;
    let hdlr = one(&mdia, b"hdlr").map_err(bad)?;
    let handler = hdlr.body.get(8..12).and_then(|b| b.try_into().ok()).ok_or_else(|| cut("hdlr"))?;
    let minf = one(&mdia, b"minf").and_then(inside).map_err(bad)?;
    references(&minf, place, found);
    let stbl = one(&minf, b"stbl").and_then(inside).map_err(bad)?;
    for item in &stbl {
        let counted =
            matches!(&item.kind, b"stts" | b"stsc" | b"stco" | b"stsz" | b"co64" | b"ctts" | b"stss");
        let count = item.body.get(if item.kind == *b"stsz" { 8..12 } else { 4..8 });
        if counted && count.is_none_or(|c| c != [0; 4]) {
            found.violation("cmaf.init", place, format!("{} has samples", item.name()));
        }
    }
    let stsd = one(&stbl, b"stsd").map_err(bad)?;
    let entries =
        read(stsd.body.get(8..).ok_or_else(|| cut("stsd"))?, stsd.at + stsd.header + 8).map_err(bad)?;
    let [entry] = entries[..] else { return Err(bad(format!("{} sample entries", entries.len()))) };
    let config = config::read(&entry, handler, place, found).map_err(|text| ("cmaf.config", text))?;
    Ok(Track { id, timescale, handler, config, duration: 0, size: 0, flags: 0 })
}

/// Data is in the file itself.
fn references(minf: &[Item<'_>], place: &str, found: &mut Findings) {
    let Ok(dinf) = one(minf, b"dinf").and_then(inside) else { return };
    let Ok(dref) = one(&dinf, b"dref") else { return };
    for item in dref.body.get(8..).and_then(|b| read(b, 0).ok()).unwrap_or_default() {
        if item.body.get(3).is_none_or(|flags| flags & 1 == 0) {
            found.violation("cmaf.init", place, format!("{} refers to another file", item.name()));
        }
    }
}
