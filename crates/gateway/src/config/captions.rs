//! `hls.captions`: which closed captions viewers are offered.

use std::fmt;

use media::captions::Service;

/// Most captions that can be promised; players show them as a list to choose from.
const MOST: usize = 16;

/// Which closed captions the multivariant playlist declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Captions {
    /// Those that are seen in the pictures.
    Auto,
    /// None.
    Off,
    /// These, from the start on, whatever is seen.
    Promised(Vec<Promise>),
}

/// A caption service that is promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) service: Service,
    /// A language tag (RFC 5646).
    pub(crate) language: String,
    /// For people.
    pub(crate) name: Option<String>,
}

impl Captions {
    /// Reads `auto`, `off`, or services with their languages and perhaps names, as in `CC1:en,CC2:es:Español`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => return Ok(Self::Auto),
            "off" => return Ok(Self::Off),
            _ => {}
        }
        let mut promises: Vec<Promise> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let bad = |why: &str| {
                format!("{part:?} {why}: write \"auto\", \"off\", or services like \"CC1:en,CC2:es\"")
            };
            let (service, rest) = part.split_once(':').ok_or_else(|| bad("names no language"))?;
            let (language, name) = match rest.split_once(':') {
                Some((language, name)) => (language.trim(), Some(name.trim().to_owned())),
                None => (rest.trim(), None),
            };
            let service =
                service.trim().parse().map_err(|_| bad("is none of CC1 to CC4 and SERVICE1 to SERVICE63"))?;
            if !is_tag(language) {
                return Err(bad("has no language such as en or pt-BR"));
            }
            let plain =
                |name: &String| !name.is_empty() && !name.contains(|c: char| c == '"' || c.is_control());
            if !name.iter().all(plain) {
                return Err(bad("has a name that a playlist cannot hold"));
            }
            let promise = Promise { service, language: language.to_owned(), name };
            if promises.iter().any(|known| known.service == service || known.label() == promise.label()) {
                return Err(bad("repeats a service or a name"));
            }
            promises.push(promise);
        }
        match promises.len() {
            1..=MOST => Ok(Self::Promised(promises)),
            0 => Err(format!("{text:?}: write \"auto\", \"off\", or services like \"CC1:en,CC2:es\"")),
            _ => Err(format!("at most {MOST} captions can be promised")),
        }
    }
}

impl Promise {
    /// What players show.
    pub(crate) fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.service.to_string())
    }
}

/// Whether it has the form of a language tag: subtags of letters and digits, the first of two to eight letters.
fn is_tag(text: &str) -> bool {
    let fits = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let first = text.split('-').next().unwrap_or_default();
    text.split('-').all(fits) && first.len() >= 2 && first.bytes().all(|b| b.is_ascii_alphabetic())
}

impl fmt::Display for Captions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let promises = match self {
            Self::Auto => return f.write_str("auto"),
            Self::Off => return f.write_str("off"),
            Self::Promised(promises) => promises,
        };
        for (nth, promise) in promises.iter().enumerate() {
            write!(f, "{}{}:{}", if nth == 0 { "" } else { "," }, promise.service, promise.language)?;
            if let Some(name) = &promise.name {
                write!(f, ":{name}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_read_as_they_are_shown() {
        for text in ["auto", "off", "CC1:en", "CC1:en,CC2:es-419:Español", "SERVICE1:de,CC1:de"] {
            assert_eq!(Captions::read(text).unwrap().to_string(), text);
        }
        assert_eq!(Captions::read(" CC1 : en , CC3:fr ").unwrap().to_string(), "CC1:en,CC3:fr");
        for text in [
            "",
            "on",
            "CC1",
            "CC5:en",
            "CC1:",
            "CC1:e",
            "CC1:en_US",
            "CC1:en,CC1:es",
            "CC1:en:",
            "CC1:en:A,CC2:es:A",
            "CC1:en:CC2,CC2:es",
            "CC1:en:\"",
            "CC1:12",
        ] {
            assert!(Captions::read(text).is_err(), "{text}");
        }
    }
}
