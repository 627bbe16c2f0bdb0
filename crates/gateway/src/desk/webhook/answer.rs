//! What the answer to `on_publish` means. Pure.

use axum::http::StatusCode;
use media::StreamName;
use serde::Deserialize;

/// Longest sentence taken from an answer, in characters; what encoders show is about as long.
const SENTENCE_MAX: usize = 200;

/// The webhook's word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It may publish, under this name if one is given.
    Allow(Option<StreamName>),
    /// It may not, for this reason.
    Deny(String),
    /// Nothing that can be understood: it may not. For the log.
    Unclear(String),
}

#[derive(Deserialize)]
struct Body {
    allow: bool,
    stream: Option<String>,
    reason: Option<String>,
}

/// Reads an answer.
pub(super) fn read(status: StatusCode, body: &[u8]) -> Word {
    match status {
        StatusCode::NO_CONTENT => Word::Allow(None),
        StatusCode::OK if body.trim_ascii().is_empty() => Word::Allow(None),
        StatusCode::OK => match serde_json::from_slice::<Body>(body) {
            Ok(Body { allow: true, stream: None, .. }) => Word::Allow(None),
            Ok(Body { allow: true, stream: Some(name), .. }) => match name.parse() {
                Ok(name) => Word::Allow(Some(name)),
                Err(bad) => Word::Unclear(format!("the answer names a stream: {bad}")),
            },
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
        for (status, body, want) in [
            (204, "", Word::Allow(None)),
            (200, " \n", Word::Allow(None)),
            (200, r#"{"allow":true}"#, Word::Allow(None)),
            (
                200,
                r#"{"allow":true,"stream":"studio","more":1}"#,
                Word::Allow(Some("studio".parse().unwrap())),
            ),
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
