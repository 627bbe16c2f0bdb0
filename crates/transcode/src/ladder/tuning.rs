//! How x264 is set for one rung: pure. Why each value is what it is, and what else was tried, stands in
//! `docs/design/encoder-settings.md`; `benches/ladder/search.py` measures such settings one by one.

use super::Preset;

/// Short side in pixels from which a rung counts as large: its detail costs bits more than search can save.
const LARGE: u32 = 600;

/// What x264 is set up with beyond sizes, rates and threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct X264 {
    /// x264's own preset, which the options then change.
    pub preset: &'static str,
    /// In the form of FFmpeg's `x264-params`: `name=value`, colons between them. May be empty.
    pub params: &'static str,
}

/// The setting for a rung of this size. The three tuned speeds differ by size; a preset of x264's own is taken as it is.
pub fn x264(preset: Preset, width: u32, height: u32) -> X264 {
    let large = width.min(height) >= LARGE;
    let (preset, params) = match preset {
        // `superfast` with what costs little put back. Bits go to what later pictures build on (mbtree, from a short look
        // ahead), and coefficients are rounded down less than x264's dead zones do: detail stays, which is worth more
        // than the search that `veryfast` spends its time on.
        Preset::Auto if large => (
            "superfast",
            "bframes=2:mbtree=1:rc-lookahead=4:aq-strength=0.5:qcomp=0.5:deadzone-inter=10:deadzone-intra=5:partitions=i8x8",
        ),
        // Small pictures have more detail in each block, and fewer bits for all that is not coefficients.
        Preset::Auto => (
            "superfast",
            "mbtree=1:rc-lookahead=5:aq-strength=0.4:qcomp=0.5:deadzone-inter=10:deadzone-intra=5:partitions=i8x8",
        ),
        Preset::Economy => (
            "superfast",
            "mbtree=1:rc-lookahead=6:aq-strength=0.5:qcomp=0.5:deadzone-inter=12:deadzone-intra=6:partitions=none",
        ),
        Preset::Quality => ("veryfast", "rc-lookahead=20:trellis=1:aq-strength=0.6:qcomp=0.5"),
        own => (own.as_str(), ""),
    };
    X264 { preset, params }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_follow_the_size_and_own_presets_stay() {
        for (preset, width, height, base, has) in [
            (Preset::Auto, 1280, 720, "superfast", "bframes=2"),
            (Preset::Auto, 720, 1280, "superfast", "bframes=2"),
            (Preset::Auto, 854, 480, "superfast", "aq-strength=0.4"),
            (Preset::Auto, 640, 360, "superfast", "aq-strength=0.4"),
            (Preset::Economy, 1280, 720, "superfast", "mbtree=1"),
            (Preset::Economy, 426, 240, "superfast", "mbtree=1"),
            (Preset::Quality, 1920, 1080, "veryfast", "trellis=1"),
            (Preset::Veryfast, 1280, 720, "veryfast", ""),
            (Preset::Superfast, 640, 360, "superfast", ""),
        ] {
            let tuned = x264(preset, width, height);
            assert_eq!(tuned.preset, base, "{preset} {width}x{height}");
            assert!(tuned.params.contains(has), "{preset} {width}x{height}: {}", tuned.params);
            if preset.as_str() == base {
                assert_eq!(tuned.params, "", "{preset} is taken as it is");
            }
        }
    }

    #[test]
    fn options_are_pairs_that_stand_once() {
        for preset in Preset::ALL {
            for size in [(1920, 1080), (640, 360)] {
                let params = x264(preset, size.0, size.1).params;
                let names: Vec<_> = params
                    .split(':')
                    .filter(|pair| !pair.is_empty())
                    .map(|pair| pair.split_once('=').expect("name and value").0)
                    .collect();
                let mut once = names.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), names.len(), "{preset}: {params}");
            }
        }
    }
}
