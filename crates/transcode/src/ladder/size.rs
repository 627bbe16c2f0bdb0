//! Sizes, bit rates and levels of rungs.

use media::FrameRate;

use super::{Profile, RungWish};

/// Average bits a second at up to 30 fps and 16:9, by short side: near Apple's table for HLS (HLS Authoring
/// Specification, 1.25), a little lower where `veryfast` shows no gain.
const BITRATES: [(u32, f64); 5] = [(240, 0.4e6), (360, 0.8e6), (480, 1.4e6), (720, 3.0e6), (1080, 5.0e6)];
/// What a rung of more than 30 fps gets beyond that.
const HIGH_RATE_FACTOR: f64 = 1.5;
/// A frame rate above this counts as high: 50 and 60 fps are, 30 is not.
pub(super) const HIGH_RATE: f64 = 40.0;

/// Below this many frames a second a rung gets less, by the root of the rate: half the frames differ by more each.
const LOW_RATE: f64 = 20.0;
/// … and no less than this part: keyframes come as often as ever.
const LEAST_FACTOR: f64 = 0.3;

/// The VBV of an average rate: cap a quarter above it, buffer of one second of the average. A segment of D seconds then
/// holds at most `1.25 D + 1` times the average's bits.
pub(crate) fn cap(bitrate_bps: u32) -> (u32, u32) {
    (bitrate_bps.saturating_add(bitrate_bps / 4), bitrate_bps)
}

/// One size of a ladder that somebody else is to encode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Picture {
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Average bits a second.
    pub bitrate_bps: u32,
}

/// The ladder of a picture of `size`, largest first, its own size included: the operator's `rungs` that fit into it, or
/// what fits below it where the operator names none.
pub fn pictures(size: (u32, u32), rate: Option<FrameRate>, rungs: &[RungWish]) -> Vec<Picture> {
    let short = size.0.min(size.1);
    let wishes = if rungs.is_empty() {
        std::iter::once(RungWish { height: short, bitrate_bps: None }).chain(below(short)).collect()
    } else {
        rungs.iter().filter(|rung| rung.height <= short).copied().collect::<Vec<_>>()
    };
    let picture = |wish: RungWish| {
        let (width, height) = scaled(size, wish.height);
        let bitrate_bps = wish.bitrate_bps.unwrap_or_else(|| bitrate(width, height, rate));
        Picture { width, height, bitrate_bps }
    };
    wishes.into_iter().map(picture).collect()
}

/// Fewest frames a second that are encoded: an encoder looks some ten frames ahead, which takes long where they are rare.
const LEAST_RATE: f64 = 12.0;

/// The rate of a rung of pictures that come so often: a slow source's frames are shown several times each.
pub(super) fn encoded_rate(rate: FrameRate) -> FrameRate {
    let times = (LEAST_RATE / rate.as_f64().max(0.1)).ceil().max(1.0) as u32;
    rate.num().checked_mul(times).and_then(|num| FrameRate::new(num, rate.den())).unwrap_or(rate)
}

/// The average rate for a picture.
pub(super) fn bitrate(width: u32, height: u32, rate: Option<FrameRate>) -> u32 {
    let short = f64::from(width.min(height));
    let wide = f64::from(width.max(height)) / short.max(1.0) / (16.0 / 9.0);
    let pace = match rate.map(FrameRate::as_f64) {
        Some(rate) if rate > HIGH_RATE => HIGH_RATE_FACTOR,
        Some(rate) if rate < LOW_RATE => (rate / LOW_RATE).sqrt().max(LEAST_FACTOR),
        _ => 1.0,
    };
    let bps = by_height(short) * wide.clamp(0.5, 1.5) * pace;
    (bps / 10_000.0).round() as u32 * 10_000
}

/// Between the table's rows along a power law, beyond its ends along the outer pairs'.
fn by_height(short: f64) -> f64 {
    let pair = BITRATES
        .windows(2)
        .find(|pair| short <= f64::from(pair[1].0))
        .unwrap_or(&BITRATES[BITRATES.len() - 2..]);
    let ((low, low_bps), (high, high_bps)) = (pair[0], pair[1]);
    let power = (high_bps / low_bps).ln() / (f64::from(high) / f64::from(low)).ln();
    (low_bps * (short / f64::from(low)).powf(power)).max(100_000.0)
}

/// The size of a rung: `short` pixels on the source's shorter side, its shape, both sides even.
pub(super) fn scaled((width, height): (u32, u32), short: u32) -> (u32, u32) {
    let shorter = width.min(height).max(1);
    // never above the source, by a pixel of rounding either
    let side =
        |side: u32| even(f64::from(side) * f64::from(short) / f64::from(shorter)).min((side & !1).max(2));
    (side(width), side(height))
}

/// The nearest even number, at least 2.
pub(super) fn even(size: f64) -> u32 {
    ((size / 2.0).round() as u32).max(1) * 2
}

/// The rungs under a source of `short` pixels, when the operator names none: none within 15 % of the one above it, and
/// the smallest only where the source is small itself.
pub(super) fn below(short: u32) -> Vec<RungWish> {
    let mut above = short;
    let mut rungs = Vec::new();
    for height in [1080, 720, 480, 360, 240] {
        let wanted = match height {
            1080 => short > 1080,
            240 => short < 720,
            _ => true,
        };
        if wanted && !close(height, above) && height < above {
            rungs.push(RungWish { height, bitrate_bps: None });
            above = height;
        }
    }
    rungs
}

/// Within 15 % of each other: two rungs that would differ by nothing one sees.
pub(super) fn close(one: u32, other: u32) -> bool {
    f64::from(one.min(other)) > f64::from(one.max(other)) * 0.85
}

/// The profile of a rung: Main for the smallest, which the oldest phones take; High is worth 0.4 VMAF at 360p.
pub(super) fn profile(width: u32, height: u32) -> Profile {
    if width.min(height) >= 360 { Profile::High } else { Profile::Main }
}

/// Limits of a level (ISO/IEC 14496-10 table A-1): macroblocks a second, macroblocks a frame, kbit/s at Main.
const LEVELS: [(u8, u32, u32, u32); 16] = [
    (11, 3_000, 396, 192),
    (12, 6_000, 396, 384),
    (13, 11_880, 396, 768),
    (20, 11_880, 396, 2_000),
    (21, 19_800, 792, 4_000),
    (22, 20_250, 1_620, 4_000),
    (30, 40_500, 1_620, 10_000),
    (31, 108_000, 3_600, 14_000),
    (32, 216_000, 5_120, 20_000),
    (40, 245_760, 8_192, 20_000),
    (41, 245_760, 8_192, 50_000),
    (42, 522_240, 8_704, 50_000),
    (50, 589_824, 22_080, 135_000),
    (51, 983_040, 36_864, 240_000),
    (52, 2_073_600, 36_864, 240_000),
    (62, 16_711_680, 139_264, 800_000),
];

/// The lowest level that holds the picture.
pub(crate) fn level(width: u32, height: u32, rate: Option<FrameRate>, maxrate_bps: u32) -> u8 {
    let (across, down) = (width.div_ceil(16), height.div_ceil(16));
    let frame = across * down;
    let second = f64::from(frame) * rate.map_or(30.0, FrameRate::as_f64);
    LEVELS
        .iter()
        .find(|(_, per_second, per_frame, kbps)| {
            second <= f64::from(*per_second)
                && frame <= *per_frame
                && across.max(down).pow(2) <= 8 * per_frame
                && maxrate_bps / 1000 <= *kbps
        })
        .map_or(62, |(level, ..)| *level)
}

/// Most bits a second that a level allows.
pub(super) fn most_bps(level_idc: u8) -> Option<u32> {
    LEVELS.iter().find(|(level, ..)| *level == level_idc).map(|(.., kbps)| kbps * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_the_table() {
        let rate = |fps| FrameRate::new(fps, 1);
        for (name, width, height, fps, want) in [
            ("720p", 1280, 720, 30, 3_000_000),
            ("720p60", 1280, 720, 60, 4_500_000),
            ("480p", 854, 480, 30, 1_400_000),
            ("360p", 640, 360, 25, 800_000),
            ("portrait", 720, 1280, 30, 3_000_000),
            ("4:3", 640, 480, 30, 1_050_000),
            ("1080p", 1920, 1080, 30, 5_000_000),
            ("1080p24", 1920, 1080, 24, 5_000_000),
            ("720p5", 1280, 720, 5, 1_500_000),
            ("720p1", 1280, 720, 1, 900_000),
        ] {
            assert_eq!(bitrate(width, height, rate(fps)), want, "{name}");
        }
        assert!(bitrate(2, 2, None) >= 50_000 && bitrate(3840, 2160, rate(60)) < 30_000_000);
    }

    #[test]
    fn a_ladder_for_others_has_the_sizes_of_ours() {
        let sizes = |size, rungs: &[RungWish]| -> Vec<_> {
            pictures(size, FrameRate::new(30, 1), rungs).iter().map(|p| (p.height, p.bitrate_bps)).collect()
        };
        let own = [(1080, 5_000_000), (720, 3_000_000), (480, 1_400_000), (360, 800_000)];
        assert_eq!(sizes((1920, 1080), &[]), own);
        assert_eq!(sizes((640, 360), &[]).len(), 2);
        let rung = |height| RungWish { height, bitrate_bps: Some(1_000_000) };
        assert_eq!(
            sizes((1280, 720), &[rung(1080), rung(720), rung(360)]),
            [(720, 1_000_000), (360, 1_000_000)]
        );
        assert!(pictures((1, 1), None, &[]).iter().all(|p| p.width >= 2 && p.bitrate_bps > 0));
    }

    #[test]
    fn sizes_keep_the_shape_and_are_even() {
        for (from, short, want) in [
            ((1920, 1080), 720, (1280, 720)),
            ((1280, 720), 480, (854, 480)),
            ((720, 1280), 480, (480, 854)),
            ((2560, 1080), 720, (1706, 720)),
            ((1366, 768), 480, (854, 480)),
            ((1279, 719), 360, (640, 360)),
            ((640, 480), 360, (480, 360)),
        ] {
            assert_eq!(scaled(from, short), want, "{from:?} to {short}");
        }
    }

    #[test]
    fn levels_are_the_lowest_that_hold() {
        let rate = |fps| FrameRate::new(fps, 1);
        for (name, width, height, fps, kbps, want) in [
            ("240p", 426, 240, 30, 500, 21),
            ("360p", 640, 360, 30, 1_000, 30),
            ("480p", 854, 480, 30, 1_750, 31),
            ("720p", 1280, 720, 30, 3_750, 31),
            ("720p60", 1280, 720, 60, 5_600, 32),
            ("1080p", 1920, 1080, 30, 6_250, 40),
            ("1080p60", 1920, 1080, 60, 9_000, 42),
            ("very wide", 4096, 256, 30, 1_000, 40),
            ("8k", 7680, 4320, 60, 50_000, 62),
        ] {
            assert_eq!(level(width, height, rate(fps), kbps * 1000), want, "{name}");
        }
    }

    #[test]
    fn default_rungs() {
        for (source, want) in [
            (2160, vec![1080, 720, 480, 360]),
            (1440, vec![1080, 720, 480, 360]),
            (1080, vec![720, 480, 360]),
            (768, vec![480, 360]),
            (720, vec![480, 360]),
            (576, vec![480, 360, 240]),
            (540, vec![360, 240]),
            (480, vec![360, 240]),
            (360, vec![240]),
            (240, vec![]),
            (120, vec![]),
        ] {
            let got: Vec<u32> = below(source).iter().map(|rung| rung.height).collect();
            assert_eq!(got, want, "{source}");
        }
    }
}
