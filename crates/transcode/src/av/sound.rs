//! Decoders of sound, the AAC encoder, and the resampler between them.

use bytes::Bytes;
use ffmpeg_next::{
    ChannelLayout, Dictionary, Packet, Rational, codec, decoder, encoder, ffi,
    format::{Sample, sample::Type},
    frame,
    software::resampling,
};
use media::{AudioConfig, aac};

use super::{CodecError, Received, coding::audio_decoder, extradata, received, set_extradata};

const ENCODER: &str = "AAC encoder";
const RESAMPLER: &str = "resampler";
const PLANAR: Sample = Sample::F32(Type::Planar);

/// Decoded sound of any layout.
pub(crate) struct Samples(frame::Audio);

impl Samples {
    pub(crate) fn pts(&self) -> Option<i64> {
        self.0.pts()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.samples()
    }

    /// Samples a second, as decoded: with SBR twice what the configuration says.
    pub(crate) fn rate(&self) -> u32 {
        self.0.rate()
    }
}

/// A decoder for packets in [`media::Packet`]'s form.
pub(crate) struct AudioDecoder {
    decoder: decoder::Audio,
    /// What is decoded, for messages.
    what: &'static str,
}

impl AudioDecoder {
    pub(crate) fn open(config: &AudioConfig) -> Result<Self, CodecError> {
        let (codec, what) = audio_decoder(config)?;
        let mut context = codec::Context::new_with_codec(codec);
        set_extradata(&mut context, &config.extradata(), what)?;
        if let AudioConfig::Other(other) = config {
            set_layout(&mut context, other.sample_rate, other.channels);
        }
        let mut context = context.decoder();
        // Decoders that leave out what the encoder put first (Opus) move the times along in this unit.
        context.set_packet_time_base(Rational(1, media::TICKS_PER_SECOND as i32));
        let decoder = context
            .open_as(codec)
            .and_then(decoder::Opened::audio)
            .map_err(CodecError::at("avcodec_open2", what))?;
        Ok(Self { decoder, what })
    }

    /// Puts a frame in. All that is ready must have been received before.
    pub(crate) fn send(&mut self, data: &[u8], pts: i64) -> Result<(), CodecError> {
        let mut packet = Packet::copy(data);
        packet.set_pts(Some(pts));
        packet.set_dts(Some(pts));
        self.decoder.send_packet(&packet).map_err(CodecError::at("avcodec_send_packet", self.what))
    }

    pub(crate) fn receive(&mut self) -> Result<Received<Samples>, CodecError> {
        let mut frame = frame::Audio::empty();
        let result = self.decoder.receive_frame(&mut frame);
        received(result, || Samples(frame), "avcodec_receive_frame", self.what)
    }
}

/// Tells a decoder what the headers of its coding leave out: PCM, ADPCM and Nellymoser have no headers at all.
fn set_layout(context: &mut codec::Context, sample_rate: u32, channels: u8) {
    // SAFETY: plain fields of a valid context that is not open yet; the layout is written whole, and a default one
    // holds no memory of its own.
    unsafe {
        let context = context.as_mut_ptr();
        (*context).sample_rate = i32::try_from(sample_rate).unwrap_or(0);
        ffi::av_channel_layout_default(&raw mut (*context).ch_layout, i32::from(channels.max(1)));
    }
}

/// Brings sound of any rate and layout to planar floats of one rate, in one or two channels.
pub(crate) struct Stereo {
    rate: u32,
    channels: u8,
    /// With the format, layout and rate that it was built for.
    context: Option<(resampling::Context, (Sample, ChannelLayout, u32))>,
}

impl Stereo {
    pub(crate) fn new(rate: u32, channels: u8) -> Self {
        Self { rate, channels, context: None }
    }

    /// Appends the samples to `out`, one vector a channel. What the filter holds back (under a millisecond) comes with
    /// the next call.
    pub(crate) fn run(&mut self, samples: &mut Samples, out: &mut [Vec<f32>]) -> Result<(), CodecError> {
        let frame = &mut samples.0;
        if frame.channel_layout().is_empty() {
            frame.set_channel_layout(ChannelLayout::default(i32::from(frame.channels())));
        }
        let from = (frame.format(), frame.channel_layout(), frame.rate());
        if self.context.as_ref().is_none_or(|(_, built_for)| *built_for != from) {
            let context = resampling::Context::get(
                from.0,
                from.1,
                from.2,
                PLANAR,
                ChannelLayout::default(i32::from(self.channels)),
                self.rate,
            )
            .map_err(CodecError::at("swr_init", RESAMPLER))?;
            self.context = Some((context, from));
        }
        let Some((context, _)) = &mut self.context else { return Ok(()) };
        let room = frame.samples() as u64 * u64::from(self.rate) / u64::from(from.2.max(1)) + 256;
        let mut made =
            frame::Audio::new(PLANAR, room as usize, ChannelLayout::default(i32::from(self.channels)));
        context.run(frame, &mut made).map_err(CodecError::at("swr_convert_frame", RESAMPLER))?;
        for (channel, out) in out.iter_mut().enumerate().take(usize::from(self.channels)) {
            out.extend_from_slice(made.plane(channel));
        }
        Ok(())
    }
}

/// Encodes AAC-LC. Times are counted in samples.
pub(crate) struct AudioEncoder {
    encoder: encoder::Audio,
    packet: Packet,
    rate: u32,
    channels: u8,
}

impl AudioEncoder {
    /// Samples per channel in one frame.
    pub(crate) const FRAME: usize = 1024;

    pub(crate) fn open(rate: u32, channels: u8, bitrate_bps: u32) -> Result<Self, CodecError> {
        let codec =
            encoder::find(codec::Id::AAC).ok_or_else(|| CodecError::new("find", ENCODER, "not built in"))?;
        let mut audio = codec::Context::new_with_codec(codec)
            .encoder()
            .audio()
            .map_err(CodecError::at("avcodec_alloc_context3", ENCODER))?;
        audio.set_rate(rate as i32);
        audio.set_channel_layout(ChannelLayout::default(i32::from(channels)));
        audio.set_format(PLANAR);
        audio.set_bit_rate(bitrate_bps as usize);
        audio.set_time_base(Rational(1, rate as i32));
        let mut options = Dictionary::new();
        options.set("flags", "+global_header");
        let encoder = audio.open_with(options).map_err(CodecError::at("avcodec_open2", ENCODER))?;
        Ok(Self { encoder, packet: Packet::empty(), rate, channels })
    }

    pub(crate) fn config(&self) -> Result<aac::Config, CodecError> {
        aac::Config::parse(&extradata(&self.encoder))
            .map_err(|error| CodecError::new("extradata", ENCODER, error))
    }

    /// Puts one frame in: [`Self::FRAME`] samples a channel, fewer only in the last; `at` is the first one's index.
    pub(crate) fn send(&mut self, samples: &[&[f32]], at: i64) -> Result<(), CodecError> {
        let len = samples.first().map_or(0, |channel| channel.len());
        let mut frame = frame::Audio::new(PLANAR, len, ChannelLayout::default(i32::from(self.channels)));
        if frame.planes() != samples.len() || samples.iter().any(|channel| channel.len() != len) {
            return Err(CodecError::new(
                "avcodec_send_frame",
                ENCODER,
                "channels differ from those announced",
            ));
        }
        frame.set_rate(self.rate);
        frame.set_pts(Some(at));
        for (channel, samples) in samples.iter().enumerate() {
            frame.plane_mut(channel).copy_from_slice(samples);
        }
        self.encoder.send_frame(&frame).map_err(CodecError::at("avcodec_send_frame", ENCODER))
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) -> Result<(), CodecError> {
        self.encoder.send_eof().map_err(CodecError::at("avcodec_send_frame", ENCODER))
    }

    /// The next coded frame and the index of the first sample it stands for; the encoder's delay is taken into account,
    /// so the first frame's is below the first index put in.
    pub(crate) fn receive(&mut self) -> Result<Received<(i64, Bytes)>, CodecError> {
        let result = self.encoder.receive_packet(&mut self.packet);
        let packet = &self.packet;
        received(
            result,
            || {
                let data = Bytes::copy_from_slice(packet.data().unwrap_or_default());
                (packet.pts().unwrap_or_default(), data)
            },
            "avcodec_receive_packet",
            ENCODER,
        )
    }
}
