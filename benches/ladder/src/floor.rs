//! The least that the ladder can cost with these libraries and settings: decode, scale from rung to rung, encode, called
//! in turn from one thread, each with one thread, and nothing beside. The thread's CPU clock is read around each call.

use ffmpeg_next::{
    Dictionary, Discard, Packet, Rational, codec, encoder, filter, format::Pixel, frame, media::Type, picture,
};
use rustix::time::{ClockId, clock_gettime};
use transcode::{VideoRung, ladder};

use crate::Task;

struct Rung {
    scaler: filter::Graph,
    picture: frame::Video,
    encoder: encoder::Video,
    scale: f64,
    encode: f64,
}

/// Prints seconds of CPU per kind of work.
pub(crate) fn run(task: &Task) {
    let job = task.job.video.as_ref().expect("a picture");
    let mut input = ffmpeg_next::format::input(&task.clip).expect("it opens");
    let stream = input.streams().best(Type::Video).expect("a picture");
    let track = stream.index();
    let mut context = codec::Context::from_parameters(stream.parameters()).expect("a codec");
    context.set_threading(codec::threading::Config { count: 1, ..Default::default() });
    let mut decoder = context.decoder().video().expect("a decoder");
    decoder.skip_loop_filter(Discard::NonReference);
    let mut from = (decoder.width(), decoder.height());
    let mut rungs: Vec<Rung> = job
        .rungs
        .iter()
        .map(|rung| {
            let opened = Rung {
                scaler: scaler(from, rung),
                picture: frame::Video::empty(),
                encoder: encode_with(rung),
                scale: 0.0,
                encode: 0.0,
            };
            from = (rung.width, rung.height);
            opened
        })
        .collect();
    let (mut decode, mut frames, mut packet) = (0.0, 0i64, Packet::empty());
    let mut picture = frame::Video::empty();
    loop {
        let mut coded = Packet::empty();
        let more = coded.read(&mut input).is_ok();
        match more {
            true if coded.stream() == track => {
                decode += timed(|| decoder.send_packet(&coded).expect("it decodes"));
            }
            true => continue,
            false => decoder.send_eof().expect("an end"),
        }
        loop {
            let mut got = false;
            decode += timed(|| got = decoder.receive_frame(&mut picture).is_ok());
            if !got {
                break;
            }
            push(&mut rungs, &picture, frames, &mut packet);
            frames += 1;
        }
        if !more {
            break;
        }
    }
    for rung in &mut rungs {
        rung.encoder.send_eof().expect("an end");
        rung.encode += timed(|| while rung.encoder.receive_packet(&mut packet).is_ok() {});
    }
    let list = |of: fn(&Rung) -> f64| {
        rungs.iter().map(|rung| format!("{:.4}", of(rung))).collect::<Vec<_>>().join(",")
    };
    println!(
        "{{\"frames\":{frames},\"decode\":{decode:.4},\"scale\":[{}],\"encode\":[{}]}}",
        list(|rung| rung.scale),
        list(|rung| rung.encode)
    );
}

fn push(rungs: &mut [Rung], source: &frame::Video, index: i64, packet: &mut Packet) {
    for at in 0..rungs.len() {
        let (larger, rest) = rungs.split_at_mut(at);
        let rung = &mut rest[0];
        let from = larger.last().map_or(source, |rung| &rung.picture);
        rung.scale += timed(|| {
            // It takes the picture; the encoder of that size has its own reference by now.
            rung.scaler.get("in").expect("an input").source().add(from).expect("it scales");
            rung.picture = frame::Video::empty();
            rung.scaler.get("out").expect("an output").sink().frame(&mut rung.picture).expect("it scales");
        });
        rung.picture.set_pts(Some(index * 3000));
        let kind = if index % 60 == 0 { picture::Type::I } else { picture::Type::None };
        rung.picture.set_kind(kind);
        rung.encode += timed(|| {
            rung.encoder.send_frame(&rung.picture).expect("it encodes");
            while rung.encoder.receive_packet(packet).is_ok() {}
        });
    }
}

/// zimg, as the pipeline uses it.
fn scaler(from: (u32, u32), rung: &VideoRung) -> filter::Graph {
    let find = |name| filter::find(name).expect("a filter");
    let mut graph = filter::Graph::new();
    let input =
        format!("video_size={}x{}:pix_fmt=yuv420p:time_base=1/90000:pixel_aspect=1/1", from.0, from.1);
    graph.add(&find("buffer"), "in", &input).expect("an input");
    graph.add(&find("buffersink"), "out", "").expect("an output");
    let steps = format!("zscale=w={}:h={}:filter=lanczos:threads=1,setsar=1", rung.width, rung.height);
    let parser = graph.output("in", 0).and_then(|parser| parser.input("out", 0)).expect("two ends");
    parser.parse(&steps).expect("steps");
    graph.validate().expect("a graph");
    graph
}

fn encode_with(rung: &VideoRung) -> encoder::Video {
    let codec = encoder::find_by_name("libx264").expect("libx264");
    let mut video = codec::Context::new_with_codec(codec).encoder().video().expect("a context");
    video.set_width(rung.width);
    video.set_height(rung.height);
    video.set_format(Pixel::YUV420P);
    video.set_time_base(Rational(1, 90_000));
    video.set_frame_rate(Some(Rational(30, 1)));
    let settings = &rung.settings;
    let tuned = ladder::x264(settings.preset, rung.width, rung.height);
    let colon = if tuned.params.is_empty() { "" } else { ":" };
    let mut options = Dictionary::new();
    for (key, value) in [
        ("preset", tuned.preset.to_owned()),
        ("b", settings.bitrate_bps.to_string()),
        ("maxrate", settings.maxrate_bps.to_string()),
        ("bufsize", settings.bufsize_bits.to_string()),
        ("threads", "1".to_owned()),
        ("forced-idr", "1".to_owned()),
        ("x264-params", format!("{}{colon}keyint=infinite:scenecut=0:open-gop=0:force-cfr=1", tuned.params)),
    ] {
        options.set(key, &value);
    }
    video.open_with(options).expect("it opens")
}

/// Seconds of this thread's CPU that a call takes.
fn timed(call: impl FnOnce()) -> f64 {
    let before = clock_gettime(ClockId::ThreadCPUTime);
    call();
    let after = clock_gettime(ClockId::ThreadCPUTime);
    (after.tv_sec - before.tv_sec) as f64 + (after.tv_nsec - before.tv_nsec) as f64 * 1e-9
}
