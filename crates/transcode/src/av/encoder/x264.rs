//! libx264's options.

use super::{EncoderSettings, Recipe, Upload};
use crate::ladder;

pub(super) fn recipe(settings: &EncoderSettings) -> Recipe {
    let tuned = ladder::x264(settings.preset, settings.width, settings.height);
    let level = settings.level_idc;
    // Makes the rate control count frames, and the parameter sets say the frame rate rather than 90000 fps, which
    // some players would believe. Times pass through as they are either way.
    let even = settings.frame_rate.is_some();
    let regular = if even { ":force-cfr=1" } else { "" };
    // x264 writes this into the stream, and receivers (ours too) believe it.
    let keyint = settings.gop.map_or_else(|| "infinite".to_owned(), |frames| frames.to_string());
    let colon = if tuned.params.is_empty() { "" } else { ":" };
    let params =
        format!("{}{colon}level={level}:keyint={keyint}:scenecut=0:open-gop=0{regular}", tuned.params);
    Recipe {
        options: vec![
            ("preset", tuned.preset.to_owned()),
            ("profile", settings.profile.as_str().to_owned()),
            ("forced-idr", "1".to_owned()),
            ("x264-params", params),
        ],
        upload: Upload::None,
        reopens: false,
    }
}
