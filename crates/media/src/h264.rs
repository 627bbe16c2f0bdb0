//! H.264: parameter sets, the AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1), and access units brought to
//! the one form that [`crate::Packet`] carries.
//!
//! ```text
//!  RTMP body (length-prefixed, Annex B, or a mixture) ─┐
//!  encoder output (Annex B) ───────────────────────────┴▶ normalise ─▶ AccessUnit { data, idr, parameter sets seen }
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use h264_reader::{nal::sps::SeqParameterSet, rbsp};
use serde::{Deserialize, Serialize};

pub use crate::nal::{annex_b_units, is_annex_b, units};
use crate::{
    bits::Bits,
    codec::{ColorInfo, FrameRate},
    nal::{self, MAX_PARAMETER_SET_LEN},
};

/// Most parameter sets of one kind that are kept; the format allows 32 SPS and 256 PPS, encoders send 1 or 2.
const MAX_PARAMETER_SETS: usize = 32;

/// nal_unit_type values (ISO/IEC 14496-10 table 7-1) that we act on.
pub mod nal_type {
    /// Coded slice of a non-IDR picture.
    pub const SLICE: u8 = 1;
    /// Coded slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const AUD: u8 = 9;
    /// Filler data.
    pub const FILLER: u8 = 12;
}

/// What a sequence parameter set says that Sluice acts on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SpsInfo {
    /// profile_idc: 66 Baseline, 77 Main, 100 High, 110 High 10, 122 High 4:2:2, 244 High 4:4:4.
    pub profile_idc: u8,
    /// The constraint_set flags byte.
    pub constraints: u8,
    /// level_idc: 31 is level 3.1.
    pub level_idc: u8,
    /// Shown width in pixels.
    pub width: u32,
    /// Shown height in pixels.
    pub height: u32,
    /// chroma_format_idc: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Luma bits per sample.
    pub bit_depth: u8,
    /// Coded as fields or with field pairs possible.
    pub interlaced: bool,
    /// From the VUI timing, where there is one.
    pub frame_rate: Option<FrameRate>,
    /// Most frames that output may lag behind decoding; `None` when the VUI does not say.
    pub max_reorder: Option<u8>,
    /// Width to height of one pixel (sample_aspect_ratio); square where nothing sensible is said.
    pub sample_aspect: (u16, u16),
    /// From the VUI, where it describes colours.
    pub color: Option<ColorInfo>,
    /// Samples use the whole range of their bits (video_full_range_flag).
    pub full_range: bool,
}

/// Whether pixels of such a shape are believed: between a quarter and four times as wide as high.
pub fn is_sensible_aspect(num: u32, den: u32) -> bool {
    num > 0 && den > 0 && u64::from(num) <= u64::from(den) * 4 && u64::from(den) <= u64::from(num) * 4
}

/// The size in square pixels of a picture whose pixels are `num` wide and `den` high: nothing is made smaller, and
/// pixels of no sensible shape count as square.
pub fn shown((width, height): (u32, u32), (num, den): (u32, u32)) -> (u32, u32) {
    let scaled = |side: u32, by: u32, to: u32| {
        let side = (u64::from(side) * u64::from(by) + u64::from(to) / 2) / u64::from(to.max(1));
        u32::try_from(side).unwrap_or(u32::MAX)
    };
    match num.cmp(&den) {
        // What rounding a scaled picture to even sides leaves over is not meant to be shown wider.
        _ if !is_sensible_aspect(num, den) || num.abs_diff(den).saturating_mul(64) < den => (width, height),
        std::cmp::Ordering::Greater => (scaled(width, num, den), height),
        std::cmp::Ordering::Less => (width, scaled(height, den, num)),
        std::cmp::Ordering::Equal => (width, height),
    }
}

/// Parameter sets of one H.264 track. At least one SPS and one PPS.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Sequence parameter sets as NAL units, without start codes.
    pub sps_units: Vec<Bytes>,
    /// Picture parameter sets as NAL units, without start codes.
    pub pps_units: Vec<Bytes>,
    /// What the first SPS says.
    pub sps: SpsInfo,
}

/// Why a configuration was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The record ends before its counts are met.
    #[error("AVCDecoderConfigurationRecord of {len} bytes ends inside its fields")]
    Truncated {
        /// Bytes that came.
        len: usize,
    },
    /// configurationVersion is not 1.
    #[error("AVCDecoderConfigurationRecord has version {0}, expected 1")]
    Version(u8),
    /// lengthSizeMinusOne of 2 (three-byte lengths) is illegal.
    #[error("AVCDecoderConfigurationRecord asks for three-byte NAL lengths")]
    LengthSize,
    /// No SPS or no PPS: wait for them in-band.
    #[error("no {0} among the parameter sets")]
    Missing(&'static str),
    /// The SPS cannot be read.
    #[error("SPS is malformed: {0}")]
    BadSps(String),
}

impl SpsInfo {
    /// Reads an SPS NAL unit, header byte included.
    ///
    /// # Errors
    /// When it is cut short or breaks the syntax. A level too low for the picture size is tolerated.
    pub fn parse(unit: &[u8]) -> Result<Self, ConfigError> {
        let malformed = |what: String| ConfigError::BadSps(what);
        if unit.len() < 4 || unit.len() > MAX_PARAMETER_SET_LEN {
            return Err(malformed(format!("{} bytes", unit.len())));
        }
        let mut patched = unit.to_vec();
        patched[3] = 62; // some encoders declare a level too low for their picture size; the reader would refuse it
        let body = rbsp::decode_nal(&patched).map_err(|error| malformed(error.to_string()))?;
        let sps = SeqParameterSet::from_bits(rbsp::BitReader::new(&*body))
            .map_err(|error| malformed(format!("{error:?}")))?;
        let (width, height) = sps.pixel_dimensions().map_err(|error| malformed(format!("{error:?}")))?;
        if width == 0 || height == 0 || width > 16_384 || height > 16_384 {
            return Err(malformed(format!("picture of {width}x{height}")));
        }
        let vui = sps.vui_parameters.as_ref();
        let frame_rate = vui.and_then(|vui| vui.timing_info.as_ref()).and_then(|timing| {
            FrameRate::new(timing.time_scale, timing.num_units_in_tick.checked_mul(2)?)
                .and_then(|rate| FrameRate::nearest(rate.as_f64()))
        });
        let signal = vui.and_then(|vui| vui.video_signal_type.as_ref());
        let max_reorder = vui
            .and_then(|vui| vui.bitstream_restrictions.as_ref())
            .and_then(|limits| u8::try_from(limits.max_num_reorder_frames).ok());
        Ok(Self {
            profile_idc: unit[1],
            constraints: unit[2],
            level_idc: unit[3],
            width,
            height,
            chroma_format: if sps.profile_idc.has_chroma_info() {
                chroma_idc(&sps.chroma_info.chroma_format)
            } else {
                1
            },
            bit_depth: 8 + sps.chroma_info.bit_depth_luma_minus8,
            interlaced: !matches!(sps.frame_mbs_flags, h264_reader::nal::sps::FrameMbsFlags::Frames),
            frame_rate,
            max_reorder,
            sample_aspect: vui
                .and_then(|vui| vui.aspect_ratio_info.as_ref()?.get())
                .filter(|(num, den)| is_sensible_aspect(u32::from(*num), u32::from(*den)))
                .unwrap_or((1, 1)),
            color: signal.and_then(|signal| signal.colour_description.as_ref()).map(|told| ColorInfo {
                primaries: told.colour_primaries,
                transfer: told.transfer_characteristics,
                matrix: told.matrix_coefficients,
            }),
            full_range: signal.is_some_and(|signal| signal.video_full_range_flag),
        })
    }
}

fn chroma_idc(format: &h264_reader::nal::sps::ChromaFormat) -> u8 {
    use h264_reader::nal::sps::ChromaFormat as F;
    match format {
        F::Monochrome => 0,
        F::YUV420 => 1,
        F::YUV422 => 2,
        _ => 3,
    }
}

/// What five and eight bits of a record count (ISO/IEC 14496-15 §5.3.3.1).
const MAX_SPS: usize = 31;
const MAX_PPS: usize = 255;

impl Config {
    /// A configuration from parameter set NAL units, without start codes. No more are kept than a record can count: 31
    /// SPS and 255 PPS.
    ///
    /// # Errors
    /// When there is no SPS or no PPS, or the first SPS cannot be read.
    pub fn from_units(mut sps_units: Vec<Bytes>, mut pps_units: Vec<Bytes>) -> Result<Self, ConfigError> {
        sps_units.truncate(MAX_SPS);
        pps_units.truncate(MAX_PPS);
        let first = sps_units.first().ok_or(ConfigError::Missing("SPS"))?;
        if pps_units.is_empty() {
            return Err(ConfigError::Missing("PPS"));
        }
        let sps = SpsInfo::parse(first)?;
        Ok(Self { sps, sps_units, pps_units })
    }

    /// The CODECS name (RFC 6381 §3.3): `avc1.` and the profile, constraint and level bytes.
    pub fn codecs(&self) -> String {
        format!("avc1.{:02x}{:02x}{:02x}", self.sps.profile_idc, self.sps.constraints, self.sps.level_idc)
    }

    /// Writes the record that FFmpeg takes as extradata, with four-byte NAL lengths.
    pub fn to_record(&self) -> Bytes {
        let first = &self.sps_units[0];
        let mut out = BytesMut::with_capacity(64);
        out.put_slice(&[1, first[1], first[2], first[3], 0xFF, 0xE0 | self.sps_units.len() as u8]);
        let put = |out: &mut BytesMut, units: &[Bytes]| {
            for unit in units {
                out.put_u16(unit.len() as u16); // bounded by MAX_PARAMETER_SET_LEN
                out.put_slice(unit);
            }
        };
        put(&mut out, &self.sps_units);
        out.put_u8(self.pps_units.len() as u8);
        put(&mut out, &self.pps_units);
        if matches!(self.sps.profile_idc, 100 | 110 | 122 | 144 | 244) {
            let depth = 0xF8 | (self.sps.bit_depth - 8);
            out.put_slice(&[0xFC | self.sps.chroma_format, depth, depth, 0]);
        }
        out.freeze()
    }
}

/// seq_parameter_set_id, which stands behind the three bytes of profile, constraints and level.
pub(crate) fn sps_id(unit: &[u8]) -> Option<u32> {
    Bits::new(unit.get(4..)?).ue().filter(|id| *id < 32)
}

/// pic_parameter_set_id.
pub(crate) fn pps_id(unit: &[u8]) -> Option<u32> {
    Bits::new(unit.get(1..)?).ue().filter(|id| *id < 256)
}

/// An AVCDecoderConfigurationRecord as a peer sent it: how its NAL lengths are written, and the sets it holds (which
/// may be none: some encoders send them in-band only).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Bytes of each NAL length: 1, 2 or 4.
    pub length_size: u8,
    /// SPS NAL units.
    pub sps_units: Vec<Bytes>,
    /// PPS NAL units.
    pub pps_units: Vec<Bytes>,
}

impl Record {
    /// Reads a record, or Annex B parameter sets where a sender put those in its place. Trailing bytes and a missing
    /// high-profile tail are tolerated.
    ///
    /// # Errors
    /// When it is cut short, not version 1, or asks for three-byte lengths.
    pub fn parse(body: &Bytes) -> Result<Self, ConfigError> {
        if is_annex_b(body) {
            let mut record = Self { length_size: 4, sps_units: vec![], pps_units: vec![] };
            for unit in annex_b_units(body) {
                record.take(&body.slice_ref(unit));
            }
            return Ok(record);
        }
        let cut = || ConfigError::Truncated { len: body.len() };
        let head = body.get(..6).ok_or_else(cut)?;
        if head[0] != 1 {
            return Err(ConfigError::Version(head[0]));
        }
        let length_size = (head[4] & 3) + 1;
        if length_size == 3 {
            return Err(ConfigError::LengthSize);
        }
        let mut record = Self { length_size, sps_units: vec![], pps_units: vec![] };
        let mut at = 6;
        for kind in 0..2 {
            let count = if kind == 0 {
                head[5] & 31
            } else {
                at += 1;
                *body.get(at - 1).ok_or_else(cut)?
            };
            for _ in 0..count {
                let len = body
                    .get(at..at + 2)
                    .map(|l| usize::from(u16::from_be_bytes([l[0], l[1]])))
                    .ok_or_else(cut)?;
                let unit = body.get(at + 2..at + 2 + len).ok_or_else(cut)?;
                record.take(&body.slice_ref(unit));
                at += 2 + len;
            }
        }
        Ok(record)
    }

    fn take(&mut self, unit: &Bytes) {
        let list = match unit.first().map(|header| header & 31) {
            Some(nal_type::SPS) => &mut self.sps_units,
            Some(nal_type::PPS) => &mut self.pps_units,
            _ => return,
        };
        if list.len() < MAX_PARAMETER_SETS && unit.len() <= MAX_PARAMETER_SET_LEN && !list.contains(unit) {
            list.push(unit.clone());
        }
    }
}

/// An access unit in the form that packets carry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AccessUnit {
    /// NAL units behind four-byte lengths; empty when nothing worth keeping was there.
    pub data: Bytes,
    /// Holds an IDR slice.
    pub idr: bool,
    /// Holds any slice at all.
    pub picture: bool,
    /// SPS units met in-band.
    pub sps_units: Vec<Bytes>,
    /// PPS units met in-band.
    pub pps_units: Vec<Bytes>,
    /// Lengths that ran past the end, start codes inside units: faults that were repaired on the way.
    pub repairs: u32,
}

/// Brings one access unit to four-byte lengths: splits what came (lengths of `length_size` bytes, Annex B, or start
/// codes inside a length), takes parameter sets out, drops delimiters, filler and empty units.
pub fn normalise(body: &Bytes, length_size: u8) -> AccessUnit {
    let split = nal::split(body, length_size, |nal| matches!(nal[0] & 31, nal_type::SLICE..=nal_type::AUD));
    let kept = |nal: &Bytes| !matches!(nal[0] & 31, nal_type::SPS..=nal_type::AUD | nal_type::FILLER);
    if split.whole && split.units.iter().all(kept) {
        return AccessUnit {
            data: body.clone(),
            idr: split.units.iter().any(|nal| nal[0] & 31 == nal_type::IDR),
            picture: split.units.iter().any(|nal| is_slice(nal[0] & 31)),
            ..AccessUnit::default()
        };
    }
    AccessUnit { repairs: split.repairs, ..from_units(split.units.into_iter()) }
}

/// The same for Annex B bytes, as encoders of FFmpeg give them.
pub fn normalise_annex_b(body: &Bytes) -> AccessUnit {
    from_units(annex_b_units(body).filter(|nal| !nal.is_empty()).map(|nal| body.slice_ref(nal)))
}

fn is_slice(kind: u8) -> bool {
    (nal_type::SLICE..=nal_type::IDR).contains(&kind)
}

/// `units` are not empty.
fn from_units(units: impl Iterator<Item = Bytes>) -> AccessUnit {
    let mut out = AccessUnit::default();
    let mut data = BytesMut::new();
    for nal in units {
        match nal[0] & 31 {
            nal_type::SPS if out.sps_units.len() < MAX_PARAMETER_SETS => out.sps_units.push(nal),
            nal_type::PPS if out.pps_units.len() < MAX_PARAMETER_SETS => out.pps_units.push(nal),
            nal_type::SPS | nal_type::PPS | nal_type::AUD | nal_type::FILLER => {}
            kind => {
                out.idr |= kind == nal_type::IDR;
                out.picture |= is_slice(kind);
                nal::put(&mut data, &nal);
            }
        }
    }
    out.data = data.freeze();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x264, 1280x720, High@3.1, 30 fps, made by `ffmpeg -f lavfi -i testsrc2=s=1280x720:r=30 -c:v libx264`.
    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
        0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

    fn config() -> Config {
        Config::from_units(vec![Bytes::from_static(SPS)], vec![Bytes::from_static(PPS)]).unwrap()
    }

    fn lengths(nals: &[&[u8]]) -> Bytes {
        nals.iter()
            .flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat())
            .collect::<Vec<_>>()
            .into()
    }

    #[test]
    fn an_sps_tells_its_picture() {
        let sps = config().sps;
        assert_eq!((sps.width, sps.height, sps.profile_idc, sps.level_idc), (1280, 720, 100, 31));
        assert_eq!((sps.chroma_format, sps.bit_depth, sps.interlaced), (1, 8, false));
        assert_eq!(sps.frame_rate, FrameRate::new(30, 1));
        assert_eq!(config().codecs(), "avc1.64001f");
    }

    #[test]
    fn a_record_round_trips() {
        let record = Record::parse(&config().to_record()).unwrap();
        assert_eq!(
            record,
            Record { length_size: 4, sps_units: vec![SPS.into()], pps_units: vec![PPS.into()] }
        );
        let annex_b: Bytes = [&[0, 0, 0, 1], SPS, &[0, 0, 1], PPS].concat().into();
        assert_eq!(Record::parse(&annex_b).unwrap().pps_units, [PPS]);
    }

    #[test]
    fn every_framing_comes_out_the_same() {
        let slice: &[u8] = &[0x65, 0x88, 0x80, 0x10, 0x20];
        let want = lengths(&[slice]);
        let short: Bytes = [&[0, 5], slice].concat().into();
        for (name, body, size) in [
            ("lengths", lengths(&[slice]), 4),
            ("two-byte lengths", short, 2),
            ("with delimiter and parameter sets", lengths(&[&[9, 0xF0], SPS, PPS, slice]), 4),
            ("with an empty unit", lengths(&[&[], slice]), 4),
            ("annex b", [&[0, 0, 0, 1, 9, 0xF0, 0, 0, 1], slice].concat().into(), 4),
            ("start code inside a length", lengths(&[&[&[9, 0xF0, 0x80, 0, 0, 0, 1], slice].concat()]), 4),
            (
                "two start codes in a row inside a length",
                lengths(&[&[&[9, 0xF0, 0x80, 0, 0, 1, 0, 0, 1], slice].concat()]),
                4,
            ),
            ("a length past the end", [&want[..], &[0, 0, 1, 0, 0x41]].concat().into(), 4),
        ] {
            let unit = normalise(&body, size);
            assert_eq!((unit.data, unit.idr, unit.picture), (want.clone(), true, true), "{name}");
        }
    }

    #[test]
    fn a_length_of_256_is_not_a_start_code() {
        let mut nal = vec![0x41; 300];
        nal[1] = 0x9A;
        let body = lengths(&[&nal]);
        assert_eq!(body[..3], [0, 0, 1]);
        assert_eq!(normalise(&body, 4).data, body);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), size in 0u8..6) {
            let bytes = Bytes::from(bytes);
            let unit = normalise(&bytes, size);
            proptest::prop_assert_eq!(units(&unit.data).map(|nal| nal.len() + 4).sum::<usize>(), unit.data.len());
            let _ = Record::parse(&bytes);
            let _ = SpsInfo::parse(&bytes);
            normalise_annex_b(&bytes);
        }
    }
}
