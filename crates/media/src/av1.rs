//! AV1 (AV1 Bitstream & Decoding Process Specification; sections without a name are its): open bitstream units, the
//! sequence header, the AV1CodecConfigurationRecord (AV1 in ISOBMFF §2.3), and temporal units brought to one form.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    bits::Bits,
    codec::{ColorInfo, FrameRate},
    header::{HeaderError, plausible},
};

/// Longest sequence header OBU taken, in bytes; real ones are below 40.
const MAX_SEQUENCE_HEADER: usize = 1024;
const WHAT: &str = "AV1 sequence header";

/// obu_type values (§6.2.2) that we act on.
pub mod obu_type {
    /// Sequence header.
    pub const SEQUENCE_HEADER: u8 = 1;
    /// Temporal delimiter.
    pub const TEMPORAL_DELIMITER: u8 = 2;
    /// Frame header.
    pub const FRAME_HEADER: u8 = 3;
    /// Tile group.
    pub const TILE_GROUP: u8 = 4;
    /// Frame header and its first tile group.
    pub const FRAME: u8 = 6;
    /// Tile list (large scale tile coding).
    pub const TILE_LIST: u8 = 8;
    /// Padding.
    pub const PADDING: u8 = 15;
}

/// One open bitstream unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Obu<'a> {
    /// obu_type.
    pub kind: u8,
    /// Header byte and, where it has one, extension byte.
    header: &'a [u8],
    /// Whether it carries its size.
    sized: bool,
    /// What follows header and size.
    pub payload: &'a [u8],
    /// Header, size and payload.
    pub whole: &'a [u8],
}

/// The units of a temporal unit or configuration record. Ends quietly at one that is malformed or cut short; a unit
/// without a size takes the rest.
pub fn obus(data: &[u8]) -> impl Iterator<Item = Obu<'_>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let &first = rest.first()?;
        if first & 0x80 != 0 {
            return None; // obu_forbidden_bit
        }
        let header = rest.get(..1 + usize::from(first >> 2 & 1))?;
        let sized = first & 2 != 0;
        let (size, taken) =
            if sized { leb128(&rest[header.len()..])? } else { (rest.len() - header.len(), 0) };
        let start = header.len() + taken;
        let payload = rest.get(start..start.checked_add(size)?)?;
        let whole = &rest[..start + size];
        rest = &rest[start + size..];
        Some(Obu { kind: first >> 3 & 0xF, header, sized, payload, whole })
    })
}

/// leb128() of §4.10.5: the value and how many bytes it took.
fn leb128(data: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for (nth, byte) in data.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * nth);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok().filter(|value| *value <= u32::MAX as usize)?, nth + 1));
        }
    }
    None
}

fn put_leb128(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn put_sized(out: &mut BytesMut, obu: &Obu<'_>) {
    if obu.sized {
        return out.put_slice(obu.whole);
    }
    out.put_u8(obu.header[0] | 2);
    out.put_slice(&obu.header[1..]);
    put_leb128(out, obu.payload.len());
    out.put_slice(obu.payload);
}

/// What a sequence header says that Sluice acts on (§5.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SequenceHeader {
    profile: u8,
    level: u8,
    tier: bool,
    reduced_still_picture: bool,
    twelve_bit: bool,
    monochrome: bool,
    subsampling: (bool, bool),
    sample_position: u8,
    /// Largest width of the frames, in pixels.
    pub width: u32,
    /// Largest height of the frames, in pixels.
    pub height: u32,
    /// Bits of a sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// From the timing information, where frames come evenly.
    pub frame_rate: Option<FrameRate>,
    /// Where the header describes colours.
    pub color: Option<ColorInfo>,
}

impl SequenceHeader {
    /// Reads the payload of a sequence header OBU.
    ///
    /// # Errors
    /// When it is cut short, or says what cannot be.
    pub fn parse(payload: &[u8]) -> Result<Self, HeaderError> {
        let header =
            Self::read(&mut Bits::new(payload)).ok_or_else(|| HeaderError::truncated(WHAT, payload))?;
        if header.profile > 2 {
            return Err(HeaderError::reserved(WHAT, "seq_profile", header.profile));
        }
        plausible(WHAT, header.width, header.height)?;
        Ok(header)
    }

    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let profile = bits.byte(3)?;
        bits.skip(1)?; // still_picture
        let reduced_still_picture = bits.flag()?;
        let (mut level, mut tier, mut frame_rate) = (0, false, None);
        if reduced_still_picture {
            level = bits.byte(5)?;
        } else {
            let mut model = None;
            if bits.flag()? {
                frame_rate = timing_info(bits)?;
                if bits.flag()? {
                    model = Some(bits.take(5)? + 1); // buffer_delay_length
                    bits.skip(32 + 5 + 5)?;
                }
            }
            let initial_delay = bits.flag()?;
            for point in 0..=bits.take(5)? {
                bits.skip(12)?; // operating_point_idc
                let (its_level, its_tier) = {
                    let level = bits.byte(5)?;
                    (level, if level > 7 { bits.flag()? } else { false })
                };
                if point == 0 {
                    (level, tier) = (its_level, its_tier);
                }
                if let Some(delay_bits) = model
                    && bits.flag()?
                {
                    bits.skip(2 * delay_bits as usize + 1)?;
                }
                if initial_delay && bits.flag()? {
                    bits.skip(4)?;
                }
            }
        }
        let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
        let (width, height) = (bits.take(width_bits)? + 1, bits.take(height_bits)? + 1);
        if !reduced_still_picture && bits.flag()? {
            bits.skip(4 + 3)?; // frame ids
        }
        bits.skip(3)?; // superblocks, filter intra, intra edge filter
        if !reduced_still_picture {
            bits.skip(4)?; // interintra, masked, warped, dual filter
            if bits.flag()? {
                bits.skip(2)?; // joint compound, reference frame motion vectors
                order_hint(bits)?;
            } else {
                screen_content(bits)?;
            }
        }
        bits.skip(3)?; // super-resolution, cdef, restoration
        let color = ColorConfig::read(bits, profile)?;
        Some(Self {
            profile,
            level,
            tier,
            reduced_still_picture,
            twelve_bit: color.bit_depth == 12,
            monochrome: color.monochrome,
            subsampling: color.subsampling,
            sample_position: color.sample_position,
            width,
            height,
            bit_depth: color.bit_depth,
            frame_rate,
            color: color.description,
        })
    }

    /// Writes the record that FFmpeg takes as extradata: four bytes of fields, then `obu`, the sequence header as it came.
    pub fn to_record(&self, obu: &Obu<'_>) -> Bytes {
        let mut out = BytesMut::with_capacity(4 + obu.whole.len() + 2);
        out.put_u8(0x81); // marker, version 1
        out.put_u8(self.profile << 5 | self.level);
        let bit = |set: bool, at: u8| u8::from(set) << at;
        out.put_u8(
            bit(self.tier, 7)
                | bit(self.bit_depth > 8, 6)
                | bit(self.twelve_bit, 5)
                | bit(self.monochrome, 4)
                | bit(self.subsampling.0, 3)
                | bit(self.subsampling.1, 2)
                | self.sample_position,
        );
        out.put_u8(0); // no initial presentation delay told
        put_sized(&mut out, obu);
        out.freeze()
    }
}

/// timing_info (§5.5.3): a rate where every frame lasts the same, else an inner `None`.
fn timing_info(bits: &mut Bits<'_>) -> Option<Option<FrameRate>> {
    let (units, scale) = (bits.take(32)?, bits.take(32)?);
    if !bits.flag()? {
        return Some(None);
    }
    let ticks = bits.ue()?.saturating_add(1);
    let rate = units.checked_mul(ticks).and_then(|units| FrameRate::new(scale, units));
    Some(rate.and_then(|rate| FrameRate::nearest(rate.as_f64())))
}

/// What enable_order_hint = 1 adds around [`screen_content`].
fn order_hint(bits: &mut Bits<'_>) -> Option<()> {
    screen_content(bits)?;
    bits.skip(3) // order_hint_bits_minus_1
}

/// Screen content tools and integer motion vectors: each chosen per frame, or fixed here.
fn screen_content(bits: &mut Bits<'_>) -> Option<()> {
    let forced = bits.flag()? || bits.flag()?;
    if forced && !bits.flag()? {
        bits.skip(1)?;
    }
    Some(())
}

/// color_config (§5.5.2).
struct ColorConfig {
    bit_depth: u8,
    monochrome: bool,
    subsampling: (bool, bool),
    sample_position: u8,
    description: Option<ColorInfo>,
}

impl ColorConfig {
    fn read(bits: &mut Bits<'_>, profile: u8) -> Option<Self> {
        let high = bits.flag()?;
        let bit_depth = match (high, profile) {
            (true, 2) => 10 + 2 * bits.byte(1)?,
            (true, _) => 10,
            (false, _) => 8,
        };
        let monochrome = profile != 1 && bits.flag()?;
        let description = if bits.flag()? {
            let (primaries, transfer, matrix) = (bits.byte(8)?, bits.byte(8)?, bits.byte(8)?);
            Some(ColorInfo { primaries, transfer, matrix })
        } else {
            None
        };
        let mut out =
            Self { bit_depth, monochrome, subsampling: (true, true), sample_position: 0, description };
        if monochrome {
            bits.skip(1)?; // color_range
            return Some(out);
        }
        if description == Some(ColorInfo { primaries: 1, transfer: 13, matrix: 0 }) {
            out.subsampling = (false, false); // sRGB
            return Some(out);
        }
        bits.skip(1)?;
        out.subsampling = match profile {
            0 => (true, true),
            1 => (false, false),
            _ if bit_depth == 12 => {
                let x = bits.flag()?;
                (x, x && bits.flag()?)
            }
            _ => (true, false),
        };
        if out.subsampling == (true, true) {
            out.sample_position = bits.byte(2)?;
        }
        Some(out)
    }
}

/// The sequence header OBU in an AV1CodecConfigurationRecord (`av1C`); `None` where the record has none, which is
/// allowed: then it comes in-band.
///
/// # Errors
/// When it is no such record.
pub fn sequence_header_in_record(record: &[u8]) -> Result<Option<Obu<'_>>, HeaderError> {
    const WHAT: &str = "av1C record";
    let &[version, _, _, _, ..] = record else { return Err(HeaderError::truncated(WHAT, record)) };
    if version != 0x81 {
        return Err(HeaderError::reserved(WHAT, "marker and version", version));
    }
    Ok(find_sequence_header(&record[4..]))
}

fn find_sequence_header(data: &[u8]) -> Option<Obu<'_>> {
    obus(data).find(|obu| obu.kind == obu_type::SEQUENCE_HEADER && obu.whole.len() <= MAX_SEQUENCE_HEADER)
}

/// A temporal unit in the form that packets carry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TemporalUnit {
    /// OBUs with size fields, without temporal delimiters and padding; empty when nothing worth keeping was there.
    pub data: Bytes,
    /// Its first frame is a key frame that is shown.
    pub key: bool,
    /// Holds any frame at all.
    pub picture: bool,
    /// The sequence header OBU met in it.
    pub sequence_header: Option<Bytes>,
    /// Bytes at its end that are no OBUs were cut off.
    pub repairs: u32,
}

/// Brings one temporal unit to sized OBUs. `reduced_still_picture` is what the sequence header in force says of it: such
/// frame headers lack the fields that tell a key frame, and all are.
pub fn normalise(body: &Bytes, in_force: Option<&SequenceHeader>) -> TemporalUnit {
    let mut out = TemporalUnit::default();
    let (mut kept_all, mut seen) = (true, 0);
    let dropped =
        |kind: u8| matches!(kind, obu_type::TEMPORAL_DELIMITER | obu_type::PADDING | obu_type::TILE_LIST);
    let mut reduced = in_force.is_some_and(|header| header.reduced_still_picture);
    for obu in obus(body) {
        seen += obu.whole.len();
        kept_all &= obu.sized && !dropped(obu.kind);
        match obu.kind {
            obu_type::SEQUENCE_HEADER if obu.whole.len() <= MAX_SEQUENCE_HEADER => {
                reduced = SequenceHeader::parse(obu.payload).is_ok_and(|header| header.reduced_still_picture);
                out.sequence_header = Some(body.slice_ref(obu.whole));
            }
            obu_type::FRAME_HEADER | obu_type::FRAME if !out.picture => {
                out.picture = true;
                // show_existing_frame 0, frame_type 0 (key), show_frame 1 (§5.9.2)
                out.key = reduced || obu.payload.first().is_some_and(|first| first >> 4 == 0b0001);
            }
            _ => {}
        }
    }
    if seen < body.len() {
        out.repairs = 1;
        kept_all = false;
    }
    if kept_all {
        out.data = body.clone();
        return out;
    }
    let mut data = BytesMut::with_capacity(seen + 8);
    obus(body).filter(|obu| !dropped(obu.kind)).for_each(|obu| put_sized(&mut data, &obu));
    out.data = data.freeze();
    out
}

#[cfg(test)]
mod tests;
