//! PES packets put together from their transport packets (ISO/IEC 13818-1 §2.4.3.6, §2.4.3.7).

/// A PES packet as its packets told it; `data` is everything from the start code on.
pub(crate) struct Raw {
    pub(crate) pid: u16,
    /// Index of its first packet in the segment.
    pub(crate) packet: usize,
    pub(crate) random_access: bool,
    /// The newest PCR when it began, its own first packet's included; 27 MHz.
    pub(crate) pcr: Option<u64>,
    pub(crate) data: Vec<u8>,
}

/// The header's fields and the payload.
pub(crate) struct Pes<'a> {
    pub(crate) stream_id: u8,
    pub(crate) aligned: bool,
    /// 33-bit ticks of 90 kHz.
    pub(crate) pts: u64,
    /// Equal to `pts` where the header leaves it out.
    pub(crate) dts: u64,
    /// The header spells out a DTS that equals the PTS.
    pub(crate) redundant_dts: bool,
    pub(crate) payload: &'a [u8],
}

pub(crate) enum Fault {
    Incomplete(String),
    Header(String),
}

impl Raw {
    pub(crate) fn parse(&self) -> Result<Pes<'_>, Fault> {
        let d = &self.data[..];
        if d.len() < 9 {
            return Err(Fault::Incomplete(format!("PES ends after {} bytes", d.len())));
        }
        if d[..3] != [0, 0, 1] {
            return Err(Fault::Header("no 00 00 01 where a PES should start".into()));
        }
        let declared = usize::from(d[4]) << 8 | usize::from(d[5]);
        if declared != 0 && d.len() != 6 + declared {
            let text = format!("PES declares {declared} bytes, {} are in this segment", d.len() - 6);
            return Err(Fault::Incomplete(text));
        }
        if declared == 0 && d[3] & 0xf0 != 0xe0 {
            return Err(Fault::Header("length 0 is for video alone".into()));
        }
        if d[6] & 0xc0 != 0x80 {
            return Err(Fault::Header(format!("PES flags {:#04x} do not start with 10", d[6])));
        }
        if d[6] & 0x30 != 0 || d[7] & 0x3f != 0 {
            return Err(Fault::Header("scrambling, ESCR, CRC or extension fields".into()));
        }
        let header = usize::from(d[8]);
        let stamps = d.get(9..9 + header).ok_or(Fault::Incomplete("PES header is cut".into()))?;
        let (pts, dts, used) = match d[7] >> 6 {
            2 if header >= 5 => {
                let pts = stamp(&stamps[..5], 2)?;
                (pts, pts, 5)
            }
            3 if header >= 10 => (stamp(&stamps[..5], 3)?, stamp(&stamps[5..10], 1)?, 10),
            flags => {
                return Err(Fault::Header(format!("PTS_DTS_flags {flags} in a header of {header} bytes")));
            }
        };
        if stamps[used..].iter().any(|b| *b != 0xff) {
            return Err(Fault::Header("header stuffing is not 0xff".into()));
        }
        Ok(Pes {
            stream_id: d[3],
            aligned: d[6] & 4 != 0,
            pts,
            dts,
            redundant_dts: used == 10 && pts == dts,
            payload: &d[9 + header..],
        })
    }
}

fn stamp(b: &[u8], prefix: u8) -> Result<u64, Fault> {
    if b[0] >> 4 != prefix || b[0] & b[2] & b[4] & 1 == 0 {
        return Err(Fault::Header(format!("time stamp {b:02x?} has wrong prefix or marker bits")));
    }
    Ok(u64::from(b[0] >> 1 & 7) << 30
        | u64::from(b[1]) << 22
        | u64::from(b[2] >> 1) << 15
        | u64::from(b[3]) << 7
        | u64::from(b[4] >> 1))
}
