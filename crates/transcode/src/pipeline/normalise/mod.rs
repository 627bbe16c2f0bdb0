//! Decoded pictures of any kind, brought to what the rungs are made of: progressive, upright, standard range.
//!
//! ```text
//!  decode ─▶ kind of the frame ─┬─ nothing to do: the frame itself, by reference ─▶ rungs
//!                               └─ steps ─▶ [libavfilter graph] ─▶ frames ─▶ rungs
//! ```
//!
//! Depth, chroma, range and size are the scaler's business, which touches every pixel anyway. A graph is built when a
//! frame of a new kind comes, after what the old one still holds has come out. Frames that say now and then that they
//! are progressive stay in a deinterlacing graph, which passes them on as they are: encoders that choose by picture
//! would otherwise have it rebuilt all the time.

mod plan;

use tracing::warn;

pub(crate) use self::plan::Tools;
pub(super) use self::plan::becomes_709;
use self::plan::{Kind, steps};
use crate::{
    av::{CodecError, Filter, Picture, has_filter},
    source::Turn,
};

/// Progressive frames in a row after which a stream no longer counts as interlaced: ten seconds.
const PROGRESSIVE: u32 = 250;

impl Tools {
    /// What this machine's FFmpeg has.
    pub(crate) fn here() -> Self {
        Self {
            deinterlacer: ["bwdif", "yadif"].into_iter().find(|name| has_filter(name)),
            tone_mapping: has_filter("zscale") && has_filter("tonemap"),
        }
    }
}

/// See the module.
pub(super) struct Normaliser {
    largest: (u32, u32),
    tools: Tools,
    /// What came last, and the graph for it where one is needed.
    current: Option<(Kind, Option<Filter>)>,
    /// As was said last: decoders put it only on the pictures that bring it. By ISO/IEC 14496-10 §D.2.27 it ends with the
    /// next IDR picture, but senders are met that say it once; here it holds until the configuration changes.
    turn: Turn,
    /// Progressive frames since the last interlaced one.
    progressive: u32,
    /// Frames that are ready.
    ready: Vec<Picture>,
}

impl Normaliser {
    /// For rungs of which the largest has this size.
    pub(super) fn new(largest: (u32, u32)) -> Self {
        Self {
            largest,
            tools: Tools::here(),
            current: None,
            turn: Turn::NONE,
            progressive: 0,
            ready: Vec::new(),
        }
    }

    /// Takes a decoded frame. Usually it is ready at once, itself.
    pub(super) fn push(&mut self, picture: Picture) {
        self.turn = picture.turn().unwrap_or(self.turn);
        let mut kind = Kind { turn: self.turn, ..kind(&picture) };
        self.progressive = if kind.interlaced { 0 } else { self.progressive.saturating_add(1) };
        if let Some((current, _)) = &self.current {
            kind.interlaced |= current.interlaced && self.progressive < PROGRESSIVE;
        }
        if self.current.as_ref().is_none_or(|(current, _)| *current != kind) {
            self.change(kind, &picture);
        }
        match &mut self.current {
            Some((_, Some(filter))) => {
                if let Err(error) = filter.send(&picture).and_then(|()| take(filter, &mut self.ready)) {
                    self.give_up(kind, &error);
                    self.ready.push(picture);
                }
            }
            _ => self.ready.push(picture),
        }
    }

    /// The frames that became ready.
    pub(super) fn ready(&mut self) -> std::vec::Drain<'_, Picture> {
        self.ready.drain(..)
    }

    /// What is still inside becomes ready: the stream ends, or goes on with another configuration.
    pub(super) fn finish(&mut self) {
        self.turn = Turn::NONE;
        if let Some((_, Some(mut filter))) = self.current.take() {
            // What does not come out is a frame or two at a place where the picture changes anyway.
            let _ = filter.finish().and_then(|()| take(&mut filter, &mut self.ready));
        }
    }

    fn change(&mut self, kind: Kind, sample: &Picture) {
        if let Some((_, Some(mut filter))) = self.current.take() {
            let _ = filter.finish().and_then(|()| take(&mut filter, &mut self.ready));
        }
        self.current = Some((kind, None));
        let Some(steps) = steps(&kind, self.largest, self.tools) else { return };
        match Filter::open(&steps, sample) {
            Ok(filter) => self.current = Some((kind, Some(filter))),
            Err(error) => self.give_up(kind, &error),
        }
    }

    /// Frames of this kind go on as they are: a picture that looks wrong is better than none.
    fn give_up(&mut self, kind: Kind, error: &CodecError) {
        warn!(%error, ?kind, "pictures cannot be brought to the usual form and are encoded as they are");
        self.current = Some((kind, None));
    }
}

fn take(filter: &mut Filter, ready: &mut Vec<Picture>) -> Result<(), CodecError> {
    while let Some(picture) = filter.receive()? {
        ready.push(picture);
    }
    Ok(())
}

/// What can be seen on the picture itself; how it is turned is to be added.
fn kind(picture: &Picture) -> Kind {
    let (format, full_range) = picture.format();
    Kind {
        format,
        size: (picture.width(), picture.height()),
        shown: picture.shown(),
        interlaced: picture.is_interlaced(),
        turn: Turn::NONE,
        colour: picture.colour(),
        full_range,
        rgb: picture.is_rgb(),
    }
}
