//! A media playlist read strictly (RFC 8216 §4, its successor's §4.4); faults of the text are told as they are met.

pub use super::list::{Control, DateRange, Entry, Hint, List, Map, Open, Part, Report, Skip};
use super::tags::{self, Home, Tag};
use super::text::{
    Attributes, Line, attributes, byte_range, get, integer, line, lines, micros, number, string,
};
use super::variables::Variables;
use super::{daterange, second};
use crate::report::Findings;

/// Reads a media playlist. What cannot be read is told and left out.
pub fn parse(bytes: &[u8], place: &str, found: &mut Findings) -> List {
    let mut reader = Reader {
        place,
        found,
        list: List { version: 1, ..List::default() },
        pending: Pending::default(),
        bitrate: None,
        key: None,
        map: None,
        floor: (1, "nothing"),
        number: 0,
        end: None,
        part_end: None,
    };
    let mut seen: Vec<&str> = Vec::new();
    let mut variables = Variables::default();
    for text in lines(bytes, place, reader.found) {
        match line(text) {
            None => {}
            Some(Line::Uri(uri)) => {
                let uri = variables.fill(uri, place, reader.found);
                reader.uri(&uri);
            }
            Some(Line::Tag(name, value)) => {
                let Some(tag) = tags::find(name) else {
                    reader.found.violation("file.tag", place, format!("{name} is no tag of the standard"));
                    continue;
                };
                if tag.home == Home::Multivariant {
                    reader.broken("file.mixed", format!("{name} in a media playlist"));
                    continue;
                }
                if tag.once && seen.contains(&name) {
                    reader.broken("file.repeat", format!("{name} stands twice"));
                }
                seen.push(name);
                let value = variables.fill(value, place, reader.found);
                if name == "EXT-X-DEFINE" {
                    let list = attributes(tag, &value, place, reader.found);
                    variables.define(&list, place, reader.found);
                    let floor = if get(&list, "QUERYPARAM").is_some() { 11 } else { 8 };
                    reader.needs(floor, tag.name);
                } else {
                    reader.tag(tag, &value);
                }
            }
        }
    }
    let list = reader.finish(seen.contains(&"EXT-X-VERSION"));
    if list.skip.is_none() {
        second::media(bytes, &list, place, found);
    }
    list
}

#[derive(Default)]
struct Pending {
    micros: Option<i64>,
    discontinuity: bool,
    gap: bool,
    date: Option<i64>,
    range: Option<(u64, Option<u64>)>,
    parts: Vec<Part>,
}

struct Reader<'f> {
    place: &'f str,
    found: &'f mut Findings,
    list: List,
    pending: Pending,
    bitrate: Option<u64>,
    key: Option<String>,
    map: Option<Map>,
    /// The lowest version that the tags allow, and the tag that asks for it.
    floor: (u32, &'static str),
    /// Discontinuities above, those of skipped segments not known.
    number: u64,
    /// End of the newest byte range of a URI, for ranges without an offset.
    end: Option<(String, u64)>,
    part_end: Option<(String, u64)>,
}

impl Reader<'_> {
    fn broken(&mut self, rule: &'static str, detail: String) {
        self.found.violation(rule, self.place, detail);
    }

    fn needs(&mut self, version: u32, tag: &'static str) {
        if version > self.floor.0 {
            self.floor = (version, tag);
        }
    }

    fn tag(&mut self, tag: &'static Tag, value: &str) {
        let (place, name) = (self.place, tag.name);
        let list: Attributes<'_> =
            if tag.attributes.is_empty() { Vec::new() } else { attributes(tag, value, place, self.found) };
        let seconds = |name: &str| get(&list, name).and_then(micros);
        let late =
            !self.list.entries.is_empty() || self.pending.micros.is_some() || !self.pending.parts.is_empty();
        match name {
            "EXT-X-VERSION" => self.list.version = number(name, value, place, self.found).unwrap_or(0) as u32,
            "EXT-X-TARGETDURATION" => match number(name, value, place, self.found) {
                Some(0) | None => self.broken("M1", format!("TARGETDURATION is {value:?}")),
                Some(target) => self.list.target = Some(target),
            },
            "EXT-X-MEDIA-SEQUENCE" => {
                if late {
                    self.broken("M4", "MEDIA-SEQUENCE stands behind a segment".into());
                }
                if self.list.skip.is_some() {
                    self.broken("ll.delta-form", "MEDIA-SEQUENCE stands behind SKIP".into());
                }
                self.list.first_msn = number(name, value, place, self.found).unwrap_or(0);
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                if late || self.pending.discontinuity {
                    let text = "DISCONTINUITY-SEQUENCE stands behind a segment or DISCONTINUITY";
                    self.broken("M6", text.into());
                }
                self.list.discontinuity_sequence = number(name, value, place, self.found);
                self.number = self.list.discontinuity_sequence.unwrap_or(0);
            }
            "EXT-X-PLAYLIST-TYPE" => {
                if !matches!(value, "EVENT" | "VOD") {
                    self.broken("file.text", format!("PLAYLIST-TYPE is {value:?}"));
                }
                self.list.kind = Some(value.into());
            }
            "EXT-X-ENDLIST" => self.list.ended = true,
            "EXT-X-INDEPENDENT-SEGMENTS" => self.list.independent = true,
            "EXT-X-I-FRAMES-ONLY" => {
                self.needs(4, "I-FRAMES-ONLY");
                self.list.iframes_only = true;
            }
            "EXT-X-START" => self.list.start = get(&list, "TIME-OFFSET").and_then(|v| v.parse().ok()),
            "EXT-X-PART-INF" => self.list.part_target = seconds("PART-TARGET"),
            "EXT-X-SERVER-CONTROL" => {
                self.list.server_control = Some(value.into());
                self.list.control = Control {
                    can_block: get(&list, "CAN-BLOCK-RELOAD") == Some("YES"),
                    part_hold_back: seconds("PART-HOLD-BACK"),
                    hold_back: seconds("HOLD-BACK"),
                    can_skip_until: seconds("CAN-SKIP-UNTIL"),
                    can_skip_dateranges: get(&list, "CAN-SKIP-DATERANGES") == Some("YES"),
                };
            }
            "EXT-X-SKIP" => self.skip(&list, late),
            "EXT-X-PRELOAD-HINT" => self.list.hints.push(Hint {
                kind: get(&list, "TYPE").unwrap_or_default().into(),
                uri: string(&list, "URI").unwrap_or_default(),
                start: get(&list, "BYTERANGE-START").and_then(integer),
                length: get(&list, "BYTERANGE-LENGTH").and_then(integer),
            }),
            "EXT-X-RENDITION-REPORT" => self.list.reports.push(Report {
                uri: string(&list, "URI").unwrap_or_default(),
                msn: get(&list, "LAST-MSN").and_then(integer),
                part: get(&list, "LAST-PART").and_then(integer),
            }),
            "EXT-X-DATERANGE" => {
                let range = daterange::read(&list, place, self.found);
                self.list.dateranges.push(range);
            }
            _ => self.segment_tag(name, value, &list),
        }
    }

    /// Tags that count for one segment, or from one on.
    fn segment_tag(&mut self, name: &str, value: &str, list: &Attributes<'_>) {
        let place = self.place;
        let settles = ["EXT-X-DISCONTINUITY", "EXT-X-KEY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME"];
        if settles.contains(&name) && !self.pending.parts.is_empty() {
            self.broken("ll.placement", format!("{name} stands behind a part of its segment"));
        }
        match name {
            "EXTINF" => {
                if self.pending.micros.is_some() {
                    self.broken("file.repeat", "two EXTINF for one segment".into());
                }
                self.pending.micros = self.duration(value);
            }
            "EXT-X-BYTERANGE" => {
                self.needs(4, "BYTERANGE");
                if self.pending.range.is_some() {
                    self.broken("file.repeat", "two BYTERANGE for one segment".into());
                }
                self.pending.range = byte_range(value);
                if self.pending.range.is_none() {
                    self.broken("file.text", format!("BYTERANGE is {value:?}"));
                }
            }
            "EXT-X-DISCONTINUITY" => {
                if self.pending.discontinuity {
                    self.broken("file.repeat", "two DISCONTINUITY tags for one segment".into());
                }
                self.pending.discontinuity = true;
            }
            "EXT-X-GAP" => self.pending.gap = true,
            "EXT-X-PROGRAM-DATE-TIME" => {
                if self.pending.date.is_some() {
                    self.broken("file.repeat", "two PROGRAM-DATE-TIME tags for one segment".into());
                }
                self.pending.date = daterange::program_date(value, place, self.found);
            }
            "EXT-X-BITRATE" => self.bitrate = number(name, value, place, self.found),
            "EXT-X-KEY" => {
                self.key_tag(list);
                self.key = Some(value.into());
            }
            "EXT-X-MAP" => {
                self.needs(if self.list.iframes_only { 5 } else { 6 }, "MAP");
                let range = string(list, "BYTERANGE").as_deref().and_then(byte_range);
                self.map = Some(Map {
                    uri: string(list, "URI").unwrap_or_default(),
                    range: range.map(|(length, offset)| (offset.unwrap_or(0), length)),
                });
            }
            "EXT-X-PART" => self.part(list),
            _ => {}
        }
    }

    fn key_tag(&mut self, list: &Attributes<'_>) {
        let method = get(list, "METHOD").unwrap_or_default();
        let iv = get(list, "IV");
        if iv.is_some() {
            self.needs(2, "KEY with IV");
        }
        if get(list, "KEYFORMAT").or(get(list, "KEYFORMATVERSIONS")).is_some() || method == "SAMPLE-AES" {
            self.needs(5, "KEY with KEYFORMAT or SAMPLE-AES");
        }
        if !matches!(method, "NONE" | "AES-128" | "SAMPLE-AES" | "SAMPLE-AES-CTR") {
            self.broken("key.attributes", format!("METHOD is {method:?}"));
        }
        if (method == "NONE") != get(list, "URI").is_none() {
            self.broken("key.attributes", format!("METHOD {method} and URI {:?}", get(list, "URI")));
        }
        if iv.is_some_and(|iv| iv.len() != 34) {
            self.broken("key.attributes", format!("IV {} is not of 128 bits", iv.unwrap_or_default()));
        }
    }

    fn part(&mut self, list: &Attributes<'_>) {
        let uri = string(list, "URI").unwrap_or_default();
        let range = string(list, "BYTERANGE").as_deref().and_then(byte_range).map(|(length, offset)| {
            let before = self.part_end.as_ref().filter(|(of, _)| *of == uri).map_or(0, |(_, end)| *end);
            (offset.unwrap_or(before), length)
        });
        self.part_end = range.map(|(offset, length)| (uri.clone(), offset.saturating_add(length)));
        self.pending.parts.push(Part {
            uri,
            micros: get(list, "DURATION").and_then(micros).unwrap_or(0),
            independent: get(list, "INDEPENDENT") == Some("YES"),
            gap: get(list, "GAP") == Some("YES"),
            range,
        });
    }

    fn skip(&mut self, list: &Attributes<'_>, late: bool) {
        self.needs(9, "SKIP");
        let removed = string(list, "RECENTLY-REMOVED-DATERANGES");
        if removed.is_some() {
            self.needs(10, "SKIP with RECENTLY-REMOVED-DATERANGES");
        }
        let segments = get(list, "SKIPPED-SEGMENTS").and_then(integer).unwrap_or(0);
        if segments == 0 {
            self.broken("ll.delta-form", "SKIP skips nothing".into());
        }
        if late {
            self.broken("ll.delta-form", "SKIP stands behind a segment".into());
        }
        let ids = |text: String| text.split('\t').filter(|id| !id.is_empty()).map(str::to_owned).collect();
        self.list.skip = Some(Skip { segments, removed: removed.map(ids) });
    }

    fn uri(&mut self, uri: &str) {
        let Some(micros) = self.pending.micros.take() else {
            self.broken("file.text", format!("{uri} has no EXTINF before it"));
            return;
        };
        let pending = std::mem::take(&mut self.pending);
        self.number += u64::from(pending.discontinuity);
        let range = pending.range.map(|(length, offset)| {
            let before = self.end.as_ref().filter(|(of, _)| of == uri).map_or(0, |(_, end)| *end);
            (offset.unwrap_or(before), length)
        });
        self.end = range.map(|(offset, length)| (uri.to_owned(), offset.saturating_add(length)));
        self.list.entries.push(Entry {
            msn: self.list.next_msn(),
            uri: uri.into(),
            micros,
            discontinuity: pending.discontinuity,
            discontinuity_number: self.number,
            gap: pending.gap,
            date: pending.date,
            bitrate: self.bitrate,
            key: self.key.clone(),
            map: self.map.clone(),
            range,
            parts: pending.parts,
        });
    }

    /// EXTINF's microseconds from its digits.
    fn duration(&mut self, value: &str) -> Option<i64> {
        let Some((value, _title)) = value.split_once(',') else {
            self.broken("file.text", format!("EXTINF {value:?} has no comma"));
            return None;
        };
        if value.contains('.') {
            self.needs(3, "decimal EXTINF");
        }
        let read = micros(value);
        if read.is_none() {
            self.broken("file.text", format!("EXTINF {value:?} is no decimal number"));
        }
        read
    }

    fn finish(mut self, versioned: bool) -> List {
        if self.pending.micros.is_some() {
            self.broken("file.text", "EXTINF without a URI at the end".into());
        }
        if self.list.target.is_none() {
            self.broken("M1", "no TARGETDURATION".into());
        }
        let (floor, tag) = self.floor;
        let says = self.list.version;
        if says < floor {
            self.broken("file.version", format!("{tag} needs version {floor}, the list says {says}"));
        } else if versioned && says > floor.max(3) {
            self.broken("file.version-high", format!("version {says}, where {tag} needs {floor}"));
        }
        let pending = std::mem::take(&mut self.pending);
        if !pending.parts.is_empty() {
            self.list.open = Some(Open {
                msn: self.list.next_msn(),
                parts: pending.parts,
                discontinuity: pending.discontinuity,
                map: self.map.clone(),
                date: pending.date,
            });
        }
        self.list
    }
}
