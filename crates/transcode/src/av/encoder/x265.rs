//! libx265's options.

use super::{EncoderSettings, Recipe, Upload};
use crate::ladder::Preset;

/// Frames that it looks ahead: a third of a second at 30 fps, at about the latency that x264 is allowed.
const LOOKAHEAD: u32 = 10;

pub(super) fn recipe(settings: &EncoderSettings) -> Recipe {
    let (num, den) = settings.rate();
    let keyint = settings.gop.map_or_else(|| "-1".to_owned(), |frames| frames.to_string());
    let (maxrate, bufsize) = (settings.maxrate_bps / 1000, settings.bufsize_bits / 1000);
    let threads = settings.threads.max(1);
    Recipe {
        options: vec![
            ("preset", preset(settings.preset).to_owned()),
            ("forced-idr", "1".to_owned()),
            (
                "x265-params",
                // The frame rate is said again because FFmpeg's wrapper takes it from the time base: 90000 fps.
                format!(
                    "keyint={keyint}:scenecut=0:open-gop=0:repeat-headers=0:info=0:log-level=error:\
                     vbv-maxrate={maxrate}:vbv-bufsize={bufsize}:bframes=3:rc-lookahead={LOOKAHEAD}:\
                     fps={num}/{den}:pools={threads}:frame-threads=1"
                ),
            ),
        ],
        upload: Upload::None,
        reopens: false,
    }
}

/// x265's preset that stands nearest; each is far slower than x264's of the same name.
fn preset(preset: Preset) -> &'static str {
    match preset {
        Preset::Economy => "ultrafast",
        Preset::Auto => "superfast",
        Preset::Quality => "faster",
        own => own.as_str(),
    }
}
