//! ISO BMFF boxes (ISO/IEC 14496-12 §4.2), read strictly.

/// One box.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) kind: [u8; 4],
    /// Where it begins, counted as its parent was.
    pub(crate) at: usize,
    /// Bytes of its header.
    pub(crate) header: usize,
    pub(crate) body: &'a [u8],
}

impl Item<'_> {
    pub(crate) fn end(&self) -> usize {
        self.at + self.header + self.body.len()
    }

    pub(crate) fn name(&self) -> String {
        self.kind.escape_ascii().to_string()
    }
}

/// The boxes that fill `bytes`, the first of which stands at `base`.
pub(crate) fn read(bytes: &[u8], base: usize) -> Result<Vec<Item<'_>>, String> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let mut cursor = Cursor(rest);
        let (Some(size), Some(kind)) = (cursor.u32(), cursor.array::<4>()) else {
            return Err(format!("{} bytes at {}, less than a box", rest.len(), base + at));
        };
        let (size, header) = match size {
            1 => (cursor.u64().and_then(|s| usize::try_from(s).ok()).unwrap_or(usize::MAX), 16),
            0 => (rest.len(), 8), // to the end of the file
            size => (size as usize, 8),
        };
        if size < header || size > rest.len() {
            let name = kind.escape_ascii();
            return Err(format!("box {name} at {} says {size} bytes of {}", base + at, rest.len()));
        }
        out.push(Item { kind, at: base + at, header, body: &rest[header..size] });
        at += size;
    }
    Ok(out)
}

/// How many bytes the boxes say they have, the last of which may be cut.
pub(crate) fn declared(bytes: &[u8]) -> usize {
    let mut at = 0usize;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= 8) {
        let size = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        if size < 8 {
            break;
        }
        at = at.saturating_add(size);
    }
    at
}

/// The children of a container.
pub(crate) fn inside<'a>(item: &Item<'a>) -> Result<Vec<Item<'a>>, String> {
    read(item.body, item.at + item.header)
}

/// The only box of a kind.
pub(crate) fn one<'a, 'b>(items: &'b [Item<'a>], kind: &[u8; 4]) -> Result<&'b Item<'a>, String> {
    let name = kind.escape_ascii();
    let mut all = items.iter().filter(|i| i.kind == *kind);
    let first = all.next().ok_or_else(|| format!("no {name}"))?;
    if all.next().is_some() {
        return Err(format!("several {name}"));
    }
    Ok(first)
}

/// Big-endian fields, one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|b| b[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Version and flags of a full box.
    pub(crate) fn full(&mut self) -> Option<(u8, u32)> {
        let word = self.u32()?;
        Some(((word >> 24) as u8, word & 0x00ff_ffff))
    }

    /// 64 bits in version 1, else 32.
    pub(crate) fn sized(&mut self, version: u8) -> Option<u64> {
        if version == 1 { self.u64() } else { self.u32().map(u64::from) }
    }
}
