//! H.265: parameter sets, the HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 §8.3.3.1), and access units brought to
//! the form that [`crate::Packet`] carries. Sections without a name are those of ITU-T H.265.
//!
//! Other than with H.264, parameter sets met in-band stay in the access unit: the pictures are decoded, never copied,
//! and the decoder takes sets where they stand.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    bits::Bits,
    codec::{ColorInfo, FrameRate},
    header::{HeaderError, plausible},
    nal::{self, MAX_PARAMETER_SET_LEN},
};

/// Most parameter sets of one kind taken from a record or an access unit.
const MAX_PARAMETER_SETS: usize = 32;
const WHAT: &str = "HEVC SPS";

/// nal_unit_type values (table 7-1) that we act on.
pub mod nal_type {
    /// First of the types of pictures at which decoding may start: BLA, IDR and CRA.
    pub const IRAP_FIRST: u8 = 16;
    /// Last of them that is in use.
    pub const IRAP_LAST: u8 = 21;
    /// Last type that holds a part of a picture.
    pub const SLICE_LAST: u8 = 31;
    /// Video parameter set.
    pub const VPS: u8 = 32;
    /// Sequence parameter set.
    pub const SPS: u8 = 33;
    /// Picture parameter set.
    pub const PPS: u8 = 34;
    /// Access unit delimiter.
    pub const AUD: u8 = 35;
    /// Filler data.
    pub const FILLER: u8 = 38;
    /// Supplemental enhancement information before the picture.
    pub const SEI_PREFIX: u8 = 39;
    /// Supplemental enhancement information after it.
    pub const SEI_SUFFIX: u8 = 40;
}

fn kind(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |byte| byte >> 1 & 0x3F)
}

/// nuh_layer_id: 0 is the picture itself; layers above it are views and alpha, which no decoder of ours takes.
fn layer(nal: &[u8]) -> u8 {
    match nal {
        [a, b, ..] => (a & 1) << 5 | b >> 3,
        _ => 0,
    }
}

/// What a sequence parameter set says that Sluice acts on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpsInfo {
    /// general profile, tier, compatibility flags, constraints and level as the record repeats them (§7.3.3).
    profile_tier_level: [u8; 12],
    /// sps_max_sub_layers_minus1 and sps_temporal_id_nesting_flag.
    sub_layers: (u8, bool),
    /// chroma_format_idc: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Shown width in pixels.
    pub width: u32,
    /// Shown height in pixels.
    pub height: u32,
    /// Bits of a luma sample, 8 to 16.
    pub bit_depth: u8,
    /// Bits of a chroma sample, 8 to 16.
    chroma_depth: u8,
    /// From the VUI timing, where there is one.
    pub frame_rate: Option<FrameRate>,
    /// From the VUI, where it describes colours.
    pub color: Option<ColorInfo>,
}

impl SpsInfo {
    /// Reads an SPS NAL unit, header included.
    ///
    /// # Errors
    /// When it is cut short before its picture size and depth, or a field breaks its range.
    pub fn parse(unit: &[u8]) -> Result<Self, HeaderError> {
        let bytes = nal::unescaped(unit);
        let cut = || HeaderError::truncated(WHAT, unit);
        let mut bits = Bits::new(&bytes);
        let profile_tier_level = bytes.get(3..15).and_then(|ptl| ptl.try_into().ok()).ok_or_else(cut)?;
        let sub_layers = skip_to_sps_id(&mut bits).ok_or_else(cut)?;
        let picture = Picture::read(&mut bits).ok_or_else(cut)?;
        if picture.chroma_format > 3 {
            return Err(HeaderError::reserved(WHAT, "chroma_format_idc", picture.chroma_format));
        }
        for depth in [picture.luma_depth_minus8, picture.chroma_depth_minus8] {
            if depth > 8 {
                return Err(HeaderError::reserved(WHAT, "a bit depth minus 8 of", depth));
            }
        }
        let (width, height) = picture.cropped()?;
        // What follows is worth having, and no reason to refuse a stream.
        let vui = read_to_vui(&mut bits, sub_layers.0).unwrap_or_default();
        Ok(Self {
            profile_tier_level,
            sub_layers,
            chroma_format: picture.chroma_format as u8,
            width,
            height,
            bit_depth: 8 + picture.luma_depth_minus8 as u8,
            chroma_depth: 8 + picture.chroma_depth_minus8 as u8,
            frame_rate: vui.frame_rate,
            color: vui.color,
        })
    }
}

/// Passes profile_tier_level and stands before sps_seq_parameter_set_id. Returns what it passed of the sub-layers.
fn skip_to_sps_id(bits: &mut Bits<'_>) -> Option<(u8, bool)> {
    bits.skip(16 + 4)?;
    let max_sub_layers_minus1 = bits.byte(3)?;
    let nesting = bits.flag()?;
    bits.skip(96)?;
    let mut present = [(false, false); 8];
    for flags in present.iter_mut().take(usize::from(max_sub_layers_minus1)) {
        *flags = (bits.flag()?, bits.flag()?);
    }
    if max_sub_layers_minus1 > 0 {
        bits.skip(2 * (8 - usize::from(max_sub_layers_minus1)))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Some((max_sub_layers_minus1, nesting))
}

/// The fields from sps_seq_parameter_set_id to bit_depth_chroma_minus8 (§7.3.2.2).
struct Picture {
    chroma_format: u32,
    coded: (u32, u32),
    /// Left, right, top, bottom, in chroma samples.
    window: [u32; 4],
    luma_depth_minus8: u32,
    chroma_depth_minus8: u32,
}

impl Picture {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        bits.ue()?; // sps_seq_parameter_set_id
        let chroma_format = bits.ue()?;
        if chroma_format == 3 {
            bits.skip(1)?; // separate_colour_plane_flag
        }
        let coded = (bits.ue()?, bits.ue()?);
        let window = if bits.flag()? { [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?] } else { [0; 4] };
        let (luma_depth_minus8, chroma_depth_minus8) = (bits.ue()?, bits.ue()?);
        Some(Self { chroma_format, coded, window, luma_depth_minus8, chroma_depth_minus8 })
    }

    fn cropped(&self) -> Result<(u32, u32), HeaderError> {
        let (x, y) = match self.chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let less = |side: u32, unit: u32, a: u32, b: u32| {
            a.checked_add(b).and_then(|sum| sum.checked_mul(unit)).and_then(|crop| side.checked_sub(crop))
        };
        let [left, right, top, bottom] = self.window;
        let width = less(self.coded.0, x, left, right).unwrap_or(0);
        plausible(WHAT, width, less(self.coded.1, y, top, bottom).unwrap_or(0))
    }
}

#[derive(Default)]
struct Vui {
    frame_rate: Option<FrameRate>,
    color: Option<ColorInfo>,
}

/// Reads on from log2_max_pic_order_cnt_lsb_minus4 through the VUI (§7.3.2.2, §E.2.1).
fn read_to_vui(bits: &mut Bits<'_>, max_sub_layers_minus1: u8) -> Option<Vui> {
    let poc_lsb_bits = bits.ue()?.checked_add(4).filter(|count| *count <= 16)?;
    let ordering_of_all = bits.flag()?;
    let layers = if ordering_of_all { u32::from(max_sub_layers_minus1) + 1 } else { 1 };
    for _ in 0..layers * 3 + 6 {
        bits.ue()?; // sub-layer ordering; block sizes and depths
    }
    if bits.flag()? && bits.flag()? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2)?; // amp, sample adaptive offset
    if bits.flag()? {
        bits.skip(8)?; // PCM bit depths
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    skip_reference_sets(bits)?;
    if bits.flag()? {
        let count = bits.ue().filter(|count| *count <= 32)?;
        bits.skip(count as usize * (poc_lsb_bits as usize + 1))?;
    }
    bits.skip(2)?; // temporal motion vectors, strong intra smoothing
    if !bits.flag()? {
        return None;
    }
    let mut vui = Vui::default();
    // A VUI that breaks off keeps what it told.
    let _ = read_vui(bits, &mut vui);
    Some(vui)
}

fn read_vui(bits: &mut Bits<'_>, vui: &mut Vui) -> Option<()> {
    if bits.flag()? && bits.take(8)? == 255 {
        bits.skip(32)?; // sample aspect ratio
    }
    if bits.flag()? {
        bits.skip(1)?; // overscan
    }
    if bits.flag()? {
        bits.skip(4)?; // video_format, full range
        if bits.flag()? {
            let (primaries, transfer, matrix) = (bits.byte(8)?, bits.byte(8)?, bits.byte(8)?);
            vui.color = Some(ColorInfo { primaries, transfer, matrix });
        }
    }
    if bits.flag()? {
        bits.ue()?; // chroma sample location, of either field
        bits.ue()?;
    }
    bits.skip(3)?; // neutral chroma, fields, frame_field_info
    if bits.flag()? {
        for _ in 0..4 {
            bits.ue()?; // default display window
        }
    }
    if bits.flag()? {
        let (units_in_tick, time_scale) = (bits.take(32)?, bits.take(32)?);
        vui.frame_rate =
            FrameRate::new(time_scale, units_in_tick).and_then(|rate| FrameRate::nearest(rate.as_f64()));
    }
    Some(())
}

/// §7.3.4.
fn skip_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4u32 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !bits.flag()? {
                bits.ue()?; // taken from another list
                continue;
            }
            let coefficients = 64.min(1u32 << (4 + (size << 1)));
            for _ in 0..coefficients + u32::from(size > 1) {
                bits.se()?;
            }
        }
    }
    Some(())
}

/// num_short_term_ref_pic_sets and the sets (§7.3.7).
fn skip_reference_sets(bits: &mut Bits<'_>) -> Option<()> {
    let sets = bits.ue().filter(|count| *count <= 64)?;
    let mut pictures = 0; // in the set before
    for set in 0..sets {
        if set > 0 && bits.flag()? {
            bits.skip(1)?; // delta_rps_sign
            bits.ue()?;
            let mut kept = 0;
            for _ in 0..=pictures {
                let used = bits.flag()?;
                kept += u32::from(used || bits.flag()?);
            }
            pictures = kept;
        } else {
            let (negative, positive) = (bits.ue()?, bits.ue()?);
            pictures = negative.checked_add(positive).filter(|count| *count <= 32)?;
            for _ in 0..pictures {
                bits.ue()?;
                bits.skip(1)?;
            }
        }
    }
    Some(())
}

/// vps_video_parameter_set_id.
pub(crate) fn vps_id(unit: &[u8]) -> Option<u32> {
    unit.get(2).map(|byte| u32::from(byte >> 4))
}

/// sps_seq_parameter_set_id.
pub(crate) fn sps_id(unit: &[u8]) -> Option<u32> {
    let bytes = nal::unescaped(unit);
    let mut bits = Bits::new(&bytes);
    skip_to_sps_id(&mut bits)?;
    bits.ue().filter(|id| *id < 16)
}

/// pps_pic_parameter_set_id.
pub(crate) fn pps_id(unit: &[u8]) -> Option<u32> {
    Bits::new(unit.get(2..)?).ue().filter(|id| *id < 64)
}

/// Parameter set NAL units by kind, without start codes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Units {
    /// Video parameter sets.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets.
    pub pps: Vec<Bytes>,
}

impl Units {
    /// Takes a unit if it is a parameter set of the base layer. Those past a limit are left out.
    fn take(&mut self, unit: &Bytes) {
        let list = match kind(unit) {
            nal_type::VPS => &mut self.vps,
            nal_type::SPS => &mut self.sps,
            nal_type::PPS => &mut self.pps,
            _ => return,
        };
        let fits = list.len() < MAX_PARAMETER_SETS && unit.len() <= MAX_PARAMETER_SET_LEN;
        if fits && layer(unit) == 0 && !list.contains(unit) {
            list.push(unit.clone());
        }
    }

    /// The kinds in the order of their types.
    pub(crate) fn kinds(&self) -> [&[Bytes]; 3] {
        [&self.vps, &self.sps, &self.pps]
    }
}

/// An HEVCDecoderConfigurationRecord as a peer sent it; its sets may be none (`hev1`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Bytes of each NAL length: 1, 2 or 4.
    pub length_size: u8,
    /// The parameter sets it holds.
    pub units: Units,
}

impl Record {
    /// Reads a record, or Annex B parameter sets where a sender put those in its place. Trailing bytes are tolerated.
    ///
    /// # Errors
    /// When it is cut short, of a version above 1, or asks for three-byte lengths.
    pub fn parse(body: &Bytes) -> Result<Self, HeaderError> {
        const WHAT: &str = "HEVCDecoderConfigurationRecord";
        let mut units = Units::default();
        if nal::is_annex_b(body) {
            nal::annex_b_units(body).for_each(|unit| units.take(&body.slice_ref(unit)));
            return Ok(Self { length_size: 4, units });
        }
        let cut = || HeaderError::truncated(WHAT, body);
        let head = body.get(..23).ok_or_else(cut)?;
        if head[0] > 1 {
            return Err(HeaderError::reserved(WHAT, "configurationVersion", head[0]));
        }
        let length_size = (head[21] & 3) + 1;
        if length_size == 3 {
            return Err(HeaderError::reserved(WHAT, "lengthSizeMinusOne", 2u8));
        }
        let u16_at =
            |at: usize| body.get(at..at + 2).map(|pair| usize::from(pair[0]) << 8 | usize::from(pair[1]));
        let mut at = 23;
        for _ in 0..head[22] {
            let count = u16_at(at + 1).ok_or_else(cut)?;
            at += 3;
            for _ in 0..count {
                let len = u16_at(at).ok_or_else(cut)?;
                let unit = body.get(at + 2..at + 2 + len).ok_or_else(cut)?;
                units.take(&body.slice_ref(unit));
                at += 2 + len;
            }
        }
        Ok(Self { length_size, units })
    }
}

/// Whether a configuration labelled as AVC is HEVC's record in truth (OBS before 29.1): its first array holds VPS, SPS,
/// PPS or SEI of HEVC, at the offset of ISO/IEC 14496-15 §8.3.3.1.
pub fn is_record(record: &[u8]) -> bool {
    matches!(record, [1, ..])
        && matches!(record.get(22..25), Some([1..=8, kind, 0]) if matches!(kind & 0x3F, 32..=34 | 39 | 40))
}

/// Writes the record that FFmpeg takes as extradata, with four-byte NAL lengths. `sps` tells of the first SPS.
pub fn to_record(sps: &SpsInfo, kinds: [&[Bytes]; 3]) -> Bytes {
    let mut out = BytesMut::with_capacity(160);
    out.put_u8(1);
    out.put_slice(&sps.profile_tier_level);
    // min_spatial_segmentation_idc 0 and parallelismType 0: unknown
    out.put_slice(&[0xF0, 0, 0xFC, 0xFC | sps.chroma_format]);
    out.put_slice(&[0xF8 | ((sps.bit_depth - 8) & 7), 0xF8 | ((sps.chroma_depth - 8) & 7), 0, 0]);
    let (max_sub_layers_minus1, nesting) = sps.sub_layers;
    out.put_u8(((max_sub_layers_minus1 + 1) & 7) << 3 | u8::from(nesting) << 2 | 3);
    out.put_u8(kinds.len() as u8);
    for (kind, units) in [nal_type::VPS, nal_type::SPS, nal_type::PPS].into_iter().zip(kinds) {
        out.put_u8(kind);
        out.put_u16(units.len() as u16); // bounded by MAX_PARAMETER_SETS
        for unit in units {
            out.put_u16(unit.len() as u16); // bounded by MAX_PARAMETER_SET_LEN
            out.put_slice(unit);
        }
    }
    out.freeze()
}

/// An access unit in the form that packets carry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AccessUnit {
    /// NAL units behind four-byte lengths, parameter sets included; empty when nothing worth keeping was there.
    pub data: Bytes,
    /// Holds an IRAP picture (types 16 to 21): decoding may start here.
    pub irap: bool,
    /// Holds any slice at all.
    pub picture: bool,
    /// Parameter sets met in-band.
    pub units: Units,
    /// Lengths that ran past the end, start codes inside units: faults that were repaired on the way.
    pub repairs: u32,
}

/// Brings one access unit to four-byte lengths: splits what came (lengths of `length_size` bytes, Annex B, or start
/// codes inside a length), drops delimiters, filler, empty units, and layers above the base.
pub fn normalise(body: &Bytes, length_size: u8) -> AccessUnit {
    let split = nal::split(body, length_size, |nal| kind(nal) <= nal_type::AUD);
    let kept = |nal: &Bytes| !matches!(kind(nal), nal_type::AUD | nal_type::FILLER) && layer(nal) == 0;
    let mut out = AccessUnit { repairs: split.repairs, ..AccessUnit::default() };
    let whole = split.whole && split.units.iter().all(kept);
    let mut data = BytesMut::new();
    for nal in split.units.iter().filter(|nal| kept(nal)) {
        let kind = kind(nal);
        out.irap |= (nal_type::IRAP_FIRST..=nal_type::IRAP_LAST).contains(&kind);
        out.picture |= kind <= nal_type::SLICE_LAST;
        out.units.take(nal);
        if !whole {
            nal::put(&mut data, nal);
        }
    }
    out.data = if whole { body.clone() } else { data.freeze() };
    out
}

#[cfg(test)]
pub(crate) mod tests;
