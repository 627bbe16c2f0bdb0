#![allow(clippy::unwrap_used)] // the whole file is tests
//! Frames that come unevenly, through the whole pipeline: what every rung then holds.

mod support;

use media::TrackKind;
use support::{clip, events, inputs, packets, planned, run, times};
use transcode::{
    Isolation,
    ladder::{RungWish, Wishes},
};

/// Encodes a clip in two rungs with cuts at these seconds: the source's times, and what each rung has, keyframes apart.
async fn encoded(args: &str, cuts: &[i64]) -> (Vec<i64>, Vec<(Vec<i64>, Vec<i64>)>) {
    let clip = clip("mkv", args);
    let wishes = Wishes {
        rungs: [240, 120].map(|height| RungWish { height, bitrate_bps: None }).to_vec(),
        ..Wishes::default()
    };
    let (_, plan, job) = planned(&clip.path, &wishes);
    assert!(plan.rungs.iter().all(|rung| !rung.is_copy()), "{plan}");
    let events = events(&clip.path);
    let source = times(packets(&events, TrackKind::Video));
    let cuts = cuts.iter().map(|second| source[0] + second * 90_000).collect();
    let made = run(Isolation::Thread, job, inputs(events, Some(cuts))).await;
    assert_eq!(made.end, Some(Ok(())), "{args}");
    let rungs = (0..made.video.len()).map(|rung| (times(&made.video[rung]), made.keys(rung))).collect();
    (source, rungs)
}

const X264: &str = "-c:v libx264 -preset veryfast -g 600 -sc_threshold 0";

#[tokio::test]
async fn a_slide_a_second_plays_smoothly_and_is_cut_on_time() {
    let args = format!("-f lavfi -i testsrc2=size=320x240:rate=1 -t 12 {X264}");
    let (source, rungs) = encoded(&args, &[0, 2, 4, 6, 8, 10]).await;
    let first = source[0];
    for (times, keys) in &rungs {
        let steps: Vec<i64> = times.windows(2).map(|two| two[1] - two[0]).collect();
        // the first hole passes before any picture is kept
        assert!(steps[1..].iter().all(|step| (7_300..=7_700).contains(step)), "{steps:?}");
        assert!(source.iter().all(|pts| times.contains(pts)), "the source's own times stay");
        assert_eq!(keys, &[0, 2, 4, 6, 8, 10].map(|second| first + second * 90_000), "on time");
    }
    assert_eq!(rungs[0], rungs[1], "alike in all rungs");
}

#[tokio::test]
async fn bursts_and_pauses_become_regular() {
    // a screen share: 30 fps for a while, then four frames a second
    let select = "select='lt(mod(t,3),1)+not(mod(n,7))'";
    let args = format!("-f lavfi -i testsrc2=size=320x240:rate=30 -t 9 -vf {select} -vsync vfr {X264}");
    let (source, rungs) = encoded(&args, &[0, 2, 4, 6, 8]).await;
    for (times, keys) in &rungs {
        let steps: Vec<i64> = times.windows(2).map(|two| two[1] - two[0]).collect();
        let first_hole = steps.iter().position(|step| *step > 6_000);
        assert!(
            first_hole.is_none_or(|at| steps[at + 1..].iter().all(|step| (2_000..5_000).contains(step))),
            "{steps:?}"
        );
        assert!(source.iter().all(|pts| times.contains(pts)), "nothing is left out");
        assert_eq!(keys.len(), 5, "{keys:?}");
    }
    assert_eq!(rungs[0], rungs[1], "alike in all rungs");
}
