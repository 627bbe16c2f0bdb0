//! What a sample of pictures holds: NAL units or OBUs.

/// What one sample shows of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Content {
    /// A decoder can start here; None where that cannot be told.
    pub(crate) key: Option<bool>,
    /// Parameter sets or an access unit delimiter stand in the sample.
    pub(crate) inband: Option<u8>,
    /// Slices that begin a picture.
    pub(crate) pictures: Option<usize>,
}

/// Reads the sample of an entry of this kind.
///
/// # Errors
/// When its units do not tile it.
pub(crate) fn read(entry: [u8; 4], nal_length: Option<usize>, data: &[u8]) -> Result<Content, String> {
    match &entry {
        b"avc1" | b"avc3" => avc(&units(data, nal_length.unwrap_or(4))?),
        b"hvc1" | b"hev1" => hevc(&units(data, nal_length.unwrap_or(4))?),
        b"av01" => av1(data),
        _ => Ok(Content::default()),
    }
}

fn units(data: &[u8], length: usize) -> Result<Vec<&[u8]>, String> {
    let mut out = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let at = data.len() - rest.len();
        let (head, tail) =
            rest.split_at_checked(length).ok_or_else(|| format!("half a length at byte {at}"))?;
        let size = head.iter().fold(0usize, |size, b| size << 8 | usize::from(*b));
        let (unit, tail) = tail
            .split_at_checked(size)
            .ok_or_else(|| format!("NAL unit at byte {at} says {size} bytes of {}", tail.len()))?;
        if unit.is_empty() {
            return Err(format!("empty NAL unit at byte {at}"));
        }
        out.push(unit);
        rest = tail;
    }
    if out.is_empty() { Err("no NAL unit".into()) } else { Ok(out) }
}

fn avc(units: &[&[u8]]) -> Result<Content, String> {
    let kinds: Vec<u8> = units.iter().map(|u| u[0] & 0x1f).collect();
    if units.iter().any(|u| u[0] & 0x80 != 0) {
        return Err("forbidden_zero_bit is set".into());
    }
    let first = |unit: &&&[u8]| matches!(unit[0] & 0x1f, 1 | 5) && unit.get(1).is_some_and(|b| b & 0x80 != 0);
    Ok(Content {
        key: Some(kinds.contains(&5)),
        inband: kinds.iter().copied().find(|k| matches!(k, 7..=9)),
        pictures: Some(units.iter().filter(first).count()),
    })
}

fn hevc(units: &[&[u8]]) -> Result<Content, String> {
    let kinds: Vec<u8> = units.iter().map(|u| u[0] >> 1 & 0x3f).collect();
    let first = |unit: &&&[u8]| unit[0] >> 1 & 0x3f < 32 && unit.get(2).is_some_and(|b| b & 0x80 != 0);
    Ok(Content {
        key: Some(kinds.iter().any(|k| (16..=21).contains(k))),
        inband: kinds.iter().copied().find(|k| matches!(k, 32..=35)),
        pictures: Some(units.iter().filter(first).count()),
    })
}

/// OBUs with sizes; a sample where one can start has the sequence header.
fn av1(data: &[u8]) -> Result<Content, String> {
    let mut rest = data;
    let mut header = false;
    while let Some((&first, tail)) = rest.split_first() {
        let at = data.len() - rest.len();
        let mut tail = tail.get(usize::from(first >> 2 & 1)..).ok_or("OBU header is cut")?;
        if first & 2 == 0 {
            rest = &[]; // the last one may leave its size out
            header |= first >> 3 & 15 == 1;
            continue;
        }
        let mut size = 0usize;
        for n in 0..8 {
            let (byte, more) = tail.split_first().ok_or("OBU size is cut")?;
            size |= usize::from(byte & 0x7f) << (n * 7);
            tail = more;
            if byte & 0x80 == 0 {
                break;
            }
        }
        header |= first >> 3 & 15 == 1;
        if first >> 3 & 15 == 2 {
            return Err(format!("temporal delimiter at byte {at}"));
        }
        rest = tail
            .get(size..)
            .ok_or_else(|| format!("OBU at byte {at} says {size} bytes of {}", tail.len()))?;
    }
    // A key frame has the header in front of it; whether what has one is a key frame only its bits tell.
    Ok(Content { key: if header { None } else { Some(false) }, inband: None, pictures: None })
}
