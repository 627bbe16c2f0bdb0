//! The text of any playlist: its lines, attribute lists and values, read strictly (§4.1, §4.2).

use super::tags::{Kind, Tag};
use crate::report::Findings;

/// Attributes in order, values as written.
pub(crate) type Attributes<'t> = Vec<(&'t str, &'t str)>;

/// Most lines of one playlist that are read.
const LINES: usize = 200_000;

/// Rules of any playlist's text; gives its lines.
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
    if let Some(odd) = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r')) {
        found.violation("file.text", place, format!("control character {odd:?}"));
    }
    let lines: Vec<&str> = text.lines().take(LINES).collect();
    if lines.first() != Some(&"#EXTM3U") {
        found.violation("file.first-line", place, format!("{:?} is not #EXTM3U", lines.first()));
    }
    for line in lines.iter().filter(|l| l.trim() != **l) {
        found.violation("file.text", place, format!("white space around {line:?}"));
    }
    lines
}

/// A line that is neither blank nor a comment.
pub(crate) enum Line<'t> {
    /// Name without `#`, what stands behind the colon.
    Tag(&'t str, &'t str),
    /// A URI.
    Uri(&'t str),
}

/// What a line is; None for blank lines and comments.
pub(crate) fn line(line: &str) -> Option<Line<'_>> {
    if line.is_empty() || (line.starts_with('#') && !line.starts_with("#EXT")) {
        return None;
    }
    Some(match line.strip_prefix('#') {
        Some(tag) => {
            let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
            Line::Tag(name, value)
        }
        None => Line::Uri(line),
    })
}

/// Attributes in order; repeats, spaces, missing quotes and wrong types are told.
pub(crate) fn attributes<'t>(tag: &Tag, list: &'t str, place: &str, found: &mut Findings) -> Attributes<'t> {
    let mut out: Attributes<'t> = Vec::new();
    let mut rest = list;
    let mut bad = |text: String| found.violation("file.attributes", place, format!("{}: {text}", tag.name));
    while !rest.is_empty() {
        let Some((name, tail)) = rest.split_once('=') else {
            bad(format!("{rest:?} has no ="));
            break;
        };
        let end = match tail.strip_prefix('"') {
            Some(quoted) => quoted.find('"').map_or(tail.len(), |n| n + 2),
            None => tail.find(',').unwrap_or(tail.len()),
        };
        let (value, after) = tail.split_at(end);
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
        {
            bad(format!("attribute name {name:?}"));
        } else if value.is_empty() || (!value.starts_with('"') && value.contains([' ', '"'])) {
            bad(format!("attribute {name} has value {value:?}"));
        } else if out.iter().any(|(n, _)| *n == name) {
            bad(format!("attribute {name} twice"));
        } else if let Some(kind) = tag.kind(name).filter(|kind| !kind.fits(value)) {
            bad(format!("{name} is {value:?}, not {kind}"));
        }
        out.push((name, value));
        rest = match after.strip_prefix(',') {
            Some(next) if !next.is_empty() => next,
            None if after.is_empty() => "",
            _ => {
                bad(format!("{after:?} behind {name}"));
                ""
            }
        };
    }
    for (name, _) in tag.attributes.iter().filter(|(_, k)| matches!(k, Kind::Needed(_))) {
        if !out.iter().any(|(n, _)| n == name) {
            bad(format!("no {name}"));
        }
    }
    out
}

/// An attribute's value as written.
pub(crate) fn get<'t>(attributes: &[(&str, &'t str)], name: &str) -> Option<&'t str> {
    attributes.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
}

/// The text inside the quotes.
pub(crate) fn quoted(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

/// An attribute's text inside the quotes.
pub(crate) fn string(attributes: &[(&str, &str)], name: &str) -> Option<String> {
    get(attributes, name).and_then(quoted).map(str::to_owned)
}

/// The whole value of a tag as a number.
pub(crate) fn number(name: &str, value: &str, place: &str, found: &mut Findings) -> Option<u64> {
    let number = integer(value);
    if number.is_none() {
        found.violation("file.text", place, format!("{name} is {value:?}, no decimal integer"));
    }
    number
}

/// A decimal integer of at most 2^64-1 (§4.2).
pub(crate) fn integer(value: &str) -> Option<u64> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    value.parse().ok()
}

/// Microseconds of a decimal number of seconds, without floating point; rounded down.
pub(crate) fn micros(value: &str) -> Option<i64> {
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 10 || !digits(whole) || !digits(part) || value.ends_with('.') {
        return None;
    }
    let fraction: i64 = format!("{part:0<6}").get(..6)?.parse().ok()?;
    Some(whole.parse::<i64>().ok()? * 1_000_000 + fraction)
}

/// `n[@o]`: length and offset.
pub(crate) fn byte_range(value: &str) -> Option<(u64, Option<u64>)> {
    match value.split_once('@') {
        Some((length, offset)) => Some((integer(length)?, Some(integer(offset)?))),
        None => Some((integer(value)?, None)),
    }
}
