//! Stamps that wrap, unwrapped. RTMP's own clock has 32 bits; behind it stand clocks of senders that keep fewer, or that
//! count in other units, and so step back to zero at times that RTMP knows nothing of. Seen here, such a step becomes
//! no step at all.

/// How near to the end of a clock both stamps must lie, in milliseconds.
const NEAR_MS: i64 = 10_000;
/// Where senders' clocks end, in milliseconds.
const ENDS: [i64; 4] = [
    1 << 24,    // FLV's lower three bytes alone: after 4 h 39 min
    47_721_859, // 2^32 ticks of 90 kHz, as RTP carries them: 13 h 15 min
    1 << 31,    // FFmpeg's FLV muxer and OBS clear the top bit: after 24.8 days
    95_443_718, // 2^33 ticks of 90 kHz, as MPEG-TS carries them: 26.5 h
];

/// One stamp, as it came and unwrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    wire: u32,
    /// Milliseconds that never wrap.
    pub(super) ms: i64,
    /// The end of the sender's clock that was passed last.
    passed: Option<i64>,
}

impl Stamp {
    /// The first stamp: it is what it says.
    pub(super) fn first(wire: u32) -> Self {
        Self { wire, ms: i64::from(wire), passed: None }
    }

    /// The stamp after this one, and whether a clock wrapped between them.
    pub(super) fn next(self, wire: u32) -> (Self, bool) {
        let (last, new) = (i64::from(self.wire), i64::from(wire));
        let before = |ms: i64, end: i64| (end - NEAR_MS..=end).contains(&ms);
        let after = |ms: i64| ms < NEAR_MS;
        if let Some(end) = ENDS.into_iter().find(|end| before(last, *end) && after(new)) {
            return (Self { wire, ms: self.ms + new + end - last, passed: Some(end) }, true);
        }
        // Stamps may step back a little, so an end may be passed both ways; back only once it was passed.
        if let Some(end) = self.passed.filter(|end| after(last) && before(new, *end)) {
            return (Self { wire, ms: self.ms + new - end - last, passed: None }, false);
        }
        let step = i64::from(wire.wrapping_sub(self.wire) as i32);
        (Self { wire, ms: self.ms + step, passed: self.passed }, step > 0 && wire < self.wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clock_is_unwrapped_at_its_end() {
        const TOP: u32 = (1 << 31) - 1;
        for (name, wire, want, wraps) in [
            ("plain", vec![0, 40, 80], vec![0, 40, 80], 0),
            ("32 bits", vec![u32::MAX - 39, 0, 40], vec![0, 40, 80], 1),
            ("32 bits pass 2^31", vec![TOP - 39, TOP + 1, TOP + 41], vec![0, 40, 80], 0),
            ("31 bits", vec![TOP - 39, 0, 40], vec![0, 40, 80], 1),
            ("24 bits", vec![(1 << 24) - 40, 0, 40], vec![0, 40, 80], 1),
            ("32 bits pass 2^24", vec![(1 << 24) - 40, 1 << 24, (1 << 24) + 40], vec![0, 40, 80], 0),
            ("33 bits of 90 kHz", vec![95_443_678, 0, 40], vec![0, 40, 80], 1),
            ("32 bits of 90 kHz", vec![47_721_819, 0, 40], vec![0, 40, 80], 1),
            ("a step back over an end", vec![TOP - 39, 0, TOP - 9, 40], vec![0, 40, 30, 80], 2),
            ("twice", vec![TOP, 0, 1 << 30, TOP, 0], vec![0, 1, (1 << 30) + 1, 1 << 31, (1 << 31) + 1], 2),
            ("a reset far from any end", vec![TOP - 20_000, 0], vec![0, 20_000 - (1i64 << 31) + 1], 0),
        ] {
            let mut stamp = Stamp::first(wire[0]);
            let first = stamp.ms;
            let mut wrapped = 0;
            let got = wire.iter().enumerate().map(|(nth, wire)| {
                if nth > 0 {
                    let (next, wraps) = stamp.next(*wire);
                    (stamp, wrapped) = (next, wrapped + u32::from(wraps));
                }
                stamp.ms - first
            });
            assert_eq!(got.collect::<Vec<_>>(), want, "{name}");
            assert_eq!(wrapped, wraps, "{name}");
        }
    }
}
