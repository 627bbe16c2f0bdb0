//! A multivariant playlist read strictly, with the V rules that one text alone can show.

use super::media::{attributes, lines};
use crate::report::Findings;

/// One EXT-X-STREAM-INF with its URI.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// As written.
    pub uri: String,
    /// BANDWIDTH, bit/s.
    pub bandwidth: Option<u64>,
    /// AVERAGE-BANDWIDTH, bit/s.
    pub average: Option<u64>,
    /// CODECS, split at its commas.
    pub codecs: Vec<String>,
    /// RESOLUTION.
    pub resolution: Option<(u32, u32)>,
    /// FRAME-RATE, frames a second.
    pub frame_rate: Option<f64>,
    /// All attributes, values as written.
    pub attributes: Vec<(String, String)>,
}

impl Variant {
    /// An attribute's value as written.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// A whole multivariant playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Multivariant {
    /// EXT-X-INDEPENDENT-SEGMENTS.
    pub independent: bool,
    /// In order.
    pub variants: Vec<Variant>,
    /// Attribute lists of EXT-X-MEDIA.
    pub media: Vec<Vec<(String, String)>>,
    /// EXT-X-I-FRAME-STREAM-INF entries.
    pub iframe_lists: usize,
}

/// Reads the playlist and judges it.
pub fn parse(bytes: &[u8], place: &str, found: &mut Findings) -> Multivariant {
    let mut list = Multivariant::default();
    let mut pending: Option<Vec<(String, String)>> = None;
    let mut seen: Vec<&str> = Vec::new();
    for line in lines(bytes, place, found) {
        if line.is_empty() || (line.starts_with('#') && !line.starts_with("#EXT")) {
            continue;
        }
        let Some(tag) = line.strip_prefix('#') else {
            match pending.take() {
                Some(attributes) => list.variants.push(variant(line, attributes, place, found)),
                None => found.violation("file.text", place, format!("{line} has no STREAM-INF before it")),
            }
            continue;
        };
        if pending.is_some() {
            found.violation("file.text", place, format!("{tag} between a STREAM-INF and its URI"));
        }
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        let owned = |list: Vec<(&str, &str)>| list.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        match name {
            "EXTM3U" => {}
            "EXT-X-VERSION" | "EXT-X-INDEPENDENT-SEGMENTS" | "EXT-X-START" => {
                if seen.contains(&name) {
                    found.violation("file.repeat", place, format!("{name} stands twice"));
                }
                seen.push(name);
                list.independent |= name == "EXT-X-INDEPENDENT-SEGMENTS";
            }
            "EXT-X-STREAM-INF" => pending = Some(owned(attributes(value, place, found))),
            "EXT-X-MEDIA" => list.media.push(owned(attributes(value, place, found))),
            "EXT-X-I-FRAME-STREAM-INF" => {
                list.iframe_lists += 1;
                iframe(&attributes(value, place, found), place, found);
            }
            "EXT-X-SESSION-DATA" | "EXT-X-SESSION-KEY" | "EXT-X-CONTENT-STEERING" | "EXT-X-DEFINE" => {}
            other if other.starts_with("EXT") => {
                found.violation("file.mixed", place, format!("{other} in a multivariant playlist"));
            }
            _ => {}
        }
    }
    if list.variants.is_empty() {
        found.violation("V2", place, "no variant");
    }
    if !list.independent {
        found.violation("V1", place, "every segment starts with an IDR, but INDEPENDENT-SEGMENTS is missing");
    }
    together(&list, place, found);
    groups(&list, place, found);
    match m3u8_rs::parse_master_playlist_res(bytes) {
        Err(error) => found.violation("file.m3u8-rs", place, format!("m3u8-rs cannot read it: {error}")),
        Ok(theirs) => {
            let uris: Vec<_> =
                theirs.variants.iter().filter(|v| !v.is_i_frame).map(|v| v.uri.as_str()).collect();
            if uris != list.variants.iter().map(|v| v.uri.as_str()).collect::<Vec<_>>() {
                found.violation("file.m3u8-rs", place, "m3u8-rs reads other variants than this checker");
            }
        }
    }
    list
}

fn quoted(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

fn variant(uri: &str, attributes: Vec<(String, String)>, place: &str, found: &mut Findings) -> Variant {
    let at = format!("{place} {uri}");
    let get = |name: &str| attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let bandwidth = get("BANDWIDTH").and_then(|v| v.parse().ok());
    let average = get("AVERAGE-BANDWIDTH").and_then(|v| v.parse().ok());
    if bandwidth.is_none_or(|b| b == 0) {
        found.violation("V2", &at, format!("BANDWIDTH is {:?}", get("BANDWIDTH")));
    }
    if average.is_none_or(|b| b == 0 || bandwidth.is_some_and(|peak| b > peak)) {
        found.violation("V3", &at, format!("AVERAGE-BANDWIDTH is {:?}", get("AVERAGE-BANDWIDTH")));
    }
    let codecs: Vec<String> =
        get("CODECS").and_then(quoted).map_or(Vec::new(), |c| c.split(',').map(str::to_owned).collect());
    if codecs.is_empty() {
        found.violation("V4", &at, format!("CODECS is {:?}", get("CODECS")));
    }
    let resolution = get("RESOLUTION")
        .and_then(|v| v.split_once('x'))
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let frame_rate = get("FRAME-RATE").and_then(|v| v.parse().ok());
    let has_video =
        codecs.iter().any(|c| c.starts_with("avc") || c.starts_with("hvc") || c.starts_with("av01"));
    if has_video {
        if resolution.is_none() {
            found.violation("V5", &at, format!("RESOLUTION is {:?}", get("RESOLUTION")));
        }
        let decimals = get("FRAME-RATE").and_then(|v| v.split_once('.')).map_or(0, |(_, d)| d.len());
        if frame_rate.is_none() || decimals != 3 {
            found.violation("V5", &at, format!("FRAME-RATE is {:?}", get("FRAME-RATE")));
        }
    } else if get("RESOLUTION").is_some() {
        found.violation("V5", &at, "RESOLUTION without video in CODECS");
    }
    for name in ["CLOSED-CAPTIONS", "VIDEO-RANGE"] {
        if get(name) == Some("\"NONE\"") || get(name) == Some("\"SDR\"") {
            found.violation("file.attributes", &at, format!("{name} is an enumerated string, not quoted"));
        }
    }
    if get("VIDEO-RANGE").is_some_and(|v| !matches!(v, "SDR" | "HLG" | "PQ")) {
        found.violation("V6", &at, format!("VIDEO-RANGE is {:?}", get("VIDEO-RANGE")));
    }
    Variant { uri: uri.into(), bandwidth, average, codecs, resolution, frame_rate, attributes }
}

fn iframe(attributes: &[(&str, &str)], place: &str, found: &mut Findings) {
    for (name, rule) in [("BANDWIDTH", "V2"), ("CODECS", "V4"), ("RESOLUTION", "V5"), ("URI", "V16")] {
        if !attributes.iter().any(|(n, _)| *n == name) {
            found.violation(rule, place, format!("I-FRAME-STREAM-INF without {name}"));
        }
    }
}

/// Rules over all variants.
fn together(list: &Multivariant, place: &str, found: &mut Findings) {
    let variants = &list.variants;
    let none = variants.iter().filter(|v| v.attribute("CLOSED-CAPTIONS") == Some("NONE")).count();
    if none != 0 && none != variants.len() {
        found.violation(
            "V7",
            place,
            format!("CLOSED-CAPTIONS=NONE on {none} of {} variants", variants.len()),
        );
    }
    let scored = variants.iter().filter(|v| v.attribute("SCORE").is_some()).count();
    if scored != 0 && scored != variants.len() {
        found.violation("V17", place, format!("SCORE on {scored} of {} variants", variants.len()));
    }
    for (i, one) in variants.iter().enumerate() {
        if variants[..i].iter().any(|v| v.uri == one.uri) {
            found.violation("V15", place, format!("{} stands twice", one.uri));
        }
        if variants[..i].iter().any(|v| v.bandwidth == one.bandwidth) {
            found.violation("V15", place, format!("{}: another variant has the same BANDWIDTH", one.uri));
        }
    }
    let ratios = variants.iter().filter_map(|v| v.resolution);
    if let Some((w0, h0)) = ratios.clone().max() {
        for (w, h) in ratios {
            // Even widths and heights cannot hold a ratio exactly: two pixels either way are allowed.
            let want = f64::from(h) * f64::from(w0) / f64::from(h0);
            if (f64::from(w) - want).abs() > 2.0 {
                found.violation("V15", place, format!("{w}x{h} has another aspect ratio than {w0}x{h0}"));
            }
        }
    }
    if list.iframe_lists == 0 {
        found.note("V16", place, "no I-frame playlists");
    }
}

/// Rules of EXT-X-MEDIA groups.
fn groups(list: &Multivariant, place: &str, found: &mut Findings) {
    fn get<'m>(m: &'m [(String, String)], name: &str) -> Option<&'m str> {
        m.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    for kind in ["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"] {
        let of_kind: Vec<_> = list.media.iter().filter(|m| get(m, "TYPE") == Some(kind)).collect();
        let ids: Vec<_> = of_kind.iter().filter_map(|m| get(m, "GROUP-ID")).collect();
        for variant in &list.variants {
            if let Some(group) = variant.attribute(kind).filter(|g| *g != "NONE" && !ids.contains(g)) {
                found.violation("V8", place, format!("{}: {kind}={group} names no group", variant.uri));
            }
        }
        for (i, one) in of_kind.iter().enumerate() {
            let rivals = || of_kind[..i].iter().filter(|m| get(m, "GROUP-ID") == get(one, "GROUP-ID"));
            let default = |m: &[(String, String)]| get(m, "DEFAULT") == Some("YES");
            if get(one, "NAME").is_none() || rivals().any(|m| get(m, "NAME") == get(one, "NAME")) {
                found.violation("V9", place, format!("{kind} rendition without a NAME of its own"));
            }
            if default(one) && rivals().any(|m| default(m)) {
                found.violation("V9", place, format!("two DEFAULT=YES in one {kind} group"));
            }
            if default(one) && get(one, "AUTOSELECT").is_some_and(|v| v != "YES") {
                found.violation("V9", place, format!("{kind}: DEFAULT=YES with AUTOSELECT=NO"));
            }
            if kind != "VIDEO" && get(one, "LANGUAGE").is_none() {
                found.violation("V11", place, format!("{kind} rendition without LANGUAGE"));
            }
            if kind == "AUDIO" && get(one, "CHANNELS").is_none() {
                found.note("V12", place, "AUDIO rendition without CHANNELS");
            }
            if (kind == "SUBTITLES" && get(one, "URI").is_none())
                || (kind == "CLOSED-CAPTIONS" && get(one, "URI").is_some())
            {
                found.violation("V13", place, format!("{kind} and its URI"));
            }
            if kind == "CLOSED-CAPTIONS" && get(one, "INSTREAM-ID").is_none() {
                found.violation("V14", place, "CLOSED-CAPTIONS without INSTREAM-ID");
            }
        }
        let mut groups: Vec<(Option<&str>, Vec<Option<&str>>)> = Vec::new();
        for one in &of_kind {
            let id = get(one, "GROUP-ID");
            match groups.iter_mut().find(|(g, _)| *g == id) {
                Some((_, names)) => names.push(get(one, "NAME")),
                None => groups.push((id, vec![get(one, "NAME")])),
            }
        }
        if groups.windows(2).any(|g| g[0].1 != g[1].1) {
            found.violation("V10", place, format!("{kind} groups have different members"));
        }
    }
}
