//! Where a connection's questions go: to whoever owns the listener.

use std::net::SocketAddr;

use rtmp::{auth, session::ConnectVerdict};
use tokio::sync::{mpsc, oneshot};

use crate::{player::PlayRequest, publisher::PublishRequest};

/// Channels to the owner; each is bounded, and a connection whose question waits reads nothing meanwhile. A channel that
/// is closed refuses.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Who may publish.
    pub publish: mpsc::Sender<PublishRequest>,
    /// Who may play; `None` refuses all.
    pub play: Option<mpsc::Sender<PlayRequest>>,
    /// Who may connect, and as whom; `None` lets all in, and looks at no credentials.
    pub connect: Option<mpsc::Sender<ConnectRequest>>,
}

/// A client connects. Dropping `reply` refuses it.
#[derive(Debug)]
pub struct ConnectRequest {
    /// Where it connects from.
    pub peer: SocketAddr,
    /// The RTMP application, without credentials.
    pub app: String,
    /// What it said about its user and password.
    pub claim: Option<auth::Claim>,
    /// It seems to be a player.
    pub plays: bool,
    /// Where the decision goes.
    pub reply: oneshot::Sender<ConnectVerdict>,
}
