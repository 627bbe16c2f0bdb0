//! Segments, parts and initialization sections: fetched in the order they are listed, and checked.

use super::super::across::Checked;
use super::super::list::{Entry, Map, Part};
use super::super::outcome::segment_path;
use super::{Rendition, Role, Shared, keys};
use crate::cmafcheck;
use crate::fetch::{Answer, PATIENCE, Url};
use crate::tscheck;
use bytes::Bytes;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// I-frames of a list are samples of what it holds: one in so many is fetched.
const IFRAMES_EACH: u64 = 5;
/// A part that left is asked for when it has so much longer to stay.
const PART_MARGIN: Duration = Duration::from_millis(1200);
/// Parts of so many segments are kept until their segment comes.
const PARTS_KEPT: u64 = 4;

/// What a list brought.
pub(super) enum Work {
    Segment(Entry),
    Part {
        msn: u64,
        index: u64,
        part: Part,
        map: Option<Map>,
    },
    /// Segments may have left the list.
    Removed,
}

/// Takes work until there is no more.
pub(super) async fn check(shared: Rc<Shared>, at: usize, mut queue: UnboundedReceiver<Work>) {
    while let Some(work) = queue.recv().await {
        let abandoned = shared.stopped() && !shared.state().renditions[at].ended;
        if abandoned {
            break;
        }
        let role = shared.state().renditions[at].role;
        match work {
            Work::Segment(entry) if role == Role::IFrames => iframe(&shared, at, &entry).await,
            Work::Segment(entry) => segment(&shared, at, &entry).await,
            Work::Part { msn, index, part, map } => {
                one_part(&shared, at, (msn, index), &part, map.as_ref()).await
            }
            Work::Removed => {
                removed(&shared, at).await;
                parts_left(&shared, at).await;
            }
        }
    }
}

/// Range header of an offset and a length.
pub(super) fn ranged(range: Option<(u64, u64)>) -> Vec<(&'static str, String)> {
    let text = |(offset, length): (u64, u64)| format!("bytes={offset}-{}", offset + length.max(1) - 1);
    range.map(|range| ("range", text(range))).into_iter().collect()
}

/// A media request; what is wrong with the answer is told under `rule`.
async fn fetch(
    shared: &Shared,
    rule: &'static str,
    place: &str,
    url: &Url,
    range: Option<(u64, u64)>,
) -> Option<Answer> {
    let headers = ranged(range);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let answer = match shared.client.request("GET", url, &headers, PATIENCE).await {
        Ok(answer) => answer,
        Err(error) => {
            if !shared.options.outages || rule != "M13" {
                shared.broken(rule, place, format!("{error:#}"));
            }
            return None;
        }
    };
    let want = if range.is_some() { 206 } else { 200 };
    if matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        shared.broken("http.redirect", place, format!("status {}", answer.status));
        return shared.client.get_anywhere(url, &headers).await.ok().filter(|a| a.status == want);
    }
    if answer.status != want || answer.body.is_empty() {
        shared.broken(rule, place, format!("status {}, {} bytes", answer.status, answer.body.len()));
        return None;
    }
    Some(answer)
}

/// Rules of how media is served.
fn served(shared: &Shared, place: &str, answer: &Answer, body: &[u8], encrypted: bool) {
    let mut state = shared.state();
    let found = &mut state.found;
    let kind = answer.media_type();
    let right: &[&str] = if encrypted {
        &[]
    } else if cmafcheck::is_bmff(body) {
        &["video/mp4", "audio/mp4", "video/iso.segment", "audio/iso.segment", "application/mp4"]
    } else if body.first() == Some(&0x47) {
        &["video/mp2t"]
    } else if body.starts_with(b"WEBVTT") {
        &["text/vtt"]
    } else if body.starts_with(b"ID3") || body.starts_with(&[0xff, 0xf1]) {
        &["audio/aac", "audio/mpeg", "audio/ac3", "audio/eac3"]
    } else {
        &[]
    };
    if !right.is_empty() && !right.contains(&kind.as_str()) {
        found.violation("http.type", place, format!("media of type {kind:?}"));
    }
    if answer.header("content-encoding").is_some() {
        found.violation("http.encoding", place, "media is compressed for transport");
    }
    if answer.header("access-control-allow-origin").is_none() {
        found.violation("http.cors", place, "no Access-Control-Allow-Origin");
    }
    const KNOWN: [&str; 16] = [
        "ts", "m4s", "mp4", "m4a", "m4v", "aac", "cmfv", "cmfa", "cmft", "vtt", "webvtt", "ac3", "ec3",
        "flac", "mp3", "m2ts",
    ];
    let path = answer.url.path();
    if path.rsplit_once('.').is_none_or(|(_, extension)| !KNOWN.contains(&extension)) {
        found.violation("http.extension", place, format!("{path} ends in no extension of media"));
    }
}

/// Makes the header of a MAP the one in force. Whether there is one.
async fn header(shared: &Shared, at: usize, map: &Map, discontinuity: bool) -> bool {
    let (url, name) = {
        let state = shared.state();
        let r = &state.renditions[at];
        if r.map.as_ref() == Some(map) {
            return r.cmaf.ready();
        }
        let Ok(url) = r.url.join(&map.uri) else { return false };
        (url, r.name.clone())
    };
    let place = format!("{name} MAP {}", map.uri);
    let key = (url.to_string(), map.range);
    let known = shared.state().inits.get(&key).cloned();
    let bytes = match known {
        Some(bytes) => bytes,
        None => {
            let Some(answer) = fetch(shared, "M21", &place, &url, map.range).await else { return false };
            served(shared, &place, &answer, &answer.body, false);
            shared.state().inits.insert(key, answer.body.clone());
            answer.body
        }
    };
    let mut state = shared.state();
    let r = &mut state.renditions[at];
    r.cmaf.init(&place, discontinuity || r.map.is_none(), &bytes);
    r.map = Some(map.clone());
    if let Some(dir) = &r.dir {
        let count = r.inits.len();
        let file = dir.join(format!("init-{count}.mp4"));
        if std::fs::write(&file, &bytes).is_ok() {
            r.inits.push(file);
        }
    }
    r.cmaf.ready()
}

/// Downloads a segment that a list has just named, and checks it.
async fn segment(shared: &Shared, at: usize, entry: &Entry) {
    let (url, place, listed, missed, discontinuity) = {
        let mut state = shared.state();
        let r = &mut state.renditions[at];
        let place = format!("{} segment {}", r.name, entry.msn);
        let Some(listed) = r.history.listed().get(&entry.msn).cloned() else { return };
        let last_number = r.last_number.replace(entry.discontinuity_number);
        let last_msn = r.last_msn.replace(entry.msn);
        let discontinuity = last_number.is_some_and(|n| n != entry.discontinuity_number);
        let missed = last_msn.is_none_or(|m| m + 1 != entry.msn);
        (r.url.join(&entry.uri), place, listed, missed, discontinuity)
    };
    let bare = |listed| Checked { listed, facts: None };
    let Ok(url) = url else {
        shared.broken("file.text", &place, format!("{} is no reference", entry.uri));
        return;
    };
    let answer = if entry.gap { None } else { fetch(shared, "M13", &place, &url, entry.range).await };
    let Some(answer) = answer else {
        shared.state().renditions[at].segments.insert(entry.msn, bare(listed));
        return;
    };
    delivered(shared, at, entry, &place, &answer);
    let encrypted = entry.key.as_deref().is_some_and(|key| !key.starts_with("METHOD=NONE"));
    let body = keys::open(shared, at, entry, &place, answer.body.clone()).await;
    served(shared, &place, &answer, body.as_deref().unwrap_or_default(), encrypted);
    let Some(body) = body else {
        shared.state().renditions[at].segments.insert(entry.msn, bare(listed));
        return;
    };
    let words = tscheck::Entry { discontinuity, missed };
    let fragmented = cmafcheck::is_bmff(&body);
    let mut ready = false;
    if fragmented {
        match &entry.map {
            Some(map) => ready = header(shared, at, map, discontinuity).await,
            None => shared.broken("M21", &place, "fragmented MP4 without EXT-X-MAP"),
        }
    }
    whole(shared, at, entry, &place, &answer.body);
    let mut state = shared.state();
    let now = shared.now();
    let r = &mut state.renditions[at];
    r.fragmented = fragmented;
    r.cmaf.findings.set_time(now);
    let facts = if ready {
        Some(r.cmaf.segment(&place, words, &body))
    } else if body.first() == Some(&0x47) {
        r.ts.set_time(now);
        Some(r.ts.segment(&place, words, &body))
    } else {
        Some(tscheck::SegmentFacts {
            name: place.clone(),
            bytes: body.len() as u64,
            video: None,
            audio: None,
        })
    };
    if let Some(dir) = &r.dir {
        // What cannot be written is missed where the files are put together.
        let _ = std::fs::write(segment_path(dir, entry.msn), &body);
        r.init_of.insert(entry.msn, r.inits.len());
    }
    r.segments.insert(entry.msn, Checked { listed, facts });
}

/// M13 and M27, and how long it took.
fn delivered(shared: &Shared, at: usize, entry: &Entry, place: &str, answer: &Answer) {
    let mut guard = shared.state();
    let state = &mut *guard;
    if answer.header("content-length").is_none() && !answer.multiplexed {
        state.found.violation("M13", place, "no Content-Length: not whole when it was listed?");
    }
    if answer.total > Duration::from_secs(2) {
        state.found.violation("M13", place, format!("took {:?} to come", answer.total));
    }
    let r = &mut state.renditions[at];
    r.slowest_fetch = r.slowest_fetch.max(answer.total);
    if let Some(kbit) = entry.bitrate {
        let actual = answer.body.len() as f64 * 8e3 / entry.micros.max(1) as f64;
        if (actual / kbit.max(1) as f64 - 1.0).abs() > 0.1 {
            state.found.violation("M27", place, format!("BITRATE {kbit}, the segment has {actual:.0}"));
        }
    }
}

/// ll.part-media: the parts, put together, are the segment.
fn whole(shared: &Shared, at: usize, entry: &Entry, place: &str, body: &[u8]) {
    let mut guard = shared.state();
    let state = &mut *guard;
    let r = &mut state.renditions[at];
    let own: Vec<(u64, Bytes)> = r
        .parts
        .range((entry.msn, 0)..(entry.msn + 1, 0))
        .map(|((_, index), bytes)| (*index, bytes.clone()))
        .collect();
    r.parts.retain(|(msn, _), _| *msn > entry.msn && *msn < entry.msn + PARTS_KEPT);
    let all = entry.parts.len();
    if all == 0 || own.len() != all || own.iter().enumerate().any(|(n, (index, _))| n as u64 != *index) {
        return;
    }
    let joined: Vec<u8> = own.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    if joined != body {
        let same = joined.iter().zip(body).take_while(|(a, b)| a == b).count();
        let text = format!(
            "{all} parts have {} bytes, the segment {}, they differ from byte {same} on",
            joined.len(),
            body.len()
        );
        state.found.violation("ll.part-media", place, text);
    }
}

/// A part that was just listed.
async fn one_part(shared: &Shared, at: usize, (msn, index): (u64, u64), part: &Part, map: Option<&Map>) {
    if part.gap {
        return;
    }
    let (url, place) = {
        let state = shared.state();
        let r = &state.renditions[at];
        (r.url.join(&part.uri), format!("{} part {msn}.{index}", r.name))
    };
    let Ok(url) = url else { return };
    let Some(answer) = fetch(shared, "ll.part-there", &place, &url, part.range).await else { return };
    served(shared, &place, &answer, &answer.body, false);
    if let Some(map) = map {
        // A new header is checked with the segment it belongs to; parts are read with the one in force.
        let first = shared.state().renditions[at].map.is_none();
        if first {
            header(shared, at, map, true).await;
        }
    }
    let mut guard = shared.state();
    let state = &mut *guard;
    let r = &mut state.renditions[at];
    r.parts_fetched += 1;
    if let Some(hinted) = r.hints.remove(url.as_str())
        && part.range.is_none()
    {
        if hinted.status != 200 {
            state.found.violation(
                "ll.hint-body",
                &place,
                format!("the hint was answered with {}", hinted.status),
            );
        } else if hinted.body != answer.body {
            let text =
                format!("the hint gave {} bytes, the part has {}", hinted.body.len(), answer.body.len());
            state.found.violation("ll.hint-body", &place, text);
        }
    }
    let same_map = map.is_none() || map == r.map.as_ref();
    if let Some(facts) = r.cmaf.part(&answer.body).filter(|_| same_map) {
        if part.independent && !facts.independent {
            state.found.violation(
                "ll.independent",
                &place,
                "INDEPENDENT=YES, but no key picture stands first",
            );
        }
        if !part.independent && facts.independent && r.role != Role::Audio && r.cmaf.has_video() {
            state.found.violation(
                "ll.flagged",
                &place,
                "begins with a key picture and does not say INDEPENDENT=YES",
            );
        }
        let off = (facts.micros - part.micros).abs();
        // The last sample's duration may be told for the next one's sake; a picture is the most it may differ.
        if off > 42_000 {
            let text = format!("DURATION {} µs, its samples last {}", part.micros, facts.micros);
            state.found.violation("ll.part-duration", &place, text);
        }
    }
    r.parts.insert((msn, index), answer.body);
}

/// One picture of an I-frame list.
async fn iframe(shared: &Shared, at: usize, entry: &Entry) {
    let (url, place) = {
        let mut state = shared.state();
        let r = &mut state.renditions[at];
        r.last_msn = Some(entry.msn);
        (r.url.join(&entry.uri), format!("{} I-frame {}", r.name, entry.msn))
    };
    let Ok(url) = url else { return };
    if entry.gap || !entry.msn.is_multiple_of(IFRAMES_EACH) {
        return;
    }
    let Some(answer) = fetch(shared, "M13", &place, &url, entry.range).await else { return };
    served(shared, &place, &answer, &answer.body, entry.key.is_some());
    if entry.key.as_deref().is_some_and(|key| !key.starts_with("METHOD=NONE")) {
        return;
    }
    let fault = if cmafcheck::is_bmff(&answer.body) {
        let Some(map) = &entry.map else {
            shared.broken("M21", &place, "fragmented MP4 without EXT-X-MAP");
            return;
        };
        if !header(shared, at, map, true).await {
            return;
        }
        shared.state().renditions[at].cmaf.iframe_fault(&answer.body)
    } else {
        tscheck::iframe_fault(&answer.body)
    };
    if let Some(text) = fault {
        shared.broken("iframe.key", &place, text);
    }
}

/// ll.part-stays: just before it may go.
async fn parts_left(shared: &Shared, at: usize) {
    let now = shared.now();
    let due: Vec<(Duration, Url)> = {
        let mut state = shared.state();
        let left = &mut state.renditions[at].part_left;
        let (due, rest) = std::mem::take(left).into_iter().partition(|(until, _)| now + PART_MARGIN > *until);
        *left = rest;
        due
    };
    for (until, url) in due {
        let status = shared.client.request("HEAD", &url, &[], PATIENCE).await.map(|a| a.status);
        if shared.now() < until && status.as_ref().is_ok_and(|s| *s != 200) {
            let name = shared.state().renditions[at].name.clone();
            let text = format!("status {} within three target durations", status.unwrap_or(0));
            shared.broken("ll.part-stays", format!("{name} {}", url.path()), text);
        }
    }
}

/// M14: once right after a segment left the list, and once just before it may go.
async fn removed(shared: &Shared, at: usize) {
    let now = shared.now();
    let due: Vec<(u64, Url, Duration)> = {
        let state = shared.state();
        let r: &Rendition = &state.renditions[at];
        let margin = Duration::from_millis(300);
        r.history
            .listed()
            .values()
            .filter(|l| l.removed.is_some() && !l.entry.gap && now < l.needed_until())
            .filter(|l| {
                let done = r.gone_checked.get(&l.entry.msn).copied().unwrap_or(0);
                done == 0 || (done == 1 && now + margin + shared.options.poll > l.needed_until())
            })
            .filter_map(|l| Some((l.entry.msn, r.url.join(&l.entry.uri).ok()?, l.needed_until())))
            .collect()
    };
    for (msn, url, until) in due {
        *shared.state().renditions[at].gone_checked.entry(msn).or_default() += 1;
        let status = shared.client.request("HEAD", &url, &[], PATIENCE).await.map(|a| a.status);
        // The answer counts only if it was asked for and came in time.
        if shared.now() < until && status.as_ref().is_ok_and(|s| *s != 200) && !shared.options.outages {
            let left = until.saturating_sub(now).as_secs_f64();
            let text = format!("status {} when it had to stay {left:.1} s longer", status.unwrap_or(0));
            let name = shared.state().renditions[at].name.clone();
            shared.broken("M14", format!("{name} segment {msn}"), text);
        }
    }
}
