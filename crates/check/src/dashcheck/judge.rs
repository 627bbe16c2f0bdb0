//! Rules that one MPD shows by itself.

use super::mpd::{Mpd, Representation, Set, Template};
use super::values::{Fill, fill};
use crate::report::Findings;

/// Judges the MPD.
pub(super) fn alone(mpd: &Mpd, place: &str, found: &mut Findings) {
    whole(mpd, place, found);
    let mut ids: Vec<&str> = Vec::new();
    for (n, period) in mpd.periods.iter().enumerate() {
        let name = period.id.as_deref().unwrap_or_default();
        if mpd.dynamic && name.is_empty() {
            found.violation("dash.ids", place, format!("Period {n} has no id"));
        } else if !name.is_empty() && ids.contains(&name) {
            found.violation("dash.ids", place, format!("two Periods {name}"));
        }
        ids.push(name);
        let mut own: Vec<&str> = Vec::new();
        for set in &period.sets {
            for r in &set.representations {
                if r.id.is_empty() || own.contains(&r.id.as_str()) {
                    found.violation(
                        "dash.ids",
                        place,
                        format!("Period {name:?}: Representation id {:?}", r.id),
                    );
                }
                own.push(&r.id);
                let at = format!("{place}, Representation {}", r.id);
                attributes(r, &at, found);
                match &r.template {
                    Some(template) => template_rules(template, &r.id, &at, found),
                    None => {
                        found.note("dash.template", &at, "no SegmentTemplate: its segments are not looked at")
                    }
                }
                low_latency(mpd, set, r, &at, found);
            }
        }
        if own.is_empty() {
            found.violation("dash.period", place, format!("Period {name:?} has no Representation"));
        }
    }
    for pair in mpd.periods.windows(2) {
        let end = pair[0].start.unwrap_or(0).checked_add(pair[0].duration.unwrap_or(0));
        let next = pair[1].start;
        if pair[0].duration.is_some() && next.is_some() && next != end {
            let text = format!("Period {:?} ends at {end:?} µs, the next one starts at {next:?}", pair[0].id);
            found.violation("dash.period", place, text);
        }
        if next.is_none() && pair[0].duration.is_none() {
            found.violation("dash.period", place, format!("Period {:?} has no start", pair[1].id));
        }
    }
}

fn whole(mpd: &Mpd, place: &str, found: &mut Findings) {
    let mut missing = Vec::new();
    for (name, there) in [("profiles", mpd.profiles.is_some()), ("minBufferTime", mpd.min_buffer.is_some())] {
        missing.extend((!there).then_some(name));
    }
    if mpd.dynamic {
        for (name, there) in
            [("availabilityStartTime", mpd.available.is_some()), ("publishTime", mpd.published.is_some())]
        {
            missing.extend((!there).then_some(name));
        }
        if mpd.clocks.is_empty() {
            found.violation("dash.utc", place, "no UTCTiming");
        }
        if let (Some(delay), Some(shift)) = (mpd.delay, mpd.shift)
            && delay > shift
        {
            let text = format!("suggestedPresentationDelay {delay} µs, timeShiftBufferDepth {shift}");
            found.violation("dash.delay", place, text);
        }
    } else {
        if mpd.update.is_some() {
            found.violation("dash.end", place, "a static MPD with minimumUpdatePeriod");
        }
        let last = mpd.periods.last().and_then(|p| p.duration);
        if mpd.duration.is_none() && last.is_none() {
            found.violation("dash.end", place, "a static MPD without a duration");
        }
    }
    if !missing.is_empty() {
        found.violation("dash.mpd", place, format!("no {}", missing.join(", ")));
    }
    if mpd.periods.is_empty() {
        found.violation("dash.period", place, "no Period");
    }
}

fn attributes(r: &Representation, at: &str, found: &mut Findings) {
    let mut missing = Vec::new();
    for (name, there) in
        [("bandwidth", r.bandwidth.is_some()), ("mimeType", r.mime.is_some()), ("codecs", r.codecs.is_some())]
    {
        missing.extend((!there).then_some(name));
    }
    if r.is_video() {
        for (name, there) in [("width and height", r.size.is_some()), ("frameRate", r.frame_rate.is_some())] {
            missing.extend((!there).then_some(name));
        }
    }
    if !missing.is_empty() {
        found.violation("dash.attributes", at, format!("no {}", missing.join(", ")));
    }
}

fn template_rules(template: &Template, id: &str, at: &str, found: &mut Findings) {
    if template.timescale.is_none() {
        found.violation("dash.timescale", at, "SegmentTemplate without timescale");
    }
    let with = Fill { id, bandwidth: 1, number: 1, time: 1 };
    for (name, text) in [("media", &template.media), ("initialization", &template.header)] {
        match text.as_deref().map(|text| fill(text, with)) {
            None => found.violation("dash.template", at, format!("no {name}")),
            Some(Err(fault)) => found.violation("dash.template", at, format!("{name}: {fault}")),
            Some(Ok(_)) => {}
        }
    }
    let media = template.media.as_deref().unwrap_or_default();
    if !media.contains("$Number") && !media.contains("$Time") {
        found.violation("dash.template", at, format!("media {media:?} names one segment alone"));
    }
    if template.duration.is_none() == template.timeline.is_none() {
        found.violation("dash.template", at, "not exactly one of duration and SegmentTimeline");
    }
    if template.duration.is_some() && media.contains("$Time") && template.timeline.is_none() {
        found.note("dash.template", at, "$Time$ without SegmentTimeline");
    }
    match template.early {
        None if template.timeline.is_some() => {
            found.violation("dash.offset", at, "availabilityTimeOffset INF with a SegmentTimeline");
        }
        Some(early) if early > 0 => {
            let length = template.duration.map(|d| i128::from(d) * 1_000_000 / i128::from(template.scale()));
            if length.is_some_and(|length| i128::from(early) >= length) {
                let text = format!("availabilityTimeOffset {early} µs, segments of {length:?}");
                found.violation("dash.offset", at, text);
            }
            if template.complete != Some(false) {
                found.violation(
                    "dash.offset",
                    at,
                    "availabilityTimeOffset without availabilityTimeComplete=false",
                );
            }
        }
        _ => {}
    }
}

/// Whether the template offers segments before they are complete.
pub(super) fn chunked(template: &Template) -> bool {
    template.complete == Some(false) && template.early.is_some_and(|early| early > 0)
}

fn low_latency(mpd: &Mpd, set: &Set, r: &Representation, at: &str, found: &mut Findings) {
    if !mpd.dynamic || !r.template.as_ref().is_some_and(chunked) {
        return;
    }
    if !mpd.latency {
        found.violation("dash.latency", at, "no ServiceDescription with a Latency@target");
    }
    if !set.producer {
        found.violation("dash.producer", at, "no ProducerReferenceTime in its AdaptationSet");
    }
}
