//! NAL units in a row: behind lengths (ISO/IEC 14496-15 §5.3.2), behind start codes (ISO/IEC 14496-10 Annex B), or both
//! at once, as some senders write them. H.264 and H.265 differ only in what stands inside the units.

use std::sync::LazyLock;

use bytes::{BufMut, Bytes, BytesMut};

/// Most bytes of a parameter set that are unescaped; real ones are below 200.
pub(crate) const MAX_PARAMETER_SET_LEN: usize = 4096;

/// The units of one access unit, as they came.
#[derive(Debug, Default)]
pub(crate) struct Split {
    pub(crate) units: Vec<Bytes>,
    /// The bytes that came are four-byte lengths and whole units already.
    pub(crate) whole: bool,
    /// Lengths that ran past the end, start codes inside units.
    pub(crate) repairs: u32,
}

/// Splits what came: lengths of `length_size` bytes, Annex B, or start codes inside a length. The last is looked for in
/// units that `searched` accepts only, since the payload of others may look like a start code. No unit is empty.
pub(crate) fn split(body: &Bytes, length_size: u8, searched: impl Fn(&[u8]) -> bool) -> Split {
    let mut out = Split::default();
    let kept = |units: &mut Vec<Bytes>, nal: &[u8]| {
        if !nal.is_empty() {
            units.push(body.slice_ref(nal));
        }
    };
    if is_annex_b(body) {
        annex_b_units(body).for_each(|nal| kept(&mut out.units, nal));
        return out;
    }
    let width = usize::from(length_size.clamp(1, 4));
    out.units.reserve(4);
    out.whole = width == 4;
    let mut at = 0;
    while at + width <= body.len() {
        let len = body[at..at + width].iter().fold(0usize, |len, byte| len << 8 | usize::from(*byte));
        at += width;
        if len == 0 {
            out.whole = false;
            continue;
        }
        let Some(nal) = body.get(at..at + len) else {
            out.repairs += 1; // keep what stands before the broken length
            out.whole = false;
            break;
        };
        at += len;
        if nal.len() > 4 && searched(nal) && find_start_code(nal).is_some() {
            out.repairs += 1; // several units under one length (seen from RootEncoder)
            out.whole = false;
            annex_b_or_head(nal).for_each(|inner| kept(&mut out.units, inner));
        } else {
            kept(&mut out.units, nal);
        }
    }
    out.whole &= at == body.len();
    out
}

/// Appends a unit behind its four-byte length.
pub(crate) fn put(data: &mut BytesMut, nal: &[u8]) {
    data.put_u32(nal.len() as u32);
    data.put_slice(nal);
}

/// A parameter set's payload without emulation prevention bytes (ISO/IEC 14496-10 §7.4.1), at most
/// [`MAX_PARAMETER_SET_LEN`] bytes of it.
pub(crate) fn unescaped(unit: &[u8]) -> Vec<u8> {
    let unit = &unit[..unit.len().min(MAX_PARAMETER_SET_LEN)];
    let mut out = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// The NAL units of a packet's data (four-byte lengths). Stops quietly at a length that runs past the end.
pub fn units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        let unit = tail.get(..u32::from_be_bytes(*head) as usize)?;
        rest = &tail[unit.len()..];
        Some(unit)
    })
}

/// Whether the bytes open with an Annex B start code rather than a length. A four-byte length of 1 says the same.
pub fn is_annex_b(data: &[u8]) -> bool {
    data.starts_with(&[0, 0, 0, 1])
        || (data.starts_with(&[0, 0, 1]) && data.len() > 4 && data[3] & 0x80 == 0 && !length_fits(data))
}

/// `00 00 01 xx` is also a four-byte length of 256 to 511: believe that when units of such lengths tile the bytes.
fn length_fits(data: &[u8]) -> bool {
    units(data).map(|unit| unit.len() + 4).sum::<usize>() == data.len()
}

/// First start code: where it begins, and where the unit after it begins.
fn find_start_code(data: &[u8]) -> Option<(usize, usize)> {
    static FINDER: LazyLock<memchr::memmem::Finder<'static>> =
        LazyLock::new(|| memchr::memmem::Finder::new(&[0, 0, 1]));
    let at = FINDER.find(data)?;
    Some((if at > 0 && data[at - 1] == 0 { at - 1 } else { at }, at + 3))
}

/// Units between start codes; bytes before the first start code are skipped.
pub fn annex_b_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = find_start_code(data).map(|(_, unit)| &data[unit..]);
    std::iter::from_fn(move || {
        let here = rest?;
        let (end, next) = match find_start_code(here) {
            Some((end, next)) => (end, Some(&here[next..])),
            None => (here.len(), None),
        };
        rest = next;
        let unit = &here[..end];
        let kept = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1); // trailing_zero_8bits
        Some(&unit[..kept])
    })
}

/// Like [`annex_b_units`], but the bytes before the first start code are a unit too.
fn annex_b_or_head(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let head = find_start_code(data).map_or(data.len(), |(end, _)| end);
    std::iter::once(&data[..head]).chain(annex_b_units(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulation_prevention_is_taken_out() {
        assert_eq!(unescaped(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(unescaped(&[0, 3, 0, 0, 4]), [0, 3, 0, 0, 4]);
    }
}
