//! Parts and hints of a low-latency list, on their way to those who fetch.

use super::super::list::List;
use super::media::Work;
use super::{Hinted, Shared};
use crate::fetch::Answer;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::spawn_local;

/// Bodies that take longer than this from their first byte to the last were not whole when they began.
const BURST: Duration = Duration::from_millis(50);
/// Hints whose answers are kept.
const KEPT: usize = 16;

/// Queues parts that are new and asks for what is hinted at. Whether there was a new part.
pub(super) fn take(shared: &Rc<Shared>, at: usize, list: &List, work: &UnboundedSender<Work>) -> bool {
    let mut fresh = false;
    // At the start the newest segments alone: what is older comes whole.
    let open = list.open.iter().map(|o| o.msn);
    let numbers: Vec<u64> = list.entries.iter().rev().take(2).map(|e| e.msn).rev().chain(open).collect();
    for msn in numbers {
        let map = match &list.open {
            Some(open) if open.msn == msn => open.map.clone(),
            _ => list.entries.iter().find(|e| e.msn == msn).and_then(|e| e.map.clone()),
        };
        for (index, part) in list.parts(msn).iter().enumerate() {
            let key = (msn, index as u64);
            if shared.state().renditions[at].queued_part(key) {
                fresh = true;
                let _ = work.send(Work::Part { msn, index: key.1, part: part.clone(), map: map.clone() });
            }
        }
    }
    for hint in list.hints.iter().filter(|h| h.kind == "PART") {
        let (url, name) = {
            let mut state = shared.state();
            let r = &mut state.renditions[at];
            let Ok(url) = r.url.join(&hint.uri) else { continue };
            let key = format!("{url} {:?}", hint.start);
            if !r.hinted.insert(key) {
                continue;
            }
            (url, r.name.clone())
        };
        let target = Duration::from_secs(list.target.unwrap_or(6));
        // Ranges to an unknown end need an answer that grows, which is another matter than whole parts.
        if hint.start.is_none() {
            spawn_local(ask(shared.clone(), at, name, url, target * 3));
        }
    }
    fresh
}

/// Asks for a part that does not exist yet.
async fn ask(shared: Rc<Shared>, at: usize, name: String, url: crate::fetch::Url, patience: Duration) {
    let Ok(answer) = shared.client.request("GET", &url, &[], patience).await else { return };
    let place = format!("{name}, hinted {}", url.path());
    if answer.status == 200 {
        delivery(&shared, &place, &answer);
    }
    let mut state = shared.state();
    let r = &mut state.renditions[at];
    r.hints.insert(url.to_string(), Hinted { body: answer.body, status: answer.status });
    while r.hints.len() > KEPT {
        r.hints.pop_first();
    }
}

/// A part goes out whole, at the speed of the link.
fn delivery(shared: &Shared, place: &str, answer: &Answer) {
    let burst = answer.burst();
    if burst > BURST && answer.pieces.len() > 1 {
        let text = format!("{} bytes came over {:.0} ms", answer.body.len(), burst.as_secs_f64() * 1e3);
        shared.broken("ll.hint-burst", place, text);
    }
}
