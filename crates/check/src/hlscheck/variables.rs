//! EXT-X-DEFINE (§4.4.2.3). Values that only a client can know (IMPORT, QUERYPARAM) leave their name in place.

use super::text::{get, quoted};
use crate::report::Findings;
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Variables {
    known: BTreeMap<String, Option<String>>,
}

impl Variables {
    pub(super) fn define(&mut self, list: &[(&str, &str)], place: &str, found: &mut Findings) {
        let ways: Vec<_> = ["NAME", "IMPORT", "QUERYPARAM"]
            .into_iter()
            .filter_map(|way| Some((way, get(list, way).and_then(quoted)?)))
            .collect();
        let [(way, name)] = ways[..] else {
            found.violation(
                "file.variable",
                place,
                "DEFINE has not exactly one of NAME, IMPORT and QUERYPARAM",
            );
            return;
        };
        let value = get(list, "VALUE").and_then(quoted);
        if (way == "NAME") != value.is_some() {
            found.violation("file.variable", place, format!("DEFINE of {name} by {way} and VALUE {value:?}"));
        }
        if self.known.insert(name.to_owned(), value.map(str::to_owned)).is_some() {
            found.violation("file.variable", place, format!("{name} is defined twice"));
        }
    }

    /// Puts values in the place of `{$NAME}`.
    pub(super) fn fill<'t>(&self, text: &'t str, place: &str, found: &mut Findings) -> Cow<'t, str> {
        if !text.contains("{$") {
            return Cow::Borrowed(text);
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{$") {
            out.push_str(before);
            let Some((name, behind)) = after.split_once('}') else {
                rest = after;
                break;
            };
            match self.known.get(name) {
                Some(Some(value)) => out.push_str(value),
                Some(None) => out.push_str(&format!("{{${name}}}")),
                None => {
                    found.violation("file.variable", place, format!("{name} is used before it is defined"))
                }
            }
            rest = behind;
        }
        Cow::Owned(out + rest)
    }
}
