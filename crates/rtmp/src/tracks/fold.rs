//! Times of senders that keep 31 bits where RTMP has 32: FFmpeg's FLV muxer and OBS clear the top bit, so after 24.8
//! days their clocks step from 2^31 - 1 to 0. Seen here, the step becomes no step at all.

/// How near to the fold both times must lie, in milliseconds.
const NEAR_MS: u32 = 10_000;
const FOLD: u32 = 1 << 31;

/// One track's times, unfolded.
#[derive(Debug, Default)]
pub(super) struct Unfold {
    last: u32,
    /// 0 or 2^31: what is added.
    high: u32,
    crossed: bool,
}

impl Unfold {
    /// `wire` as the sender would have written it with 32 bits.
    pub(super) fn place(&mut self, wire: u32) -> u32 {
        let before = |time: u32| (FOLD - NEAR_MS..FOLD).contains(&time);
        let after = |time: u32| time < NEAR_MS;
        // Times may step back a little, so the fold may be crossed both ways; back only once it was crossed.
        let forward = before(self.last) && after(wire);
        if forward || self.crossed && after(self.last) && before(wire) {
            self.high ^= FOLD;
            self.crossed = true;
        }
        self.last = wire;
        wire.wrapping_add(self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folded_clock_is_unfolded() {
        const TOP: u32 = FOLD - 1;
        for (name, wire, want) in [
            ("plain", vec![0, 40, 80], vec![0, 40, 80]),
            ("folds at 2^31", vec![TOP - 39, 0, 40], vec![TOP - 39, FOLD, FOLD + 40]),
            (
                "a step back over the fold",
                vec![TOP - 39, 0, TOP - 9, 40],
                vec![TOP - 39, FOLD, TOP - 9, FOLD + 40],
            ),
            ("folds twice", vec![TOP, 0, TOP, 0], vec![TOP, FOLD, TOP, FOLD]),
            ("32 bits pass 2^31", vec![TOP, FOLD, FOLD + 40], vec![TOP, FOLD, FOLD + 40]),
            ("32 bits wrap", vec![u32::MAX, 39], vec![u32::MAX, 39]),
            ("a reset far from the fold", vec![TOP - 20_000, 0], vec![TOP - 20_000, 0]),
        ] {
            let mut unfold = Unfold::default();
            let got: Vec<u32> = wire.iter().map(|wire| unfold.place(*wire)).collect();
            assert_eq!(got, want, "{name}");
        }
        let mut unfold = Unfold::default();
        let days = [TOP - 5, 5, 1 << 30, TOP - 5, 5].map(|wire| unfold.place(wire));
        assert_eq!(days, [TOP - 5, FOLD + 5, FOLD + (1 << 30), FOLD + TOP - 5, 5]);
    }
}
