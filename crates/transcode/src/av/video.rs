//! Decoders of pictures, and the H.264 encoder.

use bytes::Bytes;
use ffmpeg_next::{
    Dictionary, Packet, Rational,
    codec::{self, packet, threading},
    decoder, encoder,
    format::Pixel,
};
use media::{
    FrameRate, VideoConfig,
    h264::{self, nal_type},
};

use super::{CodecError, Picture, Received, coding::video_decoder, extradata, received, set_extradata};
use crate::ladder::{Preset, Profile};

const ENCODER: &str = "libx264";
/// Most pixels of a picture that is decoded: 8192 x 4320. A hostile SPS may announce far more.
const MAX_PIXELS: &str = "35389440";
/// Frames that output is held back where the bitstream does not say: what two levels of B-frames need. FFmpeg would
/// otherwise start with none and let the first reordered frames out too early.
const GUESSED_REORDER: i32 = 2;

/// A decoder for packets in [`media::Packet`]'s form. Times pass through as they are.
pub(crate) struct VideoDecoder {
    decoder: decoder::Video,
    /// What is decoded, for messages.
    what: &'static str,
}

impl VideoDecoder {
    /// Opens a decoder with `threads` frame threads; one is cheapest, more are for pictures too large for one core.
    pub(crate) fn open(config: &VideoConfig, threads: usize) -> Result<Self, CodecError> {
        let (codec, what) = video_decoder(config)?;
        let mut context = codec::Context::new_with_codec(codec);
        match config {
            VideoConfig::H264(config) => {
                set_extradata(&mut context, &config.to_record(), what)?;
                if config.sps.max_reorder.is_none() && config.sps.profile_idc != 66 {
                    // SAFETY: a plain field of a valid context, to be set by the user before it is opened.
                    unsafe { (*context.as_mut_ptr()).has_b_frames = GUESSED_REORDER };
                }
            }
            VideoConfig::Other(other) => set_extradata(&mut context, &other.extradata, what)?,
        }
        context.set_threading(threading::Config {
            kind: threading::Type::Frame,
            count: threads.max(1),
            ..threading::Config::default()
        });
        let mut options = Dictionary::new();
        options.set("max_pixels", MAX_PIXELS);
        let decoder = context
            .decoder()
            .open_as_with(codec, options)
            .and_then(decoder::Opened::video)
            .map_err(CodecError::at("avcodec_open2", what))?;
        Ok(Self { decoder, what })
    }

    /// Puts a packet in. All that is ready must have been received before.
    pub(crate) fn send(&mut self, data: &[u8], pts: i64, dts: i64, keyframe: bool) -> Result<(), CodecError> {
        let mut packet = Packet::copy(data);
        if keyframe {
            packet.set_flags(packet::Flags::KEY); // Screen video 2 does not say so itself
        }
        packet.set_pts(Some(pts));
        packet.set_dts(Some(dts));
        self.decoder.send_packet(&packet).map_err(CodecError::at("avcodec_send_packet", self.what))
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) -> Result<(), CodecError> {
        self.decoder.send_eof().map_err(CodecError::at("avcodec_send_packet", self.what))
    }

    pub(crate) fn receive(&mut self) -> Result<Received<Picture>, CodecError> {
        let mut picture = Picture::empty();
        let result = self.decoder.receive_frame(picture.frame_mut());
        received(result, || picture, "avcodec_receive_frame", self.what)
    }
}

/// Colours as the bitstream names them (ISO/IEC 14496-10 tables E-3 to E-5); 2 is unspecified. The range is always
/// limited: the scaler sees to that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Colour {
    pub(crate) primaries: u8,
    pub(crate) transfer: u8,
    pub(crate) matrix: u8,
}

impl Colour {
    pub(crate) const BT709: Self = Self { primaries: 1, transfer: 1, matrix: 1 };
}

/// How x264 is set up: closed GOPs that open where a picture is marked IDR, and nowhere else.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct EncoderSettings {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The rate that is declared and that the rate control reckons with; where unknown, durations come from the
    /// pictures' times.
    pub(crate) frame_rate: Option<FrameRate>,
    pub(crate) bitrate_bps: u32,
    pub(crate) maxrate_bps: u32,
    pub(crate) bufsize_bits: u32,
    pub(crate) profile: Profile,
    pub(crate) level_idc: u8,
    pub(crate) preset: Preset,
    pub(crate) colour: Colour,
    /// Frames do not come evenly: the rate control goes by their times.
    pub(crate) variable_rate: bool,
    /// Most frames from one IDR picture to the next; `None`: only pictures that are marked become one.
    pub(crate) gop: Option<u32>,
    pub(crate) threads: usize,
}

/// One coded picture.
pub(crate) struct Coded {
    pub(crate) pts: i64,
    pub(crate) dts: i64,
    pub(crate) idr: bool,
    /// NAL units behind four-byte lengths, without parameter sets.
    pub(crate) data: Bytes,
}

/// x264, in 90 kHz time.
pub(crate) struct VideoEncoder {
    encoder: encoder::Video,
    packet: Packet,
}

impl VideoEncoder {
    pub(crate) fn open(settings: &EncoderSettings) -> Result<Self, CodecError> {
        let codec =
            encoder::find_by_name(ENCODER).ok_or_else(|| CodecError::new("find", ENCODER, "not built in"))?;
        let mut video = codec::Context::new_with_codec(codec)
            .encoder()
            .video()
            .map_err(CodecError::at("avcodec_alloc_context3", ENCODER))?;
        video.set_width(settings.width);
        video.set_height(settings.height);
        video.set_format(Pixel::YUV420P);
        video.set_time_base(Rational(1, media::TICKS_PER_SECOND as i32));
        let rate = settings.frame_rate.map_or((30, 1), |rate| (rate.num() as i32, rate.den() as i32));
        video.set_frame_rate(Some(Rational(rate.0, rate.1)));
        let mut options = Dictionary::new();
        let level = settings.level_idc;
        // Makes the rate control count frames, and the parameter sets say the frame rate rather than 90000 fps, which
        // some players would believe. Times pass through as they are either way.
        let even = settings.frame_rate.is_some() && !settings.variable_rate;
        let regular = if even { ":force-cfr=1" } else { "" };
        // x264 writes this into the stream, and receivers (ours too) believe it.
        let keyint = settings.gop.map_or_else(|| "infinite".to_owned(), |frames| frames.to_string());
        for (key, value) in [
            ("preset", settings.preset.as_str().to_owned()),
            ("profile", settings.profile.as_str().to_owned()),
            ("b", settings.bitrate_bps.to_string()),
            ("maxrate", settings.maxrate_bps.to_string()),
            ("bufsize", settings.bufsize_bits.to_string()),
            ("threads", settings.threads.max(1).to_string()),
            ("flags", "+global_header+cgop".to_owned()),
            ("forced-idr", "1".to_owned()),
            ("x264-params", format!("level={level}:keyint={keyint}:scenecut=0:open-gop=0{regular}")),
            ("color_range", "tv".to_owned()),
            ("color_primaries", settings.colour.primaries.to_string()),
            ("color_trc", settings.colour.transfer.to_string()),
            ("colorspace", settings.colour.matrix.to_string()),
        ] {
            options.set(key, &value);
        }
        let encoder = video.open_with(options).map_err(CodecError::at("avcodec_open2", ENCODER))?;
        Ok(Self { encoder, packet: Packet::empty() })
    }

    /// The parameter sets, which the packets do not repeat.
    pub(crate) fn config(&self) -> Result<h264::Config, CodecError> {
        let bytes = Bytes::from(extradata(&self.encoder));
        let units = |kind| {
            h264::annex_b_units(&bytes)
                .filter(|unit| unit.first().is_some_and(|header| header & 31 == kind))
                .map(Bytes::copy_from_slice)
                .collect()
        };
        h264::Config::from_units(units(nal_type::SPS), units(nal_type::PPS))
            .map_err(|error| CodecError::new("extradata", ENCODER, error))
    }

    /// Puts a marked picture in. All that is ready must have been received before; times must rise.
    pub(crate) fn send(&mut self, picture: &Picture) -> Result<(), CodecError> {
        self.encoder.send_frame(picture.frame()).map_err(CodecError::at("avcodec_send_frame", ENCODER))
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) -> Result<(), CodecError> {
        self.encoder.send_eof().map_err(CodecError::at("avcodec_send_frame", ENCODER))
    }

    pub(crate) fn receive(&mut self) -> Result<Received<Coded>, CodecError> {
        let result = self.encoder.receive_packet(&mut self.packet);
        let packet = &self.packet;
        received(
            result,
            || {
                let unit =
                    h264::normalise_annex_b(&Bytes::copy_from_slice(packet.data().unwrap_or_default()));
                let pts = packet.pts().unwrap_or_default(); // x264 hands on the times it was given
                Coded { pts, dts: packet.dts().unwrap_or(pts).min(pts), idr: unit.idr, data: unit.data }
            },
            "avcodec_receive_packet",
            ENCODER,
        )
    }
}
