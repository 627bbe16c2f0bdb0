//! Stills of what is decoded anyway: thumbnails, posters, sheets. On a thread of its own, so that no encoder ever waits
//! for one.
//!
//! ```text
//!  decoded picture, when one is due ─▶ [1] ─▶ scale ─▶ thumbnail ─▶ scale ─▶ tile of the sheet
//!                         full: the next one  └▶ poster           each: full-range BT.601 ─▶ JPEG ─▶ Output::Still
//! ```
//!
//! They are scaled from the decoder's picture rather than from a rung's, so they go on whatever becomes of the rungs: one
//! scale every few seconds costs less than 0.1 % of what a ladder does.

mod colour;
mod sheet;

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
};

use media::MediaTime;
use tokio::sync::mpsc;

use self::sheet::Sheets;
use crate::{
    MAX_STILL, Output, Still, StillKind, StillsJob,
    av::{self, CodecError, Picture, Rect, Scaler},
    still::TILE,
};

/// Longer side of a thumbnail, in pixels.
const THUMBNAIL: u32 = 320;
/// Longer side of a poster.
const POSTER: u32 = 1280;
/// What pictures are brought to at most, where no rung says more.
pub(super) const LARGEST: (u32, u32) = (POSTER, POSTER);
/// Thumbnails from one poster to the next.
const POSTER_EVERY: u32 = 6;
/// Quantisers of FFmpeg's JPEG encoder, 2 to 31. Small pictures of much that moves: coarser is not seen.
const THUMBNAIL_QUANTISER: u8 = 5;
const POSTER_QUANTISER: u8 = 4;
const SHEET_QUANTISER: u8 = 7;

/// The pipeline's end of the thread. Dropped, what is under way is finished, and the thread joined.
pub(super) struct Stills {
    due: Due,
    /// `None` once the thread has ended: then there are no more stills.
    shots: Option<SyncSender<Shot>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// A picture to make stills of.
struct Shot {
    picture: Picture,
    at: i64,
}

impl Stills {
    /// Starts the thread. `matrix` is that of pictures which do not tell theirs.
    pub(super) fn start(job: StillsJob, matrix: u8, outbox: mpsc::Sender<Output>) -> io::Result<Self> {
        let (shots, inbox) = sync_channel(1);
        let thread = thread::Builder::new().name("stills".into()).spawn(move || {
            let maker = Maker { matrix, outbox, taken: 0, sheets: Sheets::default() };
            maker.run(&inbox);
        })?;
        Ok(Self { due: Due::every(job.interval.ticks()), shots: Some(shots), thread: Some(thread) })
    }

    /// Whether the next still may be taken at this time.
    pub(super) fn is_due(&self, at: i64) -> bool {
        self.shots.is_some() && self.due.is_due(at)
    }

    /// Takes the picture if one is due. Never waits and never fails.
    pub(super) fn look(&mut self, picture: &Picture, at: i64) {
        if !self.is_due(at) || picture.is_damaged() {
            return;
        }
        let (Some(shots), Ok(picture)) = (&self.shots, picture.share()) else { return };
        match shots.try_send(Shot { picture, at }) {
            Ok(()) => self.due.taken(at),
            Err(TrySendError::Full(_)) => {} // the next picture will do as well
            Err(TrySendError::Disconnected(_)) => self.shots = None,
        }
    }
}

impl Drop for Stills {
    fn drop(&mut self) {
        self.shots = None;
        if let Some(thread) = self.thread.take() {
            // A fault in there is in the log, and costs nothing but the stills.
            let _ = thread.join();
        }
    }
}

/// When the next still is due.
struct Due {
    interval: i64,
    next: Option<i64>,
}

impl Due {
    fn every(interval: i64) -> Self {
        Self { interval: interval.max(1), next: None }
    }

    fn is_due(&self, at: i64) -> bool {
        self.next.is_none_or(|next| at >= next)
    }

    /// The next keeps to the grid of the first, so that frames that fall beside it do not stretch the distance; after a
    /// hole the grid begins anew.
    fn taken(&mut self, at: i64) {
        let on_grid = self.next.map_or(at, |next| next).saturating_add(self.interval);
        self.next = Some(if on_grid > at { on_grid } else { at.saturating_add(self.interval) });
    }
}

/// The thread's own side.
struct Maker {
    matrix: u8,
    outbox: mpsc::Sender<Output>,
    /// Shots so far.
    taken: u32,
    sheets: Sheets,
}

impl Maker {
    fn run(mut self, shots: &Receiver<Shot>) {
        while let Ok(shot) = shots.recv() {
            match self.make(&shot) {
                Ok(stills) => {
                    drop(shot); // the decoder may have its picture back
                    for still in stills.into_iter().filter(|still| still.jpeg.len() <= MAX_STILL) {
                        if self.outbox.blocking_send(Output::Still(still)).is_err() {
                            return;
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "a still could not be made"),
            }
        }
    }

    fn make(&mut self, shot: &Shot) -> Result<Vec<Still>, CodecError> {
        let mut stills = Vec::with_capacity(3);
        /// ISO/IEC 23091-2 table 4.
        const UNSPECIFIED: u8 = 2;
        let said = shot.picture.colour().matrix;
        let matrix = if said == UNSPECIFIED { self.matrix } else { said };
        let at = MediaTime::from_ticks(shot.at);
        let finish = |mut picture: Picture, kind, quantiser| -> Result<Still, CodecError> {
            colour::to_jfif(&mut picture, matrix);
            let (width, height) = (picture.width(), picture.height());
            Ok(Still { at, kind, width, height, jpeg: av::jpeg(picture, quantiser)? })
        };
        let thumbnail = shrunk(&shot.picture, THUMBNAIL)?;
        let mut tile = shrunk(&thumbnail, TILE)?;
        colour::to_jfif(&mut tile, matrix);
        stills.push(finish(thumbnail, StillKind::Thumbnail, THUMBNAIL_QUANTISER)?);
        if self.taken.is_multiple_of(POSTER_EVERY) {
            stills.push(finish(shrunk(&shot.picture, POSTER)?, StillKind::Poster, POSTER_QUANTISER)?);
        }
        self.taken = self.taken.wrapping_add(1);
        let (sheet, layout) = self.sheets.add(&tile, at)?;
        let (width, height) = (sheet.width(), sheet.height());
        let jpeg = av::jpeg(sheet, SHEET_QUANTISER)?;
        stills.push(Still { at, kind: StillKind::Sheet(layout), width, height, jpeg });
        Ok(stills)
    }
}

/// The picture, limited-range 4:2:0, with `longest` pixels on its longer side or as many as it has.
fn shrunk(picture: &Picture, longest: u32) -> Result<Picture, CodecError> {
    let (width, height) = fitted((picture.width(), picture.height()), longest);
    let mut small = Picture::black(width, height)?;
    Scaler::new(Rect { x: 0, y: 0, width, height }).run(picture, &mut small)?;
    Ok(small)
}

/// A size of the same shape whose longer side is at most `longest`; both even, for 4:2:0.
fn fitted((width, height): (u32, u32), longest: u32) -> (u32, u32) {
    let scale = (f64::from(longest) / f64::from(width.max(height).max(1))).min(1.0);
    let even = |side: u32| (((f64::from(side) * scale / 2.0).round() as u32) * 2).clamp(2, longest);
    (even(width), even(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stills_keep_their_shape_and_are_never_enlarged() {
        for (name, from, longest, want) in [
            ("16:9", (1920, 1080), 320, (320, 180)),
            ("16:9 tile", (1920, 1080), 160, (160, 90)),
            ("4:3", (640, 480), 320, (320, 240)),
            ("portrait", (1080, 1920), 320, (180, 320)),
            ("smaller than the poster", (854, 480), 1280, (854, 480)),
            ("odd", (641, 361), 1280, (642, 362)),
            ("a line", (4000, 2), 320, (320, 2)),
            ("a dot", (1, 1), 160, (2, 2)),
        ] {
            assert_eq!(fitted(from, longest), want, "{name}");
        }
    }

    #[test]
    fn stills_are_due_on_a_grid_and_anew_after_a_hole() {
        let mut due = Due::every(100);
        let mut taken = Vec::new();
        for at in [7, 47, 106, 108, 190, 209, 306, 900, 950, 999, 1000] {
            if due.is_due(at) {
                due.taken(at);
                taken.push(at);
            }
        }
        assert_eq!(taken, [7, 108, 209, 900, 1000]);
    }
}
