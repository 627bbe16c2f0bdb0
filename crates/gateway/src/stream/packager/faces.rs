//! The renditions that a plan makes, and which lane feeds which of them.

use hls::presentation::{Bandwidth, Choice, Family, RenditionSpec, Role, VideoSpec};
use media::MediaSpan;
use transcode::ladder::{self, AudioPlan, Plan, Rung, Treatment};

use super::packing::Face;

/// What the rendition is called that has the sound without pictures.
pub(in crate::stream) const ALONE: &str = "audio";
/// The same of fragmented MP4, which has all sound by itself.
const MAIN_SOUND: &str = "a-main";

/// Renditions, and lanes that feed them: the variants with pictures (or the only one), the further sounds, and the main
/// sound by itself where something needs it.
pub(super) struct Faces {
    pub(super) lanes: Vec<Face>,
    pub(super) renditions: Vec<RenditionSpec>,
}

impl Faces {
    /// `part_target` is the longest that a part of fragmented MP4 lasts; without one there is none.
    pub(super) fn new(plan: &Plan, has_audio: bool, part_target: Option<MediaSpan>) -> Self {
        let mut faces = Self { lanes: Vec::new(), renditions: Vec::new() };
        let has_video = !plan.rungs.is_empty();
        let alternates = plan.alternates.iter();
        for rung in &plan.rungs {
            let ts = Some(faces.add(transport_rung(plan, rung, has_audio)));
            faces.lanes.push(Face { has_video, has_audio, ts, cmaf: None });
        }
        if !has_video {
            let ts = Some(faces.add(alone(plan, Family::Ts)));
            faces.lanes.push(Face { has_video, has_audio, ts, cmaf: None });
        }
        for alternate in alternates.clone() {
            let ts = Some(faces.add(further_sound(alternate, Family::Ts)));
            faces.lanes.push(Face { has_video: false, has_audio: true, ts, cmaf: None });
        }
        if has_video && (plan.audio_only || (has_audio && part_target.is_some())) {
            let ts = plan.audio_only.then(|| faces.add(alone(plan, Family::Ts)));
            faces.lanes.push(Face { has_video: false, has_audio: true, ts, cmaf: None });
        }
        if let Some(part_target) = part_target {
            for (nth, rung) in plan.rungs.iter().enumerate() {
                faces.lanes[nth].cmaf = Some(faces.add(fragmented_rung(plan, rung, part_target)));
            }
            if let Some(main) = if has_video { has_audio.then(|| faces.lanes.len() - 1) } else { Some(0) } {
                faces.lanes[main].cmaf = Some(faces.add(alone(plan, Family::Cmaf)));
            }
            for (nth, alternate) in alternates.enumerate() {
                let lane = plan.rungs.len().max(1) + nth;
                faces.lanes[lane].cmaf = Some(faces.add(further_sound(alternate, Family::Cmaf)));
            }
        }
        faces
    }

    fn add(&mut self, rendition: RenditionSpec) -> usize {
        self.renditions.push(rendition);
        self.renditions.len() - 1
    }
}

fn choice(sound: &ladder::Sound) -> Choice {
    Choice { name: sound.name.clone(), language: sound.language.clone(), channels: sound.channels }
}

/// A variant, and what its sound is called where there are others.
fn variant(plan: &Plan) -> Role {
    Role::Variant((!plan.alternates.is_empty()).then(|| choice(&plan.sound)))
}

fn picture(rung: &Rung) -> Option<VideoSpec> {
    Some(VideoSpec { width: rung.width, height: rung.height, frame_rate: rung.frame_rate })
}

fn transport_rung(plan: &Plan, rung: &Rung, has_audio: bool) -> RenditionSpec {
    RenditionSpec {
        id: rung.name.clone(),
        family: Family::Ts,
        video: picture(rung),
        has_audio,
        bandwidth: match (&rung.treatment, rung.peak_bps, rung.average_bps) {
            (Treatment::Encode(_) | Treatment::Blank(_), Some(peak_bps), Some(average_bps)) => {
                Bandwidth::Declared { peak_bps, average_bps }
            }
            (_, _, hint_average_bps) => Bandwidth::Measured { hint_average_bps },
        },
        role: variant(plan),
    }
}

fn fragmented_rung(plan: &Plan, rung: &Rung, part_target: MediaSpan) -> RenditionSpec {
    let encoded = match &rung.treatment {
        Treatment::Encode(settings) => Some(settings),
        Treatment::Blank(settings) => settings.instead.as_ref(),
        Treatment::Copy => None,
    };
    let declared = encoded.map(|settings| {
        let segment = MediaSpan::from_millis(i64::from(plan.target_duration) * 1000);
        let (peak, average) = ladder::picture_rates(settings, segment);
        let overhead = chunk_overhead_bps(rung, part_target);
        Bandwidth::Declared { peak_bps: peak + overhead, average_bps: average + overhead }
    });
    RenditionSpec {
        id: format!("v-{}", rung.name),
        family: Family::Cmaf,
        video: picture(rung),
        has_audio: false,
        bandwidth: declared.unwrap_or(Bandwidth::Measured { hint_average_bps: rung.average_bps }),
        role: variant(plan),
    }
}

/// What boxes add to coded pictures: an entry of the sample table each, a fragment's other boxes each part.
fn chunk_overhead_bps(rung: &Rung, part_target: MediaSpan) -> u64 {
    const ENTRY_BITS: f64 = 16.0 * 8.0;
    const CHUNK_BITS: f64 = 160.0 * 8.0;
    // Boundaries and keyframes make parts that are shorter than they may be.
    let parts = 2.0 / part_target.as_secs_f64().max(0.1);
    let pictures = rung.frame_rate.map_or(60.0, media::FrameRate::as_f64);
    (pictures * ENTRY_BITS + parts * CHUNK_BITS).ceil() as u64
}

fn alone(plan: &Plan, family: Family) -> RenditionSpec {
    let (id, role) = match family {
        Family::Ts => (ALONE, variant(plan)),
        Family::Cmaf if plan.rungs.is_empty() => (MAIN_SOUND, variant(plan)),
        Family::Cmaf => (MAIN_SOUND, Role::Alternate(choice(&plan.sound))),
    };
    let bandwidth = Bandwidth::Measured { hint_average_bps: None };
    RenditionSpec { id: id.to_owned(), family, video: None, has_audio: true, bandwidth, role }
}

fn further_sound(alternate: &ladder::Alternate, family: Family) -> RenditionSpec {
    RenditionSpec {
        id: match family {
            Family::Ts => alternate.id.clone(),
            Family::Cmaf => format!("a-{}", alternate.id),
        },
        family,
        video: None,
        has_audio: true,
        bandwidth: Bandwidth::Measured {
            hint_average_bps: match &alternate.audio {
                AudioPlan::Encode(settings) | AudioPlan::Silence(settings) => {
                    Some(u64::from(settings.bitrate_bps))
                }
                AudioPlan::Copy | AudioPlan::None => None,
            },
        },
        role: Role::Alternate(choice(&alternate.sound)),
    }
}
