//! The server's side.

use bytes::{BufMut, BytesMut};

use super::{
    Ciphers, HandshakeError, HandshakeKind, Outcome, PACKET, VERSION, VERSION_RTMPE, asks_for_rtmpe,
    check_opening,
    digest::{self, Digest, SERVER_VERSION, Scheme, Signer},
    exchange, hello, put_opening, seed_of, take,
};
use crate::rc4::Rc4;

/// The server's side of one handshake.
#[derive(Debug)]
pub struct Server {
    /// Whether RTMPE is offered.
    rtmpe: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// C0 and C1.
    Gathering(Vec<u8>),
    /// So many bytes of C2.
    Skipping(usize, Outcome),
    Over,
}

impl Server {
    /// Waits for C0. Without `rtmpe` a client that asks for it is told so by an error.
    pub fn new(rtmpe: bool) -> Self {
        Self { rtmpe, state: State::Gathering(Vec::new()) }
    }

    /// Takes what belongs to the handshake from the front of `input` and writes the answer to `out`. Gives what came of
    /// it once it is over; what is left of `input` then are chunks, encrypted ones if [`HandshakeKind::is_encrypted`].
    ///
    /// # Errors
    /// When the first bytes are not RTMP, or are RTMPE that is switched off or cannot be answered.
    pub fn feed(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<Option<Outcome>, HandshakeError> {
        loop {
            match &mut self.state {
                State::Gathering(seen) => {
                    let wanted = (1 + PACKET - seen.len()).min(input.len());
                    seen.extend_from_slice(take(input, wanted));
                    check_opening(seen)?;
                    let Some((&version, c1)) = seen.split_first() else { return Ok(None) };
                    let encrypted = asks_for_rtmpe(version);
                    if encrypted && !self.rtmpe {
                        return Err(HandshakeError::Encrypted { version });
                    }
                    let Ok(c1) = c1.try_into() else { return Ok(None) };
                    let outcome = if encrypted { encrypt(version, c1, out)? } else { answer(c1, out) };
                    self.state = State::Skipping(PACKET, outcome);
                }
                State::Skipping(left, _) => {
                    *left -= take(input, (*left).min(input.len())).len();
                    if *left > 0 {
                        return Ok(None);
                    }
                    let State::Skipping(_, outcome) = std::mem::replace(&mut self.state, State::Over) else {
                        return Ok(None);
                    };
                    return Ok(Some(outcome));
                }
                State::Over => return Ok(None),
            }
        }
    }
}

/// Answers a client in the clear: signed in its own scheme if it signed, else simply. Nothing in signing can fail, so
/// there is nothing to fall back from.
fn answer(c1: &[u8; PACKET], out: &mut BytesMut) -> Outcome {
    let promised = c1[4..8] != [0; 4];
    let kind = match promised.then(|| digest::verify(c1, Signer::Client)).flatten() {
        Some((scheme, client)) => {
            let mut s1 = hello(SERVER_VERSION, seed_of(c1));
            digest::sign(&mut s1, scheme, Signer::Server);
            put_opening(out, VERSION, &s1);
            put_signed_answer(out, &client);
            HandshakeKind::Digest
        }
        None => {
            put_opening(out, VERSION, &hello([0; 4], seed_of(c1)));
            out.put_slice(c1);
            HandshakeKind::Simple
        }
    };
    Outcome { kind, ciphers: None }
}

/// Answers a client of RTMPE.
///
/// S1 stands in scheme 1, whatever scheme C1 is in: FFmpeg publishing takes the server's key from there without looking.
fn encrypt(version: u8, c1: &[u8; PACKET], out: &mut BytesMut) -> Result<Outcome, HandshakeError> {
    let (scheme, client) = digest::verify(c1, Signer::Client).ok_or(HandshakeError::Unsigned { version })?;
    let theirs = scheme.key(c1);
    let (ours, secret) = exchange::agree(&theirs)?;
    let mut s1 = hello(SERVER_VERSION, seed_of(c1));
    Scheme::DigestFirst.put_key(&mut s1, &ours);
    digest::sign(&mut s1, Scheme::DigestFirst, Signer::Server);
    put_opening(out, VERSION_RTMPE, &s1);
    put_signed_answer(out, &client);
    let stream = |public| Rc4::new(&digest::stream_key(&secret, public), PACKET);
    let ciphers = Ciphers { inbound: stream(&ours), outbound: stream(&theirs) };
    Ok(Outcome { kind: HandshakeKind::Encrypted, ciphers: Some(Box::new(ciphers)) })
}

fn put_signed_answer(out: &mut BytesMut, client: &Digest) {
    out.put_slice(&digest::answer(client, Signer::Server, seed_of(client)));
}
