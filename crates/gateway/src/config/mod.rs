//! Process settings: one table of every setting, read from a TOML file, then `SLUICE_…` variables, then flags.
//!
//! Every value passes through text, so the three sources share one parser and one set of messages, and all faults of
//! all sources are told at once, with the line for a file.

pub(crate) mod access;
mod captions;
mod delivery;
mod encoding;
mod limits;
mod recording;
mod rules;
mod settings;
mod streams;
mod tables;
pub(crate) mod units;

use std::{fmt, path::Path};

pub(crate) use captions::Captions;
pub(crate) use settings::{Config, LogFormat, OBEY_FAULT_MARKS, OnShutdown, PlayAccess, Setting, UserAuth};
pub(crate) use streams::OwnSettings;

/// Every setting, in the order of the example file.
fn all() -> impl Iterator<Item = &'static Setting> {
    let pages =
        [settings::SETTINGS, delivery::SETTINGS, encoding::SETTINGS, recording::SETTINGS, limits::SETTINGS];
    pages.into_iter().flatten()
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// `sluice.toml:12`, `SLUICE_HLS_SEGMENT`, `--rtmp-listen` …
    pub place: String,
    /// What is wrong, and what was expected.
    pub what: String,
}

/// Everything that is wrong with the configuration. The process exits with 78 (EX_CONFIG of sysexits.h).
#[derive(Debug, thiserror::Error)]
pub(crate) struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        writeln!(f, "the configuration has {count} fault{}:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|fault| writeln!(f, "  {}: {}", fault.place, fault.what))
    }
}

/// Reads the configuration: defaults, then the file, then the environment, then flags given as `(setting, value)`.
///
/// # Errors
/// With every fault of every source.
pub(crate) fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &[(&str, String)],
) -> Result<Config, Faults> {
    let mut config = Config::default();
    let mut faults = Vec::new();
    if let Some(path) = file {
        match std::fs::read_to_string(path) {
            Ok(text) => read_toml(&mut config, &path.display().to_string(), &text, &mut faults),
            Err(error) => {
                faults.push(Fault {
                    place: path.display().to_string(),
                    what: format!("cannot be read: {error}"),
                });
            }
        }
    }
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix("SLUICE_") else { continue };
        if settings::OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        match all().find(|setting| setting.variable() == name) {
            Some(setting) => apply(&mut config, setting, &value, name.clone(), &mut faults),
            None => faults.push(Fault {
                place: name.clone(),
                what: format!("no such setting{}", nearest(&rest.to_lowercase().replacen('_', ".", 1))),
            }),
        }
    }
    for (key, value) in flags {
        let setting = all().find(|setting| setting.key == *key);
        let place = format!("--{}", key.replace(['.', '_'], "-"));
        match setting {
            Some(setting) => apply(&mut config, setting, value, place, &mut faults),
            None => faults.push(Fault { place, what: "no such setting".to_owned() }),
        }
    }
    if faults.is_empty() {
        settings::cross_check(&config, &mut faults);
    }
    if faults.is_empty() { Ok(config) } else { Err(Faults(faults)) }
}

fn apply(config: &mut Config, setting: &Setting, value: &str, place: String, faults: &mut Vec<Fault>) {
    if let Err(what) = (setting.set)(config, value) {
        faults.push(Fault { place, what: format!("{}: {what}", setting.key) });
    }
}

fn read_toml(config: &mut Config, name: &str, text: &str, faults: &mut Vec<Fault>) {
    let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let mut found: Vec<(usize, String)> = Vec::new();
    let (root, errors) = toml::de::DeTable::parse_recoverable(text);
    for error in errors {
        found.push((line(error.span().map_or(0, |span| span.start)), error.message().to_owned()));
    }
    for (section, value) in root.get_ref() {
        if section.get_ref() == streams::KEY {
            let mut wrong = Vec::new();
            config.streams = streams::read(value, &mut wrong);
            found.extend(wrong.into_iter().map(|(at, what)| (line(at), what)));
            continue;
        }
        let Some(table) = value.get_ref().as_table() else {
            let what =
                format!("{:?} stands outside a [section]{}", section.get_ref(), nearest(section.get_ref()));
            found.push((line(section.span().start), what));
            continue;
        };
        for (key, value) in table {
            let full = format!("{}.{}", section.get_ref(), key.get_ref());
            if full == rules::KEY {
                let mut wrong = Vec::new();
                config.rules = rules::read(value, &mut wrong);
                found.extend(wrong.into_iter().map(|(at, what)| {
                    let at = if at == 0 { key.span().start } else { at };
                    (line(at), what)
                }));
                continue;
            }
            let outcome = match all().find(|setting| setting.key == full) {
                Some(setting) => match plain(value.get_ref()) {
                    Some(value) => (setting.set)(config, &value).map_err(|what| format!("{full}: {what}")),
                    None => Err(format!("{full}: expected a plain value or a list")),
                },
                None => Err(format!("no setting is called {full:?}{}", nearest(&full))),
            };
            if let Err(what) = outcome {
                found.push((line(key.span().start), what));
            }
        }
    }
    found.sort();
    faults.extend(found.into_iter().map(|(line, what)| Fault { place: format!("{name}:{line}"), what }));
}

/// A TOML value as the text that settings read; lists are joined by commas.
pub(super) fn plain(value: &toml::de::DeValue<'_>) -> Option<String> {
    use toml::de::DeValue as V;
    match value {
        V::String(text) => Some(text.to_string()),
        V::Integer(number) => Some(number.to_string()),
        V::Float(number) => Some(number.to_string()),
        V::Boolean(flag) => Some(flag.to_string()),
        V::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| plain(item.get_ref())).collect();
            Some(items?.join(","))
        }
        V::Datetime(_) | V::Table(_) => None,
    }
}

/// `; did you mean "hls.segment"?` for the setting with the most letters in common at the ends.
fn nearest(asked: &str) -> String {
    let likeness = |key: &str| {
        let front = key.bytes().zip(asked.bytes()).take_while(|(a, b)| a == b).count();
        let back = key.bytes().rev().zip(asked.bytes().rev()).take_while(|(a, b)| a == b).count();
        front + back
    };
    match all().map(|setting| (likeness(setting.key), setting.key)).max() {
        Some((score, key)) if score >= 4 => format!("; did you mean {key:?}?"),
        _ => String::new(),
    }
}

/// The example file, `deploy/sluice.example.toml`: every setting with its meaning and its default, commented out.
pub(crate) fn example() -> String {
    let mut text = String::from(
        "# Every setting of Sluice with its default. A line without its '#' changes it; `SLUICE_<SECTION>_<KEY>`\n\
         # in the environment and the flags of `sluice serve` win over this file.\n",
    );
    let defaults = Config::default();
    let mut section = "";
    for setting in all() {
        let (here, key) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if here != section {
            section = here;
            text.push_str(&format!("\n[{section}]\n"));
        }
        for line in setting.help.lines() {
            text.push_str(&format!("# {line}\n"));
        }
        let value = (setting.get)(&defaults);
        let bare = value.parse::<i64>().is_ok() || value == "true" || value == "false";
        text.push_str(&if bare { format!("#{key} = {value}\n") } else { format!("#{key} = {value:?}\n") });
    }
    text.push_str(rules::EXAMPLE);
    text.push_str(streams::EXAMPLE);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sluice.toml");
        std::fs::write(&path, text).unwrap();
        load(Some(&path), std::iter::empty(), &[]).map_err(|faults| {
            let prefix = format!("{}:", path.display());
            faults
                .0
                .iter()
                .map(|fault| format!("{}: {}", fault.place.replace(&prefix, ""), fault.what))
                .collect()
        })
    }

    #[test]
    fn the_example_is_the_defaults() {
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/sluice.example.toml");
        if std::env::var_os("UPDATE_EXAMPLE").is_some() {
            std::fs::write(shipped, example()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(shipped).unwrap(),
            example(),
            "run the test with UPDATE_EXAMPLE=1"
        );
        let live: String = example()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(read(&live).unwrap(), Config::default());
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let faults =
            read("[hls]\nsegment = \"2 parsecs\"\nsegmant = \"2s\"\n\n[rtmp]\nlisten = 7\nstray = 1\n")
                .unwrap_err();
        assert_eq!(faults.len(), 4, "{faults:#?}");
        assert!(
            faults[0].starts_with("2: hls.segment: \"2 parsecs\" is not a length of time"),
            "{faults:#?}"
        );
        assert!(
            faults.iter().any(|fault| fault.starts_with("3: ") && fault.contains("did you mean")),
            "{faults:#?}"
        );
    }

    #[test]
    fn later_sources_win_and_unknown_variables_are_told() {
        let env = [
            ("SLUICE_HLS_SEGMENT".to_owned(), "4s".to_owned()),
            ("SLUICE_HLS_SEGMNT".to_owned(), "4s".to_owned()),
        ];
        let faults = load(None, env.clone().into_iter(), &[]).unwrap_err();
        assert_eq!(faults.0.len(), 1);
        let config =
            load(None, env.into_iter().take(1), &[("rtmp.listen", "127.0.0.1:0".to_owned())]).unwrap();
        assert_eq!((config.segment.as_secs(), config.rtmp_listen[0].port()), (4, 0));
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        let faults = read("[hls]\nsegment = \n[rtmp\n").unwrap_err();
        assert!(faults.iter().any(|fault| fault.starts_with("2:")), "{faults:#?}");
    }
}
