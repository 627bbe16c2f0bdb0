//! The publisher's side of the dialogue, without I/O: what the product's own test stream publishes with.
//!
//! ```text
//!  handshake ─▶ connect ─▶ releaseStream, FCPublish, createStream ─▶ publish ─▶ Event::Ready ─▶ media ─▶ finish
//! ```
//! The owner bounds the waiting, and how many outbound bytes may pile up, by [`Publisher::outbound_len`].

use std::{collections::VecDeque, sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use media::{AudioConfig, MediaTime, Packet, TrackKind, VideoConfig};

use crate::{
    amf0::{Encoder, Value, decode_all, object},
    chunk::{Reader, csid, writer::Head},
    handshake,
    limits::Limits,
    link::Link,
    message::{Control, Message, kind},
    metadata::{Metadata, printable},
    quirk::Quirks,
    secret::SecretText,
    session::ProtocolError,
    tagger::{Tagger, wire_millis},
};

/// Chunk size that we send in, in bytes: a header for every 4096 bytes costs little, and audio need not wait long
/// behind a keyframe.
const CHUNK_SIZE: u32 = 4096;
/// Transactions of the dialogue.
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 4.0;
/// `capsEx`: the Reconnect Request is understood (Enhanced RTMP v2).
const CAPS_RECONNECT: f64 = 1.0;
/// Longest code or description kept of what the server says, in characters.
const SENTENCE_MAX: usize = 300;

/// Where and what to publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// `host` or `host:port`, as to be dialled; the port is 1935 where none is given.
    pub authority: String,
    /// The application.
    pub app: String,
    /// Name or key, query included.
    pub name: SecretText,
}

/// Why an address is not one to publish to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an address of the form rtmp://host[:port]/app/name")]
pub struct BadTarget;

impl Target {
    /// Reads `rtmp://host[:port]/app/name?query`: the last element is the name.
    ///
    /// # Errors
    /// When scheme, host, application or name are missing.
    pub fn parse(url: &str) -> Result<Self, BadTarget> {
        let rest = url.strip_prefix("rtmp://").ok_or(BadTarget)?;
        let path_end = rest.find('?').unwrap_or(rest.len());
        let cut = rest[..path_end].rfind('/').ok_or(BadTarget)?;
        let (server, name) = (&rest[..cut], &rest[cut + 1..]);
        let (authority, app) = server.split_once('/').ok_or(BadTarget)?;
        if authority.is_empty() || app.is_empty() || name.is_empty() {
            return Err(BadTarget);
        }
        Ok(Self { authority: authority.to_owned(), app: app.to_owned(), name: SecretText::new(name) })
    }

    /// The server address without the name.
    pub fn tc_url(&self) -> String {
        format!("rtmp://{}/{}", self.authority, self.app)
    }
}

/// What the client tells its owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The server accepted: send metadata, configurations and packets.
    Ready,
    /// The server refused, or ended the publication. Nothing more can be sent.
    Refused {
        /// Its status code, such as `NetStream.Publish.BadName`.
        code: String,
        /// Its sentence.
        description: String,
    },
    /// The server confirmed the end of the publication.
    Closed,
    /// The server is about to stop, and asks to be left for another connection; it serves this one meanwhile.
    ReconnectRequested,
}

enum State {
    Handshake(handshake::Client),
    Connecting,
    CreatingStream,
    AskingToPublish { stream: u32 },
    Publishing { stream: u32 },
    Over,
}

/// One publication over one connection.
pub struct Publisher {
    target: Target,
    state: State,
    link: Link,
    reader: Reader,
    quirks: Quirks,
    events: VecDeque<Event>,
    tagger: Tagger,
    /// Body of the message being written.
    scratch: BytesMut,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Publisher {
    /// Starts the handshake: its first bytes are in `take_outbound`.
    pub fn new(now: Instant, target: Target) -> Self {
        let limits = Limits::default();
        let mut link = Link::new(now, usize::MAX, limits.pings_per_second);
        Self {
            state: State::Handshake(handshake::Client::start(&mut link.out)),
            target,
            link,
            reader: Reader::new(limits, (1 + 2 * handshake::PACKET) as u64),
            quirks: Quirks::default(),
            events: VecDeque::new(),
            tagger: Tagger::default(),
            scratch: BytesMut::new(),
        }
    }

    /// Takes what the server sent, cut anywhere. Drain `poll_event` and `take_outbound` after every call.
    ///
    /// # Errors
    /// When the server does not speak RTMP.
    pub fn feed(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ProtocolError> {
        self.link.count(bytes.len());
        let mut input = bytes;
        loop {
            match &mut self.state {
                State::Handshake(handshake) => {
                    if !handshake.feed(&mut input, &mut self.link.out)? {
                        return Ok(());
                    }
                    self.state = State::Connecting;
                    self.send_connect();
                }
                State::Over => return Ok(()),
                _ => {
                    let Some(message) = self.reader.next(&mut input)? else { break };
                    self.on_message(now, &message);
                }
            }
        }
        self.link.acknowledge(&mut self.quirks);
        self.quirks.take();
        Ok(())
    }

    /// Bytes to send; empty when there are none.
    pub fn take_outbound(&mut self) -> Bytes {
        self.link.take()
    }

    /// Bytes that wait to be sent.
    pub fn outbound_len(&self) -> usize {
        self.link.out.len()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sends `@setDataFrame onMetaData`. Like all sending, without effect before [`Event::Ready`].
    pub fn send_metadata(&mut self, metadata: &Metadata) {
        let body =
            Encoder::new().put("@setDataFrame").put("onMetaData").put_ecma(&metadata.to_value()).finish();
        self.send(csid::AUDIO, kind::DATA, MediaTime::ZERO, &body);
    }

    /// Sends the configuration of the pictures that follow.
    pub fn send_video_config(&mut self, config: &Arc<VideoConfig>) {
        self.send_tag(csid::VIDEO, kind::VIDEO, MediaTime::ZERO, |tagger, body| {
            tagger.video_config(config, body)
        });
    }

    /// Sends the configuration of the sound that follows.
    pub fn send_audio_config(&mut self, config: &Arc<AudioConfig>) {
        self.send_tag(csid::AUDIO, kind::AUDIO, MediaTime::ZERO, |tagger, body| {
            tagger.audio_config(config, body)
        });
    }

    /// Sends one packet, in decode order within its track; its configuration went before. Times are told in whole
    /// milliseconds, modulo 2^32.
    pub fn send_packet(&mut self, packet: &Packet) {
        let (chunk_stream, kind) = match packet.kind {
            TrackKind::Video => (csid::VIDEO, kind::VIDEO),
            TrackKind::Audio => (csid::AUDIO, kind::AUDIO),
        };
        self.send_tag(chunk_stream, kind, packet.dts, |tagger, body| tagger.packet(packet, body));
    }

    /// Ends the publication: FCUnpublish and deleteStream. The server's confirmation is [`Event::Closed`].
    pub fn finish(&mut self) {
        let State::Publishing { stream } = self.state else { return };
        let name = self.name();
        self.command(Encoder::new().put("FCUnpublish").put(6.0).put(Value::Null).put(name));
        let id = f64::from(stream);
        self.command(Encoder::new().put("deleteStream").put(7.0).put(Value::Null).put(id));
    }

    fn send_tag(
        &mut self,
        csid: u32,
        kind: u8,
        at: MediaTime,
        write: impl FnOnce(&mut Tagger, &mut BytesMut) -> bool,
    ) {
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        if write(&mut self.tagger, &mut body) {
            self.send(csid, kind, at, &body);
        }
        self.scratch = body;
    }

    fn send(&mut self, csid: u32, kind: u8, at: MediaTime, body: &[u8]) {
        if let State::Publishing { stream } = self.state {
            self.link.write(Head { csid, kind, stream, timestamp: wire_millis(at) }, body);
        }
    }

    fn name(&self) -> Value {
        Value::from(self.target.name.expose())
    }

    fn command(&mut self, body: Encoder) {
        self.link.command(csid::COMMAND, 0, &body.finish());
    }

    fn send_connect(&mut self) {
        let properties = object([
            ("app", Value::from(self.target.app.as_str())),
            ("type", "nonprivate".into()),
            ("flashVer", concat!("FMLE/3.0 (compatible; Sluice ", env!("CARGO_PKG_VERSION"), ")").into()),
            ("tcUrl", Value::from(self.target.tc_url().as_str())),
            ("capsEx", CAPS_RECONNECT.into()),
        ]);
        self.command(Encoder::new().put("connect").put(CONNECT).put(properties));
    }

    fn on_message(&mut self, now: Instant, message: &Message) {
        match message.kind {
            kind::COMMAND | kind::COMMAND_AMF3 => self.on_command(message),
            _ => {
                if let Some(control) = Control::parse(message) {
                    self.link.on_control(now, control, &mut self.quirks);
                }
            }
        }
    }

    fn on_command(&mut self, message: &Message) {
        let (values, _) = decode_all(&message.amf_body());
        let Some(name) = values.first().and_then(Value::text) else { return };
        let transaction = values.get(1).and_then(Value::number).unwrap_or(0.0);
        let information = values.get(3).unwrap_or(&Value::Null);
        match (&*name, &self.state) {
            ("_result", State::Connecting) if transaction == CONNECT => {
                self.state = State::CreatingStream;
                self.link.set_chunk_size(CHUNK_SIZE);
                let name = self.name();
                self.command(Encoder::new().put("releaseStream").put(2.0).put(Value::Null).put(name.clone()));
                self.command(Encoder::new().put("FCPublish").put(3.0).put(Value::Null).put(name));
                self.command(Encoder::new().put("createStream").put(CREATE_STREAM).put(Value::Null));
            }
            ("_result", State::CreatingStream) if transaction == CREATE_STREAM => {
                let stream = information.number().map_or(1, |id| id as u32);
                self.state = State::AskingToPublish { stream };
                let body =
                    Encoder::new().put("publish").put(5.0).put(Value::Null).put(self.name()).put("live");
                self.link.command(csid::STREAM, stream, &body.finish());
            }
            ("_error", State::Connecting | State::CreatingStream)
                if transaction == CONNECT || transaction == CREATE_STREAM =>
            {
                self.refused(information);
            }
            ("onStatus", _) => self.on_status(information),
            _ => {}
        }
    }

    fn on_status(&mut self, information: &Value) {
        let text = |key| information.get(key).and_then(Value::text);
        if text("level").as_deref() == Some("error") {
            return self.refused(information);
        }
        match (text("code").as_deref(), &self.state) {
            (Some("NetStream.Publish.Start"), State::AskingToPublish { stream }) => {
                self.state = State::Publishing { stream: *stream };
                self.events.push_back(Event::Ready);
            }
            (Some("NetConnection.Connect.ReconnectRequest"), _) => {
                self.events.push_back(Event::ReconnectRequested);
            }
            (Some("NetStream.Unpublish.Success"), State::Publishing { .. }) => {
                self.state = State::Over;
                self.events.push_back(Event::Closed);
            }
            _ => {}
        }
    }

    fn refused(&mut self, information: &Value) {
        let text = |key| {
            let text = information.get(key).and_then(Value::text).unwrap_or_default();
            printable(&text, SENTENCE_MAX)
        };
        self.state = State::Over;
        self.events.push_back(Event::Refused { code: text("code"), description: text("description") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_at_the_last_element() {
        let target = Target::parse("rtmp://[::1]:1935/live/one/key?a=b/c").unwrap();
        assert_eq!((target.authority.as_str(), target.app.as_str()), ("[::1]:1935", "live/one"));
        assert_eq!(
            (target.name.expose(), target.tc_url().as_str()),
            ("key?a=b/c", "rtmp://[::1]:1935/live/one")
        );
        for bad in ["http://h/a/n", "rtmp://h/n", "rtmp://h", "rtmp:///a/n", "rtmp://h/a/"] {
            assert_eq!(Target::parse(bad), Err(BadTarget), "{bad}");
        }
    }
}
