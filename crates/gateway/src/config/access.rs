//! Who may watch: the settings of it that stand in `[http]` and `[play]`.

use ingest::{AddressList, SecretText};
use origin::access::{BadSite, Keys, Policies, Policy, Sites};

use super::{
    Config,
    settings::{Setting, read_addresses, read_choice, read_list},
};
use crate::desk::rules::Pattern;

/// What the configuration says of viewers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Viewers {
    pub trusted_proxies: AddressList,
    pub sites: Sites,
    /// Whether a token is needed.
    pub signed: bool,
    /// By id; the first signs. None: the gateway makes one.
    pub token_keys: Vec<(String, SecretText)>,
}

/// Those of `[play]` that a `[[stream]]` may have of its own.
pub(super) const OF_STREAMS: &[&str] = &[PLAYBACK.key];

pub(super) const TRUSTED_PROXIES: Setting = Setting {
    key: "http.trusted_proxies",
    help: "Addresses and networks of proxies and caches in front of this server. What they say of their clients' addresses\n\
           (X-Forwarded-For) is believed; what others say is not.",
    get: |c| c.viewers.trusted_proxies.to_string(),
    set: |c, v| read_addresses(v).map(|v| c.viewers.trusted_proxies = v),
};

pub(super) const ALLOWED_ORIGINS: Setting = Setting {
    key: "http.allowed_origins",
    help: "Sites whose pages may load streams and embed players, such as [\"https://tv.example.org\"]. \"*\": all.",
    get: |c| c.viewers.sites.to_string(),
    set: |c, v| v.parse().map(|v| c.viewers.sites = v).map_err(|bad: BadSite| bad.to_string()),
};

pub(super) const PLAYBACK: Setting = Setting {
    key: "play.playback",
    help: "Who may watch. \"public\": everybody. \"signed\": who has a link with a token; `sluice token` makes one, and so can\n\
           your own program (docs/access.md). Such streams are not listed. A [[stream]] may have its own.",
    get: |c| if c.viewers.signed { "signed".to_owned() } else { "public".to_owned() },
    set: |c, v| read_choice(v, &[("public", false), ("signed", true)]).map(|v| c.viewers.signed = v),
};

pub(super) const TOKEN_KEYS: Setting = Setting {
    key: "play.token_keys",
    help: "Keys of tokens, each ID:SECRET, with secrets of 16 characters or more. The first signs, all count: to change keys,\n\
           put a new one first and drop the old one when its tokens have expired. Best given as SLUICE_PLAY_TOKEN_KEYS.\n\
           Empty: a key is made at the first start and kept in data.dir.",
    get: |c| {
        let show = |(id, secret): &(String, SecretText)| format!("{id}:{}", secret.expose());
        c.viewers.token_keys.iter().map(show).collect::<Vec<_>>().join(",")
    },
    set: |c, v| {
        let pairs = read_list(v).into_iter().map(|pair| match pair.split_once(':') {
            Some((id, secret)) => Ok((id.to_owned(), SecretText::new(secret))),
            None => Err("a key is written ID:SECRET".to_owned()),
        });
        let pairs: Vec<_> = pairs.collect::<Result<_, String>>()?;
        let checked = Keys::new(pairs.iter().map(|(id, secret)| (id.clone(), secret.expose().into())));
        checked.map_err(|bad| bad.to_string())?;
        c.viewers.token_keys = pairs;
        Ok(())
    },
};

impl Viewers {
    fn policy(&self) -> Policy {
        Policy { signed: self.signed }
    }
}

/// What each stream asks of its viewers.
pub(crate) fn policies(config: &Config) -> Policies {
    let own: Vec<(Pattern, Policy)> =
        config.streams.iter().map(|rule| (rule.name.clone(), rule.apply(config).viewers.policy())).collect();
    let common = config.viewers.policy();
    Policies::new(move |name| {
        own.iter().find(|(pattern, _)| pattern.matches(name)).map_or(common, |(_, policy)| *policy)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{load, tables::testing::read};

    #[test]
    fn streams_have_policies_of_their_own() {
        let config = read(
            "[[stream]]\nname = \"open-*\"\nplayback = \"public\"\n[[stream]]\nname = \"cam\"\nmode = \"off\"\n\
             [play]\nplayback = \"signed\"\n",
        )
        .unwrap();
        let policies = super::policies(&config);
        for (name, signed) in [("open-1", false), ("cam", true), ("other", true)] {
            assert_eq!(policies.of(name).signed, signed, "{name}");
        }
        assert!(
            read("[[stream]]\nname = \"a\"\nplayback = \"secret\"\n")
                .unwrap_err()
                .contains(":3: stream.playback")
        );
    }

    #[test]
    fn keys_are_checked_and_hidden() {
        let set = |value: &str| {
            load(None, std::iter::empty(), &[("play.token_keys", value.to_owned())])
                .map_err(|faults| faults.to_string())
        };
        let config = set("new:0123456789abcdef, old:a:b:c:0123456789").unwrap();
        assert_eq!(config.viewers.token_keys[1].1.expose(), "a:b:c:0123456789");
        assert!(!format!("{config:?}").contains("0123456789"));
        for bad in
            ["0123456789abcdef", "a:short", "a b:0123456789abcdef", "a:0123456789abcdef,a:0123456789abcdef"]
        {
            assert!(set(bad).is_err(), "{bad}");
        }
    }
}
