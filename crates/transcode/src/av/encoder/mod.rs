//! Encoders of pictures, in 90 kHz time. What one encoder's options are called stands in a file of its own.

mod x264;

use bytes::Bytes;
use ffmpeg_next::{Packet, Rational, codec, encoder, format::Pixel};
use media::{
    FrameRate,
    h264::{self, nal_type},
};

use super::{CodecError, Picture, Received, extradata, received};
use crate::ladder::{Preset, Profile};

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

/// How an encoder is set up: closed GOPs that open where a picture is marked IDR, and nowhere else.
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

/// An open encoder, in 90 kHz time.
pub(crate) struct VideoEncoder {
    encoder: encoder::Video,
    packet: Packet,
}

impl VideoEncoder {
    pub(crate) fn open(settings: &EncoderSettings) -> Result<Self, CodecError> {
        let codec = encoder::find_by_name(x264::NAME)
            .ok_or_else(|| CodecError::new("find", x264::NAME, "not built in"))?;
        let mut video = codec::Context::new_with_codec(codec)
            .encoder()
            .video()
            .map_err(CodecError::at("avcodec_alloc_context3", x264::NAME))?;
        video.set_width(settings.width);
        video.set_height(settings.height);
        video.set_format(Pixel::YUV420P);
        video.set_time_base(Rational(1, media::TICKS_PER_SECOND as i32));
        let rate = settings.frame_rate.map_or((30, 1), |rate| (rate.num() as i32, rate.den() as i32));
        video.set_frame_rate(Some(Rational(rate.0, rate.1)));
        let options = x264::options(settings);
        let encoder = video.open_with(options).map_err(CodecError::at("avcodec_open2", x264::NAME))?;
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
            .map_err(|error| CodecError::new("extradata", x264::NAME, error))
    }

    /// Puts a marked picture in. All that is ready must have been received before; times must rise.
    pub(crate) fn send(&mut self, picture: &Picture) -> Result<(), CodecError> {
        self.encoder.send_frame(picture.frame()).map_err(CodecError::at("avcodec_send_frame", x264::NAME))
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) -> Result<(), CodecError> {
        self.encoder.send_eof().map_err(CodecError::at("avcodec_send_frame", x264::NAME))
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
            x264::NAME,
        )
    }
}
