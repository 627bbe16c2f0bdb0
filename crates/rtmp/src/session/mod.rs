//! The server's side of one RTMP connection, from handshake to the last packet.
//!
//! ```text
//!  Handshake ─▶ Connecting ─connect▶ Connected: Idle ─publish▶ Deciding ─answer▶ Publishing ─▶ Idle …
//!                                                │                 └─ refused, shut down ─▶ Closing ─▶ Closed
//!                                                └─play▶ Asked ─answer_play▶ Playing ─▶ Idle …
//! ```
//! What encoders say between `connect` and `publish` comes in any order, and much of it twice or never, so commands
//! are a table of handlers that do not lean on each other (`commands`). Media goes to [`crate::tracks`].
//!
//! Every accepted publication ends in exactly one [`Event::PublishEnded`], unless the session is dropped first.

mod commands;
mod connecting;
mod error;
mod negotiation;
mod playing;
mod publishing;
mod resolve;

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use media::{MediaEvent, timeline::Repairs};

use self::{
    connecting::Guest,
    negotiation::Abilities,
    playing::Playing,
    publishing::Publishing,
    resolve::{Server, Unresolvable},
};
pub use self::{
    connecting::{ConnectRequest, ConnectVerdict},
    error::{Phase, ProtocolError},
    playing::PlayVerdict,
};
use crate::{
    chunk::Reader,
    handshake::{self, HandshakeKind},
    limits::{Limits, OUTBOUND_CHUNK_SIZE, Rate, Timeouts},
    link::Link,
    message::{Control, Message, kind},
    metadata::Metadata,
    quirk::Quirks,
    rc4::Rc4,
    secret::SecretText,
};

/// How a session behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Bounds in bytes and counts.
    pub limits: Limits,
    /// Bounds in time.
    pub timeouts: Timeouts,
    /// Chunk size that we announce, in bytes; FFmpeg takes it over for what it sends. An encrypted connection stays at
    /// the 128 bytes that hold where nothing is announced.
    pub chunk_size: u32,
    /// Whether RTMPE is offered. It hides a stream from nobody who tries: count it as sent in the clear.
    pub rtmpe: bool,
    /// Whether the owner is asked about each `connect`, with [`Event::ConnectRequested`]. Otherwise all are let in, and
    /// credentials in them are not looked at.
    pub ask_at_connect: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            chunk_size: OUTBOUND_CHUNK_SIZE,
            rtmpe: true,
            ask_at_connect: false,
        }
    }
}

/// What a session tells its owner.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A client connects. Input waits, up to a limit, until [`Session::answer_connect`].
    ConnectRequested(ConnectRequest),
    /// A publisher asks to publish. Input waits, up to a limit, until [`Session::answer`].
    PublishRequested(StreamRequest),
    /// Media, normalised and on the stream's own clock.
    Media(MediaEvent),
    /// onMetaData came: a hint.
    Metadata(Metadata),
    /// The accepted publication is over.
    PublishEnded {
        /// The encoder ended it by FCUnpublish, deleteStream or closeStream. Otherwise a fault, a timeout, a refusal
        /// or a shutdown did. A connection that is simply gone is the owner's to notice.
        clean: bool,
    },
    /// A player asks to play. Input waits, up to a limit, until [`Session::answer_play`].
    PlayRequested(StreamRequest),
    /// The player stopped, by itself or with the connection's end.
    PlayEnded,
    /// A quirk of this peer, told once per connection; free of secrets and control characters.
    Note(String),
}

/// Who wants to publish or to play what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamRequest {
    /// The application: the path of the server address, such as `live`; may be empty.
    pub app: String,
    /// The stream name or key, as the client was given it; not empty, percent-decoded, free of control characters.
    pub name: SecretText,
    /// `k=v&k=v` of stream name and server address together, as sent (not decoded); the name's values come first and
    /// win.
    pub query: SecretText,
    /// The user whose password the client has proven when it connected.
    pub user: Option<String>,
    /// Host of the server address, without port.
    pub tc_url_host: Option<String>,
    /// What the client calls itself, for logs.
    pub flash_ver: Option<String>,
}

/// The owner's word on [`Event::PublishRequested`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Let it publish.
    Accept,
    /// Tell it why not, then close.
    Refuse {
        /// Which status code the encoder gets. OBS stops on either and shows the description.
        code: RefusalCode,
        /// A sentence for the encoder's user; up to 255 bytes arrive.
        description: String,
    },
}

/// The status code of a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusalCode {
    /// `NetStream.Publish.BadName`: no such key, or the name is in use.
    BadName,
    /// `NetStream.Publish.Denied`: known, but not now.
    Denied,
}

impl RefusalCode {
    /// As it stands in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadName => "NetStream.Publish.BadName",
            Self::Denied => "NetStream.Publish.Denied",
        }
    }
}

/// Counters of one session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Bytes received, handshake included.
    pub bytes_in: u64,
    /// Messages received, without Set Chunk Size and Abort.
    pub messages: u64,
    /// Audio and video packets handed on, in the latest publication.
    pub packets: u64,
    /// Audio and video messages dropped: before their configuration or first keyframe, or unusable.
    pub media_dropped: u64,
    /// Faults inside access units that were repaired.
    pub nal_repairs: u64,
    /// Repairs of timestamps.
    pub timeline: Repairs,
}

#[expect(clippy::large_enum_variant, reason = "one per connection, and never moved")]
enum State {
    Handshake(handshake::Server),
    /// The handshake is over, `connect` is awaited.
    Connecting {
        since: Instant,
    },
    /// The owner looks at `connect`.
    Admitting(Box<Guest>),
    Connected(Connected),
    /// The last words are going out. `until` is set by the first tick, so that they have left before the wait starts.
    Closing {
        until: Option<Instant>,
    },
    Closed,
}

struct Connected {
    server: Server,
    /// The arguments of `connect`, to know a repetition by.
    said: (Option<Bytes>, Option<Bytes>),
    flash_ver: Option<String>,
    abilities: Abilities,
    /// Whose password was proven at `connect`.
    user: Option<String>,
    /// Message streams that `createStream` made, lowest first.
    streams: Vec<u32>,
    last_stream: u32,
    phase: Publication,
}

impl Connected {
    /// What `publish` or `play` asks for with `name`, and who asks.
    fn request(&self, name: &[u8]) -> Result<StreamRequest, Unresolvable> {
        let resolved = self.server.resolve(&String::from_utf8_lossy(name))?;
        Ok(StreamRequest {
            app: resolved.app,
            name: SecretText::new(resolved.name),
            query: SecretText::new(resolved.query),
            user: self.user.clone(),
            tc_url_host: self.server.host.clone(),
            flash_ver: self.flash_ver.clone(),
        })
    }
}

/// What a connection is used for.
enum Publication {
    /// None yet, or none any more.
    Idle {
        until: Instant,
        ended_one: bool,
    },
    /// The owner decides.
    Deciding {
        until: Instant,
        call: Call,
    },
    Publishing(Box<Publishing>),
    /// The owner decides about a player.
    Asked {
        until: Instant,
        call: Call,
        /// The player wants to hear of a new beginning.
        reset: bool,
        /// Most that it wants, in milliseconds.
        length: Option<u32>,
    },
    Playing(Box<Playing>),
}

/// What `publish` or `play` said.
#[derive(Clone, PartialEq, Eq)]
struct Call {
    stream: u32,
    name: Bytes,
}

/// One connection.
pub struct Session {
    settings: Settings,
    now: Instant,
    accepted: Instant,
    state: State,
    /// How the connection was opened, once it is.
    handshake: Option<HandshakeKind>,
    /// Decrypts what comes in, for RTMPE; what goes out is the link's matter.
    inbound: Option<Rc4>,
    /// What came, decrypted: its allocation is used again.
    plain: Vec<u8>,
    link: Link,
    reader: Reader,
    quirks: Quirks,
    events: VecDeque<Event>,
    /// Media events of one message, on their way to `events`.
    sink: VecDeque<MediaEvent>,
    /// Input behind a request that awaits its answer.
    held: BytesMut,
    /// Met while held input was read; told by the next `feed` or `tick`.
    failed: Option<ProtocolError>,
    messages: u64,
    commands: u32,
    commands_rate: Rate,
    second: Rate,
    minute: Rate,
    /// Counters of publications that are over.
    past: Stats,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Handshake(_) => "handshake",
            State::Connecting { .. } | State::Admitting(_) => "connecting",
            State::Connected(connected) => match connected.phase {
                Publication::Idle { .. } => "idle",
                Publication::Deciding { .. } => "deciding",
                Publication::Publishing(_) => "publishing",
                Publication::Asked { .. } => "asked to play",
                Publication::Playing(_) => "playing",
            },
            State::Closing { .. } => "closing",
            State::Closed => "closed",
        };
        f.debug_struct("Session").field("state", &state).finish_non_exhaustive()
    }
}

impl Session {
    /// A connection accepted at `now`.
    pub fn new(now: Instant, settings: Settings) -> Self {
        let limits = settings.limits;
        Self {
            now,
            accepted: now,
            state: State::Handshake(handshake::Server::new(settings.rtmpe)),
            handshake: None,
            inbound: None,
            plain: Vec::new(),
            link: Link::new(now, limits.outbound, limits.pings_per_second),
            reader: Reader::new(limits, 0),
            quirks: Quirks::default(),
            events: VecDeque::new(),
            sink: VecDeque::new(),
            held: BytesMut::new(),
            failed: None,
            messages: 0,
            commands: 0,
            commands_rate: Rate::per(Duration::from_secs(1), now),
            second: Rate::per(Duration::from_secs(1), now),
            minute: Rate::per(Duration::from_secs(60), now),
            past: Stats::default(),
            settings,
        }
    }

    /// Takes what the peer sent, cut anywhere. Drain `poll_event` and `take_outbound` after every call: one call makes
    /// no more events than its bytes hold messages.
    ///
    /// # Errors
    /// When the connection cannot go on: close it. What came before the fault is still in `poll_event`.
    pub fn feed(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ProtocolError> {
        self.now = self.now.max(now);
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.link.count(bytes.len());
        if self.second.count(now) == 1 {
            self.reader.renew_second();
        }
        if self.minute.count(now) == 1 {
            self.reader.renew_minute();
        }
        let result = self.receive(bytes);
        if matches!(self.state, State::Connected(_)) {
            self.link.acknowledge(&mut self.quirks);
        }
        self.settle(result)
    }

    /// `deadline` has come.
    ///
    /// # Errors
    /// When a phase took too long: close the connection.
    pub fn tick(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.now = self.now.max(now);
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let result = self.check_time();
        self.settle(result)
    }

    /// Answers [`Event::PublishRequested`]. A refusal while the publication runs ends it in the same way: a key was
    /// revoked, another publisher took over. Otherwise without effect.
    pub fn answer(&mut self, verdict: Verdict) {
        let State::Connected(connected) = &mut self.state else { return };
        match (&mut connected.phase, verdict) {
            (Publication::Deciding { call, .. }, Verdict::Accept) => {
                let call = call.clone();
                self.link.stream_begin(call.stream);
                commands::publish_started(&mut self.link, &call);
                connected.phase = Publication::Publishing(Box::new(Publishing::new(self.now, call)));
                self.reader.publisher_accepted();
                self.go_on();
            }
            (Publication::Deciding { call, .. }, Verdict::Refuse { code, description }) => {
                let stream = call.stream;
                self.refuse(stream, code.as_str(), &description);
            }
            (Publication::Publishing(publishing), Verdict::Refuse { code, description }) => {
                let stream = publishing.call.stream;
                self.refuse(stream, code.as_str(), &description);
            }
            _ => {}
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes to send; empty when there are none.
    pub fn take_outbound(&mut self) -> Bytes {
        self.link.take()
    }

    /// How many bytes `take_outbound` would give.
    pub fn outbound_len(&self) -> usize {
        self.link.out.len()
    }

    /// When `tick` wants to be called; may lie in the past.
    pub fn deadline(&self) -> Instant {
        let timeouts = &self.settings.timeouts;
        if self.failed.is_some() {
            return self.now;
        }
        match &self.state {
            State::Handshake(_) if self.link.received() == 0 => self.accepted + timeouts.first_byte,
            State::Handshake(_) => self.accepted + timeouts.handshake,
            State::Connecting { since } => *since + timeouts.connect,
            State::Admitting(guest) => guest.until,
            State::Connected(connected) => match &connected.phase {
                Publication::Idle { until, .. }
                | Publication::Deciding { until, .. }
                | Publication::Asked { until, .. } => *until,
                Publication::Publishing(publishing) => publishing.deadline(timeouts),
                Publication::Playing(playing) => playing.deadline(timeouts),
            },
            State::Closing { until } => until.unwrap_or(self.now),
            State::Closed => self.now,
        }
    }

    /// Whether the connection is to be closed, once the outbound bytes are written.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Tells the peer `reason`, a sentence for its user, then closes. An encoder that reconnects by itself will.
    pub fn shut_down(&mut self, reason: &str) {
        self.end_play(reason);
        match &self.state {
            State::Connected(connected) => {
                if let Publication::Publishing(publishing) = &connected.phase {
                    let stream = publishing.call.stream;
                    self.link.status(stream, "status", "NetStream.Unpublish.Success", reason, []);
                }
                self.link.status(0, "error", "NetConnection.Connect.AppShutdown", reason, []);
                self.close_softly();
            }
            State::Closing { .. } => {}
            _ => self.state = State::Closed,
        }
    }

    /// How the connection was opened: in the clear, signed, or encrypted. `None` until it is.
    pub fn handshake(&self) -> Option<HandshakeKind> {
        self.handshake
    }

    /// Whether a message of the peer is in the making: some of it has come, the rest has not.
    pub fn mid_message(&self) -> bool {
        self.reader.mid_message()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        let mut stats = match &self.state {
            State::Connected(Connected { phase: Publication::Publishing(publishing), .. }) => {
                publishing.stats(self.past)
            }
            _ => self.past,
        };
        stats.bytes_in = self.link.received();
        stats.messages = self.messages;
        stats
    }

    /// Takes what came from the wire: the handshake, then chunks, which RTMPE encrypts.
    fn receive(&mut self, mut input: &[u8]) -> Result<(), ProtocolError> {
        if let State::Handshake(handshake) = &mut self.state {
            let Some(outcome) = handshake.feed(&mut input, &mut self.link.out)? else { return Ok(()) };
            self.handshake = Some(outcome.kind);
            if let Some(ciphers) = outcome.ciphers {
                self.inbound = Some(ciphers.inbound);
                self.link.encrypt(ciphers.outbound);
            }
            self.reader = Reader::new(self.settings.limits, (1 + 2 * handshake::PACKET) as u64);
            self.state = State::Connecting { since: self.now };
        }
        let Some(cipher) = &mut self.inbound else { return self.consume(input) };
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        plain.extend_from_slice(input);
        cipher.apply(&mut plain);
        let result = self.consume(&plain);
        self.plain = plain;
        result
    }

    /// Reads chunks as far as the state lets it.
    fn consume(&mut self, mut input: &[u8]) -> Result<(), ProtocolError> {
        loop {
            match &mut self.state {
                State::Admitting(_)
                | State::Connected(Connected {
                    phase: Publication::Deciding { .. } | Publication::Asked { .. },
                    ..
                }) => {
                    let limit = self.settings.limits.held;
                    if self.held.len() + input.len() > limit {
                        return Err(ProtocolError::Held { limit });
                    }
                    self.held.extend_from_slice(input);
                    return Ok(());
                }
                State::Connecting { .. } | State::Connected(_) => {
                    let Some(message) = self.reader.next(&mut input)? else { return Ok(()) };
                    self.messages += 1;
                    self.on_message(&message)?;
                }
                State::Handshake(_) | State::Closing { .. } | State::Closed => return Ok(()),
            }
        }
    }

    /// Reads what came while the owner decided.
    fn go_on(&mut self) {
        let held = std::mem::take(&mut self.held);
        let result = self.consume(&held);
        self.failed = self.settle(result).err();
    }

    fn on_message(&mut self, message: &Message) -> Result<(), ProtocolError> {
        match message.kind {
            kind::AUDIO | kind::VIDEO => self.on_media(message),
            kind::DATA | kind::DATA_AMF3 => self.on_data(message),
            kind::COMMAND | kind::COMMAND_AMF3 => return self.on_command(message),
            kind::AGGREGATE => self.on_aggregate(message),
            _ => {
                if let Some(control) = Control::parse(message) {
                    self.link.on_control(self.now, control, &mut self.quirks);
                }
            }
        }
        Ok(())
    }

    fn check_time(&mut self) -> Result<(), ProtocolError> {
        if self.now < self.deadline() {
            return Ok(());
        }
        let timeouts = self.settings.timeouts;
        let late = |phase, limit| Err(ProtocolError::Timeout { phase, limit });
        match &mut self.state {
            State::Handshake(_) if self.link.received() == 0 => late(Phase::FirstByte, timeouts.first_byte),
            State::Handshake(_) => late(Phase::Handshake, timeouts.handshake),
            State::Connecting { .. } => late(Phase::Connect, timeouts.connect),
            State::Admitting(_) => late(Phase::Verdict, timeouts.verdict),
            State::Connected(connected) => match &mut connected.phase {
                Publication::Idle { ended_one: true, .. } => {
                    self.state = State::Closed; // the encoder said goodbye and left its end of the line open
                    Ok(())
                }
                Publication::Idle { .. } => late(Phase::Publish, timeouts.publish),
                Publication::Deciding { .. } | Publication::Asked { .. } => {
                    late(Phase::Verdict, timeouts.verdict)
                }
                Publication::Playing(playing) => {
                    playing.pinged(self.now);
                    let stamp = self.now.duration_since(self.accepted).as_millis() as u32;
                    self.link.ping(stamp, &mut self.quirks);
                    Ok(())
                }
                Publication::Publishing(publishing) => {
                    if let Some((phase, limit)) = publishing.overdue(self.now, &timeouts) {
                        return late(phase, limit);
                    }
                    if publishing.ping_due(self.now, &timeouts) {
                        let stamp = self.now.duration_since(self.accepted).as_millis() as u32;
                        self.link.ping(stamp, &mut self.quirks);
                    }
                    Ok(())
                }
            },
            State::Closing { until: Some(_) } | State::Closed => {
                self.state = State::Closed;
                Ok(())
            }
            State::Closing { until } => {
                *until = Some(self.now + timeouts.linger);
                Ok(())
            }
        }
    }

    /// Ends the connection with a word that OBS shows to its user.
    fn refuse(&mut self, stream: u32, code: &str, description: &str) {
        self.link.status(stream, "error", code, description, []);
        self.close_softly();
    }

    /// The last words are in the outbound bytes: let them arrive.
    fn close_softly(&mut self) {
        self.end_publication(false);
        self.leave_play();
        self.held.clear();
        self.state = State::Closing { until: None };
    }

    /// Gathers what was odd, and ends everything on an error.
    fn settle(&mut self, result: Result<(), ProtocolError>) -> Result<(), ProtocolError> {
        let tracks = match &mut self.state {
            State::Connected(Connected { phase: Publication::Publishing(publishing), .. }) => {
                Some(&mut publishing.tracks.quirks)
            }
            _ => None,
        };
        for quirks in [Some(&mut self.quirks), Some(&mut self.reader.quirks), tracks].into_iter().flatten() {
            if quirks.any() {
                self.events.extend(quirks.take().into_iter().map(Event::Note));
            }
        }
        if result.is_err() {
            self.end_publication(false);
            self.leave_play();
            self.state = State::Closed;
        }
        result
    }
}

#[cfg(test)]
mod amf3_tests;
#[cfg(test)]
mod encrypted_tests;
#[cfg(test)]
mod joined_tests;
#[cfg(test)]
mod playing_tests;
#[cfg(test)]
mod tests;
