#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
//! Peers that cost what they can, beside a healthy stream: memory stays bounded, no segment is late, and the next
//! publisher comes in. The figures are printed as a table: `cargo test -p e2e --test flood -- --nocapture`.

use e2e::harness::peer::{Peer, chunk, many_files};
use e2e::harness::{PATIENCE, Publisher, Stage, alone, clip, judged, s, segments};
use e2e::proc;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// A kind of attack.
struct Attack {
    name: &'static str,
    /// Connections tried.
    count: u16,
    /// Connections from one address.
    each: u16,
    /// What a connection does once it is open.
    open: fn(&mut Peer),
    /// What it does every half second after that.
    round: fn(&mut Peer, u32),
    /// Every connection has to be closed by the gateway within this time.
    within: Duration,
    /// What the gateway may grow by, MiB.
    growth: u64,
}

/// Figures of one attack.
struct Figures {
    name: &'static str,
    tried: u16,
    /// Not let do what they came for: closed within a second, or before.
    turned_away: usize,
    /// How long until the gateway had closed all of them.
    closed_after: Option<Duration>,
    left: usize,
    before_kib: u64,
    peak_kib: u64,
    after_kib: u64,
    cpu_s: f64,
    took: Duration,
}

fn quiet(_: &mut Peer, _: u32) {}

const HANDSHAKE: usize = 1 + 1536;

/// C0 and C1 up to some byte in its middle.
fn half_a_handshake(peer: &mut Peer) {
    let mut bytes = vec![3];
    bytes.resize(HANDSHAKE / 2, 0);
    peer.send(&bytes);
}

fn one_byte(peer: &mut Peer, round: u32) {
    peer.send(&[if round == 0 { 3 } else { 0 }]);
}

fn many_chunk_streams(peer: &mut Peer) {
    if peer.shake_hands().is_err() {
        return;
    }
    for number in 3..3 + 65 {
        // A whole, empty message on each: only the number of chunk streams is too much.
        peer.send(&chunk(number, 18, 0, &[]));
    }
}

fn many_partial_messages(peer: &mut Peer) {
    if peer.shake_hands().is_err() {
        return;
    }
    for number in 3..3 + 65 {
        peer.send(&chunk(number, 9, 60_000, &[0x17; 128]));
    }
}

fn sixteen_mebibytes_declared(peer: &mut Peer) {
    if peer.shake_hands().is_err() {
        return;
    }
    peer.send(&chunk(6, 9, 0xff_ffff, &[0x17]));
}

/// Under the limit of one message, so that the gateway has to wait for the rest.
fn eight_mebibytes_declared(peer: &mut Peer) {
    if peer.shake_hands().is_err() {
        return;
    }
    peer.send(&chunk(6, 9, (8 << 20) - 1, &[0x17]));
}

fn chunks_of_one_byte(peer: &mut Peer) {
    if peer.shake_hands().is_err() {
        return;
    }
    peer.send(&chunk(2, 1, 4, &1u32.to_be_bytes()));
    // A data message of 60 000 bytes, each behind a header of its own.
    let mut bytes = chunk(3, 18, 60_000, &[2]);
    for _ in 0..60_000 {
        bytes.extend([0xc3, 0]);
    }
    peer.send(&bytes);
}

/// `connect` whose argument is an object in an object in an object …
fn deep_amf(peer: &mut Peer) {
    if peer.shake_hands().is_err() {
        return;
    }
    let mut body = b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\x03".to_vec();
    while body.len() < 60_000 {
        body.extend(b"\0\x01a\x03");
    }
    send_message(peer, 20, &body);
    // The same in AMF3: an array in an array.
    let mut body = b"\0\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\x11".to_vec();
    while body.len() < 60_000 {
        body.extend([9, 3, 1]);
    }
    send_message(peer, 17, &body);
}

/// A message in chunks of 128 bytes.
fn send_message(peer: &mut Peer, kind: u8, body: &[u8]) {
    let mut pieces = body.chunks(128);
    let mut bytes = chunk(3, kind, body.len() as u32, pieces.next().unwrap_or_default());
    for piece in pieces {
        bytes.push(0xc3);
        bytes.extend(piece);
    }
    peer.send(&bytes);
}

/// Ten tunnel sessions a connection, none of which ever says anything.
fn opens_without_handshake(peer: &mut Peer) {
    for _ in 0..10 {
        peer.send(
            b"POST /open/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-fcs\r\nContent-Length: 1\r\n\r\n\0",
        );
        peer.answer();
    }
}

/// A request of the tunnel whose body never comes.
fn body_without_end(peer: &mut Peer) {
    peer.send(b"POST /send/1/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 16777215\r\n\r\n\0");
}

/// The first bytes of a TLS record that announces a ClientHello.
fn tls_begun(peer: &mut Peer) {
    peer.send(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
}

const ATTACKS: &[Attack] = &[
    Attack {
        name: "10 000 connections that say nothing",
        count: 10_000,
        each: 50,
        open: |_| (),
        round: quiet,
        within: s(15),
        growth: 150,
    },
    Attack {
        name: "1 000 from one address",
        count: 1_000,
        each: 1_000,
        open: |_| (),
        round: quiet,
        within: s(15),
        growth: 32,
    },
    Attack {
        name: "10 000 half handshakes",
        count: 10_000,
        each: 50,
        open: half_a_handshake,
        round: quiet,
        within: s(20),
        growth: 200,
    },
    Attack {
        name: "one byte each half second",
        count: 500,
        each: 50,
        open: |_| (),
        round: one_byte,
        within: s(20),
        growth: 32,
    },
    Attack {
        name: "65 chunk streams",
        count: 200,
        each: 50,
        open: many_chunk_streams,
        round: quiet,
        within: s(5),
        growth: 32,
    },
    Attack {
        name: "65 messages begun",
        count: 200,
        each: 50,
        open: many_partial_messages,
        round: quiet,
        within: s(5),
        growth: 32,
    },
    Attack {
        name: "16 MiB declared, one byte sent",
        count: 500,
        each: 50,
        open: sixteen_mebibytes_declared,
        round: quiet,
        within: s(35),
        growth: 48,
    },
    Attack {
        name: "8 MiB declared, one byte sent",
        count: 500,
        each: 50,
        open: eight_mebibytes_declared,
        round: quiet,
        within: s(35),
        growth: 48,
    },
    Attack {
        name: "chunks of one byte",
        count: 20,
        each: 20,
        open: chunks_of_one_byte,
        round: quiet,
        within: s(35),
        growth: 32,
    },
    Attack {
        name: "AMF 15 000 objects deep",
        count: 200,
        each: 50,
        open: deep_amf,
        round: quiet,
        within: s(35),
        growth: 48,
    },
    Attack {
        name: "5 000 tunnel opens without handshake",
        count: 500,
        each: 50,
        open: opens_without_handshake,
        round: quiet,
        within: s(75),
        growth: 64,
    },
    Attack {
        name: "tunnel bodies that never come",
        count: 500,
        each: 50,
        open: body_without_end,
        round: quiet,
        within: s(35),
        growth: 32,
    },
    Attack {
        name: "TLS handshakes begun",
        count: 2_000,
        each: 50,
        open: tls_begun,
        round: quiet,
        within: s(20),
        growth: 100,
    },
    Attack {
        name: "10 000 half handshakes once more",
        count: 10_000,
        each: 50,
        open: half_a_handshake,
        round: quiet,
        within: s(20),
        // What the first time cost is there to be used again.
        growth: 40,
    },
];

/// Attackers of different attacks come from different addresses, so that none is counted for another.
fn run(stage: &Stage, attack: &Attack, address: &mut u16) -> Figures {
    let pid = stage.gateway.pid();
    let rss = || proc::rss_kib(pid).unwrap_or(0);
    let cpu = || proc::tree_cpu_seconds(pid);
    let (started, before_kib, cpu_before) = (Instant::now(), rss(), cpu());
    let mut peak_kib = before_kib;
    let mut turned_away = 0;
    let mut peers = Vec::new();
    for n in 0..attack.count {
        if n % attack.each == 0 {
            *address += 1;
            peak_kib = peak_kib.max(rss());
            // The listen queue is short; what does not fit is tried again by the kernel a second later.
            std::thread::sleep(Duration::from_millis(5));
        }
        match Peer::from(*address, &stage.gateway.rtmp) {
            Ok(mut peer) => {
                (attack.open)(&mut peer);
                peers.push(peer);
            }
            Err(_) => turned_away += 1,
        }
    }
    let opened = Instant::now();
    let mut closed_after = None;
    let mut round = 0;
    // The last of the connections was opened just now; the gateway's clock for it starts now.
    while opened.elapsed() < attack.within {
        let due = opened + Duration::from_millis(500) * round;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for peer in &mut peers {
            (attack.round)(peer, round);
        }
        peak_kib = peak_kib.max(rss());
        round += 1;
        peers.retain_mut(|peer| !peer.is_over());
        if opened.elapsed() < s(1) {
            turned_away = usize::from(attack.count) - peers.len();
        }
        if peers.is_empty() {
            closed_after = Some(opened.elapsed());
            break;
        }
    }
    let left = peers.len();
    drop(peers);
    // A moment for the gateway to see the last of them off.
    std::thread::sleep(s(1));
    Figures {
        name: attack.name,
        tried: attack.count,
        turned_away,
        closed_after,
        left,
        before_kib,
        peak_kib,
        after_kib: rss(),
        cpu_s: cpu() - cpu_before,
        took: started.elapsed(),
    }
}

fn table(all: &[Figures]) -> String {
    let mut out = format!(
        "{:<42} {:>6} {:>11} {:>12} {:>5} {:>11} {:>9} {:>9} {:>7} {:>7}\n",
        "attack",
        "tried",
        "turned away",
        "all closed s",
        "left",
        "before MiB",
        "peak MiB",
        "after MiB",
        "CPU s",
        "took s"
    );
    let mib = |kib: u64| kib as f64 / 1024.0;
    for f in all {
        let closed = f.closed_after.map_or("never".to_owned(), |t| format!("{:.1}", t.as_secs_f64()));
        writeln!(
            out,
            "{:<42} {:>6} {:>11} {:>12} {:>5} {:>11.1} {:>9.1} {:>9.1} {:>7.2} {:>7.1}",
            f.name,
            f.tried,
            f.turned_away,
            closed,
            f.left,
            mib(f.before_kib),
            mib(f.peak_kib),
            mib(f.after_kib),
            f.cpu_s,
            f.took.as_secs_f64()
        )
        .unwrap();
    }
    out
}

/// What the limit of all connections turns away comes in once those before it have gone.
#[test]
fn a_full_house_empties_itself() {
    let _alone = alone();
    many_files();
    let stage = Stage::new(&[
        ("rtmp.max_connections", "200"),
        ("rtmp.max_unauthenticated", "200"),
        ("ladder.mode", "off"),
    ]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let mut encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 2, PATIENCE);
    let peers: Vec<_> = (0..400).filter_map(|n| Peer::from(n / 40, &stage.gateway.rtmp).ok()).collect();
    let other = stage.home.key("other");
    let url = stage.gateway.publish_url(&other);
    let full = Instant::now();
    let next = loop {
        let mut next = Publisher::copy(&stage.home, &clip.path, 0, &url);
        // One that is turned away ends at once; an encoder tries again.
        let patience = Instant::now() + s(4);
        while next.ended().is_none() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(50));
        }
        if next.ended().is_none() {
            break next;
        }
        assert!(full.elapsed() < s(30), "nobody comes in any more: {}", next.log());
    };
    stage.gateway.wait_live("other", PATIENCE);
    println!("live {:.1} s after 200 places were taken by 400", full.elapsed().as_secs_f64());
    assert!(encoder.ended().is_none(), "who was there before is not disturbed");
    drop((peers, next));
    judged(watch).assert_clean();
}

#[test]
fn floods_cost_little_and_disturb_nobody() {
    let _alone = alone();
    let files = many_files();
    assert!(files > 12_000, "{files} open files are too few for 10 000 connections and their other ends");
    // The limits of all connections are out of the way: memory is to be measured with all of them open.
    let stage = Stage::new(&[
        ("rtmp.max_connections", "20000"),
        ("rtmp.max_unauthenticated", "20000"),
        ("ladder.mode", "off"),
    ]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let _encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    let only = std::env::var("E2E_FLOOD").unwrap_or_default();
    let mut address = 0;
    let mut all = Vec::new();
    for attack in ATTACKS.iter().filter(|a| a.name.contains(&only)) {
        let figures = run(&stage, attack, &mut address);
        eprint!("{}", table(std::slice::from_ref(&figures)));
        all.push(figures);
    }
    // The next publisher comes in as if nothing had been.
    let other = stage.home.key("other");
    let started = Instant::now();
    let _next = Publisher::copy(&stage.home, &clip.path, 0, &stage.gateway.publish_url(&other));
    stage.gateway.wait_live("other", PATIENCE);
    let recovered = started.elapsed();
    let outcome = judged(watch);
    println!("{}", table(&all));
    println!("a new publisher was live {:.1} s after its start", recovered.as_secs_f64());
    outcome.assert_clean();
    assert!(recovered < s(8), "a new publisher waited {recovered:?}");
    for (figures, attack) in all.iter().zip(ATTACKS.iter().filter(|a| a.name.contains(&only))) {
        let grown = (figures.peak_kib - figures.before_kib) / 1024;
        assert!(grown <= attack.growth, "{}: {grown} MiB more, {} allowed", figures.name, attack.growth);
        assert_eq!(figures.left, 0, "{}: still open after {:?}", figures.name, attack.within);
    }
    assert!(!stage.gateway.log().contains("panicked"), "{}", stage.gateway.log());
}
