//! Tunnelled sessions: as clients do it, and as nobody should.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use ingest::{Places, Settings, Transport};
use rtmp::client::{Event, Publisher};
use support::{Http, client, connect_tls, http, numbers, say, start, with_tls};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{sleep, timeout},
};

/// Hello and commands over a tunnel until the server lets it publish; the next request number.
async fn until_ready<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut Http<IO>,
    id: &str,
    first: u64,
    publisher: &mut Publisher,
) -> u64 {
    let mut seq = first;
    for _ in 0..200 {
        let out = publisher.take_outbound();
        let verb = if out.is_empty() { "idle" } else { "send" };
        let body = if out.is_empty() { &[0][..] } else { &out };
        let reply = io.ask(&format!("/{verb}/{id}/{seq}"), body).await;
        seq += 1;
        publisher.feed(Instant::now(), &reply[1..]).unwrap();
        match publisher.poll_event() {
            Some(Event::Ready) => return seq,
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    }
    panic!("the server does not let it publish");
}

#[tokio::test]
async fn publishes_over_http_and_https_with_both_first_numbers() {
    let mut server = start(with_tls());
    for (tls, first) in [(false, 0), (false, 1), (true, 0)] {
        let address = server.address;
        let session = async move {
            async fn run<IO: AsyncRead + AsyncWrite + Unpin>(mut io: Http<IO>, first: u64) -> Duration {
                io.send("/fcs/ident2", &[0]).await;
                assert!(io.reply().await.unwrap().0.starts_with("HTTP/1.1 404 "), "and the connection stays");
                let id = io.open().await;
                let mut publisher = client("live");
                let begun = Instant::now();
                let mut seq = until_ready(&mut io, &id, first, &mut publisher).await;
                let waited = begun.elapsed();
                say(&mut publisher, 40, 500);
                // Cut as proxies and clients do: anywhere.
                for piece in publisher.take_outbound().chunks(1999) {
                    io.ask(&format!("/send/{id}/{seq}"), piece).await;
                    seq += 1;
                }
                // FFmpeg leaves its last commands out, and says this.
                assert_eq!(io.ask(&format!("/close/{id}/{seq}"), &[0]).await, [0]);
                io.send(&format!("/idle/{id}/{}", seq + 1), &[0]).await;
                assert!(io.reply().await.unwrap().0.starts_with("HTTP/1.1 404 "), "it is gone");
                waited
            }
            match tls {
                false => run(http(address).await, first).await,
                true => run(Http::new(connect_tls(address).await), first).await,
            }
        };
        let client = tokio::spawn(session);
        let publication = server.publication().await;
        let want = if tls { Transport::Rtmpts } else { Transport::Rtmpt };
        assert_eq!(publication.transport, want);
        let (payloads, clean) = publication.read().await;
        assert_eq!((numbers(&payloads), clean), ((0..40).collect(), true));
        let waited = client.await.unwrap();
        assert!(waited < Duration::from_secs(2), "answers come with the replies: {waited:?}");
    }
}

#[tokio::test]
async fn requests_out_of_order_repeated_and_over_two_connections() {
    let mut server = start(Settings::default());
    let (mut one, mut two) = (http(server.address).await, http(server.address).await);
    let id = one.open().await;
    let mut publisher = client("live");
    let mut seq = until_ready(&mut one, &id, 0, &mut publisher).await;
    let publication = server.publication().await;
    say(&mut publisher, 60, 400);
    let bytes = publisher.take_outbound();
    let pieces: Vec<_> = bytes.chunks(bytes.len().div_ceil(12)).collect();
    for group in pieces.chunks(3) {
        // The second comes first, then the third, on different connections; the first one lets both go.
        two.send(&format!("/send/{id}/{}", seq + 1), group[1]).await;
        sleep(Duration::from_millis(10)).await;
        two.send(&format!("/send/{id}/{}", seq + 2), group[2]).await;
        sleep(Duration::from_millis(10)).await;
        let reply = one.ask(&format!("/send/{id}/{seq}"), group[0]).await;
        for _ in 0..2 {
            let (status, body) = two.reply().await.unwrap();
            assert!(status.starts_with("HTTP/1.1 200 ") && !body.is_empty(), "{status}");
        }
        assert!(!reply.is_empty());
        // Both again, the last one twice: nothing is fed twice.
        for number in [seq, seq + 2, seq + 2] {
            one.ask(&format!("/send/{id}/{number}"), group[0]).await;
        }
        seq += 3;
    }
    // Out of order on one connection: replies come in the order of requests.
    one.send(&format!("/close/{id}/{}", seq + 1), &[0]).await;
    one.send(&format!("/idle/{id}/{seq}"), &[0]).await;
    assert_eq!(one.reply().await.unwrap().1, [0]);
    assert!(one.reply().await.unwrap().0.starts_with("HTTP/1.1 200 "));
    let (payloads, clean) = publication.read().await;
    assert_eq!((numbers(&payloads), clean), ((0..60).collect(), true));
}

#[tokio::test]
async fn a_client_that_never_reads_its_replies_publishes_on() {
    let mut server = start(Settings::default());
    let mut io = http(server.address).await;
    let id = io.open().await;
    let mut publisher = client("live");
    let mut seq = until_ready(&mut io, &id, 0, &mut publisher).await;
    let publication = server.publication().await;
    // Enough for all buffers on the way to fill with replies: 30,000 × 130 bytes.
    let sending = async {
        say(&mut publisher, 30_000, 64);
        let bytes = publisher.take_outbound();
        for piece in bytes.chunks(bytes.len().div_ceil(30_000)) {
            io.send(&format!("/send/{id}/{seq}"), piece).await;
            seq += 1;
        }
        io.send(&format!("/close/{id}/{seq}"), &[0]).await;
        io
    };
    let (io, (payloads, clean)) =
        timeout(Duration::from_secs(60), async { tokio::join!(sending, publication.read()) }).await.unwrap();
    assert_eq!((payloads.len(), clean), (30_000, true));
    drop(io);
}

#[tokio::test]
async fn unknown_sessions_and_hostile_requests() {
    let mut server = start(Settings::default());
    let mut io = http(server.address).await;
    for path in
        ["/send/00112233445566778899aabbccddeeff/0", "/send/x/0", "/idle/../../etc/passwd/0", "/close//"]
    {
        io.send(path, &[0]).await;
        assert!(io.reply().await.unwrap().0.starts_with("HTTP/1.1 404 "), "{path}");
    }
    let id = io.open().await;
    for (head, status) in [
        (format!("POST /send/{id}/0 HTTP/1.1\r\nContent-Length: 4294967296\r\n\r\n"), "413"),
        (format!("POST /send/{id}/0 HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n"), "413"),
        (format!("POST /send/{id}/0 HTTP/1.1\r\n\r\n"), "411"),
        ("POST /open/1 HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_owned(), "400"),
        (format!("POST /open/1 HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000)), "431"),
    ] {
        let mut io = http(server.address).await;
        io.raw(head.as_bytes()).await;
        assert_eq!(io.reply().await.unwrap().0.split(' ').nth(1), Some(status), "{head:.60}");
        assert!(io.reply().await.is_none(), "nothing more can be read there");
    }
    // Chunked bodies, as some proxies make them.
    let mut publisher = client("live");
    let hello = publisher.take_outbound();
    let head =
        format!("POST /send/{id}/0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", hello.len());
    io.raw(&[head.as_bytes(), &hello, b"\r\n0\r\n\r\n"].concat()).await;
    let (_, reply) = io.reply().await.unwrap();
    assert_eq!(reply.len(), 1 + 1 + 2 * 1536, "the hint, S0, S1 and S2 at once");
    // No RTMP at all.
    let other = io.open().await;
    io.ask(&format!("/send/{other}/0"), b"nonsense").await;
    assert!(timeout(Duration::from_millis(50), server.published.recv()).await.is_err());
}

#[tokio::test]
async fn opens_without_a_handshake_are_limited_and_forgotten() {
    let places = Places { unproven_per_address: 4, ..Places::default() };
    let mut settings = Settings { places, ..Settings::default() };
    settings.session.timeouts.first_byte = Duration::from_millis(300);
    settings.session.timeouts.handshake = Duration::from_millis(300);
    let server = start(settings);
    let mut io = http(server.address).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(io.open().await); // and the connection is the fourth
    }
    io.send("/open/1", &[0]).await;
    assert!(io.reply().await.unwrap().0.starts_with("HTTP/1.1 503 "));
    // One stops in the middle of its handshake.
    let half = client("live").take_outbound().slice(..700);
    io.ask(&format!("/send/{}/0", ids[0]), &half).await;
    sleep(Duration::from_millis(700)).await;
    for id in ids {
        io.send(&format!("/idle/{id}/1"), &[0]).await;
        assert!(io.reply().await.unwrap().0.starts_with("HTTP/1.1 404 "), "forgotten");
    }
    io.open().await;
}

#[tokio::test]
async fn a_missing_request_ends_the_session() {
    let server = start(Settings::default());
    let mut io = http(server.address).await;
    let id = io.open().await;
    let mut other = http(server.address).await;
    for seq in 2..=18 {
        other.send(&format!("/idle/{id}/{seq}"), &[0]).await;
    }
    sleep(Duration::from_millis(50)).await;
    io.send(&format!("/idle/{id}/0"), &[0]).await;
    assert!(io.reply().await.unwrap().0.starts_with("HTTP/1.1 404 "));
    assert!(other.reply().await.unwrap().0.starts_with("HTTP/1.1 404 "), "those that waited are told");
}
