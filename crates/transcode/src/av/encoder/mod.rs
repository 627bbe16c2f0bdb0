//! Encoders of pictures, in 90 kHz time. What one encoder's options are called stands in a file of its own; here is what
//! all have in common: closed GOPs that open where a picture is marked, packets in [`media::Packet`]'s form.
//!
//! ```text
//!  Picture ─▶ upload: as it is │ NV12 │ NV12 on the device ─▶ encoder ─▶ media::Pictures ─▶ Coded
//! ```

mod hardware;
mod svtav1;
mod x264;
mod x265;

use std::collections::VecDeque;

use bytes::Bytes;
use ffmpeg_next::{Dictionary, Packet, Rational, codec, encoder};
use media::{FrameRate, VideoConfig, pictures::Pictures};

use super::{CodecError, Picture, Received, extradata, received};
use crate::ladder::{EncoderName, Preset, Profile};
use hardware::Upload;

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
    /// Most frames from one IDR picture to the next; `None`: only pictures that are marked become one.
    pub(crate) gop: Option<u32>,
    pub(crate) threads: usize,
    pub(crate) encoder: EncoderName,
}

/// One coded picture.
pub(crate) struct Coded {
    pub(crate) pts: i64,
    pub(crate) dts: i64,
    /// Decoding may start here.
    pub(crate) idr: bool,
    /// In [`media::Packet`]'s form.
    pub(crate) data: Bytes,
}

/// How one encoder of FFmpeg's is to be opened.
struct Recipe {
    options: Vec<(&'static str, String)>,
    upload: Upload,
    /// It makes keyframes where it likes, or none: opened anew for each picture that must be one.
    reopens: bool,
}

/// An open encoder, in 90 kHz time.
pub(crate) struct VideoEncoder {
    settings: EncoderSettings,
    encoder: encoder::Video,
    upload: Upload,
    reopens: bool,
    /// A picture went in since it was opened.
    begun: bool,
    packet: Packet,
    pictures: Pictures,
    /// What was still in the encoder before this one.
    left: VecDeque<Coded>,
}

impl VideoEncoder {
    pub(crate) fn open(settings: &EncoderSettings) -> Result<Self, CodecError> {
        let name = settings.encoder.as_str();
        let (encoder, upload, reopens) = open(settings)?;
        let unknown = || CodecError::new("find", name, "its coding has no form in packets");
        let mut pictures = Pictures::new(settings.encoder.coding()).ok_or_else(unknown)?;
        let headers = Bytes::from(extradata(&encoder));
        // A record, or bare parameter sets, or (SVT-AV1) a bare sequence header as it stands before a frame.
        if pictures.record(&headers).is_err() {
            pictures.frame(&headers, false).map_err(|error| CodecError::new("extradata", name, error))?;
        }
        Ok(Self {
            settings: settings.clone(),
            encoder,
            upload,
            reopens,
            begun: false,
            packet: Packet::empty(),
            pictures,
            left: VecDeque::new(),
        })
    }

    /// The configuration of what comes out; packets do not repeat H.264's parameter sets.
    pub(crate) fn config(&self) -> Result<VideoConfig, CodecError> {
        match self.pictures.config() {
            Ok(Some(config)) => Ok(config),
            Ok(None) => Err(CodecError::new("extradata", self.name(), "no parameter sets in it")),
            Err(error) => Err(CodecError::new("extradata", self.name(), error)),
        }
    }

    /// Puts a marked picture in. All that is ready must have been received before; times must rise.
    pub(crate) fn send(&mut self, picture: &Picture) -> Result<(), CodecError> {
        if self.reopens && self.begun && picture.is_marked_idr() {
            self.finish()?;
            while let Received::Output(coded) = self.receive_coded()? {
                self.left.push_back(coded);
            }
            (self.encoder, self.upload, self.reopens) = open(&self.settings)?;
        }
        self.begun = true;
        let name = self.name();
        let uploaded = self.upload.bring(picture, name)?;
        let frame = uploaded.as_ref().unwrap_or(picture).frame();
        self.encoder.send_frame(frame).map_err(CodecError::at("avcodec_send_frame", name))
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) -> Result<(), CodecError> {
        self.encoder.send_eof().map_err(CodecError::at("avcodec_send_frame", self.name()))
    }

    pub(crate) fn receive(&mut self) -> Result<Received<Coded>, CodecError> {
        match self.left.pop_front() {
            Some(coded) => Ok(Received::Output(coded)),
            None => self.receive_coded(),
        }
    }

    fn receive_coded(&mut self) -> Result<Received<Coded>, CodecError> {
        let name = self.name();
        let result = self.encoder.receive_packet(&mut self.packet);
        let taken = received(result, || (), "avcodec_receive_packet", name)?;
        let packet = &self.packet;
        Ok(match taken {
            Received::NeedsInput => Received::NeedsInput,
            Received::Drained => Received::Drained,
            Received::Output(()) => {
                let body = Bytes::copy_from_slice(packet.data().unwrap_or_default());
                let frame = self
                    .pictures
                    .frame(&body, packet.is_key())
                    .map_err(|error| CodecError::new("avcodec_receive_packet", name, error))?;
                let pts = packet.pts().unwrap_or_default(); // encoders hand on the times they were given
                let dts = packet.dts().unwrap_or(pts).min(pts);
                Received::Output(Coded { pts, dts, idr: frame.key, data: frame.data })
            }
        })
    }

    fn name(&self) -> &'static str {
        self.settings.encoder.as_str()
    }
}

fn open(settings: &EncoderSettings) -> Result<(encoder::Video, Upload, bool), CodecError> {
    let name = settings.encoder.as_str();
    let codec = encoder::find_by_name(name)
        .ok_or_else(|| CodecError::new("find", name, "this FFmpeg is built without it"))?;
    let recipe = match settings.encoder {
        EncoderName::Libx264 => x264::recipe(settings),
        EncoderName::Libx265 => x265::recipe(settings),
        EncoderName::Libsvtav1 => svtav1::recipe(settings),
        EncoderName::H264Nvenc => hardware::nvenc(settings),
        EncoderName::H264Vaapi => hardware::vaapi(settings)?,
        EncoderName::H264Qsv => hardware::qsv(settings),
        EncoderName::H264Videotoolbox => hardware::videotoolbox(settings),
    };
    let mut video = codec::Context::new_with_codec(codec)
        .encoder()
        .video()
        .map_err(CodecError::at("avcodec_alloc_context3", name))?;
    video.set_width(settings.width);
    video.set_height(settings.height);
    video.set_format(recipe.upload.format());
    video.set_time_base(Rational(1, media::TICKS_PER_SECOND as i32));
    let (num, den) = settings.rate();
    video.set_frame_rate(Some(Rational(num as i32, den as i32)));
    recipe.upload.attach(&mut video, name)?;
    let mut options = Dictionary::new();
    for (key, value) in [
        ("b", settings.bitrate_bps.to_string()),
        ("maxrate", settings.maxrate_bps.to_string()),
        ("bufsize", settings.bufsize_bits.to_string()),
        ("threads", settings.threads.max(1).to_string()),
        ("flags", "+global_header+cgop".to_owned()),
        ("color_range", "tv".to_owned()),
        ("color_primaries", settings.colour.primaries.to_string()),
        ("color_trc", settings.colour.transfer.to_string()),
        ("colorspace", settings.colour.matrix.to_string()),
    ] {
        options.set(key, &value);
    }
    recipe.options.iter().for_each(|(key, value)| options.set(key, value));
    let encoder = video.open_with(options).map_err(CodecError::at("avcodec_open2", name))?;
    Ok((encoder, recipe.upload, recipe.reopens))
}

impl EncoderSettings {
    /// Frames a second that rate control reckons with, as a fraction.
    fn rate(&self) -> (u32, u32) {
        self.frame_rate.map_or((30, 1), |rate| (rate.num(), rate.den()))
    }
}
