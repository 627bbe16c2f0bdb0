#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
//! Bad input: who sends it is told, and nobody else notices.

use e2e::harness::{
    PATIENCE, Publisher, Stage, Wire, alone, clip, flv, judged, s, segments, to_the_end, until, wait_for,
};
use e2e::hlscheck::Watch;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

#[test]
fn a_wrong_key_is_refused_in_words() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 12, 60, &[]);
    let rtmp = &stage.gateway.rtmp;
    for (name, url) in [
        ("a key that is none", format!("rtmp://{rtmp}/live/nosuchkeynosuchkey")),
        ("the name alone", format!("rtmp://{rtmp}/live/studio")),
        ("the name and a wrong key", format!("rtmp://{rtmp}/live/studio?key=wrong")),
        ("another name with a right key", format!("rtmp://{rtmp}/live/other?key={}", stage.key.secret)),
    ] {
        let mut encoder = Publisher::copy(&stage.home, &clip.path, 1, &url);
        let status = encoder.wait(s(10));
        let said = encoder.log();
        assert!(!status.success() && said.contains("key"), "{name}: {status}\n{said}");
    }
    assert_eq!(stage.gateway.get("/live/studio/index.m3u8").unwrap().status, 404);
    assert!(!stage.gateway.log().contains(&stage.key.secret), "the log tells the key");
    let mut encoder = Publisher::copy(
        &stage.home,
        &clip.path,
        1,
        &format!("rtmp://{rtmp}/live/studio?key={}", stage.key.secret),
    );
    stage.gateway.wait_live("studio", PATIENCE);
    encoder.stop();
    assert!(!stage.gateway.log().contains(&stage.key.secret), "the log tells the key");
}

#[test]
fn a_second_publisher_with_the_key_takes_over() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let mut first = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    let mut stranger = Publisher::copy(
        &stage.home,
        &clip.path,
        0,
        &format!("rtmp://{}/live/studio?key=x", stage.gateway.rtmp),
    );
    assert!(!stranger.wait(s(10)).success(), "without the key nothing is taken over");
    assert!(first.ended().is_none());
    let _second = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    wait_for("the first publisher to be seen off", s(10), || first.ended());
    until(&watch, "three segments of the second publisher", PATIENCE, |p| {
        p.all(|r| r.discontinuity > 0 && r.since_discontinuity >= 3)
    });
    let outcome = judged(watch);
    outcome.assert_clean_with_pause(4.0);
    for rendition in &outcome.renditions {
        assert_eq!((rendition.discontinuities, rendition.gaps), (1, 0), "{outcome}");
    }
}

#[test]
fn without_takeover_the_second_is_refused_in_words() {
    let _alone = alone();
    let stage = Stage::new(&[("publish.takeover", "false")]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let mut first = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 2, PATIENCE);
    let mut second = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let status = second.wait(s(10));
    let said = second.log();
    assert!(!status.success() && said.contains("another encoder"), "{status}\n{said}");
    let before = watch.progress().renditions[0].segments;
    segments(&watch, before + 2, PATIENCE);
    assert!(first.ended().is_none());
    judged(watch).assert_clean();
}

/// A clip whose second half has another size, as one FLV with new configurations in its middle.
fn resized(stage: &Stage) -> PathBuf {
    let (a, b) = (clip("640x360", 30, 8, 60, &[]), clip("480x270", 30, 8, 60, &[]));
    let path = stage.home.path("resized.flv");
    let tags = flv::join(&flv::read(&a.path).unwrap(), &flv::read(&b.path).unwrap(), 33);
    flv::write(&path, &tags).unwrap();
    path
}

/// Tags sent as they are, each when its place in the file is due: times jump, real time does not.
fn send_in_order(
    stage: &Stage,
    tags: Vec<flv::Tag>,
    due: Vec<u64>,
) -> std::thread::JoinHandle<anyhow::Result<()>> {
    let (address, name) = (stage.gateway.rtmp.clone(), stage.key.secret.clone());
    std::thread::spawn(move || {
        let mut wire = Wire::publish(&address, &name)?;
        wire.send(&tags, |index, _| due[index])?;
        wire.finish()
    })
}

#[test]
fn a_change_of_size_in_the_stream_is_one_discontinuity() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let tags = flv::read(&resized(&stage)).unwrap();
    let due = tags.iter().map(|t| u64::from(t.time)).collect();
    let sender = send_in_order(&stage, tags, due);
    let outcome = to_the_end(stage.watch(), s(60));
    sender.join().unwrap().unwrap();
    outcome.assert_clean();
    for rendition in &outcome.renditions {
        assert_eq!(rendition.discontinuities, 1, "{outcome}");
        assert!(
            rendition.frames.abs_diff(480) <= 4,
            "{}: {} pictures of 480\n{outcome}",
            rendition.name,
            rendition.frames
        );
    }
}

#[test]
fn a_second_publisher_of_another_size_fits_into_the_rungs() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let (a, b) = (clip("640x360", 30, 24, 60, &[]), clip("480x270", 25, 24, 50, &[]));
    let mut first = Publisher::copy(&stage.home, &a.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    first.kill();
    let _second = Publisher::copy(&stage.home, &b.path, 0, &stage.url());
    until(&watch, "three segments of the other size", PATIENCE, |p| {
        p.all(|r| r.discontinuity > 0 && r.since_discontinuity >= 3)
    });
    let outcome = judged(watch);
    outcome.assert_clean_with_pause(4.5);
    for rendition in &outcome.renditions {
        assert_eq!(rendition.discontinuities, 1, "{outcome}");
    }
}

/// A player that was promised sound waits for it: what comes without must be filled with silence.
#[test]
fn a_second_publisher_without_sound_keeps_the_promised_track() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let (a, b) = (clip("640x360", 30, 24, 60, &[]), clip("640x360", 30, 24, 60, &["-an"]));
    let mut first = Publisher::copy(&stage.home, &a.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    first.kill();
    let _second = Publisher::copy(&stage.home, &b.path, 0, &stage.url());
    until(&watch, "three segments without sound of their own", PATIENCE, |p| {
        p.all(|r| r.discontinuity > 0 && r.since_discontinuity >= 3)
    });
    judged(watch).assert_clean_with_pause(4.5);
}

/// The clip's tags with times changed by `change`, and when each is due.
fn retimed(seconds: u32, change: impl Fn(u32) -> u32) -> (Vec<flv::Tag>, Vec<u64>) {
    let clip = clip("640x360", 30, seconds, 60, &[]);
    let mut tags = flv::read(&clip.path).unwrap();
    let due = tags.iter().map(|t| u64::from(t.time)).collect();
    for tag in &mut tags {
        tag.time = change(tag.time);
    }
    (tags, due)
}

#[test]
fn a_jump_of_24_hours_is_repaired() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let (tags, due) = retimed(16, |t| if t >= 8_000 { t + 86_400_000 } else { t });
    let sender = send_in_order(&stage, tags, due);
    let outcome = to_the_end(stage.watch(), s(60));
    sender.join().unwrap().unwrap();
    outcome.assert_clean();
    for rendition in &outcome.renditions {
        assert!(rendition.discontinuities <= 1 && rendition.seconds < 19.0, "{outcome}");
        assert!(
            rendition.frames.abs_diff(480) <= 4,
            "{}: {} pictures of 480\n{outcome}",
            rendition.name,
            rendition.frames
        );
    }
}

#[test]
fn times_that_start_over_are_repaired() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let (tags, due) = retimed(16, |t| if t >= 8_000 { t - 8_000 } else { t + 3_600_000 });
    let sender = send_in_order(&stage, tags, due);
    let outcome = to_the_end(stage.watch(), s(60));
    sender.join().unwrap().unwrap();
    outcome.assert_clean();
    for rendition in &outcome.renditions {
        assert!(rendition.discontinuities <= 1 && rendition.seconds < 19.0, "{outcome}");
    }
}

#[test]
fn times_wrap_at_32_bits_without_a_break() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let (tags, due) = retimed(16, |t| t.wrapping_sub(8_000));
    let sender = send_in_order(&stage, tags, due);
    let outcome = to_the_end(stage.watch(), s(60));
    sender.join().unwrap().unwrap();
    outcome.assert_clean();
    for rendition in &outcome.renditions {
        assert_eq!(rendition.discontinuities, 0, "{outcome}");
        assert!(rendition.frames.abs_diff(480) <= 1, "{outcome}");
    }
}

#[test]
fn one_late_audio_stamp_tears_no_hole_into_the_sound() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 12, 60, &[]);
    let mut tags = flv::read(&clip.path).unwrap();
    let due = tags.iter().map(|t| u64::from(t.time)).collect();
    // As a live muxer under load stamps them: every hundredth sound 30 ms late, the next one right again.
    for tag in tags.iter_mut().filter(|t| t.kind == 8 && !t.is_header()).skip(50).step_by(100) {
        tag.time += 30;
    }
    let sender = send_in_order(&stage, tags, due);
    let outcome = to_the_end(stage.watch(), s(60));
    sender.join().unwrap().unwrap();
    outcome.assert_clean();
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..length).map(byte).collect()
}

#[test]
fn garbage_on_the_port_disturbs_nobody() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let _encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 2, PATIENCE);
    let mut handshake = vec![3u8];
    handshake.extend(noise(7, 1536 * 2));
    let mut declared = handshake.clone();
    declared.extend([3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0]); // a command of 16 MB
    let mut kept: Vec<TcpStream> = Vec::new();
    for (name, bytes) in [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("TLS", [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &noise(3, 500)].concat()),
        ("noise", noise(1, 100_000)),
        ("noise behind a handshake", [&handshake[..], &noise(2, 100_000)].concat()),
        ("a size declared", declared),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
    ] {
        let mut stream = TcpStream::connect(&stage.gateway.rtmp).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let _ = stream.write_all(&bytes);
        if name == "a size declared" {
            kept.push(stream); // the body never comes
            continue;
        }
        if name == "HTTP" {
            // The tunnel speaks HTTP here: who asks for something else is told so, and the connection kept.
            let mut answer = [0; 256];
            let length = stream.read(&mut answer).unwrap();
            let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
            assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
            kept.push(stream);
            continue;
        }
        let mut answer = Vec::new();
        let closed = stream.read_to_end(&mut answer);
        let reset = closed.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
        assert!(closed.is_ok() || reset, "{name}: still open after 15 s: {closed:?}");
    }
    for _ in 0..200 {
        kept.push(TcpStream::connect(&stage.gateway.rtmp).unwrap()); // and say nothing
    }
    let before = watch.progress().renditions[0].segments;
    segments(&watch, before + 3, PATIENCE);
    let outcome = judged(watch);
    outcome.assert_clean();
    let log = stage.gateway.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_hostile_stream_does_not_disturb_its_neighbour() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let hostile = stage.home.key("hostile");
    let clip = clip("640x360", 30, 12, 60, &[]);
    let _encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 2, PATIENCE);
    // Right headers; every third picture and sound has noise in its middle, lengths included.
    let mut tags = flv::read(&clip.path).unwrap();
    for (n, tag) in tags.iter_mut().enumerate().filter(|(n, t)| n % 3 == 0 && t.kind != 18 && !t.is_header())
    {
        let length = tag.body.len();
        let cut = length.min(9);
        tag.body[cut..].copy_from_slice(&noise(n as u64, length - cut));
    }
    let (address, secret) = (stage.gateway.rtmp.clone(), hostile.secret.clone());
    let sender = std::thread::spawn(move || {
        let mut wire = Wire::publish(&address, &secret)?;
        wire.send(&tags, |_, t| u64::from(t.time))?;
        wire.finish()
    });
    let before = watch.progress().renditions[0].segments;
    let neighbour = Watch::start(stage.options("hostile"));
    segments(&watch, before + 5, PATIENCE);
    let _ = sender.join().unwrap(); // it may have been thrown out
    let outcome = judged(watch);
    outcome.assert_clean();
    let log = stage.gateway.log();
    assert!(!log.contains("panicked"), "{log}");
    match neighbour.finish() {
        Ok(outcome) => eprintln!("what the noise became:\n{outcome}"),
        Err(error) => eprintln!("the noise became no stream: {error:#}"),
    }
}
