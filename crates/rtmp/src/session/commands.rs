//! Commands: a table of handlers, each good at any time. Encoders leave out, repeat and reorder all of them.
//!
//! A question with a transaction gets its answer, known or not; transaction 0 asks for none. `publish`, `play`, `pause`
//! and `seek` are answered by status, `deleteStream` not at all.

use bytes::Bytes;
use media::TrackKind;

use super::{Call, Connected, Event, Publication, Session, State, connecting::connect_said};
use crate::{
    amf0::{Value, decode_all, object},
    limits::{Limit, STREAMS_MAX},
    link::Link,
    message::Message,
    quirk::Quirk,
    session::{ProtocolError, RefusalCode},
};

/// One command, as far as it could be read.
pub(super) struct Command<'a> {
    pub(super) name: &'a str,
    pub(super) transaction: f64,
    /// What follows: the command object first.
    pub(super) arguments: &'a [Value],
    /// The message stream it came on.
    pub(super) stream: u32,
}

impl Command<'_> {
    /// The string at `index` of the arguments, raw.
    pub(super) fn string(&self, index: usize) -> Option<&Bytes> {
        match self.arguments.get(index) {
            Some(Value::String(bytes)) => Some(bytes),
            _ => None,
        }
    }
}

/// Tells the encoder that it may send. Encoders wait for exactly this.
pub(super) fn publish_started(link: &mut Link, call: &Call) {
    let more = [("details", Value::String(call.name.clone())), ("clientid", Value::from("1"))];
    link.status(call.stream, "status", "NetStream.Publish.Start", "The stream is being received.", more);
}

impl Session {
    pub(super) fn on_command(&mut self, message: &Message) -> Result<(), ProtocolError> {
        self.commands += 1;
        let limits = &self.settings.limits;
        if self.commands > limits.commands {
            return Err(ProtocolError::TooManyCommands {
                which: Limit::Commands,
                limit: limits.commands,
                span: "on one connection",
            });
        }
        if self.commands_rate.count(self.now) > limits.commands_per_second {
            let limit = limits.commands_per_second;
            return Err(ProtocolError::TooManyCommands {
                which: Limit::CommandsPerSecond,
                limit,
                span: "within a second",
            });
        }
        let (values, fault) = decode_all(&message.amf_body());
        let connecting = matches!(self.state, State::Connecting { .. });
        if let Some(fault) = fault {
            self.quirks.note_with(Quirk::BadAmf, || fault.to_string());
            if connecting && values.len() < 2 {
                return Err(ProtocolError::BadConnect { reason: fault.to_string() });
            }
        }
        let Some(name) = values.first().and_then(Value::text) else { return Ok(()) };
        let transaction = values.get(1).and_then(Value::number).unwrap_or(0.0);
        let arguments = values.get(2..).unwrap_or_default();
        let command = Command { name: &name, transaction, arguments, stream: message.stream };
        match (&self.state, command.name) {
            (State::Connecting { .. }, "connect") => self.on_connect(&command),
            (State::Connected(connected), "connect") => {
                if connect_said(&command) != connected.said {
                    return Err(ProtocolError::ConnectChanged);
                }
                self.quirks.note(Quirk::ConnectTwice);
            }
            (State::Connected(_), _) => self.on_connected_command(&command),
            _ => {} // before connect nothing else has a meaning
        }
        Ok(())
    }

    fn on_connected_command(&mut self, command: &Command<'_>) {
        let transaction = command.transaction;
        match command.name {
            "releaseStream" => self.link.result(transaction, Value::Null, Value::Undefined),
            "FCPublish" => self.on_fc_publish(command),
            "FCUnpublish" => self.on_fc_unpublish(command),
            "createStream" => self.on_create_stream(command),
            "publish" => self.on_publish(command),
            "deleteStream" | "closeStream" => self.on_delete_stream(command),
            "play" | "play2" => self.on_play(command),
            "pause" | "pauseRaw" => self.on_pause(command),
            "seek" => self.on_seek(),
            "receiveAudio" => self.on_receive(TrackKind::Audio, command),
            "receiveVideo" => self.on_receive(TrackKind::Video, command),
            "getStreamLength" => self.link.result(transaction, Value::Null, Value::Number(0.0)),
            "_result" | "_error" | "onStatus" => {} // answers, not questions
            _ => self.link.result(transaction, Value::Null, Value::Null),
        }
    }

    /// Livestream Studio and some hardware wait for onFCPublish, and want the transaction in it.
    fn on_fc_publish(&mut self, command: &Command<'_>) {
        let name = command.string(1).cloned().unwrap_or_default();
        let information =
            object([("code", "NetStream.Publish.Start".into()), ("description", Value::String(name))]);
        self.link.reply("onFCPublish", command.transaction, Value::Null, information);
        self.link.result(command.transaction, Value::Null, Value::Undefined);
    }

    fn on_fc_unpublish(&mut self, command: &Command<'_>) {
        let information = object([("code", "NetStream.Unpublish.Success".into())]);
        self.link.reply("onFCUnpublish", command.transaction, Value::Null, information);
        self.link.result(command.transaction, Value::Null, Value::Undefined);
        self.unpublish();
    }

    fn on_create_stream(&mut self, command: &Command<'_>) {
        let State::Connected(connected) = &mut self.state else { return };
        if connected.streams.len() >= STREAMS_MAX {
            let description = format!("One connection may have {STREAMS_MAX} streams.");
            return self.link.error(command.transaction, "NetConnection.Call.Failed", &description);
        }
        connected.last_stream += 1;
        connected.streams.push(connected.last_stream);
        self.link.result(command.transaction, Value::Null, Value::Number(f64::from(connected.last_stream)));
    }

    fn on_publish(&mut self, command: &Command<'_>) {
        let State::Connected(connected) = &mut self.state else { return };
        if connected.streams.is_empty() {
            self.quirks.note(Quirk::PublishWithoutCreateStream);
        }
        let stream = if command.stream == 0 { connected.last_stream.max(1) } else { command.stream };
        let call = Call { stream, name: command.string(1).cloned().unwrap_or_default() };
        match &connected.phase {
            Publication::Publishing(publishing) if publishing.call.name == call.name => {
                self.quirks.note(Quirk::PublishTwice);
                publish_started(&mut self.link, &publishing.call);
            }
            Publication::Publishing(_) => {
                let (code, text) =
                    (RefusalCode::BadName.as_str(), "This connection publishes another stream already.");
                self.link.status(stream, "error", code, text, []);
            }
            Publication::Playing(_) => {
                let text = "This connection plays a stream; publish over another.";
                self.link.status(stream, "error", RefusalCode::BadName.as_str(), text, []);
            }
            // No input is read while the owner decides.
            Publication::Deciding { .. } | Publication::Asked { .. } => {}
            Publication::Idle { .. } => match connected.request(&call.name) {
                Ok(request) => {
                    self.events.push_back(Event::PublishRequested(request));
                    let until = self.now + self.settings.timeouts.verdict;
                    connected.phase = Publication::Deciding { until, call };
                }
                Err(error) => self.refuse(stream, RefusalCode::BadName.as_str(), &error.to_string()),
            },
        }
    }

    /// Ends the publication whatever the argument is (rtmp2sink sends the name), unless it clearly names another
    /// stream of this connection.
    fn on_delete_stream(&mut self, command: &Command<'_>) {
        let State::Connected(connected) = &mut self.state else { return };
        let named = match command.arguments.get(1) {
            Some(Value::Number(id)) => *id as u32,
            _ => command.stream,
        };
        let known = connected.streams.iter().position(|stream| *stream == named);
        let other = matches!(&connected.phase, Publication::Publishing(p) if p.call.stream != named);
        if let Some(index) = known {
            connected.streams.remove(index);
            if other {
                return;
            }
        }
        self.unpublish();
    }

    fn unpublish(&mut self) {
        self.leave_play();
        let State::Connected(Connected { phase: Publication::Publishing(publishing), .. }) = &self.state
        else {
            return;
        };
        let stream = publishing.call.stream;
        self.link.status(stream, "status", "NetStream.Unpublish.Success", "The stream has ended.", []);
        self.end_publication(true);
    }
}
