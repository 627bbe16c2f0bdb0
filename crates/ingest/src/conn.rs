//! One connection: a socket on one side, an `rtmp::Session` in the middle, a [`Lane`] on the other side.

use std::{io, net::SocketAddr, sync::OnceLock, time::Duration};

use bytes::{Buf, BytesMut};
use rtmp::{
    ProtocolError,
    session::{Event, RefusalCode, Session, Settings, Verdict},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::publisher::{Decision, FromPublisher, Lane, PublishRequest, Refusal};

/// How long a lane may stay full before its publisher is closed.
pub const STALL_LIMIT: Duration = Duration::from_secs(10);
/// What is read from the socket at once. One 2 Mbit/s frame is about 8 KiB; keyframes of 4K fit in a few reads.
const READ_BUFFER: usize = 64 * 1024;
/// Replies that a peer does not read are dropped past this, so that it cannot make us wait (RTMP acknowledgements and
/// pings are all that is lost).
const UNREAD_REPLIES: usize = 64 * 1024;
/// A publishing connection is read at multiples of this on one clock for all of them. Encoders write each packet by
/// itself, so reading at once would wake two threads some hundred times a second and stream; a wait of 10 ms on average
/// halves the cost of taking a stream, and the kernel's socket buffer holds what comes meanwhile.
const READ_EVERY: Duration = Duration::from_millis(20);
/// How often the connection's counters are passed on.
const STATS_EVERY: Duration = Duration::from_secs(1);
/// How long the owner may take to decide about a publisher.
const DECISION_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum ConnError {
    #[error("the peer broke the protocol")]
    Protocol(#[from] ProtocolError),
    #[error("the socket failed")]
    Socket(#[from] io::Error),
    #[error("the stream took no packet for {} s", STALL_LIMIT.as_secs())]
    Stalled,
    #[error("the stream went away")]
    LaneClosed,
}

/// Serves one connection to its end. Never fails: whatever happens is logged once, and the lane, if there was one,
/// hears [`FromPublisher::Ended`].
pub(crate) async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    settings: &Settings,
    requests: mpsc::Sender<PublishRequest>,
    stop: CancellationToken,
) {
    let mut conn = Conn {
        session: Session::new(std::time::Instant::now(), settings.clone()),
        peer,
        requests,
        lane: None,
        ended: false,
    };
    let outcome = conn.drive(io, stop).await;
    let stats = conn.session.stats();
    let why = match &outcome {
        Ok(why) => (*why).to_owned(),
        Err(error) => chain(error),
    };
    match (&outcome, &conn.lane) {
        (_, Some(_)) | (Ok(_), None) => debug!(why, "connection closed"),
        // Port scanners and health checks open and close; only a peer that said something wrong is worth a line.
        (Err(ConnError::Socket(_)), None) => debug!(why, "connection lost"),
        (Err(_), None) => warn!(why, "connection refused"),
    }
    if let Some(lane) = conn.lane.take() {
        // The lane may be full or gone; its owner also sees the sender drop.
        let last = async {
            let _ = lane.packets.send(FromPublisher::Stats(stats)).await;
            if !conn.ended {
                let _ = lane.packets.send(FromPublisher::Ended { clean: false, why }).await;
            }
        };
        let _ = timeout(STALL_LIMIT, last).await;
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

struct Conn {
    session: Session,
    peer: SocketAddr,
    requests: mpsc::Sender<PublishRequest>,
    lane: Option<Lane>,
    ended: bool,
}

impl Conn {
    /// Runs until the peer, the owner or the protocol ends it; says why in words.
    async fn drive(
        &mut self,
        io: impl AsyncRead + AsyncWrite + Unpin,
        stop: CancellationToken,
    ) -> Result<&'static str, ConnError> {
        let (mut reader, mut writer) = tokio::io::split(io);
        let mut inbox = BytesMut::with_capacity(READ_BUFFER);
        let mut replies = BytesMut::new();
        let mut told_stats = Instant::now();
        let mut stopping = false;
        let received = metrics::counter!("sluice_rtmp_received_bytes_total");
        let result = loop {
            if let Err(error) = self.handle_events().await {
                break Err(error);
            }
            let outbound = self.session.take_outbound();
            if replies.len() + outbound.len() <= UNREAD_REPLIES || !self.publishing() {
                replies.extend_from_slice(&outbound);
            } else {
                metrics::counter!("sluice_rtmp_replies_dropped_total").increment(1);
            }
            if self.session.is_closed() {
                break Ok("said goodbye");
            }
            if told_stats.elapsed() >= STATS_EVERY {
                told_stats = Instant::now();
                if let Some(lane) = &self.lane {
                    let _ = lane.packets.try_send(FromPublisher::Stats(self.session.stats()));
                }
            }
            inbox.clear();
            inbox.reserve(READ_BUFFER);
            let deadline = self.session.deadline();
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.session.shut_down("the server is shutting down");
                }
                reason = farewell(&mut self.lane), if !stopping => {
                    stopping = true;
                    self.session.shut_down(&reason);
                }
                written = writer.write(&replies), if !replies.is_empty() => match written {
                    Ok(0) => break Ok("peer stopped reading"),
                    Ok(count) => replies.advance(count),
                    Err(error) => break Err(error.into()),
                },
                () = sleep_until(deadline.into()) => {
                    if let Err(error) = self.session.tick(std::time::Instant::now()) {
                        break Err(error.into());
                    }
                }
                read = reader.read_buf(&mut inbox) => match read {
                    Ok(0) => break Ok("peer closed the connection"),
                    Ok(count) => {
                        received.increment(count as u64);
                        if let Err(error) = self.session.feed(std::time::Instant::now(), &inbox) {
                            // What came before the fault still counts.
                            let _ = self.handle_events().await;
                            break Err(error.into());
                        }
                        if self.publishing() {
                            if let Err(error) = self.handle_events().await {
                                break Err(error);
                            }
                            sleep_until(next_reading(Instant::now())).await;
                        }
                    }
                    Err(error) => break Err(error.into()),
                },
            }
        };
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
                Event::PublishRequested(request) => self.ask(request).await,
                Event::Media(media) => self.send(FromPublisher::Media(media)).await?,
                Event::Metadata(metadata) => self.send(FromPublisher::Metadata(metadata)).await?,
                Event::PublishEnded { clean } => {
                    let stats = self.session.stats();
                    self.send(FromPublisher::Stats(stats)).await?;
                    let why = "the encoder stopped the stream".to_owned();
                    self.send(FromPublisher::Ended { clean, why }).await?;
                    self.ended = true;
                }
                Event::Note(quirk) => debug!(quirk, "encoder quirk"),
            }
        }
        Ok(())
    }

    async fn ask(&mut self, request: rtmp::session::PublishRequest) {
        let (reply, answer) = oneshot::channel();
        let asked = PublishRequest {
            peer: self.peer,
            app: request.app,
            name: request.name,
            query: request.query,
            encoder: request.flash_ver,
            reply,
        };
        let decision = timeout(DECISION_LIMIT, async {
            self.requests.send(asked).await.ok()?;
            answer.await.ok()
        })
        .await;
        let decision = decision.ok().flatten().unwrap_or_else(|| {
            Decision::Refuse(Refusal {
                code: RefusalCode::Denied,
                description: "The server could not decide in time; try again.".to_owned(),
            })
        });
        match decision {
            Decision::Accept(lane) => {
                self.lane = Some(lane);
                self.session.answer(Verdict::Accept);
            }
            Decision::Refuse(Refusal { code, description }) => {
                info!(description, "publisher refused");
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
                match lane.packets.send_timeout(item, STALL_LIMIT).await {
                    Ok(()) => Ok(()),
                    Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(ConnError::Stalled),
                    Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(ConnError::LaneClosed),
                }
            }
        }
    }
}

/// The next multiple of [`READ_EVERY`] since the first call in this process.
fn next_reading(now: Instant) -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(|| now);
    let passed = now.duration_since(start).as_micros() / READ_EVERY.as_micros();
    start + READ_EVERY * u32::try_from(passed + 1).unwrap_or(u32::MAX)
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
