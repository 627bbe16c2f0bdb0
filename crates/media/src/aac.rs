//! AAC: the AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1) and ADTS headers (§1.A.2).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::bits::Bits;

/// §1.6.3.4, samplingFrequencyIndex.
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// Longest AudioSpecificConfig taken from a peer, in bytes; real ones are 2 to 20.
const MAX_CONFIG: usize = 256;

/// A parsed AudioSpecificConfig.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The bytes as they came.
    pub asc: Bytes,
    /// Audio object type of the core coder: 2 is LC. Explicit SBR (5) and PS (29) are seen through to their core.
    pub object_type: u8,
    /// Core samples a second (before SBR doubles them).
    pub sample_rate: u32,
    /// Channels of the core; 0 means a program config element tells.
    pub channels: u8,
    /// The extension that was signalled explicitly: 5 SBR (HE-AAC), 29 PS (HE-AAC v2), 0 none.
    pub extension: u8,
    /// Core samples per frame: 1024, or 960 where frameLengthFlag says so.
    pub samples_per_frame: u32,
}

/// Why an AudioSpecificConfig was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It ends before its fields do.
    #[error("AudioSpecificConfig of {len} bytes ends inside its fields")]
    Truncated {
        /// Bytes that came.
        len: usize,
    },
    /// A field holds a value that the standard reserves.
    #[error("AudioSpecificConfig has reserved {field} {value}")]
    Reserved {
        /// The field's name in the standard.
        field: &'static str,
        /// What it held.
        value: u32,
    },
}

/// The fields of a configuration, with what to say when one is missing.
struct Fields<'a> {
    bits: Bits<'a>,
    len: usize,
}

impl Fields<'_> {
    fn take(&mut self, count: u32) -> Result<u32, ConfigError> {
        self.bits.take(count).ok_or(ConfigError::Truncated { len: self.len })
    }

    fn object_type(&mut self) -> Result<u8, ConfigError> {
        let short = self.take(5)?;
        Ok(if short == 31 { 32 + self.take(6)? as u8 } else { short as u8 })
    }

    fn rate(&mut self) -> Result<u32, ConfigError> {
        let index = self.take(4)?;
        let rate = if index == 15 { self.take(24)? } else { RATES.get(index as usize).copied().unwrap_or(0) };
        match rate {
            7_350..=96_000 => Ok(rate),
            _ => Err(ConfigError::Reserved {
                field: "samplingFrequency",
                value: if rate == 0 { index } else { rate },
            }),
        }
    }
}

impl Config {
    /// Reads an AudioSpecificConfig.
    ///
    /// # Errors
    /// When it is cut short, or a field holds a reserved value.
    pub fn parse(asc: &[u8]) -> Result<Self, ConfigError> {
        let asc = &asc[..asc.len().min(MAX_CONFIG)];
        let mut bits = Fields { bits: Bits::new(asc), len: asc.len() };
        let mut object_type = bits.object_type()?;
        let mut sample_rate = bits.rate()?;
        let channel_configuration = bits.take(4)?;
        let mut extension = 0;
        if object_type == 5 || object_type == 29 {
            extension = object_type;
            bits.rate()?; // the doubled rate
            object_type = bits.object_type()?;
        }
        if object_type == 0 {
            return Err(ConfigError::Reserved { field: "audioObjectType", value: 0 });
        }
        let channels = match channel_configuration {
            count @ 0..=6 => count as u8,
            7 => 8,
            reserved => return Err(ConfigError::Reserved { field: "channelConfiguration", value: reserved }),
        };
        // frameLengthFlag of GASpecificConfig; absent bits count as 0, since some encoders cut the config to 13 bits
        let short_frames = matches!(object_type, 1..=4 | 6 | 7) && bits.take(1).unwrap_or(0) == 1;
        if sample_rate > 48_000 && extension != 0 {
            sample_rate /= 2; // seen from encoders that write the output rate twice
        }
        Ok(Self {
            asc: Bytes::copy_from_slice(asc),
            object_type,
            sample_rate,
            channels,
            extension,
            samples_per_frame: if short_frames { 960 } else { 1024 },
        })
    }

    /// The two-byte configuration of AAC-LC; `None` for a rate outside the table or channels outside 1 to 6 and 8.
    pub fn lc(sample_rate: u32, channels: u8) -> Option<Self> {
        let index = RATES.iter().position(|rate| *rate == sample_rate)? as u8;
        let configuration = match channels {
            1..=6 => channels,
            8 => 7,
            _ => return None,
        };
        let asc = [2 << 3 | index >> 1, index << 7 | configuration << 3];
        Some(Self {
            asc: Bytes::copy_from_slice(&asc),
            object_type: 2,
            sample_rate,
            channels,
            extension: 0,
            samples_per_frame: 1024,
        })
    }

    /// The CODECS name (RFC 6381 §3.3): `mp4a.40.2`, `mp4a.40.5`, `mp4a.40.29` …
    pub fn codecs(&self) -> String {
        format!("mp4a.40.{}", if self.extension == 0 { self.object_type } else { self.extension })
    }

    /// The 7-byte ADTS header for a raw frame of `frame_len` bytes; `None` when ADTS cannot carry it: a rate outside
    /// the table, a program config element, an object type above 4, or a frame of 8185 bytes or more.
    pub fn adts_header(&self, frame_len: usize) -> Option<[u8; 7]> {
        let index = RATES.iter().position(|rate| *rate == self.sample_rate)? as u8;
        let configuration = match self.channels {
            1..=6 => self.channels,
            8 => 7,
            _ => return None,
        };
        let profile = self.object_type.checked_sub(1).filter(|profile| *profile < 4)?;
        let len = u16::try_from(frame_len + 7).ok().filter(|len| *len < 1 << 13)?;
        Some([
            0xFF,
            0xF1, // MPEG-4, layer 0, no CRC
            profile << 6 | index << 2 | configuration >> 2,
            (configuration & 3) << 6 | (len >> 11) as u8,
            (len >> 3) as u8,
            (len << 5) as u8 | 0x1F, // buffer fullness 0x7FF: variable rate
            0xFC,
        ])
    }
}

/// Splits ADTS-framed audio into its configuration and first raw frame; `None` when `data` is not ADTS.
pub fn split_adts(data: &[u8]) -> Option<(Config, &[u8])> {
    let [0xFF, b1, b2, b3, b4, b5, _, ..] = *data else { return None };
    if b1 & 0xF6 != 0xF0 {
        return None;
    }
    let header = if b1 & 1 == 1 { 7 } else { 9 };
    let len = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5) >> 5;
    let rate = *RATES.get(usize::from(b2 >> 2 & 0xF))?;
    let channels = match (b2 & 1) << 2 | b3 >> 6 {
        7 => 8,
        count => count,
    };
    let mut config = Config::lc(rate, channels)?;
    let object_type = (b2 >> 6) + 1;
    if object_type != 2 {
        let mut asc = config.asc.to_vec();
        asc[0] = object_type << 3 | asc[0] & 7;
        config = Config::parse(&asc).ok()?;
    }
    Some((config, data.get(header..len.min(data.len()))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_configurations() {
        let lc = Config::parse(&[0x11, 0x90]).unwrap();
        assert_eq!(
            (lc.object_type, lc.sample_rate, lc.channels, lc.codecs().as_str()),
            (2, 48_000, 2, "mp4a.40.2")
        );
        assert_eq!(Config::lc(48_000, 2).unwrap(), lc);
        let he = Config::parse(&[0x2B, 0x92, 0x08, 0x00]).unwrap(); // SBR, core 22.05 kHz
        assert_eq!(
            (he.object_type, he.sample_rate, he.extension, he.codecs().as_str()),
            (2, 22_050, 5, "mp4a.40.5")
        );
        let fdk = Config::parse(&[0x12, 0x10, 0x56, 0xE5, 0x00]).unwrap();
        assert_eq!((fdk.sample_rate, fdk.channels), (44_100, 2));
    }

    #[test]
    fn hostile_configurations_are_refused() {
        assert_eq!(Config::parse(&[]), Err(ConfigError::Truncated { len: 0 }));
        assert_eq!(Config::parse(&[0x11]), Err(ConfigError::Truncated { len: 1 }));
        for bad in [[0x16, 0x90], [0x00, 0x00], [0x11, 0xF8], [0xFF, 0xFF]] {
            assert!(Config::parse(&bad).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn adts_round_trips() {
        for (rate, channels) in [(48_000, 2), (44_100, 1), (22_050, 6), (8_000, 1)] {
            let config = Config::lc(rate, channels).unwrap();
            let mut frame = config.adts_header(100).unwrap().to_vec();
            frame.extend([7; 100]);
            let (back, raw) = split_adts(&frame).unwrap();
            assert_eq!((back, raw), (config, &[7; 100][..]));
        }
        assert_eq!(Config::lc(48_000, 2).unwrap().adts_header(8185), None);
        assert!(split_adts(&[0x21, 0x10, 4, 0x60, 0x8C, 0x1C, 0, 0]).is_none());
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            if let Ok(config) = Config::parse(&bytes) { config.adts_header(bytes.len()); config.codecs(); }
            let _ = split_adts(&bytes);
        }
    }
}
