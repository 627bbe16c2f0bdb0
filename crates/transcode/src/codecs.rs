//! Which of the codecs that Sluice needs this machine's FFmpeg has: for `sluice doctor`, and for publishers of unusual
//! codings. Encoders are opened, not only looked up, since a library can list what it cannot do.

use ffmpeg_next as ffmpeg;
use media::{AudioConfig, FrameRate, MediaTime, VideoConfig};

use crate::{
    av,
    encode::{AacEncoder, H264Encoder, VideoSettings},
    ladder::Preset,
    pipeline::Tools,
};

/// Whether pictures of this coding can be decoded here, and so be given to viewers as H.264.
pub fn can_decode(config: &VideoConfig) -> bool {
    av::can_decode(config)
}

/// Whether sound of this coding can be decoded here, and so be given to viewers as AAC.
pub fn can_decode_audio(config: &AudioConfig) -> bool {
    av::can_decode_audio(config)
}

/// Whether HDR pictures can be given to viewers as SDR here.
pub(crate) fn can_tone_map() -> bool {
    Tools::here().tone_mapping
}

/// One codec, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecCheck {
    /// FFmpeg's name for it.
    pub name: &'static str,
    /// What Sluice needs it for.
    pub purpose: &'static str,
    /// Why it cannot be used; `None` when it can.
    pub fault: Option<String>,
    /// Nothing works without it; else publishers of one coding are refused.
    pub needed: bool,
}

/// Tries every codec that Sluice cannot do without, and tells which of publishers' codings cannot be decoded.
pub fn probe_codecs() -> Vec<CodecCheck> {
    let decoder = |id, name, purpose| CodecCheck {
        name,
        purpose,
        fault: ffmpeg::decoder::find(id).is_none().then(|| "this FFmpeg has no such decoder".to_owned()),
        needed: true,
    };
    let settings = FrameRate::new(30, 1).map(|frame_rate| VideoSettings {
        width: 320,
        height: 180,
        frame_rate,
        bitrate_bps: 200_000,
        gop: 60,
        preset: Preset::Veryfast,
    });
    let x264 = settings.and_then(|settings| H264Encoder::open(&settings).err());
    let aac = AacEncoder::open(48_000, 2, 128_000, MediaTime::ZERO).err();
    let mut checks = vec![
        decoder(ffmpeg::codec::Id::H264, "h264", "decodes what is not copied"),
        decoder(ffmpeg::codec::Id::AAC, "aac (decoder)", "decodes sound that players do not take as it is"),
        CodecCheck {
            name: "libx264",
            purpose: "encodes the rungs",
            fault: x264.map(|fault| fault.to_string()),
            needed: true,
        },
        CodecCheck {
            name: "aac (encoder)",
            purpose: "encodes sound",
            fault: aac.map(|fault| fault.to_string()),
            needed: true,
        },
    ];
    let tools = Tools::here();
    let lacks = |there: bool| (!there).then(|| "this FFmpeg has no such filter".to_owned());
    checks.push(CodecCheck {
        name: "bwdif or yadif",
        purpose: "deinterlaces; without it the rungs of interlaced sources show combs",
        fault: lacks(tools.deinterlacer.is_some()),
        needed: false,
    });
    checks.push(CodecCheck {
        name: "zscale and tonemap",
        purpose: "make SDR rungs of HDR sources; without them those look pale",
        fault: lacks(tools.tone_mapping),
        needed: false,
    });
    checks.extend(av::missing_decoders().into_iter().map(|name| CodecCheck {
        name,
        purpose: "publishers of it are refused",
        fault: Some("this FFmpeg has no decoder for it".to_owned()),
        needed: false,
    }));
    checks
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_has_what_the_tests_need() {
        for codec in super::probe_codecs() {
            assert_eq!(codec.fault, None, "{}", codec.name);
        }
    }
}
