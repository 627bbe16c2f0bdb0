//! Pictures on their way into parts: how long each stands is known when the next one comes.

use bytes::Bytes;
use media::{MediaSpan, MediaTime, Packet};

use super::{
    chunker::{Boundary, Chunker, MAX_BYTES, MAX_FRAMES, MAX_SPAN},
    fragment::Sample,
    open::{Coding, Open, Track, Writer},
    sample,
};
use crate::segmenter::{SMALL_HOLE, picture_length};

/// The pictures of the open segment that are not in a part.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    /// The newest, which the next one will end.
    held: Option<Held>,
    /// Decode time in the file less that of the packet, in ticks.
    delay: i64,
    /// Decoding time of the newest.
    newest: Option<MediaTime>,
    /// Needs another header than the segment's: nothing is taken up to the next keyframe.
    unfit: bool,
    /// Those of which only the next segment shows whether they belong to this one, and their bytes.
    back: Vec<Packet>,
    back_bytes: usize,
    /// How many of them came before the first hole.
    hole: Option<usize>,
}

#[derive(Debug)]
struct Held {
    data: Bytes,
    /// Decode time in the file.
    at: i64,
    pts: MediaTime,
    key: bool,
}

impl Pictures {
    /// Where the open segment ends when nothing follows.
    pub(super) fn own_end(&self, open: &Open, usual: Option<MediaSpan>) -> MediaTime {
        let start = open.track.scale.time(open.start());
        let last = open.shown().max(self.held.as_ref().map(|held| held.pts)).unwrap_or(start);
        let frames = open.frames() + usize::from(self.held.is_some());
        last + picture_length(last - start, frames, usual)
    }

    /// The newest picture stands until `end`.
    pub(super) fn add_last(&mut self, open: &mut Open, end: i64, out: &mut Writer) {
        self.add_held(open, end, out);
    }

    /// Hands the newest picture over, which the next one ends at `end`. Returns where that is.
    fn add_held(&mut self, open: &mut Open, end: i64, out: &mut Writer) -> Option<i64> {
        let held = self.held.take()?;
        // a picture takes at least one tick to decode
        let duration = u32::try_from(end.saturating_sub(held.at))
            .map_or_else(|_| if end > held.at { u32::MAX } else { 1 }, |duration| duration.max(1));
        let offset = open.track.scale.units(held.pts).saturating_sub(held.at);
        let offset = i32::try_from(offset).unwrap_or(if offset < 0 { i32::MIN } else { i32::MAX });
        open.add(Sample { data: held.data, duration, offset, key: held.key }, held.pts, out);
        Some(held.at + i64::from(duration))
    }

    fn holds_back(&self) -> bool {
        self.hole.is_some() || !self.back.is_empty()
    }
}

impl Chunker {
    pub(super) fn push_picture(&mut self, packet: Packet) {
        if packet.keyframe && self.track.is_none() {
            self.stats.dropped_pictures += 1; // nothing could decode it
            return;
        }
        let hole = self.rhythm.see(packet.dts);
        if packet.keyframe && self.due(packet.pts) > 0 {
            self.open_with_picture(packet);
            return;
        }
        let Some(open) = &self.open else {
            self.stats.dropped_pictures += 1;
            return;
        };
        if let Some(from) = self.resume {
            if !packet.keyframe || packet.pts < from {
                return;
            }
            self.resume = None;
        }
        let pictures = &mut self.pictures;
        if hole && pictures.held.is_some() && pictures.hole.is_none() {
            pictures.hole = Some(pictures.back.len());
        }
        let waits = self.pending.front().is_some_and(|cut| cut.at <= packet.pts);
        if !waits && !pictures.holds_back() {
            self.accept(packet);
        } else if takes(open, pictures, &packet) {
            pictures.back_bytes += packet.data.len();
            pictures.back.push(packet);
        } else {
            self.stats.dropped_pictures += 1;
        }
    }

    /// Opens the segment of the last cut that a keyframe answers.
    fn open_with_picture(&mut self, packet: Packet) {
        let due = self.due(packet.pts);
        let (Some(track), Some(first)) = (self.track.clone(), self.pending.front().copied()) else { return };
        let data = coded(&track, &packet);
        let late = !first.discontinuity && self.pictures.newest.is_some_and(|newest| packet.dts <= newest);
        let far = (packet.pts - packet.dts).abs() > MAX_SPAN;
        if late || far || data.is_empty() || data.len() > MAX_BYTES {
            self.stats.dropped_pictures += 1;
            return;
        }
        let scale = track.scale;
        let missing = due > 1;
        self.close(Some(Boundary {
            scale,
            units: scale.units(if missing { first.at } else { packet.pts }),
            discontinuity: first.discontinuity,
            missing,
        }));
        let Some(cut) = self.take_due(due, packet.pts) else { return };
        let own = scale.units(packet.pts);
        let start = match self.clock(scale) {
            Some(clock) if !cut.discontinuity && scale.time(clock) - packet.pts <= MAX_SPAN => clock.max(own),
            _ => own,
        };
        self.open = Some(Open::new(cut, track, start, &mut self.out));
        self.resume = None;
        self.pictures = Pictures {
            held: Some(Held { data, at: start, pts: packet.pts, key: true }),
            delay: start.saturating_sub(scale.units(packet.dts)),
            newest: Some(packet.dts),
            ..Pictures::default()
        };
    }

    /// The next picture of the open segment.
    fn accept(&mut self, packet: Packet) {
        if !self.take_picture(&packet) {
            self.stats.dropped_pictures += 1;
        }
    }

    fn take_picture(&mut self, packet: &Packet) -> bool {
        let Some(open) = &mut self.open else { return false };
        let pictures = &mut self.pictures;
        if packet.keyframe {
            pictures.unfit = self.track.as_ref().is_none_or(|track| track.init != open.track.init);
        }
        let late = pictures.newest.is_some_and(|newest| packet.dts <= newest);
        if pictures.unfit || late || !takes(open, pictures, packet) {
            return false;
        }
        let data = coded(&open.track, packet);
        if data.is_empty() {
            return false;
        }
        let scale = open.track.scale;
        let (dts, pts) = (scale.units(packet.dts), scale.units(packet.pts));
        let before = open.end();
        let at = match pictures.add_held(open, dts.saturating_add(pictures.delay), &mut self.out) {
            Some(at) => {
                if packet.keyframe {
                    open.close_before_keyframe(&mut self.out);
                } else {
                    let usual = self.rhythm.usual().map_or(at - before, |usual| usual.ticks());
                    open.close_if_full(usual, &mut self.out);
                }
                at
            }
            // after a rewind
            None if packet.keyframe => {
                if pts - before > SMALL_HOLE.ticks() {
                    open.extend(pts, &mut self.out);
                }
                pictures.delay = open.end().saturating_sub(dts);
                open.end()
            }
            None => return false,
        };
        pictures.newest = Some(packet.dts);
        pictures.held = Some(Held { data, at, pts: packet.pts, key: packet.keyframe });
        true
    }

    /// The open segment is about to be closed: takes the pictures that were held back, as far as they belong to it.
    ///
    /// Those after a hole do not if a discontinuity follows, since that begins after them and nothing could say how long
    /// the segment is if they stayed; nor do those of a segment that is missing.
    pub(super) fn settle_pictures(&mut self, next: Option<Boundary>) {
        let back = std::mem::take(&mut self.pictures.back);
        self.pictures.back_bytes = 0;
        let hole = self.pictures.hole.take();
        let mut kept = back.len();
        if let Some(next) = next {
            if next.discontinuity {
                kept = hole.map_or(kept, |hole| hole.min(kept));
            }
            if next.missing {
                let own = back.iter().position(|packet| packet.pts >= next.at());
                kept = own.map_or(kept, |own| own.min(kept));
            }
        }
        self.stats.dropped_pictures += (back.len() - kept) as u64;
        back.into_iter().take(kept).for_each(|packet| self.accept(packet));
    }
}

fn coded(track: &Track, packet: &Packet) -> Bytes {
    match &track.coding {
        Coding::Pictures(config) => sample::picture(config, packet),
        Coding::Sound(_) => Bytes::new(),
    }
}

/// Whether the open segment has room.
fn takes(open: &Open, pictures: &Pictures, packet: &Packet) -> bool {
    let start = open.track.scale.time(open.start());
    let far = |at: MediaTime| (at - start).abs() > MAX_SPAN;
    let held = pictures.held.as_ref().map_or(0, |held| held.data.len());
    let frames = open.frames() + pictures.back.len() + usize::from(pictures.held.is_some());
    let bytes = open.size() + held + pictures.back_bytes + packet.data.len();
    !far(packet.pts) && !far(packet.dts) && frames < MAX_FRAMES && bytes <= MAX_BYTES
}
