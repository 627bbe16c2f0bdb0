//! A media playlist read strictly (RFC 8216 §4, its successor's §4.4); faults of the text are told as they are met.

use crate::report::Findings;

/// One segment as a list has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Media sequence number.
    pub msn: u64,
    /// As written.
    pub uri: String,
    /// EXTINF in microseconds.
    pub micros: i64,
    /// An EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// DISCONTINUITY-SEQUENCE plus the tags above.
    pub discontinuity_number: u64,
    /// EXT-X-GAP.
    pub gap: bool,
    /// EXT-X-PROGRAM-DATE-TIME in microseconds of Unix time.
    pub date: Option<i64>,
    /// EXT-X-BITRATE in force, kbit/s.
    pub bitrate: Option<u64>,
    /// EXT-X-KEY in force, its attribute list.
    pub key: Option<String>,
}

/// A whole list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List {
    /// EXT-X-VERSION; 1 where it is left out.
    pub version: u32,
    /// Seconds.
    pub target: Option<u64>,
    /// EXT-X-MEDIA-SEQUENCE, 0 where it is left out.
    pub first_msn: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub discontinuity_sequence: Option<u64>,
    /// EXT-X-PLAYLIST-TYPE.
    pub kind: Option<String>,
    /// EXT-X-ENDLIST.
    pub ended: bool,
    /// TIME-OFFSET of EXT-X-START, seconds.
    pub start: Option<f64>,
    /// EXT-X-SERVER-CONTROL's attribute list.
    pub server_control: Option<String>,
    /// EXT-X-INDEPENDENT-SEGMENTS.
    pub independent: bool,
    /// In order.
    pub entries: Vec<Entry>,
}

impl List {
    /// Sum of EXTINF in microseconds.
    pub fn micros(&self) -> i64 {
        self.entries.iter().map(|e| e.micros).sum()
    }

    /// The newest segment's number.
    pub fn last_msn(&self) -> Option<u64> {
        self.entries.last().map(|e| e.msn)
    }
}

/// Rules of any playlist's text (§4.1); gives its lines.
pub(crate) fn lines<'t>(bytes: &'t [u8], place: &str, found: &mut Findings) -> Vec<&'t str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            found.violation("file.text", place, format!("no UTF-8: {error}"));
            return Vec::new();
        }
    };
    if text.starts_with('\u{feff}') {
        found.violation("file.text", place, "begins with a byte order mark");
    }
    if let Some(odd) = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        found.violation("file.text", place, format!("control character {odd:?}"));
    }
    let lines: Vec<&str> = text.lines().collect();
    if lines.first() != Some(&"#EXTM3U") {
        found.violation("file.first-line", place, format!("{:?} is not #EXTM3U", lines.first()));
    }
    for line in lines.iter().filter(|l| l.trim() != **l) {
        found.violation("file.text", place, format!("white space around {line:?}"));
    }
    lines
}

/// Attributes in order; repeats, spaces and missing quotes are told.
pub(crate) fn attributes<'t>(list: &'t str, place: &str, found: &mut Findings) -> Vec<(&'t str, &'t str)> {
    let mut out: Vec<(&str, &str)> = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let Some((name, tail)) = rest.split_once('=') else {
            found.violation("file.attributes", place, format!("{rest:?} has no ="));
            break;
        };
        let end = match tail.strip_prefix('"') {
            Some(quoted) => quoted.find('"').map_or(tail.len(), |n| n + 2),
            None => tail.find(',').unwrap_or(tail.len()),
        };
        let (value, after) = tail.split_at(end);
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
        {
            found.violation("file.attributes", place, format!("attribute name {name:?}"));
        }
        if value.is_empty() || (!value.starts_with('"') && value.contains([' ', '"'])) {
            found.violation("file.attributes", place, format!("attribute {name} has value {value:?}"));
        }
        if out.iter().any(|(n, _)| *n == name) {
            found.violation("file.attributes", place, format!("attribute {name} twice"));
        }
        out.push((name, value));
        rest = match after.strip_prefix(',') {
            Some(next) if !next.is_empty() => next,
            None if after.is_empty() => "",
            _ => {
                found.violation("file.attributes", place, format!("{after:?} behind {name}"));
                ""
            }
        };
    }
    out
}

const ONCE: [&str; 9] = [
    "EXT-X-VERSION",
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-ENDLIST",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-START",
    "EXT-X-INDEPENDENT-SEGMENTS",
];

/// Reads a media playlist. What cannot be read is told and left out.
pub fn parse(bytes: &[u8], place: &str, found: &mut Findings) -> List {
    let mut list = List { version: 1, ..List::default() };
    let mut seen: Vec<&str> = Vec::new();
    let mut pending = Pending::default();
    for line in lines(bytes, place, found) {
        if line.is_empty() || (line.starts_with('#') && !line.starts_with("#EXT")) {
            continue;
        }
        let Some(tag) = line.strip_prefix('#') else {
            take_uri(line, &mut pending, &mut list, place, found);
            continue;
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        if ONCE.contains(&name) {
            if seen.contains(&name) {
                found.violation("file.repeat", place, format!("{name} stands twice"));
            }
            seen.push(name);
        }
        let late = !list.entries.is_empty();
        match name {
            "EXTM3U" => {}
            "EXT-X-VERSION" => list.version = number(name, value, place, found).unwrap_or(0) as u32,
            "EXT-X-TARGETDURATION" => match number(name, value, place, found) {
                Some(0) | None => found.violation("M1", place, format!("TARGETDURATION is {value:?}")),
                Some(target) => list.target = Some(target),
            },
            "EXT-X-MEDIA-SEQUENCE" => {
                if late {
                    found.violation("M4", place, "MEDIA-SEQUENCE stands behind a segment");
                }
                list.first_msn = number(name, value, place, found).unwrap_or(0);
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                if late || pending.discontinuity {
                    found.violation(
                        "M6",
                        place,
                        "DISCONTINUITY-SEQUENCE stands behind a segment or DISCONTINUITY",
                    );
                }
                list.discontinuity_sequence = number(name, value, place, found);
            }
            "EXT-X-PLAYLIST-TYPE" => list.kind = Some(value.into()),
            "EXT-X-ENDLIST" => list.ended = true,
            "EXT-X-START" => {
                let offset = attributes(value, place, found).into_iter().find(|(n, _)| *n == "TIME-OFFSET");
                list.start = offset.and_then(|(_, v)| v.parse().ok());
                if list.start.is_none() {
                    found.violation("file.attributes", place, "EXT-X-START without TIME-OFFSET");
                }
            }
            "EXT-X-SERVER-CONTROL" => {
                attributes(value, place, found);
                list.server_control = Some(value.into());
            }
            "EXT-X-INDEPENDENT-SEGMENTS" => list.independent = true,
            "EXTINF" => {
                if pending.micros.is_some() {
                    found.violation("file.repeat", place, "two EXTINF for one segment");
                }
                pending.micros = duration(value, list.version, place, found);
            }
            "EXT-X-DISCONTINUITY" => {
                if pending.discontinuity {
                    found.violation("file.repeat", place, "two DISCONTINUITY tags for one segment");
                }
                pending.discontinuity = true;
            }
            "EXT-X-GAP" => pending.gap = true,
            "EXT-X-PROGRAM-DATE-TIME" => pending.date = date(value, place, found),
            "EXT-X-BITRATE" => pending.bitrate = number(name, value, place, found),
            "EXT-X-KEY" => {
                attributes(value, place, found);
                pending.key = Some(value.into());
            }
            "EXT-X-STREAM-INF" | "EXT-X-MEDIA" | "EXT-X-I-FRAME-STREAM-INF" | "EXT-X-SESSION-DATA" => {
                found.violation("file.mixed", place, format!("{name} in a media playlist"));
            }
            other => found.note("file.tag", place, format!("{other} is not looked at")),
        }
    }
    if pending.micros.is_some() {
        found.violation("file.text", place, "EXTINF without a URI at the end");
    }
    if list.target.is_none() {
        found.violation("M1", place, "no TARGETDURATION");
    }
    if list.version > 3 {
        found.note("file.version", place, format!("version {}, where plain TS lists need 3", list.version));
    }
    second_reader(bytes, &list, place, found);
    list
}

#[derive(Default)]
struct Pending {
    micros: Option<i64>,
    discontinuity: bool,
    gap: bool,
    date: Option<i64>,
    bitrate: Option<u64>,
    key: Option<String>,
}

fn take_uri(uri: &str, pending: &mut Pending, list: &mut List, place: &str, found: &mut Findings) {
    let Some(micros) = pending.micros.take() else {
        found.violation("file.text", place, format!("{uri} has no EXTINF before it"));
        return;
    };
    let before =
        list.entries.last().map_or(list.discontinuity_sequence.unwrap_or(0), |e| e.discontinuity_number);
    let discontinuity = std::mem::take(&mut pending.discontinuity);
    list.entries.push(Entry {
        msn: list.first_msn + list.entries.len() as u64,
        uri: uri.into(),
        micros,
        discontinuity,
        discontinuity_number: before + u64::from(discontinuity),
        gap: std::mem::take(&mut pending.gap),
        date: pending.date.take(),
        bitrate: pending.bitrate,
        key: pending.key.clone(),
    });
}

fn number(name: &str, value: &str, place: &str, found: &mut Findings) -> Option<u64> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        found.violation("file.text", place, format!("{name} is {value:?}, no decimal integer"));
        return None;
    }
    value.parse().ok()
}

/// EXTINF's microseconds from its digits, without floating point.
fn duration(value: &str, version: u32, place: &str, found: &mut Findings) -> Option<i64> {
    let Some((value, _title)) = value.split_once(',') else {
        found.violation("file.text", place, format!("EXTINF {value:?} has no comma"));
        return None;
    };
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    if value.contains('.') && version < 3 {
        found.violation(
            "file.version",
            place,
            format!("decimal EXTINF needs version 3, the list says {version}"),
        );
    }
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) {
        found.violation("file.text", place, format!("EXTINF {value:?} is no decimal number"));
        return None;
    }
    let micros: i64 = format!("{part:0<6}").get(..6)?.parse().ok()?;
    Some(whole.parse::<i64>().ok()? * 1_000_000 + micros)
}

/// A date of millisecond precision with its zone (M15), as microseconds of Unix time.
fn date(value: &str, place: &str, found: &mut Findings) -> Option<i64> {
    let time = value.split_once('T').map_or("", |(_, t)| t);
    let zoned = time.ends_with('Z') || time.contains(['+', '-']);
    let decimals = time.split_once('.').map_or(0, |(_, f)| f.bytes().take_while(u8::is_ascii_digit).count());
    if !zoned || decimals < 3 {
        found.violation("M15", place, format!("PROGRAM-DATE-TIME {value:?} lacks zone or milliseconds"));
    }
    match value.parse::<jiff::Timestamp>() {
        Ok(stamp) => Some(stamp.as_microsecond()),
        Err(error) => {
            found.violation("M15", place, format!("PROGRAM-DATE-TIME {value:?}: {error}"));
            None
        }
    }
}

/// A reader that is not ours must see the same list.
fn second_reader(bytes: &[u8], list: &List, place: &str, found: &mut Findings) {
    let theirs = match m3u8_rs::parse_media_playlist_res(bytes) {
        Ok(theirs) => theirs,
        Err(error) => {
            found.violation("file.m3u8-rs", place, format!("m3u8-rs cannot read it: {error}"));
            return;
        }
    };
    let same = theirs.media_sequence == list.first_msn
        && theirs.target_duration == list.target.unwrap_or(0)
        && theirs.discontinuity_sequence == list.discontinuity_sequence.unwrap_or(0)
        && theirs.end_list == list.ended
        && theirs.segments.len() == list.entries.len()
        && theirs.segments.iter().zip(&list.entries).all(|(a, b)| {
            a.uri == b.uri
                && a.discontinuity == b.discontinuity
                && (f64::from(a.duration) - b.micros as f64 / 1e6).abs() < 1e-3
        });
    if !same {
        found.violation("file.m3u8-rs", place, "m3u8-rs reads another list than this checker");
    }
}
