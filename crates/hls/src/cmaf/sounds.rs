//! Sound on its way into parts, counted in samples.

use std::sync::Arc;

use bytes::Bytes;
use media::{MediaSpan, Packet};

use super::{
    chunker::{Boundary, Chunker, MAX_BYTES, MAX_FRAMES, MAX_SPAN},
    fragment::Sample,
    open::{Coding, Open, Track},
    sample,
};

/// One frame of sound on its track's clock.
struct Frame {
    data: Bytes,
    /// Its stamp.
    told: i64,
    /// Samples of each channel.
    length: u32,
}

impl Frame {
    /// Where it is put behind sound that ends at `end`: there, unless its stamp is off by more than itself. `None`: it is
    /// late.
    fn place(&self, end: i64) -> Option<i64> {
        let length = i64::from(self.length);
        match self.told.saturating_sub(end) {
            off if off > length => Some(self.told),
            off if off < -length => None,
            _ => Some(end),
        }
    }
}

impl Chunker {
    pub(super) fn push_sound(&mut self, packet: Packet) {
        if !self.take_sound(packet) {
            self.stats.dropped_sounds += 1;
        }
    }

    /// False when the frame is left out.
    fn take_sound(&mut self, packet: Packet) -> bool {
        let Some(track) = self.track.clone() else { return false };
        let Coding::Sound(config) = &track.coding else { return false };
        let length = sample::frames(config, &packet.data);
        if length == 0 || packet.data.is_empty() {
            return false;
        }
        let half =
            MediaSpan::from_ticks(MediaSpan::from_samples(length.into(), track.scale.get()).ticks() / 2);
        if self.resume.is_some_and(|from| packet.pts + half < from) {
            return true; // told already
        }
        self.rhythm.see(packet.dts);
        let frame = Frame { told: track.scale.units(packet.pts), data: packet.data.clone(), length };
        // the boundary nearest the cut
        let due = self.due(packet.pts + half);
        if due > 0 && !self.open_with_sound(due, &track, &frame) {
            return false;
        }
        let Some(open) = self.open.as_mut().filter(|open| open.track.init == track.init) else {
            return false;
        };
        let Some(at) = frame.place(open.end()) else { return false };
        let far = track.scale.time(at) - track.scale.time(open.start()) > MAX_SPAN;
        if far || open.frames() >= MAX_FRAMES || open.size() + frame.data.len() > MAX_BYTES {
            return false;
        }
        self.resume = None;
        open.extend(at, &mut self.out);
        open.add(
            Sample { data: frame.data, duration: length, offset: 0, key: true },
            packet.pts,
            &mut self.out,
        );
        open.close_if_full(length.into(), &mut self.out);
        true
    }

    /// Opens the segment of the last cut that a frame answers. Frames that came before that cut was told go into it too,
    /// where they belong there and are in no part. False when the frame is late.
    fn open_with_sound(&mut self, due: usize, track: &Arc<Track>, frame: &Frame) -> bool {
        let Some(first) = self.pending.front().copied() else { return false };
        let scale = track.scale;
        let missing = due > 1;
        let mut moved = Vec::new();
        let mut start = frame.told;
        if let Some(open) = self.open.as_mut().filter(|open| open.track.init == track.init) {
            let nearest = scale.units(first.at).saturating_sub(i64::from(frame.length / 2));
            if !missing && nearest < open.end() {
                // no segment is empty
                moved = open.split_off(nearest.max(open.start().saturating_add(1)));
                if !moved.is_empty() {
                    start = open.end();
                }
            }
        }
        if moved.is_empty() && !first.discontinuity {
            let end = self.open.as_ref().filter(|open| open.track.scale == scale).map(Open::end);
            if let Some(end) = end.or_else(|| self.clock(scale)) {
                let Some(at) = frame.place(end) else { return false };
                start = at;
            }
        }
        self.close(Some(Boundary {
            scale,
            units: if missing { scale.units(first.at) } else { start },
            discontinuity: first.discontinuity,
            missing,
        }));
        let Some(cut) = self.take_due(due, scale.time(start)) else { return false };
        let mut open = Open::new(cut, track.clone(), start, &mut self.out);
        for (sample, pts) in moved {
            open.add(sample, pts, &mut self.out);
        }
        self.open = Some(open);
        true
    }
}
