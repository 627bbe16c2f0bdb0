//! One connection: a socket on one side, an `rtmp::Session` in the middle, a [`Lane`] on the other side.

mod guests;

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use rtmp::{
    ProtocolError,
    limits::Limit,
    session::{Event, RefusalCode, Session, Settings, Verdict},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, warn};

use self::guests::{PLAYER_BACKLOG, Player, next_for};
use crate::{
    door::Guest,
    flow::{Brake, Trickle},
    hall::Hall,
    hits,
    paced::Pace,
    publisher::{Decision, FromPublisher, Lane, PublishRequest, Refusal},
    transport::Transport,
};

/// What is read from the socket at once. One 2 Mbit/s frame is about 8 KiB; keyframes of 4K fit in a few reads.
const READ_BUFFER: usize = 64 * 1024;
/// How often the connection's counters are passed on.
const STATS_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum ConnError {
    #[error("the peer broke the protocol")]
    Protocol(#[from] ProtocolError),
    #[error("the socket failed")]
    Socket(#[from] io::Error),
    #[error("the stream took no packet for {0:?}")]
    Stalled(Duration),
    #[error("the stream went away")]
    LaneClosed,
    #[error("a message came slower than {0} bytes a second")]
    TooSlow(u64),
}

/// Who is at the other end, and how it got here.
pub(crate) struct Visitor<'a> {
    pub(crate) peer: SocketAddr,
    /// What carries the session, before its own encryption is counted.
    pub(crate) transport: Transport,
    pub(crate) guest: &'a Guest,
}

impl ConnError {
    /// The limit that was hit, if one was.
    fn limit(&self) -> Option<&'static str> {
        match self {
            Self::Protocol(error) => error.limit().map(Limit::as_str),
            Self::Stalled(_) => Some("stall"),
            Self::TooSlow(_) => Some("min_rate"),
            Self::Socket(_) | Self::LaneClosed => None,
        }
    }
}

/// Serves one connection to its end. Never fails: whatever happens is logged once, and the lane, if there was one,
/// hears [`FromPublisher::Ended`].
pub(crate) async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin,
    pace: Pace,
    visitor: Visitor<'_>,
    settings: Settings,
    hall: &Hall,
) {
    let mut conn = Conn {
        session: Session::new(std::time::Instant::now(), settings),
        visitor,
        pace,
        hall,
        player: None,
        lane: None,
        ended: false,
        soft_limits: [0; 3],
        notes: Vec::new(),
    };
    let outcome = conn.drive(io).await;
    let stats = conn.session.stats();
    let why = match &outcome {
        Ok(why) => (*why).to_owned(),
        Err(error) => chain(error),
    };
    conn.count_soft_limits();
    let limit = outcome.as_ref().err().and_then(ConnError::limit);
    if let Some(limit) = limit {
        hits::count(limit, 1);
    }
    match (&outcome, &conn.lane) {
        (_, Some(_)) | (Ok(_), None) => debug!(why, "connection closed"),
        // Port scanners and health checks open and close; only a peer that said something wrong is worth a line.
        (Err(ConnError::Socket(_)), None) => debug!(why, "connection lost"),
        (Err(_), None) => match hits::worth_a_line(limit.unwrap_or("protocol")) {
            Some(untold) => warn!(why, limit, untold, "connection refused"),
            None => debug!(why, limit, "connection refused"),
        },
    }
    if let Some(lane) = conn.lane.take() {
        // The lane may be full or gone; its owner also sees the sender drop.
        let last = async {
            let _ = lane.packets.send(FromPublisher::Stats(stats)).await;
            if !conn.ended {
                let clean = outcome.is_ok() && conn.visitor.guest.has_parted();
                let _ = lane.packets.send(FromPublisher::Ended { clean, why }).await;
            }
        };
        let _ = timeout(hall.settings.stall, last).await;
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

struct Conn<'a> {
    session: Session,
    visitor: Visitor<'a>,
    pace: Pace,
    hall: &'a Hall,
    player: Option<Player>,
    lane: Option<Lane>,
    ended: bool,
    /// Hits of limits that do not end the connection, as far as they are counted.
    soft_limits: [u64; 3],
    /// Quirks that the stream does not know of yet; at most one of each kind.
    notes: Vec<String>,
}

impl Conn<'_> {
    /// Runs until the peer, the owner or the protocol ends it; says why in words.
    async fn drive(&mut self, io: impl AsyncRead + AsyncWrite + Unpin) -> Result<&'static str, ConnError> {
        let Hall { settings: flow, shutdown, .. } = self.hall;
        let (mut reader, mut writer) = tokio::io::split(io);
        let mut replies = BytesMut::new();
        let mut told_stats = Instant::now();
        let mut deadline = Box::pin(sleep_until(self.session.deadline().into()));
        let (mut stopping, mut draining) = (false, false);
        let mut able = None;
        let received = metrics::counter!("sluice_rtmp_received_bytes_total");
        let begun = std::time::Instant::now();
        let mut brake = Brake::new(flow.max_bitrate_bps, begun);
        let mut trickle = Trickle::new(flow.min_bytes_per_second, begun);
        // Set while a publisher is above its rate.
        let mut brakes_off: Option<Instant> = None;
        // Set once a publisher takes no replies any more. What it sent before is still to be read: encoders close without
        // having read everything, which resets the connection, and their goodbye may stand in what has come.
        let mut deaf: Option<io::Error> = None;
        let result = loop {
            if let Err(error) = self.handle_events().await {
                break Err(error);
            }
            if able.is_none() && self.session.reconnects() {
                able = Some(shutdown.count_able());
            }
            let outbound = self.session.take_outbound();
            // What a publisher does not read is dropped past the limit, so that it cannot make us wait: acknowledgements and
            // pings are all that is lost.
            if deaf.is_some() {
                replies.clear();
            } else if replies.len() + outbound.len() <= flow.session.limits.outbound || !self.publishing() {
                replies.extend_from_slice(&outbound);
            } else {
                metrics::counter!("sluice_rtmp_replies_dropped_total").increment(1);
            }
            if self.session.is_closed() {
                break Ok("said goodbye");
            }
            if told_stats.elapsed() >= STATS_EVERY {
                told_stats = Instant::now();
                self.count_soft_limits();
                if let Some(lane) = &self.lane {
                    let _ = lane.packets.try_send(FromPublisher::Stats(self.session.stats()));
                }
            }
            let due = self.session.deadline();
            if due < deadline.deadline().into_std() {
                deadline.as_mut().reset(due.into());
            }
            tokio::select! {
                biased;
                () = shutdown.stopped(), if !stopping => {
                    stopping = true;
                    self.session.shut_down("the server is shutting down");
                }
                () = shutdown.draining(), if !draining => {
                    draining = true;
                    if self.session.request_reconnect("The server is about to stop; connect again.") {
                        debug!("asked to connect elsewhere");
                    }
                }
                reason = farewell(&mut self.lane), if !stopping => {
                    stopping = true;
                    self.session.shut_down(&reason);
                }
                written = writer.write(&replies), if !replies.is_empty() => match written {
                    Ok(0) => break Ok("peer stopped reading"),
                    Ok(count) => replies.advance(count),
                    Err(error) if self.publishing() => deaf = Some(error),
                    Err(error) => break Err(error.into()),
                },
                item = next_for(&mut self.player), if replies.len() < PLAYER_BACKLOG => {
                    self.play(item, replies.len());
                }
                () = &mut deadline => {
                    let now = std::time::Instant::now();
                    // Media moves the deadline away all the time; the timer follows when it fires, not before.
                    if due <= now && let Err(error) = self.session.tick(now) {
                        break Err(error.into());
                    }
                    deadline.as_mut().reset(self.session.deadline().into());
                }
                () = sleep_until(brakes_off.unwrap_or(told_stats)), if brakes_off.is_some() => brakes_off = None,
                fed = feed_from(&mut reader, &mut self.session), if brakes_off.is_none() => match fed {
                    Ok((0, _)) => match deaf.take() {
                        Some(error) => break Err(error.into()),
                        None => break Ok("peer closed the connection"),
                    },
                    Ok((count, fed)) => {
                        received.increment(count as u64);
                        if let Err(error) = fed {
                            // What came before the fault still counts.
                            let _ = self.handle_events().await;
                            break Err(error.into());
                        }
                        if self.publishing() {
                            let now = std::time::Instant::now();
                            let (messages, open) = (self.session.stats().messages, self.session.mid_message());
                            if trickle.is_too_slow(now, count, messages, open) {
                                break Err(ConnError::TooSlow(flow.min_bytes_per_second));
                            }
                            brakes_off = brake.after(count, now).map(Instant::from_std);
                        }
                    }
                    // TLS peers that close without saying so.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        break Ok("peer closed the connection");
                    }
                    Err(error) => break Err(error.into()),
                },
            }
        };
        self.session.release_media();
        let _ = self.handle_events().await;
        // Last words: a refusal or goodbye that is still queued gets a moment to leave.
        replies.extend_from_slice(&self.session.take_outbound());
        let _ = timeout(Duration::from_secs(1), async {
            writer.write_all(&replies).await?;
            writer.shutdown().await
        })
        .await;
        result
    }

    fn publishing(&self) -> bool {
        self.lane.is_some()
    }

    async fn handle_events(&mut self) -> Result<(), ConnError> {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::ConnectRequested(request) => self.admit(request).await,
                Event::PublishRequested(request) => self.ask(request).await,
                Event::PlayRequested(request) => self.ask_to_play(request).await,
                Event::PlayEnded => self.player = None,
                Event::Media(media) => self.send(FromPublisher::Media(media)).await?,
                Event::Metadata(metadata) => self.send(FromPublisher::Metadata(metadata)).await?,
                Event::PublishEnded { clean } => {
                    let stats = self.session.stats();
                    self.send(FromPublisher::Stats(stats)).await?;
                    let why = "the encoder stopped the stream".to_owned();
                    self.send(FromPublisher::Ended { clean, why }).await?;
                    self.ended = true;
                }
                Event::Note(quirk) => {
                    debug!(quirk, "encoder quirk");
                    self.notes.push(quirk);
                }
            }
        }
        // What was noted on the way to publishing belongs to the publication, too.
        if self.publishing() {
            for note in std::mem::take(&mut self.notes) {
                self.send(FromPublisher::Note(note)).await?;
            }
        }
        Ok(())
    }

    fn count_soft_limits(&mut self) {
        let now = self.session.soft_limits();
        for (counted, (limit, hits)) in self.soft_limits.iter_mut().zip(now) {
            if hits > *counted {
                hits::count(limit.as_str(), hits - *counted);
                *counted = hits;
            }
        }
    }

    async fn ask(&mut self, request: rtmp::session::StreamRequest) {
        let (reply, answer) = oneshot::channel();
        let Visitor { peer, transport, guest } = self.visitor;
        let encrypted = self.session.handshake().is_some_and(rtmp::handshake::HandshakeKind::is_encrypted);
        let asked = PublishRequest {
            peer,
            transport: if encrypted { transport.obfuscated() } else { transport },
            app: request.app,
            name: request.name,
            query: request.query,
            user: request.user,
            encoder: request.flash_ver,
            reply,
        };
        let decision = timeout(self.hall.settings.session.timeouts.verdict, async {
            self.hall.owner.publish.send(asked).await.ok()?;
            answer.await.ok()
        })
        .await;
        let decision = decision.ok().flatten().unwrap_or_else(|| {
            hits::count("verdict", 1);
            Decision::Refuse(Refusal {
                code: RefusalCode::Denied,
                description: "The server could not decide in time; try again.".to_owned(),
            })
        });
        match decision {
            Decision::Accept(lane) => {
                self.lane = Some(lane);
                self.pace.slow_down();
                guest.prove();
                self.session.answer(Verdict::Accept);
            }
            Decision::Refuse(Refusal { code, description }) => {
                debug!(description, "publisher refused");
                metrics::counter!("sluice_publishers_refused_total").increment(1);
                self.session.answer(Verdict::Refuse { code, description });
            }
        }
    }

    /// Hands one item over. Waiting here leaves the socket unread, so TCP slows the encoder down.
    async fn send(&mut self, item: FromPublisher) -> Result<(), ConnError> {
        let Some(lane) = &self.lane else { return Ok(()) };
        if self.ended {
            return Ok(());
        }
        match lane.packets.try_send(item) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(ConnError::LaneClosed),
            Err(mpsc::error::TrySendError::Full(item)) => {
                metrics::counter!("sluice_publisher_stalls_total").increment(1);
                let limit = self.hall.settings.stall;
                match lane.packets.send_timeout(item, limit).await {
                    Ok(()) => Ok(()),
                    Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(ConnError::Stalled(limit)),
                    Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(ConnError::LaneClosed),
                }
            }
        }
    }
}

thread_local! {
    /// What is read goes through here at once, so one buffer serves all connections of a thread.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER]);
}

/// Reads what there is, up to [`READ_BUFFER`] bytes, and feeds it to `session`: how many bytes, and how it took them.
/// Cancel-safe.
async fn feed_from(
    reader: &mut (impl AsyncRead + Unpin),
    session: &mut Session,
) -> io::Result<(usize, Result<(), ProtocolError>)> {
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *reader).poll_read(cx, &mut read))?;
            let bytes = read.filled();
            let fed = if bytes.is_empty() { Ok(()) } else { session.feed(std::time::Instant::now(), bytes) };
            Poll::Ready(Ok((bytes.len(), fed)))
        })
    })
    .await
}

/// Resolves when the owner wants the publisher gone.
async fn farewell(lane: &mut Option<Lane>) -> String {
    let Some(Lane { farewell, .. }) = lane else { return std::future::pending().await };
    wait_for_reason(farewell).await
}

async fn wait_for_reason(farewell: &mut watch::Receiver<Option<String>>) -> String {
    let told = farewell.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    match told {
        Some(reason) => reason,
        // The owner is gone; the closed lane ends the connection with the next packet.
        None => std::future::pending().await,
    }
}
