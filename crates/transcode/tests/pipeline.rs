//! The pipeline on real H.264 and AAC, in a thread.

mod support;

use bytes::Bytes;
use media::{MediaEvent, MediaSpan, TrackKind, VideoConfig};
use support::{check_rung, clip, events, inputs, likeness, packets, picture, planned, run, times};
use transcode::{
    Input, Isolation,
    ladder::{AudioPlan, RungWish, Treatment, Wishes},
};

fn sps(config: &VideoConfig) -> &media::h264::SpsInfo {
    &config.h264().expect("rungs are H.264").sps
}

fn rungs(heights: &[u32]) -> Wishes {
    let rungs = heights.iter().map(|height| RungWish { height: *height, bitrate_bps: None }).collect();
    Wishes { rungs, ..Wishes::default() }
}

#[tokio::test]
async fn every_rung_has_the_sources_times_and_opens_at_its_keyframes() {
    let clip = picture("640x480", 30, 5, 30, "");
    let (_, plan, job) = planned(&clip.path, &Wishes::default());
    assert!(plan.rungs[0].is_copy(), "{plan}");
    let events = events(&clip.path);
    let source = packets(&events, TrackKind::Video);
    let source_times = times(source.iter().copied());
    let source_keys = times(source.iter().copied().filter(|packet| packet.keyframe));
    assert_eq!((source_times.len(), source_keys.len()), (150, 5));
    let made = run(Isolation::Thread, job, inputs(events.clone(), None)).await;
    assert_eq!(made.end, Some(Ok(())));
    assert_eq!(made.stats.frames_decoded, 150);
    let encoded: Vec<_> = plan.rungs.iter().filter(|rung| !rung.is_copy()).collect();
    assert_eq!(made.configs.len(), encoded.len());
    for (index, rung) in encoded.iter().enumerate() {
        assert_eq!(made.configs[index].dimensions(), (rung.width, rung.height));
        assert_eq!(made.configs[index].frame_rate(), rung.frame_rate);
        let Treatment::Encode(settings) = &rung.treatment else { unreachable!() };
        assert_eq!(sps(&made.configs[index]).level_idc, settings.level_idc, "{}", rung.name);
        check_rung(&made, index, &source_times, &source_keys);
        let likeness = likeness(&made, index, &clip.path);
        assert!(likeness > 30.0, "{}: {likeness} dB", rung.name);
    }
}

#[tokio::test]
async fn what_obs_sends_by_default_is_known_at_once() {
    let clip = clip(
        "flv",
        "-f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine -t 1 -c:v libx264 -preset veryfast -c:a aac",
    );
    let source = transcode::file::probe(&clip.path, &Wishes::default()).unwrap();
    let text = source.describe();
    assert!(text.contains("1280x720 at 30 fps, H.264 High 3.1, keyframes every 8.3 s"), "{text}");
    let plan = transcode::ladder::plan(&source, &Wishes::default());
    assert!(plan.rungs[0].reason.contains("set the keyframe interval to 2 s"), "{plan}");
}

#[tokio::test]
async fn on_a_grid_every_rung_opens_at_the_first_frame_of_the_cell() {
    let clip = picture("640x480", 25, 6, 250, "");
    let (_, plan, job) = planned(&clip.path, &Wishes::default());
    assert!(plan.rungs.iter().all(|rung| !rung.is_copy()), "{plan}");
    let events = events(&clip.path);
    let source_times = times(packets(&events, TrackKind::Video));
    let first = source_times[0];
    // 3600 ticks a frame: the second cut falls between frames, the last one after the end
    let grid = vec![first, first + 50 * 3600 + 1, first + 100 * 3600, first + 1_000_000];
    let made = run(Isolation::Thread, job, inputs(events, Some(grid))).await;
    for rung in 0..plan.rungs.len() {
        check_rung(&made, rung, &source_times, &[first, first + 51 * 3600, first + 100 * 3600]);
    }
}

#[tokio::test]
async fn small_rungs_of_fast_sources_have_half_the_frames_and_every_cut() {
    let clip = picture("854x480", 60, 3, 45, "");
    let (_, plan, job) = planned(&clip.path, &rungs(&[480, 360, 240]));
    let events = events(&clip.path);
    let source = packets(&events, TrackKind::Video);
    let keys = times(source.iter().copied().filter(|packet| packet.keyframe));
    let made = run(Isolation::Thread, job, inputs(events.clone(), None)).await;
    assert_eq!((plan.rungs.len(), made.video.len(), keys.len()), (3, 2, 4));
    for rung in 0..2 {
        assert_eq!(made.keys(rung), keys, "odd GOPs too");
        // two frames in a row at each odd cut
        assert!((90..=93).contains(&made.video[rung].len()), "{}", made.video[rung].len());
    }
    assert_eq!(times(&made.video[0]), times(&made.video[1]), "the same frames in both");
}

#[tokio::test]
async fn what_players_do_not_take_becomes_8_bit_420() {
    for (name, more) in [
        ("4:4:4", "-pix_fmt yuv444p"),
        ("4:2:2", "-pix_fmt yuv422p"),
        ("10 bit", "-pix_fmt yuv420p10le"),
        ("full range", "-pix_fmt yuvj420p"),
        ("RGB", "-c:v libx264rgb -pix_fmt rgb24"),
        ("grey", "-pix_fmt gray"),
    ] {
        let clip = picture("640x480", 30, 2, 30, more);
        let (_, plan, job) = planned(&clip.path, &Wishes::default());
        let copied = plan.rungs.iter().filter(|rung| rung.is_copy()).count();
        assert_eq!(copied, usize::from(name == "full range"), "{name}: {plan}");
        let events = events(&clip.path);
        let source_times = times(packets(&events, TrackKind::Video));
        let made = run(Isolation::Thread, job, inputs(events, Some(vec![source_times[0]]))).await;
        assert_eq!(made.end, Some(Ok(())), "{name}");
        for (index, config) in made.configs.iter().enumerate() {
            let sps = sps(config);
            assert_eq!((sps.chroma_format, sps.bit_depth), (1, 8), "{name}");
            check_rung(&made, index, &source_times, &source_times[..1]);
            let likeness = likeness(&made, index, &clip.path);
            // FFmpeg's own conversion of RGB uses another matrix than ours
            assert!(likeness > 30.0 || name == "RGB", "{name}: {likeness} dB");
        }
    }
}

#[tokio::test]
async fn a_picture_that_changes_its_size_is_fitted_in() {
    let (wide, tall) = (picture("640x360", 30, 2, 250, ""), picture("240x320", 30, 2, 250, ""));
    let (_, _, job) = planned(&wide.path, &Wishes::default());
    let mut all = events(&wide.path);
    let first = times(packets(&all, TrackKind::Video));
    let shift = MediaSpan::from_ticks(10 * 90_000);
    for event in events(&tall.path) {
        all.push(match event {
            MediaEvent::Packet(packet) => MediaEvent::Packet(packet.shifted(shift)),
            other => other,
        });
    }
    let every = times(packets(&all, TrackKind::Video));
    let made = run(Isolation::Thread, job, inputs(all, None)).await;
    assert_eq!(made.end, Some(Ok(())));
    for rung in 0..made.video.len() {
        check_rung(&made, rung, &every, &[first[0], every[60]]);
    }
}

#[tokio::test]
async fn broken_packets_are_counted_and_passed_over() {
    let clip = picture("320x240", 30, 4, 30, "");
    let (_, _, job) = planned(&clip.path, &rungs(&[240, 180]));
    let mut seed = 1u32;
    let mut random = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as usize
    };
    let broken = events(&clip.path)
        .into_iter()
        .map(|event| match event {
            MediaEvent::Packet(mut packet) if random() % 3 == 0 => {
                let mut data = packet.data.to_vec();
                match random() % 3 {
                    0 => data.truncate(random() % data.len()),
                    1 => data.iter_mut().skip(4).for_each(|byte| *byte = random() as u8),
                    _ => (0..5).for_each(|_| {
                        let at = random() % data.len();
                        data[at] ^= 0xFF;
                    }),
                }
                packet.data = Bytes::from(data);
                MediaEvent::Packet(packet)
            }
            other => other,
        })
        .collect();
    let made = run(Isolation::Thread, job, inputs(broken, None)).await;
    assert_eq!(made.end, Some(Ok(())));
    assert!(made.stats.decode_errors > 0, "{:?}", made.stats);
    assert!(made.video[0].len() > 20, "{} frames came through", made.video[0].len());
    assert_eq!(times(&made.video[0]), times(made.video.last().unwrap()));
}

#[tokio::test]
async fn nothing_but_garbage_is_given_up_on_with_a_reason() {
    let clip = picture("320x240", 30, 1, 30, "");
    let (_, _, job) = planned(&clip.path, &rungs(&[180]));
    let packet = packets(&events(&clip.path), TrackKind::Video)[0].clone();
    let mut inputs: Vec<Input> = (0..400)
        .map(|frame| {
            let mut packet = packet.clone().shifted(MediaSpan::from_ticks(frame * 3000));
            packet.data = Bytes::from_static(&[0, 0, 0, 5, 0x65, 1, 2, 3, 4]);
            Input::Packet(packet)
        })
        .collect();
    inputs.push(Input::Finish);
    let made = run(Isolation::Thread, job, inputs).await;
    let reason = made.end.unwrap().unwrap_err();
    assert!(reason.contains("could not be decoded"), "{reason}");
}

#[tokio::test]
async fn unusual_sound_becomes_stereo_on_a_steady_count() {
    for (name, layout) in
        [("5.1", "-ac 6 -ar 48000"), ("8 kHz mono", "-ac 1 -ar 8000"), ("96 kHz", "-ac 2 -ar 96000")]
    {
        let clip = clip("mp4", &format!("-f lavfi -i sine=frequency=440 -t 3 -c:a aac {layout}"));
        let (_, plan, job) = planned(&clip.path, &Wishes::default());
        assert!(matches!(plan.audio, AudioPlan::Encode(_)), "{name}: {plan}");
        let events = events(&clip.path);
        let source = times(packets(&events, TrackKind::Audio));
        let made = run(Isolation::Thread, job, inputs(events, None)).await;
        assert_eq!(made.end, Some(Ok(())), "{name}");
        let config = made.audio_config.unwrap();
        assert_eq!(
            (config.codecs().as_str(), config.sample_rate(), config.channels()),
            ("mp4a.40.2", 48_000, 2)
        );
        let got = times(&made.audio);
        assert!(got.windows(2).all(|two| two[1] - two[0] == 1920), "{name}: {got:?}");
        assert!(
            got[0] >= source[0] && got[0] - source[0] < 1920,
            "{name}: begins {} at {}",
            source[0],
            got[0]
        );
        let end = *source.last().unwrap();
        assert!(
            (end - got.last().unwrap()).abs() < 3 * 1920 + 11_520,
            "{name}: ends {end} at {:?}",
            got.last()
        );
        assert_eq!(made.stats.audio_reanchored, 0, "{name}");
    }
}

#[tokio::test]
async fn what_is_declared_of_the_bits_holds() {
    let clip = clip(
        "mp4",
        "-f lavfi -i testsrc2=size=640x360:rate=30,noise=alls=80:allf=t -t 8 -c:v libx264 -preset veryfast -g 60 \
         -keyint_min 60 -sc_threshold 0 -b:v 6M",
    );
    let (_, plan, job) = planned(&clip.path, &rungs(&[360, 240]));
    let made = run(Isolation::Thread, job, inputs(events(&clip.path), None)).await;
    let rung = plan.rungs.iter().find(|rung| !rung.is_copy()).unwrap();
    let keys = made.keys(0);
    for segment in keys.windows(2) {
        let inside = |pts: i64| (segment[0]..segment[1]).contains(&pts);
        let bytes: usize = made.video[0]
            .iter()
            .filter(|packet| inside(packet.pts.ticks()))
            .map(|packet| packet.data.len())
            .sum();
        let bps = bytes as f64 * 8.0 * 90_000.0 / (segment[1] - segment[0]) as f64;
        assert!(bps * 1.08 < rung.peak_bps.unwrap() as f64, "{bps:.0} of {:?}", rung.peak_bps);
    }
}

#[tokio::test]
async fn colours_are_declared_alike_on_every_rung() {
    for (name, more, size, want) in [
        ("said", "-colorspace bt709 -color_primaries bt709 -color_trc bt709", "320x240", 1),
        ("not said, small", "", "320x240", 2),
        ("not said, HD", "", "1280x720", 1),
        ("BT.601", "-colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m", "1280x720", 6),
    ] {
        let clip = picture(size, 10, 1, 10, more);
        let (_, _, job) = planned(&clip.path, &rungs(&[180]));
        let made = run(Isolation::Thread, job, inputs(events(&clip.path), None)).await;
        let config = made.configs[0].h264().unwrap();
        let body = h264_reader::rbsp::decode_nal(&config.sps_units[0]).unwrap();
        let bits = h264_reader::rbsp::BitReader::new(&*body);
        let sps = h264_reader::nal::sps::SeqParameterSet::from_bits(bits).unwrap();
        let said = sps.vui_parameters.and_then(|vui| vui.video_signal_type?.colour_description);
        let got = said.map_or(2, |colour| colour.matrix_coefficients);
        assert_eq!(got, want, "{name}");
    }
}

#[tokio::test]
async fn a_dropped_transcoder_leaves_no_thread() {
    let clip = picture("320x240", 30, 2, 30, "");
    let (_, _, job) = planned(&clip.path, &rungs(&[240, 180]));
    let transcoder = transcode::Transcoder::start(Isolation::Thread, job).await.unwrap();
    for input in inputs(events(&clip.path), None) {
        let _ = transcoder.try_send(input);
    }
    drop(transcoder); // would hang here if a thread did not end
}
