//! Encoders for pictures and sound that this process makes itself, such as the demo's: raw in, [`media`]'s forms out.
//! For ladders of what others publish see [`crate::Transcoder`].

use media::{AudioConfig, FrameRate, MediaSpan, MediaTime, Packet, TrackId, TrackKind, VideoConfig};

use crate::{
    av::{self, AudioEncoder, CodecError, Colour, EncoderSettings, Picture, Pool, Received, VideoEncoder},
    ladder::{self, EncoderName, Preset, Profile},
};

/// Why an encoder did not open or encode: the call, the codec, and FFmpeg's own words.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct EncodeError(String);

impl EncodeError {
    pub(crate) fn new(words: String) -> Self {
        Self(words)
    }
}

impl From<CodecError> for EncodeError {
    fn from(error: CodecError) -> Self {
        Self(error.to_string())
    }
}

/// How a picture is encoded.
#[derive(Clone, PartialEq, Debug)]
pub struct VideoSettings {
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Frames a second.
    pub frame_rate: FrameRate,
    /// Average bits a second; the cap is a quarter above.
    pub bitrate_bps: u32,
    /// Frames from one IDR picture to the next.
    pub gop: u32,
    /// x264's speed setting.
    pub preset: Preset,
}

/// 8-bit 4:2:0 planes Y, U, V: `[plane][rows][stride]`, chroma planes half as wide and high. Limited range, BT.709.
#[derive(Clone, Copy, Debug)]
pub struct Planes<'a> {
    /// Each plane's rows, `stride` bytes apart.
    pub data: [&'a [u8]; 3],
    /// Bytes from one row to the next, at least the plane's width.
    pub stride: [usize; 3],
}

/// H.264 High by x264.
pub struct H264Encoder {
    encoder: VideoEncoder,
    config: VideoConfig,
    pool: Pool,
    width: usize,
    height: usize,
    gop: u32,
    frames: u64,
    last_pts: Option<MediaTime>,
}

impl H264Encoder {
    /// Opens the encoder.
    ///
    /// # Errors
    /// When the sizes are odd or 0, or x264 does not take the settings.
    pub fn open(settings: &VideoSettings) -> Result<Self, EncodeError> {
        let (width, height) = (settings.width, settings.height);
        let (maxrate_bps, _) = ladder::cap(settings.bitrate_bps);
        let level_idc = ladder::level(width, height, Some(settings.frame_rate), maxrate_bps);
        Self::open_as(settings, Profile::High, level_idc)
    }

    /// The same in another profile and level.
    pub(crate) fn open_as(
        settings: &VideoSettings,
        profile: Profile,
        level_idc: u8,
    ) -> Result<Self, EncodeError> {
        av::quiet();
        let (width, height) = (settings.width, settings.height);
        if width % 2 != 0 || height % 2 != 0 || width == 0 || height == 0 {
            return Err(EncodeError(format!("picture of {width}x{height}: both sides must be even")));
        }
        let (maxrate_bps, bufsize_bits) = ladder::cap(settings.bitrate_bps);
        let encoder = VideoEncoder::open(&EncoderSettings {
            width,
            height,
            frame_rate: Some(settings.frame_rate),
            bitrate_bps: settings.bitrate_bps,
            maxrate_bps,
            bufsize_bits,
            profile,
            level_idc,
            preset: settings.preset,
            colour: Colour::BT709,
            gop: Some(settings.gop.max(1)),
            threads: 1,
            encoder: EncoderName::Libx264,
        })?;
        Ok(Self {
            config: encoder.config()?,
            encoder,
            pool: Pool::new(width, height),
            width: width as usize,
            height: height as usize,
            gop: settings.gop.max(1),
            frames: 0,
            last_pts: None,
        })
    }

    /// Parameter sets of the packets to come.
    pub fn config(&self) -> &VideoConfig {
        &self.config
    }

    /// Encodes one frame; `pts` must rise. Gives back what became ready, in decode order: the encoder looks about half
    /// a second ahead.
    ///
    /// # Errors
    /// When planes are too short for the picture, times do not rise, or x264 fails.
    pub fn encode(&mut self, planes: Planes<'_>, pts: MediaTime) -> Result<Vec<Packet>, EncodeError> {
        if self.last_pts.is_some_and(|last| pts <= last) {
            return Err(EncodeError(format!("frame at {pts:?} does not follow {:?}", self.last_pts)));
        }
        let mut picture = self.fill(planes)?;
        picture.mark(pts.ticks(), self.frames.is_multiple_of(u64::from(self.gop)));
        self.encoder.send(&picture)?;
        self.last_pts = Some(pts);
        self.frames += 1;
        self.receive()
    }

    /// The frames still inside.
    ///
    /// # Errors
    /// When x264 fails.
    pub fn finish(mut self) -> Result<Vec<Packet>, EncodeError> {
        self.encoder.finish()?;
        self.receive()
    }

    fn fill(&mut self, planes: Planes<'_>) -> Result<Picture, EncodeError> {
        let picture = self.pool.take()?;
        for (plane, (data, from_stride)) in planes.data.into_iter().zip(planes.stride).enumerate() {
            let (width, rows) =
                if plane == 0 { (self.width, self.height) } else { (self.width / 2, self.height / 2) };
            if from_stride < width || data.len() < from_stride * (rows - 1) + width {
                return Err(EncodeError(format!(
                    "plane {plane} has {} bytes in rows of {from_stride}, expected {rows} rows of {width}",
                    data.len()
                )));
            }
            let to_stride = picture.stride(plane);
            let target = picture.plane_mut(plane).chunks_mut(to_stride);
            for (to, from) in target.zip(data.chunks(from_stride)).take(rows) {
                to[..width].copy_from_slice(&from[..width]);
            }
        }
        Ok(picture.share()?)
    }

    fn receive(&mut self) -> Result<Vec<Packet>, EncodeError> {
        let mut packets = Vec::new();
        while let Received::Output(coded) = self.encoder.receive()? {
            packets.push(Packet {
                track: TrackId(0),
                kind: TrackKind::Video,
                pts: MediaTime::from_ticks(coded.pts),
                dts: MediaTime::from_ticks(coded.dts),
                keyframe: coded.idr,
                data: coded.data,
            });
        }
        Ok(packets)
    }
}

/// AAC-LC by FFmpeg.
pub struct AacEncoder {
    encoder: AudioEncoder,
    config: AudioConfig,
    sample_rate: u32,
    start: MediaTime,
    /// Samples not yet in a whole frame, one vector a channel.
    waiting: Vec<Vec<f32>>,
    /// Index of the next sample that goes into the encoder.
    next: i64,
}

impl AacEncoder {
    /// Opens the encoder for 1 or 2 channels. `start` is when the first sample is heard.
    ///
    /// # Errors
    /// When the encoder does not take the settings.
    pub fn open(
        sample_rate: u32,
        channels: u8,
        bitrate_bps: u32,
        start: MediaTime,
    ) -> Result<Self, EncodeError> {
        av::quiet();
        if !(1..=2).contains(&channels) {
            return Err(EncodeError(format!("{channels} channels, expected 1 or 2")));
        }
        let encoder = AudioEncoder::open(sample_rate, channels, bitrate_bps)?;
        Ok(Self {
            config: AudioConfig::Aac(encoder.config()?),
            encoder,
            sample_rate,
            start,
            waiting: vec![Vec::new(); usize::from(channels)],
            next: 0,
        })
    }

    /// The configuration of the packets to come.
    pub fn config(&self) -> &AudioConfig {
        &self.config
    }

    /// Encodes samples: one slice a channel, equally long, of any length, -1 to 1. Times come from the sample count;
    /// what the encoder puts before the first sample (1024 samples) is left out.
    ///
    /// # Errors
    /// When the channels are not those announced, or the encoder fails.
    pub fn encode(&mut self, channels: &[&[f32]]) -> Result<Vec<Packet>, EncodeError> {
        let len = channels.first().map_or(0, |channel| channel.len());
        if channels.len() != self.waiting.len() || channels.iter().any(|channel| channel.len() != len) {
            return Err(EncodeError(format!(
                "{} channels of unlike or other count than the {} announced",
                channels.len(),
                self.waiting.len()
            )));
        }
        for (waiting, channel) in self.waiting.iter_mut().zip(channels) {
            waiting.extend_from_slice(channel);
        }
        let mut packets = Vec::new();
        let mut used = 0;
        while self.waiting[0].len() - used >= AudioEncoder::FRAME {
            let frame: Vec<&[f32]> =
                self.waiting.iter().map(|channel| &channel[used..used + AudioEncoder::FRAME]).collect();
            self.encoder.send(&frame, self.next)?;
            used += AudioEncoder::FRAME;
            self.next += AudioEncoder::FRAME as i64;
            while let Received::Output((sample, data)) = self.encoder.receive()? {
                let Ok(sample) = u64::try_from(sample) else { continue };
                let pts = self.start + MediaSpan::from_samples(sample, self.sample_rate);
                packets.push(Packet {
                    track: TrackId(0),
                    kind: TrackKind::Audio,
                    pts,
                    dts: pts,
                    keyframe: true,
                    data,
                });
            }
        }
        self.waiting.iter_mut().for_each(|channel| drop(channel.drain(..used)));
        Ok(packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_back_in_media_form() {
        let rate = FrameRate::new(30, 1).unwrap();
        let mut encoder = H264Encoder::open(&VideoSettings {
            width: 160,
            height: 90,
            frame_rate: rate,
            bitrate_bps: 200_000,
            gop: 10,
            preset: Preset::Ultrafast,
        })
        .unwrap();
        assert_eq!(encoder.config().dimensions(), (160, 90));
        let (luma, chroma) = (vec![90; 200 * 90], vec![128; 80 * 45]);
        let mut packets = Vec::new();
        for frame in 0..25 {
            let planes = Planes { data: [&luma, &chroma, &chroma], stride: [200, 80, 80] };
            packets.extend(encoder.encode(planes, MediaTime::from_ticks(frame * 3000)).unwrap());
        }
        let again = Planes { data: [&luma, &chroma, &chroma], stride: [200, 80, 80] };
        assert!(encoder.encode(again, MediaTime::ZERO).is_err(), "time going back");
        let short = Planes { data: [&luma[..100], &chroma, &chroma], stride: [200, 80, 80] };
        assert!(encoder.encode(short, MediaTime::from_ticks(1 << 30)).is_err(), "plane too short");
        packets.extend(encoder.finish().unwrap());
        let keys: Vec<_> = packets.iter().filter(|p| p.keyframe).map(|p| p.pts.ticks()).collect();
        assert_eq!((packets.len(), keys), (25, vec![0, 30_000, 60_000]));
        assert!(packets.is_sorted_by(|a, b| a.dts < b.dts) && packets.iter().all(|p| p.dts <= p.pts));
    }

    #[test]
    fn sound_is_timed_by_its_samples() {
        let start = MediaTime::from_ticks(500);
        let mut encoder = AacEncoder::open(48_000, 2, 96_000, start).unwrap();
        assert_eq!(encoder.config().codecs(), "mp4a.40.2");
        let samples = vec![0.1; 700];
        let packets: Vec<_> = (0..20).flat_map(|_| encoder.encode(&[&samples, &samples]).unwrap()).collect();
        let pts: Vec<_> = packets.iter().map(|packet| packet.pts.ticks()).collect();
        assert!(
            pts.len() >= 10 && pts[0] == 500 && pts.windows(2).all(|two| two[1] - two[0] == 1920),
            "{pts:?}"
        );
        assert!(encoder.encode(&[&samples]).is_err());
    }
}
