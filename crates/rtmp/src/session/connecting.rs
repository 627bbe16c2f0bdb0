//! `connect`: who comes, what it can do, and whether it is let in.

use std::time::Instant;

use bytes::Bytes;

use super::{Connected, Event, Publication, Session, State, commands::Command, resolve::Server};
use crate::{
    amf0::{Value, object},
    auth::Claim,
    limits::FLASH_VER_MAX,
    metadata::printable,
    session::negotiation::Abilities,
};

/// Status of a connection that is not let in, or not yet: what clients with a password wait for.
const REJECTED: &str = "NetConnection.Connect.Rejected";

/// Who wants to connect. Asked about only with [`super::Settings::ask_at_connect`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectRequest {
    /// The application: the path of the server address, without credentials; may be empty.
    pub app: String,
    /// Host of the server address, without port.
    pub tc_url_host: Option<String>,
    /// What the client calls itself, for logs.
    pub flash_ver: Option<String>,
    /// What it said about its user and password.
    pub claim: Option<Claim>,
    /// It announced what it can play, and not that it publishes: FFmpeg and librtmp do either.
    pub plays: bool,
}

/// The owner's word on a [`ConnectRequest`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConnectVerdict {
    /// Let it in.
    Accept {
        /// The user whose password it has proven; told again with each [`super::StreamRequest`].
        user: Option<String>,
    },
    /// Tell it what to send next, or why not, then close: see [`crate::auth::Challenger`].
    Reject {
        /// Up to 255 bytes arrive.
        description: String,
    },
}

/// A client whose `connect` awaits its answer.
pub(super) struct Guest {
    transaction: f64,
    server: Server,
    said: (Option<Bytes>, Option<Bytes>),
    flash_ver: Option<String>,
    abilities: Abilities,
    pub(super) until: Instant,
}

impl Session {
    /// Answers [`Event::ConnectRequested`]. Otherwise without effect.
    pub fn answer_connect(&mut self, verdict: ConnectVerdict) {
        if !matches!(self.state, State::Admitting(_)) {
            return;
        }
        let State::Admitting(guest) = std::mem::replace(&mut self.state, State::Closed) else { return };
        match verdict {
            ConnectVerdict::Accept { user } => {
                self.welcome(*guest, user);
                self.go_on();
            }
            ConnectVerdict::Reject { description } => {
                self.link.error(guest.transaction, REJECTED, &description);
                self.close_softly();
            }
        }
    }

    pub(super) fn on_connect(&mut self, command: &Command<'_>) {
        let empty = Value::Null;
        let about =
            command.arguments.iter().find(|value| matches!(value, Value::Object(_))).unwrap_or(&empty);
        let text = |key| about.get(key).and_then(Value::text);
        let (app, tc_url) = (text("app"), text("tcUrl").or(text("tcurl")));
        let server = match Server::parse(app.as_deref(), tc_url.as_deref()) {
            Ok(server) => server,
            Err(error) => {
                self.link.error(command.transaction, "NetConnection.Connect.InvalidApp", &error.to_string());
                return self.close_softly();
            }
        };
        let guest = Guest {
            transaction: command.transaction,
            said: connect_said(command),
            flash_ver: text("flashVer").map(|text| printable(&text, FLASH_VER_MAX)),
            abilities: Abilities::read(about),
            until: self.now + self.settings.timeouts.verdict,
            server,
        };
        if !self.settings.ask_at_connect {
            return self.welcome(guest, None);
        }
        let claim = [app, tc_url].into_iter().flatten().find_map(|text| Claim::read(&text));
        self.events.push_back(Event::ConnectRequested(ConnectRequest {
            app: guest.server.app(),
            tc_url_host: guest.server.host.clone(),
            flash_ver: guest.flash_ver.clone(),
            claim,
            plays: ["fpad", "audioCodecs", "videoCodecs"].iter().any(|key| about.get(key).is_some())
                && text("type").as_deref() != Some("nonprivate"),
        }));
        self.state = State::Admitting(Box::new(guest));
    }

    fn welcome(&mut self, guest: Guest, user: Option<String>) {
        self.link.open(self.settings.chunk_size);
        let success = [
            ("level", Value::from("status")),
            ("code", "NetConnection.Connect.Success".into()),
            ("description", "Connection succeeded.".into()),
        ];
        self.link.result(
            guest.transaction,
            object([
                ("fmsVer", "FMS/3,5,7,7009".into()),
                ("capabilities", 31.0.into()),
                ("mode", 1.0.into()),
            ]),
            object(success.into_iter().chain(guest.abilities.answer())),
        );
        let timeouts = &self.settings.timeouts;
        let until = (self.now + timeouts.publish).min(self.accepted + timeouts.unauthenticated);
        self.state = State::Connected(Connected {
            server: guest.server,
            said: guest.said,
            flash_ver: guest.flash_ver,
            abilities: guest.abilities,
            user,
            streams: Vec::new(),
            last_stream: 0,
            phase: Publication::Idle { until, ended_one: false },
        });
    }

    /// Asks a client that understands it to connect anew (Enhanced RTMP v2, "Reconnect Request") before a shutdown, and
    /// serves it until it leaves. False where it does not, or has not connected.
    pub fn request_reconnect(&mut self, reason: &str) -> bool {
        let reconnects = self.reconnects();
        if reconnects {
            self.link.status(0, "status", "NetConnection.Connect.ReconnectRequest", reason, []);
        }
        reconnects
    }

    /// Whether the client said that it understands [`Self::request_reconnect`].
    pub fn reconnects(&self) -> bool {
        matches!(&self.state, State::Connected(connected) if connected.abilities.reconnects())
    }
}

/// What tells one `connect` from another.
pub(super) fn connect_said(command: &Command<'_>) -> (Option<Bytes>, Option<Bytes>) {
    let said = |key| {
        command.arguments.iter().find_map(|value| match value.get(key) {
            Some(Value::String(bytes)) => Some(Bytes::copy_from_slice(bytes)),
            _ => None,
        })
    };
    (said("app"), said("tcUrl"))
}
