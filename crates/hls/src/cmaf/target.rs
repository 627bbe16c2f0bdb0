//! Which PART-TARGET whole frames fill.

use media::MediaSpan;

use super::open::FULL_PERCENT;

/// Stamps in whole milliseconds make a run of frames longer or shorter by up to this.
const JITTER: MediaSpan = MediaSpan::from_millis(1);
/// Steps up from one number of frames to the next before it is given up.
const MOST_STEPS: usize = 64;

/// The PART-TARGET to announce where `wanted` is asked for: the shortest one from there on, in whole milliseconds, that
/// parts of whole frames fill to 85 % (draft-pantos-hls-rfc8216bis §4.4.4.9). `frames` are the frame lengths of all
/// tracks of a stream, 0 where one is not known.
///
/// Half a second suits all usual rates; 0.2 s does not suit 30 frames a second with stamps in milliseconds, of which six
/// are at times longer, and five too short.
pub fn part_target(wanted: MediaSpan, frames: &[MediaSpan]) -> MediaSpan {
    let mut target = wanted;
    for _ in 0..MOST_STEPS {
        let unfit = frames.iter().filter(|frame| **frame > MediaSpan::ZERO).find_map(|&frame| {
            let count = (target - JITTER).ticks() / frame.ticks();
            let full = (frame.times(count) - JITTER).ticks() * 100 >= target.ticks() * FULL_PERCENT;
            (count < 1 || !full).then(|| frame.times(count.max(0) + 1) + JITTER)
        });
        match unfit {
            Some(longer) => target = MediaSpan::from_millis((longer.ticks() + 89) / 90),
            None => return target,
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_fill_parts() {
        let rate = |num: i64, den: i64| MediaSpan::from_ticks(90_000 * den / num);
        let aac = |hz| MediaSpan::from_samples(1024, hz);
        for (name, wanted, frames, want) in [
            ("nothing known", 500, vec![MediaSpan::ZERO], 500),
            ("25 and AAC", 500, vec![rate(25, 1), aac(48_000)], 500),
            ("29.97 and AAC", 500, vec![rate(30_000, 1001), aac(44_100)], 500),
            ("30 at 0.2 s", 200, vec![rate(30, 1), aac(48_000)], 201),
            ("29.97 at 0.2 s", 200, vec![rate(30_000, 1001), aac(48_000)], 202),
            ("25 at 0.2 s", 200, vec![rate(25, 1), aac(44_100)], 201),
            ("60 at 0.2 s", 200, vec![rate(60, 1)], 200),
            ("24 and 15 at 0.2 s", 200, vec![rate(24, 1), rate(15, 1)], 210),
            ("1 at 0.5 s", 500, vec![rate(1, 1)], 1001),
        ] {
            assert_eq!(part_target(MediaSpan::from_millis(wanted), &frames).millis(), want, "{name}");
        }
    }
}
