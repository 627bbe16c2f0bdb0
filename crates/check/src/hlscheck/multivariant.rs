//! A multivariant playlist read strictly, with the V rules that one text alone can show.

use super::second;
use super::tags::{self, Home};
use super::text::{Line, attributes, get as find, line, lines, number, quoted};
use super::variables::Variables;
use crate::report::Findings;

/// One EXT-X-STREAM-INF with its URI, or one EXT-X-I-FRAME-STREAM-INF.
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
    /// One of which nothing is declared.
    pub(crate) fn nothing() -> Self {
        Variant {
            uri: String::new(),
            bandwidth: None,
            average: None,
            codecs: Vec::new(),
            resolution: None,
            frame_rate: None,
            attributes: Vec::new(),
        }
    }

    /// An attribute's value as written.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        attribute(&self.attributes, name)
    }
}

/// An attribute's value as written.
pub(crate) fn attribute<'m>(attributes: &'m [(String, String)], name: &str) -> Option<&'m str> {
    attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

/// An attribute's text inside its quotes.
pub(crate) fn text<'m>(attributes: &'m [(String, String)], name: &str) -> Option<&'m str> {
    attribute(attributes, name).and_then(quoted)
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
    pub iframes: Vec<Variant>,
}

/// Whether this text is a media playlist rather than a multivariant one.
pub fn is_media(text: &[u8]) -> bool {
    let tag = |line: &[u8]| line.starts_with(b"#EXTINF") || line.starts_with(b"#EXT-X-TARGETDURATION");
    text.split(|b| *b == b'\n').any(tag)
}

/// Reads the playlist and judges it.
pub fn parse(bytes: &[u8], place: &str, found: &mut Findings) -> Multivariant {
    let mut list = Multivariant::default();
    let mut pending: Option<Vec<(String, String)>> = None;
    let mut seen: Vec<&str> = Vec::new();
    let mut variables = Variables::default();
    let (mut version, mut floor) = (1, 1);
    for row in lines(bytes, place, found) {
        let (name, value) = match line(row) {
            None => continue,
            Some(Line::Uri(uri)) => {
                let uri = variables.fill(uri, place, found);
                match pending.take() {
                    Some(attributes) => list.variants.push(variant(&uri, attributes, place, found)),
                    None => found.violation("file.text", place, format!("{uri} has no STREAM-INF before it")),
                }
                continue;
            }
            Some(Line::Tag(name, value)) => (name, value),
        };
        if pending.is_some() {
            found.violation("file.text", place, format!("{name} between a STREAM-INF and its URI"));
        }
        let Some(tag) = tags::find(name) else {
            found.violation("file.tag", place, format!("{name} is no tag of the standard"));
            continue;
        };
        if tag.home == Home::Media {
            found.violation("file.mixed", place, format!("{name} in a multivariant playlist"));
            continue;
        }
        if tag.once && seen.contains(&name) {
            found.violation("file.repeat", place, format!("{name} stands twice"));
        }
        seen.push(name);
        let value = variables.fill(value, place, found);
        let read = if tag.attributes.is_empty() { Vec::new() } else { attributes(tag, &value, place, found) };
        let owned =
            || -> Vec<(String, String)> { read.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect() };
        if read.iter().any(|(n, _)| n.starts_with("REQ-")) {
            floor = floor.max(12);
        }
        match name {
            "EXT-X-VERSION" => version = number(name, &value, place, found).unwrap_or(0),
            "EXT-X-INDEPENDENT-SEGMENTS" => list.independent = true,
            "EXT-X-DEFINE" => {
                floor = floor.max(if find(&read, "QUERYPARAM").is_some() { 11 } else { 8 });
                variables.define(&read, place, found);
            }
            "EXT-X-STREAM-INF" => pending = Some(owned()),
            "EXT-X-MEDIA" => {
                let media = owned();
                match text(&media, "INSTREAM-ID") {
                    Some(_) if attribute(&media, "TYPE") != Some("CLOSED-CAPTIONS") => floor = floor.max(13),
                    Some(id) if id.starts_with("SERVICE") => floor = floor.max(7),
                    _ => {}
                }
                list.media.push(media);
            }
            "EXT-X-I-FRAME-STREAM-INF" => list.iframes.push(iframe(owned(), place, found)),
            _ => {}
        }
    }
    if pending.is_some() {
        found.violation("file.text", place, "STREAM-INF without a URI at the end");
    }
    if version < floor {
        found.violation(
            "file.version",
            place,
            format!("the tags need version {floor}, the list says {version}"),
        );
    }
    if list.variants.is_empty() {
        found.violation("V2", place, "no variant");
    }
    if !list.independent {
        found.violation("V1", place, "every segment starts with an IDR, but INDEPENDENT-SEGMENTS is missing");
    }
    together(&list, place, found);
    groups(&list, place, found);
    second::multivariant(bytes, &list, place, found);
    list
}

/// What both kinds of variants have.
fn described(uri: &str, attributes: Vec<(String, String)>, at: &str, found: &mut Findings) -> Variant {
    let get = |name: &str| attribute(&attributes, name);
    let bandwidth: Option<u64> = get("BANDWIDTH").and_then(|v| v.parse().ok());
    let average = get("AVERAGE-BANDWIDTH").and_then(|v| v.parse().ok());
    if bandwidth.is_none_or(|b| b == 0) {
        found.violation("V2", at, format!("BANDWIDTH is {:?}", get("BANDWIDTH")));
    }
    if average.is_some_and(|b: u64| b == 0 || bandwidth.is_some_and(|peak| b > peak)) {
        found.violation("V3", at, format!("AVERAGE-BANDWIDTH is {:?}", get("AVERAGE-BANDWIDTH")));
    }
    let codecs: Vec<String> = text(&attributes, "CODECS")
        .map_or(Vec::new(), |c| c.split(',').map(|c| c.trim().to_owned()).collect());
    if codecs.is_empty() {
        found.violation("V4", at, format!("CODECS is {:?}", get("CODECS")));
    }
    let resolution = get("RESOLUTION")
        .and_then(|v| v.split_once('x'))
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let frame_rate = get("FRAME-RATE").and_then(|v| v.parse().ok());
    if get("VIDEO-RANGE").is_some_and(|v| !matches!(v, "SDR" | "HLG" | "PQ")) {
        found.violation("V6", at, format!("VIDEO-RANGE is {:?}", get("VIDEO-RANGE")));
    }
    Variant { uri: uri.into(), bandwidth, average, codecs, resolution, frame_rate, attributes }
}

/// Whether the formats named hold pictures.
pub(crate) fn has_video(codecs: &[String]) -> bool {
    const VIDEO: [&str; 9] = ["avc", "hvc", "hev", "av01", "vp08", "vp09", "dvh", "vvc", "mp4v"];
    codecs.iter().any(|c| VIDEO.iter().any(|v| c.starts_with(v)))
}

fn variant(uri: &str, attributes: Vec<(String, String)>, place: &str, found: &mut Findings) -> Variant {
    let at = format!("{place} {uri}");
    let variant = described(uri, attributes, &at, found);
    let get = |name: &str| variant.attribute(name);
    if variant.average.is_none() {
        found.violation("V3", &at, format!("AVERAGE-BANDWIDTH is {:?}", get("AVERAGE-BANDWIDTH")));
    }
    if has_video(&variant.codecs) {
        if variant.resolution.is_none() {
            found.violation("V5", &at, format!("RESOLUTION is {:?}", get("RESOLUTION")));
        }
        let decimals = get("FRAME-RATE").and_then(|v| v.split_once('.')).map_or(0, |(_, d)| d.len());
        if variant.frame_rate.is_none() || decimals != 3 {
            found.violation("V5", &at, format!("FRAME-RATE is {:?}", get("FRAME-RATE")));
        }
    } else if get("RESOLUTION").is_some() && !variant.codecs.is_empty() {
        found.violation("V5", &at, "RESOLUTION without video in CODECS");
    }
    variant
}

fn iframe(attributes: Vec<(String, String)>, place: &str, found: &mut Findings) -> Variant {
    let uri = text(&attributes, "URI").unwrap_or_default().to_owned();
    let at = format!("{place} I-FRAME-STREAM-INF {uri}");
    if uri.is_empty() {
        found.violation("V16", &at, "no URI");
    }
    let variant = described(&uri, attributes, &at, found);
    if variant.resolution.is_none() {
        found.violation("V5", &at, format!("RESOLUTION is {:?}", variant.attribute("RESOLUTION")));
    }
    variant
}

/// Rules over all variants.
fn together(list: &Multivariant, place: &str, found: &mut Findings) {
    let variants = &list.variants;
    let captions = |v: &&Variant| v.attribute("CLOSED-CAPTIONS").map(str::to_owned);
    let none = variants.iter().filter(|v| v.attribute("CLOSED-CAPTIONS") == Some("NONE")).count();
    let some = variants.iter().filter(|v| captions(v).is_some()).count();
    if (none != 0 && none != variants.len()) || (some != 0 && some != variants.len()) {
        let text = format!("CLOSED-CAPTIONS on {some} of {} variants, NONE on {none}", variants.len());
        found.violation("V7", place, text);
    }
    let scored = variants.iter().filter(|v| v.attribute("SCORE").is_some()).count();
    if scored != 0 && scored != variants.len() {
        found.violation("V17", place, format!("SCORE on {scored} of {} variants", variants.len()));
    }
    // Variants may share a list when their other renditions differ.
    let groups = |v: &Variant| {
        ["AUDIO", "SUBTITLES", "VIDEO", "PATHWAY-ID"].map(|n| v.attribute(n).map(str::to_owned))
    };
    for (i, one) in variants.iter().enumerate() {
        if variants[..i].iter().any(|v| v.uri == one.uri && groups(v) == groups(one)) {
            found.violation("V15", place, format!("{} stands twice", one.uri));
        }
        if variants[..i]
            .iter()
            .any(|v| v.bandwidth == one.bandwidth && v.bandwidth.is_some() && groups(v) == groups(one))
        {
            found.violation("V15", place, format!("{}: another variant has the same BANDWIDTH", one.uri));
        }
    }
    let ratios = variants.iter().filter_map(|v| v.resolution);
    if let Some((w0, h0)) = ratios.clone().max() {
        for (w, h) in ratios {
            // Even widths and heights cannot hold a ratio exactly: two pixels either way are allowed.
            let want = f64::from(h) * f64::from(w0) / f64::from(h0.max(1));
            if (f64::from(w) - want).abs() > 2.0 {
                found.violation("V15", place, format!("{w}x{h} has another aspect ratio than {w0}x{h0}"));
            }
        }
    }
    if list.iframes.is_empty() && list.variants.iter().any(|v| has_video(&v.codecs)) {
        found.violation("V16", place, "no I-frame playlists");
    }
}

/// Rules of EXT-X-MEDIA groups.
fn groups(list: &Multivariant, place: &str, found: &mut Findings) {
    for kind in ["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"] {
        let of_kind: Vec<_> =
            list.media.iter().map(Vec::as_slice).filter(|m| attribute(m, "TYPE") == Some(kind)).collect();
        let ids: Vec<_> = of_kind.iter().filter_map(|m| attribute(m, "GROUP-ID")).collect();
        for variant in &list.variants {
            if let Some(group) = variant.attribute(kind).filter(|g| *g != "NONE" && !ids.contains(g)) {
                // Quotes around NONE are told where values are read.
                if group != "\"NONE\"" {
                    found.violation("V8", place, format!("{}: {kind}={group} names no group", variant.uri));
                }
            }
        }
        for (i, one) in of_kind.iter().enumerate() {
            member(kind, one, &of_kind[..i], place, found);
        }
        let mut groups: Vec<(Option<&str>, Vec<Shared<'_>>)> = Vec::new();
        for one in &of_kind {
            let id = attribute(one, "GROUP-ID");
            match groups.iter_mut().find(|(g, _)| *g == id) {
                Some((_, members)) => members.push(shared(one)),
                None => groups.push((id, vec![shared(one)])),
            }
        }
        for (_, members) in &mut groups {
            members.sort_unstable();
        }
        if groups.windows(2).any(|g| g[0].1 != g[1].1) {
            found.violation("V10", place, format!("{kind} groups have different members"));
        }
    }
}

/// Attributes of one member.
type Shared<'m> = Vec<&'m (String, String)>;

/// The attributes that members of corresponding groups have in common (§4.4.6.1.1).
fn shared(media: &[(String, String)]) -> Shared<'_> {
    const OWN: [&str; 7] =
        ["GROUP-ID", "URI", "CHANNELS", "BIT-DEPTH", "SAMPLE-RATE", "STABLE-RENDITION-ID", "INSTREAM-ID"];
    let mut out: Vec<_> = media.iter().filter(|(name, _)| !OWN.contains(&name.as_str())).collect();
    out.sort_unstable();
    out
}

fn member(
    kind: &str,
    one: &[(String, String)],
    before: &[&[(String, String)]],
    place: &str,
    found: &mut Findings,
) {
    let get = |name: &str| attribute(one, name);
    let rivals = || before.iter().filter(|m| attribute(m, "GROUP-ID") == get("GROUP-ID"));
    let default = |m: &[(String, String)]| attribute(m, "DEFAULT") == Some("YES");
    if get("NAME").is_some() && rivals().any(|m| attribute(m, "NAME") == get("NAME")) {
        found.violation("V9", place, format!("{kind} rendition without a NAME of its own"));
    }
    if default(one) && rivals().any(|m| default(m)) {
        found.violation("V9", place, format!("two DEFAULT=YES in one {kind} group"));
    }
    if default(one) && get("AUTOSELECT").is_some_and(|v| v != "YES") {
        found.violation("V9", place, format!("{kind}: DEFAULT=YES with AUTOSELECT=NO"));
    }
    if kind != "VIDEO" && get("LANGUAGE").is_none() {
        found.violation("V11", place, format!("{kind} rendition without LANGUAGE"));
    }
    if kind == "AUDIO" && get("CHANNELS").is_none() {
        found.violation("V12", place, "AUDIO rendition without CHANNELS");
    }
    if (kind == "SUBTITLES" && get("URI").is_none()) || (kind == "CLOSED-CAPTIONS" && get("URI").is_some()) {
        found.violation("V13", place, format!("{kind} and its URI"));
    }
    if kind == "CLOSED-CAPTIONS" {
        let id = text(one, "INSTREAM-ID").unwrap_or_default();
        let within = |prefix: &str, top: u32| {
            id.strip_prefix(prefix).and_then(|n| n.parse().ok()).is_some_and(|n: u32| (1..=top).contains(&n))
        };
        if !within("CC", 4) && !within("SERVICE", 63) {
            found.violation("V14", place, format!("CLOSED-CAPTIONS with INSTREAM-ID {id:?}"));
        }
    }
}
