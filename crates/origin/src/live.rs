//! Playlists and segments: what one snapshot says to one request. Pure; the router does the waiting.

use axum::http::StatusCode;
use hls::snapshot::{Document, Phase, Snapshot};
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
    Wait,
}

/// The multivariant playlist.
pub(crate) fn multivariant(snapshot: &Snapshot, ask: &Ask<'_>) -> Verdict {
    match (snapshot.multivariant(), snapshot.phase()) {
        (Some(document), _) => Verdict::Answer(list(document, ask)),
        (None, Phase::Ended) => Verdict::Answer(never_began(snapshot)),
        (None, _) => Verdict::Wait,
    }
}

/// One rendition's media playlist.
pub(crate) fn playlist(snapshot: &Snapshot, rendition: &str, ask: &Ask<'_>) -> Verdict {
    let starting = snapshot.renditions().is_empty() && snapshot.phase() != Phase::Ended;
    match snapshot.rendition(rendition) {
        Some(view) => match (view.playlist(), snapshot.phase()) {
            (Some(document), _) => Verdict::Answer(list(document, ask)),
            (None, Phase::Ended) => Verdict::Answer(never_began(snapshot)),
            (None, _) => Verdict::Wait,
        },
        None if starting => Verdict::Wait,
        None => Verdict::Answer(no_rendition(snapshot, rendition)),
    }
}

/// One segment. Segments are listed only when whole, so there is nothing to wait for.
pub(crate) fn segment(snapshot: &Snapshot, rendition: &str, sequence: MediaSequence, ask: &Ask<'_>) -> Reply {
    let name = snapshot.name().as_str();
    let Some(view) = snapshot.rendition(rendition) else { return no_rendition(snapshot, rendition) };
    match view.segment(sequence) {
        Some(segment) if segment.gap => Reply::not_found(
            &format!("Segment {sequence} of {name:?} is a gap: the streamer was away then."),
            Some(name),
        ),
        Some(segment) => {
            // The name is never used for other bytes, so it is a strong validator by itself.
            let etag = format!("\"{}-{rendition}-{sequence}\"", snapshot.session());
            let body = segment.chunks().cloned().collect();
            Content { mime: TRANSPORT, cache: FOREVER, etag: Some(&etag), form: Form::Media, body }.reply(ask)
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
