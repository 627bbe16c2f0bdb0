//! AC-3 and E-AC-3 (ETSI TS 102 366): what a syncframe says of itself. One packet may hold several.

use crate::{bits::Bits, header::HeaderError};

/// Table 4.1 and §E.1.3.1.3: rates of fscod; half of them with fscod2.
const RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// Table 5.8: main channels of acmod.
const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
/// Table 5.18: kbit/s of every second frmsizecod.
const BIT_RATES: [u32; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
/// Samples of one audio block.
const BLOCK: u32 = 256;

/// What a packet of syncframes says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// E-AC-3 rather than AC-3.
    pub enhanced: bool,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels of the first independent stream, the low frequency one included.
    pub channels: u8,
    /// Samples of each channel that the packet decodes to.
    pub samples: u32,
}

/// One syncframe's header.
struct Syncframe {
    packet: Packet,
    /// Length of the syncframe in bytes.
    len: usize,
    /// Of the programme that is heard: not a dependent stream, not another programme.
    main: bool,
}

/// Reads the syncframes of one packet.
///
/// # Errors
/// When the first is cut short, has no sync word, or a reserved rate.
pub fn packet(data: &[u8]) -> Result<Packet, HeaderError> {
    let first = syncframe(data)?;
    let mut out = first.packet;
    let mut rest = data.get(first.len..).unwrap_or_default();
    while let Ok(next) = syncframe(rest) {
        if next.main {
            out.samples += next.packet.samples;
        }
        rest = rest.get(next.len..).unwrap_or_default();
    }
    Ok(out)
}

fn syncframe(data: &[u8]) -> Result<Syncframe, HeaderError> {
    const WHAT: &str = "AC-3 syncframe";
    let cut = || HeaderError::truncated(WHAT, data);
    let &[0x0B, 0x77, _, _, _, ids, ..] = data else {
        return Err(match data {
            [] | [_] | [0x0B, 0x77, ..] => cut(),
            [a, b, ..] => HeaderError::reserved(WHAT, "sync word", u16::from_be_bytes([*a, *b])),
        });
    };
    let frame = match ids >> 3 {
        0..=10 => plain(&data[4..]),
        11..=16 => enhanced(&data[2..]),
        bsid => return Err(HeaderError::reserved(WHAT, "bsid", bsid)),
    };
    frame.ok_or_else(|| HeaderError::reserved(WHAT, "fields", data[4]))
}

/// From fscod of AC-3's syncinfo on (§4.3.1, §4.3.2).
fn plain(fields: &[u8]) -> Option<Syncframe> {
    let mut bits = Bits::new(fields);
    let rate_code = bits.take(2)?;
    let size_code = bits.take(6)?;
    let sample_rate = *RATES.get(rate_code as usize)?;
    let kbps = *BIT_RATES.get(size_code as usize / 2)?;
    // 1536 samples of kbps · 1000 / 8 bytes a second, in words of two bytes; at 44.1 kHz odd codes have one word more
    let words = kbps * 1000 / 16 * 1536 / sample_rate + if rate_code == 1 { size_code & 1 } else { 0 };
    let half = bits.take(5)?.saturating_sub(8).min(2); // bsid 9 and 10: rates halved and quartered
    bits.skip(3)?; // bsmod
    let mode = bits.take(3)?;
    let mut mix = 0;
    mix += if mode & 1 == 1 && mode != 1 { 2 } else { 0 };
    mix += if mode & 4 == 4 { 2 } else { 0 };
    mix += if mode == 2 { 2 } else { 0 };
    bits.skip(mix)?;
    let low_frequency = bits.byte(1)?;
    let packet = Packet {
        enhanced: false,
        sample_rate: sample_rate >> half,
        channels: CHANNELS[mode as usize] + low_frequency,
        samples: 6 * BLOCK,
    };
    Some(Syncframe { packet, len: 2 * words as usize, main: true })
}

/// From strmtyp of E-AC-3's bsi on (§E.1.2.2).
fn enhanced(fields: &[u8]) -> Option<Syncframe> {
    let mut bits = Bits::new(fields);
    let (kind, substream) = (bits.take(2)?, bits.take(3)?);
    let len = 2 * (bits.take(11)? as usize + 1);
    let (sample_rate, blocks) = match bits.take(2)? {
        3 => (RATES.get(bits.take(2)? as usize)? / 2, 6),
        code => (*RATES.get(code as usize)?, [1, 2, 3, 6][bits.take(2)? as usize]),
    };
    let mode = bits.take(3)?;
    let channels = CHANNELS[mode as usize] + bits.byte(1)?;
    let packet = Packet { enhanced: true, sample_rate, channels, samples: blocks * BLOCK };
    Some(Syncframe { packet, len, main: kind != 1 && substream == 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FFmpeg: AC-3 48 kHz stereo 192 kbit/s; its frames are 768 bytes.
    const PLAIN: [u8; 8] = [0x0B, 0x77, 0x12, 0x34, 0x14, 0x40, 0x43, 0xE1];
    /// FFmpeg: E-AC-3 48 kHz 5.1, six blocks, 896 bytes.
    const ENHANCED: [u8; 8] = [0x0B, 0x77, 0x01, 0xBF, 0x3F, 0x86, 0xFF, 0xE0];

    #[test]
    fn syncframes_tell_rate_channels_and_samples() {
        let want = Packet { enhanced: false, sample_rate: 48_000, channels: 2, samples: 1536 };
        assert_eq!(packet(&PLAIN), Ok(want));
        let want = Packet { enhanced: true, sample_rate: 48_000, channels: 6, samples: 1536 };
        assert_eq!(packet(&ENHANCED), Ok(want));
        let one_block = [0x0B, 0x77, 0x00, 0x03, 0x04, 0x86];
        assert_eq!(packet(&one_block).map(|packet| packet.samples), Ok(256));
        let half_rate = [0x0B, 0x77, 0x00, 0x03, 0xC4, 0x86];
        assert_eq!(packet(&half_rate).map(|packet| (packet.sample_rate, packet.samples)), Ok((24_000, 1536)));
    }

    #[test]
    fn several_syncframes_add_up_but_dependent_ones_do_not() {
        let mut two = [&PLAIN[..], &[0; 760], &PLAIN].concat();
        assert_eq!(packet(&two).map(|packet| packet.samples), Ok(3072));
        two.truncate(700);
        assert_eq!(packet(&two).map(|packet| packet.samples), Ok(1536));
        let main = [0x0B, 0x77, 0x00, 0x03, 0x3F, 0x86, 0, 0];
        let dependent = [0x0B, 0x77, 0x40, 0x03, 0x3F, 0x86, 0, 0];
        assert_eq!(packet(&[main, dependent, main].concat()).map(|packet| packet.samples), Ok(3072));
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in [&[][..], &[0x0B], &PLAIN[..5], &[0xFF; 8], &[0x0B, 0x77, 0, 0, 0xC0, 0x40, 0x40, 0]] {
            assert!(packet(bad).is_err(), "{bad:02x?}");
        }
        assert!(packet(&[0x0B, 0x77, 0, 0, 0x3E, 0x40, 0x40, 0]).is_err(), "a frame size beyond the table");
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
            let _ = packet(&[&[0x0B, 0x77], &bytes[..]].concat());
        }
    }
}
