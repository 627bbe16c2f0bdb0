//! One audio track's coding: configuration records and coded frames in, as a publisher writes them; the configuration in
//! force, packet data and sample counts out. What a packet's data looks like, [`crate::Packet`] says.

use bytes::Bytes;

use crate::{
    aac, ac3,
    codec::{AudioCodec, AudioCoding, AudioConfig, OtherAudio},
    flac, flash_sound,
    header::HeaderError,
    mp3, opus,
};

/// What a tag's header says of sound whose frames say nothing themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Format {
    /// Samples a second.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u8,
}

/// One coded frame, looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// What a packet carries.
    pub data: Bytes,
    /// Samples of each channel that it decodes to; above 0. For AAC that depends on the configuration: 0 until there is
    /// one.
    pub samples: u32,
    /// [`Sounds::config`] may say something else than before.
    pub changed: bool,
    /// AAC in an ADTS frame, taken out of it.
    pub adts: bool,
}

/// The coding of one audio track.
#[derive(Debug)]
pub struct Sounds {
    coding: AudioCoding,
    config: Option<AudioConfig>,
    /// Frames in the last packet of Speex.
    speex_frames: u32,
}

impl Sounds {
    /// A track of which only the coding is known.
    pub fn new(coding: AudioCoding) -> Self {
        Self { coding, config: None, speex_frames: 0 }
    }

    /// The coding it was made for.
    pub fn coding(&self) -> AudioCoding {
        self.coding
    }

    /// The configuration in force; `None` while too little came to tell.
    pub fn config(&self) -> Option<&AudioConfig> {
        self.config.as_ref()
    }

    /// Assumes a configuration that never came.
    pub fn assume(&mut self, config: AudioConfig) {
        self.config = Some(config);
    }

    /// Takes a configuration record; an empty one says nothing. True when [`Sounds::config`] says something else than
    /// before.
    ///
    /// # Errors
    /// When the record cannot be used; what was in force stays.
    pub fn record(&mut self, body: &Bytes) -> Result<bool, HeaderError> {
        if body.is_empty() {
            return Ok(false);
        }
        let config = match self.coding {
            AudioCoding::Aac => aac::Config::parse(body)
                .map(AudioConfig::Aac)
                .map_err(|error| HeaderError::Other(error.to_string()))?,
            AudioCoding::Other(codec @ AudioCodec::Opus) => {
                let head = opus::Head::parse(body)?;
                other(codec, head.bytes, opus::SAMPLE_RATE, head.channels)
            }
            AudioCoding::Other(codec @ AudioCodec::Flac) => {
                let info = flac::StreamInfo::parse(body)?;
                other(codec, info.bytes, info.sample_rate, info.channels)
            }
            AudioCoding::Other(_) => return Ok(false), // no other coding has one
        };
        Ok(self.settle(config))
    }

    /// Looks at one coded frame. `format` is what the tag around it says, where that is to be believed.
    ///
    /// # Errors
    /// When it is empty or its header cannot be read: it is to be dropped.
    pub fn frame(&mut self, body: &Bytes, format: Format) -> Result<Frame, HeaderError> {
        let codec = match self.coding {
            AudioCoding::Aac => return self.aac(body),
            AudioCoding::Other(codec) => codec,
        };
        let unread = || HeaderError::truncated(codec.as_str(), body);
        let mut told = other(codec, Bytes::new(), format.sample_rate, format.channels);
        let samples = match codec {
            AudioCodec::Opus => {
                if let Some(config) = &self.config {
                    told = config.clone();
                } else {
                    let head = opus::Head::plain(opus::channels(body).ok_or_else(unread)?);
                    told = other(codec, head.bytes, opus::SAMPLE_RATE, head.channels);
                }
                opus::samples(body).ok_or_else(unread)?
            }
            AudioCodec::Flac => {
                told = self.config.clone().ok_or(HeaderError::Missing("FLAC STREAMINFO"))?;
                flac::samples(body).ok_or_else(unread)?
            }
            AudioCodec::Ac3 | AudioCodec::Eac3 => {
                let packet = ac3::packet(body)?;
                let codec = if packet.enhanced { AudioCodec::Eac3 } else { AudioCodec::Ac3 };
                told = other(codec, Bytes::new(), packet.sample_rate, packet.channels);
                packet.samples
            }
            AudioCodec::Mp3 => {
                let (frame, samples) = mp3::packet(body)?;
                told = other(codec, Bytes::new(), frame.sample_rate, frame.channels);
                samples
            }
            AudioCodec::Speex => {
                let frames = flash_sound::speex_frames(body);
                // FFmpeg decodes as many frames of each packet as its header says; a shorter last packet changes nothing.
                let lasting = self.config.is_none() || frames == self.speex_frames;
                self.speex_frames = frames;
                if let (false, Some(config)) = (lasting, &self.config) {
                    told = config.clone();
                } else {
                    let head = flash_sound::speex_header(frames);
                    told = other(codec, head, format.sample_rate, format.channels);
                }
                frames * flash_sound::SPEEX_FRAME
            }
            AudioCodec::Nellymoser => flash_sound::nellymoser(body),
            AudioCodec::PcmS16Le => flash_sound::pcm(body, 2, format.channels),
            AudioCodec::PcmU8 | AudioCodec::ALaw | AudioCodec::MuLaw => {
                flash_sound::pcm(body, 1, format.channels)
            }
            AudioCodec::AdpcmSwf => flash_sound::adpcm_swf(body, format.channels),
        };
        if samples == 0 {
            return Err(unread());
        }
        let changed = self.settle(told);
        Ok(Frame { data: body.clone(), samples, changed, adts: false })
    }

    fn aac(&mut self, body: &Bytes) -> Result<Frame, HeaderError> {
        let (mut data, mut changed, mut adts) = (body.clone(), false, false);
        if let Some((config, raw)) = aac::split_adts(body) {
            (data, adts) = (body.slice_ref(raw), true);
            let same = self.config.as_ref().is_some_and(|current| {
                (current.sample_rate(), current.channels()) == (config.sample_rate, config.channels)
            });
            changed = !same && !data.is_empty() && self.settle(AudioConfig::Aac(config));
        }
        if data.is_empty() {
            return Err(HeaderError::truncated("AAC frame", body));
        }
        let samples = self.config.as_ref().and_then(AudioConfig::aac).map_or(0, |aac| aac.samples_per_frame);
        Ok(Frame { data, samples, changed, adts })
    }

    fn settle(&mut self, config: AudioConfig) -> bool {
        let changed = self.config.as_ref() != Some(&config);
        if changed {
            self.config = Some(config);
        }
        changed
    }
}

fn other(codec: AudioCodec, extradata: Bytes, sample_rate: u32, channels: u8) -> AudioConfig {
    AudioConfig::Other(OtherAudio { codec, extradata, sample_rate, channels })
}

#[cfg(test)]
mod tests;
