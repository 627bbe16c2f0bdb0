//! Rules of the configuration file: `[[publish.rule]]`, read from the top; the first that fits decides.
//!
//! A rule fits when all that it names fits:
//!
//! * `app`: the RTMP application, with `*` for any run of characters.
//! * `address`: networks that the publisher's address lies in one of.
//! * `key` with `name`: the publisher gave that key, either behind the name (`NAME?key=KEY`) or, if the rule names one
//!   stream without `*`, alone.
//! * `name` alone: the stream that the publisher's key opens, or the name it asks for where it has no known key. So a
//!   rule that allows without a key trusts whom it names, and needs no proof.

use ingest::AddressList;
use media::StreamName;
use sha2::{Digest, Sha256};

use super::claim::Claim;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Which applications; any where `None`.
    pub app: Option<Pattern>,
    /// Which streams; any where `None`.
    pub name: Option<Pattern>,
    /// The key that must be shown.
    pub key: Option<KeyHash>,
    /// Where from; anywhere where empty.
    pub address: AddressList,
    /// Whether whom it fits may publish.
    pub allow: bool,
    /// What the refused are told.
    pub reason: Option<String>,
}

/// Text with `*` for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(pub String);

/// SHA-256 of a key. Comparing hashes takes as long for a near miss as for a far one, as far as the key goes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyHash([u8; 32]);

/// What a rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// It may publish this stream; `proven` if it showed a key.
    Allow { stream: StreamName, proven: bool },
    /// It may not, with a sentence for its user if the rule has one.
    Deny(Option<String>),
}

/// What the first rule that fits says. `opened` is the stream that the store knows the publisher's key to open.
pub(crate) fn rule(rules: &[Rule], claim: &Claim, opened: Option<&StreamName>) -> Option<Ruling> {
    rules.iter().find_map(|rule| rule.fits(claim, opened))
}

impl Rule {
    fn fits(&self, claim: &Claim, opened: Option<&StreamName>) -> Option<Ruling> {
        let app = self.app.as_ref().is_none_or(|app| app.matches(&claim.app));
        if !app || !(self.address.is_empty() || self.address.contains(claim.address)) {
            return None;
        }
        let (stream, proven) = match &self.key {
            Some(key) => (Some(self.opened_by(key, claim)?), true),
            None => {
                let asked = opened.map_or(claim.name(), StreamName::as_str);
                if self.name.as_ref().is_some_and(|name| !name.matches(asked)) {
                    return None;
                }
                (opened.cloned().or_else(|| claim.public_name()), opened.is_some())
            }
        };
        if self.allow {
            stream.map(|stream| Ruling::Allow { stream, proven })
        } else {
            Some(Ruling::Deny(self.reason.clone()))
        }
    }

    /// The stream that `claim` opens with the rule's key.
    fn opened_by(&self, key: &KeyHash, claim: &Claim) -> Option<StreamName> {
        if claim.key().is_some_and(|given| KeyHash::of(given) == *key) {
            return claim
                .public_name()
                .filter(|stream| self.name.as_ref().is_none_or(|name| name.matches(stream.as_str())));
        }
        let only = self.name.as_ref().and_then(Pattern::literal)?;
        (KeyHash::of(claim.name()) == *key).then(|| only.parse().ok())?
    }
}

impl Pattern {
    /// The text, if it has no `*`.
    pub(crate) fn literal(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(self.0.as_str())
    }

    /// Whether it is all of `text`.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut text) = text.strip_prefix(first) else { return false };
        let mut parts = rest.split('*').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return text.ends_with(part);
            }
            // The earliest place leaves the most for the parts that follow.
            let Some(at) = text.find(part) else { return false };
            text = &text[at + part.len()..];
        }
        true
    }
}

impl KeyHash {
    /// Of a key in clear.
    pub(crate) fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Of 64 hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok().filter(|_| !pair.starts_with('+'))?;
        }
        Some(Self(hash))
    }
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<hash>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> Rule {
        Rule { app: None, name: None, key: None, address: AddressList::default(), allow: true, reason: None }
    }

    fn pattern(text: &str) -> Option<Pattern> {
        Some(Pattern(text.to_owned()))
    }

    fn stream(name: &str) -> StreamName {
        name.parse().unwrap()
    }

    fn claim(name: &str, query: &str) -> Claim {
        Claim::sample("192.0.2.7", "live", name, query)
    }

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text, want) in [
            ("live", "live", true),
            ("live", "live2", false),
            ("*", "", true),
            ("*", "anything", true),
            ("studio-*", "studio-1", true),
            ("studio-*", "studio", false),
            ("*-cam", "left-cam", true),
            ("*-cam", "left-camera", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Pattern(pattern.to_owned()).matches(text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn a_key_opens_its_stream_alone_or_behind_the_name() {
        let rules = [Rule { name: pattern("studio"), key: Some(KeyHash::of("k3y")), ..any() }];
        let allowed = Some(Ruling::Allow { stream: stream("studio"), proven: true });
        assert_eq!(rule(&rules, &claim("k3y", ""), None), allowed);
        assert_eq!(rule(&rules, &claim("studio", "a=b&key=k3y"), None), allowed);
        assert_eq!(rule(&rules, &claim("studio", "key=other"), None), None);
        assert_eq!(rule(&rules, &claim("other", "key=k3y"), None), None);
        assert_eq!(rule(&rules, &claim("studio", ""), None), None);
    }

    #[test]
    fn a_key_for_many_streams_needs_the_name() {
        let rules = [Rule { name: pattern("cam-*"), key: Some(KeyHash::of("k3y")), ..any() }];
        assert_eq!(rule(&rules, &claim("k3y", ""), None), None);
        let allowed = Some(Ruling::Allow { stream: stream("cam-2"), proven: true });
        assert_eq!(rule(&rules, &claim("cam-2", "key=k3y"), None), allowed);
        assert_eq!(rule(&rules, &claim("dog-2", "key=k3y"), None), None);
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = [
            Rule { name: pattern("closed"), allow: false, reason: Some("Closed.".to_owned()), ..any() },
            Rule { app: pattern("lan"), address: "192.0.2.0/24".parse().unwrap(), ..any() },
            Rule { app: pattern("lan"), allow: false, ..any() },
        ];
        let lan = |name: &str| Claim::sample("192.0.2.7", "lan", name, "");
        let open = Some(Ruling::Allow { stream: stream("show"), proven: false });
        assert_eq!(rule(&rules, &lan("show"), None), open);
        assert_eq!(rule(&rules, &lan("closed"), None), Some(Ruling::Deny(Some("Closed.".to_owned()))));
        let far = Claim::sample("198.51.100.1", "lan", "show", "");
        assert_eq!(rule(&rules, &far, None), Some(Ruling::Deny(None)));
        assert_eq!(rule(&rules, &claim("show", ""), None), None);
        // A key that the store knows: rules speak of the stream that it opens, not of the key.
        let studio = stream("closed");
        assert_eq!(
            rule(&rules, &claim("some-key", ""), Some(&studio)),
            Some(Ruling::Deny(Some("Closed.".to_owned())))
        );
        assert_eq!(
            rule(&rules, &lan("some-key"), Some(&stream("studio"))),
            Some(Ruling::Allow { stream: stream("studio"), proven: true })
        );
    }

    #[test]
    fn hashes_are_read_and_do_not_print() {
        let hex = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"; // of "key"
        assert_eq!(KeyHash::from_hex(hex), Some(KeyHash::of("key")));
        assert_eq!(format!("{:?}", KeyHash::of("key")), "<hash>");
        assert_eq!(KeyHash::from_hex(&hex[1..]), None);
        assert_eq!(KeyHash::from_hex(&hex.replace('2', "+")), None);
        assert_eq!(KeyHash::from_hex(&hex.replace('2', "ß")), None);
    }
}
