//! Small pictures for scrubbing: sheets of tiles, and the WebVTT text that says which tile shows which moment.
//!
//! Cue times count from a minute before the session's beginning by the wall clock, which is the clock of EXT-X-PROGRAM-DATE-TIME, and the
//! text's header says when that was. So a cue never changes its time while the window slides, and a player finds the tile of
//! a position by the date that the playlist gives it. The media element's own times would not do: they begin wherever a
//! viewer came in.

use std::{collections::VecDeque, fmt::Write};

use bytes::Bytes;
use media::Epoch;

/// Sheets of one stream hold at most this many bytes; the oldest are forgotten. At some 2.5 kB for a tile of 160x90 and one
/// every five seconds that is more than four hours.
pub const MOST_BYTES: usize = 8 << 20;
/// Sheets that left the window are kept for those who read an older text, in microseconds.
const LINGER: i64 = 60_000_000;
/// Cue times count from so many microseconds before the session: a publication's first frames are older than the session,
/// which begins when it is known what they are.
const LEAD: i64 = 60_000_000;
/// A tile stands for at most so many intervals: keyframes may be further apart than tiles are wanted.
const MOST_INTERVALS: i64 = 4;

/// The storyboard of one session. Pure: times are arguments.
#[derive(Debug)]
pub struct Storyboard {
    session: Epoch,
    /// Microseconds.
    interval: i64,
    window: i64,
    /// Oldest first.
    sheets: VecDeque<Sheet>,
    run: u64,
}

/// One sheet as it is now.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Its name in URLs: milliseconds since 1970 of its first tile, and above any earlier sheet's.
    pub id: u64,
    /// When each tile was seen, in microseconds since 1970, rising.
    pub tiles: Vec<i64>,
    /// Nothing will be added.
    pub full: bool,
    /// The picture.
    pub jpeg: Bytes,
    run: u64,
    number: u32,
    columns: u32,
    tile: (u32, u32),
}

/// A sheet as it comes from whoever makes it.
#[derive(Clone, Debug)]
pub struct NewSheet {
    /// Counts the maker's sheets; the same number again replaces what came before.
    pub number: u32,
    /// Tiles in a row.
    pub columns: u32,
    /// Width and height of a tile, in pixels.
    pub tile: (u32, u32),
    /// When each tile was seen, in microseconds since 1970, rising.
    pub tiles: Vec<i64>,
    /// Nothing will be added.
    pub full: bool,
    /// The picture.
    pub jpeg: Bytes,
}

impl Storyboard {
    /// An empty one. `interval` is the usual distance of tiles, `window` how far back they are listed, both in microseconds.
    pub fn new(session: Epoch, interval: i64, window: i64) -> Self {
        Self { session, interval: interval.max(1), window, sheets: VecDeque::new(), run: 0 }
    }

    /// Another maker begins; its numbers have nothing to do with those so far, and its tiles do not continue them.
    pub fn begin(&mut self) {
        self.run += 1;
        if let Some(last) = self.sheets.back_mut() {
            last.full = true;
        }
    }

    /// The same pictures under another session, which viewers were moved to.
    pub fn moved_to(&mut self, session: Epoch) {
        self.session = session;
    }

    /// Takes a sheet, and forgets what is too old. One without tiles is left out.
    pub fn put(&mut self, new: NewSheet) {
        let Some(first) = new.tiles.first() else { return };
        let same = |last: &&mut Sheet| last.run == self.run && last.number == new.number;
        if let Some(last) = self.sheets.back_mut().filter(same) {
            (last.tiles, last.full, last.jpeg) = (new.tiles, new.full, new.jpeg);
        } else {
            let floor = self.sheets.back().map_or(0, |last| last.id + 1);
            if let Some(last) = self.sheets.back_mut() {
                last.full = true;
            }
            self.sheets.push_back(Sheet {
                id: u64::try_from(first / 1000).unwrap_or(0).max(floor),
                tiles: new.tiles,
                full: new.full,
                jpeg: new.jpeg,
                run: self.run,
                number: new.number,
                columns: new.columns.max(1),
                tile: new.tile,
            });
        }
        let oldest = self.newest().saturating_sub(self.window).saturating_sub(LINGER);
        while self.sheets.len() > 1
            && (self.bytes() > MOST_BYTES
                || self.sheets[0].tiles.last().is_none_or(|last| last + self.interval < oldest))
        {
            self.sheets.pop_front();
        }
    }

    /// Sheets that can be asked for, oldest first.
    pub fn sheets(&self) -> impl Iterator<Item = &Sheet> {
        self.sheets.iter()
    }

    /// The text, for tiles in the window. Sheets are named relative to it: `storyboard-{id}.jpg`. One that is not full yet
    /// gets a query, so that nobody takes an older picture of it for the newest.
    pub fn render(&self) -> String {
        let epoch = (self.session.0.min(i64::MAX as u64 / 1000) as i64 * 1000).saturating_sub(LEAD);
        let date = jiff::Timestamp::from_microsecond(epoch).unwrap_or_default();
        let mut out = format!("WEBVTT\nX-PROGRAM-DATE-TIME={date:.3}\n");
        let since = self.newest().saturating_sub(self.window).max(epoch);
        let mut tiles = self.listed().filter(|tile| tile.at >= since).peekable();
        while let Some(tile) = tiles.next() {
            let usual = tile.at + self.interval;
            let end = match tiles.peek() {
                Some(next) if next.sheet.run != tile.sheet.run => usual.min(next.at),
                Some(next) if next.at - tile.at > MOST_INTERVALS * self.interval => usual,
                Some(next) => next.at,
                None => usual,
            };
            let Sheet { id, columns, tile: (width, height), .. } = *tile.sheet;
            let place = tile.place as u32;
            let (x, y) = (place % columns * width, place / columns * height);
            let part =
                if tile.sheet.full { String::new() } else { format!("?tiles={}", tile.sheet.tiles.len()) };
            let (from, to) = (Clock(tile.at - epoch), Clock(end - epoch));
            writeln!(out, "\n{from} --> {to}\nstoryboard-{id}.jpg{part}#xywh={x},{y},{width},{height}")
                .expect("writing into a String cannot fail");
        }
        out
    }

    /// Tiles in rising order. A maker that began again before where the last one stopped repeats what is there.
    fn listed(&self) -> impl Iterator<Item = Tile<'_>> {
        let all = self.sheets.iter().flat_map(|sheet| {
            sheet.tiles.iter().enumerate().map(move |(place, at)| Tile { sheet, place, at: *at })
        });
        let mut last = i64::MIN;
        all.filter(move |tile| {
            let rises = tile.at > last;
            last = last.max(tile.at);
            rises
        })
    }

    fn newest(&self) -> i64 {
        self.sheets.iter().filter_map(|sheet| sheet.tiles.last()).max().copied().unwrap_or(0)
    }

    fn bytes(&self) -> usize {
        self.sheets.iter().map(|sheet| sheet.jpeg.len()).sum()
    }
}

struct Tile<'a> {
    sheet: &'a Sheet,
    place: usize,
    at: i64,
}

/// Microseconds as WebVTT writes times: hours as long as they are, at least two digits.
struct Clock(i64);

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0.max(0) / 1000;
        let (seconds, minutes, hours) = (millis / 1000 % 60, millis / 60_000 % 60, millis / 3_600_000);
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}.{:03}", millis % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T12:00:00Z in seconds.
    const NOON: i64 = 1_795_348_800;

    fn micros(seconds: f64) -> i64 {
        NOON * 1_000_000 + (seconds * 1e6) as i64
    }

    fn board(window: i64) -> Storyboard {
        Storyboard::new(Epoch((NOON * 1_000_000 + LEAD) as u64 / 1000), 5_000_000, window * 1_000_000)
    }

    fn sheet(number: u32, tiles: &[f64], full: bool) -> NewSheet {
        NewSheet {
            number,
            columns: 5,
            tile: (160, 90),
            tiles: tiles.iter().map(|at| micros(*at)).collect(),
            full,
            jpeg: Bytes::from(vec![0; 1000]),
        }
    }

    const HEAD: &str = "WEBVTT\nX-PROGRAM-DATE-TIME=2026-11-22T12:00:00.000Z\n";

    #[test]
    fn cues_name_tiles_on_the_sessions_clock() {
        let mut board = board(60);
        assert_eq!(board.render(), HEAD, "nothing yet");
        board.put(sheet(0, &[0.04], false));
        board.put(sheet(0, &[0.04, 5.04, 10.04, 15.04, 20.04, 25.04], true));
        board.put(sheet(1, &[30.04, 35.5], false));
        assert_eq!(
            board.render(),
            HEAD.to_owned()
                + "
00:00:00.040 --> 00:00:05.040
storyboard-1795348800040.jpg#xywh=0,0,160,90

00:00:05.040 --> 00:00:10.040
storyboard-1795348800040.jpg#xywh=160,0,160,90

00:00:10.040 --> 00:00:15.040
storyboard-1795348800040.jpg#xywh=320,0,160,90

00:00:15.040 --> 00:00:20.040
storyboard-1795348800040.jpg#xywh=480,0,160,90

00:00:20.040 --> 00:00:25.040
storyboard-1795348800040.jpg#xywh=640,0,160,90

00:00:25.040 --> 00:00:30.040
storyboard-1795348800040.jpg#xywh=0,90,160,90

00:00:30.040 --> 00:00:35.500
storyboard-1795348830040.jpg?tiles=2#xywh=0,0,160,90

00:00:35.500 --> 00:00:40.500
storyboard-1795348830040.jpg?tiles=2#xywh=160,0,160,90
"
        );
    }

    /// Beginning and end of each cue, in seconds, and its sheet's number of tiles or `-` where it is full.
    fn cues(board: &Storyboard) -> Vec<String> {
        let text = board.render();
        let cues = text.split("\n\n").skip(1);
        cues.map(|cue| {
            let (times, url) = cue.trim().split_once('\n').unwrap();
            let short = |time: &str| time.trim_start_matches("00:0").to_owned();
            let (from, to) = times.split_once(" --> ").unwrap();
            let part = url.split_once("?tiles=").map_or("-", |(_, rest)| rest.split_once('#').unwrap().0);
            format!("{} {} {part}", short(from), short(to))
        })
        .collect()
    }

    #[test]
    fn another_maker_mixes_nothing() {
        let mut board = board(600);
        board.put(sheet(0, &[0.0, 5.0, 10.0], false));
        board.begin();
        board.put(sheet(0, &[8.0, 13.0], false));
        assert_eq!(
            cues(&board),
            ["0:00.000 0:05.000 -", "0:05.000 0:10.000 -", "0:10.000 0:13.000 -", "0:13.000 0:18.000 2"]
        );
        assert_eq!(board.sheets().count(), 2, "the number alone does not make it the same sheet");
        board.begin();
        board.put(sheet(0, &[60.0], false));
        assert_eq!(cues(&board)[3..], ["0:13.000 0:18.000 -", "1:00.000 1:05.000 1"], "a hole stays one");
    }

    #[test]
    fn tiles_further_apart_than_wanted_stand_for_longer_up_to_a_limit() {
        let mut board = board(600);
        board.put(sheet(0, &[0.0, 12.0, 50.0], false));
        assert_eq!(cues(&board), ["0:00.000 0:12.000 3", "0:12.000 0:17.000 3", "0:50.000 0:55.000 3"]);
    }

    #[test]
    fn what_left_the_window_is_not_listed_and_then_forgotten() {
        let mut board = board(20);
        let mut ids = Vec::new();
        for number in 0..40 {
            let at = f64::from(number) * 10.0;
            board.put(sheet(number, &[at, at + 5.0], true));
            ids.push(board.sheets().last().unwrap().id);
            assert!(cues(&board).len() <= 5, "{:?}", cues(&board));
            assert!(board.sheets().count() <= 10, "{}", board.sheets().count());
        }
        assert!(ids.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn memory_is_bounded_however_long_the_window() {
        let mut board = board(86_400);
        for number in 0..100 {
            let mut new = sheet(number, &[f64::from(number)], true);
            new.jpeg = Bytes::from(vec![0; 1 << 20]);
            board.put(new);
            assert!(board.bytes() <= MOST_BYTES);
        }
        assert_eq!(board.sheets().count(), 8);
    }

    #[test]
    fn a_clock_that_was_set_back_reuses_no_name() {
        let mut board = board(600);
        board.put(sheet(0, &[100.0], true));
        board.put(sheet(1, &[50.0], true));
        let ids: Vec<u64> = board.sheets().map(|sheet| sheet.id).collect();
        assert!(ids[1] > ids[0], "{ids:?}");
        assert_eq!(cues(&board).len(), 1, "and lists nothing twice");
    }

    #[test]
    fn times_have_as_many_hours_as_they_need() {
        for (micros, want) in [
            (0, "00:00:00.000"),
            (-1, "00:00:00.000"),
            (3_599_999_999, "00:59:59.999"),
            (100 * 3_600_000_000, "100:00:00.000"),
        ] {
            assert_eq!(Clock(micros).to_string(), want);
        }
    }
}
