//! Values of an MPD's attributes: XML Schema's dates and durations, frame rates, templates.

/// Microseconds of `PnYnMnDTnHnMn.nS`; years and months, whose length varies, are none of what streams need.
pub(super) fn duration(text: &str) -> Option<i64> {
    let mut rest = text.strip_prefix('P')?;
    let mut time = false;
    let mut total: i64 = 0;
    let mut any = false;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('T').filter(|_| !time) {
            (time, rest) = (true, tail);
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit = tail.chars().next()?;
        rest = &tail[1..];
        let micros = crate::hlscheck::micros(number)?;
        let factor = match (time, unit) {
            (false, 'D') => 86_400,
            (true, 'H') => 3_600,
            (true, 'M') => 60,
            (true, 'S') => 1,
            _ => return None,
        };
        total = total.checked_add(micros.checked_mul(factor)?)?;
        any = true;
    }
    any.then_some(total)
}

/// Microseconds of Unix time; a date without a zone is taken as UTC.
pub(super) fn date(text: &str) -> Option<i64> {
    let read = |text: &str| text.parse::<jiff::Timestamp>().ok().map(|stamp| stamp.as_microsecond());
    read(text).or_else(|| read(&format!("{text}Z")))
}

/// `30`, `30000/1001`.
pub(super) fn frame_rate(text: &str) -> Option<f64> {
    let (over, under) = text.split_once('/').unwrap_or((text, "1"));
    let (over, under): (u32, u32) = (over.parse().ok()?, under.parse().ok()?);
    (over > 0 && under > 0).then(|| f64::from(over) / f64::from(under))
}

/// What a template's identifiers stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fill<'a> {
    pub(super) id: &'a str,
    pub(super) bandwidth: u64,
    pub(super) number: u64,
    pub(super) time: u64,
}

/// Puts values in the place of `$Number%05d$` and the like (ISO/IEC 23009-1 §5.3.9.4.4).
///
/// # Errors
/// The identifier that is none.
pub(super) fn fill(template: &str, with: Fill<'_>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, behind) =
            after.split_once('$').ok_or_else(|| format!("a $ without its other in {template}"))?;
        rest = behind;
        let (name, width) = match name.split_once('%') {
            Some((name, format)) => {
                let digits = format.strip_prefix('0').and_then(|f| f.strip_suffix('d'));
                let width: usize = digits
                    .and_then(|d| d.parse().ok())
                    .filter(|w| *w < 32)
                    .ok_or_else(|| format!("format %{format}"))?;
                (name, width)
            }
            None => (name, 1),
        };
        match name {
            "" => out.push('$'),
            "RepresentationID" => out.push_str(with.id),
            "Number" => out.push_str(&format!("{:0width$}", with.number)),
            "Time" => out.push_str(&format!("{:0width$}", with.time)),
            "Bandwidth" => out.push_str(&format!("{:0width$}", with.bandwidth)),
            other => return Err(format!("identifier ${other}$")),
        }
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_dates_and_rates_are_read() {
        for (text, want) in [
            ("PT2S", Some(2_000_000)),
            ("PT1H2M3.5S", Some(3_723_500_000)),
            ("P1DT1S", Some(86_401_000_000)),
            ("PT0S", Some(0)),
            ("P1Y", None),
            ("PT", None),
            ("2S", None),
            ("PT5", None),
        ] {
            assert_eq!(duration(text), want, "{text}");
        }
        assert_eq!(date("1970-01-01T00:00:01Z"), Some(1_000_000));
        assert_eq!(date("1970-01-01T00:00:01"), Some(1_000_000));
        assert_eq!(date("noon"), None);
        assert_eq!(frame_rate("30000/1001").map(|r| (r * 1000.0) as u32), Some(29970));
        assert_eq!(frame_rate("30/0"), None);
    }

    #[test]
    fn templates_are_filled() {
        let with = Fill { id: "v720", bandwidth: 9, number: 42, time: 180_000 };
        for (template, want) in [
            ("$RepresentationID$/$Number$.m4s", Ok("v720/42.m4s")),
            ("$Number%05d$-$Time$-$Bandwidth$$$", Ok("00042-180000-9$")),
            ("x", Ok("x")),
            ("$Name$", Err(())),
            ("$Number%5x$", Err(())),
            ("$Number", Err(())),
        ] {
            assert_eq!(fill(template, with).map_err(drop), want.map(str::to_owned), "{template}");
        }
    }
}
