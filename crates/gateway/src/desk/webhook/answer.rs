//! What the answer to `on_publish` means. Pure.

use axum::http::StatusCode;
use media::StreamName;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::OwnSettings;

/// Longest sentence taken from an answer, in characters; what encoders show is about as long.
const SENTENCE_MAX: usize = 200;

/// The webhook's word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It may publish.
    Allow(Allowed),
    /// It may not, for this reason.
    Deny(String),
    /// Nothing that can be understood: it may not. For the log.
    Unclear(String),
}

/// What comes with the permission to publish.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// The stream's name, if another one is given.
    pub stream: Option<StreamName>,
    /// Settings of `[ladder]` for this publication.
    pub ladder: OwnSettings,
}

#[derive(Deserialize)]
struct Body {
    allow: bool,
    stream: Option<String>,
    reason: Option<String>,
    ladder: Option<Map<String, Value>>,
}

/// Reads an answer.
pub(super) fn read(status: StatusCode, body: &[u8]) -> Word {
    match status {
        StatusCode::NO_CONTENT => Word::Allow(Allowed::default()),
        StatusCode::OK if body.trim_ascii().is_empty() => Word::Allow(Allowed::default()),
        StatusCode::OK => match serde_json::from_slice::<Body>(body) {
            Ok(Body { allow: true, stream, ladder, .. }) => {
                allowed(stream, ladder.unwrap_or_default()).map_or_else(Word::Unclear, Word::Allow)
            }
            Ok(Body { allow: false, reason, .. }) => {
                Word::Deny(reason.map_or_else(refused, |text| sentence(&text)))
            }
            Err(error) => Word::Unclear(format!("the answer is not the JSON expected: {error}")),
        },
        status if status.is_client_error() => Word::Deny(match serde_json::from_slice::<Reason>(body) {
            Ok(Reason { reason }) => sentence(&reason),
            // A page of a proxy is nothing to show.
            Err(_) if body.trim_ascii_start().starts_with(b"<") => refused(),
            Err(_) => sentence(&String::from_utf8_lossy(body)),
        }),
        status => Word::Unclear(format!("the answer has status {status}")),
    }
}

/// What an answer that allows holds beside that.
fn allowed(stream: Option<String>, ladder: Map<String, Value>) -> Result<Allowed, String> {
    let stream = stream
        .map(|name| name.parse::<StreamName>().map_err(|bad| format!("the answer names a stream: {bad}")))
        .transpose()?;
    let mut settings = OwnSettings::default();
    for (key, value) in &ladder {
        let text = plain(value).ok_or_else(|| "expected a plain value or a list".to_owned());
        text.and_then(|text| settings.set(key, text))
            .map_err(|what| format!("the answer has a ladder: {}: {what}", sentence(key)))?;
    }
    Ok(Allowed { stream, ladder: settings })
}

/// A value as the configuration file would have it as text.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<_>> =
                items.iter().map(|item| plain(item).filter(|_| !item.is_array())).collect();
            Some(items?.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

#[derive(Deserialize)]
struct Reason {
    reason: String,
}

fn refused() -> String {
    "This server's operator does not let this stream in.".to_owned()
}

/// The first line, without what a terminal or a dialogue could take for more than text.
fn sentence(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).take(SENTENCE_MAX).collect();
    if line.is_empty() { refused() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let deny = |text: &str| Word::Deny(text.to_owned());
        let allow = |name: Option<&str>| {
            let stream = name.map(|name| name.parse().unwrap());
            Word::Allow(Allowed { stream, ..Allowed::default() })
        };
        for (status, body, want) in [
            (204, "", allow(None)),
            (200, " \n", allow(None)),
            (200, r#"{"allow":true}"#, allow(None)),
            (200, r#"{"allow":true,"ladder":{}}"#, allow(None)),
            (200, r#"{"allow":true,"stream":"studio","more":1}"#, allow(Some("studio"))),
            (200, r#"{"allow":false,"reason":"Not today."}"#, deny("Not today.")),
            (200, r#"{"allow":false}"#, Word::Deny(refused())),
            (403, "Pay first.\nSecond line", deny("Pay first.")),
            (403, r#"{"reason":"Pay \u001b[31mfirst."}"#, deny("Pay [31mfirst.")),
            (404, "<html>not found</html>", Word::Deny(refused())),
            (401, "", Word::Deny(refused())),
        ] {
            assert_eq!(read(StatusCode::from_u16(status).unwrap(), body.as_bytes()), want, "{status} {body}");
        }
        assert!(
            matches!(read(StatusCode::FORBIDDEN, "é".repeat(900).as_bytes()), Word::Deny(text) if text.chars().count() == 200)
        );
    }

    #[test]
    fn a_ladder_is_read_as_a_stream_table_is() {
        let body = r#"{"allow":true,"ladder":{"preset":"quality","rungs":["720:3500k","360:900k"],"fill_sound":false}}"#;
        let Word::Allow(Allowed { ladder, .. }) = read(StatusCode::OK, body.as_bytes()) else { panic!() };
        let own = ladder.apply(&crate::config::Config::default());
        assert_eq!(
            (own.preset, own.rungs, own.fill_sound),
            (transcode::ladder::Preset::Quality, vec![(720, 3_500_000), (360, 900_000)], false)
        );
        for (ladder, why) in [
            (r#"{"preset":"placebo"}"#, "preset: "),
            (r#"{"rungs":["721:1k"]}"#, "must be even"),
            (r#"{"worker_memory":"1GiB"}"#, "a stream has name"),
            (r#"{"mode":null}"#, "plain value"),
            (r#"{"rungs":[["720:3000k"]]}"#, "plain value"),
            (r#"["720:3000k"]"#, "not the JSON expected"),
        ] {
            let word = read(StatusCode::OK, format!(r#"{{"allow":true,"ladder":{ladder}}}"#).as_bytes());
            assert!(matches!(&word, Word::Unclear(text) if text.contains(why)), "{ladder}: {word:?}");
        }
    }

    #[test]
    fn what_is_unclear_lets_nobody_in() {
        for (status, body) in [
            (200, "yes"),
            (200, r#"{"allow":"yes"}"#),
            (200, r#"{"stream":"studio"}"#),
            (200, r#"{"allow":true,"stream":"../etc"}"#),
            (201, r#"{"allow":true}"#),
            (302, ""),
            (500, r#"{"allow":true}"#),
        ] {
            let word = read(StatusCode::from_u16(status).unwrap(), body.as_bytes());
            assert!(matches!(word, Word::Unclear(_)), "{status} {body}: {word:?}");
        }
    }
}
