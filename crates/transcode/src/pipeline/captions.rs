//! Closed captions on their way from decoded pictures to the pictures of every rung.
//!
//! ```text
//!  decoded picture ─▶ collect: its triplets are taken off it ─▶ [waiting, in order of presentation]
//!                                                                 ├▶ rung 0's place ─▶ hand_out: ≤ 31 for its next picture
//!                                                                 └▶ rung 1's place ─▶ hand_out: …
//! ```
//!
//! What lies between (filters, an even pace, rates that are halved) may repeat and drop pictures as it likes: captions
//! are not on them. Each rung's next picture takes what is due by its time, so that nothing is lost, doubled or put in
//! another order. Captions after a rung's last picture of all go nowhere.
//!
//! Padding is left out (cc_valid 0): pictures that stand for two would otherwise have to carry twice as much as fits.
//! Pairs without meaning that are valid stay, because two equal codes in a row mean something else than two apart.
//!
//! Which encoders write them is theirs to say ([`crate::av`]): libx264 does.

use std::collections::VecDeque;

use media::captions::{self, Triplet};

use crate::av::Picture;

/// Most triplets of one picture: cc_count has five bits.
pub(super) const MOST: usize = 31;
/// Triplets that wait at most: more than three seconds of what the channel can hold (600 a second), so only a rung that
/// takes no pictures, or a source that breaks the limits, has any of them dropped.
const WAITING: usize = 2048;
/// A picture's captions may go to one that is earlier by this: filters round times.
const EARLY: i64 = 750;

/// The captions of one stream.
#[derive(Debug)]
pub(super) struct Captions {
    /// Time of its picture, and the triplet.
    waiting: VecDeque<(i64, Triplet)>,
    /// How many have left `waiting` since the start.
    passed: u64,
    /// What each rung takes next, counted from the start.
    next: Vec<u64>,
    /// Time of the newest picture that had one.
    newest: i64,
}

impl Captions {
    pub(super) fn new(rungs: usize) -> Self {
        Self { waiting: VecDeque::new(), passed: 0, next: vec![0; rungs], newest: i64::MIN }
    }

    /// Takes a decoded picture's captions off it. Pictures come in order of presentation.
    pub(super) fn collect(&mut self, picture: &mut Picture) {
        let pts = picture.pts();
        let triplets = picture.take_captions();
        self.add(pts, triplets.as_chunks().0);
    }

    fn add(&mut self, pts: Option<i64>, triplets: &[Triplet]) {
        self.newest = pts.map_or(self.newest, |pts| pts.max(self.newest));
        let newest = self.newest;
        let held = triplets.iter().filter(|triplet| captions::is_valid(triplet));
        self.waiting.extend(held.map(|triplet| (newest, *triplet)));
        while self.waiting.len() > WAITING {
            self.waiting.pop_front();
            self.passed += 1;
        }
    }

    /// What is due for the picture that a rung shows at `pts`, as cc_data's bytes; at most [`MOST`] triplets. The rest
    /// stays for its next one. An index out of range has none.
    pub(super) fn hand_out(&mut self, rung: usize, pts: i64) -> Vec<u8> {
        let Some(next) = self.next.get_mut(rung) else { return Vec::new() };
        *next = (*next).max(self.passed);
        let from = (*next - self.passed) as usize;
        let rest = self.waiting.range(from.min(self.waiting.len())..);
        let due = rest.take_while(|(at, _)| *at <= pts.saturating_add(EARLY)).take(MOST);
        let due: Vec<Triplet> = due.map(|(_, triplet)| *triplet).collect();
        *next += due.len() as u64;
        self.release();
        in_fields_first(&due)
    }

    /// A rung begins to take pictures at `pts`, where `stood_in` for it did so far: its viewers have what that one handed
    /// out. Where none did, it begins with that picture's own.
    pub(super) fn follow(&mut self, rung: usize, stood_in: Option<usize>, pts: i64) {
        let from = match stood_in.and_then(|other| self.next.get(other)) {
            Some(next) => *next,
            None => {
                let before = self.waiting.iter().take_while(|(at, _)| at.saturating_add(EARLY) < pts).count();
                self.passed + before as u64
            }
        };
        if let Some(next) = self.next.get_mut(rung) {
            *next = from;
        }
    }

    /// Forgets what every rung has.
    fn release(&mut self) {
        let oldest = self.next.iter().min().copied().unwrap_or(self.passed);
        while self.passed < oldest && self.waiting.pop_front().is_some() {
            self.passed += 1;
        }
    }
}

/// Several pictures' captions become one's: CEA-608 first, then CEA-708, as A/53 part 4 §6.2.3 has them.
fn in_fields_first(triplets: &[Triplet]) -> Vec<u8> {
    let (fields, packets): (Vec<Triplet>, Vec<Triplet>) =
        triplets.iter().partition(|triplet| triplet[0] & 2 == 0);
    [fields, packets].concat().into_flattened()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: i64 = 1500;

    fn field(number: u16) -> Triplet {
        let [high, low] = number.to_be_bytes();
        [0xFC, high, low]
    }

    /// Pictures at 60 fps with `each` triplets; those of each rung that takes every `nth`.
    fn run(pictures: i64, each: u16, nth: &[i64]) -> Vec<Vec<Vec<u8>>> {
        let mut captions = Captions::new(nth.len());
        let mut out = vec![Vec::new(); nth.len()];
        for at in 0..pictures {
            let triplets: Vec<Triplet> =
                (0..each).map(|one| field(at as u16 * each + one)).chain([[0xF8, 0, 0]]).collect();
            captions.add(Some(at * STEP), &triplets);
            for rung in (0..nth.len()).filter(|rung| at % nth[*rung] == 0) {
                out[rung].push(captions.hand_out(rung, at * STEP));
            }
        }
        out
    }

    #[test]
    fn every_rung_gets_everything_once_in_order() {
        for (name, each) in [("one", 1), ("as many as the channel holds", 10), ("as many as fit", 15)] {
            for (rung, pictures) in run(121, each, &[1, 2, 1]).into_iter().enumerate() {
                assert!(pictures.iter().all(|picture| picture.len() <= 3 * MOST), "{name}, rung {rung}");
                let got: Vec<u8> = pictures.concat();
                let want: Vec<u8> = (0..121 * each).flat_map(field).collect();
                assert!(got == want, "{name}, rung {rung}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_goes_to_the_pictures_after() {
        let mut captions = Captions::new(1);
        captions.add(Some(0), &(0..40).map(field).collect::<Vec<_>>());
        captions.add(Some(STEP), &(40..80).map(field).collect::<Vec<_>>());
        let taken: Vec<usize> = (1..5).map(|at| captions.hand_out(0, at * STEP).len() / 3).collect();
        assert_eq!(taken, [31, 31, 18, 0]);
        assert_eq!((captions.waiting.len(), captions.passed), (0, 80), "nothing is kept");
    }

    #[test]
    fn captions_wait_for_their_picture() {
        let mut captions = Captions::new(1);
        captions.add(Some(2 * STEP), &[field(1)]);
        assert_eq!(captions.hand_out(0, 0).len(), 0, "a picture that is shown earlier, late out of a filter");
        assert_eq!(captions.hand_out(0, 2 * STEP - 100).len(), 3, "one that was moved a little");
        captions.add(None, &[field(2)]);
        assert_eq!(captions.hand_out(0, 2 * STEP).len(), 3, "of a picture without a time");
        assert_eq!(captions.hand_out(7, 0).len(), 0, "of no rung");
    }

    #[test]
    fn a_rung_that_takes_none_costs_no_memory_and_goes_on_where_another_stands() {
        let mut captions = Captions::new(3);
        for at in 0..10_000 {
            captions.add(Some(at * STEP), &[field(at as u16)]);
            assert_eq!(captions.hand_out(0, at * STEP).len(), 3);
            if at % 2 == 0 {
                captions.hand_out(2, at * STEP);
            }
        }
        assert_eq!(captions.waiting.len(), WAITING);
        let now = 10_000 * STEP;
        captions.add(Some(now), &[field(10_000)]);
        captions.follow(1, Some(2), now);
        assert_eq!(captions.hand_out(1, now), [field(9_999), field(10_000)].as_flattened());
        captions.follow(1, None, now);
        assert_eq!(captions.hand_out(1, now), field(10_000));
    }

    #[test]
    fn fields_come_before_packets() {
        let mixed = [[0xFC, 1, 1], [0xFF, 2, 2], [0xFE, 3, 3], [0xFD, 4, 4], [0xFC, 5, 5], [0xFF, 6, 6]];
        let order: Vec<u8> = in_fields_first(&mixed).chunks(3).map(|one| one[1]).collect();
        assert_eq!(order, [1, 4, 5, 2, 3, 6]);
    }
}
