//! What a media playlist says, as values.

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
    /// EXT-X-MAP in force.
    pub map: Option<Map>,
    /// EXT-X-BYTERANGE: offset and length.
    pub range: Option<(u64, u64)>,
    /// EXT-X-PARTs, while they are listed.
    pub parts: Vec<Part>,
}

/// EXT-X-MAP.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Map {
    /// As written.
    pub uri: String,
    /// Offset and length.
    pub range: Option<(u64, u64)>,
}

/// EXT-X-PART.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// As written.
    pub uri: String,
    /// DURATION in microseconds.
    pub micros: i64,
    /// INDEPENDENT=YES.
    pub independent: bool,
    /// GAP=YES.
    pub gap: bool,
    /// Offset and length.
    pub range: Option<(u64, u64)>,
}

/// EXT-X-PRELOAD-HINT.
#[derive(Debug, Clone, PartialEq)]
pub struct Hint {
    /// PART or MAP.
    pub kind: String,
    /// As written.
    pub uri: String,
    /// BYTERANGE-START.
    pub start: Option<u64>,
    /// BYTERANGE-LENGTH.
    pub length: Option<u64>,
}

/// EXT-X-RENDITION-REPORT.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// As written.
    pub uri: String,
    /// LAST-MSN.
    pub msn: Option<u64>,
    /// LAST-PART.
    pub part: Option<u64>,
}

/// EXT-X-SERVER-CONTROL; times in microseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Control {
    /// CAN-BLOCK-RELOAD=YES.
    pub can_block: bool,
    /// PART-HOLD-BACK.
    pub part_hold_back: Option<i64>,
    /// HOLD-BACK.
    pub hold_back: Option<i64>,
    /// CAN-SKIP-UNTIL.
    pub can_skip_until: Option<i64>,
    /// CAN-SKIP-DATERANGES=YES.
    pub can_skip_dateranges: bool,
}

/// EXT-X-SKIP.
#[derive(Debug, Clone, PartialEq)]
pub struct Skip {
    /// SKIPPED-SEGMENTS.
    pub segments: u64,
    /// RECENTLY-REMOVED-DATERANGES, taken apart.
    pub removed: Option<Vec<String>>,
}

/// EXT-X-DATERANGE.
#[derive(Debug, Clone, PartialEq)]
pub struct DateRange {
    /// ID.
    pub id: String,
    /// All attributes, values as written.
    pub attributes: Vec<(String, String)>,
    /// START-DATE, microseconds of Unix time.
    pub start: Option<i64>,
    /// END-DATE.
    pub end: Option<i64>,
    /// DURATION, microseconds.
    pub duration: Option<i64>,
}

/// A segment that has parts and no URI yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// The media sequence number it will have.
    pub msn: u64,
    /// At least one.
    pub parts: Vec<Part>,
    /// An EXT-X-DISCONTINUITY stands before them.
    pub discontinuity: bool,
    /// EXT-X-MAP in force.
    pub map: Option<Map>,
    /// EXT-X-PROGRAM-DATE-TIME.
    pub date: Option<i64>,
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
    /// The same, read.
    pub control: Control,
    /// PART-TARGET, microseconds.
    pub part_target: Option<i64>,
    /// EXT-X-INDEPENDENT-SEGMENTS.
    pub independent: bool,
    /// EXT-X-I-FRAMES-ONLY.
    pub iframes_only: bool,
    /// EXT-X-SKIP.
    pub skip: Option<Skip>,
    /// In order.
    pub entries: Vec<Entry>,
    /// What stands behind the last URI.
    pub open: Option<Open>,
    /// In order.
    pub hints: Vec<Hint>,
    /// In order.
    pub reports: Vec<Report>,
    /// In order.
    pub dateranges: Vec<DateRange>,
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

    /// The number that the next whole segment will have.
    pub fn next_msn(&self) -> u64 {
        self.last_msn().map_or(self.first_msn + self.skipped(), |last| last + 1)
    }

    /// Segments that a delta update leaves out.
    pub fn skipped(&self) -> u64 {
        self.skip.as_ref().map_or(0, |s| s.segments)
    }

    /// Whether the list tells parts.
    pub fn low_latency(&self) -> bool {
        self.part_target.is_some()
    }

    /// Number of the newest part: the segment it belongs to, and its index there.
    pub fn last_part(&self) -> Option<(u64, u64)> {
        if let Some(open) = &self.open {
            return Some((open.msn, open.parts.len() as u64 - 1));
        }
        let last = self.entries.last()?;
        Some((last.msn, (last.parts.len() as u64).checked_sub(1)?))
    }

    /// The parts of a segment, whole or open.
    pub fn parts(&self, msn: u64) -> &[Part] {
        match &self.open {
            Some(open) if open.msn == msn => &open.parts,
            _ => self.entries.iter().find(|e| e.msn == msn).map_or(&[], |e| &e.parts),
        }
    }

    /// Whether the list holds the segment `msn`, or its part.
    pub fn holds(&self, msn: u64, part: Option<u64>) -> bool {
        if self.last_msn().is_some_and(|last| last >= msn) {
            return true;
        }
        match (part, &self.open) {
            (Some(part), Some(open)) => open.msn > msn || (open.msn == msn && open.parts.len() as u64 > part),
            _ => false,
        }
    }
}
