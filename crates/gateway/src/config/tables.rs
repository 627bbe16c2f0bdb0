//! Arrays of tables in the configuration file, such as `[[publish.rule]]`: read one by one, every fault told with its place.

use toml::{Spanned, de::DeValue};

use super::plain;
use crate::desk::rules::Pattern;

/// What one array of tables is called.
pub(super) struct Tables {
    /// Its key in the file.
    pub(super) key: &'static str,
    /// What one table is, in a word.
    pub(super) noun: &'static str,
    /// Tables at most, so that the one that fits is found in no time.
    pub(super) most: usize,
}

/// One table, of which nothing is known yet but that it is one.
pub(super) struct Table<'a, 'i> {
    key: &'static str,
    at: usize,
    fields: &'a toml::de::DeTable<'i>,
}

impl Tables {
    /// Reads the tables with `one`. What is wrong goes to `faults`, with its place in the text.
    pub(super) fn read<'a, 'i, T>(
        &self,
        value: &'a Spanned<DeValue<'i>>,
        faults: &mut Vec<(usize, String)>,
        one: impl Fn(&Table<'a, 'i>, &mut Vec<(usize, String)>) -> Option<T>,
    ) -> Vec<T> {
        let Self { key, noun, most } = *self;
        let no_table = || format!("{key}: write each {noun} as a table: [[{key}]]");
        let Some(items) = value.get_ref().as_array() else {
            faults.push((value.span().start, no_table()));
            return Vec::new();
        };
        if items.len() > most {
            faults.push((value.span().start, format!("{key}: {} tables, at most {most}", items.len())));
            return Vec::new();
        }
        let mut read = Vec::new();
        for item in items {
            let at = item.span().start;
            match item.get_ref().as_table() {
                Some(fields) => read.extend(one(&Table { key, at, fields }, faults)),
                None => faults.push((at, no_table())),
            }
        }
        read
    }
}

impl Table<'_, '_> {
    /// Gives each field to `set` as text; true when nothing was wrong.
    pub(super) fn fields(
        &self,
        faults: &mut Vec<(usize, String)>,
        mut set: impl FnMut(&str, String) -> Result<(), String>,
    ) -> bool {
        let before = faults.len();
        for (key, value) in self.fields {
            let outcome = match plain(value.get_ref()) {
                Some(text) => set(key.get_ref(), text),
                None => Err("expected a plain value or a list".to_owned()),
            };
            if let Err(what) = outcome {
                faults.push((key.span().start, format!("{}.{}: {what}", self.key, key.get_ref())));
            }
        }
        faults.len() == before
    }

    /// Whether it has no field.
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Something is wrong with the table as a whole.
    pub(super) fn fault(&self, faults: &mut Vec<(usize, String)>, what: &str) {
        faults.push((self.at, format!("{}: {what}", self.key)));
    }
}

/// A stream's public name, or a pattern of such names.
pub(super) fn stream_name(text: String) -> Result<Pattern, String> {
    let pattern = Pattern(text);
    match pattern.literal().map(str::parse::<media::StreamName>) {
        Some(Err(bad)) => Err(bad.to_string()),
        _ => Ok(pattern),
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::super::{Config, load};

    /// Reads a configuration file of this text.
    pub(in super::super) fn read(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.toml");
        std::fs::write(&path, text).unwrap();
        load(Some(&path), std::iter::empty(), &[]).map_err(|faults| faults.to_string())
    }

    /// The tables of an example, taken out of their comments.
    pub(in super::super) fn uncommented(example: &str) -> String {
        example
            .lines()
            .skip_while(|line| !line.contains("[["))
            .map(|line| format!("{}\n", line.trim_start_matches('#').trim_start()))
            .collect()
    }
}
