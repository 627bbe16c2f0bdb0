//! `[[stream]]`: settings of `[ladder]`, of recording and some of `[play]` for some streams alone, as tables of the
//! configuration file.

use toml::{Spanned, de::DeValue};

use super::{
    Config, access, all,
    encoding::SETTINGS,
    tables::{Tables, stream_name},
};
use crate::desk::rules::Pattern;

/// The name of the array of tables.
pub(super) const KEY: &str = "stream";
const TABLES: Tables = Tables { key: KEY, noun: "stream", most: 1024 };

/// Behind the settings in the example file.
pub(super) const EXAMPLE: &str = "
# Settings of [ladder] and, where said, of [play] for some streams alone, read from the top: the first whose name fits
# counts, the others do not. What it leaves out is as there. `recording` and `recording_keep` stand for recording.enabled and
# recording.keep. In this file only. `name` may hold * for any characters.
#
# [[stream]]
# name = \"cam-*\"
# mode = \"off\"
# recording = false
#
# [[stream]]
# name = \"studio\"
# preset = \"quality\"
# rungs = [\"1080:6000k\", \"720:3500k\", \"360:900k\"]
# playback = \"signed\"
";

/// What the operator wants of some streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamRule {
    /// Which streams, by their public names.
    pub name: Pattern,
    /// What for them.
    settings: OwnSettings,
}

/// Settings of one stream, by their full names, and their values as text; each has been read once and was
/// sound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OwnSettings(Vec<(&'static str, String)>);

impl StreamRule {
    /// The configuration as it is for these streams.
    pub(crate) fn apply(&self, config: &Config) -> Config {
        self.settings.apply(config)
    }
}

impl OwnSettings {
    /// Takes one more of `[ladder]`: `preset` for `ladder.preset`.
    ///
    /// # Errors
    /// When it is no setting that a stream may have, or its value is not sound, in words.
    pub(crate) fn set(&mut self, short: &str, text: String) -> Result<(), String> {
        let key = sound(short, &text, ladder_keys())?;
        self.0.push((key, text));
        Ok(())
    }

    /// Takes one more of those that the configuration file may have for a stream.
    fn set_any(&mut self, short: &str, text: String) -> Result<(), String> {
        let further = access::OF_STREAMS.iter().copied().chain(RENAMED.map(|(_, key)| key));
        let key = sound(short, &text, ladder_keys().chain(further))?;
        self.0.push((key, text));
        Ok(())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The configuration with these settings.
    pub(crate) fn apply(&self, config: &Config) -> Config {
        let mut own = config.clone();
        for (key, value) in &self.0 {
            if let Some(setting) = setting(key) {
                // Sound when it was read, and nothing else is looked at.
                let _ = (setting.set)(&mut own, value);
            }
        }
        own
    }
}

fn setting(key: &str) -> Option<&'static super::Setting> {
    all().find(|setting| setting.key == key)
}

/// Settings of `[ladder]` that hold for the process, not for a stream.
const COMMON: [&str; 5] = [
    "ladder.worker_memory",
    "ladder.sandbox",
    "ladder.latency_ceiling",
    "ladder.cpu_budget",
    "ladder.admission",
];

fn ladder_keys() -> impl Iterator<Item = &'static str> + Clone {
    let keys = SETTINGS.iter().map(|setting| setting.key);
    keys.filter(|key| key.starts_with("ladder.") && !COMMON.contains(key))
}

/// Reads the tables. What is wrong goes to `faults`, with its place in the text.
pub(super) fn read(value: &Spanned<DeValue<'_>>, faults: &mut Vec<(usize, String)>) -> Vec<StreamRule> {
    TABLES.read(value, faults, |table, faults| {
        let (mut name, mut settings) = (None, OwnSettings::default());
        let sound = table.fields(faults, |key, text| match key {
            "name" => stream_name(text).map(|pattern| name = Some(pattern)),
            short => settings.set_any(short, text),
        });
        if sound && name.is_none() {
            table.fault(faults, "a table needs a name; write name = \"*\" for all streams");
        }
        let name = name.filter(|_| sound)?;
        Some(StreamRule { name, settings })
    })
}

/// Settings that a stream has by other names than the last part of their own.
const RENAMED: [(&str, &str); 2] = [("recording", "recording.enabled"), ("recording_keep", "recording.keep")];

/// The full name of a setting whose value is sound.
fn sound(
    short: &str,
    text: &str,
    keys: impl Iterator<Item = &'static str> + Clone,
) -> Result<&'static str, String> {
    let of = |key: &'static str| match RENAMED.iter().find(|(_, full)| *full == key) {
        Some((name, _)) => *name,
        None => key.split_once('.').map_or(key, |(_, short)| short),
    };
    let Some(key) = keys.clone().find(|key| of(key) == short) else {
        let known: Vec<_> = keys.map(of).collect();
        return Err(format!("a stream has name, {}", known.join(", ")));
    };
    let setting = setting(key).ok_or_else(|| "no such setting".to_owned())?;
    (setting.set)(&mut Config::default(), text).map(|()| key)
}

#[cfg(test)]
mod tests {
    use transcode::ladder::Preset;

    use super::super::tables::testing::{read, uncommented};

    #[test]
    fn a_stream_has_its_own_and_the_rest_of_the_common() {
        let config = read(
            "[[stream]]\nname = \"cam-*\"\nmode = \"off\"\n[[stream]]\nname = \"studio\"\npreset = \"quality\"\n\
             rungs = [\"720:3500k\", \"360:900k\"]\n[ladder]\npreset = \"economy\"\nrungs = [\"480:1400k\"]\n",
        )
        .unwrap();
        let own = |at: usize| config.streams[at].apply(&config);
        assert_eq!(
            (own(0).ladder, own(0).preset, own(0).rungs),
            (false, Preset::Economy, vec![(480, 1_400_000)])
        );
        let studio = own(1);
        assert_eq!((studio.ladder, studio.preset), (true, Preset::Quality));
        assert_eq!(studio.rungs, [(720, 3_500_000), (360, 900_000)]);
        assert!(config.streams[0].name.matches("cam-7") && !config.streams[1].name.matches("cam-7"));
    }

    #[test]
    fn the_example_is_sound() {
        let live = uncommented(super::EXAMPLE);
        assert_eq!(read(&live).unwrap().streams.len(), 2);
    }

    #[test]
    fn faults_are_told_with_their_lines() {
        let faults = read(
            "[[stream]]\nname = \"a b\"\n[[stream]]\nname = \"a\"\npreset = \"placebo\"\nbitrate = 7\n\
             worker_memory = \"1GiB\"\n[[stream]]\nmode = \"off\"\n",
        )
        .unwrap_err();
        for want in [
            ":2: stream.name",
            ":5: stream.preset",
            ":6: stream.bitrate",
            ":7: stream.worker_memory",
            "needs a name",
        ] {
            assert!(faults.contains(want), "{want}: {faults}");
        }
        for key in super::COMMON {
            let line = format!("{} = \"1\"", key.trim_start_matches("ladder."));
            let told = read(&format!("[[stream]]\nname = \"a\"\n{line}\n")).unwrap_err();
            assert!(told.contains("a stream has name"), "{key} is the process's: {told}");
        }
        assert!(read("stream = 7\n").unwrap_err().contains("[[stream]]"));
    }
}
