//! Bytes a second through a session: a captured publication, and a longer one at the rate of a 1080p stream.
//!
//! `cargo bench -p rtmp`

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use divan::{Bencher, counter::BytesCount};
use media::{AudioConfig, MediaTime, Packet, TrackId, TrackKind, VideoConfig, aac, h264};
use rtmp::{
    Event, Session, Settings, Verdict,
    client::{Publisher, Target},
};

const CAPTURE: &[u8] = include_bytes!("../testdata/ffmpeg-5.1.9.rtmp");
/// What the gateway reads at a time.
const READ: usize = 16 * 1024;

fn main() {
    divan::main();
}

/// Gives the number of packets that came out.
fn replay(bytes: &[u8], read: usize) -> usize {
    let now = Instant::now();
    let mut session = Session::new(now, Settings::default());
    let mut packets = 0;
    for piece in bytes.chunks(read) {
        session.feed(now, piece).expect("the input is sound");
        while let Some(event) = session.poll_event() {
            match event {
                Event::PublishRequested(_) => session.answer(Verdict::Accept),
                Event::Media(media::MediaEvent::Packet(packet)) => {
                    packets += divan::black_box(packet).data.len().min(1)
                }
                _ => {}
            }
        }
        session.take_outbound();
    }
    packets
}

#[divan::bench]
fn capture(bencher: Bencher<'_, '_>) {
    bencher.counter(BytesCount::of_slice(CAPTURE)).bench(|| replay(CAPTURE, READ));
}

/// 20 s of 6 Mbit/s, 30 frames a second, keyframes every 2 s, 48 kHz AAC.
#[divan::bench(args = [1460, READ, 65_536])]
fn six_megabits(bencher: Bencher<'_, '_>, read: usize) {
    let bytes = publication();
    assert!(replay(&bytes, read) > 1500);
    bencher.counter(BytesCount::of_slice(&bytes)).bench(|| replay(&bytes, read));
}

fn publication() -> Vec<u8> {
    let now = Instant::now();
    let target = Target::parse("rtmp://host/live/key").expect("well formed");
    let (mut publisher, mut session) = (Publisher::new(now, target), Session::new(now, Settings::default()));
    let mut sent = vec![];
    let mut pump = |publisher: &mut Publisher| {
        loop {
            let up = publisher.take_outbound();
            sent.extend_from_slice(&up);
            session.feed(now, &up).expect("our own client");
            while let Some(event) = session.poll_event() {
                if matches!(event, Event::PublishRequested(_)) {
                    session.answer(Verdict::Accept);
                }
            }
            let down = session.take_outbound();
            if down.is_empty() && up.is_empty() {
                break;
            }
            publisher.feed(now, &down).expect("our own server");
        }
    };
    pump(&mut publisher);
    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
        0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
    let video = h264::Config::from_units(vec![Bytes::from_static(SPS)], vec![Bytes::from_static(PPS)]);
    publisher.send_video_config(&Arc::new(VideoConfig::H264(video.expect("sound sets"))));
    publisher
        .send_audio_config(&Arc::new(AudioConfig::Aac(aac::Config::lc(48_000, 2).expect("in the table"))));
    for frame in 0..600i64 {
        let keyframe = frame % 60 == 0;
        let len = if keyframe { 200_000 } else { 21_000 };
        let mut data: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8 | 4).collect();
        data[..4].copy_from_slice(&(len as u32 - 4).to_be_bytes());
        data[4] = if keyframe { 0x65 } else { 0x41 };
        let at = MediaTime::from_ticks(frame * 3000);
        let picture = Packet {
            track: TrackId(0),
            kind: TrackKind::Video,
            pts: at,
            dts: at,
            keyframe,
            data: data.into(),
        };
        publisher.send_packet(&picture);
        for sound in (frame * 25 / 16)..((frame + 1) * 25 / 16) {
            let at = MediaTime::from_ticks(sound * 1920);
            let data = Bytes::from(vec![0x21; 340]);
            let track = TrackId(0);
            publisher.send_packet(&Packet {
                track,
                kind: TrackKind::Audio,
                pts: at,
                dts: at,
                keyframe: true,
                data,
            });
        }
        pump(&mut publisher);
    }
    sent
}
