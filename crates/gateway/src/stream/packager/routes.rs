//! Which encoder's pictures each encoded rung shows: its own, or, while it is shed, those of the next smaller one that
//! runs. The change is at a cut, where every encoder's picture is an IDR, so that each rung is whole; but the encoders
//! are not equally far, so the pictures of the next wait until the last ones of the one before have come.

use std::collections::VecDeque;

use media::{MediaSpan, MediaTime, Packet};

/// Pictures that wait for one rung at most: far more than encoders look ahead.
const MOST_WAITING: usize = 1024;

/// What a rung is given, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Due {
    /// What follows is made by this rung's encoder, and coded as it says; or nothing follows.
    By(Option<usize>),
    Picture(Packet),
}

/// The routes of all encoded rungs.
#[derive(Debug, Default)]
pub(super) struct Routes {
    rungs: Vec<Route>,
    due: VecDeque<(usize, Due)>,
}

#[derive(Debug)]
struct Route {
    /// The first is under way, the others follow.
    spells: VecDeque<Spell>,
    last_dts: Option<MediaTime>,
}

/// A time that one encoder's pictures are shown.
#[derive(Debug)]
struct Spell {
    from: MediaTime,
    by: Option<usize>,
    waiting: Vec<Packet>,
    /// All its pictures have come.
    over: bool,
}

impl Spell {
    fn new(from: MediaTime, by: Option<usize>) -> Self {
        Self { from, by, waiting: Vec::new(), over: by.is_none() }
    }
}

impl Routes {
    /// Every rung shows its own.
    pub(super) fn new(rungs: usize) -> Self {
        let own = |rung| Spell::new(MediaTime::from_ticks(i64::MIN), Some(rung));
        let route = |rung| Route { spells: VecDeque::from([own(rung)]), last_dts: None };
        Self { rungs: (0..rungs).map(route).collect(), due: VecDeque::new() }
    }

    /// What is shown changes with the pictures from `from` on. Comes before those.
    pub(super) fn change(&mut self, from: MediaTime, by: &[Option<usize>]) {
        for rung in 0..self.rungs.len() {
            let by = by.get(rung).copied().flatten();
            let route = &mut self.rungs[rung];
            let newest = route.spells.back().map(|spell| (spell.from, spell.by));
            match newest {
                Some((_, same)) if same == by => continue,
                Some((since, _)) if since >= from => {
                    route.spells.pop_back(); // nothing of it has come
                    let first = route.spells.is_empty();
                    route.spells.push_back(Spell::new(since, by));
                    if first {
                        self.due.push_back((rung, Due::By(by)));
                    }
                }
                _ => route.spells.push_back(Spell::new(from, by)),
            }
            self.advance(rung);
        }
    }

    /// A picture that the encoder of rung `by` made.
    pub(super) fn picture(&mut self, by: usize, packet: &Packet) {
        for rung in 0..self.rungs.len() {
            let route = &mut self.rungs[rung];
            let now = route.spells.partition_point(|spell| spell.from <= packet.pts).saturating_sub(1);
            // It is past the end of what it made before.
            for earlier in route.spells.iter_mut().take(now).filter(|spell| spell.by == Some(by)) {
                earlier.over = true;
            }
            let crowded = route.spells.get(now).is_some_and(|spell| spell.waiting.len() >= MOST_WAITING);
            if crowded {
                route.spells.iter_mut().take(now).for_each(|spell| spell.over = true);
            }
            self.advance_to(rung, packet, by);
        }
    }

    /// The last picture of a rung's encoder, which was closed, has come.
    pub(super) fn drained(&mut self, by: usize) {
        for rung in 0..self.rungs.len() {
            let spells = &mut self.rungs[rung].spells;
            let followed = spells.len() - 1;
            if let Some(spell) =
                spells.iter_mut().take(followed).find(|spell| spell.by == Some(by) && !spell.over)
            {
                spell.over = true;
            }
            self.advance(rung);
        }
    }

    /// What is to be done next.
    pub(super) fn poll(&mut self) -> Option<(usize, Due)> {
        self.due.pop_front()
    }

    /// Whose pictures a rung shows in the end, once all that was told has come.
    pub(super) fn shown(&self, rung: usize) -> Option<usize> {
        self.rungs.get(rung)?.spells.back()?.by
    }

    fn advance_to(&mut self, rung: usize, packet: &Packet, by: usize) {
        self.advance(rung);
        let route = &mut self.rungs[rung];
        let now = route.spells.partition_point(|spell| spell.from <= packet.pts).saturating_sub(1);
        let spell = route.spells.get_mut(now).filter(|spell| spell.from <= packet.pts);
        match spell {
            Some(spell) if spell.by == Some(by) && now == 0 => self.give(rung, packet.clone()),
            Some(spell) if spell.by == Some(by) => spell.waiting.push(packet.clone()),
            _ => {}
        }
    }

    /// Goes on to the next spell where the one under way is over.
    fn advance(&mut self, rung: usize) {
        while self.rungs[rung].spells.len() > 1 && self.rungs[rung].spells[0].over {
            self.rungs[rung].spells.pop_front();
            let spell = &mut self.rungs[rung].spells[0];
            let (by, waiting) = (spell.by, std::mem::take(&mut spell.waiting));
            self.due.push_back((rung, Due::By(by)));
            for packet in waiting {
                self.give(rung, packet);
            }
        }
    }

    /// Encoders that reorder by different depths stamp the same instant differently; one rung's stamps rise.
    fn give(&mut self, rung: usize, mut packet: Packet) {
        let route = &mut self.rungs[rung];
        if let Some(last) = route.last_dts {
            packet.dts = packet.dts.max(last + MediaSpan::from_ticks(1));
        }
        route.last_dts = Some(packet.dts);
        self.due.push_back((rung, Due::Picture(packet)));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::{TrackId, TrackKind};

    use super::*;

    fn picture(second: i64, reorder: i64) -> Packet {
        let at = MediaTime::from_ticks(second * 90_000);
        Packet {
            track: TrackId(0),
            kind: TrackKind::Video,
            pts: at,
            dts: at - MediaSpan::from_ticks(reorder),
            keyframe: true,
            data: Bytes::new(),
        }
    }

    /// `0@3`: encoder 0's picture of second 3; `d0`: drained; `c4:11`: from second 4 on rungs 0 and 1 by encoder 1,
    /// `-` for none. Gives what rung 0 got: `=1` and `=-` for changes, seconds for pictures.
    #[track_caller]
    fn check(name: &str, said: &str, want: &str) {
        let mut routes = Routes::new(3);
        let mut got = Vec::new();
        for word in said.split_whitespace() {
            let digit = |at: usize| word[at..=at].parse::<i64>().unwrap();
            match &word[..1] {
                "d" => routes.drained(digit(1) as usize),
                "c" => {
                    let (from, by) = word[1..].split_once(':').unwrap();
                    let by: Vec<Option<usize>> =
                        by.chars().map(|by| by.to_digit(10).map(|by| by as usize)).collect();
                    let from = from.parse::<i64>().map_or(i64::MIN, |second| second * 90_000);
                    routes.change(MediaTime::from_ticks(from), &by);
                }
                _ => routes.picture(digit(0) as usize, &picture(digit(2), digit(0) * 6000)),
            }
            let mut last = MediaTime::from_ticks(i64::MIN);
            while let Some((rung, due)) = routes.poll() {
                match due {
                    _ if rung != 0 => {}
                    Due::By(by) => {
                        let whose = by.map_or('-', |by| char::from_digit(by as u32, 10).unwrap());
                        got.push(format!("={whose}"));
                    }
                    Due::Picture(packet) => {
                        assert!(packet.dts > last && packet.dts <= packet.pts, "{name}");
                        last = packet.dts;
                        got.push((packet.pts.ticks() / 90_000).to_string());
                    }
                }
            }
        }
        assert_eq!(got.join(" "), want, "{name}");
    }

    #[test]
    fn each_rung_is_whole_whoever_makes_it() {
        for (name, said, want) in [
            ("its own", "0@0 1@0 2@0 1@1 0@1", "0 1"),
            ("shed, the smaller behind", "0@0 c2:112 0@1 d0 1@0 1@1 1@2 1@3", "0 1 =1 2 3"),
            ("shed, the smaller ahead", "1@0 0@0 c2:112 1@1 1@2 1@3 0@1 d0 1@4", "0 1 =1 2 3 4"),
            ("and back", "c1:112 0@0 d0 1@0 1@1 c3:012 0@3 1@2 0@4 1@3 0@5", "0 =1 1 2 =0 3 4 5"),
            ("from the start", "c-:112 1@0 1@1", "=1 0 1"),
            ("the substitute goes too", "0@0 c1:112 c2:222 1@0 2@0 1@1 2@1 2@2 d1 d0 2@3", "0 =1 1 =2 2 3"),
            ("all go, and return", "0@0 c1:--- d0 c5:--2 2@5 c6:222 2@6", "0 =- =2 6"),
            ("back before its old end", "c1:112 c2:012 0@0 1@0 1@1 d0 1@2 0@2 0@3", "0 =1 1 =0 2 3"),
        ] {
            check(name, said, want);
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut routes = Routes::new(2);
        routes.change(MediaTime::from_ticks(0), &[Some(1), Some(1)]);
        (0..3000).for_each(|second| routes.picture(1, &picture(second, 0)));
        assert!(std::iter::from_fn(|| routes.poll()).filter(|(rung, _)| *rung == 0).count() > 2000);
    }
}
