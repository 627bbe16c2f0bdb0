//! One 188-byte transport packet, read strictly (ISO/IEC 13818-1 §2.4.3.2 to §2.4.3.5).

/// Bytes of one transport packet.
pub(crate) const PACKET: usize = 188;

/// A packet's header fields and where its payload lies.
pub(crate) struct Packet<'a> {
    pub(crate) pid: u16,
    pub(crate) unit_start: bool,
    pub(crate) counter: u8,
    pub(crate) adaptation: Option<Adaptation>,
    /// Empty when the packet carries an adaptation field alone.
    pub(crate) payload: &'a [u8],
    pub(crate) has_payload: bool,
}

#[derive(Default)]
pub(crate) struct Adaptation {
    pub(crate) discontinuity: bool,
    pub(crate) random_access: bool,
    /// Ticks of 27 MHz.
    pub(crate) pcr: Option<u64>,
    /// The six bits between base and extension, which are to be ones.
    pub(crate) pcr_reserved: u8,
}

impl<'a> Packet<'a> {
    /// Reads a packet; the error says what is wrong with it.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        if bytes.len() != PACKET {
            return Err(format!("{} bytes are no whole packet", bytes.len()));
        }
        if bytes[0] != 0x47 {
            return Err(format!("first byte is {:#04x}, not 0x47", bytes[0]));
        }
        if bytes[1] & 0x80 != 0 {
            return Err("transport_error_indicator is set".into());
        }
        if bytes[3] & 0xc0 != 0 {
            return Err("the packet calls itself scrambled".into());
        }
        let control = bytes[3] >> 4 & 3;
        if control == 0 {
            return Err("adaptation_field_control is the reserved 0".into());
        }
        let mut payload = &bytes[4..];
        let mut adaptation = None;
        if control & 2 != 0 {
            let length = usize::from(bytes[4]);
            let limit = if control == 3 { 182 } else { 183 };
            if length > limit || (control == 2 && length != 183) {
                return Err(format!("adaptation field of {length} bytes with control {control}"));
            }
            adaptation = Some(Adaptation::parse(&bytes[5..5 + length])?);
            payload = &bytes[5 + length..];
        }
        Ok(Packet {
            pid: u16::from(bytes[1] & 0x1f) << 8 | u16::from(bytes[2]),
            unit_start: bytes[1] & 0x40 != 0,
            counter: bytes[3] & 0x0f,
            adaptation,
            payload,
            has_payload: control & 1 != 0,
        })
    }
}

impl Adaptation {
    fn parse(field: &[u8]) -> Result<Self, String> {
        let Some((&flags, mut rest)) = field.split_first() else {
            return Ok(Self::default());
        };
        let mut out = Adaptation {
            discontinuity: flags & 0x80 != 0,
            random_access: flags & 0x40 != 0,
            ..Self::default()
        };
        if flags & 0x10 != 0 {
            let [a, b, c, d, e, f, ..] = *rest else {
                return Err("adaptation field too short for its PCR".into());
            };
            let base = u64::from(a) << 25
                | u64::from(b) << 17
                | u64::from(c) << 9
                | u64::from(d) << 1
                | u64::from(e) >> 7;
            let extension = u64::from(e & 1) << 8 | u64::from(f);
            if extension >= 300 {
                return Err(format!("PCR extension {extension} is 300 or more"));
            }
            out.pcr = Some(base * 300 + extension);
            out.pcr_reserved = e >> 1 & 0x3f;
            rest = &rest[6..];
        }
        // OPCR, splice countdown, private data and extension are never written by us: what follows is stuffing.
        if flags & 0x0f != 0 {
            return Err(format!("adaptation flags {flags:#04x} announce fields that have no place here"));
        }
        if let Some(odd) = rest.iter().find(|b| **b != 0xff) {
            return Err(format!("adaptation stuffing holds {odd:#04x}, not 0xff"));
        }
        Ok(out)
    }
}
