//! Plain dark pictures for a publication that brings none into a presentation that has them: players show nothing, and
//! hear nothing, of a segment whose pictures are missing.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use media::{MediaSpan, MediaTime, Packet, TrackId, TrackKind};
use tracing::warn;
use transcode::{
    Blank,
    ladder::{BlankSettings, Profile, Rung},
};

/// The track of the pictures; publishers' own have lower numbers.
pub(super) const TRACK: TrackId = TrackId(u8::MAX);
/// Longest step of the sound that is filled with pictures. What is longer is a hole in them too, and a discontinuity.
const LONGEST_FILLED: MediaSpan = MediaSpan::from_millis(10_000);
/// Pictures kept for the next one who needs the same: making one of 1080p takes tens of milliseconds, and all streams share
/// the thread.
const KEPT: usize = 32;

type Shape = (u32, u32, Profile, u8);
static MADE: Mutex<VecDeque<(Shape, Arc<Blank>)>> = Mutex::new(VecDeque::new());

/// The dark picture in a rung's size; `None` where none can be made.
pub(super) fn made(rung: &Rung, settings: &BlankSettings) -> Option<Arc<Blank>> {
    let shape = (rung.width, rung.height, settings.profile, settings.level_idc);
    let mut kept = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, blank)) = kept.iter().find(|(known, _)| *known == shape) {
        return Some(Arc::clone(blank));
    }
    match Blank::new(rung.width, rung.height, settings.profile, settings.level_idc) {
        Ok(blank) => {
            let blank = Arc::new(blank);
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back((shape, Arc::clone(&blank)));
            Some(blank)
        }
        Err(error) => {
            warn!(rung = rung.name, %error, "no dark picture can be made; the rung stays empty");
            None
        }
    }
}

/// When the pictures are shown.
#[derive(Debug)]
pub(super) struct Clock {
    next: MediaTime,
}

impl Clock {
    /// The first one at `start`.
    pub(super) fn new(start: MediaTime) -> Self {
        Self { next: start }
    }

    /// The pictures up to `end`, each once, without data: every rung has its own ([`made`]).
    pub(super) fn until(&mut self, end: MediaTime) -> Vec<Packet> {
        if end - self.next > LONGEST_FILLED {
            self.next = end;
        }
        let mut pictures = Vec::new();
        while self.next <= end {
            pictures.push(Packet {
                track: TRACK,
                kind: TrackKind::Video,
                pts: self.next,
                dts: self.next,
                keyframe: true,
                data: Bytes::new(),
            });
            self.next += Blank::STEP;
        }
        pictures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_five_a_second_and_never_in_heaps() {
        let at = |ms: i64| MediaTime::ZERO + MediaSpan::from_millis(ms);
        let mut clock = Clock::new(at(100));
        assert!(clock.until(at(99)).is_empty());
        let mut pictures = clock.until(at(1000));
        pictures.extend(clock.until(at(1000)));
        pictures.extend(clock.until(at(1300)));
        let times: Vec<_> = pictures.iter().map(|picture| picture.pts).collect();
        assert_eq!(times, [100, 300, 500, 700, 900, 1100, 1300].map(at));
        assert_eq!(clock.until(at(3_600_000)).len(), 1, "an hour's hole stays one");
        assert_eq!(clock.until(at(3_600_500)).len(), 2);
    }
}
