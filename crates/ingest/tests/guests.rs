//! Players and a listener's end, from outside: a socket, and a client of our own.
#![allow(clippy::unwrap_used, reason = "a helper fails as its test does")]

mod support;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ingest::{
    Decision, Feed, Lane, Listener, Metadata, Owner, PlayDecision, PlayRequest, PublishRequest, Settings,
    Shutdown, subscription,
};
use media::{AudioConfig, MediaEvent, MediaTime, Packet, TrackId, TrackKind, aac};
use rtmp::{
    amf0::{Encoder, Value, object},
    chunk::{Reader, Writer, csid, writer::Head},
    client::Event,
    handshake,
    limits::Limits,
    message::kind,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use support::PATIENCE;

struct Gate {
    address: SocketAddr,
    shutdown: Shutdown,
    plays: mpsc::Receiver<PlayRequest>,
    publishes: mpsc::Receiver<PublishRequest>,
}

fn open() -> Gate {
    let listener = Listener::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let address = listener.addresses()[0];
    let (publish, publishes) = mpsc::channel(8);
    let (play, plays) = mpsc::channel(8);
    let shutdown = Shutdown::default();
    let owner = Owner { publish, play: Some(play), connect: None };
    tokio::spawn(listener.run(Settings::default(), owner, shutdown.clone()));
    Gate { address, shutdown, plays, publishes }
}

fn sound(n: i64) -> MediaEvent {
    let at = MediaTime::from_ticks(n * 1920);
    let (track, kind) = (TrackId::default(), TrackKind::Audio);
    MediaEvent::Packet(Packet {
        track,
        kind,
        pts: at,
        dts: at,
        keyframe: true,
        data: Bytes::from(vec![0x21; 100]),
    })
}

/// A player that has asked to play and reads what comes.
struct Player {
    socket: TcpStream,
    reader: Reader,
    pending: BytesMut,
}

impl Player {
    async fn ask(address: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let mut hello = vec![3];
        hello.extend(vec![0; 2 * handshake::PACKET]);
        socket.write_all(&hello).await.unwrap();
        let mut answer = vec![0; 1 + 2 * handshake::PACKET];
        socket.read_exact(&mut answer).await.unwrap();
        let (mut writer, mut out) = (Writer::new(), BytesMut::new());
        let about = object([("app", "live".into())]);
        for (stream, body) in [
            (0, Encoder::new().put("connect").put(1.0).put(about)),
            (0, Encoder::new().put("createStream").put(2.0).put(Value::Null)),
            (1, Encoder::new().put("play").put(0.0).put(Value::Null).put("show")),
        ] {
            let head = Head { csid: csid::COMMAND, kind: kind::COMMAND, stream, timestamp: 0 };
            writer.write(&mut out, head, &body.finish());
        }
        socket.write_all(&out).await.unwrap();
        Self { socket, reader: Reader::new(Limits::default(), 0), pending: BytesMut::new() }
    }

    /// Times of the next `count` packets of sound; fewer where the server closes before.
    async fn sounds(&mut self, count: usize) -> Vec<u32> {
        let mut times = vec![];
        loop {
            let bytes = self.pending.split();
            let mut input = &bytes[..];
            while let Some(message) = self.reader.next(&mut input).unwrap() {
                if message.kind == kind::AUDIO && message.payload.get(1) == Some(&1) {
                    times.push(message.timestamp);
                }
            }
            if times.len() >= count {
                return times;
            }
            if timeout(PATIENCE, self.socket.read_buf(&mut self.pending)).await.unwrap().unwrap() == 0 {
                return times;
            }
        }
    }
}

async fn accept(gate: &mut Gate, first: Vec<MediaEvent>) -> Feed {
    let request = timeout(PATIENCE, gate.plays.recv()).await.unwrap().unwrap();
    assert_eq!((request.app.as_str(), request.name.expose()), ("live", "show"));
    let (feed, player) = subscription(Metadata::default(), first);
    request.reply.send(PlayDecision::Accept(player)).unwrap();
    feed
}

#[tokio::test]
async fn a_player_gets_what_is_kept_and_what_follows_until_the_end() {
    let mut gate = open();
    let mut player = Player::ask(gate.address).await;
    let config = AudioConfig::Aac(aac::Config::lc(48_000, 2).unwrap());
    let kept = [MediaEvent::AudioConfig(TrackId::default(), Arc::new(config)), sound(100), sound(101)];
    let feed = accept(&mut gate, kept.to_vec()).await;
    assert_eq!(player.sounds(2).await, [0, 21]);
    assert!(feed.push(&sound(102)));
    assert_eq!(player.sounds(1).await, [42]);
    feed.end("Over.");
    assert_eq!(player.sounds(1).await, [0; 0], "the server closes");
    gate.shutdown.stop();
}

#[tokio::test]
async fn a_player_that_leaves_is_forgotten() {
    let mut gate = open();
    let player = Player::ask(gate.address).await;
    let feed = accept(&mut gate, vec![]).await;
    drop(player);
    let gone = async {
        while feed.push(&sound(1)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    gate.shutdown.stop();
}

#[tokio::test]
async fn a_drain_asks_those_who_can_to_leave_and_lets_nobody_in() {
    let mut gate = open();
    let mut socket = TcpStream::connect(gate.address).await.unwrap();
    let mut publisher = support::client("live");
    let mut buffer = vec![0; 16 * 1024];
    let mut lanes = vec![];
    loop {
        socket.write_all(&publisher.take_outbound()).await.unwrap();
        match publisher.poll_event() {
            Some(Event::Ready) => {
                assert_eq!(gate.shutdown.able_to_leave(), 1);
                gate.shutdown.drain();
            }
            Some(Event::ReconnectRequested) => break,
            Some(other) => panic!("{other:?}"),
            None => {}
        }
        tokio::select! {
            Some(request) = gate.publishes.recv() => {
                let (packets, inbox) = mpsc::channel(8);
                let (farewell, bid) = watch::channel(None);
                request.reply.send(Decision::Accept(Lane { packets, farewell: bid })).unwrap();
                lanes.push((inbox, farewell));
            }
            read = timeout(PATIENCE, socket.read(&mut buffer)) => {
                let read = read.unwrap().unwrap();
                assert!(read > 0, "it is served until it leaves");
                publisher.feed(std::time::Instant::now(), &buffer[..read]).unwrap();
            }
        }
    }
    let closed = async {
        while TcpStream::connect(gate.address).await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
    assert_eq!(gate.shutdown.able_to_leave(), 1);
    drop(socket);
    let left = async {
        while gate.shutdown.able_to_leave() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, left).await.unwrap();
}
