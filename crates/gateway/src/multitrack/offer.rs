//! What OBS is to encode. Pure.
//!
//! The sizes and rates are those of Sluice's own ladder, so that what OBS does not send (its user limited the bit rate or
//! the number of tracks) is filled in below by Sluice as it would have been anyway. Keyframes come every two seconds in
//! all tracks; OBS aligns them.

use serde::Serialize;
use serde_json::{Value, json};
use transcode::ladder::{Picture, RungWish, pictures};

use super::request::{Output, Request};

/// Seconds from keyframe to keyframe.
const KEYFRAMES: u32 = 2;
/// Of the sound, in kbit/s.
const SOUND_KBPS: u32 = 160;
/// Video tracks at most; what OBS 30.2 can send.
const TRACKS: usize = 6;
/// A track is offered with as little as this part of its rate, in percent, where the limit leaves no more.
const LEAST_PERCENT: u64 = 60;

/// The answer, in OBS's words.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) meta: Meta,
    pub(super) status: Status,
    pub(super) ingest_endpoints: Vec<Endpoint>,
    pub(super) encoder_configurations: Vec<Encoder>,
    pub(super) audio_configurations: Audio,
}

#[derive(Debug, Serialize)]
pub(super) struct Meta {
    pub(super) service: String,
    pub(super) schema_version: String,
    pub(super) config_id: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) result: &'static str,
    pub(super) html_en_us: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Endpoint {
    pub(super) protocol: &'static str,
    pub(super) url_template: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Encoder {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) width: u32,
    pub(super) height: u32,
    framerate: Framerate,
    gpu_scale_type: &'static str,
    colorspace: &'static str,
    range: &'static str,
    format: &'static str,
    pub(super) settings: Value,
    canvas_index: u32,
}

#[derive(Debug, Serialize)]
struct Framerate {
    numerator: u32,
    denominator: u32,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Audio {
    pub(super) live: Vec<Sound>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vod: Option<Vec<Sound>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Sound {
    codec: &'static str,
    track_id: u32,
    channels: u32,
    settings: Value,
}

/// What OBS is to send, or why there is nothing to offer, in words for its user.
pub(super) fn offer(request: &Request, rungs: &[RungWish]) -> Result<(Vec<Encoder>, Audio), &'static str> {
    let preferences = &request.preferences;
    let output =
        preferences.output().ok_or("OBS told no picture size and frame rate that can be streamed.")?;
    let sounds = if preferences.vod_track_audio { 2 } else { 1 };
    let mut tracks = pictures((output.width, output.height), output.rate.as_frame_rate(), rungs);
    if let Some(limit_kbps) = preferences.maximum_aggregate_bitrate {
        let sound_bps = u64::from(SOUND_KBPS * sounds) * 1000;
        tracks = within(tracks, limit_kbps.saturating_mul(1000).saturating_sub(sound_bps));
    }
    let most = preferences.maximum_video_tracks.map_or(TRACKS, |most| (most as usize).min(TRACKS));
    tracks.truncate(most);
    if tracks.is_empty() {
        return Err("The limits on bit rate and tracks in OBS leave room for no picture at all.");
    }
    let nvenc = request.client.supported_encoders.iter().any(|encoder| encoder == NVENC);
    let encoders = tracks.iter().map(|picture| encoder(*picture, output, nvenc)).collect();
    let channels = preferences.audio_channels.unwrap_or(2).clamp(1, 2);
    let sound = |track_id| Sound {
        codec: "ffmpeg_aac",
        track_id,
        channels,
        settings: json!({ "bitrate": SOUND_KBPS }),
    };
    // OBS gives up if it sends a VOD track and is offered none.
    let vod = preferences.vod_track_audio.then(|| vec![sound(2)]);
    Ok((encoders, Audio { live: vec![sound(1)], vod }))
}

/// The largest pictures that fit into `limit_bps` together. The first that does not fit whole gets what is left, if that
/// is enough for it.
fn within(tracks: Vec<Picture>, limit_bps: u64) -> Vec<Picture> {
    let mut left = limit_bps;
    let mut kept: Vec<Picture> = Vec::new();
    for mut track in tracks {
        let wanted = u64::from(track.bitrate_bps);
        if wanted > left {
            if left * 100 < wanted * LEAST_PERCENT {
                // Smaller ones beside larger ones are made here; without a larger one the next smaller is tried.
                if kept.is_empty() { continue } else { break }
            }
            track.bitrate_bps = u32::try_from(left).unwrap_or(u32::MAX);
        }
        left -= u64::from(track.bitrate_bps);
        kept.push(track);
    }
    kept
}

/// NVIDIA's encoder, where OBS says that it has it: four pictures at once are much for a processor that plays a game.
const NVENC: &str = "obs_nvenc_h264_tex";

fn encoder(picture: Picture, output: Output, nvenc: bool) -> Encoder {
    let profile = if picture.width.min(picture.height) >= 480 { "high" } else { "main" };
    let mut settings = json!({
        "rate_control": "CBR",
        "bitrate": picture.bitrate_bps / 1000,
        "keyint_sec": KEYFRAMES,
        "profile": profile,
        "bf": 2,
    });
    settings["preset"] = if nvenc { "p4".into() } else { "veryfast".into() };
    Encoder {
        kind: if nvenc { NVENC } else { "obs_x264" },
        width: picture.width,
        height: picture.height,
        framerate: Framerate { numerator: output.rate.numerator, denominator: output.rate.denominator },
        gpu_scale_type: "OBS_SCALE_BICUBIC",
        colorspace: "VIDEO_CS_709",
        range: "VIDEO_RANGE_PARTIAL",
        format: "VIDEO_FORMAT_NV12",
        settings,
        canvas_index: 0,
    }
}
