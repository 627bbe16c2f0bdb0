//! cc_data in SEI (ATSC A/53 part 4 §6.2.3), put into the access units of an FLV file's H.264.

use super::line21::{Caption, Pair, SILENCE};
use crate::harness::flv::{self, Tag};
use anyhow::{Context, Result, ensure};
use std::collections::VecDeque;
use std::path::Path;

/// Writes `from` to `to` with these captions in its pictures.
///
/// The channel is full without a break, as encoders for broadcast have it: up to 30 pictures a second carry a pair of
/// the first field each and 20 triplets in all; above that every second one does, and the others a pair of the second
/// field, with 10 triplets. A pair goes with the picture that is shown then, however pictures are ordered.
pub fn caption(from: &Path, to: &Path, captions: &[Caption]) -> Result<()> {
    let mut tags = flv::read(from)?;
    let mut pictures: Vec<(i64, usize)> =
        tags.iter().enumerate().filter_map(|(at, tag)| Some((shown(tag)?, at))).collect();
    pictures.sort_unstable();
    let (first, last) =
        (pictures.first().context("no pictures")?.0, pictures.last().context("no pictures")?.0);
    let fast = (pictures.len() - 1) as f64 * 1000.0 > 35.0 * (last - first) as f64;
    let mut captions: VecDeque<&Caption> = captions.iter().collect();
    let mut pairs: VecDeque<Pair> = VecDeque::new();
    for (nth, (time, at)) in pictures.iter().enumerate() {
        let seconds = (time - first) as f64 / 1000.0;
        while captions.front().is_some_and(|next| next.at <= seconds) {
            pairs.extend(captions.pop_front().map(Caption::pairs).unwrap_or_default());
        }
        let mut next = || pairs.pop_front().unwrap_or(SILENCE);
        let (fields, count): (Vec<(u8, Pair)>, usize) = match (fast, nth % 2) {
            (false, _) => (vec![(0, next()), (1, SILENCE)], 20),
            (true, 0) => (vec![(0, next())], 10),
            (true, _) => (vec![(1, SILENCE)], 10),
        };
        let unit = unit(&fields, count);
        let body = std::mem::take(&mut tags[*at].body);
        tags[*at].body = with(&body, &unit)?;
    }
    ensure!(captions.is_empty() && pairs.is_empty(), "the clip is too short for its captions");
    flv::write(to, &tags)
}

/// When an AVC picture is shown, ms; None for other tags.
fn shown(tag: &Tag) -> Option<i64> {
    let avc = tag.kind == 9 && tag.body.first()? & 15 == 7 && tag.body.get(1) == Some(&1);
    let offset = tag.body.get(2..5).filter(|_| avc)?;
    let offset = i32::from_be_bytes([offset[0], offset[1], offset[2], 0]) >> 8;
    Some(i64::from(tag.time) + i64::from(offset))
}

/// An SEI unit with these pairs, and padding up to `count` triplets.
fn unit(fields: &[(u8, Pair)], count: usize) -> Vec<u8> {
    let mut payload = vec![0xB5, 0x00, 0x31, b'G', b'A', b'9', b'4', 0x03, 0xC0 | count as u8, 0xFF];
    for (field, pair) in fields {
        payload.extend([0xFC | field, pair[0], pair[1]]);
    }
    for _ in fields.len()..count {
        payload.extend([0xFA, 0, 0]);
    }
    payload.push(0xFF);
    let mut plain = vec![0x04, payload.len() as u8];
    plain.extend(payload);
    plain.push(0x80);
    let mut unit = vec![0x06];
    let mut zeros = 0;
    for byte in plain {
        if zeros == 2 && byte <= 3 {
            unit.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        unit.push(byte);
    }
    unit
}

/// An AVC tag's body with the unit in front of its first slice.
fn with(body: &[u8], unit: &[u8]) -> Result<Vec<u8>> {
    let mut out = body[..5].to_vec();
    let mut rest = &body[5..];
    let mut done = false;
    while !rest.is_empty() {
        let length = rest.get(..4).context("a length is cut")?;
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let nal = rest.get(4..4 + length).context("a unit is cut")?;
        if !done && nal.first().is_some_and(|header| (1..=5).contains(&(header & 31))) {
            done = true;
            out.extend((unit.len() as u32).to_be_bytes());
            out.extend(unit);
        }
        out.extend(&rest[..4 + length]);
        rest = &rest[4 + length..];
    }
    ensure!(done, "an access unit without a picture");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_escaped_and_stand_before_the_picture() {
        let unit = unit(&[(0, SILENCE)], 3);
        assert!(unit.windows(3).all(|three| three[..2] != [0, 0] || three[2] > 2), "{unit:02x?}");
        let body = [&[0x27, 1, 0, 0, 0][..], &[0, 0, 0, 2, 6, 9], &[0, 0, 0, 2, 0x41, 7]].concat();
        let out = with(&body, &[6, 4, 0]).unwrap();
        assert_eq!(out[5..], [0, 0, 0, 2, 6, 9, 0, 0, 0, 3, 6, 4, 0, 0, 0, 0, 2, 0x41, 7]);
        assert!(with(&body[..11], &[6]).is_err());
    }

    #[test]
    fn times_of_pictures_may_lie_before_their_decoding() {
        let tag = |body: &[u8]| Tag { kind: 9, time: 100, body: body.to_vec() };
        assert_eq!(shown(&tag(&[0x27, 1, 0, 0, 40])), Some(140));
        assert_eq!(shown(&tag(&[0x27, 1, 0xFF, 0xFF, 0xFE])), Some(98));
        assert_eq!(shown(&tag(&[0x17, 0, 0, 0, 0])), None);
    }
}
