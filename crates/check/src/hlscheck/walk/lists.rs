//! One list followed: polled, or asked for ahead of time as low-latency players do.

use super::super::delta;
use super::super::list::List;
use super::super::media as reader;
use super::media::Work;
use super::{Role, Shared, parts};
use crate::fetch::{Answer, PATIENCE, Url};
use crate::report::Findings;
use anyhow::Result;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;
use tokio::time::sleep;

/// So many lists, one delta update is asked for beside.
const DELTA_EACH: u64 = 5;
/// A blocked request is given up after three target durations and this.
const BLOCK_SLACK: Duration = Duration::from_secs(5);

/// Follows the list of the rendition `at` until it ends or the watch does.
pub(super) async fn follow(shared: Rc<Shared>, at: usize) {
    let (work, queue) = unbounded_channel();
    let media = spawn_local(super::media::check(shared.clone(), at, queue));
    if let Err(error) = lists(&shared, at, &work).await {
        let name = shared.state().renditions[at].name.clone();
        shared.state().error.get_or_insert(error.context(name));
    }
    drop(work);
    let _ = media.await;
}

async fn lists(shared: &Rc<Shared>, at: usize, work: &UnboundedSender<Work>) -> Result<()> {
    let mut looks = 0;
    while !shared.stopped() {
        let round = Instant::now();
        let before = shared.state().renditions[at].history.newest().cloned();
        let ahead = before.as_ref().and_then(|list| asks_ahead(shared, at, list));
        let advanced = match (&before, ahead) {
            (Some(before), Some(want)) => blocked(shared, at, before, want, looks, work).await?,
            _ => plain(shared, at, work).await?,
        };
        looks += 1;
        if shared.state().renditions[at].ended {
            if ahead.is_some() {
                ended(shared, at).await;
            }
            break;
        }
        // Plain lists are polled. A blocked answer that brought nothing must not become a storm.
        if ahead.is_none() || !advanced {
            sleep(shared.options.poll.saturating_sub(round.elapsed())).await;
        }
    }
    Ok(())
}

/// Number and part that a low-latency player asks for next.
fn asks_ahead(shared: &Shared, at: usize, list: &List) -> Option<(u64, Option<u64>)> {
    let role = shared.state().renditions[at].role;
    if !shared.options.low_latency || role == Role::IFrames || !list.control.can_block || list.ended {
        return None;
    }
    if !list.low_latency() {
        return Some((list.next_msn(), None));
    }
    Some((list.next_msn(), Some(list.open.as_ref().map_or(0, |open| open.parts.len() as u64))))
}

/// The list's URL with the directives of a blocking request, in their order (§6.3.2).
pub(super) fn with_directives(url: &Url, msn: Option<u64>, part: Option<u64>, skip: Option<&str>) -> Url {
    let mut url = url.clone();
    {
        let mut pairs = url.query_pairs_mut();
        if let Some(msn) = msn {
            pairs.append_pair("_HLS_msn", &msn.to_string());
        }
        if let Some(part) = part {
            pairs.append_pair("_HLS_part", &part.to_string());
        }
        if let Some(skip) = skip {
            pairs.append_pair("_HLS_skip", skip);
        }
    }
    url
}

/// A plain look. Whether something was new.
async fn plain(shared: &Rc<Shared>, at: usize, work: &UnboundedSender<Work>) -> Result<bool> {
    let (url, name, etag) = {
        let state = shared.state();
        let r = &state.renditions[at];
        (r.url.clone(), r.name.clone(), r.etag.clone())
    };
    let mut headers = vec![("accept-encoding", "gzip")];
    headers.extend(etag.as_deref().map(|etag| ("if-none-match", etag)));
    let answer = shared.client.request("GET", &url, &headers, PATIENCE).await;
    let place = format!("{name} at {:.1} s", shared.now().as_secs_f64());
    match answer {
        Err(error) => {
            unreachable(shared, at, &place, &format!("{error:#}"));
            Ok(false)
        }
        Ok(answer) if answer.status == 304 && etag.is_some() => {
            let same = shared.state().renditions[at].history.newest().cloned();
            match same {
                Some(list) => take(shared, at, list, work),
                None => Ok(false),
            }
        }
        Ok(answer) if answer.status == 200 => {
            let list = read(shared, at, &answer, &place)?;
            if list.skip.is_some() {
                shared.broken("ll.delta-form", &place, "SKIP in an answer that was not asked for it");
                return Ok(false);
            }
            take(shared, at, list, work)
        }
        Ok(answer) => {
            unreachable(shared, at, &place, &format!("status {}", answer.status));
            Ok(false)
        }
    }
}

/// A look ahead. Whether something was new.
async fn blocked(
    shared: &Rc<Shared>,
    at: usize,
    before: &List,
    (msn, part): (u64, Option<u64>),
    looks: u64,
    work: &UnboundedSender<Work>,
) -> Result<bool> {
    let (url, name) = {
        let state = shared.state();
        (state.renditions[at].url.clone(), state.renditions[at].name.clone())
    };
    let patience = Duration::from_secs(before.target.unwrap_or(6)) * 3 + BLOCK_SLACK;
    let headers = [("accept-encoding", "gzip")];
    let full_url = with_directives(&url, Some(msn), part, None);
    let full = shared.client.request("GET", &full_url, &headers, patience);
    let offered = before.control.can_skip_until.is_some() && looks % DELTA_EACH == 1;
    let skip = if before.control.can_skip_dateranges { "v2" } else { "YES" };
    let delta_url = with_directives(&url, Some(msn), part, Some(skip));
    let (full, delta) = if offered {
        let (full, delta) = tokio::join!(full, shared.client.request("GET", &delta_url, &headers, patience));
        (full, Some(delta))
    } else {
        (full.await, None)
    };
    let now = shared.now();
    let want = part.map_or(format!("{msn}"), |part| format!("{msn}.{part}"));
    let place = format!("{name} at {:.1} s, asked for {want}", now.as_secs_f64());
    let answer = match full {
        Ok(answer) if answer.status == 200 => answer,
        Ok(answer) if answer.status == 503 => {
            shared.broken("ll.block-wait", &place, format!("503 after {:.1} s", answer.total.as_secs_f64()));
            return Ok(false);
        }
        Ok(answer) => {
            unreachable(shared, at, &place, &format!("status {}", answer.status));
            return Ok(false);
        }
        Err(error) => {
            unreachable(shared, at, &place, &format!("{error:#}"));
            return Ok(false);
        }
    };
    let list = read(shared, at, &answer, &place)?;
    if list.skip.is_some() {
        shared.broken("ll.delta-form", &place, "SKIP in an answer that was not asked for it");
        return Ok(false);
    }
    if !list.ended && !list.holds(msn, part) {
        let has = list.last_part().map_or(format!("{:?}", list.last_msn()), |(m, p)| format!("{m}.{p}"));
        shared.broken(
            "ll.block",
            &place,
            format!("answered after {:?} with a list up to {has}", answer.total),
        );
    }
    let limit = Duration::from_secs(before.target.unwrap_or(0)) * 3 + Duration::from_millis(500);
    if answer.total > limit {
        shared.broken("ll.block-wait", &place, format!("answered after {:.2} s", answer.total.as_secs_f64()));
    }
    if let Some(Ok(delta)) = delta
        && delta.status == 200
    {
        update(shared, before, &list, &delta, &place);
    }
    if answer.total > Duration::from_millis(20) {
        // It was held: until shortly before it came there was nothing new.
        shared.state().renditions[at].history.waited(now);
    }
    take(shared, at, list, work)
}

/// A delta update beside the whole list.
fn update(shared: &Shared, before: &List, full: &List, answer: &Answer, place: &str) {
    let place = format!("{place}, delta");
    let mut found = Findings::default();
    let Ok(text) = answer.plain() else { return };
    let delta = reader::parse(&text, &place, &mut found);
    let due = delta::skippable(full).min(delta::skippable(before));
    match &delta.skip {
        None if delta.ended => {}
        None if due > 0 => {
            found.violation("ll.delta", &place, format!("no SKIP, though {due} segments could be skipped"));
        }
        None => {}
        Some(_) => match delta::merge(before, &delta) {
            Ok(merged) => delta::compare(&merged, &delta, full, &place, &mut found),
            Err(text) => found.violation("ll.delta-merge", &place, text),
        },
    }
    shared.state().found.adopt(found);
}

/// A finished list answers at once, whatever is asked of it.
async fn ended(shared: &Rc<Shared>, at: usize) {
    let (url, name, next) = {
        let state = shared.state();
        let r = &state.renditions[at];
        (r.url.clone(), r.name.clone(), r.history.newest().map_or(0, List::next_msn))
    };
    if !shared.options.probes {
        return;
    }
    let asked = with_directives(&url, Some(next), Some(0), Some("YES"));
    let place = format!("{name} behind ENDLIST, asked for {next}.0");
    match shared.client.request("GET", &asked, &[], PATIENCE).await {
        Ok(answer) if answer.status == 200 && answer.head < Duration::from_secs(1) => {
            let list = reader::parse(&answer.body, &place, &mut Findings::default());
            if !list.ended || list.skip.is_some() {
                shared.broken("ll.block-ended", place, "not the whole list with its ENDLIST");
            }
        }
        Ok(answer) => {
            let text = format!("status {} after {:.2} s", answer.status, answer.head.as_secs_f64());
            shared.broken("ll.block-ended", place, text);
        }
        Err(error) => shared.broken("ll.block-ended", place, format!("{error:#}")),
    }
}

/// Reads an answer's list and stores its text.
fn read(shared: &Shared, at: usize, answer: &Answer, place: &str) -> Result<List> {
    shared.list_headers(answer, place);
    let text = answer.plain()?;
    let mut guard = shared.state();
    let state = &mut *guard;
    let r = &mut state.renditions[at];
    r.etag = answer.header("etag").map(str::to_owned);
    let mut found = Findings::default();
    let list = reader::parse(&text, place, &mut found);
    if let Some(dir) = &r.dir {
        std::fs::write(dir.join(format!("list-{:05}.m3u8", r.history.versions() + 1)), &text)?;
    }
    state.found.adopt(found);
    Ok(list)
}

/// Hands a list to the history, and what is new in it to those who fetch. Whether something was new.
fn take(shared: &Rc<Shared>, at: usize, list: List, work: &UnboundedSender<Work>) -> Result<bool> {
    let now = shared.now();
    let mut guard = shared.state();
    let state = &mut *guard;
    let r = &mut state.renditions[at];
    if r.role == Role::IFrames && !list.iframes_only {
        state.found.violation("iframe.only", &r.name, "no EXT-X-I-FRAMES-ONLY");
    }
    if let Some(before) = r.history.newest().filter(|l| l.low_latency()) {
        let stay = now + Duration::from_secs(list.target.unwrap_or(0)) * 3;
        let lost = before.entries.iter().filter(|e| !e.parts.is_empty() && list.parts(e.msn).is_empty());
        let urls =
            lost.filter_map(|e| e.parts.iter().find(|p| !p.gap)).filter_map(|p| r.url.join(&p.uri).ok());
        r.part_left.extend(urls.map(|url| (stay, url)));
    }
    let fresh = r.history.see(now, list.clone());
    r.ended = list.ended;
    if let Some(last) = fresh.last().filter(|e| !e.gap && r.history.versions() > 1)
        && let Some(date) = last.date
    {
        let lag = (jiff::Timestamp::now().as_microsecond() - date - last.micros) / 1000;
        state.publish_lag_ms.push(lag);
    }
    let mut advanced = !fresh.is_empty();
    if shared.options.low_latency && list.low_latency() {
        advanced |= r.newest.see(now, list.last_part());
        super::super::reports::see(state, at, now, &list);
        drop(guard);
        advanced |= parts::take(shared, at, &list, work);
        for entry in fresh {
            let _ = work.send(Work::Segment(entry));
        }
    } else {
        drop(guard);
        for entry in fresh {
            let _ = work.send(Work::Segment(entry));
        }
    }
    let _ = work.send(Work::Removed);
    Ok(advanced)
}

fn unreachable(shared: &Shared, at: usize, place: &str, detail: &str) {
    if shared.options.outages {
        let mut state = shared.state();
        state.renditions[at].history.outage();
        state.renditions[at].etag = None;
        super::lock(&shared.progress).outages += 1;
    } else if !shared.stopped() {
        shared.broken("http.list", place, detail);
    }
}
