//! Tracks that arrive far apart, brought together: packets of a track that runs ahead wait until the others have come
//! near, so that what reads them may take their order for the order of time.
//!
//! ```text
//!  packet ─▶ within TOLERANCE of the slowest live track? ─▶ out, at once
//!                └─ no ─▶ waits ─▶ the others have come near, or WINDOW or MAX_HELD is reached ─▶ out, by DTS
//! ```
//! Well-interleaved streams are never held: segmenters share sound out by its stamps and wait a second for it
//! (`hls::segmenter`), so only a distance that comes near to that matters. A track that sends nothing is waited for no
//! longer than [`WINDOW`] once, and again only when it has come back.

use std::collections::VecDeque;

use crate::{
    ids::TrackId,
    packet::{MediaEvent, Packet, TrackKind},
    time::{MediaSpan, MediaTime},
};

/// Longest that a packet waits, in media time of its own track; and how long a track may send nothing before it is
/// waited for no more.
pub const WINDOW: MediaSpan = MediaSpan::from_millis(1000);
/// Most packets that wait.
pub const MAX_HELD: usize = 256;
/// How far a track may run ahead of the slowest one: half of what segmenters wait for sound.
pub const TOLERANCE: MediaSpan = MediaSpan::from_millis(500);

/// Puts the tracks of a publication in order.
#[derive(Debug, Default)]
pub struct Interleave {
    lanes: Vec<Lane>,
    held: usize,
    /// DTS of the newest packet of any track.
    newest: MediaTime,
    reordered: u64,
}

#[derive(Debug)]
struct Lane {
    kind: TrackKind,
    track: TrackId,
    /// DTS of its newest packet, and its distance from the one before; the longest that counts until that is known.
    newest: MediaTime,
    step: MediaSpan,
    /// [`Interleave::newest`] when that packet came.
    came_at: MediaTime,
    waiting: VecDeque<Packet>,
}

impl Interleave {
    /// Packets that had to wait so far.
    pub fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Packets that wait now.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes the next packet; its DTS is above its track's last one.
    pub fn push(&mut self, packet: Packet, out: &mut VecDeque<MediaEvent>) {
        self.newest = if self.lanes.is_empty() { packet.dts } else { self.newest.max(packet.dts) };
        let at = self.lane(&packet);
        let lane = &mut self.lanes[at];
        if packet.dts > lane.newest {
            lane.step = (packet.dts - lane.newest).min(WINDOW);
        }
        (lane.newest, lane.came_at) = (packet.dts, self.newest);
        if self.held == 0 && packet.dts <= self.reach() {
            return out.push_back(MediaEvent::Packet(packet));
        }
        self.lanes[at].waiting.push_back(packet);
        self.held += 1;
        let before = self.held;
        self.release(out);
        self.reordered += u64::from(self.held == before);
    }

    /// Everything that waits goes out: at the end, and before what applies to all that follows.
    pub fn flush(&mut self, out: &mut VecDeque<MediaEvent>) {
        while let Some(lane) = self.first() {
            self.pop(lane, out);
        }
    }

    fn lane(&mut self, packet: &Packet) -> usize {
        let known = self.lanes.iter().position(|lane| (lane.kind, lane.track) == (packet.kind, packet.track));
        known.unwrap_or_else(|| {
            self.lanes.push(Lane {
                kind: packet.kind,
                track: packet.track,
                newest: packet.dts,
                step: WINDOW,
                came_at: self.newest,
                waiting: VecDeque::new(),
            });
            self.lanes.len() - 1
        })
    }

    /// Up to where packets may go out: near where the slowest track that still sends will send next.
    fn reach(&self) -> MediaTime {
        let live = self.lanes.iter().filter(|lane| self.newest - lane.came_at <= WINDOW);
        live.map(|lane| lane.newest + lane.step).min().unwrap_or(self.newest) + TOLERANCE
    }

    /// The track whose oldest waiting packet is the oldest of all.
    fn first(&self) -> Option<usize> {
        let waiting = self.lanes.iter().enumerate();
        let heads = waiting.filter_map(|(at, lane)| Some((lane.waiting.front()?.dts, at)));
        heads.min().map(|(_, at)| at)
    }

    fn release(&mut self, out: &mut VecDeque<MediaEvent>) {
        let reach = self.reach();
        while let Some(at) = self.first() {
            let overdue =
                |lane: &Lane| lane.waiting.front().is_some_and(|packet| lane.newest - packet.dts > WINDOW);
            let overdue = self.lanes.iter().any(overdue);
            let due = self.lanes[at].waiting.front().is_some_and(|packet| packet.dts <= reach);
            if !due && !overdue && self.held <= MAX_HELD {
                return;
            }
            self.pop(at, out);
        }
    }

    fn pop(&mut self, at: usize, out: &mut VecDeque<MediaEvent>) {
        if let Some(packet) = self.lanes[at].waiting.pop_front() {
            self.held -= 1;
            out.push_back(MediaEvent::Packet(packet));
        }
    }
}

#[cfg(test)]
mod tests;
