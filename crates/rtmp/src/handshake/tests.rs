use super::{
    digest::Scheme,
    signing::{Manner, Padding, SigningClient},
    *,
};

const ENCODER: Manner =
    Manner { version: 3, scheme: Scheme::DigestFirst, signs_c2: false, padding: Padding::InFront };

fn opening(version: u8) -> Vec<u8> {
    let mut bytes = vec![version];
    bytes.extend((0..PACKET).map(|at| (at % 251) as u8));
    bytes
}

fn feed(server: &mut Server, mut input: &[u8], out: &mut BytesMut) -> Option<HandshakeKind> {
    server.feed(&mut input, out).unwrap().map(|outcome| outcome.kind)
}

/// Runs `manner` against a server; C2 and `behind` arrive in pieces of `step`. What the server made of it, and what it
/// left in its input.
fn run(manner: Manner, seed: u64, step: usize, behind: &[u8]) -> (HandshakeKind, Vec<u8>) {
    let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
    let mut client = SigningClient::start(manner, seed, &mut up);
    let mut server = Server::new(true);
    for piece in up.split().chunks(step) {
        assert_eq!(feed(&mut server, piece, &mut down), None);
    }
    let mut ciphers = client.feed(&mut &down[..], &mut up).expect("the answer is whole before C2");
    let mut chunks = behind.to_vec();
    if manner.version != 3 {
        ciphers.outbound.apply(&mut chunks);
    }
    up.extend_from_slice(&chunks);
    let (mut done, mut left) = (None, vec![]);
    for mut piece in up.chunks(step) {
        if done.is_none() {
            done = server.feed(&mut piece, &mut down).unwrap();
        }
        left.extend_from_slice(piece);
    }
    let mut outcome = done.expect("C2 is over");
    if let Some(theirs) = &mut outcome.ciphers {
        theirs.inbound.apply(&mut left);
        let mut reply = *b"and back again";
        theirs.outbound.apply(&mut reply);
        ciphers.inbound.apply(&mut reply);
        assert_eq!(&reply, b"and back again");
    }
    (outcome.kind, left)
}

#[test]
fn the_answer_comes_in_one_piece_before_c2_and_echoes_c1() {
    for version in [3, 0, 2, 4, 5, 7, 10, 31] {
        let (mut server, mut out) = (Server::new(true), BytesMut::new());
        let hello = opening(version);
        assert_eq!(feed(&mut server, &hello[..PACKET], &mut out), None);
        assert!(out.is_empty());
        assert_eq!(feed(&mut server, &hello[PACKET..], &mut out), None);
        assert_eq!((out.len(), out[0]), (1 + 2 * PACKET, 3), "version {version}");
        assert_eq!(out[5..9], [0; 4], "bytes 4 to 7 of S1 promise no digest");
        assert_eq!(out[1 + PACKET..], hello[1..]);
    }
}

#[test]
fn c2_is_skipped_whatever_it_says_and_chunks_behind_it_stay() {
    let (mut server, mut out) = (Server::new(true), BytesMut::new());
    let mut bytes = opening(3);
    bytes.extend([0xEE; PACKET]);
    bytes.extend([2, 0, 0]);
    let mut input = &bytes[..];
    let outcome = server.feed(&mut input, &mut out).unwrap().unwrap();
    assert_eq!((outcome.kind, input), (HandshakeKind::Simple, &[2, 0, 0][..]));
}

#[test]
fn it_may_be_cut_anywhere() {
    let mut bytes = opening(3);
    bytes.extend([1; PACKET]);
    let (mut server, mut out) = (Server::new(true), BytesMut::new());
    let done = bytes.iter().filter(|byte| feed(&mut server, &[**byte], &mut out).is_some()).count();
    assert_eq!((done, out.len()), (1, 1 + 2 * PACKET));
}

#[test]
fn strangers_are_named() {
    for (name, bytes, want) in [
        ("http", &b"GET / HTTP/1.1\r\n"[..], "HTTP"),
        ("rtmpt", b"POST /open/1", "RTMPT"),
        ("ssh", b"SSH-2.0-OpenSSH", "53 53 48 2d"),
        ("tls", &[0x16, 3, 1, 2, 0], "TLS"),
        ("garbage", &[0xFF, 1], "ff 01"),
    ] {
        let error = Server::new(true).feed(&mut &bytes[..], &mut BytesMut::new()).unwrap_err().to_string();
        assert!(error.contains(want), "{name}: {error}");
    }
}

#[test]
fn our_two_sides_agree() {
    let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
    let mut client = Client::start(&mut to_server);
    let mut server = Server::new(true);
    assert_eq!(feed(&mut server, &to_server, &mut to_client), None);
    to_server.clear();
    assert!(client.feed(&mut &to_client[..], &mut to_server).unwrap());
    assert_eq!(feed(&mut server, &to_server, &mut to_client), Some(HandshakeKind::Simple));
}

#[test]
fn a_client_that_signs_is_answered_signed_in_its_own_scheme() {
    for scheme in [Scheme::KeyFirst, Scheme::DigestFirst] {
        // Seeds move digest and key about within their blocks.
        for seed in 0..40 {
            for (signs_c2, step) in [(true, 4096), (false, 1)] {
                let (kind, left) = run(Manner { scheme, signs_c2, ..ENCODER }, seed, step, b"chunks");
                assert_eq!((kind, &left[..]), (HandshakeKind::Digest, &b"chunks"[..]), "{scheme:?}");
            }
        }
    }
}

#[test]
fn a_digest_that_does_not_verify_is_answered_simply() {
    let (mut up, mut out) = (BytesMut::new(), BytesMut::new());
    SigningClient::start(ENCODER, 1, &mut up);
    up[100] ^= 1;
    assert_eq!(feed(&mut Server::new(true), &up, &mut out), None);
    assert_eq!((&out[5..9], &out[1 + PACKET..]), (&[0; 4][..], &up[1..]));
}

/// The digest of FFmpeg 5.1's own C1, which signs in scheme 1: against a mistake made on both of our sides.
#[test]
fn the_digest_of_ffmpeg_verifies() {
    let capture = include_bytes!("../../testdata/ffmpeg-5.1.9.rtmp");
    let c1 = capture[1..].first_chunk().unwrap();
    assert_eq!(c1[4..8], [9, 0, 124, 2]);
    let (scheme, _) = digest::verify(c1, digest::Signer::Client).unwrap();
    assert_eq!(scheme, Scheme::DigestFirst);
}

#[test]
fn rtmpe_is_encrypted_from_behind_c2_on() {
    for version in [6, 8, 9] {
        for scheme in [Scheme::KeyFirst, Scheme::DigestFirst] {
            for (signs_c2, padding, step) in [(true, Padding::InFront, 5000), (false, Padding::Behind, 1)] {
                let manner = Manner { version, scheme, signs_c2, padding };
                let (kind, left) = run(manner, u64::from(version), step, b"already encrypted");
                assert_eq!(
                    (kind, &left[..]),
                    (HandshakeKind::Encrypted, &b"already encrypted"[..]),
                    "{manner:?}"
                );
            }
        }
    }
}

#[test]
fn rtmpe_that_cannot_be_answered_is_told_why() {
    let told = |server: &mut Server, bytes: &[u8]| {
        server.feed(&mut &bytes[..], &mut BytesMut::new()).unwrap_err().to_string()
    };
    let off = told(&mut Server::new(false), &[6]);
    assert!(off.contains("switched off") && off.contains("rtmps://"), "{off}");
    assert!(told(&mut Server::new(true), &opening(6)).contains("no digest"));

    let mut c1 = hello([128, 0, 3, 2], 1);
    Scheme::KeyFirst.put_key(&mut c1, &[0xFF; 128]);
    digest::sign(&mut c1, Scheme::KeyFirst, digest::Signer::Client);
    assert_eq!(told(&mut Server::new(true), &[&[6][..], &c1].concat()), "RTMPE public key out of range");
}
