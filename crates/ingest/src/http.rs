//! HTTP/1.1 as far as tunnels need it.
//!
//! ```text
//!  bytes ─▶ request::Reader ─▶ answer (tunnels, or a few words) ─▶ [replies, bounded] ─▶ bytes
//! ```
//! Requests are read whether or not replies are: librtmp reads none while it publishes, so replies that find no room
//! any more are dropped whole. Replies keep to what the literal parser of librtmp wants: a status line that begins
//! `HTTP/1.1 200 ` and a header spelt `Content-Length:`.

mod request;

use std::{io, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use rtmp::tunnel::{self, Target};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::debug;

use self::request::{Fault, Reader, Request};
use crate::{
    door::Guest,
    hall::Hall,
    tunnels::{self, Answer, Caller},
};

/// Replies that wait to be written, at most; each is some 120 bytes if nobody reads them.
const REPLIES: usize = 128;
/// A peer that reads none of its replies for this long is closed, unless it publishes.
const WRITE_LIMIT: Duration = Duration::from_secs(20);
/// How long the replies that are left may take once the peer has said its last.
const LAST_REPLIES: Duration = Duration::from_secs(1);

/// A reply, or the promise of one: replies leave in the order of their requests.
enum Reply {
    Ready(Bytes),
    Awaited(oneshot::Receiver<Bytes>),
}

/// Serves one HTTP connection to its end.
pub(crate) async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin,
    caller: Caller,
    guest: &Guest,
    hall: &Arc<Hall>,
) {
    let (reader, writer) = tokio::io::split(io);
    let (replies, queue) = mpsc::channel(REPLIES);
    let mut writing = std::pin::pin!(write(writer, queue, guest));
    let reading = read(reader, caller, guest, hall, replies);
    tokio::select! {
        why = reading => {
            debug!(why, "HTTP connection closed");
            let _ = timeout(LAST_REPLIES, writing).await;
        }
        written = &mut writing => debug!(?written, "HTTP connection lost"),
    }
}

async fn read<IO: AsyncRead>(
    io: ReadHalf<IO>,
    caller: Caller,
    guest: &Guest,
    hall: &Arc<Hall>,
    replies: mpsc::Sender<Reply>,
) -> &'static str {
    let mut reader = Reader::new(io);
    loop {
        let head = tokio::select! {
            head = reader.head() => head,
            () = hall.shutdown.stopped(), if reader.is_between_requests() => return "the server is shutting down",
        };
        let request = match head {
            Ok(Some(request)) => request,
            Ok(None) => return "the peer closed it",
            Err(fault) => return refuse(&replies, fault),
        };
        if request.expects_continue {
            let _ = replies.try_send(Reply::Ready(Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n")));
        }
        let target = if request.is_post { Target::parse(&request.path) } else { None };
        let limit = match target {
            Some(Target::Send(id, _)) => hall.tunnels.body_limit(&id, hall.settings.session.limits.video),
            _ => tunnels::SMALL_BODY,
        };
        let body = match reader.body(&request, limit).await {
            Ok(body) => body,
            Err(fault) => return refuse(&replies, fault),
        };
        let last = request.closes;
        let reply = match target {
            None => Reply::Ready(words(&request, hall)),
            Some(target) => {
                metrics::counter!("sluice_rtmp_tunnel_requests_total").increment(1);
                // Without room for the reply the session's output stays where it is.
                let heard = replies.capacity() > 0;
                match hall.tunnels.take(target, body, &caller, guest, hall, heard).await {
                    Answer::Body(body) => Reply::Ready(ok(&body, last)),
                    Answer::Awaited(body) => Reply::Awaited(body),
                    Answer::NotFound => Reply::Ready(plain("404 Not Found", "No such session.\n", last)),
                    Answer::Full => {
                        Reply::Ready(plain("503 Service Unavailable", "No room for another session.\n", last))
                    }
                }
            }
        };
        if replies.try_send(reply).is_err() {
            metrics::counter!("sluice_rtmp_replies_dropped_total").increment(1);
            if !guest.is_proven() {
                return "the peer does not read its replies";
            }
        }
        if last {
            return "as the peer asked";
        }
    }
}

/// Tells the peer what is wrong with its request; nothing after it can be read.
fn refuse(replies: &mpsc::Sender<Reply>, fault: Fault) -> &'static str {
    let (status, why) = match fault {
        Fault::Malformed => ("400 Bad Request", "the request is no HTTP"),
        Fault::NoLength => ("411 Length Required", "the request has no length"),
        Fault::BodyTooLarge => ("413 Content Too Large", "the request is too large"),
        Fault::HeadTooLarge => ("431 Request Header Fields Too Large", "the headers are too large"),
        Fault::Slow => ("408 Request Timeout", "the request took too long"),
        Fault::Lost => return "the connection was lost",
    };
    metrics::counter!("sluice_rtmp_http_faults_total").increment(1);
    let _ = replies.try_send(Reply::Ready(plain(status, &format!("{why}\n"), true)));
    why
}

async fn write(
    mut io: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Reply>,
    guest: &Guest,
) -> io::Result<()> {
    while let Some(reply) = queue.recv().await {
        let bytes = match reply {
            Reply::Ready(bytes) => bytes,
            Reply::Awaited(awaited) => match awaited.await {
                Ok(body) => ok(&body, false),
                Err(_) => plain("404 Not Found", "The session is over.\n", false),
            },
        };
        let mut writing = std::pin::pin!(io.write_all(&bytes));
        loop {
            match timeout(WRITE_LIMIT, &mut writing).await {
                Ok(written) => break written?,
                Err(_) if guest.is_proven() => {} // as librtmp does for as long as it publishes
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }
    io.shutdown().await
}

/// The reply to a request of a session.
fn ok(body: &[u8], last: bool) -> Bytes {
    let mut reply = BytesMut::with_capacity(160 + body.len());
    reply.put_slice(b"HTTP/1.1 200 OK\r\nContent-Type: ");
    reply.put_slice(tunnel::CONTENT_TYPE.as_bytes());
    reply.put_slice(b"\r\nCache-Control: no-cache\r\n");
    finish(reply, body, last)
}

fn plain(status: &str, text: &str, last: bool) -> Bytes {
    let mut reply = BytesMut::with_capacity(160 + text.len());
    reply.put_slice(b"HTTP/1.1 ");
    reply.put_slice(status.as_bytes());
    reply.put_slice(b"\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n");
    finish(reply, text.as_bytes(), last)
}

fn finish(mut reply: BytesMut, body: &[u8], last: bool) -> Bytes {
    reply.put_slice(if last { b"Connection: close\r\n" } else { b"Connection: Keep-Alive\r\n" });
    reply.put_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    reply.put_slice(body);
    reply.freeze()
}

/// Somebody opened the port with a browser, or took it for another service.
fn words(request: &Request, hall: &Hall) -> Bytes {
    let text = match hall.settings.viewers_port {
        Some(port) => format!(
            "This is Sluice's port for encoders: publish with rtmp://, not with a browser.\n\
             The page for viewers is on port {port} of this host.\n"
        ),
        None => "This is Sluice's port for encoders: publish with rtmp://, not with a browser.\n".to_owned(),
    };
    let status = if request.is_post { "404 Not Found" } else { "200 OK" };
    let reply = plain(status, &text, request.closes);
    if request.is_head { reply.slice(..reply.len() - text.len()) } else { reply }
}
