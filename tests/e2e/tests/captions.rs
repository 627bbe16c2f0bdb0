#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
//! What is said in the source's closed captions is said in every rendition's, whether it is copied or encoded.

use e2e::captions::{Caption, Cue, Style, caption, cues};
use e2e::harness::{PATIENCE, Publisher, Stage, alone, clip, s, to_the_end, wait_for};
use e2e::hlscheck::Outcome;
use std::path::{Path, PathBuf};

/// Seconds of each clip.
const SECONDS: u32 = 14;

/// Pop-on and roll-up, some of it longer than a segment takes, some at the same moment as a cut.
fn script() -> Vec<Caption> {
    let line = |at, text: &str, style| Caption { at, text: text.into(), style };
    vec![
        line(0.2, "First words, popped on.", Style::PopOn),
        line(1.7, "Aa Bb Cc Dd Ee Ff Gg Hh Ii Jj Kk", Style::PopOn),
        line(3.9, "Mississippi, sell all balloons!", Style::PopOn),
        line(5.8, "These words roll up - one", Style::RollUp(3)),
        line(7.4, "row after another, as in the", Style::RollUp(3)),
        line(8.9, "news. 11 22 33 44 5566?", Style::RollUp(2)),
        line(10.5, "Last words.", Style::PopOn),
    ]
}

/// A clip with captions, and the texts in it as ffmpeg reads them.
fn captioned(stage: &Stage, rate: u32, more: &[&str]) -> (PathBuf, Vec<Cue>) {
    let plain = clip("640x360", rate, SECONDS, 2 * rate, more);
    let path = stage.home.path("captioned.flv");
    caption(&plain.path, &path, &script()).unwrap();
    let source = cues(&path).unwrap();
    let all: String = source.iter().map(|cue| cue.text.clone() + "\n").collect();
    for caption in script() {
        assert!(all.contains(&caption.text), "{:?} is not in the source:\n{all}", caption.text);
    }
    (path, source)
}

/// Publishes the clip once and gives what came out.
fn published(stage: &Stage, file: &Path) -> Outcome {
    let mut encoder = Publisher::copy(&stage.home, file, 1, &stage.url());
    let outcome = to_the_end(stage.watch(), s(40));
    assert!(encoder.wait(s(5)).success(), "{}", encoder.log());
    outcome
}

/// The same texts in the same order, each on the screen at the same moment, to `slack` seconds.
#[track_caller]
fn says_the_same(outcome: &Outcome, source: &[Cue], slack: f64) {
    for rendition in &outcome.renditions {
        let [file] = &rendition.joined[..] else { panic!("one piece: {outcome}") };
        let got = cues(file).unwrap();
        let texts = |cues: &[Cue]| -> Vec<String> { cues.iter().map(|cue| cue.text.clone()).collect() };
        assert_eq!(texts(&got), texts(source), "{}", rendition.name);
        // FLV begins at 0, a segment where the stream's clock stands: both count from their first picture.
        let worst =
            got.iter().zip(source).map(|(a, b)| (a.from - b.from - (got[0].from - source[0].from)).abs());
        let worst = worst.fold(0.0, f64::max);
        assert!(worst <= slack, "{}: {worst:.3} s off", rendition.name);
        eprintln!("  {}: {} captions, at most {worst:.3} s off", rendition.name, got.len());
    }
}

fn multivariant(stage: &Stage) -> String {
    stage.gateway.get("/live/studio/index.m3u8").unwrap().text().unwrap()
}

/// Runs one clip through a ladder in which exactly the largest rungs `copied` are copies.
fn through(rate: u32, more: &[&str], rungs: &str, copied: bool) {
    let _alone = alone();
    let stage = Stage::new(&[("ladder.rungs", rungs), ("hls.window", "60s")]);
    let (file, source) = captioned(&stage, rate, more);
    let outcome = published(&stage, &file);
    outcome.assert_clean();
    assert_eq!(outcome.renditions.len(), 3, "{outcome}");
    let info = stage.gateway.stream("studio").unwrap().to_string();
    let copies = info.matches("\"made\":\"copy\"").count();
    assert_eq!(copies, usize::from(copied), "{info}");
    let rates: Vec<u64> = outcome.renditions.iter().map(|r| r.frames / u64::from(SECONDS)).collect();
    eprintln!("  {rates:?} pictures a second");
    if rate > 30 {
        assert!(rates.iter().any(|r| *r <= 31) && rates.iter().any(|r| *r > 50), "a halved rung: {rates:?}");
    }
    says_the_same(&outcome, &source, 2.5 / 30.0);
    let list = multivariant(&stage);
    let variants = list.matches("#EXT-X-STREAM-INF").count();
    assert_eq!(list.matches(",CLOSED-CAPTIONS=\"captions\"").count(), variants, "{list}");
    assert_eq!(list.matches("TYPE=CLOSED-CAPTIONS").count(), 1, "{list}");
    assert!(list.contains("INSTREAM-ID=\"CC1\"") && !list.contains("CLOSED-CAPTIONS=NONE"), "{list}");
}

#[test]
fn captions_reach_every_rung_below_a_copied_one() {
    through(30, &["-bf", "2"], "360:800k,270:400k,180:200k", true);
}

#[test]
fn captions_reach_rungs_at_half_the_rate() {
    through(60, &["-bf", "3", "-b_strategy", "0"], "360:800k,270:400k,180:200k", true);
}

#[test]
fn captions_reach_every_rung_where_all_are_encoded() {
    // Open GOPs cannot be copied.
    through(30, &["-bf", "2", "-x264-params", "open-gop=1"], "360:800k,270:400k,180:200k", false);
}

#[test]
fn captions_may_be_promised_or_left_out() {
    let _alone = alone();
    let clip = clip("640x360", 30, 8, 60, &[]);
    for (setting, wanted) in [
        (
            "CC1:en:English,CC2:es",
            &["NAME=\"English\",LANGUAGE=\"en\"", "INSTREAM-ID=\"CC2\"", "LANGUAGE=\"es\""][..],
        ),
        ("auto", &[",CLOSED-CAPTIONS=NONE"]),
    ] {
        let stage = Stage::new(&[("hls.captions", setting), ("ladder.mode", "off")]);
        let _encoder = Publisher::copy(&stage.home, &clip.path, 1, &stage.url());
        stage.gateway.wait_live("studio", PATIENCE);
        let list = multivariant(&stage);
        wanted.iter().for_each(|part| assert!(list.contains(part), "{setting}: {part} is not in\n{list}"));
        assert_eq!(list.contains("CLOSED-CAPTIONS=NONE"), setting == "auto", "{list}");
    }
}

/// A stream whose first words come late: players that come then are told.
#[test]
fn captions_that_come_later_are_declared_to_those_who_come_later() {
    let _alone = alone();
    let stage = Stage::new(&[("ladder.mode", "off")]);
    let plain = clip("640x360", 30, SECONDS, 60, &[]);
    let file = stage.home.path("late.flv");
    let late = Caption { at: 8.0, text: "Late words".into(), style: Style::PopOn };
    caption(&plain.path, &file, &[late]).unwrap();
    let _encoder = Publisher::copy(&stage.home, &file, 1, &stage.url());
    stage.gateway.wait_live("studio", PATIENCE);
    let before = multivariant(&stage);
    assert!(before.contains(",CLOSED-CAPTIONS=NONE"), "silence is no captions: {before}");
    wait_for("captions to be declared", s(15), || {
        multivariant(&stage).contains("INSTREAM-ID=\"CC1\"").then_some(())
    });
}
