//! What a list's reader may ask for by query (draft-pantos-hls-rfc8216bis §6.2.5, "delivery directives"), and what is to
//! be done about it: a pure function of what the list holds.
//!
//! ```text
//!  ?_HLS_msn=12&_HLS_part=3&_HLS_skip=YES ─▶ Directives ─┐
//!  what the list holds ───────────────────▶ Standing ────┴▶ Verdict: serve, serve a delta, wait, refuse
//! ```
//!
//! Where players are known to ask for more than the draft allows, the answer is lenient: hls.js without its low-latency
//! mode asks for the last part of the next segment, which may be further ahead than the draft's limit; Safari asks for
//! the next segment without naming a part, and asks again at once when it is held until that one is whole.

use std::fmt;

use media::{MediaSequence, MediaSpan};

/// What a query asks of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Directives {
    /// `_HLS_msn`: hold the answer until this segment is listed…
    pub sequence: Option<MediaSequence>,
    /// `_HLS_part`: …or this part of it.
    pub part: Option<u32>,
    /// `_HLS_skip`: leave out what the reader has.
    pub skip: Option<Skip>,
}

/// How much a delta update may leave out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Skip {
    /// `YES`: segments.
    Segments,
    /// `v2`: EXT-X-DATERANGE, too.
    SegmentsAndDates,
}

/// Why a query is no set of directives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadDirectives {
    /// A number that is none.
    NotANumber,
    /// `_HLS_part` without `_HLS_msn`.
    PartWithoutSegment,
    /// A name that stands there twice.
    Repeated,
}

impl fmt::Display for BadDirectives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "_HLS_msn and _HLS_part are decimal numbers",
            Self::PartWithoutSegment => "_HLS_part needs _HLS_msn",
            Self::Repeated => "a delivery directive stands in the query twice",
        })
    }
}

impl std::error::Error for BadDirectives {}

impl Directives {
    /// Reads a query without its question mark. What is not known is ignored, as the draft wants of names that begin with
    /// `_HLS_` too; an unknown value of `_HLS_skip` is not asked for.
    pub fn parse(query: &str) -> Result<Self, BadDirectives> {
        let mut found = Self::default();
        let number = |value: &str| value.parse::<u64>().map_err(|_| BadDirectives::NotANumber);
        let mut seen = [false; 3];
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let nth = match name {
                "_HLS_msn" => {
                    found.sequence = Some(MediaSequence(number(value)?));
                    0
                }
                "_HLS_part" => {
                    found.part = Some(u32::try_from(number(value)?).map_err(|_| BadDirectives::NotANumber)?);
                    1
                }
                "_HLS_skip" => {
                    found.skip = match value {
                        "YES" => Some(Skip::Segments),
                        "v2" => Some(Skip::SegmentsAndDates),
                        _ => None,
                    };
                    2
                }
                _ => continue,
            };
            if std::mem::replace(&mut seen[nth], true) {
                return Err(BadDirectives::Repeated);
            }
        }
        if found.part.is_some() && found.sequence.is_none() {
            return Err(BadDirectives::PartWithoutSegment);
        }
        Ok(found)
    }
}

/// What a list holds, as far as it matters to directives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The newest whole segment; `None` before the first.
    pub last: Option<MediaSequence>,
    /// How many parts that one has.
    pub last_parts: u32,
    /// Parts listed of the segment after it.
    pub open_parts: u32,
    /// The number of the first segment to come, where none is whole yet.
    pub first: MediaSequence,
    /// PART-TARGET; `None` where the list has no parts.
    pub part_target: Option<MediaSpan>,
    /// Delta updates are offered (CAN-SKIP-UNTIL).
    pub can_skip: bool,
    /// It has its EXT-X-ENDLIST.
    pub ended: bool,
}

/// What is to be done about a request for a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The whole list, now.
    Serve,
    /// A delta update, now.
    Delta(Skip),
    /// The answer is held until the list has gone on, for three target durations at most.
    Wait,
    /// 400: what is asked for will not come soon.
    TooFarAhead,
}

/// Parts that may be asked for ahead of the newest one (§6.2.5.2).
fn advance_limit(part_target: MediaSpan) -> u32 {
    let second = MediaSpan::from_millis(1000).ticks();
    if part_target.ticks() < second {
        u32::try_from(3 * second / part_target.ticks().max(1)).unwrap_or(u32::MAX)
    } else {
        3
    }
}

impl Standing {
    /// Decides about a request.
    pub fn decide(&self, asked: &Directives) -> Verdict {
        let now = match asked.skip.filter(|_| self.can_skip && !self.ended) {
            Some(skip) => Verdict::Delta(skip),
            None => Verdict::Serve,
        };
        let Some(MediaSequence(sequence)) = asked.sequence.filter(|_| !self.ended) else { return now };
        let open = self.open().0;
        if sequence > open + 1 {
            return Verdict::TooFarAhead;
        }
        let Some(target) = self.part_target else {
            return if sequence < open { now } else { Verdict::Wait };
        };
        // A part past the end of a whole segment is the first of the next.
        let past = self.last.is_some_and(|last| last.0 == sequence)
            && asked.part.is_some_and(|part| part >= self.last_parts);
        let (sequence, part) = if past { (sequence + 1, 0) } else { (sequence, asked.part.unwrap_or(0)) };
        match sequence {
            _ if sequence < open => now,
            _ if sequence == open && part < self.open_parts => now,
            _ if sequence == open || part <= advance_limit(target) => Verdict::Wait,
            _ => Verdict::TooFarAhead,
        }
    }

    /// The number of the segment that has begun, or will begin next.
    pub fn open(&self) -> MediaSequence {
        self.last.map_or(self.first, MediaSequence::next)
    }

    /// Whether a part that is not there is the one that comes next, which a list hints at (EXT-X-PRELOAD-HINT): a request
    /// for it is held (§6.2.6). Any other is not there.
    pub fn is_hinted(&self, sequence: MediaSequence, part: u32) -> bool {
        self.part_target.is_some() && !self.ended && (sequence, part) == (self.open(), self.open_parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let ask = |sequence: u64, part: Option<u32>, skip| Directives {
            sequence: Some(MediaSequence(sequence)),
            part,
            skip,
        };
        for (query, want) in [
            ("", Ok(Directives::default())),
            ("token=x&a", Ok(Directives::default())),
            ("_HLS_msn=12", Ok(ask(12, None, None))),
            ("_HLS_msn=12&_HLS_part=3", Ok(ask(12, Some(3), None))),
            ("_HLS_part=3&x=1&_HLS_msn=12", Ok(ask(12, Some(3), None))),
            ("_HLS_msn=12&_HLS_part=3&_HLS_skip=YES", Ok(ask(12, Some(3), Some(Skip::Segments)))),
            ("_HLS_skip=v2", Ok(Directives { skip: Some(Skip::SegmentsAndDates), ..Default::default() })),
            ("_HLS_skip=maybe&_HLS_new=1", Ok(Directives::default())),
            ("_HLS_part=3", Err(BadDirectives::PartWithoutSegment)),
            ("_HLS_msn=", Err(BadDirectives::NotANumber)),
            ("_HLS_msn", Err(BadDirectives::NotANumber)),
            ("_HLS_msn=-1", Err(BadDirectives::NotANumber)),
            ("_HLS_msn=1.5", Err(BadDirectives::NotANumber)),
            ("_HLS_msn=99999999999999999999", Err(BadDirectives::NotANumber)),
            ("_HLS_msn=1&_HLS_part=x", Err(BadDirectives::NotANumber)),
            ("_HLS_msn=1&_HLS_part=4294967296", Err(BadDirectives::NotANumber)),
            ("_HLS_msn=1&_HLS_msn=2", Err(BadDirectives::Repeated)),
        ] {
            assert_eq!(Directives::parse(query), want, "{query:?}");
        }
    }

    /// Ten segments, 20 to 29, of four parts each, and two parts of the eleventh.
    fn standing() -> Standing {
        Standing {
            last: Some(MediaSequence(29)),
            last_parts: 4,
            open_parts: 2,
            first: MediaSequence(20),
            part_target: Some(MediaSpan::from_millis(500)),
            can_skip: true,
            ended: false,
        }
    }

    #[track_caller]
    fn check(name: &str, standing: &Standing, rows: &[(&str, Verdict)]) {
        for (query, want) in rows {
            let asked = Directives::parse(query).expect("the query is good");
            assert_eq!(standing.decide(&asked), *want, "{name}: {query:?}");
        }
    }

    #[test]
    fn what_a_request_gets() {
        use Verdict::{Delta, Serve, TooFarAhead, Wait};
        check(
            "low latency",
            &standing(),
            &[
                ("", Serve),
                ("_HLS_skip=YES", Delta(Skip::Segments)),
                ("_HLS_skip=v2", Delta(Skip::SegmentsAndDates)),
                ("_HLS_msn=3", Serve),
                ("_HLS_msn=3&_HLS_part=99", Serve),
                ("_HLS_msn=29", Serve),
                ("_HLS_msn=29&_HLS_part=3", Serve),
                ("_HLS_msn=29&_HLS_part=3&_HLS_skip=YES", Delta(Skip::Segments)),
                ("_HLS_msn=29&_HLS_part=4", Serve),
                ("_HLS_msn=29&_HLS_part=99", Serve),
                ("_HLS_msn=30", Serve),
                ("_HLS_msn=30&_HLS_part=1", Serve),
                ("_HLS_msn=30&_HLS_part=2", Wait),
                ("_HLS_msn=30&_HLS_part=2&_HLS_skip=YES", Wait),
                ("_HLS_msn=30&_HLS_part=90", Wait),
                ("_HLS_msn=31", Wait),
                ("_HLS_msn=31&_HLS_part=0", Wait),
                ("_HLS_msn=31&_HLS_part=6", Wait),
                ("_HLS_msn=31&_HLS_part=7", TooFarAhead),
                ("_HLS_msn=32", TooFarAhead),
                ("_HLS_msn=32&_HLS_part=0", TooFarAhead),
                ("_HLS_msn=18446744073709551615", TooFarAhead),
            ],
        );
        check(
            "between two segments",
            &Standing { open_parts: 0, ..standing() },
            &[("_HLS_msn=29&_HLS_part=4", Wait), ("_HLS_msn=30", Wait), ("_HLS_msn=30&_HLS_part=0", Wait)],
        );
        check("no delta offered", &Standing { can_skip: false, ..standing() }, &[("_HLS_skip=YES", Serve)]);
        check(
            "long parts",
            &Standing { part_target: Some(MediaSpan::from_millis(1000)), ..standing() },
            &[("_HLS_msn=31&_HLS_part=3", Wait), ("_HLS_msn=31&_HLS_part=4", TooFarAhead)],
        );
        check(
            "without parts, as lists of I-frames",
            &Standing { part_target: None, ..standing() },
            &[
                ("_HLS_msn=29", Serve),
                ("_HLS_msn=29&_HLS_part=9", Serve),
                ("_HLS_msn=30", Wait),
                ("_HLS_msn=30&_HLS_part=0", Wait),
                ("_HLS_msn=31", Wait),
                ("_HLS_msn=32", TooFarAhead),
            ],
        );
        check(
            "ended",
            &Standing { ended: true, ..standing() },
            &[("_HLS_skip=YES", Serve), ("_HLS_msn=30&_HLS_part=2", Serve), ("_HLS_msn=99", Serve)],
        );
        check(
            "nothing whole yet",
            &Standing { last: None, last_parts: 0, ..standing() },
            &[
                ("_HLS_msn=20&_HLS_part=1", Serve),
                ("_HLS_msn=20&_HLS_part=2", Wait),
                ("_HLS_msn=21", Wait),
                ("_HLS_msn=22", TooFarAhead),
            ],
        );
    }

    #[test]
    fn parts_that_are_hinted_at_are_waited_for() {
        let hinted = |standing: Standing, sequence, part| standing.is_hinted(MediaSequence(sequence), part);
        assert!(hinted(standing(), 30, 2));
        assert!(!hinted(standing(), 30, 3), "not the next");
        assert!(!hinted(standing(), 31, 0), "the open segment has not ended");
        assert!(!hinted(standing(), 29, 4), "withdrawn: the segment ended before it");
        assert!(hinted(Standing { open_parts: 0, ..standing() }, 30, 0));
        assert!(!hinted(Standing { ended: true, ..standing() }, 30, 2));
        assert!(!hinted(Standing { part_target: None, ..standing() }, 30, 2));
        assert!(hinted(Standing { last: None, ..standing() }, 20, 2));
    }
}
