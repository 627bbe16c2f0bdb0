//! The server's clock by UTCTiming (ISO/IEC 23009-1 §5.8.4.11).

use super::values::date;
use crate::fetch::{Client, Url};
use std::time::Duration;

/// How far the server's clock is ahead of ours, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset {
    /// Microseconds to add to our clock.
    pub(super) micros: i64,
    /// Microseconds that it may be off.
    pub(super) doubt: i64,
}

/// Our clock, microseconds of Unix time.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Asks the first clock that answers.
///
/// # Errors
/// What was wrong with each.
pub(super) async fn ask(client: &Client, base: &Url, clocks: &[(String, String)]) -> Result<Offset, String> {
    let mut faults = Vec::new();
    for (scheme, value) in clocks {
        match one(client, base, scheme, value).await {
            Ok(offset) => return Ok(offset),
            Err(fault) => faults.push(format!("{scheme}: {fault}")),
        }
    }
    Err(faults.join("; "))
}

async fn one(client: &Client, base: &Url, scheme: &str, value: &str) -> Result<Offset, String> {
    let kind = scheme.strip_prefix("urn:mpeg:dash:utc:").unwrap_or_default();
    if kind.starts_with("direct:") {
        let told = date(value).ok_or_else(|| format!("{value:?} is no date"))?;
        return Ok(Offset { micros: told - now(), doubt: 2_000_000 });
    }
    let head = kind.starts_with("http-head:");
    if !head && !kind.starts_with("http-xsdate:") && !kind.starts_with("http-iso:") {
        return Err("not a scheme that is read here".into());
    }
    let place = value.split_whitespace().next().unwrap_or_default();
    let url = base.join(place).map_err(|error| error.to_string())?;
    let before = now();
    let method = if head { "HEAD" } else { "GET" };
    let answer = client
        .request(method, &url, &[], Duration::from_secs(5))
        .await
        .map_err(|error| format!("{error:#}"))?;
    let after = now();
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    let told = if head {
        // Whole seconds: the middle of that second.
        answer.header("date").and_then(crate::probe::http_date).map(|s| s * 1_000_000 + 500_000)
    } else {
        date(String::from_utf8_lossy(&answer.body).trim())
    };
    let told = told.ok_or_else(|| {
        format!("{:?} is no date", String::from_utf8_lossy(&answer.body[..answer.body.len().min(40)]))
    })?;
    let doubt = (after - before) / 2 + if head { 500_000 } else { 1_000 };
    Ok(Offset { micros: told - (before + after) / 2, doubt })
}
