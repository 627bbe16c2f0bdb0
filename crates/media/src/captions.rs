//! Closed captions that travel inside the pictures: CEA-608 and CEA-708 in SEI (ATSC A/53 part 4 §6.2.3; ITU-T H.264
//! and H.265 §D, user data registered by ITU-T T.35), and which of the services of CTA-608-E and CTA-708-E are in use.
//!
//! ```text
//!  access unit ─▶ SEI units ─▶ payload 4, "GA94", type 3 ─▶ triplets ─┬▶ field 1, field 2: CC1 … CC4 by their control codes
//!                                                                     └▶ DTVCC packets: SERVICE1 … SERVICE63 by their blocks
//! ```
//!
//! Only looks: what viewers get is carried on whole, with whatever else the SEI holds.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{VideoCodec, VideoConfig, h264, hevc, nal};

/// Most SEI units of an access unit that are looked at; encoders write one to four.
const MAX_UNITS: usize = 16;
/// Most messages of a unit that are looked at.
const MAX_MESSAGES: usize = 32;
/// user_data_registered_itu_t_t35.
const REGISTERED: usize = 4;
/// Country (USA), provider (ATSC), identifier, and the type of cc_data.
const CC_DATA: [u8; 8] = [0xB5, 0x00, 0x31, b'G', b'A', b'9', b'4', 0x03];
/// Numbers of DTVCC services end below this (CTA-708-E §6.2).
const MAX_SERVICE: u8 = 63;

/// cc_valid, cc_type and two bytes, as cc_data has them. At most 31 belong to a picture.
pub type Triplet = [u8; 3];

/// One caption service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Service {
    /// A channel of CEA-608, 1 to 4.
    Cc(u8),
    /// A service of CEA-708, 1 to 63.
    Dtvcc(u8),
}

/// A text that names no caption service.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no caption service: CC1 to CC4 and SERVICE1 to SERVICE63 are")]
pub struct BadService(String);

/// A set of caption services.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Services {
    /// Bit n − 1 is CCn.
    cc: u8,
    /// Bit n is SERVICEn.
    dtvcc: u64,
}

impl fmt::Display for Service {
    /// As INSTREAM-ID has it (RFC 8216 §4.3.4.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cc(number) => write!(f, "CC{number}"),
            Self::Dtvcc(number) => write!(f, "SERVICE{number}"),
        }
    }
}

impl FromStr for Service {
    type Err = BadService;

    fn from_str(text: &str) -> Result<Self, BadService> {
        let number = |digits: &str, most: u8| {
            let plain = !digits.starts_with(['0', '+']);
            digits.parse().ok().filter(|number| plain && (1..=most).contains(number))
        };
        let service = match (text.strip_prefix("CC"), text.strip_prefix("SERVICE")) {
            (Some(digits), _) => number(digits, 4).map(Self::Cc),
            (_, Some(digits)) => number(digits, MAX_SERVICE).map(Self::Dtvcc),
            _ => None,
        };
        service.ok_or_else(|| BadService(text.to_owned()))
    }
}

impl From<Service> for String {
    fn from(service: Service) -> Self {
        service.to_string()
    }
}

impl TryFrom<String> for Service {
    type Error = BadService;
    fn try_from(text: String) -> Result<Self, BadService> {
        text.parse()
    }
}

impl Services {
    /// No service.
    pub const NONE: Self = Self { cc: 0, dtvcc: 0 };

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// The services of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { cc: self.cc | other.cc, dtvcc: self.dtvcc | other.dtvcc }
    }

    /// In order: CC1 to CC4, SERVICE1 to SERVICE63.
    pub fn iter(self) -> impl Iterator<Item = Service> {
        let cc = (1..=4).filter(move |number| self.cc >> (number - 1) & 1 == 1).map(Service::Cc);
        cc.chain((1..=MAX_SERVICE).filter(move |number| self.dtvcc >> number & 1 == 1).map(Service::Dtvcc))
    }

    /// Which services the SEI of an access unit shows to be in use; `data` is as [`crate::Packet`] has it.
    ///
    /// A channel of CEA-608 shows itself by a code that begins captions (pop-on, roll-up, paint-on), so the zeros that
    /// encoders send without a break do not make one, nor do text mode and program information. Other codings than
    /// H.264 and HEVC show none.
    pub fn of(config: &VideoConfig, data: &[u8]) -> Self {
        let mut seen = Self::NONE;
        cc_data(config, data, |triplets| seen = seen.union(Self::in_use(triplets)));
        seen
    }

    /// Which services these triplets of one picture show to be in use.
    ///
    /// A DTVCC packet that goes on in the next picture is followed to the end of this one: pictures come in decoding
    /// order, which is not that of the packets.
    pub fn in_use(triplets: &[Triplet]) -> Self {
        let mut seen = Self::NONE;
        let mut packet = Vec::new();
        for [flags, first, second] in triplets.iter().filter(|triplet| is_valid(triplet)) {
            match flags & 3 {
                field @ (0 | 1) => seen.cc |= channel(field, *first, *second),
                3 => {
                    seen.dtvcc |= services(&packet);
                    packet.clear();
                    packet.extend([*first, *second]);
                }
                // What continues a packet of a picture before has no start here.
                _ if packet.is_empty() => {}
                _ => packet.extend([*first, *second]),
            }
        }
        seen.dtvcc |= services(&packet);
        seen
    }
}

impl FromIterator<Service> for Services {
    fn from_iter<T: IntoIterator<Item = Service>>(services: T) -> Self {
        services.into_iter().fold(Self::NONE, |mut all, service| {
            match service {
                Service::Cc(number) => all.cc |= 1 << (number.clamp(1, 4) - 1),
                Service::Dtvcc(number) => all.dtvcc |= 1 << number.clamp(1, MAX_SERVICE),
            }
            all
        })
    }
}

/// Whether a triplet holds anything: cc_valid. The others pad a picture's share of the channel.
pub fn is_valid(triplet: &Triplet) -> bool {
    triplet[0] & 4 != 0
}

/// The channel that a pair of bytes begins captions in, as a bit (CTA-608-E §8.4, table 52).
fn channel(field: u8, first: u8, second: u8) -> u8 {
    if [first, second].iter().any(|byte| byte.count_ones().is_multiple_of(2)) {
        return 0; // parity is odd
    }
    let (first, second) = (first & 0x7F, second & 0x7F);
    // Resume caption loading, roll-up of two to four rows, resume direct captioning. Some encoders use the first field's
    // codes in the second field, too.
    let begins = matches!(first & 0x77, 0x14 | 0x15) && matches!(second, 0x20 | 0x25..=0x27 | 0x29);
    if begins { 1 << (2 * field + u8::from(first & 8 != 0)) } else { 0 }
}

/// The services with a block in a DTVCC packet, of which the end may be missing, as bits (CTA-708-E §5, §6.2).
fn services(packet: &[u8]) -> u64 {
    let Some((header, rest)) = packet.split_first() else { return 0 };
    let size = match header & 0x3F {
        0 => 128,
        code => 2 * usize::from(code),
    };
    let mut rest = &rest[..rest.len().min(size - 1)];
    let mut seen = 0;
    while let Some((head, tail)) = rest.split_first() {
        let (mut number, length) = (head >> 5, usize::from(head & 0x1F));
        if number == 0 {
            break; // the rest is filling
        }
        rest = tail;
        if number == 7 && length > 0 {
            let Some((extended, tail)) = rest.split_first() else { break };
            number = extended & 0x3F;
            rest = tail;
            if number < 7 {
                break; // not to be written so
            }
        }
        if length > 0 {
            seen |= 1 << number;
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    seen
}

/// Calls `with` for each cc_data in an access unit's SEI, with the triplets that it counts; most often once or never.
pub fn cc_data(config: &VideoConfig, data: &[u8], mut with: impl FnMut(&[Triplet])) {
    let (header, is_sei): (_, fn(u8) -> bool) = match config {
        VideoConfig::H264(_) => (1, |byte| byte & 31 == h264::nal_type::SEI),
        VideoConfig::Other(other) if other.codec == VideoCodec::Hevc => {
            (2, |byte| byte >> 1 & 0x3F == hevc::nal_type::SEI_PREFIX)
        }
        VideoConfig::Other(_) => return,
    };
    let sei = nal::units(data).filter(|unit| unit.first().is_some_and(|byte| is_sei(*byte)));
    for unit in sei.take(MAX_UNITS) {
        // Most SEI holds none, and is not worth a copy. The identifier has no bytes that are escaped.
        if memchr::memmem::find(unit, &CC_DATA[3..7]).is_none() {
            continue;
        }
        let plain = nal::unescaped(unit);
        let mut rest = plain.get(header..).unwrap_or_default();
        for _ in 0..MAX_MESSAGES {
            let Some((kind, payload)) = message(&mut rest) else { break };
            if kind == REGISTERED
                && let Some(triplets) = counted(payload)
            {
                with(triplets);
            }
        }
    }
}

/// The next SEI message: its type and payload (H.264 §7.3.2.3.1). `None` at the trailing bits, or where it is cut.
fn message<'a>(rest: &mut &'a [u8]) -> Option<(usize, &'a [u8])> {
    let mut number = || {
        let mut value = 0;
        loop {
            let (byte, tail) = rest.split_first()?;
            *rest = tail;
            value += usize::from(*byte);
            if *byte != 0xFF {
                return Some(value);
            }
        }
    };
    let (kind, size) = (number()?, number()?);
    let payload = rest.get(..size)?;
    *rest = &rest[size..];
    Some((kind, payload))
}

/// The triplets of a registered payload that is cc_data (A/53 part 4 table 6.10).
fn counted(payload: &[u8]) -> Option<&[Triplet]> {
    let [flags, _em_data, triplets @ ..] = payload.strip_prefix(&CC_DATA)? else { return None };
    let process = flags & 0x40 != 0;
    let (triplets, _) = triplets.as_chunks::<3>();
    triplets.get(..usize::from(flags & 0x1F).min(triplets.len())).filter(|_| process)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::OtherVideo;

    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
        0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

    fn avc() -> VideoConfig {
        let units = |unit: &'static [u8]| vec![Bytes::from_static(unit)];
        VideoConfig::H264(h264::Config::from_units(units(SPS), units(PPS)).unwrap())
    }

    fn other(codec: VideoCodec) -> VideoConfig {
        VideoConfig::Other(OtherVideo {
            codec,
            extradata: Bytes::new(),
            width: 640,
            height: 360,
            bit_depth: 8,
            frame_rate: None,
            color: None,
        })
    }

    fn odd(byte: u8) -> u8 {
        if byte.count_ones().is_multiple_of(2) { byte | 0x80 } else { byte }
    }

    fn pair(field: u8, first: u8, second: u8) -> Triplet {
        [0xFC | field, odd(first), odd(second)]
    }

    fn payload(triplets: &[Triplet]) -> Vec<u8> {
        let mut payload = [&CC_DATA[..], &[0xC0 | triplets.len() as u8, 0xFF]].concat();
        payload.extend(triplets.as_flattened());
        payload.push(0xFF);
        payload
    }

    /// An SEI unit with another message before, escaped.
    fn sei(header: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut plain = vec![5, 3, 0, 0, 1, 4, payload.len() as u8];
        plain.extend(payload);
        plain.push(0x80);
        let mut unit = header.to_vec();
        let mut zeros = 0;
        for byte in plain {
            if zeros >= 2 && byte <= 3 {
                unit.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            unit.push(byte);
        }
        unit
    }

    fn access_unit(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes()[..], unit].concat()).collect()
    }

    fn text(services: Services) -> Vec<String> {
        services.iter().map(|service| service.to_string()).collect()
    }

    #[test]
    fn services_are_told_by_what_begins_captions() {
        for (name, triplets, want) in [
            ("zeros", vec![pair(0, 0, 0), pair(1, 0, 0)], &[][..]),
            ("pop-on", vec![pair(0, 0x14, 0x20)], &["CC1"]),
            ("roll-up in the second channel", vec![pair(0, 0x1C, 0x26)], &["CC2"]),
            ("paint-on in the second field", vec![pair(1, 0x15, 0x29)], &["CC3"]),
            ("second field with the first one's codes", vec![pair(1, 0x1C, 0x25)], &["CC4"]),
            ("text mode", vec![pair(0, 0x14, 0x2B), pair(0, 0x14, 0x2A)], &[]),
            ("program information", vec![pair(1, 0x01, 0x03)], &[]),
            ("erasing, and letters", vec![pair(0, 0x14, 0x2C), pair(0, b'H', b'i')], &[]),
            ("bad parity", vec![[0xFC, 0x14, 0x20]], &[]),
            ("not valid", vec![[0xF8, 0x94, 0x20]], &[]),
            ("service 1", vec![[0xFF, 0x02, 0x22], [0xFE, b'H', b'i']], &["SERVICE1"]),
            (
                "two in one packet",
                vec![[0xFF, 0x03, 0x21], [0xFE, b'H', 0x41], [0xFE, b'i', 0]],
                &["SERVICE1", "SERVICE2"],
            ),
            ("an extended number", vec![[0xFF, 0x02, 0xE1], [0xFE, 0x09, b'x']], &["SERVICE9"]),
            ("a packet that goes on later", vec![[0xFF, 0x0A, 0x28], [0xFE, b'H', b'e']], &["SERVICE1"]),
            ("the end of a packet", vec![[0xFE, 0x21, b'H'], [0xFE, 0x41, b'i']], &[]),
            ("an empty block", vec![[0xFF, 0x01, 0x20]], &[]),
            ("behind the packet's size", vec![[0xFF, 0x01, 0x00], [0xFE, 0x21, b'H']], &[]),
            (
                "several",
                vec![pair(0, 0x14, 0x20), pair(1, 0x15, 0x20), [0xFF, 0x02, 0x21]],
                &["CC1", "CC3", "SERVICE1"],
            ),
        ] {
            assert_eq!(text(Services::in_use(&triplets)), want, "{name}");
        }
    }

    #[test]
    fn captions_are_found_in_both_codings() {
        let triplets = [pair(0, 0x14, 0x20), pair(0, 0, 0), [0xFA, 0, 0]];
        for (config, header) in [(avc(), &[6][..]), (other(VideoCodec::Hevc), &[78, 1])] {
            let unit = sei(header, &payload(&triplets));
            let data = access_unit(&[&[6, 1, 1, 0, 0x80], &unit, &[0x65, 1, 2, 3]]);
            assert_eq!(text(Services::of(&config, &data)), ["CC1"]);
            let mut met = Vec::new();
            cc_data(&config, &data, |triplets| met.extend_from_slice(triplets));
            assert_eq!(met, triplets);
        }
        let unit = sei(&[6], &payload(&triplets));
        assert!(Services::of(&other(VideoCodec::Av1), &access_unit(&[&unit])).is_empty());
    }

    #[test]
    fn what_is_no_caption_data_is_left_alone() {
        let good = payload(&[pair(0, 0x14, 0x20)]);
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            bad
        };
        for (name, payload) in [
            ("another country", with(0, 0x26)),
            ("another provider", with(2, 0x2F)),
            ("bar data", with(7, 6)),
            ("not to be processed", with(8, 0x81)),
            ("counts none", with(8, 0xC0)),
            ("cut behind the identifier", good[..8].to_vec()),
            ("cut in a triplet", good[..12].to_vec()),
        ] {
            let data = access_unit(&[&sei(&[6], &payload)]);
            assert!(Services::of(&avc(), &data).is_empty(), "{name}");
        }
    }

    #[test]
    fn names_round_trip() {
        for name in ["CC1", "CC4", "SERVICE1", "SERVICE63"] {
            assert_eq!(name.parse::<Service>().unwrap().to_string(), name);
        }
        for name in ["", "CC0", "CC5", "cc1", "CC01", "CC+1", "SERVICE0", "SERVICE64", "SERVICE 1", "T1"] {
            assert!(name.parse::<Service>().is_err(), "{name}");
        }
        let all: Services =
            ["CC2", "SERVICE63", "CC1"].map(|name| name.parse().unwrap()).into_iter().collect();
        assert_eq!(text(all), ["CC1", "CC2", "SERVICE63"]);
        assert_eq!(text(all.union(Services::NONE)), ["CC1", "CC2", "SERVICE63"]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
            count in proptest::prelude::any::<u8>(),
        ) {
            let whole = [&CC_DATA[..], &[count, 0xFF], &bytes].concat();
            let bent = [&[6, 4, count][..], &whole].concat();
            for unit in [sei(&[6], &whole[..whole.len().min(250)]), bent, bytes.clone()] {
                let data = access_unit(&[&unit]);
                cc_data(&avc(), &data, |triplets| {
                    assert!(triplets.len() <= 31);
                    Services::in_use(triplets);
                });
            }
            Services::of(&avc(), &bytes);
            services(&bytes);
        }
    }
}
