//! Which decoder of FFmpeg's takes which coding. By name, since several decoders share a coding's number, and the first
//! one is not always one that works everywhere: FFmpeg's own `av1` needs a graphics card.

use ffmpeg_next::{
    Codec,
    codec::{self, Id},
    decoder,
};
use media::{AudioCodec, AudioConfig, VideoCodec, VideoConfig};

use super::CodecError;

/// The decoder of a picture's coding, and what to call it in messages.
pub(super) fn video_decoder(config: &VideoConfig) -> Result<(Codec, &'static str), CodecError> {
    match config {
        VideoConfig::H264(_) => find(&["h264"], "H.264 decoder"),
        VideoConfig::Other(other) => find(video_names(other.codec), other.codec.as_str()),
    }
}

/// The same for sound.
pub(super) fn audio_decoder(config: &AudioConfig) -> Result<(Codec, &'static str), CodecError> {
    match config {
        AudioConfig::Aac(_) => find(&["aac"], "AAC decoder"),
        AudioConfig::Other(other) => find(audio_names(other.codec), other.codec.as_str()),
    }
}

/// Whether this machine's FFmpeg has a decoder for these pictures.
pub(crate) fn can_decode(config: &VideoConfig) -> bool {
    video_decoder(config).is_ok()
}

/// Whether this machine's FFmpeg has a decoder for this sound.
pub(crate) fn can_decode_audio(config: &AudioConfig) -> bool {
    audio_decoder(config).is_ok()
}

/// What publishers may send and this machine's FFmpeg has no decoder for.
pub(crate) fn missing_decoders() -> Vec<&'static str> {
    use AudioCodec::{Ac3, AdpcmSwf, Eac3, Flac, Mp3, Nellymoser, Opus, PcmS16Le, PcmU8, Speex};
    use VideoCodec::{Av1, Hevc, ScreenVideo, ScreenVideo2, SorensonH263, Vp6, Vp6Alpha, Vp8, Vp9};
    let video = [Hevc, Av1, Vp9, Vp8, SorensonH263, Vp6, Vp6Alpha, ScreenVideo, ScreenVideo2];
    let audio = [Opus, Flac, Ac3, Eac3, Mp3, Speex, Nellymoser, PcmS16Le, PcmU8];
    let audio = audio.into_iter().chain([AudioCodec::ALaw, AudioCodec::MuLaw, AdpcmSwf]);
    let video = video.into_iter().map(|codec| (video_names(codec), codec.as_str()));
    let audio = audio.map(|codec| (audio_names(codec), codec.as_str()));
    video.chain(audio).filter_map(|(names, what)| find(names, what).is_err().then_some(what)).collect()
}

fn find(names: &[&str], what: &'static str) -> Result<(Codec, &'static str), CodecError> {
    names
        .iter()
        .find_map(|name| decoder::find_by_name(name))
        .map(|codec| (codec, what))
        .ok_or_else(|| CodecError::new("find", what, "this FFmpeg has no such decoder"))
}

/// FFmpeg's names, the best first.
fn video_names(codec: VideoCodec) -> &'static [&'static str] {
    match codec {
        VideoCodec::Hevc => &["hevc"],
        VideoCodec::Av1 => &["libdav1d", "libaom-av1"],
        VideoCodec::Vp9 => &["vp9", "libvpx-vp9"],
        VideoCodec::Vp8 => &["vp8", "libvpx"],
        VideoCodec::Vvc => &["vvc", "libvvdec"],
        VideoCodec::SorensonH263 => &["flv"],
        VideoCodec::Vp6 => &["vp6f"],
        VideoCodec::Vp6Alpha => &["vp6a"],
        VideoCodec::ScreenVideo => &["flashsv"],
        VideoCodec::ScreenVideo2 => &["flashsv2"],
    }
}

fn audio_names(codec: AudioCodec) -> &'static [&'static str] {
    match codec {
        AudioCodec::Opus => &["opus", "libopus"],
        AudioCodec::Flac => &["flac"],
        AudioCodec::Ac3 => &["ac3"],
        AudioCodec::Eac3 => &["eac3"],
        AudioCodec::Mp3 => &["mp3float", "mp3"],
        AudioCodec::Speex => &["libspeex", "speex"],
        AudioCodec::Nellymoser => &["nellymoser"],
        AudioCodec::PcmS16Le => &["pcm_s16le"],
        AudioCodec::PcmU8 => &["pcm_u8"],
        AudioCodec::ALaw => &["pcm_alaw"],
        AudioCodec::MuLaw => &["pcm_mulaw"],
        AudioCodec::AdpcmSwf => &["adpcm_swf"],
    }
}

/// The coding of a file's track; `None` for what nobody publishes.
pub(super) fn video_codec(id: codec::Id) -> Option<VideoCodec> {
    Some(match id {
        Id::HEVC => VideoCodec::Hevc,
        Id::AV1 => VideoCodec::Av1,
        Id::VP9 => VideoCodec::Vp9,
        Id::VP8 => VideoCodec::Vp8,
        Id::FLV1 => VideoCodec::SorensonH263,
        Id::VP6F => VideoCodec::Vp6,
        Id::VP6A => VideoCodec::Vp6Alpha,
        Id::FLASHSV => VideoCodec::ScreenVideo,
        Id::FLASHSV2 => VideoCodec::ScreenVideo2,
        _ => return None,
    })
}

/// The same for sound.
pub(super) fn audio_codec(id: codec::Id) -> Option<AudioCodec> {
    Some(match id {
        Id::OPUS => AudioCodec::Opus,
        Id::FLAC => AudioCodec::Flac,
        Id::AC3 => AudioCodec::Ac3,
        Id::EAC3 => AudioCodec::Eac3,
        Id::MP3 => AudioCodec::Mp3,
        Id::SPEEX => AudioCodec::Speex,
        Id::NELLYMOSER => AudioCodec::Nellymoser,
        Id::PCM_S16LE => AudioCodec::PcmS16Le,
        Id::PCM_U8 => AudioCodec::PcmU8,
        Id::PCM_ALAW => AudioCodec::ALaw,
        Id::PCM_MULAW => AudioCodec::MuLaw,
        Id::ADPCM_SWF => AudioCodec::AdpcmSwf,
        _ => return None,
    })
}
