//! A reader that is not ours, m3u8-rs, must see the same playlist.

use super::list::List;
use super::multivariant::Multivariant;
use crate::report::Findings;

/// Compares a media playlist. Delta updates are none of what m3u8-rs knows.
pub(super) fn media(bytes: &[u8], list: &List, place: &str, found: &mut Findings) {
    let theirs = match m3u8_rs::parse_media_playlist_res(bytes) {
        Ok(theirs) => theirs,
        Err(error) => {
            found.violation("file.m3u8-rs", place, format!("m3u8-rs cannot read it: {error}"));
            return;
        }
    };
    let same = theirs.media_sequence == list.first_msn
        && theirs.target_duration == list.target.unwrap_or(0)
        && theirs.discontinuity_sequence == list.discontinuity_sequence.unwrap_or(0)
        && theirs.end_list == list.ended
        && theirs.segments.len() == list.entries.len()
        && theirs.segments.iter().zip(&list.entries).all(|(a, b)| {
            a.uri == b.uri
                && a.discontinuity == b.discontinuity
                && (f64::from(a.duration) - b.micros as f64 / 1e6).abs() < 1e-3
        });
    if !same {
        found.violation("file.m3u8-rs", place, "m3u8-rs reads another list than this checker");
    }
}

/// Compares a multivariant playlist.
pub(super) fn multivariant(bytes: &[u8], list: &Multivariant, place: &str, found: &mut Findings) {
    match m3u8_rs::parse_master_playlist_res(bytes) {
        Err(error) => found.violation("file.m3u8-rs", place, format!("m3u8-rs cannot read it: {error}")),
        Ok(theirs) => {
            let uris: Vec<_> =
                theirs.variants.iter().filter(|v| !v.is_i_frame).map(|v| v.uri.as_str()).collect();
            if uris != list.variants.iter().map(|v| v.uri.as_str()).collect::<Vec<_>>() {
                found.violation("file.m3u8-rs", place, "m3u8-rs reads other variants than this checker");
            }
        }
    }
}
