//! PAT and PMT, one section a packet, with their CRC (ISO/IEC 13818-1 §2.4.4).

/// What a PMT promises about one elementary stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) kind: u8,
    pub(crate) pid: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pmt {
    pub(crate) pcr_pid: u16,
    pub(crate) streams: Vec<Stream>,
}

/// The section of a packet's payload: pointer 0, table id, whole, CRC right, 0xff behind it.
/// Gives the table body between the last_section_number and the CRC.
fn section(payload: &[u8], table: u8) -> Result<&[u8], String> {
    let Some((&pointer, rest)) = payload.split_first() else {
        return Err("no payload".into());
    };
    if pointer != 0 {
        return Err(format!("pointer_field is {pointer}, not 0"));
    }
    if rest.len() < 12 {
        return Err(format!("{} bytes are too few for a section", rest.len()));
    }
    if rest[0] != table {
        return Err(format!("table id {:#04x}, not {table:#04x}", rest[0]));
    }
    if rest[1] & 0xf0 != 0xb0 {
        return Err(format!("section flags {:#04x} are not 0xb0", rest[1] & 0xf0));
    }
    let length = usize::from(rest[1] & 0x0f) << 8 | usize::from(rest[2]);
    if length < 9 || 3 + length > rest.len() {
        return Err(format!("section_length {length} does not fit one packet"));
    }
    let whole = &rest[..3 + length];
    if crc32(whole) != 0 {
        return Err("CRC-32 is wrong".into());
    }
    if rest[5] & 1 != 1 || rest[6] != 0 || rest[7] != 0 {
        return Err("not the only, current section".into());
    }
    if let Some(odd) = rest[3 + length..].iter().find(|b| **b != 0xff) {
        return Err(format!("{odd:#04x} behind the section, not 0xff"));
    }
    Ok(&whole[8..3 + length - 4])
}

/// The PMT's PID, of the one program.
pub(crate) fn pat(payload: &[u8]) -> Result<u16, String> {
    let body = section(payload, 0x00)?;
    let programs: Vec<_> = body.chunks(4).filter(|p| p.len() == 4 && (p[0], p[1]) != (0, 0)).collect();
    match programs[..] {
        [one] => Ok(u16::from(one[2] & 0x1f) << 8 | u16::from(one[3])),
        _ => Err(format!("{} programs, not one", programs.len())),
    }
}

/// The program's PCR PID and its streams.
pub(crate) fn pmt(payload: &[u8]) -> Result<Pmt, String> {
    let body = section(payload, 0x02)?;
    if body.len() < 4 {
        return Err("PMT body too short".into());
    }
    let pcr_pid = u16::from(body[0] & 0x1f) << 8 | u16::from(body[1]);
    let info = usize::from(body[2] & 0x0f) << 8 | usize::from(body[3]);
    let mut rest = body.get(4 + info..).ok_or("program descriptors run out of the section")?;
    let mut streams = Vec::new();
    while !rest.is_empty() {
        if rest.len() < 5 {
            return Err("a stream entry is cut".into());
        }
        let info = usize::from(rest[3] & 0x0f) << 8 | usize::from(rest[4]);
        streams.push(Stream { kind: rest[0], pid: u16::from(rest[1] & 0x1f) << 8 | u16::from(rest[2]) });
        rest = rest.get(5 + info..).ok_or("stream descriptors run out of the section")?;
    }
    Ok(Pmt { pcr_pid, streams })
}

/// CRC-32/MPEG-2; over a section with its CRC it is 0.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |mut crc, byte| {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
        }
        crc
    })
}
