//! What all renditions agree on, by number.

use std::collections::BTreeMap;

use media::{MediaSequence, MediaSpan, TICKS_PER_SECOND};

use crate::{Opening, Segment};

/// Most missing segments in a row that are filled with gaps; a list that misses more starts anew at the new number.
const MAX_FILL: u64 = 1024;
/// Marks kept for renditions that lag; more than any lag that is not a dead rendition.
const MAX_MARKS: usize = 4096;

/// What all renditions agree on for one sequence number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) discontinuity: bool,
    /// Discontinuity number, its own tag counted.
    pub(super) number: u64,
    pub(super) duration: MediaSpan,
    pub(super) unix_micros: i64,
    /// Its segment has only begun: the duration is a guess.
    pub(super) open: bool,
}

/// Marks by sequence number, without holes.
#[derive(Debug)]
pub(super) struct Marks {
    by_sequence: BTreeMap<MediaSequence, Mark>,
    /// Discontinuity number before the first mark ever made.
    first_number: u64,
}

impl Marks {
    /// No mark yet; the first one counts from `first_number`.
    pub(super) fn new(first_number: u64) -> Self {
        Self { by_sequence: BTreeMap::new(), first_number }
    }

    /// What was settled of a number.
    pub(super) fn get(&self, sequence: MediaSequence) -> Option<Mark> {
        self.by_sequence.get(&sequence).copied()
    }

    /// What was settled of some numbers.
    pub(super) fn range(
        &self,
        numbers: std::ops::Range<MediaSequence>,
    ) -> impl Iterator<Item = (MediaSequence, Mark)> {
        self.by_sequence.range(numbers).map(|(sequence, mark)| (*sequence, *mark))
    }

    /// The discontinuity number of the newest segment, its own tag counted.
    pub(super) fn newest_number(&self) -> u64 {
        self.by_sequence.last_key_value().map_or(self.first_number, |(_, newest)| newest.number)
    }

    /// Settles what `sequence` is, if it is not settled; numbers between are taken for missing segments.
    pub(super) fn note(&mut self, sequence: MediaSequence, segment: &Segment, target_duration: u32) {
        self.settle(
            sequence,
            segment.discontinuity,
            segment.unix_micros,
            Some(segment.duration),
            target_duration,
        );
    }

    /// The same for a segment that has begun.
    pub(super) fn note_open(&mut self, opening: &Opening, target_duration: u32) {
        self.settle(opening.sequence, opening.discontinuity, opening.unix_micros, None, target_duration);
    }

    fn settle(
        &mut self,
        sequence: MediaSequence,
        discontinuity: bool,
        unix_micros: i64,
        duration: Option<MediaSpan>,
        target_duration: u32,
    ) {
        if let Some(known) = self.by_sequence.get_mut(&sequence) {
            if let Some(duration) = duration.filter(|_| known.open) {
                (known.duration, known.open) = (duration, false);
            }
            return;
        }
        let limit = MediaSpan::from_ticks(i64::from(target_duration) * TICKS_PER_SECOND);
        let mark = |number, discontinuity| Mark {
            discontinuity,
            number,
            duration: duration.unwrap_or(limit),
            unix_micros,
            open: duration.is_none(),
        };
        let Some((&last, &before)) = self.by_sequence.last_key_value() else {
            let number = self.first_number + u64::from(discontinuity);
            self.by_sequence.insert(sequence, mark(number, discontinuity));
            return;
        };
        if let Some((&earliest, &first)) = self.by_sequence.first_key_value()
            && sequence < earliest
        {
            // A rendition began earlier than the first that told: its number follows from what is settled.
            let number = first.number - u64::from(first.discontinuity);
            for between in (sequence.0..earliest.0).rev().take(MAX_FILL as usize) {
                self.by_sequence.insert(MediaSequence(between), mark(number, false));
            }
            let own = mark(number, discontinuity && number > self.first_number);
            self.by_sequence.insert(sequence, own);
            return;
        }
        if sequence.0 - last.0 > MAX_FILL {
            self.by_sequence.clear();
        } else {
            let missing = sequence.0 - last.0 - 1;
            let from = before.unix_micros + micros(before.duration);
            let room = MediaSpan::from_ticks((unix_micros - from).max(0) / 100 * 9);
            for nth in 0..missing {
                let each = room.ticks() / missing as i64;
                let duration = if each > 0 { MediaSpan::from_ticks(each).min(limit) } else { limit };
                let unix_micros = from + micros(duration) * nth as i64;
                let mark =
                    Mark { discontinuity: false, number: before.number, duration, unix_micros, open: false };
                self.by_sequence.insert(MediaSequence(last.0 + 1 + nth), mark);
            }
        }
        let number = before.number + u64::from(discontinuity);
        self.by_sequence.insert(sequence, mark(number, discontinuity));
        while self.by_sequence.len() > MAX_MARKS {
            self.by_sequence.pop_first();
        }
    }
}

/// A span in microseconds.
fn micros(span: MediaSpan) -> i64 {
    span.ticks().saturating_mul(100) / 9
}
