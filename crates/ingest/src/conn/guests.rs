//! What a connection asks its owner beside publishing: who may connect, and who may play.

use std::time::Duration;

use rtmp::session::{self, ConnectVerdict, PlayVerdict};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::{debug, info};

use super::Conn;
use crate::{
    owner::ConnectRequest,
    player::{PlayDecision, PlayRequest},
};

/// What waits to be written to a player beyond which nothing more is taken from its queue, in bytes.
pub(super) const PLAYER_BACKLOG: usize = 256 * 1024;

impl Conn<'_> {
    /// Asks who it is that connects.
    pub(super) async fn admit(&mut self, request: session::ConnectRequest) {
        let session::ConnectRequest { app, claim, plays, .. } = request;
        let peer = self.visitor.peer;
        let (owner, limit) = (self.hall.owner.connect.as_ref(), self.hall.settings.session.timeouts.verdict);
        let decision = decide(limit, owner, |reply| ConnectRequest { peer, app, claim, plays, reply }).await;
        let verdict = decision.unwrap_or_else(|| ConnectVerdict::Reject {
            description: "The server could not decide in time; try again.".to_owned(),
        });
        match &verdict {
            ConnectVerdict::Accept { user: Some(user) } => debug!(user, "password proven"),
            ConnectVerdict::Accept { user: None } => {}
            ConnectVerdict::Reject { .. } => debug!("asked for user and password, or refused"),
        }
        self.session.answer_connect(verdict);
    }

    /// Asks whether it may play.
    pub(super) async fn ask_to_play(&mut self, request: session::StreamRequest) {
        let peer = self.visitor.peer;
        let limit = self.hall.settings.session.timeouts.verdict;
        let decision = decide(limit, self.hall.owner.play.as_ref(), |reply| PlayRequest {
            peer,
            app: request.app,
            name: request.name,
            query: request.query,
            user: request.user,
            player: request.flash_ver,
            reply,
        })
        .await;
        match decision {
            Some(PlayDecision::Accept(subscription)) => {
                info!("playing");
                metrics::gauge!("sluice_rtmp_players").increment(1);
                self.session.answer_play(PlayVerdict::Accept);
                self.session.send_metadata(&subscription.metadata);
                self.player = Some(Player(subscription));
            }
            Some(PlayDecision::Refuse(description)) => {
                debug!(description, "player refused");
                self.session.answer_play(PlayVerdict::Refuse { description });
            }
            None => {
                let description = "This server does not play streams over RTMP; watch on its web page.";
                self.session.answer_play(PlayVerdict::Refuse { description: description.to_owned() });
            }
        }
    }

    /// Passes on what came from the stream, and what else waits there as far as the socket keeps up.
    pub(super) fn play(&mut self, first: Result<media::MediaEvent, String>, unsent: usize) {
        let mut next = Some(first);
        while let Some(item) = next {
            match item {
                Ok(event) => self.session.send_media(&event),
                Err(reason) => {
                    debug!(reason, "playing ends");
                    self.player = None;
                    return self.session.end_play(&reason);
                }
            }
            let room = unsent + self.session.outbound_len() < PLAYER_BACKLOG;
            next = self.player.as_mut().filter(|_| room).and_then(|player| player.0.try_next());
        }
    }
}

/// The next thing a player gets; never resolves where nobody plays.
pub(super) async fn next_for(player: &mut Option<Player>) -> Result<media::MediaEvent, String> {
    match player {
        Some(player) => player.0.next().await,
        None => std::future::pending().await,
    }
}

/// Somebody who plays, counted as long as it lives.
#[derive(Debug)]
pub(super) struct Player(crate::player::Subscription);

impl Drop for Player {
    fn drop(&mut self) {
        metrics::gauge!("sluice_rtmp_players").decrement(1);
    }
}

/// The owner's answer to a question; `None` where it takes none, or gives none in time.
async fn decide<Q, A>(
    limit: Duration,
    owner: Option<&mpsc::Sender<Q>>,
    question: impl FnOnce(oneshot::Sender<A>) -> Q,
) -> Option<A> {
    let (reply, answer) = oneshot::channel();
    let question = question(reply);
    let asked = async {
        owner?.send(question).await.ok()?;
        answer.await.ok()
    };
    timeout(limit, asked).await.ok().flatten()
}
