//! How fast a publisher may send, and how slowly.

use std::time::{Duration, Instant};

/// What a publisher may be ahead of its rate: an encoder that was cut off sends what it has saved up.
const AHEAD: Duration = Duration::from_secs(1);
/// How long a message may take before its rate is looked at.
const TRICKLE_WINDOW: Duration = Duration::from_secs(10);
/// A pause of this length between two reads is the network's.
const OUTAGE: Duration = Duration::from_secs(5);

/// Keeps a publisher under a rate: the socket is left unread until the rate is met, so TCP slows the encoder down.
#[derive(Debug)]
pub(crate) struct Brake {
    bytes_per_second: f64,
    paid: Instant,
}

impl Brake {
    /// `bits_per_second` of 0 is no limit.
    pub(crate) fn new(bits_per_second: u64, now: Instant) -> Self {
        Self { bytes_per_second: bits_per_second as f64 / 8.0, paid: now }
    }

    /// `bytes` have come: until when nothing more is to be read, if so.
    pub(crate) fn after(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        if self.bytes_per_second <= 0.0 {
            return None;
        }
        self.paid = self.paid.max(now) + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        let until = self.paid.checked_sub(AHEAD)?;
        (until > now).then_some(until)
    }
}

/// Notices a publisher that keeps a message open and sends next to nothing of it. One that sends nothing at all may
/// have lost its network for a moment, and is left to the limit on silence.
#[derive(Debug)]
pub(crate) struct Trickle {
    bytes_per_second: u64,
    since: Instant,
    latest: Instant,
    bytes: u64,
    messages: u64,
}

impl Trickle {
    /// Below `bytes_per_second` a message is too slow; 0 is no limit.
    pub(crate) fn new(bytes_per_second: u64, now: Instant) -> Self {
        Self { bytes_per_second, since: now, latest: now, bytes: 0, messages: 0 }
    }

    /// `bytes` have come, `messages` are whole so far, and one is open or not: whether that is too slow.
    pub(crate) fn is_too_slow(&mut self, now: Instant, bytes: usize, messages: u64, open: bool) -> bool {
        let pause = now.saturating_duration_since(std::mem::replace(&mut self.latest, now));
        if messages != self.messages || !open || pause >= OUTAGE {
            (self.since, self.bytes, self.messages) = (now, 0, messages);
            return false;
        }
        self.bytes += bytes as u64;
        let passed = now.saturating_duration_since(self.since);
        if passed < TRICKLE_WINDOW {
            return false;
        }
        let slow = self.bytes < self.bytes_per_second * passed.as_secs();
        (self.since, self.bytes) = (now, 0);
        slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_above_its_rate_is_read_less_often() {
        let start = Instant::now();
        let mut brake = Brake::new(8_000_000, start);
        let mut now = start;
        let mut read = 0;
        while now < start + Duration::from_secs(10) {
            read += 64 * 1024;
            if let Some(until) = brake.after(64 * 1024, now) {
                now = until;
            }
        }
        assert!((10_900_000..11_200_000).contains(&read), "10 s of 1 MB/s and one ahead: {read}");
        assert_eq!(Brake::new(0, start).after(usize::MAX, start), None);
    }

    #[test]
    fn only_a_message_that_trickles_is_too_slow() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut drip = Trickle::new(1024, start);
        assert!(!(0..10).any(|s| drip.is_too_slow(at(s), 1, 0, true)));
        assert!(drip.is_too_slow(at(10), 1, 0, true));
        let mut cut_off = Trickle::new(1024, start);
        assert!(![0, 1, 20, 21, 22].into_iter().any(|s| cut_off.is_too_slow(at(s), 1, 0, true)));
        let mut steady = Trickle::new(1024, start);
        assert!(!(0..60).any(|s| steady.is_too_slow(at(s), 1100, 0, true)));
        let mut small = Trickle::new(1024, start);
        assert!(
            !(0..60).any(|s| small.is_too_slow(at(s), 20, s, true)),
            "whole messages may be rare and small"
        );
        assert!(!(60..90).any(|s| small.is_too_slow(at(s), 0, 60, false)));
    }
}
