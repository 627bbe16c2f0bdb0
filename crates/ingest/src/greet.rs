//! Finds out what a peer speaks, by its first byte, so that one port takes every transport.
//!
//! ```text
//!  TCP ─▶ first byte ─┬ 0x16 ─▶ TLS ─▶ first byte ─┐
//!                     ├ 0..=31 ────────────────────┼─▶ conn   (RTMP, RTMPE)
//!                     └ A..=Z ─────────────────────┴─▶ http   (RTMPT; a browser is told where it is)
//! ```
//! Each step is a box of its own, so that a connection costs no more than what it has come to.
//!
//! Clients speak first in all of them. RTMP keeps versions from 32 on free for this (RTMP 1.0 §5.2.2).

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader},
    net::TcpStream,
    time::timeout,
};
use tracing::debug;

use crate::{
    conn,
    door::Guest,
    hall::{Hall, turned_away},
    hits, http,
    paced::{Pace, PacedSocket},
    transport::Transport,
    tunnels::Caller,
};

/// What is read to look at the first byte. The handshake's first packet is 1537 bytes long.
pub(crate) const SNIFF_BUFFER: usize = 2048;
/// rustls reads its socket in pieces of 4 KiB; this makes them few system calls.
const TLS_BUFFER: usize = 32 * 1024;
/// The first byte of a TLS handshake record (RFC 8446 §5.1).
const TLS_RECORD: u8 = 0x16;
/// Versions that RTMP may have (RTMP 1.0 §5.2.2).
const RTMP_VERSIONS: std::ops::RangeInclusive<u8> = 0..=31;

/// How a session comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visit {
    pub(crate) peer: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) tunnel: bool,
}

/// Serves one TCP connection to its end.
pub(crate) async fn receive(socket: TcpStream, peer: SocketAddr, guest: &Guest, hall: &Arc<Hall>) {
    let (socket, pace) = PacedSocket::new(socket);
    let mut io = BufReader::with_capacity(SNIFF_BUFFER, socket);
    let Some(first) = first_byte(&mut io, hall).await else { return };
    if first != TLS_RECORD {
        return speak(io, first, pace, Caller { peer, tls: false }, guest, hall).await;
    }
    Box::pin(secure(io, pace, peer, guest, hall)).await;
}

/// Serves what comes inside TLS.
async fn secure(io: BufReader<PacedSocket>, pace: Pace, peer: SocketAddr, guest: &Guest, hall: &Arc<Hall>) {
    let offered = hall.settings.transports.any(&[Transport::Rtmps, Transport::Rtmpts]);
    let Some(tls) = hall.settings.tls.as_ref().filter(|_| offered) else {
        return turned_away("transport");
    };
    match Box::pin(tls.accept(BufReader::with_capacity(TLS_BUFFER, io))).await {
        Ok(Some(stream)) => {
            let mut io = BufReader::with_capacity(SNIFF_BUFFER, stream);
            let Some(first) = first_byte(&mut io, hall).await else { return };
            speak(io, first, pace, Caller { peer, tls: true }, guest, hall).await;
        }
        Ok(None) => debug!("an ACME server has looked whether a name is ours"),
        Err(error) => {
            debug!(%error, "TLS handshake failed");
            turned_away("tls");
        }
    }
}

/// Looks at the first byte, without taking it.
async fn first_byte(io: &mut BufReader<impl AsyncRead + Unpin>, hall: &Hall) -> Option<u8> {
    match timeout(hall.settings.session.timeouts.first_byte, io.fill_buf()).await {
        Ok(Ok(bytes)) => bytes.first().copied(),
        Ok(Err(error)) => {
            if error.kind() != io::ErrorKind::UnexpectedEof {
                debug!(%error, "connection lost before its first byte");
            }
            None
        }
        Err(_) => {
            debug!("no first byte in time");
            turned_away("silent");
            None
        }
    }
}

async fn speak(
    io: BufReader<impl AsyncRead + AsyncWrite + Unpin>,
    first: u8,
    pace: Pace,
    caller: Caller,
    guest: &Guest,
    hall: &Arc<Hall>,
) {
    match first {
        byte if byte != TLS_RECORD && RTMP_VERSIONS.contains(&byte) => {
            let visit = Visit { peer: caller.peer, tls: caller.tls, tunnel: false };
            Box::pin(rtmp(io, pace, visit, guest, hall)).await;
        }
        b'A'..=b'Z' => Box::pin(http::serve(io, caller, guest, hall)).await,
        byte => {
            debug!(first = byte, "the peer speaks neither RTMP nor TLS nor HTTP");
            turned_away("protocol");
        }
    }
}

/// Serves one RTMP session to its end, over whatever carries it.
pub(crate) async fn rtmp(
    mut io: BufReader<impl AsyncRead + AsyncWrite + Unpin>,
    pace: Pace,
    visit: Visit,
    guest: &Guest,
    hall: &Arc<Hall>,
) {
    let Some(version) = first_byte(&mut io, hall).await else { return };
    let mut settings = hall.settings.session.clone();
    let plain = Transport::of(visit.tls, visit.tunnel);
    let offered = hall.settings.transports;
    let mut transport = plain;
    if matches!(version, 6 | 8 | 9) {
        // Who asks for RTMPE where it is not offered is answered in the clear, as RTMP has it for unknown versions.
        settings.rtmpe = offered.contains(plain.obfuscated());
        if settings.rtmpe {
            transport = plain.obfuscated();
            if !guest.may_obfuscate(Instant::now()) {
                debug!("too many RTMPE handshakes from this address");
                hits::count("rtmpe_per_address", 1);
                return turned_away("rtmpe_per_address");
            }
        }
    }
    if !offered.contains(transport) {
        debug!(%transport, "this transport is switched off");
        return turned_away("transport");
    }
    metrics::counter!("sluice_rtmp_connections_total", "transport" => transport.as_str()).increment(1);
    let visitor = conn::Visitor { peer: visit.peer, transport: plain, guest };
    Box::pin(conn::serve(io, pace, visitor, settings, hall)).await;
}
