//! Playlists and segments: what one snapshot says to one request. Pure; the router does the waiting.

use std::time::Duration;

use axum::http::StatusCode;
use hls::{
    lowlatency::{self, Directives, Standing},
    presentation::Family,
    snapshot::{Document, Phase, RenditionView, Snapshot},
};
use media::MediaSequence;

use crate::{
    headers::Ask,
    reply::{Content, FOREVER, Form, REVALIDATE, Reply},
};

/// RFC 8216 §4.
const PLAYLIST: &str = "application/vnd.apple.mpegurl";
/// MPEG-2 transport stream, RFC 3555 §4.2.9 and RFC 8216 §3.2.
const TRANSPORT: &str = "video/mp2t";

/// What a snapshot says.
pub(crate) enum Verdict {
    /// This is the answer, good or bad.
    Answer(Reply),
    /// The next snapshot may have it.
    Wait(Patience),
}

/// How long a request may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// For a stream that is starting.
    Start,
    /// For what a list has told will come, three target durations at most (draft-pantos-hls-rfc8216bis §6.2.5.2).
    Held(Duration),
}

/// The multivariant playlist.
pub(crate) fn multivariant(snapshot: &Snapshot, ask: &Ask<'_>) -> Verdict {
    match (snapshot.multivariant(), snapshot.phase()) {
        (Some(document), _) => Verdict::Answer(list(document, ask)),
        (None, Phase::Ended) => Verdict::Answer(never_began(snapshot)),
        (None, _) => Verdict::Wait(Patience::Start),
    }
}

/// The multivariant playlist of fragmented MP4, in low latency.
pub(crate) fn low_latency(snapshot: &Snapshot, ask: &Ask<'_>) -> Verdict {
    match (snapshot.low_latency(), snapshot.phase()) {
        (Some(document), _) => Verdict::Answer(list(document, ask)),
        (None, Phase::Ended) => Verdict::Answer(never_began(snapshot)),
        (None, _) if !snapshot.renditions().is_empty() && !snapshot.has(Family::Cmaf) => {
            let name = snapshot.name().as_str();
            let sentence =
                format!("The stream {name:?} is not offered in low latency (setting hls.low_latency).");
            Verdict::Answer(Reply::not_found(&sentence, Some(name)))
        }
        (None, _) => Verdict::Wait(Patience::Start),
    }
}

/// One rendition's media playlist, as `query` wants it.
pub(crate) fn playlist(snapshot: &Snapshot, rendition: &str, query: &str, ask: &Ask<'_>) -> Verdict {
    let Some(view) = snapshot.rendition(rendition) else {
        let starting = snapshot.renditions().is_empty() && snapshot.phase() != Phase::Ended;
        return if starting {
            Verdict::Wait(Patience::Start)
        } else {
            Verdict::Answer(no_rendition(snapshot, rendition))
        };
    };
    let Some(whole) = snapshot.playlist(rendition, None) else {
        return if snapshot.phase() == Phase::Ended {
            Verdict::Answer(never_began(snapshot))
        } else {
            Verdict::Wait(Patience::Start)
        };
    };
    if view.family() == Family::Ts {
        return Verdict::Answer(list(whole, ask)); // it promises nothing to those who ask for more
    }
    let asked = match Directives::parse(query) {
        Ok(asked) => asked,
        Err(bad) => return Verdict::Answer(bad_request(snapshot, &bad.to_string())),
    };
    match view.standing().decide(&asked) {
        lowlatency::Verdict::Serve => Verdict::Answer(list(whole, ask)),
        lowlatency::Verdict::Delta(skip) => {
            Verdict::Answer(list(snapshot.playlist(rendition, Some(skip)).unwrap_or(whole), ask))
        }
        lowlatency::Verdict::Wait => Verdict::Wait(held(snapshot)),
        lowlatency::Verdict::TooFarAhead => Verdict::Answer(too_far_ahead(snapshot)),
    }
}

/// The list of one rendition's keyframes. Those of fragmented MP4 are held until they have gone on, too (§6.2.5.2).
pub(crate) fn iframes(snapshot: &Snapshot, rendition: &str, query: &str, ask: &Ask<'_>) -> Verdict {
    let Some(view) = snapshot.rendition(rendition).filter(|view| view.video().is_some()) else {
        return Verdict::Answer(no_rendition(snapshot, rendition));
    };
    let asked = match Directives::parse(query) {
        Ok(asked) if view.family() == Family::Cmaf => Directives { skip: None, ..asked },
        Ok(_) => Directives::default(),
        Err(bad) => return Verdict::Answer(bad_request(snapshot, &bad.to_string())),
    };
    let Some(document) = view.iframes() else {
        return if snapshot.phase() == Phase::Ended {
            Verdict::Answer(never_began(snapshot))
        } else {
            Verdict::Wait(Patience::Start)
        };
    };
    match (Standing { part_target: None, ..view.standing() }).decide(&asked) {
        lowlatency::Verdict::Serve | lowlatency::Verdict::Delta(_) => Verdict::Answer(list(document, ask)),
        lowlatency::Verdict::Wait => Verdict::Wait(held(snapshot)),
        lowlatency::Verdict::TooFarAhead => Verdict::Answer(too_far_ahead(snapshot)),
    }
}

/// One whole segment. Segments are listed only when whole, so there is nothing to wait for.
pub(crate) fn segment(
    snapshot: &Snapshot,
    rendition: &str,
    sequence: MediaSequence,
    family: Family,
    ask: &Ask<'_>,
) -> Reply {
    let name = snapshot.name().as_str();
    let Some(view) = snapshot.rendition(rendition).filter(|view| view.family() == family) else {
        return no_rendition(snapshot, rendition);
    };
    match view.segment(sequence) {
        Some(segment) if segment.gap => Reply::not_found(
            &format!("Segment {sequence} of {name:?} is a gap: the streamer was away then."),
            Some(name),
        ),
        Some(segment) => {
            // The name is never used for other bytes, so it is a strong validator by itself.
            let etag = format!("\"{}-{rendition}-{sequence}\"", snapshot.session());
            let body = segment.chunks().cloned().collect();
            Content { mime: mime(view), cache: FOREVER, etag: Some(&etag), form: Form::Media, body }
                .reply(ask)
        }
        None => {
            let sentence = if view.newest().is_some_and(|newest| newest < sequence) {
                format!(
                    "Segment {sequence} of {name:?} does not exist yet: only listed segments can be fetched."
                )
            } else {
                format!("Segment {sequence} of {name:?} has left the live window.")
            };
            Reply::not_found(&sentence, Some(name))
        }
    }
}

/// One part. That which a list hints at is waited for, and sent when it is whole (§6.2.6).
pub(crate) fn part(
    snapshot: &Snapshot,
    rendition: &str,
    sequence: MediaSequence,
    index: u32,
    ask: &Ask<'_>,
) -> Verdict {
    let name = snapshot.name().as_str();
    let Some(view) = snapshot.rendition(rendition) else {
        return Verdict::Answer(no_rendition(snapshot, rendition));
    };
    if let Some(part) = view.part(sequence, index).filter(|part| !part.gap) {
        let etag = format!("\"{}-{rendition}-{sequence}.{index}\"", snapshot.session());
        let body = part.bytes.clone().into();
        let content =
            Content { mime: mime(view), cache: FOREVER, etag: Some(&etag), form: Form::Media, body };
        return Verdict::Answer(content.reply(ask));
    }
    if view.standing().is_hinted(sequence, index) {
        return Verdict::Wait(held(snapshot));
    }
    let sentence = format!("There is no part {index} of segment {sequence} of {name:?}.");
    Verdict::Answer(Reply::not_found(&sentence, Some(name)))
}

/// The header of fragmented MP4.
pub(crate) fn init(snapshot: &Snapshot, rendition: &str, file: &str, ask: &Ask<'_>) -> Reply {
    let name = snapshot.name().as_str();
    let Some(view) = snapshot.rendition(rendition) else { return no_rendition(snapshot, rendition) };
    match view.init(file) {
        Some(init) => {
            let etag = format!("\"{file}\"");
            let body = init.bytes.clone().into();
            Content { mime: mime(view), cache: FOREVER, etag: Some(&etag), form: Form::Media, body }
                .reply(ask)
        }
        None => Reply::not_found(&format!("No segment of {name:?} needs {file:?}."), Some(name)),
    }
}

fn mime(view: &RenditionView) -> &'static str {
    match (view.family(), view.video()) {
        (Family::Ts, _) => TRANSPORT,
        (Family::Cmaf, Some(_)) => "video/mp4",
        (Family::Cmaf, None) => "audio/mp4",
    }
}

fn held(snapshot: &Snapshot) -> Patience {
    Patience::Held(Duration::from_secs(3 * u64::from(snapshot.target_duration())))
}

fn too_far_ahead(snapshot: &Snapshot) -> Reply {
    bad_request(snapshot, "_HLS_msn or _HLS_part is further ahead than will come soon.")
}

fn bad_request(snapshot: &Snapshot, sentence: &str) -> Reply {
    Reply::refuse(StatusCode::BAD_REQUEST, sentence, Some(snapshot.name().as_str()))
}

/// A stream that has not gone on in the time a request may be held.
pub(crate) fn stands_still(name: &str) -> Reply {
    Reply::later(&format!("The stream {name:?} has not gone on in time; try again."), Some(name))
}

/// A stream that has not shown anything in the time a request may wait.
pub(crate) fn still_starting(name: &str) -> Reply {
    Reply::later(&format!("The stream {name:?} is starting; try again in a second."), Some(name))
}

/// A name that nobody publishes.
pub(crate) fn no_stream(name: &str) -> Reply {
    Reply::not_found(&format!("No stream named {name:?} is live."), Some(name))
}

/// A publication that is over and forgotten, or never was.
pub(crate) fn no_session(name: &str) -> Reply {
    Reply::not_found(
        &format!("This broadcast of {name:?} is over; load /live/{name}/index.m3u8 for the current one."),
        Some(name),
    )
}

fn no_rendition(snapshot: &Snapshot, rendition: &str) -> Reply {
    let name = snapshot.name().as_str();
    Reply::not_found(&format!("The stream {name:?} has no rendition {rendition:?}."), Some(name))
}

fn never_began(snapshot: &Snapshot) -> Reply {
    let name = snapshot.name().as_str();
    let sentence = format!("The stream {name:?} ended before it had anything to show.");
    Reply::refuse(StatusCode::NOT_FOUND, &sentence, Some(name))
}

/// A playlist, plain or compressed.
pub(crate) fn list(document: &Document, ask: &Ask<'_>) -> Reply {
    let (form, etag, body) = if ask.gzip {
        (Form::Gzip, document.gzip_etag(), document.gzip())
    } else {
        (Form::Plain, document.etag(), document.body())
    };
    Content { mime: PLAYLIST, cache: REVALIDATE, etag: Some(etag), form, body: body.clone().into() }
        .reply(ask)
}
