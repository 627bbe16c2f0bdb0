//! Bytes a second of the transport stream muxer, of what it would be with every packet written by `mpeg2ts`, and of
//! fragmented MP4 from the same packets.
//!
//! `cargo bench -p hls`

use std::sync::Arc;

use divan::{Bencher, counter::BytesCount};
use hls::{
    cmaf::{
        Chunked, Chunker,
        fragment::{Fragment, Sample},
    },
    cut::{Cut, WallClock},
    ts::{Contents, Muxer, Picture, Sound},
};
use media::{
    AudioConfig, MediaSequence, MediaSpan, MediaTime, Packet, TrackId, TrackKind, VideoConfig, aac, h264,
};
use mpeg2ts::ts::{
    ContinuityCounter, Pid, TransportScramblingControl, TsHeader, TsPacket, TsPacketWriter, TsPayload,
    WriteTsPacket, payload,
};

fn main() {
    divan::main();
}

/// x264, 1280x720, High@3.1, 30 fps.
const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

/// Two seconds at 30 frames a second with 128 kbit/s of sound.
fn two_seconds(kbps: usize) -> (Vec<Picture>, Vec<Sound>) {
    let config =
        h264::Config::from_units(vec![SPS.into()], vec![PPS.into()]).expect("the parameter sets are sound");
    let video = Arc::new(VideoConfig::H264(config));
    let audio = Arc::new(AudioConfig::Aac(aac::Config::lc(48_000, 2).expect("a usual configuration")));
    let packet = |kind, ticks, keyframe, data: Vec<u8>| Packet {
        track: TrackId(0),
        kind,
        pts: MediaTime::from_ticks(ticks),
        dts: MediaTime::from_ticks(ticks),
        keyframe,
        data: data.into(),
    };
    let share = kbps * 1000 / 8 * 2 / 70; // an IDR weighs as much as eleven others
    let pictures = (0..60i64).map(|nth| {
        let size = if nth == 0 { share * 11 } else { share };
        let mut data = (size as u32).to_be_bytes().to_vec();
        data.push(if nth == 0 { 0x65 } else { 0x41 });
        data.resize(size + 4, 0xA7);
        Picture {
            packet: packet(TrackKind::Video, nth * 3000, nth == 0, data),
            config: (nth == 0).then(|| video.clone()),
        }
    });
    let sounds = (0..94i64).map(|nth| Sound {
        packet: packet(TrackKind::Audio, nth * 1920, true, vec![0x21; 341]),
        config: audio.clone(),
    });
    (pictures.collect(), sounds.collect())
}

#[divan::bench(args = [500, 2_000, 6_000])]
fn muxer(bencher: Bencher, kbps: usize) {
    let (pictures, sounds) = two_seconds(kbps);
    let contents = Contents { pictures: &pictures, sounds: &sounds, discontinuity: false, until: None };
    let bytes = Muxer::new(true, true).segment(&contents).0.len();
    let mut muxer = Muxer::new(true, true);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| muxer.segment(&contents));
}

/// The same number of packets, all of them continuations: what the crate alone takes for the bulk.
#[divan::bench(args = [500, 2_000, 6_000])]
fn mpeg2ts_every_packet(bencher: Bencher, kbps: usize) {
    let (pictures, sounds) = two_seconds(kbps);
    let contents = Contents { pictures: &pictures, sounds: &sounds, discontinuity: false, until: None };
    let bytes = Muxer::new(true, true).segment(&contents).0.len();
    let data = vec![0xA7; bytes];
    let pid = Pid::new(0x100).expect("13 bits");
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        let mut counter = ContinuityCounter::new();
        let mut writer = TsPacketWriter::new(Vec::with_capacity(bytes));
        for chunk in data.chunks_exact(188) {
            let header = TsHeader {
                transport_error_indicator: false,
                transport_priority: false,
                pid,
                transport_scrambling_control: TransportScramblingControl::NotScrambled,
                continuity_counter: counter,
            };
            counter.increment();
            let data = payload::Bytes::new(&chunk[4..]).expect("184 bytes");
            let packet =
                TsPacket { header, adaptation_field: None, payload: Some(TsPayload::PesContinuation(data)) };
            writer.write_ts_packet(&packet).expect("it fits");
        }
        writer.into_stream()
    });
}

/// The same packets as chunks of half a second, four of pictures and four of sound.
#[divan::bench(args = [500, 2_000, 6_000])]
fn fragments(bencher: Bencher, kbps: usize) {
    let (pictures, sounds) = two_seconds(kbps);
    let sample = |packet: &Packet, duration| Sample {
        data: packet.data.clone(),
        duration,
        offset: 0,
        key: packet.keyframe,
    };
    let pictures: Vec<_> = pictures.iter().map(|picture| sample(&picture.packet, 3000)).collect();
    let sounds: Vec<_> = sounds.iter().map(|sound| sample(&sound.packet, 1024)).collect();
    let write = |samples: &[Sample], timescale| {
        let fragment = Fragment {
            sequence: 1,
            decode_time: 900_000,
            samples,
            opens: false,
            unix_micros: None,
            events: &[],
            timescale,
        };
        fragment.write().bytes.len()
    };
    let all = || -> usize {
        let pictures = pictures.chunks(15).map(|part| write(part, 90_000));
        pictures.chain(sounds.chunks(24).map(|part| write(part, 48_000))).sum()
    };
    bencher.counter(BytesCount::new(all())).bench_local(all);
}

/// The same packets pushed into two chunkers, as a stream does.
#[divan::bench(args = [500, 2_000, 6_000])]
fn chunkers(bencher: Bencher, kbps: usize) {
    let (pictures, sounds) = two_seconds(kbps);
    let video = pictures[0].config.clone().expect("it begins with a keyframe");
    let clock = WallClock { at: MediaTime::ZERO, unix_micros: 0 };
    let run = || -> usize {
        let [mut of_pictures, mut of_sounds] = [TrackKind::Video, TrackKind::Audio].map(|kind| {
            let mut chunker = Chunker::new(kind, MediaSpan::from_millis(500));
            chunker.cut(Cut { sequence: MediaSequence(0), at: MediaTime::ZERO, discontinuity: false, clock });
            chunker.video_config(video.clone());
            chunker.audio_config(sounds[0].config.clone());
            chunker
        });
        let drain = |chunker: &mut Chunker| -> usize {
            let parts = std::iter::from_fn(|| chunker.poll()).filter_map(|event| match event {
                Chunked::Part { part, .. } => Some(part.bytes.len()),
                _ => None,
            });
            parts.sum()
        };
        let mut bytes = 0;
        for picture in &pictures {
            of_pictures.push(picture.packet.clone());
            bytes += drain(&mut of_pictures);
        }
        for sound in &sounds {
            of_sounds.push(sound.packet.clone());
            bytes += drain(&mut of_sounds);
        }
        for chunker in [&mut of_pictures, &mut of_sounds] {
            chunker.finish();
            bytes += drain(chunker);
        }
        bytes
    };
    bencher.counter(BytesCount::new(run())).bench_local(run);
}
