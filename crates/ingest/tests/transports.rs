//! One port takes every transport; certificates change under it; limits hold and are given back.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use ingest::{Places, Settings, Transport, tls::Tls};
use rtmp::client::Event;
use support::{
    PATIENCE, certificate_files, certificate_of, client, connect_tls, connect_tls_with, http,
    make_certificate, numbers, publish, say, start, with_tls,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// Whether the server closes without a word.
async fn is_closed(mut socket: TcpStream) -> bool {
    let mut byte = [0];
    matches!(timeout(PATIENCE, socket.read(&mut byte)).await.unwrap(), Ok(0) | Err(_))
}

#[tokio::test]
async fn plain_and_tls_come_through_one_port() {
    let mut server = start(with_tls());
    for (transport, size) in [(Transport::Rtmp, 300), (Transport::Rtmps, 300), (Transport::Rtmps, 30_000)] {
        let address = server.address;
        let client = tokio::spawn(async move {
            match transport {
                Transport::Rtmp => publish(TcpStream::connect(address).await.unwrap(), 50, size).await,
                _ => publish(connect_tls(address).await, 50, size).await,
            }
        });
        let publication = server.publication().await;
        assert_eq!(publication.transport, transport);
        let (payloads, clean) = publication.read().await;
        assert_eq!((numbers(&payloads), clean), ((0..50).collect(), true));
        client.await.unwrap();
    }
}

#[tokio::test]
async fn tls_carries_as_much_as_tcp() {
    let mut server = start(Settings { max_bitrate_bps: 0, ..with_tls() });
    let address = server.address;
    let begun = std::time::Instant::now();
    let client = tokio::spawn(async move { publish(connect_tls(address).await, 200, 100_000).await });
    let (payloads, _) = server.publication().await.read().await;
    client.await.unwrap();
    assert_eq!(payloads.len(), 200);
    // 160 Mbit; a record of 16 KiB at each of 20 readings a second would take a minute.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_publisher_above_its_rate_is_slowed_down_not_closed() {
    let mut server = start(Settings { max_bitrate_bps: 8_000_000, ..Settings::default() });
    let address = server.address;
    let begun = std::time::Instant::now();
    let client =
        tokio::spawn(async move { publish(TcpStream::connect(address).await.unwrap(), 25, 100_000).await });
    let (payloads, clean) = server.publication().await.read().await;
    client.await.unwrap();
    assert_eq!((payloads.len(), clean), (25, true));
    // 2.5 MB at 1 MB/s, the first second's worth at once.
    assert!(begun.elapsed() > Duration::from_millis(1200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_goodbye_is_heard_though_the_connection_was_reset_behind_it() {
    let mut settings = Settings { max_bitrate_bps: 200_000, ..Settings::default() };
    settings.session.timeouts.ping = Duration::from_millis(100);
    let mut server = start(settings);
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let client = tokio::spawn(async move {
        let mut publisher = client("live");
        let mut buffer = vec![0; 16 * 1024];
        while !matches!(publisher.poll_event(), Some(Event::Ready)) {
            socket.write_all(&publisher.take_outbound()).await.unwrap();
            let read = timeout(PATIENCE, socket.read(&mut buffer)).await.unwrap().unwrap();
            publisher.feed(std::time::Instant::now(), &buffer[..read]).unwrap();
        }
        say(&mut publisher, 8, 10_000);
        publisher.finish();
        while publisher.outbound_len() > 0 {
            socket.write_all(&publisher.take_outbound()).await.unwrap();
        }
        // The server reads a part, and must wait for more than a second then. Its pings stay unread, as ffmpeg leaves
        // them, so that closing resets the connection; the next ping fails before the rest is read.
        sleep(Duration::from_millis(500)).await;
    });
    let (payloads, clean) = server.publication().await.read().await;
    client.await.unwrap();
    assert_eq!((numbers(&payloads), clean), ((0..8).collect(), true));
}

#[tokio::test]
async fn browsers_are_told_where_they_are() {
    let server = start(Settings { viewers_port: Some(8080), ..with_tls() });
    let mut plain = http(server.address).await;
    plain.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let (status, body) = plain.reply().await.unwrap();
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(String::from_utf8(body).unwrap().contains("port 8080"));
    plain.raw(b"POST /elsewhere HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await;
    assert!(plain.reply().await.unwrap().0.starts_with("HTTP/1.1 404 "), "the connection is kept");
    let mut secret = support::Http::new(connect_tls(server.address).await);
    secret.raw(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(secret.reply().await.unwrap().0, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn strangers_and_switched_off_transports_are_closed() {
    let server = start(Settings { transports: "rtmps".parse().unwrap(), ..with_tls() });
    for hello in [&[3u8; 8][..], &[6; 8], &[0x80; 8], b"\x20 ssh", b"lower"] {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(hello).await.unwrap();
        assert!(is_closed(socket).await, "{hello:?}");
    }
    let mut tunnel = http(server.address).await;
    tunnel.send("/open/1", &[0]).await;
    assert!(tunnel.reply().await.unwrap().0.starts_with("HTTP/1.1 404 "));
    let without = start(Settings::default());
    let mut socket = TcpStream::connect(without.address).await.unwrap();
    socket.write_all(&[0x16, 3, 1, 0, 5]).await.unwrap();
    assert!(is_closed(socket).await, "TLS without a certificate");
}

#[tokio::test]
async fn who_says_nothing_is_closed() {
    let mut settings = with_tls();
    settings.session.timeouts.first_byte = Duration::from_millis(100);
    let server = start(settings);
    assert!(is_closed(TcpStream::connect(server.address).await.unwrap()).await);
    let mut secret = connect_tls(server.address).await;
    assert!(matches!(secret.read(&mut [0]).await, Ok(0) | Err(_)), "nor inside TLS");
}

#[tokio::test]
async fn certificates_change_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = make_certificate(folder.path(), "localhost");
    let files = certificate_files(folder.path());
    let mut server = start(Settings { tls: Some(Tls::new(files.clone())), ..Settings::default() });
    let held = connect_tls(server.address).await;
    assert_eq!(certificate_of(&held), first);
    assert!(!files.refresh(false).unwrap(), "nothing was written");

    sleep(Duration::from_millis(20)).await; // file times have a grain
    std::fs::write(folder.path().join("cert.pem"), "broken").unwrap();
    let fault = files.refresh(false).unwrap_err().to_string();
    assert!(fault.starts_with("no certificate in ") && fault.ends_with("cert.pem"), "{fault}");
    assert!(!files.refresh(false).unwrap(), "a fault is told once");
    assert_eq!(certificate_of(&connect_tls(server.address).await), first, "the earlier one stays");

    sleep(Duration::from_millis(20)).await;
    let other_key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let second = make_certificate(folder.path(), "localhost");
    let right_key = std::fs::read(folder.path().join("key.pem")).unwrap();
    std::fs::write(folder.path().join("key.pem"), other_key).unwrap();
    assert!(files.refresh(false).is_err(), "the key is another certificate's");
    sleep(Duration::from_millis(20)).await;
    std::fs::write(folder.path().join("key.pem"), right_key).unwrap();
    assert!(files.refresh(false).unwrap());
    assert_eq!(certificate_of(&connect_tls(server.address).await), second);
    assert!(!files.refresh(true).unwrap(), "read again, and the same");

    let client = tokio::spawn(publish(held, 5, 100));
    assert_eq!(server.publication().await.read().await.0.len(), 5, "who was connected stays");
    client.await.unwrap();
}

#[tokio::test]
async fn places_are_limited_and_given_back() {
    let places = Places { unproven_per_address: 3, ..Places::default() };
    let mut server = start(Settings { places, ..Settings::default() });
    let address = server.address;
    let connect = || async move { TcpStream::connect(address).await.unwrap() };
    let (_a, _b) = (connect().await, connect().await);
    let client = tokio::spawn(async move {
        let socket = TcpStream::connect(address).await.unwrap();
        publish(socket, 1, 100).await;
    });
    let publication = server.publication().await;
    // Whoever publishes takes no place from those who do not.
    let third = connect().await;
    sleep(Duration::from_millis(50)).await;
    let mut probe = [0];
    assert!(third.try_read(&mut probe).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    assert!(is_closed(connect().await).await, "one more than the limit");
    drop(third);
    sleep(Duration::from_millis(50)).await;
    let again = connect().await;
    sleep(Duration::from_millis(50)).await;
    assert!(again.try_read(&mut probe).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    client.await.unwrap();
    drop(publication);
}

#[tokio::test]
async fn acme_authorities_get_their_own_certificate_and_nobody_else() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [usual, challenge] = folders.each_ref().map(|folder| make_certificate(folder.path(), "localhost"));
    let [files, proof] = folders.each_ref().map(|folder| certificate_files(folder.path()));
    let server = start(Settings { tls: Some(Tls::new(files).with_acme(proof)), ..Settings::default() });
    for (offered, agreed, want) in [
        (&[][..], None, &usual),
        (&[&b"http/1.1"[..]], None, &usual),
        (&[b"acme-tls/1"], Some(&b"acme-tls/1"[..]), &challenge),
    ] {
        let stream = connect_tls_with(server.address, offered).await;
        assert_eq!((stream.get_ref().1.alpn_protocol(), &certificate_of(&stream)), (agreed, want));
    }
}

#[tokio::test]
async fn viewers_are_offered_http_2_and_http_1() {
    let folder = tempfile::tempdir().unwrap();
    make_certificate(folder.path(), "localhost");
    let tls = Tls::for_http(certificate_files(folder.path()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let mut stream = tls.accept(socket).await.unwrap().unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"here").await.unwrap();
        }
    });
    for (offered, agreed) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[], None),
    ] {
        let mut stream = connect_tls_with(address, offered).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed, "{offered:?}");
        let mut word = [0; 4];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut word).await.unwrap();
        assert_eq!(&word, b"here");
        assert_eq!(stream.get_ref().1.tls13_tickets_received(), 1, "the next handshake is shorter");
    }
    server.abort();
}
