//! `[[publish.rule]]`: who may publish, as tables of the configuration file.

use toml::{Spanned, de::DeValue};

use super::tables::{Tables, stream_name};
use crate::desk::rules::{KeyHash, Pattern, Rule};

/// The name of the array of tables.
pub(super) const KEY: &str = "publish.rule";
/// Shortest key in clear: shorter ones are guessed.
const KEY_MIN: usize = 8;
/// At most so many that a publisher is decided about in no time.
const TABLES: Tables = Tables { key: KEY, noun: "rule", most: 1024 };

/// Behind the settings in the example file.
pub(super) const EXAMPLE: &str = "
# Rules about who may publish, read from the top; the first that fits decides. All that a rule names must fit. Who fits
# none needs a key of `sluice keys`. In this file only. `name` and `app` may hold * for any characters.
#
# [[publish.rule]]
# name = \"studio\"                  # the stream that the key opens, alone or as studio?key=KEY
# key = \"sha256:HEX\"               # of `printf %s KEY | sha256sum`; or the key itself, of 8 characters or more
#
# [[publish.rule]]
# app = \"lan\"
# address = [\"10.0.0.0/8\"]         # no key: whoever publishes from there is trusted, for any name
#
# [[publish.rule]]
# name = \"studio\"
# allow = false                    # with keys of the store, too
# reason = \"The studio is closed.\" # shown by the encoder
";

/// Reads the tables. What is wrong goes to `faults`, with its place in the text; 0 where that is unknown.
pub(super) fn read(value: &Spanned<DeValue<'_>>, faults: &mut Vec<(usize, String)>) -> Vec<Rule> {
    TABLES.read(value, faults, |table, faults| {
        let mut rule =
            Rule { app: None, name: None, key: None, address: Default::default(), allow: true, reason: None };
        let sound = table.fields(faults, |key, text| set(&mut rule, key, text));
        if sound && table.is_empty() {
            table.fault(faults, "a rule that names nothing lets everybody publish; write allow = true");
            return None;
        }
        sound.then_some(rule)
    })
}

fn set(rule: &mut Rule, key: &str, text: String) -> Result<(), String> {
    match key {
        "app" => rule.app = Some(Pattern(text)),
        "name" => rule.name = Some(stream_name(text)?),
        "key" => rule.key = Some(hash(&text)?),
        "address" => rule.address = text.parse().map_err(|bad: ingest::BadAddress| bad.to_string())?,
        "allow" => rule.allow = text.parse().map_err(|_| format!("{text:?} is not true or false"))?,
        "reason" => rule.reason = Some(text.chars().take(255).collect()),
        _ => return Err("a rule has app, name, key, address, allow and reason".to_owned()),
    }
    Ok(())
}

fn hash(text: &str) -> Result<KeyHash, String> {
    match text.strip_prefix("sha256:") {
        Some(hex) => {
            KeyHash::from_hex(hex).ok_or_else(|| "sha256: is followed by 64 hexadecimal digits".to_owned())
        }
        None if text.len() < KEY_MIN => Err(format!("a key has {KEY_MIN} characters or more")),
        None => Ok(KeyHash::of(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables::testing::{read, uncommented};
    use crate::desk::rules::KeyHash;

    #[test]
    fn rules_are_read_in_order() {
        let config = read(
            "[publish]\nhold = \"5s\"\n[[publish.rule]]\nname = \"studio\"\nkey = \"0pen-sesame\"\n\
             [[publish.rule]]\napp = \"lan\"\naddress = [\"10.0.0.0/8\", \"::1\"]\n\
             [[publish.rule]]\nallow = false\nreason = \"No.\"\n",
        )
        .unwrap();
        assert_eq!(config.rules.len(), 3);
        assert_eq!(config.rules[0].key, Some(KeyHash::of("0pen-sesame")));
        assert!(config.rules[0].allow && !config.rules[2].allow);
        assert_eq!(config.rules[1].address.to_string(), "10.0.0.0/8,::1");
        assert_eq!(config.rules[2].reason.as_deref(), Some("No."));
        assert_eq!(config.hold.as_secs(), 5);
    }

    #[test]
    fn the_example_of_rules_is_sound() {
        let live = uncommented(super::EXAMPLE);
        let live = live.replace("HEX", &"0".repeat(64));
        assert_eq!(read(&live).unwrap().rules.len(), 3);
    }

    #[test]
    fn faults_of_rules_are_told_with_their_lines() {
        let faults = read(
            "[[publish.rule]]\nname = \"a b\"\n[[publish.rule]]\nkey = \"short\"\nadress = \"::1\"\n\
             [[publish.rule]]\nkey = \"sha256:12\"\naddress = \"10.0.0.0/40\"\nallow = \"maybe\"\n[[publish.rule]]\n",
        )
        .unwrap_err();
        for want in [
            ":2: publish.rule.name",
            ":4: publish.rule.key",
            ":5: publish.rule.adress",
            ":7: ",
            ":8: ",
            ":9: ",
            "names nothing",
        ] {
            assert!(faults.contains(want), "{want}: {faults}");
        }
        assert!(read("[publish]\nrule = 7\n").unwrap_err().contains("[[publish.rule]]"));
    }
}
