//! The rules by their ids: how binding each is, what it asks for, and where that is written.
//!
//! Sections: `§` is RFC 8216's successor (draft-pantos-hls-rfc8216bis), `Apple` its HLS Authoring Specification, `B.1`
//! the draft's low-latency profile, `DASH` ISO/IEC 23009-1, `IOP` the DASH-IF timing model, `CMAF` ISO/IEC 23000-19,
//! `BMFF` ISO/IEC 14496-12, `13818-1` MPEG systems. `practice` marks what no standard asks for and players need.

mod dash;
mod hls;
mod media;

use serde::Serialize;

/// How binding a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// What is not so is broken.
    Must,
    /// What is not so is told as a warning.
    Should,
}

/// One rule.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rule {
    /// Stable: `M11`, `V5`, `ts.counter` …
    pub id: &'static str,
    /// How binding it is.
    pub level: Level,
    /// One sentence.
    pub text: &'static str,
    /// Where it is written.
    pub section: &'static str,
}

const fn must(id: &'static str, section: &'static str, text: &'static str) -> Rule {
    Rule { id, level: Level::Must, text, section }
}

const fn should(id: &'static str, section: &'static str, text: &'static str) -> Rule {
    Rule { id, level: Level::Should, text, section }
}

/// All rules, family by family.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [
        hls::FILE,
        hls::MEDIA,
        hls::MULTIVARIANT,
        hls::METADATA,
        hls::LOW_LATENCY,
        media::TS,
        media::CMAF,
        dash::DASH,
        hls::HTTP,
    ]
    .into_iter()
    .flatten()
}

/// The rule of this id.
pub fn find(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id == id)
}

/// How binding the rule is; what is in no table counts as binding.
pub fn level(id: &str) -> Level {
    find(id).map_or(Level::Must, |rule| rule.level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_texts_are_sentences() {
        let mut ids: Vec<_> = all().map(|r| r.id).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count);
        for rule in all() {
            assert!(rule.text.ends_with('.') && !rule.section.is_empty(), "{rule:?}");
        }
    }
}
