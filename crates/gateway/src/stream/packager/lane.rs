//! One way through the packager: where the pictures and the sound come from that its renditions show.

use std::sync::Arc;

use hls::cut::Cut;
use media::{MediaSequence, MediaSpan, MediaTime, Packet, TrackId, TrackKind};
use transcode::{Blank, source::SAME_TIME};

use super::packing::Packing;
use crate::stream::blank;

/// A track whose packets return after they were given up begins again with a segment, within so much of its cut.
const SOUND_ENTRY: MediaSpan = MediaSpan::from_millis(100);

/// The main sound's second way, to the renditions that have it alone: like a further sound's, it waits for the cuts of the
/// pictures.
pub(super) const ALONE_TRACK: TrackId = TrackId(u8::MAX - 1);

/// Where one rendition's pictures come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pictures {
    /// Audio only.
    None,
    /// A track of the source, as it comes.
    Source(TrackId),
    /// Index among the encoded rungs.
    Rung(usize),
    /// The publication has none: a dark one stands in.
    Blank,
}

/// Where one rendition's sound comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sound {
    None,
    /// A track of the source, as it comes.
    Source(TrackId),
    /// What the encoder makes of a track of the source.
    Encoder(TrackId),
    /// The publication has none, but the presentation promised it.
    Silence,
}

impl Sound {
    /// The same for the lane that has it alone.
    pub(super) fn alone(self) -> Self {
        match self {
            Self::Source(_) => Self::Source(ALONE_TRACK),
            Self::Encoder(_) => Self::Encoder(ALONE_TRACK),
            Self::None | Self::Silence => self,
        }
    }
}

/// What one rendition shows, in each of the forms it is packaged in.
pub(super) struct Lane {
    pub(super) pictures: Pictures,
    pub(super) sound: Sound,
    pub(super) packing: Packing,
    /// It follows the cuts of another track than its own: a copied further track, or a further sound.
    pub(super) follows: bool,
    /// Its track stopped: what comes of it is taken from the next cut on.
    pub(super) lost: bool,
    /// Its rung is shed, and nothing stands in for it: it lists gaps.
    pub(super) off: bool,
    /// What stands in for the pictures of a publication without, and how often it was shown.
    blank: Option<(Arc<Blank>, u64)>,
    /// The newest cut told.
    cut: Option<Cut>,
}

impl Lane {
    pub(super) fn new(packing: Packing) -> Self {
        Self {
            pictures: Pictures::None,
            sound: Sound::None,
            packing,
            follows: false,
            lost: false,
            off: false,
            blank: None,
            cut: None,
        }
    }

    /// Whether it takes a packet of the source as it is.
    pub(super) fn copies(&self, packet: &Packet) -> bool {
        match packet.kind {
            TrackKind::Video => match self.pictures {
                Pictures::Source(track) => track == packet.track,
                Pictures::Blank => packet.track == blank::TRACK,
                Pictures::None | Pictures::Rung(_) => false,
            },
            TrackKind::Audio => match self.sound {
                Sound::Source(track) => track == packet.track,
                Sound::Silence => true, // a source's own sound that the plan left out never gets here
                Sound::None | Sound::Encoder(_) => false,
            },
        }
    }

    /// Whether it needs the encoder.
    pub(super) fn depends(&self) -> bool {
        matches!(self.sound, Sound::Encoder(_)) || matches!(self.pictures, Pictures::Rung(_))
    }

    /// The track of the source that opens its segments; `None` where the encoder or a dark picture sees to that, or nothing
    /// comes.
    pub(super) fn own_track(&self) -> Option<(TrackKind, TrackId)> {
        match (self.pictures, self.sound) {
            (Pictures::Source(track), _) => Some((TrackKind::Video, track)),
            (Pictures::None, Sound::Source(track) | Sound::Encoder(track)) => Some((TrackKind::Audio, track)),
            _ => None,
        }
    }

    /// A boundary became known. A further track's keyframe may stand a moment before the leading track's.
    pub(super) fn cut(&mut self, cut: Cut) {
        let early = self.follows && matches!(self.pictures, Pictures::Source(_));
        let cut = if early { Cut { at: cut.at - SAME_TIME, ..cut } } else { cut };
        self.cut = Some(cut);
        self.packing.cut(cut);
    }

    /// Its pictures are dark from here on.
    pub(super) fn darken(&mut self, blank: Arc<Blank>) {
        self.packing.video_config(&shared(blank.config()));
        self.blank = Some((blank, 0));
    }

    /// Takes a packet that is meant for it.
    pub(super) fn push(&mut self, mut packet: Packet) {
        if self.pictures == Pictures::Blank && packet.kind == TrackKind::Video {
            let Some((blank, shown)) = &mut self.blank else { return };
            packet.data = blank.picture(*shown);
            *shown += 1;
        }
        if self.lost && self.opens(packet.kind) {
            let entry = if packet.kind == TrackKind::Video { SAME_TIME.times(2) } else { SOUND_ENTRY };
            let at_cut = self.cut.is_some_and(|cut| (cut.at..=cut.at + entry).contains(&packet.pts));
            if !packet.keyframe || !at_cut {
                return;
            }
            self.lost = false;
        }
        self.packing.push(packet);
    }

    /// The track that opens its segments has stopped: gaps from here to the segment `open`.
    pub(super) fn give_up(&mut self, open: MediaSequence) {
        self.lost = true;
        self.packing.give_up(open);
    }

    fn opens(&self, kind: TrackKind) -> bool {
        (kind == TrackKind::Video) == (self.pictures != Pictures::None)
    }
}

/// Packets of tracks that follow the leading one's cuts, kept until those are known.
///
/// A cut is known once the leading track has come to it, and a further track's packet may come first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    packets: std::collections::VecDeque<Packet>,
    bytes: usize,
}

impl Waiting {
    /// Most that is waited for a leading track that has stopped.
    const MOST: MediaSpan = MediaSpan::from_millis(2_000);
    const MOST_BYTES: usize = 32 << 20;

    pub(super) fn push(&mut self, packet: Packet) {
        self.bytes += packet.data.len();
        self.packets.push_back(packet);
    }

    /// The next packet that the leading track has passed with its decoding time `lead`.
    pub(super) fn next(&mut self, lead: MediaTime) -> Option<Packet> {
        let newest = self.packets.back()?.dts;
        let first = self.packets.front()?;
        let due =
            first.pts - SAME_TIME <= lead || newest - first.dts > Self::MOST || self.bytes > Self::MOST_BYTES;
        if due { self.any() } else { None }
    }

    /// The next packet, whether passed or not.
    pub(super) fn any(&mut self) -> Option<Packet> {
        let packet = self.packets.pop_front()?;
        self.bytes -= packet.data.len();
        Some(packet)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A configuration as segmenters take it.
pub(super) fn shared<T: Clone>(config: &T) -> Arc<T> {
    Arc::new(config.clone())
}
