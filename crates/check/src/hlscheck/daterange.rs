//! Dates: EXT-X-PROGRAM-DATE-TIME and EXT-X-DATERANGE (§4.4.4.6, §4.4.5.1).

use super::list::{DateRange, List};
use super::text::{Attributes, get, micros, string};
use crate::report::Findings;
use std::collections::BTreeMap;

/// A date of millisecond precision with its zone (M15), as microseconds of Unix time.
pub(super) fn program_date(value: &str, place: &str, found: &mut Findings) -> Option<i64> {
    let time = value.split_once('T').map_or("", |(_, t)| t);
    let zoned = time.ends_with('Z') || time.contains(['+', '-']);
    let decimals = time.split_once('.').map_or(0, |(_, f)| f.bytes().take_while(u8::is_ascii_digit).count());
    if !zoned || decimals < 3 {
        found.violation("M15", place, format!("PROGRAM-DATE-TIME {value:?} lacks zone or milliseconds"));
    }
    match date(value) {
        Ok(stamp) => Some(stamp),
        Err(error) => {
            found.violation("M15", place, format!("PROGRAM-DATE-TIME {value:?}: {error}"));
            None
        }
    }
}

/// Microseconds of Unix time. FFmpeg writes zones as +0000.
fn date(value: &str) -> Result<i64, jiff::Error> {
    value.parse::<jiff::Timestamp>().map(|stamp| stamp.as_microsecond())
}

/// Reads one tag's attributes and judges them by themselves.
pub(super) fn read(list: &Attributes<'_>, place: &str, found: &mut Findings) -> DateRange {
    let id = string(list, "ID").unwrap_or_default();
    let mut bad =
        |text: String| found.violation("date.attributes", place, format!("DATERANGE {id:?}: {text}"));
    let mut read = |name: &str| {
        let text = string(list, name)?;
        let read = date(&text);
        if let Err(error) = &read {
            bad(format!("{name} {text:?}: {error}"));
        }
        read.ok()
    };
    let (start, end) = (read("START-DATE"), read("END-DATE"));
    let duration = get(list, "DURATION").and_then(micros);
    if get(list, "END-ON-NEXT").is_some() {
        for (name, wrong) in [
            ("CLASS", get(list, "CLASS").is_none()),
            ("DURATION", get(list, "DURATION").is_some()),
            ("END-DATE", get(list, "END-DATE").is_some()),
        ] {
            if wrong {
                bad(format!("END-ON-NEXT and {name}"));
            }
        }
    }
    for (name, _) in list.iter().filter(|(n, _)| n.starts_with("X-") && *n == "X-") {
        bad(format!("attribute {name}"));
    }
    if let (Some(start), Some(end)) = (start, end) {
        if end < start {
            found.violation("date.end", place, format!("DATERANGE {id:?} ends before it starts"));
        } else if duration.is_some_and(|d| (end - start - d).abs() > 1_000) {
            let text = format!(
                "DATERANGE {id:?}: END-DATE is {} µs after START-DATE, DURATION {duration:?}",
                end - start
            );
            found.violation("date.end", place, text);
        }
    }
    for name in ["SCTE35-CMD", "SCTE35-OUT", "SCTE35-IN"] {
        if let Some(fault) = get(list, name).and_then(splice_fault) {
            found.violation("date.scte35", place, format!("DATERANGE {id:?}: {name} {fault}"));
        }
    }
    let attributes = list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    DateRange { id, attributes, start, end, duration }
}

/// Why the text is no whole splice_info_section (SCTE 35 §9.6): table 0xfc, its length, its CRC.
fn splice_fault(text: &str) -> Option<String> {
    let digits = text.get(2..)?;
    if digits.len() % 2 != 0 {
        return Some("has half a byte".into());
    }
    let bytes: Option<Vec<u8>> = (0..digits.len() / 2)
        .map(|n| digits.get(n * 2..n * 2 + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    let bytes = bytes?; // told as a wrong type
    let [table, high, low, ..] = bytes[..] else { return Some("is too short".into()) };
    let length = 3 + (usize::from(high & 0x0f) << 8 | usize::from(low));
    if table != 0xfc {
        return Some(format!("begins with {table:#04x}, not 0xfc"));
    }
    if length != bytes.len() {
        return Some(format!("says {length} bytes and has {}", bytes.len()));
    }
    (crate::tscheck::crc32(&bytes) != 0).then(|| "has a wrong CRC".into())
}

/// Rules of all tags of one list (date.anchor, date.change).
pub(super) fn alone(list: &List, place: &str, found: &mut Findings) {
    if !list.dateranges.is_empty() && list.skip.is_none() && list.entries.iter().all(|e| e.date.is_none()) {
        found.violation("date.anchor", place, "DATERANGE without a PROGRAM-DATE-TIME");
    }
    for (n, one) in list.dateranges.iter().enumerate() {
        let first = list.dateranges[..n].iter().find(|other| other.id == one.id);
        match first {
            Some(first) => agree(first, one, place, found),
            None if one.start.is_none() => {
                found.violation(
                    "date.attributes",
                    place,
                    format!("DATERANGE {:?} has no START-DATE", one.id),
                );
            }
            None => {}
        }
    }
}

/// Two tags of one ID share no attribute with two values.
fn agree(a: &DateRange, b: &DateRange, place: &str, found: &mut Findings) {
    for (name, value) in &b.attributes {
        if let Some((_, other)) = a.attributes.iter().find(|(n, v)| n == name && v != value) {
            found.violation(
                "date.change",
                place,
                format!("DATERANGE {:?}: {name} is {value} and {other}", b.id),
            );
        }
    }
}

/// What one rendition's lists have told of ranges, over time.
#[derive(Debug, Default)]
pub(super) struct Memory {
    told: BTreeMap<String, DateRange>,
}

impl Memory {
    /// Takes a whole list; `removed` names ranges that a delta update said were removed.
    pub(super) fn see(&mut self, list: &List, place: &str, found: &mut Findings) {
        alone(list, place, found);
        let first = list.entries.iter().find_map(|e| e.date);
        let gone: Vec<String> = self
            .told
            .iter()
            .filter(|(id, _)| !list.dateranges.iter().any(|r| r.id == **id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            let Some(range) = self.told.remove(&id) else { continue };
            let end = range.end.or(range.start.zip(range.duration).map(|(s, d)| s + d)).or(range.start);
            if let (Some(end), Some(first)) = (end, first)
                && end > first
                && !list.ended
            {
                let text = format!("DATERANGE {id:?} left, its dates reach {} µs into the list", end - first);
                found.violation("date.gone", place, text);
            }
        }
        for range in &list.dateranges {
            match self.told.get_mut(&range.id) {
                Some(known) => {
                    agree(known, range, place, found);
                    for attribute in &range.attributes {
                        if !known.attributes.iter().any(|(n, _)| *n == attribute.0) {
                            known.attributes.push(attribute.clone());
                        }
                    }
                    known.end = known.end.or(range.end);
                    known.duration = known.duration.or(range.duration);
                }
                None => drop(self.told.insert(range.id.clone(), range.clone())),
            }
        }
    }
}
