//! One rendition's way through the packager: where its pictures and its sound come from.

use std::sync::Arc;

use hls::{
    cut::Cut,
    presentation::{Bandwidth, Choice, Family, RenditionSpec, Role, VideoSpec},
    segmenter::Segmenter,
};
use media::{MediaSequence, MediaSpan, MediaTime, Packet, TrackId, TrackKind};
use transcode::{
    Blank,
    ladder::{self, AudioPlan, Plan, Treatment},
    source::SAME_TIME,
};

use crate::stream::blank;

/// A track whose packets return after they were given up begins again with a segment, within so much of its cut.
const SOUND_ENTRY: MediaSpan = MediaSpan::from_millis(100);

/// What the rendition is called that has the sound without pictures.
pub(in crate::stream) const ALONE: &str = "audio";
/// The main sound's second way, to the variant that has it alone: like a further sound's, it waits for the cuts of the
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
    /// The same for the variant that has it alone.
    pub(super) fn alone(self) -> Self {
        match self {
            Self::Source(_) => Self::Source(ALONE_TRACK),
            Self::Encoder(_) => Self::Encoder(ALONE_TRACK),
            Self::None | Self::Silence => self,
        }
    }
}

/// One rendition.
pub(super) struct Lane {
    pub(super) pictures: Pictures,
    pub(super) sound: Sound,
    pub(super) segmenter: Segmenter,
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
    pub(super) fn new(has_video: bool, has_audio: bool) -> Self {
        Self {
            pictures: Pictures::None,
            sound: Sound::None,
            segmenter: Segmenter::new(has_video, has_audio),
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
        self.segmenter.cut(cut);
    }

    /// Its pictures are dark from here on.
    pub(super) fn darken(&mut self, blank: Arc<Blank>) {
        self.segmenter.video_config(shared(blank.config()));
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
        self.segmenter.push(packet);
    }

    /// The track that opens its segments has stopped: gaps from here to the segment `open`.
    pub(super) fn give_up(&mut self, open: MediaSequence) {
        self.lost = true;
        self.segmenter.give_up(open);
    }

    fn opens(&self, kind: TrackKind) -> bool {
        (kind == TrackKind::Video) == (self.pictures != Pictures::None)
    }
}

/// The renditions that a plan makes: the variants with pictures, the further sounds, and the sound alone.
pub(in crate::stream) fn rendition_specs(plan: &Plan, has_audio: bool) -> Vec<RenditionSpec> {
    let choice = |sound: &ladder::Sound| Choice {
        name: sound.name.clone(),
        language: sound.language.clone(),
        channels: sound.channels,
    };
    let role = || Role::Variant((!plan.alternates.is_empty()).then(|| choice(&plan.sound)));
    let measured = |hint_average_bps| Bandwidth::Measured { hint_average_bps };
    let mut specs: Vec<RenditionSpec> = plan
        .rungs
        .iter()
        .map(|rung| RenditionSpec {
            id: rung.name.clone(),
            family: Family::Ts,
            video: Some(VideoSpec { width: rung.width, height: rung.height, frame_rate: rung.frame_rate }),
            has_audio,
            bandwidth: match (&rung.treatment, rung.peak_bps, rung.average_bps) {
                (Treatment::Encode(_) | Treatment::Blank(_), Some(peak_bps), Some(average_bps)) => {
                    Bandwidth::Declared { peak_bps, average_bps }
                }
                (_, _, hint_average_bps) => measured(hint_average_bps),
            },
            role: role(),
        })
        .collect();
    if specs.is_empty() {
        specs.push(RenditionSpec {
            id: ALONE.to_owned(),
            family: Family::Ts,
            video: None,
            has_audio,
            bandwidth: measured(None),
            role: role(),
        });
    }
    specs.extend(plan.alternates.iter().map(|alternate| RenditionSpec {
        id: alternate.id.clone(),
        family: Family::Ts,
        video: None,
        has_audio: true,
        bandwidth: measured(match &alternate.audio {
            AudioPlan::Encode(settings) | AudioPlan::Silence(settings) => {
                Some(u64::from(settings.bitrate_bps))
            }
            AudioPlan::Copy | AudioPlan::None => None,
        }),
        role: Role::Alternate(choice(&alternate.sound)),
    }));
    specs.extend(plan.audio_only.then(|| RenditionSpec {
        id: ALONE.to_owned(),
        family: Family::Ts,
        video: None,
        has_audio: true,
        bandwidth: measured(None),
        role: role(),
    }));
    specs
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
