//! Requests that no player makes, to see what the server says: HTTP by the book, and directives at their edges.

use super::super::list::List;
use super::super::media as reader;
use super::lists::with_directives;
use super::{Role, Shared};
use crate::fetch::{Answer, PATIENCE, Url};
use crate::probe;
use crate::report::Findings;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;

/// An answer that had to wait for nothing.
const AT_ONCE: Duration = Duration::from_secs(1);

/// All of them, once the first lists and segments are there.
pub(super) async fn all(shared: Rc<Shared>, multivariant: Url) {
    let mut left = 100;
    while shared.state().renditions.iter().any(|r| r.segments.is_empty() && r.role != Role::IFrames)
        && left > 0
    {
        if shared.stopped() {
            return;
        }
        left -= 1;
        sleep(Duration::from_millis(200)).await;
    }
    let (lists, low_latency) = {
        let state = shared.state();
        let lists: Vec<_> =
            state.renditions.iter().map(|r| (r.name.clone(), r.url.clone(), r.role)).collect();
        (lists, state.renditions.iter().any(|r| r.history.newest().is_some_and(List::low_latency)))
    };
    let mut found = Findings::default();
    found.set_time(shared.now());
    let target = shared.state().renditions.iter().find_map(|r| r.history.newest()?.target);
    probe::list(&shared.client, &multivariant, "multivariant", None, &mut found).await;
    for (name, url, role) in lists
        .iter()
        .filter(|l| l.2 == Role::Variant)
        .take(1)
        .chain(lists.iter().filter(|l| l.2 == Role::Audio).take(1))
    {
        probe::list(&shared.client, url, name, target, &mut found).await;
        let at = shared.state().renditions.iter().position(|r| r.url == *url && r.role == *role);
        if let Some(at) = at {
            let segment = {
                let state = shared.state();
                let r = &state.renditions[at];
                let list = r.history.newest();
                list.and_then(|l| l.entries.iter().rev().find(|e| !e.gap && e.range.is_none()))
                    .and_then(|e| r.url.join(&e.uri).ok())
            };
            if let Some(url) = segment {
                probe::media(&shared.client, &url, &format!("{name} segment"), target, &mut found).await;
            }
            let map = {
                let state = shared.state();
                let r = &state.renditions[at];
                r.map.as_ref().filter(|m| m.range.is_none()).and_then(|m| r.url.join(&m.uri).ok())
            };
            if let Some(url) = map {
                probe::media(&shared.client, &url, &format!("{name} MAP"), target, &mut found).await;
            }
        }
    }
    if low_latency && multivariant.scheme() == "https" {
        let multiplexed = shared.client.get(&multivariant).await.is_ok_and(|a| a.multiplexed);
        if !multiplexed {
            found.violation("http.h2", "multivariant", "served by HTTP/1.1");
        }
    }
    shared.state().found.append(found);
    for at in 0..lists.len() {
        directives(&shared, at).await;
    }
}

/// The edges of §6.2.5.2 on one list.
async fn directives(shared: &Shared, at: usize) {
    let (url, name, list) = {
        let state = shared.state();
        let r = &state.renditions[at];
        let blocks =
            r.history.newest().filter(|l| l.control.can_block && !l.ended && r.role != Role::IFrames);
        let Some(list) = blocks.cloned() else { return };
        (r.url.clone(), r.name.clone(), list)
    };
    if !shared.options.low_latency {
        return;
    }
    let target = Duration::from_secs(list.target.unwrap_or(6));
    let ask = async |msn: Option<u64>, part: Option<u64>| {
        shared
            .client
            .request("GET", &with_directives(&url, msn, part, None), &[], target * 3 + PATIENCE)
            .await
    };
    let parse = |answer: &Answer| reader::parse(&answer.body, "", &mut Findings::default());
    let told = |rule, what: &str, answer: &anyhow::Result<Answer>| {
        let text = match answer {
            Ok(answer) => format!("status {} after {:.2} s", answer.status, answer.head.as_secs_f64()),
            Err(error) => format!("{error:#}"),
        };
        shared.broken(rule, format!("{name}, asked for {what}"), text);
    };
    let old = ask(Some(list.first_msn), None).await;
    if !old.as_ref().is_ok_and(|a| a.status == 200 && a.head < AT_ONCE) {
        told("ll.block-old", &format!("{}", list.first_msn), &old);
    }
    let far = list.next_msn() + 10;
    let answer = ask(Some(far), None).await;
    if !answer.as_ref().is_ok_and(|a| a.status == 400 && a.head < AT_ONCE) {
        told(
            "ll.block-far",
            &format!("{far}, with {} the newest", list.next_msn().saturating_sub(1)),
            &answer,
        );
    }
    let answer = ask(None, Some(0)).await;
    if !answer.as_ref().is_ok_and(|a| a.status == 400) {
        told("ll.block-bad", "a part without a number", &answer);
    }
    let mut bad = url.clone();
    bad.query_pairs_mut().append_pair("_HLS_msn", "abc");
    let answer = shared.client.request("GET", &bad, &[], target * 3 + PATIENCE).await;
    if !answer.as_ref().is_ok_and(|a| a.status == 400) {
        told("ll.block-bad", "the number abc", &answer);
    }
    let now = shared.state().renditions[at].history.newest().cloned();
    if let Some(last) = now.as_ref().and_then(|l| l.entries.iter().rev().find(|e| !e.parts.is_empty())) {
        let (msn, count) = (last.msn, last.parts.len() as u64);
        let answer = ask(Some(msn), Some(count)).await;
        let holds = answer.as_ref().is_ok_and(|a| {
            a.status == 200 && {
                let l = parse(a);
                l.ended || l.holds(msn + 1, Some(0))
            }
        });
        if !holds {
            told("ll.block-end", &format!("{msn}.{count}, where {msn} has {count} parts"), &answer);
        }
    }
    let next = shared.state().renditions[at].history.newest().map_or(0, List::next_msn);
    let answer = ask(Some(next), None).await;
    // Without a part the whole segment is meant, or, as some players need, its first part.
    let holds = answer.as_ref().is_ok_and(|a| {
        a.status == 200 && {
            let l = parse(a);
            l.ended || l.holds(next, Some(0))
        }
    });
    if !holds {
        told("ll.block", &format!("{next}"), &answer);
    }
}
