//! The doorman, who is asked about each RTMP connection: challenges those that are to prove a user's password, and checks
//! what they answer.
//!
//! Encoders with a user and a password say nothing of it until they are challenged, and one without fails when it is.
//! So who is challenged is a matter of how it comes:
//!
//! * whoever speaks of it: an application that ends in `?authmod=adobe` or `?authmod=llnw`;
//! * whoever uses the application of `publish.user_app`, as in `rtmp://USER:PASSWORD@HOST/auth/STREAM`;
//! * every encoder, where users exist and nothing but a user could publish: no keys, no rules, no webhook;
//! * every encoder, where `publish.user_auth` is "always".
//!
//! To be challenged is an offer; what a connection without a user may publish is the gate's business.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ingest::{ConnectRequest, ConnectVerdict};
use rtmp::auth::{Challenger, Outcome, Verifier};
use tokio::{sync::mpsc, task::JoinSet};
use tracing::{error, info, warn};

use crate::{
    config::UserAuth,
    store::{Store, StoreError},
};

/// Questions looked into at once; more wait in the queue.
const MOST_ASKING: usize = 64;

/// Answers connections' questions about who they are.
#[derive(Debug)]
pub(crate) struct Doorman {
    /// Where users are known.
    pub store: Store,
    /// Makes challenges.
    pub challenger: Challenger,
    /// See `publish.user_auth`.
    pub mode: UserAuth,
    /// See `publish.user_app`.
    pub app: String,
    /// Whether rules or a webhook may let somebody in who is no user.
    pub others_may: bool,
}

impl Doorman {
    /// Answers until the channel closes.
    pub(crate) async fn run(self, mut questions: mpsc::Receiver<ConnectRequest>) {
        let doorman = Arc::new(self);
        let mut asking = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = asking.join_next() => {}
                question = questions.recv(), if asking.len() < MOST_ASKING => match question {
                    Some(question) => {
                        let doorman = doorman.clone();
                        asking.spawn(async move { doorman.answer(question).await });
                    }
                    None => return,
                },
            }
        }
    }

    async fn answer(self: Arc<Self>, question: ConnectRequest) {
        let ConnectRequest { peer, app, claim, plays, reply } = question;
        let anonymous = ConnectVerdict::Accept { user: None };
        let named = claim.is_some() || !app.is_empty() && app == self.app;
        let looked_into = named || !plays && (self.mode == UserAuth::Always || !self.others_may);
        if !looked_into {
            let _ = reply.send(anonymous); // the usual case costs no look at the disk
            return;
        }
        let user = claim.as_ref().and_then(|claim| claim.user()).map(str::to_owned);
        let (doorman, name) = (self.clone(), user.clone());
        // A slow disk must not hold other streams up.
        let known = tokio::task::spawn_blocking(move || doorman.look_up(named, name.as_deref()))
            .await
            .unwrap_or(Ok(None));
        let verdict = match known {
            Ok(None) => anonymous,
            Ok(Some(verifier)) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                match self.challenger.answer(claim.as_ref(), verifier.as_ref(), now) {
                    Outcome::Proven { user } => {
                        info!(%peer, user, "a user has proven the password");
                        ConnectVerdict::Accept { user: Some(user) }
                    }
                    Outcome::Ask { description } => ConnectVerdict::Reject { description },
                    Outcome::Failed { description } => {
                        warn!(%peer, user, "wrong user or password");
                        metrics::counter!("sluice_user_failures_total").increment(1);
                        ConnectVerdict::Reject { description }
                    }
                }
            }
            Err(cause) => {
                error!(error = &cause as &dyn std::error::Error, "users cannot be looked up");
                ConnectVerdict::Reject {
                    description: "The server cannot check users just now; try again.".to_owned(),
                }
            }
        };
        let _ = reply.send(verdict); // the connection may have gone meanwhile
    }

    /// `None` where nobody is challenged; else what checks `user`'s password, if there is such a user.
    fn look_up(&self, named: bool, user: Option<&str>) -> Result<Option<Option<Verifier>>, StoreError> {
        let (users, keys) = self.store.users_and_keys()?;
        let challenged = match self.mode {
            UserAuth::Off => false,
            UserAuth::Always => true,
            UserAuth::Auto => users && (named || !keys && !self.others_may),
        };
        if !challenged {
            return Ok(None);
        }
        Ok(Some(user.map(|user| self.store.verifier_of(user)).transpose()?.flatten()))
    }
}

#[cfg(test)]
mod tests {
    use rtmp::auth::Claim;
    use tokio::sync::oneshot;

    use super::*;

    /// What a connection to `app` hears first: "in", "need auth" or "needauth".
    async fn hears(doorman: &Arc<Doorman>, app: &str, plays: bool) -> &'static str {
        let (reply, answer) = oneshot::channel();
        let claim = Claim::read(app);
        let bare = app.split('?').next().unwrap().to_owned();
        let peer = ([127, 0, 0, 1], 1).into();
        doorman.clone().answer(ConnectRequest { peer, app: bare, claim, plays, reply }).await;
        match answer.await.unwrap() {
            ConnectVerdict::Accept { .. } => "in",
            ConnectVerdict::Reject { description } if description.contains("need auth") => "need auth",
            ConnectVerdict::Reject { description } if description.contains("needauth") => "needauth",
            ConnectVerdict::Reject { .. } => "no",
        }
    }

    fn doorman(store: &Store, mode: UserAuth, others_may: bool) -> Arc<Doorman> {
        let challenger = Challenger::new([1; 32]);
        Arc::new(Doorman { store: store.clone(), challenger, mode, app: "auth".to_owned(), others_may })
    }

    #[tokio::test]
    async fn who_is_challenged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (auto, always) =
            (doorman(&store, UserAuth::Auto, false), doorman(&store, UserAuth::Always, true));
        assert_eq!(hears(&auto, "live", false).await, "in", "there are no users");
        assert_eq!(hears(&auto, "auth", false).await, "in");
        store.add_user("ann", "a long password", &["show".parse().unwrap()]).unwrap();
        assert_eq!(hears(&auto, "live", false).await, "need auth", "nothing else could publish");
        assert_eq!(hears(&auto, "live", true).await, "in", "players need no user");
        store.add_key(&"show".parse().unwrap()).unwrap();
        assert_eq!(hears(&auto, "live", false).await, "in", "a key may come with publish");
        assert_eq!(hears(&auto, "auth", false).await, "need auth");
        assert_eq!(hears(&auto, "live?authmod=llnw", false).await, "need auth");
        assert_eq!(hears(&auto, "live?authmod=adobe&user=ann", false).await, "needauth");
        assert_eq!(hears(&auto, "live?authmod=adobe&user=bob", false).await, "needauth", "as if it existed");
        let wrong = "live?authmod=adobe&user=ann&challenge=1&response=2";
        assert_eq!(hears(&auto, wrong, false).await, "no");
        assert_eq!(hears(&always, "live", false).await, "need auth");
        let off = doorman(&store, UserAuth::Off, true);
        assert_eq!(
            hears(&off, "auth?authmod=adobe&user=ann", false).await,
            "in",
            "credentials are not looked at"
        );
        let ruled = doorman(&store, UserAuth::Auto, true);
        assert_eq!(hears(&ruled, "live", false).await, "in", "a rule or a webhook may know the name");
    }
}
