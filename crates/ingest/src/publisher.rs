//! Who may publish, and what a publisher says: the types that cross from a connection to its owner.

use std::net::SocketAddr;

use media::MediaEvent;
use rtmp::{Metadata, RefusalCode, SecretText, Stats};
use tokio::sync::{mpsc, oneshot, watch};

use crate::transport::Transport;

/// A client wants to publish. Dropping `reply` refuses it.
#[derive(Debug)]
pub struct PublishRequest {
    /// Where it connects from.
    pub peer: SocketAddr,
    /// How it comes: RTMPE only if the session really is encrypted.
    pub transport: Transport,
    /// The RTMP application, the URL's path before the name.
    pub app: String,
    /// The publish name: a stream key, or a public name with the key in `query`.
    pub name: SecretText,
    /// What stood behind `?` in application, URL or name, merged.
    pub query: SecretText,
    /// The user whose password it has proven when it connected.
    pub user: Option<String>,
    /// What the encoder calls itself.
    pub encoder: Option<String>,
    /// Where the decision goes.
    pub reply: oneshot::Sender<Decision>,
}

/// The owner's answer.
#[derive(Debug)]
pub enum Decision {
    /// It may publish into this lane.
    Accept(Lane),
    /// It may not.
    Refuse(Refusal),
}

/// Why a client may not publish, in a form that encoders show their user.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The NetStream status code.
    pub code: RefusalCode,
    /// A sentence for the person at the encoder.
    pub description: String,
}

/// Where an accepted publisher's media goes.
#[derive(Debug)]
pub struct Lane {
    /// Bounded; a full lane slows the encoder down through TCP.
    pub packets: mpsc::Sender<FromPublisher>,
    /// Set to a sentence when the publisher must go: taken over, shut down.
    pub farewell: watch::Receiver<Option<String>>,
}

/// What a publisher says, in order. The last word is [`FromPublisher::Ended`]; a lane that closes without it was lost.
#[derive(Debug)]
pub enum FromPublisher {
    /// Configurations, packets and breaks, on the publication's own timeline.
    Media(MediaEvent),
    /// What onMetaData claims.
    Metadata(Metadata),
    /// Counters of the connection, now and then.
    Stats(Stats),
    /// Something odd about the encoder that is tolerated: a sentence, each once per connection, free of secrets.
    Note(String),
    /// The publication is over.
    Ended {
        /// The encoder said so (FCUnpublish, deleteStream); otherwise the connection was lost.
        clean: bool,
        /// In words, for the log.
        why: String,
    },
}
