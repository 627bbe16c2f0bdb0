//! Names of codings as CODECS has them (RFC 6381 and the codings' own), from the headers themselves.

use crate::cmafcheck::boxes::Cursor;
use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::nal::{Nal, RefNal};

/// Width and height of an H.264 sequence parameter set (with its NAL header), cropping applied.
pub(crate) fn avc_size(sps: &[u8]) -> Option<(u32, u32)> {
    let nal = RefNal::new(sps, &[], true);
    SeqParameterSet::from_bits(nal.rbsp_bits()).ok()?.pixel_dimensions().ok()
}

/// `hvc1.P.C.Lnn.xx` (ISO/IEC 14496-15 annex E.3).
pub(crate) fn hevc(entry: &str, hvcc: &[u8]) -> Option<String> {
    let byte = *hvcc.get(1)?;
    let space = ["", "A", "B", "C"][usize::from(byte >> 6)];
    let tier = if byte & 0x20 == 0 { 'L' } else { 'H' };
    let compatible = u32::from_be_bytes(hvcc.get(2..6)?.try_into().ok()?).reverse_bits();
    let constraints = hvcc.get(6..12)?;
    let used = constraints.iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
    let constraints: String = constraints[..used].iter().map(|b| format!(".{b:x}")).collect();
    let level = hvcc.get(12)?;
    Some(format!("{entry}.{space}{}.{compatible:x}.{tier}{level}{constraints}", byte & 0x1f))
}

/// `av01.P.LLT.DD` (AV1 in ISO BMFF §5).
pub(crate) fn av1(av1c: &[u8]) -> Option<String> {
    let [_, second, third, ..] = *av1c else { return None };
    let tier = if third & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (third & 0x40 != 0, third & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    Some(format!("av01.{}.{:02}{tier}.{depth:02}", second >> 5, second & 0x1f))
}

/// What an AudioSpecificConfig says (ISO/IEC 14496-3 §1.6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aac {
    /// 5 and 29 where SBR or PS are signalled explicitly.
    pub(crate) object: u8,
    pub(crate) rate: u32,
    pub(crate) channels: u8,
}

const RATES: [u32; 13] =
    [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

/// Reads object type, output rate and channels.
pub(crate) fn aac(asc: &[u8]) -> Option<Aac> {
    let mut at = 0usize;
    let mut bits = |count: usize| -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = asc.get(at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - at % 8) & 1);
            at += 1;
        }
        Some(value)
    };
    let mut object = bits(5)?;
    if object == 31 {
        object = 32 + bits(6)?;
    }
    let rate = |bits: &mut dyn FnMut(usize) -> Option<u32>| match bits(4)? {
        15 => bits(24),
        n => RATES.get(n as usize).copied(),
    };
    let mut hertz = rate(&mut bits)?;
    let channels = bits(4)?;
    if matches!(object, 5 | 29) {
        hertz = rate(&mut bits)?;
    }
    Some(Aac { object: u8::try_from(object).ok()?, rate: hertz, channels: channels as u8 })
}

/// The AudioSpecificConfig inside an esds box (ISO/IEC 14496-1 §7.2.6).
pub(crate) fn audio_specific(esds: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor(esds.get(4..)?);
    let es = descriptor(&mut cursor, 3)?;
    let mut cursor = Cursor(es);
    cursor.u16()?;
    let flags = cursor.u8()?;
    if flags & 0x80 != 0 {
        cursor.u16()?;
    }
    if flags & 0x40 != 0 {
        let length = cursor.u8()?;
        cursor.take(usize::from(length))?;
    }
    if flags & 0x20 != 0 {
        cursor.u16()?;
    }
    let decoder = descriptor(&mut cursor, 4)?;
    let mut cursor = Cursor(decoder.get(13..)?);
    descriptor(&mut cursor, 5)
}

fn descriptor<'a>(cursor: &mut Cursor<'a>, tag: u8) -> Option<&'a [u8]> {
    if cursor.u8()? != tag {
        return None;
    }
    let mut length = 0usize;
    for _ in 0..4 {
        let byte = cursor.u8()?;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    cursor.take(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_headers() {
        let mut hvcc = vec![1, 0x01, 0x60, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 93];
        assert_eq!(hevc("hvc1", &hvcc).as_deref(), Some("hvc1.1.6.L93.b0"));
        hvcc[1] |= 0x20;
        assert_eq!(hevc("hvc1", &hvcc).as_deref(), Some("hvc1.1.6.H93.b0"));
        assert_eq!(av1(&[0x81, 0x08, 0x0c, 0]).as_deref(), Some("av01.0.08M.08"));
        assert_eq!(aac(&[0x11, 0x90]), Some(Aac { object: 2, rate: 48_000, channels: 2 }));
        // HE-AAC of 24 kHz, told explicitly: 48 kHz come out.
        assert_eq!(aac(&[0x2b, 0x11, 0x88, 0x00]), Some(Aac { object: 5, rate: 48_000, channels: 2 }));
        assert_eq!(aac(&[0x11]), None);
    }
}
