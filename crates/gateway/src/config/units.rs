//! How lengths of time, sizes and rates are written in the configuration: `"6s"`, `"2GiB"`, `"2500k"`.

use std::time::Duration;

/// Reads `250ms`, `6s`, `2m`, `1h`, `30d` or `1.5s`.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => {
            return Err(format!(
                "{text:?} is not a length of time: write it like \"250ms\", \"6s\" or \"2m\""
            ));
        }
    };
    match number.parse::<f64>() {
        Ok(value) if value >= 0.0 && value * factor <= 1e9 => Ok(Duration::from_secs_f64(value * factor)),
        _ => Err(format!("{text:?} is not a length of time: write it like \"250ms\", \"6s\" or \"2m\"")),
    }
}

/// Writes what [`parse_span`] reads.
pub(crate) fn show_span(span: Duration) -> String {
    let millis = span.as_millis();
    match millis {
        0 => "0s".to_owned(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) && millis >= 300_000 => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}

/// Reads a size in bytes: `64MiB`, `2GiB`, `1TiB`, `500kB` or plain digits.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => 0,
    };
    let value = number.parse::<u64>().ok().and_then(|value| value.checked_mul(factor));
    match value {
        Some(size) if factor > 0 => Ok(size),
        _ => Err(format!("{text:?} is not a size: write it like \"64MiB\" or \"2GiB\"")),
    }
}

/// Writes what [`parse_size`] reads.
pub(crate) fn show_size(size: u64) -> String {
    match size {
        0 => "0".to_owned(),
        _ if size.is_multiple_of(1 << 30) => format!("{}GiB", size >> 30),
        _ if size.is_multiple_of(1 << 20) => format!("{}MiB", size >> 20),
        _ if size.is_multiple_of(1 << 10) => format!("{}KiB", size >> 10),
        _ => size.to_string(),
    }
}

/// Reads a bit rate: `2500k`, `6M` or plain digits, bits a second.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        _ => 0.0,
    };
    match number.parse::<f64>() {
        Ok(value) if factor > 0.0 && value > 0.0 && value * factor <= 1e9 => {
            Ok((value * factor).round() as u64)
        }
        _ => Err(format!("{text:?} is not a bit rate: write it like \"2500k\" or \"6M\"")),
    }
}

/// Writes what [`parse_rate`] reads.
pub(crate) fn show_rate(bps: u64) -> String {
    match bps {
        _ if bps > 0 && bps.is_multiple_of(1_000_000) => format!("{}M", bps / 1_000_000),
        _ if bps > 0 && bps.is_multiple_of(1_000) => format!("{}k", bps / 1_000),
        _ => bps.to_string(),
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_round_trip() {
        for (text, millis) in
            [("250ms", 250), ("6s", 6_000), ("90s", 90_000), ("10m", 600_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_span(text).unwrap().as_millis(), millis);
            assert_eq!(show_span(Duration::from_millis(millis as u64)), text);
        }
        for bad in ["6", "s", "-1s", "6 parsecs", "", "1e30h"] {
            assert!(parse_span(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_and_rates_are_read() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(show_size(2 << 30), "2GiB");
        assert!(parse_size("3 elephants").is_err());
        assert!(parse_size("99999999999999GiB").is_err());
        assert_eq!(parse_rate("2500k"), Ok(2_500_000));
        assert_eq!(parse_rate("1.4M"), Ok(1_400_000));
        assert_eq!((show_rate(100_000_000).as_str(), show_rate(2_500_000).as_str()), ("100M", "2500k"));
        assert!(parse_rate("0").is_err());
    }
}
