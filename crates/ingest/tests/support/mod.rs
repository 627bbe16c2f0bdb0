//! A listener with an owner that lets everybody in, and both sides of its transports for tests.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary takes what it needs; a helper fails as its test does"
)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use ingest::{
    Decision, FromPublisher, Lane, Listener, Owner, PublishRequest, Settings, Shutdown, Transport,
    tls::{CertificateFiles, Tls},
};
use media::{AudioConfig, MediaEvent, MediaTime, Packet, TrackId, TrackKind, aac};
use rtmp::client::{Event, Publisher, Target};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Nothing in these tests takes longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One publication, as the owner sees it.
pub struct Published {
    pub transport: Transport,
    pub packets: mpsc::Receiver<FromPublisher>,
    _farewell: watch::Sender<Option<String>>,
}

impl Published {
    /// Reads to the end: the packets' payloads, and whether the end was a clean one.
    pub async fn read(mut self) -> (Vec<Bytes>, bool) {
        let mut payloads = Vec::new();
        loop {
            match timeout(PATIENCE, self.packets.recv()).await.unwrap() {
                Some(FromPublisher::Media(MediaEvent::Packet(packet))) => payloads.push(packet.data),
                Some(FromPublisher::Ended { clean, .. }) => return (payloads, clean),
                Some(_) => {}
                None => return (payloads, false),
            }
        }
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub published: mpsc::Receiver<Published>,
    shutdown: Shutdown,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.stop();
    }
}

pub fn start(settings: Settings) -> Server {
    let listener = Listener::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let address = listener.addresses()[0];
    let (requests, mut inbox) = mpsc::channel::<PublishRequest>(8);
    let (tell, published) = mpsc::channel(8);
    let shutdown = Shutdown::default();
    let owner = Owner { publish: requests, play: None, connect: None };
    tokio::spawn(listener.run(settings, owner, shutdown.clone()));
    tokio::spawn(async move {
        while let Some(request) = inbox.recv().await {
            let (lane, packets) = mpsc::channel(4096);
            let (farewell, bid) = watch::channel(None);
            let publication = Published { transport: request.transport, packets, _farewell: farewell };
            let _ = tell.send(publication).await;
            let _ = request.reply.send(Decision::Accept(Lane { packets: lane, farewell: bid }));
        }
    });
    Server { address, published, shutdown }
}

impl Server {
    pub async fn publication(&mut self) -> Published {
        timeout(PATIENCE, self.published.recv()).await.unwrap().unwrap()
    }
}

pub fn client(app: &str) -> Publisher {
    let target = Target::parse(&format!("rtmp://localhost/{app}/key")).unwrap();
    Publisher::new(std::time::Instant::now(), target)
}

/// `count` packets of sound, each of `size` bytes that tell its number.
pub fn say(publisher: &mut Publisher, count: u32, size: usize) {
    let config = AudioConfig::Aac(aac::Config::lc(48_000, 2).unwrap());
    publisher.send_audio_config(&Arc::new(config));
    for n in 0..count {
        let mut data = vec![0x21; size];
        data[..4].copy_from_slice(&n.to_be_bytes());
        let at = MediaTime::from_ticks(i64::from(n) * 1920);
        publisher.send_packet(&Packet {
            track: TrackId::default(),
            kind: TrackKind::Audio,
            pts: at,
            dts: at,
            keyframe: true,
            data: data.into(),
        });
    }
}

/// The numbers in what [`say`] sent.
pub fn numbers(payloads: &[Bytes]) -> Vec<u32> {
    payloads.iter().map(|data| u32::from_be_bytes(data[..4].try_into().unwrap())).collect()
}

/// Publishes over a byte stream: `count` packets, then a clean end.
pub async fn publish(mut io: impl AsyncRead + AsyncWrite + Unpin, count: u32, size: usize) {
    let mut publisher = client("live");
    let mut buffer = vec![0; 16 * 1024];
    loop {
        io.write_all(&publisher.take_outbound()).await.unwrap();
        while let Some(event) = publisher.poll_event() {
            match event {
                Event::Ready => {
                    say(&mut publisher, count, size);
                    publisher.finish();
                }
                Event::Closed => {
                    let _ = io.shutdown().await;
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
        if publisher.outbound_len() > 0 {
            continue;
        }
        let read = timeout(PATIENCE, io.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "the server closed");
        publisher.feed(std::time::Instant::now(), &buffer[..read]).unwrap();
    }
}

/// A certificate and its key as files in `folder`, which may be there already.
pub fn make_certificate(folder: &std::path::Path, name: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

pub fn certificate_files(folder: &std::path::Path) -> Arc<CertificateFiles> {
    CertificateFiles::load(&folder.join("cert.pem"), &folder.join("key.pem")).unwrap()
}

/// Settings with a certificate for `localhost`.
pub fn with_tls() -> Settings {
    let folder = tempfile::tempdir().unwrap();
    make_certificate(folder.path(), "localhost");
    Settings { tls: Some(Tls::new(certificate_files(folder.path()))), ..Settings::default() }
}

/// A TLS client that takes any certificate, as many cameras do.
pub async fn connect_tls(address: SocketAddr) -> TlsStream<TcpStream> {
    connect_tls_with(address, &[]).await
}

/// The same, offering protocols by ALPN.
pub async fn connect_tls_with(address: SocketAddr, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let socket = TcpStream::connect(address).await.unwrap();
    // An address as the name: no server name is sent.
    let name = ServerName::IpAddress(address.ip().into());
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
}

pub fn certificate_of(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// One HTTP connection of a tunnel's client, reading replies as literally as librtmp does.
pub struct Http<IO> {
    io: IO,
    buffer: Vec<u8>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Http<IO> {
    pub fn new(io: IO) -> Self {
        Self { io, buffer: Vec::new() }
    }

    pub async fn send(&mut self, path: &str, body: &[u8]) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Shockwave Flash\r\n\
             Content-type: application/x-fcs\r\nContent-length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat()).await;
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    /// The next reply: its status line and its body. `None`: the server has closed.
    pub async fn reply(&mut self) -> Option<(String, Vec<u8>)> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
                let length = head.split("\r\nContent-Length: ").nth(1).unwrap().split("\r\n").next().unwrap();
                let whole = end + 4 + length.parse::<usize>().unwrap();
                if self.buffer.len() >= whole {
                    let body = self.buffer[end + 4..whole].to_vec();
                    self.buffer.drain(..whole);
                    return Some((head.lines().next().unwrap().to_owned(), body));
                }
            }
            if timeout(PATIENCE, self.io.read_buf(&mut self.buffer)).await.unwrap().unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Sends and reads, and takes nothing but success.
    pub async fn ask(&mut self, path: &str, body: &[u8]) -> Vec<u8> {
        self.send(path, body).await;
        let (status, body) = self.reply().await.expect("the server closed");
        assert!(status.starts_with("HTTP/1.1 200 "), "{path}: {status}");
        body
    }

    pub async fn open(&mut self) -> String {
        let body = self.ask("/open/1", &[0]).await;
        assert_eq!(body.last(), Some(&b'\n'), "librtmp drops the last byte unread");
        String::from_utf8(body).unwrap().trim().to_owned()
    }
}

pub async fn http(address: SocketAddr) -> Http<TcpStream> {
    Http::new(TcpStream::connect(address).await.unwrap())
}
