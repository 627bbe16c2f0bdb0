//! Fragmented MP4: what parts and segments come of which packets and cuts.

#![allow(clippy::unwrap_used)]

mod support;

use hls::{
    Segment,
    cmaf::{Chunked, Chunker, chunker::MAX_FRAMES},
    cut::Mode,
};
use media::{MediaSequence, MediaTime, Packet, TrackKind};
use support::{
    CLOCK, Source, audio_config,
    fmp4::{HALF, Read, SECOND, chunk_all, chunks, collect, cut, header, pictures, shape, sounds},
    picture, plan, sound, video_config,
};

fn of(packets: Vec<Packet>, kind: TrackKind) -> Vec<Packet> {
    packets.into_iter().filter(|packet| packet.kind == kind).collect()
}

/// Milliseconds of each part; `*` independent, `-` missing.
fn parts(segment: &Segment) -> String {
    let one = |part: &hls::Part| {
        let mark = if part.gap {
            "-"
        } else if part.independent {
            "*"
        } else {
            ""
        };
        format!("{}{mark}", (part.duration.ticks() + 45) / 90)
    };
    segment.parts.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn parts_of_steady_pictures() {
    for (name, frame, b_frames, target, want) in [
        ("25 fps", 3600, false, HALF, "480* 480 480 480 80"),
        ("25 fps, B-frames", 3600, true, HALF, "480* 480 480 480 80"),
        ("30 fps", 3000, false, HALF, "500* 500 500 500"),
        ("29.97 fps", 3003, true, HALF, "467* 467 467 467 133"),
        ("30 fps, 0.2 s", 3000, false, SECOND / 5, "200* 200 200 200 200 200 200 200 200 200"),
        ("30 fps, 1 s", 3000, true, SECOND, "1000* 1000"),
        ("60 fps", 1500, false, SECOND / 3, "333* 333 333 333 333 333"),
    ] {
        let gop = ((2 * SECOND + frame / 2) / frame) as u64;
        let packets = of(Source { frame, gop, b_frames, ..Source::default() }.packets(), TrackKind::Video);
        let mut chunker = pictures(target);
        let read = chunk_all(&packets, &mut plan(Mode::Keyframes), &mut chunker, target);
        assert!(read.segments.len() >= 5, "{name}");
        assert_eq!(parts(&read.segments[1]), want, "{name}");
        let all: Vec<_> = read.segments.iter().flat_map(Read::samples).collect();
        assert_eq!(all.len(), packets.len(), "{name}");
        for (sample, packet) in all.iter().zip(&packets) {
            assert_eq!(sample.pts(), packet.pts.ticks() + 900_000, "{name}");
            assert_eq!(sample.key, packet.keyframe, "{name}");
            assert_eq!(sample.data, packet.data, "{name}");
        }
        assert!(all.windows(2).all(|pair| pair[0].decode + i64::from(pair[0].duration) == pair[1].decode));
        for segment in &read.segments {
            assert_eq!(Read::samples(segment)[0].offset, 0, "{name}: PTS = DTS at its start");
        }
        assert_eq!(chunker.stats(), Default::default(), "{name}");
    }
}

#[test]
fn parts_of_steady_sound() {
    for (name, rate, target, want) in [
        ("48 kHz", 48_000, HALF, "491* 491* 491* 491* 43*"),
        ("44.1 kHz", 44_100, HALF, "488* 488* 488* 488* 46*"),
        ("48 kHz, 0.2 s", 48_000, SECOND / 5, "192* 192* 192* 192* 192* 192* 192* 192* 192* 192* 85*"),
    ] {
        let source = Source { frame: 0, audio_rate: rate, ..Source::default() };
        let packets = source.packets();
        let mut chunker = sounds(target, rate);
        let read = chunk_all(&packets, &mut plan(Mode::Grid), &mut chunker, target);
        assert_eq!(parts(&read.segments[0]), want, "{name}");
        let all: Vec<_> = read.segments.iter().flat_map(Read::samples).collect();
        assert_eq!(all.len(), packets.len(), "{name}");
        for (nth, sample) in all.iter().enumerate() {
            assert_eq!(sample.decode, i64::from(rate) * 10 + 1024 * nth as i64, "{name}");
        }
        for pair in read.segments.windows(2) {
            assert_eq!(pair[0].end(), pair[1].start, "{name}");
        }
        assert_eq!(chunker.stats(), Default::default(), "{name}");
    }
}

#[test]
fn a_part_is_out_with_the_picture_after_it() {
    let packets = of(Source { frame: 3600, gop: 50, ..Source::default() }.packets(), TrackKind::Video);
    let (mut plan, mut chunker) = (plan(Mode::Keyframes), pictures(HALF));
    let mut out = vec![];
    for (nth, packet) in packets.iter().take(63).enumerate() {
        plan.see(packet, CLOCK).into_iter().for_each(|cut| chunker.cut(cut));
        chunker.push(packet.clone());
        while let Some(event) = chunker.poll() {
            out.push(match event {
                Chunked::Opened(opening) => format!("{nth}: open {}", opening.sequence),
                Chunked::Part { sequence, index, .. } => format!("{nth}: {sequence}.{index}"),
                Chunked::Finished(segment) => format!("{nth}: {}", segment.sequence),
            });
        }
    }
    let want = [
        "0: open 100",
        "12: 100.0",
        "24: 100.1",
        "36: 100.2",
        "48: 100.3",
        "50: 100.4",
        "50: 100",
        "50: open 101",
        "62: 101.0",
    ];
    assert_eq!(out, want);
}

#[test]
fn a_part_of_sound_does_not_wait_for_the_next_frame() {
    let packets = Source { frame: 0, ..Source::default() }.packets();
    let (mut plan, mut chunker) = (plan(Mode::Grid), sounds(HALF, 48_000));
    for (nth, packet) in packets.iter().take(23).enumerate() {
        plan.see(packet, CLOCK).into_iter().for_each(|cut| chunker.cut(cut));
        chunker.push(packet.clone());
        let told = std::iter::from_fn(|| chunker.poll()).any(|event| matches!(event, Chunked::Part { .. }));
        assert_eq!(told, nth == 22, "{nth}");
    }
}

#[test]
fn headers_say_what_players_must_know_first() {
    use mp4_atom::{Codec, Colr};

    let colors = |primaries| media::ColorInfo { primaries, transfer: 16, matrix: 9 };
    let mut config = (*video_config()).clone();
    let media::VideoConfig::H264(h264) = &mut config else { panic!() };
    (h264.sps.sample_aspect, h264.sps.color, h264.sps.full_range) = ((4, 3), Some(colors(9)), true);
    let init = hls::cmaf::init::video(&config).unwrap();
    assert_eq!(init.codecs, "avc1.64001f");
    let hash = init.name.strip_prefix("init-").and_then(|name| name.strip_suffix(".mp4")).unwrap();
    assert!(hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
    let (ftyp, moov) = header(&init.bytes);
    assert_eq!(ftyp.major_brand.to_string(), "iso6");
    let brands: Vec<_> = ftyp.compatible_brands.iter().map(ToString::to_string).collect();
    assert_eq!(brands, ["iso6", "cmfc", "mp41", "dash"]);
    let [trak] = &moov.trak[..] else { panic!("one track") };
    assert!(trak.edts.is_none());
    assert_eq!(
        (trak.tkhd.track_id, trak.tkhd.duration, moov.mvhd.duration, trak.mdia.mdhd.duration),
        (1, 0, 0, 0)
    );
    assert_eq!((trak.tkhd.width.integer(), trak.tkhd.height.integer()), (1707, 720), "in square pixels");
    assert_eq!((trak.mdia.mdhd.timescale, trak.mdia.hdlr.handler.to_string().as_str()), (90_000, "vide"));
    assert_eq!(moov.mvex.as_ref().unwrap().trex[0].track_id, 1);
    let stbl = &trak.mdia.minf.stbl;
    assert!(stbl.stts.entries.is_empty() && stbl.stsc.entries.is_empty());
    let [Codec::Avc1(avc1)] = &stbl.stsd.codecs[..] else { panic!("{:?}", stbl.stsd) };
    assert_eq!((avc1.visual.width, avc1.visual.height), (1280, 720), "as coded");
    assert_eq!(avc1.avcc.sequence_parameter_sets, [support::SPS]);
    assert_eq!(avc1.avcc.picture_parameter_sets, [support::PPS]);
    assert_eq!(avc1.pasp.as_ref().map(|pasp| (pasp.h_spacing, pasp.v_spacing)), Some((4, 3)));
    let colr = Colr::Nclx {
        colour_primaries: 9,
        transfer_characteristics: 16,
        matrix_coefficients: 9,
        full_range_flag: true,
    };
    assert_eq!(avc1.colr, Some(colr));
    assert_eq!(hls::cmaf::init::video(&config), Ok(init.clone()), "the same every time");
    assert_ne!(hls::cmaf::init::video(&video_config()).unwrap().name, init.name);

    let init = hls::cmaf::init::audio(&audio_config(44_100)).unwrap();
    assert_eq!(init.codecs, "mp4a.40.2");
    let (_, moov) = header(&init.bytes);
    let trak = &moov.trak[0];
    assert_eq!((trak.mdia.mdhd.timescale, trak.mdia.hdlr.handler.to_string().as_str()), (44_100, "soun"));
    assert!(trak.edts.is_none() && trak.mdia.minf.smhd.is_some());
    let [Codec::Mp4a(mp4a)] = &trak.mdia.minf.stbl.stsd.codecs[..] else { panic!() };
    assert_eq!((mp4a.audio.channel_count, mp4a.audio.sample_rate.integer()), (2, 44_100));
    let told = mp4a.esds.es_desc.dec_config.dec_specific.as_ref().unwrap();
    assert_eq!((told.profile, told.freq_index, told.chan_conf), (2, 4, 2));
}

/// Pictures from a first to before a last second, at 25 a second, with an IDR at each of the given ones.
fn stretch(from: f64, to: f64, keyframes: &[f64]) -> Vec<Packet> {
    let ticks = |seconds: f64| (seconds * 90_000.0).round() as i64;
    (ticks(from)..ticks(to))
        .step_by(3600)
        .map(|at| picture(at as u64, at, at, keyframes.iter().any(|key| ticks(*key) == at), 100))
        .collect()
}

/// Pushes, and takes what came out.
fn push(chunker: &mut Chunker, read: &mut Read, packets: &[Packet]) {
    for packet in packets {
        chunker.push(packet.clone());
        collect(chunker, read, HALF);
    }
}

#[test]
fn a_keyframe_that_stays_away_makes_a_gap() {
    let mut chunker = pictures(HALF);
    let mut read = Read::default();
    chunker.cut(cut(7, 0, false));
    chunker.cut(cut(8, 2 * SECOND, false));
    chunker.cut(cut(9, 4 * SECOND, false));
    push(&mut chunker, &mut read, &stretch(0.0, 3.96, &[0.0]));
    assert_eq!(read.parts.len(), 4, "what comes after the cut is not told");
    push(&mut chunker, &mut read, &stretch(4.0, 5.0, &[4.0]));
    let shapes: Vec<_> = read.segments.iter().map(shape).collect();
    assert_eq!(shapes, [(7, 0, 2 * SECOND, false, false), (8, 2 * SECOND, 2 * SECOND, false, true)]);
    assert_eq!(parts(&read.segments[0]), "480* 480 480 480 80");
    assert_eq!((chunker.stats().gaps, chunker.stats().dropped_pictures), (1, 49));
}

#[test]
fn a_keyframe_that_is_late_belongs_to_the_cut_before_it() {
    let mut chunker = pictures(HALF);
    let mut read = Read::default();
    chunker.cut(cut(7, 0, false));
    chunker.cut(cut(8, 2 * SECOND, false));
    chunker.cut(cut(9, 4 * SECOND, false));
    push(&mut chunker, &mut read, &stretch(0.0, 5.0, &[0.0, 2.2]));
    assert_eq!(read.segments.iter().map(shape).collect::<Vec<_>>(), [(7, 0, 11 * SECOND / 5, false, false)]);
    assert_eq!(parts(&read.segments[0]), "480* 480 480 480 280");
    assert_eq!(chunker.stats(), Default::default());
}

#[test]
fn a_picture_that_stands_long_is_listed_as_missing_parts() {
    let mut chunker = pictures(HALF);
    let mut read = Read::default();
    chunker.cut(cut(7, 0, false));
    push(&mut chunker, &mut read, &stretch(0.0, 0.2, &[0.0]));
    // less than a second is no hole
    push(&mut chunker, &mut read, &stretch(1.0, 1.08, &[]));
    assert_eq!(read.parts.len(), 2, "160 ms, and one picture for 840 ms");
    // more than that is, and whether what follows belongs to the segment is known at its end only
    push(&mut chunker, &mut read, &stretch(3.0, 4.0, &[]));
    assert_eq!(read.parts.len(), 2);
    chunker.cut(cut(8, 4 * SECOND, false));
    push(&mut chunker, &mut read, &stretch(4.0, 4.04, &[4.0]));
    assert_eq!(parts(&read.segments[0]), "500* 500- 500 500- 500- 500- 480 480 40");
    let samples = Read::samples(&read.segments[0]);
    assert_eq!(samples[4].duration, 84 * 900, "the file tells how long it stands");
    assert!(samples.windows(2).all(|pair| pair[0].decode + i64::from(pair[0].duration) == pair[1].decode));
    assert_eq!(chunker.stats(), Default::default());
}

#[test]
fn a_new_configuration_waits_for_the_next_segment() {
    let other = {
        let media::VideoConfig::H264(mut config) = (*video_config()).clone() else { panic!() };
        config.pps_units = vec![bytes::Bytes::from_static(&[0x68, 0xce, 0x38, 0x80])];
        std::sync::Arc::new(media::VideoConfig::H264(config))
    };
    let mut chunker = pictures(HALF);
    let mut read = Read::default();
    chunker.cut(cut(7, 0, false));
    push(&mut chunker, &mut read, &stretch(0.0, 0.8, &[0.0]));
    chunker.video_config(other);
    push(&mut chunker, &mut read, &stretch(0.8, 1.0, &[]));
    push(&mut chunker, &mut read, &stretch(1.0, 2.0, &[1.0]));
    assert_eq!(chunker.stats().dropped_pictures, 25, "from the keyframe on");
    chunker.cut(cut(8, 2 * SECOND, false));
    push(&mut chunker, &mut read, &stretch(2.0, 2.04, &[2.0]));
    assert_eq!(read.segments.iter().map(shape).collect::<Vec<_>>(), [(7, 0, 2 * SECOND, false, false)]);
    assert_eq!(parts(&read.segments[0]), "480* 480 500 500- 40-");
    assert_ne!(read.openings[0].init.name, read.openings[1].init.name);
}

#[test]
fn after_a_rewind_told_parts_stay() {
    let mut chunker = pictures(HALF);
    let mut read = Read::default();
    chunker.cut(cut(7, 0, false));
    push(&mut chunker, &mut read, &stretch(0.0, 2.0, &[0.0]));
    chunker.cut(cut(8, 2 * SECOND, false));
    push(&mut chunker, &mut read, &stretch(2.0, 3.2, &[2.0]));
    let told = read.parts.len();
    // two parts of 480 ms: the last picture told is that of 2.92 s
    assert_eq!(chunker.rewind(), Some(MediaTime::from_ticks(292 * 900 + 1)));
    assert_eq!(chunker.oldest_unfinished(), Some(MediaSequence(8)));
    push(&mut chunker, &mut read, &stretch(2.0, 2.96, &[2.0]));
    assert_eq!(read.parts.len(), told, "nothing is told twice");
    chunker.cut(cut(9, 4 * SECOND, false));
    push(&mut chunker, &mut read, &stretch(2.96, 4.04, &[2.96, 4.0]));
    assert_eq!(parts(&read.segments[1]), "480* 480 480* 480 80");
    assert_eq!(read.segments[1].keyframes.len(), 2);
    assert_eq!(Read::samples(&read.segments[1]).len(), 50);
    assert_eq!(chunker.stats(), Default::default());
}

#[test]
fn after_a_rewind_a_segment_without_parts_is_opened_again() {
    let mut chunker = pictures(HALF);
    let mut read = Read::default();
    chunker.cut(cut(7, 0, false));
    push(&mut chunker, &mut read, &stretch(0.0, 0.4, &[0.0]));
    assert_eq!(chunker.rewind(), None);
    assert_eq!(chunker.oldest_unfinished(), Some(MediaSequence(7)));
    push(&mut chunker, &mut read, &stretch(0.0, 1.0, &[0.0]));
    assert_eq!(read.openings.len(), 2);
    assert_eq!(read.openings[0], read.openings[1]);
    assert_eq!(read.parts.len(), 2);
    assert_eq!(pictures(HALF).rewind(), None);
}

#[test]
fn after_a_rewind_pictures_in_another_order_lose_no_time() {
    // decoded I P B B P B B …: a part may end behind a P whose B pictures are not told
    let source = Source { b_frames: true, frame: 3600, gop: 50, ..Source::default() };
    let packets = of(source.packets(), TrackKind::Video);
    let mut chunker = pictures(SECOND * 2 / 5);
    let mut read = Read::default();
    chunker.cut(cut(7, 0, false));
    for packet in &packets[..30] {
        chunker.push(packet.clone());
        collect(&mut chunker, &mut read, HALF);
    }
    let from = chunker.rewind().unwrap();
    let told: Vec<_> = read.parts.iter().flat_map(|(_, part)| chunks(&part.bytes)).collect();
    let told: Vec<_> = told.iter().flat_map(|chunk| &chunk.samples).collect();
    assert_eq!(told.iter().map(|sample| sample.pts()).max().unwrap() + 1, from.ticks() + 900_000);
    // the new encoder has a keyframe there and needs no reordering
    let at = (from.ticks() + 3599) / 3600 * 3600;
    for nth in 0..70 {
        let pts = nth * 3600;
        if pts == 50 * 3600 {
            chunker.cut(cut(8, pts, false));
        }
        chunker.push(picture(nth as u64, pts, pts, nth == 0 || pts == at || nth == 50, 100));
        collect(&mut chunker, &mut read, HALF);
    }
    assert_eq!(shape(&read.segments[0]), (7, 0, 2 * SECOND, false, false));
    let samples = Read::samples(&read.segments[0]);
    assert!(samples.windows(2).all(|pair| pair[0].decode + i64::from(pair[0].duration) == pair[1].decode));
    let mut shown: Vec<_> = samples.iter().map(|sample| sample.pts() - 900_000).collect();
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown.len(), samples.len(), "no picture twice");
    assert_eq!(*shown.last().unwrap(), 49 * 3600);
}

#[test]
fn after_a_rewind_sound_goes_on_with_the_next_sample() {
    let packets = Source { frame: 0, ..Source::default() }.packets();
    let mut chunker = sounds(HALF, 48_000);
    let mut read = Read::default();
    chunker.cut(cut(7, 0, false));
    push(&mut chunker, &mut read, &packets[..30]);
    assert_eq!(chunker.rewind(), Some(MediaTime::from_ticks(23 * 1920)));
    push(&mut chunker, &mut read, &packets[..94]);
    chunker.cut(cut(8, 2 * SECOND, false));
    push(&mut chunker, &mut read, &packets[94..96]);
    let samples = Read::samples(&read.segments[0]);
    assert_eq!(samples.len(), 94);
    for (sample, packet) in samples.iter().zip(&packets) {
        assert_eq!(sample.data, packet.data);
    }
    assert_eq!(chunker.stats(), Default::default());
}

#[test]
fn sound_goes_where_the_cut_is_nearest() {
    // frames of 1920 ticks: boundaries at 178560 and 180480
    for (at, told_late, want) in [
        (2 * SECOND, false, 180_480),
        (179_000, false, 178_560),
        (2 * SECOND, true, 180_480),
        (179_000, true, 178_560),
        // these have been told already
        (170_000, true, 176_640),
    ] {
        let packets = Source { frame: 0, ..Source::default() }.packets();
        let mut chunker = sounds(HALF, 48_000);
        let mut read = Read::default();
        chunker.cut(cut(7, 0, false));
        if !told_late {
            chunker.cut(cut(8, at, false));
        }
        push(&mut chunker, &mut read, &packets[..98]);
        if told_late {
            chunker.cut(cut(8, at, false));
        }
        push(&mut chunker, &mut read, &packets[98..150]);
        assert_eq!(read.openings[1].start.ticks(), want, "{at} {told_late}");
        chunker.finish();
        collect(&mut chunker, &mut read, HALF);
        let samples: Vec<_> = read.segments.iter().flat_map(Read::samples).collect();
        assert_eq!(samples.len(), 150, "{at} {told_late}");
    }
}

#[test]
fn sound_that_is_missing_or_late() {
    let mut chunker = sounds(HALF, 48_000);
    let mut read = Read::default();
    chunker.cut(cut(7, 0, false));
    let frames = |from: i64, count: i64| -> Vec<Packet> {
        (0..count).map(|nth| sound(nth as u64, from + nth * 1920, 100)).collect()
    };
    push(&mut chunker, &mut read, &frames(0, 10));
    push(&mut chunker, &mut read, &frames(19_200 + 1900, 10)); // within a frame: counted
    push(&mut chunker, &mut read, &frames(38_400 + 9_600, 3)); // five frames are missing
    push(&mut chunker, &mut read, &frames(0, 3)); // long past
    push(&mut chunker, &mut read, &frames(53_760 + 2 * SECOND, 30));
    chunker.finish();
    collect(&mut chunker, &mut read, HALF);
    assert_eq!(chunker.stats().dropped_sounds, 3);
    let samples = Read::samples(&read.segments[0]);
    let odd: Vec<_> = samples
        .iter()
        .enumerate()
        .filter(|(_, sample)| sample.duration != 1024)
        .map(|(nth, sample)| (nth, sample.duration))
        .collect();
    assert_eq!(odd, [(19, 6 * 1024), (22, 1024 + 96_000)]);
    assert_eq!(parts(&read.segments[0]), "405* 500* 500- 500- 500- 192- 491* 149*");
}

#[test]
fn events_and_the_wall_clock_go_before_the_next_chunk() {
    let mut chunker = pictures(HALF).with_wall_clock();
    let mut read = Read::default();
    chunker.cut(cut(7, 0, false));
    push(&mut chunker, &mut read, &stretch(0.0, 0.6, &[0.0]));
    chunker.metadata(hls::cmaf::Metadata {
        at: MediaTime::from_ticks(SECOND),
        duration: None,
        id: 5,
        scheme: hls::cmaf::fragment::Event::ID3.to_owned(),
        value: String::new(),
        message: bytes::Bytes::from_static(b"ID3\x04\0\0\0\0\0\0"),
    });
    push(&mut chunker, &mut read, &stretch(0.6, 1.6, &[]));
    let before: Vec<_> = read.parts.iter().map(|(_, part)| chunks(&part.bytes)[0].before.join(" ")).collect();
    assert_eq!(before, ["styp prft", "prft emsg", "prft"]);
    let emsg = &read.parts[1].1.bytes;
    let at = emsg.windows(4).position(|four| four == b"emsg").unwrap();
    assert_eq!(emsg[at + 8..at + 20], [0, 1, 0x5F, 0x90, 0, 0, 0, 0, 0, 0x0F, 0x1B, 0x30]);
}

#[test]
fn a_segment_has_limits() {
    let mut chunker = pictures(HALF);
    chunker.cut(cut(7, 0, false));
    let count = MAX_FRAMES as i64 + 100;
    for nth in 0..count {
        chunker.push(picture(7, nth, nth, nth == 0, 10));
    }
    assert_eq!(chunker.stats().dropped_pictures, 100);
    let mut chunker = pictures(HALF);
    chunker.cut(cut(7, 0, false));
    for nth in 0..65 {
        chunker.push(picture(7, nth * SECOND, nth * SECOND, nth == 0, 10));
    }
    assert_eq!(chunker.stats().dropped_pictures, 4);
    let mut chunker = pictures(HALF);
    chunker.cut(cut(7, 0, false));
    for nth in 0..6 {
        chunker.push(picture(7, nth * 3600, nth * 3600, nth == 0, 30 << 20));
    }
    assert_eq!(chunker.stats().dropped_pictures, 2, "128 MiB");
    for count in [1, 500] {
        let mut chunker = pictures(HALF);
        for nth in 0..count {
            chunker.cut(cut(nth, nth as i64, false));
        }
        chunker.push(picture(7, 1_000_000, 1_000_000, true, 10));
        let told = std::iter::from_fn(|| chunker.poll()).count();
        assert_eq!(told as u64, count.min(256), "gaps, and the last one's opening");
    }
    let mut chunker = sounds(HALF, 48_000);
    chunker.cut(cut(7, 0, false));
    (0..65).for_each(|nth| chunker.push(sound(7, nth * SECOND, 10)));
    assert_eq!(chunker.stats().dropped_sounds, 4);
}
