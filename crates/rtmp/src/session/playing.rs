//! The player's role: a live stream sent to a client that asked for it (RTMP 1.0 §7.2.2).
//!
//! ```text
//!  play ─▶ PlayRequested ─answer_play▶ StreamBegin, Play.Reset, Play.Start ─▶ send_metadata, send_media … ─▶ end_play
//! ```
//! What is sent waits in the outbound bytes; how much may wait there is the owner's to bound. Live streams cannot be
//! sought in or held: after a pause or a seek the player goes on at the next keyframe.

use std::time::Instant;

use bytes::BytesMut;
use media::{MediaEvent, MediaSpan, MediaTime, Packet, TrackId, TrackKind};

use super::{Call, Connected, Event, Publication, Session, State, commands::Command};
use crate::{
    amf0::{Encoder, Value, object},
    chunk::{csid, writer::Head},
    limits::Timeouts,
    message::kind,
    metadata::Metadata,
    tagger::{Tagger, wire_millis},
};

/// A stream whose times go back further than this began anew; less is the disorder of pictures and sound.
const RESTART: MediaSpan = MediaSpan::from_millis(2_000);
/// Status of a stream that is not there.
const NOT_FOUND: &str = "NetStream.Play.StreamNotFound";

/// The owner's word on [`Event::PlayRequested`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlayVerdict {
    /// Media follow.
    Accept,
    /// Tell it why not, then close.
    Refuse {
        /// A sentence for the player's user; up to 255 bytes arrive.
        description: String,
    },
}

/// What exists while a client plays.
pub(super) struct Playing {
    call: Call,
    tagger: Tagger,
    /// The stream's time that is 0 for this player.
    zero: Option<MediaTime>,
    /// The latest time of the stream that was sent.
    latest: Option<MediaTime>,
    /// What the newest message was stamped with, in milliseconds.
    stamp: u32,
    /// The player asked for no more than so many milliseconds.
    length: Option<u32>,
    paused: bool,
    wants_sound: bool,
    wants_pictures: bool,
    /// Pictures are left out up to the next keyframe.
    needs_keyframe: bool,
    last_ping: Instant,
    /// Body of the message being written.
    scratch: BytesMut,
}

impl Playing {
    fn new(now: Instant, call: Call, length: Option<u32>) -> Self {
        Self {
            call,
            tagger: Tagger::default(),
            zero: None,
            latest: None,
            stamp: 0,
            length,
            paused: false,
            wants_sound: true,
            wants_pictures: true,
            needs_keyframe: true,
            last_ping: now,
            scratch: BytesMut::new(),
        }
    }

    pub(super) fn deadline(&self, timeouts: &Timeouts) -> Instant {
        self.last_ping + timeouts.ping
    }

    pub(super) fn pinged(&mut self, now: Instant) {
        self.last_ping = now;
    }

    /// Whether the player is to get this packet now.
    fn wants(&mut self, packet: &Packet) -> bool {
        if self.paused || packet.track != TrackId::default() {
            return false;
        }
        match packet.kind {
            TrackKind::Audio => self.wants_sound,
            TrackKind::Video if !self.wants_pictures => false,
            TrackKind::Video => {
                self.needs_keyframe &= !packet.keyframe;
                !self.needs_keyframe
            }
        }
    }

    /// The player's time of `at`: 0 for what came first, and for the little that belongs before it. Where the stream's
    /// clock starts anew, the player's goes on.
    fn stamp_of(&mut self, at: MediaTime) -> u32 {
        let mut zero = *self.zero.get_or_insert(at);
        if let Some(latest) = self.latest.filter(|latest| *latest - at > RESTART) {
            zero += at - latest;
            (self.zero, self.latest) = (Some(zero), None);
        }
        self.latest = Some(self.latest.map_or(at, |latest| latest.max(at)));
        self.stamp = wire_millis(MediaTime::ZERO + (at - zero).max(MediaSpan::ZERO));
        self.stamp
    }
}

impl Session {
    /// Answers [`Event::PlayRequested`]. Otherwise without effect.
    pub fn answer_play(&mut self, verdict: PlayVerdict) {
        let State::Connected(connected) = &mut self.state else { return };
        let Publication::Asked { call, reset, length, .. } = &connected.phase else { return };
        let (call, reset, length) = (call.clone(), *reset, *length);
        match verdict {
            PlayVerdict::Accept => {
                let stream = call.stream;
                connected.phase =
                    Publication::Playing(Box::new(Playing::new(self.now, call.clone(), length)));
                self.link.stream_begin(stream);
                if reset {
                    self.play_status(&call, "NetStream.Play.Reset", "Playing and resetting.");
                }
                self.play_status(&call, "NetStream.Play.Start", "The stream is being sent.");
                let body = Encoder::new().put("|RtmpSampleAccess").put(true).put(true).finish();
                self.send_data(stream, 0, &body);
                let started = object([("code", "NetStream.Data.Start".into())]);
                self.send_data(stream, 0, &Encoder::new().put("onStatus").put(started).finish());
                self.go_on();
            }
            PlayVerdict::Refuse { description } => self.refuse(call.stream, NOT_FOUND, &description),
        }
    }

    /// Sends what is known of the stream to a player. Like all sending, without effect where nobody plays.
    pub fn send_metadata(&mut self, metadata: &Metadata) {
        let Some(playing) = self.playing() else { return };
        let (stream, stamp) = (playing.call.stream, playing.stamp);
        self.send_data(
            stream,
            stamp,
            &Encoder::new().put("onMetaData").put_ecma(&metadata.to_value()).finish(),
        );
    }

    /// Sends a configuration or a packet of a default track to a player; times are counted from the first packet's.
    /// What the player does not want just now is left out.
    pub fn send_media(&mut self, event: &MediaEvent) {
        let Some(playing) = self.playing() else { return };
        let mut body = std::mem::take(&mut playing.scratch);
        body.clear();
        let (chunk_stream, kind, stamp, written) = match event {
            MediaEvent::VideoConfig(track, config) if *track == TrackId::default() => {
                playing.needs_keyframe = true;
                let written = playing.tagger.video_config(config, &mut body);
                (csid::VIDEO, kind::VIDEO, playing.stamp, written)
            }
            MediaEvent::AudioConfig(track, config) if *track == TrackId::default() => {
                let written = playing.tagger.audio_config(config, &mut body);
                (csid::AUDIO, kind::AUDIO, playing.stamp, written)
            }
            MediaEvent::Packet(packet) if playing.wants(packet) => {
                let written = playing.tagger.packet(packet, &mut body);
                let stamp = playing.stamp_of(packet.dts);
                match packet.kind {
                    TrackKind::Video => (csid::VIDEO, kind::VIDEO, stamp, written),
                    TrackKind::Audio => (csid::AUDIO, kind::AUDIO, stamp, written),
                }
            }
            _ => (csid::AUDIO, kind::DATA, 0, false),
        };
        let stream = playing.call.stream;
        if written {
            self.link.write(Head { csid: chunk_stream, kind, stream, timestamp: stamp }, &body);
        }
        let Some(playing) = self.playing() else { return };
        playing.scratch = body;
        if playing.length.is_some_and(|length| playing.stamp >= length) {
            self.stop_play("NetStream.Play.Complete", "What was asked for has been sent.");
        }
    }

    /// Tells a player that the stream is over, then closes; `reason` is a sentence for its user.
    pub fn end_play(&mut self, reason: &str) {
        self.stop_play("NetStream.Play.UnpublishNotify", reason);
    }

    fn stop_play(&mut self, code: &str, reason: &str) {
        let Some(playing) = self.playing() else { return };
        let call = playing.call.clone();
        self.play_status(&call, code, reason);
        self.play_status(&call, "NetStream.Play.Stop", reason);
        self.link.stream_eof(call.stream);
        self.close_softly();
    }

    pub(super) fn playing(&mut self) -> Option<&mut Playing> {
        match &mut self.state {
            State::Connected(Connected { phase: Publication::Playing(playing), .. }) => Some(playing),
            _ => None,
        }
    }

    /// `play`, at any time but while publishing; a second one replaces the first.
    pub(super) fn on_play(&mut self, command: &Command<'_>) {
        self.leave_play();
        let State::Connected(connected) = &mut self.state else { return };
        let stream = if command.stream == 0 { connected.last_stream.max(1) } else { command.stream };
        let call = Call { stream, name: command.string(1).cloned().unwrap_or_default() };
        // `play(false)` is Flash's way to stop.
        if matches!(command.arguments.get(1), Some(Value::Boolean(false))) {
            return;
        }
        if matches!(connected.phase, Publication::Publishing(_)) {
            let text = "This connection publishes a stream; play over another.";
            return self.link.status(stream, "error", "NetStream.Play.Failed", text, []);
        }
        match connected.request(&call.name) {
            Ok(request) => {
                self.events.push_back(Event::PlayRequested(request));
                let until = self.now + self.settings.timeouts.verdict;
                // Arguments: null, name, start, duration, reset. Clients count in milliseconds, where the text says
                // seconds; below 0 means all.
                let length = command.arguments.get(3).and_then(Value::number).filter(|length| *length > 0.0);
                let length = length.map(|length| length as u32);
                let reset = command.arguments.get(4).and_then(Value::truth).unwrap_or(true);
                connected.phase = Publication::Asked { until, call, reset, length };
            }
            Err(error) => self.refuse(stream, NOT_FOUND, &error.to_string()),
        }
    }

    pub(super) fn on_pause(&mut self, command: &Command<'_>) {
        let Some(playing) = self.playing() else { return };
        let pause = command.arguments.get(1).and_then(Value::truth).unwrap_or(!playing.paused);
        playing.needs_keyframe |= playing.paused && !pause;
        playing.paused = pause;
        let call = playing.call.clone();
        if pause {
            self.play_status(&call, "NetStream.Pause.Notify", "Paused.");
        } else {
            self.play_status(&call, "NetStream.Unpause.Notify", "Live again from the next keyframe on.");
        }
    }

    pub(super) fn on_seek(&mut self) {
        let Some(playing) = self.playing() else { return };
        playing.needs_keyframe = true;
        let call = playing.call.clone();
        self.link.stream_eof(call.stream);
        self.link.stream_begin(call.stream);
        self.play_status(&call, "NetStream.Seek.Notify", "A live stream goes on at its live edge.");
        self.play_status(&call, "NetStream.Play.Start", "The stream is being sent.");
    }

    /// `receiveAudio` and `receiveVideo`.
    pub(super) fn on_receive(&mut self, kind: TrackKind, command: &Command<'_>) {
        let wanted = command.arguments.get(1).and_then(Value::truth).unwrap_or(true);
        let Some(playing) = self.playing() else { return };
        match kind {
            TrackKind::Audio => playing.wants_sound = wanted,
            TrackKind::Video => {
                playing.needs_keyframe |= wanted && !playing.wants_pictures;
                playing.wants_pictures = wanted;
            }
        }
    }

    /// The player has had enough. Without effect where nobody plays.
    pub(super) fn leave_play(&mut self) {
        if self.playing().is_none() {
            return;
        }
        let until = self.now + self.settings.timeouts.publish;
        if let State::Connected(connected) = &mut self.state {
            connected.phase = Publication::Idle { until, ended_one: true };
        }
        self.events.push_back(Event::PlayEnded);
    }

    fn play_status(&mut self, call: &Call, code: &str, description: &str) {
        let more = [("details", Value::String(call.name.clone())), ("clientid", Value::from("1"))];
        self.link.status(call.stream, "status", code, description, more);
    }

    fn send_data(&mut self, stream: u32, timestamp: u32, body: &[u8]) {
        self.link.write(Head { csid: csid::AUDIO, kind: kind::DATA, stream, timestamp }, body);
    }
}
