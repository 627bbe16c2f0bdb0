//! Which tracks of a multitrack publication are copied: those that players take, and that can be cut where the leading
//! one is.

use media::MediaSpan;

use super::plan::obstacle;
use crate::source::{Source, VideoSource};

/// The tracks that need no encoding.
pub(super) struct Ready<'a> {
    /// The track at whose keyframes segments are cut; one of [`Self::copied`].
    pub(super) lead: &'a VideoSource,
    /// Largest first.
    pub(super) copied: Vec<&'a VideoSource>,
}

/// The ready-made rungs of a source, if it has any. The default track leads where it can be copied, else the largest
/// that can. Tells in `notes` what is left out; the default track, which may be encoded instead, is left to the caller.
pub(super) fn ready<'a>(source: &'a Source, cap: MediaSpan, notes: &mut Vec<String>) -> Option<Ready<'a>> {
    let fit: Vec<&VideoSource> = source.pictures().filter(|track| obstacle(track, cap).is_none()).collect();
    let is_default =
        |track: &VideoSource| source.video.as_ref().is_some_and(|video| video.track == track.track);
    let lead = fit
        .iter()
        .copied()
        .find(|track| is_default(track))
        .or_else(|| fit.iter().copied().max_by_key(|track| short_side(track)));
    let follows = |track: &VideoSource| {
        lead.is_some_and(|lead| lead.track == track.track || track.keyframes.follow(&lead.keyframes))
    };
    let mut copied = Vec::new();
    for track in source.pictures() {
        let (width, height) = track.dimensions();
        let name = format!("track {} ({width}x{height})", track.track.0);
        match obstacle(track, cap) {
            None if follows(track) => copied.push(track),
            None => notes.push(format!(
                "{name} is left out: its keyframes do not stand where the leading track's do; \
                 set the same keyframe interval for all tracks in the encoder"
            )),
            Some(_) if is_default(track) => {}
            Some(obstacle) => notes.push(format!("{name} is left out: it has {obstacle}")),
        }
    }
    copied.sort_by_key(|track| std::cmp::Reverse((short_side(track), track.bitrate_bps)));
    lead.map(|lead| Ready { lead, copied })
}

/// The shorter side in pixels, which names a rung.
pub(super) fn short_side(track: &VideoSource) -> u32 {
    let (width, height) = track.dimensions();
    width.min(height)
}
