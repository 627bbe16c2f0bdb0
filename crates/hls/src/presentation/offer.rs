//! What the multivariant playlist says of the renditions.

use media::Epoch;

use super::{rendition::Rendition, spec::Family};
use crate::playlist::{ClosedCaptions, Multivariant, Variant};

/// What the multivariant playlist says; `None` while it would leave something out that will be there in a moment.
pub(super) fn multivariant(
    family: Family,
    renditions: &[Rendition],
    session: Epoch,
    captions: &[ClosedCaptions],
    told_before: bool,
) -> Option<Multivariant> {
    if !renditions.iter().any(|one| one.is_of(family)) {
        return None;
    }
    let (alternates, variants): (Vec<_>, Vec<_>) =
        renditions.iter().filter(|one| one.is_of(family)).partition(|rendition| rendition.is_alternate());
    let told: Vec<&Rendition> = alternates.iter().copied().filter(|one| one.is_playable()).collect();
    // Players read this list once: those who come first shall see all sounds too, unless one stays away.
    let first = variants.iter().all(|rendition| rendition.listed() < 2);
    if told.len() < alternates.len() && first && !told_before {
        return None;
    }
    let mut listed: Vec<Variant> = variants.iter().map(|one| one.variant()).collect::<Option<_>>()?;
    if !variants.iter().any(|one| one.is_playable()) {
        return None;
    }
    // A player that takes an alternate loads it beside the variant (RFC 8216 §4.3.4.2).
    let most = |rate: fn(&Rendition) -> u64| told.iter().map(|one| rate(one)).max().unwrap_or(0);
    let (peak, average) = (most(|one| one.told_bps.0), most(|one| one.told_bps.1));
    for variant in &mut listed {
        variant.bandwidth += peak;
        variant.average_bandwidth += average;
        for codecs in told.iter().filter_map(|one| one.audio_codecs.as_deref()) {
            if !variant.codecs.split(',').any(|known| known == codecs) {
                variant.codecs = format!("{},{codecs}", variant.codecs);
            }
        }
    }
    let sounds = match family {
        Family::Ts => {
            let main = variants.iter().filter(|_| !told.is_empty()).take(1);
            main.chain(&told).filter_map(|one| one.sound()).collect()
        }
        Family::Cmaf => {
            listed.extend(alone(renditions, &told));
            told.iter().filter_map(|one| one.sound()).collect()
        }
    };
    Some(Multivariant { session, family, variants: listed, sounds, captions: captions.to_vec() })
}

/// The usual sound of fragmented MP4 as a variant by itself, where the transport streams have such a variant.
fn alone(renditions: &[Rendition], told: &[&Rendition]) -> Option<Variant> {
    let wished = |one: &&Rendition| one.is_of(Family::Ts) && !one.is_alternate() && one.is_sound();
    renditions.iter().find(wished)?;
    told.first()?.variant()
}
