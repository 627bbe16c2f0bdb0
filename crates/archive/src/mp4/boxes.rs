//! Boxes of ISO/IEC 14496-12 §4.2, read and written. Nothing of what is read is believed: every length is held against what is
//! there.

/// A four-letter name.
pub(crate) type Kind = [u8; 4];

/// The boxes in a stretch of bytes, in order; ends at the first that is broken.
#[derive(Clone)]
pub(crate) struct Boxes<'a>(&'a [u8]);

impl<'a> Boxes<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The content of the first box of that name.
    pub(crate) fn find(mut self, kind: &Kind) -> Option<&'a [u8]> {
        self.find_map(|(found, body)| (found == *kind).then_some(body))
    }

    /// The content of the box at the end of a path.
    pub(crate) fn descend(self, path: &[&Kind]) -> Option<&'a [u8]> {
        path.iter().try_fold(self.0, |bytes, kind| Boxes::of(bytes).find(kind))
    }

    /// Every box with its whole length, `None` for one that is broken, which is the last.
    pub(crate) fn framed(self) -> impl Iterator<Item = (Kind, &'a [u8], Option<usize>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            match split(rest) {
                Some((kind, body, whole)) => {
                    rest = &rest[whole..];
                    Some((kind, body, Some(whole)))
                }
                None => {
                    rest = &[];
                    Some((*b"????", &[][..], None))
                }
            }
        })
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = (Kind, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, body, whole) = split(self.0)?;
        self.0 = &self.0[whole..];
        Some((kind, body))
    }
}

/// The first box: its name, its content, its whole length.
fn split(bytes: &[u8]) -> Option<(Kind, &[u8], usize)> {
    let mut reader = Reader::new(bytes);
    let short = reader.u32()?;
    let kind: Kind = reader.take(4)?.try_into().ok()?;
    let (head, whole) = match short {
        1 => (16, usize::try_from(reader.u64()?).ok()?),
        _ => (8, short as usize),
    };
    Some((kind, bytes.get(head..whole)?, whole))
}

/// Numbers in big-endian order.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }
}

/// Writes a box around what `fill` writes. None of ours, `mdat` apart, reaches 4 GiB.
pub(crate) fn wrap(out: &mut Vec<u8>, kind: &Kind, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    fill(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// The same with version and flags before.
pub(crate) fn wrap_full(
    out: &mut Vec<u8>,
    kind: &Kind,
    version: u8,
    flags: u32,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    wrap(out, kind, |out| {
        put32(out, u32::from(version) << 24 | flags & 0x00ff_ffff);
        fill(out);
    });
}

pub(crate) fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_read_as_they_are_written() {
        let mut out = Vec::new();
        wrap(&mut out, b"moov", |out| {
            wrap_full(out, b"mvhd", 1, 7, |out| put64(out, 9));
            wrap(out, b"free", |_| {});
        });
        let body = Boxes::of(&out).descend(&[b"moov", b"mvhd"]).unwrap();
        let mut reader = Reader::new(body);
        assert_eq!((reader.u32(), reader.u64(), reader.u32()), (Some(0x0100_0007), Some(9), None));
        assert_eq!(Boxes::of(&out).descend(&[b"moov", b"trak"]), None);
        let large = [&1_u32.to_be_bytes()[..], b"mdat", &18_u64.to_be_bytes(), b"ab"].concat();
        assert_eq!(Boxes::of(&large).find(b"mdat"), Some(&b"ab"[..]));
    }

    #[test]
    fn a_broken_box_ends_the_reading() {
        for bytes in
            [&[0, 0, 0, 9, b'f', b'r', b'e', b'e'][..], &[0, 0, 0, 7, 1, 2, 3, 4], &[0, 0, 0], &[0; 8]]
        {
            assert_eq!(Boxes::of(bytes).count(), 0, "{bytes:?}");
            assert_eq!(
                Boxes::of(bytes).framed().map(|(.., whole)| whole).collect::<Vec<_>>(),
                [None],
                "{bytes:?}"
            );
        }
    }
}
