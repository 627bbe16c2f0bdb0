//! What lies in the elementary streams: Annex B access units and ADTS frames.

/// One NAL unit of an Annex B byte stream.
pub(crate) struct Nal<'a> {
    pub(crate) kind: u8,
    /// Without start code and trailing zeros.
    pub(crate) bytes: &'a [u8],
    /// Zero bytes and the 01 before it.
    pub(crate) start_code: usize,
}

impl Nal<'_> {
    pub(crate) fn is_slice(&self) -> bool {
        matches!(self.kind, 1..=5)
    }

    /// A slice that opens a picture: first_mb_in_slice is 0, so its first ue(v) bit is 1.
    pub(crate) fn opens_picture(&self) -> bool {
        matches!(self.kind, 1 | 2 | 5) && self.bytes.get(1).is_some_and(|b| b & 0x80 != 0)
    }
}

/// Cuts a byte stream at its start codes. Bytes before the first one are an error.
pub(crate) fn nals(stream: &[u8]) -> Result<Vec<Nal<'_>>, String> {
    let mut starts = Vec::new(); // (first zero, behind the 01)
    let mut at = 0;
    while at + 3 <= stream.len() {
        if stream[at..at + 3] == [0, 0, 1] {
            let mut zero = at;
            while zero > 0 && stream[zero - 1] == 0 && starts.last().is_none_or(|(_, b)| zero > *b) {
                zero -= 1;
            }
            starts.push((zero, at + 3));
            at += 3;
        } else {
            at += 1;
        }
    }
    match starts.first() {
        None => return Err("no start code in the access unit".into()),
        Some((0, _)) => {}
        Some((n, _)) => return Err(format!("{n} bytes before the first start code")),
    }
    let mut out = Vec::new();
    for (i, (zero, begin)) in starts.iter().enumerate() {
        let end = starts.get(i + 1).map_or(stream.len(), |next| next.0);
        let bytes = &stream[*begin..end];
        let Some(first) = bytes.first() else {
            return Err(format!("empty NAL unit at byte {begin}"));
        };
        if first & 0x80 != 0 {
            return Err(format!("forbidden_zero_bit is set at byte {begin}"));
        }
        out.push(Nal { kind: first & 0x1f, bytes, start_code: begin - zero });
    }
    Ok(out)
}

/// `avc1.PPCCLL` of a sequence parameter set (RFC 6381 §3.3).
pub(crate) fn avc_codec(sps: &[u8]) -> Option<String> {
    let [_, profile, flags, level, ..] = sps else { return None };
    Some(format!("avc1.{profile:02x}{flags:02x}{level:02x}"))
}

/// The fixed part of an ADTS header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Adts {
    /// AudioObjectType of the ASC: profile + 1.
    pub(crate) object: u8,
    pub(crate) rate: u32,
    pub(crate) channels: u8,
}

const RATES: [u32; 13] =
    [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

/// ADTS frames that tile the payload: count and the headers' common fields.
pub(crate) fn adts(payload: &[u8]) -> Result<(u64, Adts), String> {
    let mut rest = payload;
    let mut count = 0;
    let mut common = None;
    while !rest.is_empty() {
        let at = payload.len() - rest.len();
        let &[a, b, c, d, e, f, g, ..] = rest else {
            return Err(format!("{} bytes left at {at}, less than a header", rest.len()));
        };
        if a != 0xff || b & 0xf6 != 0xf0 {
            return Err(format!("no ADTS syncword at byte {at}: {a:02x} {b:02x}"));
        }
        if b & 1 != 1 {
            return Err(format!("frame at byte {at} has a CRC"));
        }
        let length = usize::from(d & 3) << 11 | usize::from(e) << 3 | usize::from(f >> 5);
        if length < 8 || length > rest.len() {
            return Err(format!("frame at byte {at} says {length} bytes of {} left", rest.len()));
        }
        if g & 3 != 0 {
            return Err(format!("frame at byte {at} holds more than one raw data block"));
        }
        let Some(rate) = RATES.get(usize::from(c >> 2 & 15)) else {
            return Err(format!("frame at byte {at} has a reserved sampling frequency"));
        };
        let this = Adts { object: (c >> 6) + 1, rate: *rate, channels: (c & 1) << 2 | d >> 6 };
        if *common.get_or_insert(this) != this {
            return Err(format!("frame at byte {at} changes the ADTS header to {this:?}"));
        }
        count += 1;
        rest = &rest[length..];
    }
    common.map(|c| (count, c)).ok_or_else(|| "no ADTS frame".into())
}
