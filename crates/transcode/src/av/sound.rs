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
            let context = resampling::Context::get_with(
                from.0,
                from.1,
                from.2,
                PLANAR,
                ChannelLayout::default(i32::from(self.channels)),
                self.rate,
                levels(&from.1, self.channels),
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

/// How loud channels become that are mixed. The shares of each output channel make at most one together, so that six
/// channels at full scale do not clip; libswresample sees to that by itself for whole numbers alone. One channel that
/// becomes two keeps its level in both, as a player has it that gets one.
fn levels(from: &ChannelLayout, channels: u8) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    options.set("rematrix_maxval", "1.0");
    if from.channels() == 1 && channels == 2 {
        // Each would get the half of the power.
        options.set("rematrix_volume", "1.4142135623730951");
    }
    options
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

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    const RATES: [u32; 9] = [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000];
    const RATE: u32 = 48_000;
    const I16: Sample = Sample::I16(Type::Planar);

    /// For each channel its level on the left and on the right, dB.
    type Sides = [(f32, f32)];

    /// A second of 500 Hz at full scale in those channels that `sounds` says, as stereo: the peak and the level (RMS
    /// against that of a full-scale sine, dB) of either side, without what filters do at the edges.
    fn stereo(
        format: Sample,
        layout: ChannelLayout,
        rate: u32,
        sounds: impl Fn(usize) -> bool,
    ) -> [(f32, f32); 2] {
        let mut stereo = Stereo::new(RATE, 2);
        let mut out = vec![Vec::new(); 2];
        let mut at = 0;
        while at < rate as usize {
            let mut frame = frame::Audio::new(format, 1024, layout);
            frame.set_rate(rate);
            for channel in 0..usize::from(frame.channels()) {
                let sample = |nth: usize| (TAU * 500.0 * (at + nth) as f32 / rate as f32).sin();
                let level = if sounds(channel) { 1.0 } else { 0.0 };
                if format == I16 {
                    let plane = frame.plane_mut::<i16>(channel).iter_mut().enumerate();
                    plane.for_each(|(nth, to)| *to = (level * sample(nth) * 32_767.0) as i16);
                } else {
                    let plane = frame.plane_mut::<f32>(channel).iter_mut().enumerate();
                    plane.for_each(|(nth, to)| *to = level * sample(nth));
                }
            }
            stereo.run(&mut Samples(frame), &mut out).expect("a layout that can be mixed");
            at += 1024;
        }
        [0, 1].map(|side| {
            let all: &[f32] = &out[side];
            let seconds = all.len() as f32 / RATE as f32;
            assert!((seconds - at as f32 / rate as f32).abs() < 0.01, "{seconds} s");
            let inner = &all[4_800..all.len() - 4_800];
            let power = inner.iter().map(|sample| sample * sample).sum::<f32>() / inner.len() as f32;
            let peak = inner.iter().fold(0f32, |peak, sample| peak.max(sample.abs()));
            (peak, 10.0 * (2.0 * power).max(1e-9).log10())
        })
    }

    #[test]
    fn sound_at_full_scale_clips_in_no_layout_and_at_no_rate() {
        for (name, layout) in [
            ("mono", ChannelLayout::MONO),
            ("stereo", ChannelLayout::STEREO),
            ("2.1", ChannelLayout::_2POINT1),
            ("quad", ChannelLayout::QUAD),
            ("5.0", ChannelLayout::_5POINT0),
            ("5.0 back", ChannelLayout::_5POINT0_BACK),
            ("5.1", ChannelLayout::_5POINT1),
            ("5.1 back", ChannelLayout::_5POINT1_BACK),
            ("7.1", ChannelLayout::_7POINT1),
        ] {
            for rate in RATES {
                for format in [PLANAR, I16] {
                    for (peak, level) in stereo(format, layout, rate, |_| true) {
                        let what = format!("{name} {rate} {format:?}: peak {peak}, {level:.2} dB");
                        // Nothing above full scale; nothing thrown away either, all channels being of one mind.
                        assert!(peak <= 1.003, "{what}");
                        assert!(level.abs() < 0.1, "{what}");
                    }
                }
            }
        }
    }

    #[test]
    fn each_channel_is_heard_on_its_side() {
        // Silence below −80.
        const NONE: f32 = -90.0;
        let six =
            [(-7.66, NONE), (NONE, -7.66), (-10.67, -10.67), (NONE, NONE), (-10.67, NONE), (NONE, -10.67)];
        let tables: [(&str, ChannelLayout, &Sides); 4] = [
            ("mono", ChannelLayout::MONO, &[(0.0, 0.0)]),
            ("stereo", ChannelLayout::STEREO, &[(0.0, NONE), (NONE, 0.0)]),
            ("5.1", ChannelLayout::_5POINT1, &six),
            ("5.1 back", ChannelLayout::_5POINT1_BACK, &six),
        ];
        for (name, layout, table) in tables {
            for (channel, want) in table.iter().enumerate() {
                let [left, right] = stereo(PLANAR, layout, 44_100, |nth| nth == channel);
                for (got, want) in [(left.1, want.0), (right.1, want.1)] {
                    let silent = want == NONE && got < -80.0;
                    assert!(silent || (got - want).abs() < 0.1, "{name} {channel}: {got} dB for {want}");
                }
            }
        }
    }

    #[test]
    fn a_rate_that_changes_is_followed() {
        let mut stereo = Stereo::new(RATE, 2);
        let mut out = vec![Vec::new(); 2];
        for (rate, layout) in [(44_100, ChannelLayout::STEREO), (96_000, ChannelLayout::_5POINT1)] {
            let mut frame = frame::Audio::new(PLANAR, 4_800, layout);
            frame.set_rate(rate);
            (0..usize::from(frame.channels())).for_each(|channel| frame.plane_mut::<f32>(channel).fill(0.0));
            stereo.run(&mut Samples(frame), &mut out).expect("a layout that can be mixed");
        }
        // 109 ms and 50 ms, without what either filter holds back.
        assert!((7_500..=7_625).contains(&out[0].len()), "{}", out[0].len());
        assert_eq!(out[0].len(), out[1].len());
    }
}
