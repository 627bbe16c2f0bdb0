//! What a publisher says of itself, before anybody believes it.

use std::net::IpAddr;

use ingest::{PlayRequest, PublishRequest, SecretText, Transport};
use media::StreamName;

/// A publisher's words. Cheap enough to copy once per publish.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// Where it connects from; IPv4 inside IPv6 is IPv4.
    pub address: IpAddr,
    /// The RTMP application.
    pub app: String,
    /// The user whose password it has proven when it connected.
    pub user: Option<String>,
    name: SecretText,
    query: SecretText,
    /// What the encoder calls itself.
    pub encoder: Option<String>,
    /// What carries its session; `None` for one that only asks how to come.
    pub transport: Option<Transport>,
}

impl Claim {
    /// The words of `request`.
    pub(crate) fn of(request: &PublishRequest) -> Self {
        Self {
            address: request.peer.ip().to_canonical(),
            app: request.app.clone(),
            name: SecretText::new(request.name.expose().trim()),
            query: request.query.clone(),
            encoder: request.encoder.clone(),
            transport: Some(request.transport),
            user: request.user.clone(),
        }
    }

    /// The words of one who wants to play.
    pub(crate) fn of_player(request: &PlayRequest) -> Self {
        Self {
            address: request.peer.ip().to_canonical(),
            app: request.app.clone(),
            name: SecretText::new(request.name.expose().trim()),
            query: request.query.clone(),
            encoder: request.player.clone(),
            user: request.user.clone(),
            transport: None,
        }
    }

    /// A stream key by itself, as the OBS configuration endpoint is given it (`KEY` or `NAME?key=KEY`).
    pub(crate) fn of_key(address: IpAddr, text: &str) -> Self {
        let (name, query) = text.trim().split_once('?').unwrap_or((text.trim(), ""));
        Self {
            address: address.to_canonical(),
            app: "live".to_owned(),
            name: SecretText::new(name),
            query: SecretText::new(query),
            encoder: None,
            transport: None,
            user: None,
        }
    }

    /// The publish name as it was sent: a public name, or a key.
    pub(crate) fn name(&self) -> &str {
        self.name.expose()
    }

    /// The publish name, if it may be a stream's.
    pub(crate) fn public_name(&self) -> Option<StreamName> {
        self.name().parse().ok()
    }

    /// What stood behind `?`.
    pub(crate) fn query(&self) -> &str {
        self.query.expose()
    }

    /// User and password in the query, as in `NAME?user=USER&pass=PASSWORD`: for encoders that know no other way.
    pub(crate) fn password(&self) -> Option<(&str, &str)> {
        let value = |key: &str| {
            let mut pairs = self.query().split('&');
            pairs.find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).filter(|value| !value.is_empty())
        };
        Some((value("user")?, value("pass").or_else(|| value("password"))?))
    }

    /// The key in the query, as in `NAME?key=KEY`.
    pub(crate) fn key(&self) -> Option<&str> {
        self.query().split('&').find_map(|pair| pair.strip_prefix("key=")).filter(|key| !key.is_empty())
    }

    /// The playback token in the query, as in `NAME?token=TOKEN`.
    pub(crate) fn token(&self) -> Option<&str> {
        self.query().split('&').find_map(|pair| pair.strip_prefix("token="))
    }

    /// The query without key and password, for those who need not know them.
    pub(crate) fn query_without_secrets(&self) -> String {
        let secret = |pair: &str| ["key=", "pass=", "password="].iter().any(|name| pair.starts_with(name));
        let pairs = self.query().split('&').filter(|pair| !secret(pair));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// For tests and tools.
    #[cfg(test)]
    pub(crate) fn sample(address: &str, app: &str, name: &str, query: &str) -> Self {
        Self {
            address: address.parse().unwrap(),
            app: app.to_owned(),
            name: SecretText::new(name),
            query: SecretText::new(query),
            encoder: None,
            transport: None,
            user: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_apart_from_the_rest_of_the_query() {
        for (query, password, rest) in [
            ("user=ann&pass=s3cret&title=a", Some(("ann", "s3cret")), "user=ann&title=a"),
            ("user=ann&password=a=b", Some(("ann", "a=b")), "user=ann"),
            ("user=ann&pass=", None, "user=ann"),
            ("key=k&keyword=w", None, "keyword=w"),
            ("", None, ""),
        ] {
            let claim = Claim::sample("192.0.2.7", "live", "show", query);
            assert_eq!(
                (claim.password(), claim.query_without_secrets().as_str()),
                (password, rest),
                "{query}"
            );
        }
    }
}
