//! SVT-AV1's options.

use super::{EncoderSettings, Recipe, Upload};
use crate::ladder::Preset;

/// More frames than any segment has: keyframes come by opening the encoder anew.
const NEVER: u32 = 10_000;

pub(super) fn recipe(settings: &EncoderSettings) -> Recipe {
    let gop = settings.gop.unwrap_or(NEVER);
    let threads = settings.threads.max(1);
    Recipe {
        options: vec![
            ("preset", preset(settings.preset).to_string()),
            ("g", gop.to_string()),
            ("svtav1-params", format!("scd=0:lp={threads}")),
        ],
        upload: Upload::None,
        // FFmpeg hands the mark of a frame on since 6.1 only, and SVT-AV1 obeys it since 1.5; older ones ignore it.
        reopens: settings.gop.is_none(),
    }
}

/// Its own speeds, 13 being the fastest.
fn preset(preset: Preset) -> u8 {
    match preset {
        Preset::Economy | Preset::Ultrafast | Preset::Superfast => 12,
        Preset::Auto | Preset::Veryfast => 10,
        Preset::Quality | Preset::Faster | Preset::Fast => 9,
        Preset::Medium => 8,
    }
}
