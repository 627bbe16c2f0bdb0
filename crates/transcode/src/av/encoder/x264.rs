//! libx264's options.

use ffmpeg_next::Dictionary;

use super::EncoderSettings;
use crate::ladder;

pub(super) const NAME: &str = "libx264";

/// What FFmpeg's wrapper of x264 is to be opened with.
pub(super) fn options(settings: &EncoderSettings) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    let tuned = ladder::x264(settings.preset, settings.width, settings.height);
    let level = settings.level_idc;
    // Makes the rate control count frames, and the parameter sets say the frame rate rather than 90000 fps, which
    // some players would believe. Times pass through as they are either way.
    let even = settings.frame_rate.is_some() && !settings.variable_rate;
    let regular = if even { ":force-cfr=1" } else { "" };
    // x264 writes this into the stream, and receivers (ours too) believe it.
    let keyint = settings.gop.map_or_else(|| "infinite".to_owned(), |frames| frames.to_string());
    let colon = if tuned.params.is_empty() { "" } else { ":" };
    let params =
        format!("{}{colon}level={level}:keyint={keyint}:scenecut=0:open-gop=0{regular}", tuned.params);
    for (key, value) in [
        ("preset", tuned.preset.to_owned()),
        ("profile", settings.profile.as_str().to_owned()),
        ("b", settings.bitrate_bps.to_string()),
        ("maxrate", settings.maxrate_bps.to_string()),
        ("bufsize", settings.bufsize_bits.to_string()),
        ("threads", settings.threads.max(1).to_string()),
        ("flags", "+global_header+cgop".to_owned()),
        ("forced-idr", "1".to_owned()),
        ("x264-params", params),
        ("color_range", "tv".to_owned()),
        ("color_primaries", settings.colour.primaries.to_string()),
        ("color_trc", settings.colour.transfer.to_string()),
        ("colorspace", settings.colour.matrix.to_string()),
    ] {
        options.set(key, &value);
    }
    options
}
