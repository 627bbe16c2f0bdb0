//! Who may publish, in this order:
//!
//! 1. `publish.deny`, then `publish.allow` if it lists anybody: by address.
//! 2. The rules of the configuration file ([`rules`]), from the top.
//! 3. The users and keys of the store (`sluice users`, `sluice keys`). Where `publish.user_auth` is "always", whom no
//!    password speaks for is refused here.
//! 4. The webhook `on_publish`, about all who are left: it may refuse whom the others let in, rename the stream, and let
//!    in whom nothing else knows.
//! 5. Who showed nothing of these is refused.

use ingest::{AddressList, Refusal, RefusalCode, worth_a_line};
use media::StreamName;
use tracing::{error, warn};

use super::{
    claim::Claim,
    rules::{self, Rule, Ruling},
    webhook::{Allowed, Facts, Hooks, Word},
};
use crate::{
    config::{OwnSettings, UserAuth},
    store::{Store, StoreError},
};

/// What the gate goes by.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Who never may; they are also closed at accept.
    pub deny: AddressList,
    /// Who alone may, if anybody is listed.
    pub allow: AddressList,
    /// The rules of the configuration.
    pub rules: Vec<Rule>,
    /// Where keys are known.
    pub store: Store,
    /// Whether users are known, and whether one must be.
    pub users: UserAuth,
    /// See `publish.user_app`.
    pub user_app: String,
    /// Who else is asked.
    pub hooks: Option<Hooks>,
}

/// Somebody who may publish.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Which stream.
    pub stream: StreamName,
    /// By what.
    pub proof: Proof,
    /// For webhooks.
    pub facts: Facts,
    /// What the webhook says of its ladder.
    pub ladder: OwnSettings,
}

/// What spoke for a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It showed a key that a rule asks for.
    RuleKey,
    /// A rule that asks for no key.
    Rule,
    /// It showed a key that the store knows.
    StoreKey,
    /// It is a user, has proven the password, and the stream is among its own.
    User,
    /// The webhook alone.
    Webhook,
}

impl Proof {
    /// As webhooks and metrics call it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::RuleKey => "rule_key",
            Self::Rule => "rule",
            Self::StoreKey => "key",
            Self::User => "user",
            Self::Webhook => "webhook",
        }
    }

    /// Whether a secret was shown, which is what it takes to take a stream over from another address.
    pub(crate) fn shows_secret(self) -> bool {
        !matches!(self, Self::Rule)
    }
}

impl Gate {
    /// Decides about `claim`. May wait for the disk and the webhook, never on the calling thread.
    ///
    /// # Errors
    /// With the refusal, in words for the encoder's user.
    pub(crate) async fn decide(&self, claim: &Claim) -> Result<Admitted, Refusal> {
        let known = self.known(claim).await?;
        let (stream, proof) = match &known {
            Some((stream, proof)) => (Some(stream.as_str()), Some(*proof)),
            None => (None, None),
        };
        let proven = proof.is_some_and(Proof::shows_secret);
        let mut facts = Facts::of(claim, stream, proof.map_or("none", Proof::as_str), proven);
        let (stream, proof, ladder) = match self.hooks.as_ref().filter(|hooks| hooks.asks()) {
            Some(hooks) => by_webhook(hooks.ask(&facts).await, claim, known)?,
            None => match known {
                Some((stream, proof)) => (stream, proof, OwnSettings::default()),
                None => return Err(self.unknown(claim).await),
            },
        };
        facts.stream = Some(stream.to_string());
        facts.proof = proof.as_str();
        Ok(Admitted { stream, proof, facts, ladder })
    }

    /// What addresses, rules and the store say: a stream, nothing, or no.
    ///
    /// # Errors
    /// With the refusal.
    pub(crate) async fn known(&self, claim: &Claim) -> Result<Option<(StreamName, Proof)>, Refusal> {
        if self.deny.contains(claim.address) || !self.allow.is_empty() && !self.allow.contains(claim.address)
        {
            if let Some(untold) = worth_a_line("refused_address") {
                warn!(address = %claim.address, untold, "a publisher from an address that may not publish");
            }
            count("refused_address");
            return Err(denied("Publishing is not allowed from this address."));
        }
        let opened = match self.opened(claim).await {
            Ok(opened) => opened,
            Err(cause) => {
                error!(error = &cause as &dyn std::error::Error, "keys cannot be looked up");
                count("failed_store");
                return Err(denied("The server cannot check stream keys just now; try again."));
            }
        };
        if self.users == UserAuth::Always && !matches!(opened, Opened::Stream(_, Proof::User)) {
            warn!(address = %claim.address, app = claim.app, user = claim.user, "a publisher without a user");
            count("refused_user");
            return Err(denied("Enter user and password in the encoder, and the stream's name as its key."));
        }
        let (opened, by, elsewhere) = match opened {
            Opened::Stream(stream, by) => (Some(stream), by, false),
            Opened::Elsewhere => (None, Proof::StoreKey, true),
            Opened::Nothing => (None, Proof::StoreKey, false),
        };
        match (rules::rule(&self.rules, claim, opened.as_ref()), opened) {
            (Some(Ruling::Deny(reason)), _) => {
                warn!(address = %claim.address, app = claim.app, "a rule refuses a publisher");
                count("refused_rule");
                Err(denied(reason.as_deref().unwrap_or("The server's rules do not let this stream in.")))
            }
            (Some(Ruling::Allow { stream, proven }), opened) => {
                let by_store = opened.as_ref() == Some(&stream);
                let proof = match proven {
                    true if by_store => by,
                    true => Proof::RuleKey,
                    false => Proof::Rule,
                };
                Ok(Some((stream, proof)))
            }
            (None, None) if elsewhere => {
                warn!(address = %claim.address, app = claim.app, "a publisher with a key for another place");
                count("refused_key");
                Err(denied("This stream key does not count from this address, or for this application."))
            }
            (None, opened) => Ok(opened.map(|stream| (stream, by))),
        }
    }

    /// The stream that the store lets the publisher have: as a user, by the key alone, or by name and key.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn opened(&self, claim: &Claim) -> Result<Opened, StoreError> {
        let (store, claim, users) = (self.store.clone(), claim.clone(), self.users);
        // A slow disk must not hold other streams up.
        let look = tokio::task::spawn_blocking(move || {
            if users != UserAuth::Off
                && let Some(stream) = stream_of_user(&store, &claim)?
            {
                return Ok(Opened::Stream(stream, Proof::User));
            }
            let found = match (store.stream_of_key(claim.name().as_bytes())?, claim.key()) {
                (Some(found), _) => Some(found),
                (None, Some(key)) => {
                    store.stream_of_key(key.as_bytes())?.filter(|(stream, _)| stream.as_str() == claim.name())
                }
                (None, None) => None,
            };
            Ok(match found {
                Some((stream, limits)) if limits.fit(&claim.app, claim.address) => {
                    Opened::Stream(stream, Proof::StoreKey)
                }
                Some(_) => Opened::Elsewhere,
                None => Opened::Nothing,
            })
        });
        look.await.unwrap_or(Ok(Opened::Nothing))
    }

    /// The refusal of one whom nothing knows.
    async fn unknown(&self, claim: &Claim) -> Refusal {
        if let Some(untold) = worth_a_line("refused_key") {
            let (address, app, user) = (claim.address, &claim.app, &claim.user);
            warn!(%address, app, user, untold, "a publisher with an unknown key");
        }
        count("refused_key");
        let store = self.store.clone();
        let look = tokio::task::spawn_blocking(move || store.users_and_keys());
        let users = self.users != UserAuth::Off && matches!(look.await, Ok(Ok((true, _))));
        let description = match &claim.user {
            Some(user) => format!("The user {user} may not publish this stream."),
            None if users => format!(
                "Unknown stream key. Make one with: sluice keys add NAME. With user and password, publish to the \
                 application /{}/ of this server.",
                self.user_app
            ),
            None => "Unknown stream key. Check it, or make one with: sluice keys add NAME".to_owned(),
        };
        Refusal { code: RefusalCode::BadName, description }
    }
}

/// The stream that the publisher asks for by its name, if it is a user's who has proven the password, when it connected
/// or in the query.
fn stream_of_user(store: &Store, claim: &Claim) -> Result<Option<StreamName>, StoreError> {
    let Some(stream) = claim.public_name() else { return Ok(None) };
    let user = match (&claim.user, claim.password()) {
        (Some(user), _) => user.as_str(),
        (None, Some((user, password))) => {
            let verifier = store.verifier_of(user)?;
            if !verifier.is_some_and(|verifier| verifier.fits(user, password)) {
                return Ok(None);
            }
            user
        }
        (None, None) => return Ok(None),
    };
    Ok(store.user_may_publish(user, &stream)?.then_some(stream))
}

/// What a publisher's key or password opens.
pub(crate) enum Opened {
    /// A stream, and by what.
    Stream(StreamName, Proof),
    /// A stream, but not for this application or from this address.
    Elsewhere,
    /// None.
    Nothing,
}

/// What the webhook's word makes of what was known before.
fn by_webhook(
    word: Word,
    claim: &Claim,
    known: Option<(StreamName, Proof)>,
) -> Result<(StreamName, Proof, OwnSettings), Refusal> {
    let refuse = |outcome, sentence: &str| {
        count(outcome);
        Err(denied(sentence))
    };
    match (word, known) {
        (Word::Allow(Allowed { stream: Some(stream), ladder }), known) => {
            Ok((stream, known.map_or(Proof::Webhook, |(_, proof)| proof), ladder))
        }
        (Word::Allow(Allowed { stream: None, ladder }), Some((stream, proof))) => Ok((stream, proof, ladder)),
        // A name that came without anything behind `?` may itself be the secret, and names are public.
        (Word::Allow(Allowed { stream: None, ladder }), None) => {
            match claim.public_name().filter(|_| !claim.query().is_empty()) {
                Some(stream) => Ok((stream, Proof::Webhook, ladder)),
                None => {
                    warn!(
                        "the webhook on_publish let a publisher in without naming its stream; it is refused"
                    );
                    refuse("failed_webhook", "The server does not know which stream this is.")
                }
            }
        }
        (Word::Deny(reason), _) => {
            warn!(address = %claim.address, reason, "the webhook refuses a publisher");
            refuse("refused_webhook", &reason)
        }
        (Word::Unclear(_), _) => {
            refuse("failed_webhook", "The server cannot check who may publish just now; try again.")
        }
    }
}

/// A refusal of one who is known, but may not.
pub(crate) fn denied(sentence: &str) -> Refusal {
    Refusal { code: RefusalCode::Denied, description: sentence.to_owned() }
}

/// Counts a decision.
pub(crate) fn count(outcome: &'static str) {
    metrics::counter!("sluice_publish_decisions_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        desk::rules::{KeyHash, Pattern},
        store::KeyLimits,
    };

    struct Bench {
        gate: Gate,
        key: String,
        _dir: tempfile::TempDir,
    }

    fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = store.add_key(&"studio".parse().unwrap()).unwrap();
        let gate = Gate {
            deny: AddressList::default(),
            allow: AddressList::default(),
            rules: Vec::new(),
            store,
            users: UserAuth::Auto,
            user_app: "auth".to_owned(),
            hooks: None,
        };
        Bench { gate, key, _dir: dir }
    }

    async fn outcome(gate: &Gate, address: &str, name: &str, query: &str) -> String {
        match gate.decide(&Claim::sample(address, "live", name, query)).await {
            Ok(admitted) => format!("{} by {}", admitted.stream, admitted.proof.as_str()),
            Err(refusal) => refusal.code.as_str().rsplit('.').next().unwrap().to_owned(),
        }
    }

    #[tokio::test]
    async fn the_key_counts_alone_and_behind_its_name() {
        let Bench { gate, key, .. } = bench();
        let query = format!("key={key}");
        for (name, query, want) in [
            (key.as_str(), "", "studio by key"),
            (key.as_str(), "clientConfigId=1", "studio by key"),
            ("studio", query.as_str(), "studio by key"),
            ("other", query.as_str(), "BadName"),
            ("studio", "", "BadName"),
            ("studio", "key=", "BadName"),
            ("", "", "BadName"),
        ] {
            assert_eq!(outcome(&gate, "192.0.2.7", name, query).await, want, "{name} {query}");
        }
    }

    #[tokio::test]
    async fn users_publish_their_streams_and_no_others() {
        let Bench { mut gate, key, .. } = bench();
        gate.store.add_user("ann", "a long password", &["show".parse().unwrap()]).unwrap();
        let say = async |gate: &Gate, user: Option<&str>, name: &str, query: &str| {
            let mut claim = Claim::sample("192.0.2.7", "live", name, query);
            claim.user = user.map(str::to_owned);
            match gate.decide(&claim).await {
                Ok(admitted) => format!("{} by {}", admitted.stream, admitted.proof.as_str()),
                Err(refusal) => refusal.description,
            }
        };
        let in_query = "user=ann&pass=a long password";
        for (user, name, query, want) in [
            (Some("ann"), "show", "", "show by user"),
            (Some("ann"), "studio", "", "The user ann may not publish this stream."),
            (Some("ann"), key.as_str(), "", "studio by key"),
            (None, "show", in_query, "show by user"),
            (None, "studio", in_query, "Unknown stream key. Make one"),
            (None, "show", "user=ann&pass=wrong", "Unknown stream key. Make one"),
            (None, "show", "user=bob&pass=wrong", "Unknown stream key. Make one"),
            (None, "show", "", "Unknown stream key. Make one"),
        ] {
            let got = say(&gate, user, name, query).await;
            assert!(got.starts_with(want), "{name} {query}: {got}");
        }
        gate.users = UserAuth::Always;
        assert_eq!(say(&gate, Some("ann"), "show", "").await, "show by user");
        assert!(say(&gate, None, &key, "").await.starts_with("Enter user and password"));
        gate.users = UserAuth::Off;
        assert!(say(&gate, None, "show", in_query).await.starts_with("Unknown stream key. Check"));
    }

    #[tokio::test]
    async fn addresses_come_before_keys() {
        let Bench { mut gate, key, .. } = bench();
        gate.deny = "192.0.2.0/24".parse().unwrap();
        assert_eq!(outcome(&gate, "192.0.2.7", &key, "").await, "Denied");
        assert_eq!(outcome(&gate, "::ffff:192.0.2.7", &key, "").await, "Denied");
        assert_eq!(outcome(&gate, "198.51.100.7", &key, "").await, "studio by key");
        gate.allow = "203.0.113.0/24".parse().unwrap();
        assert_eq!(outcome(&gate, "198.51.100.7", &key, "").await, "Denied");
        assert_eq!(outcome(&gate, "203.0.113.9", &key, "").await, "studio by key");
    }

    #[tokio::test]
    async fn a_key_may_be_bound_to_places() {
        let Bench { gate, .. } = bench();
        let limits = KeyLimits { app: None, addresses: "10.0.0.0/8".parse().unwrap() };
        let key = gate.store.add_key_within(&"lan".parse().unwrap(), &limits).unwrap();
        assert_eq!(outcome(&gate, "10.1.1.1", &key, "").await, "lan by key");
        assert_eq!(outcome(&gate, "192.0.2.7", &key, "").await, "Denied");
        assert_eq!(outcome(&gate, "192.0.2.7", "lan", &format!("key={key}")).await, "Denied");
    }

    #[tokio::test]
    async fn rules_come_before_the_store() {
        let Bench { mut gate, key, .. } = bench();
        let rule = |name: &str, key: Option<&str>, address: &str, allow| Rule {
            app: None,
            name: Some(Pattern(name.to_owned())),
            key: key.map(KeyHash::of),
            address: address.parse().unwrap(),
            allow,
            reason: None,
        };
        gate.rules = vec![
            rule("studio", None, "198.51.100.0/24", false),
            rule("backup", Some("0pen-sesame"), "", true),
            rule("*", None, "10.0.0.0/8", true),
        ];
        assert_eq!(outcome(&gate, "198.51.100.7", &key, "").await, "Denied");
        assert_eq!(outcome(&gate, "192.0.2.7", &key, "").await, "studio by key");
        assert_eq!(outcome(&gate, "192.0.2.7", "0pen-sesame", "").await, "backup by rule_key");
        assert_eq!(outcome(&gate, "10.1.1.1", "anything", "").await, "anything by rule");
        assert_eq!(outcome(&gate, "10.1.1.1", &key, "").await, "studio by key");
        assert_eq!(outcome(&gate, "10.1.1.1", "not a name", "").await, "BadName");
        assert_eq!(outcome(&gate, "192.0.2.7", "anything", "").await, "BadName");
    }

    #[test]
    fn the_webhook_has_the_last_word() {
        let stream = |name: &str| -> StreamName { name.parse().unwrap() };
        let known = || Some((stream("studio"), Proof::StoreKey));
        let key = Claim::sample("192.0.2.7", "live", "some-secret", "");
        let name = Claim::sample("192.0.2.7", "live", "show", "token=1");
        let say = |word, claim, known| {
            let said = by_webhook(word, claim, known);
            said.map(|(stream, proof, _)| (stream, proof)).map_err(|refusal| refusal.description)
        };
        let allow = |stream| Word::Allow(Allowed { stream, ..Allowed::default() });
        assert_eq!(say(allow(None), &key, known()), Ok((stream("studio"), Proof::StoreKey)));
        let renamed = allow(Some(stream("other")));
        assert_eq!(say(renamed, &key, known()), Ok((stream("other"), Proof::StoreKey)));
        let named = allow(Some(stream("other")));
        assert_eq!(say(named, &key, None), Ok((stream("other"), Proof::Webhook)));
        // Without a name from the webhook the publisher's own must not be a key.
        assert!(say(allow(None), &key, None).is_err());
        assert_eq!(say(allow(None), &name, None), Ok((stream("show"), Proof::Webhook)));
        assert_eq!(say(Word::Deny("No.".to_owned()), &key, known()), Err("No.".to_owned()));
        assert!(say(Word::Unclear("?".to_owned()), &key, known()).is_err());
    }
}
