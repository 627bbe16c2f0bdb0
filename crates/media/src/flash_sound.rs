//! The sound codings of Flash encoders (FLV 10.1 §E.4.2) that have no headers of their own: how many samples a body
//! holds. Rate and channels come from the tag.

use bytes::{BufMut, Bytes, BytesMut};

use crate::bits::Bits;

/// Bytes and samples of one Nellymoser block.
const NELLYMOSER: (usize, u32) = (64, 256);
/// Samples of one Speex frame in the wide band, 20 ms at 16 kHz.
pub const SPEEX_FRAME: u32 = 320;
/// Bits of a narrow-band Speex frame by mode, its five head bits included.
const SPEEX_NARROW: [u16; 9] = [5, 43, 119, 160, 220, 300, 364, 492, 79];
/// Bits of a wide-band layer by mode, its four head bits included.
const SPEEX_WIDE: [u16; 5] = [4, 36, 112, 192, 352];
/// Most Speex frames of one packet: what FFmpeg's decoder takes.
const SPEEX_MAX_FRAMES: u32 = 64;

/// Samples in a body of whole Nellymoser blocks.
pub fn nellymoser(body: &[u8]) -> u32 {
    (body.len() / NELLYMOSER.0) as u32 * NELLYMOSER.1
}

/// Samples of each channel in a body of PCM or G.711, `bytes` for each sample.
pub fn pcm(body: &[u8], bytes: u8, channels: u8) -> u32 {
    (body.len() / (usize::from(bytes.max(1)) * usize::from(channels.max(1)))) as u32
}

/// Samples of each channel in a body of Flash ADPCM: two bits of code size, then blocks of 4096 samples of which the
/// first stands by itself.
pub fn adpcm_swf(body: &[u8], channels: u8) -> u32 {
    let Some(first) = body.first() else { return 0 };
    let channels = usize::from(channels.max(1));
    let (head, code) = (22 * channels, usize::from((first >> 6) + 2) * channels);
    let bits = body.len() * 8 - 2;
    let block = head + code * 4095;
    let (blocks, rest) = (bits / block, bits % block);
    let tail = if rest >= head { 1 + (rest - head) / code } else { 0 };
    (blocks * 4096 + tail) as u32
}

/// Wide-band Speex frames in a body, at most 64: each a narrow-band frame and, behind a bit of 1, a wide-band layer.
pub fn speex_frames(body: &[u8]) -> u32 {
    let mut bits = Bits::new(body);
    let mut frames = 0;
    while frames < SPEEX_MAX_FRAMES && speex_frame(&mut bits).is_some() {
        frames += 1;
    }
    frames
}

/// The header of a Speex stream (The Speex Codec Manual, table 7.1) as FLV has it, for packets of so many frames: FLV
/// carries none, and without it decoders take one frame of each packet and leave the rest.
pub fn speex_header(frames: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(80);
    out.put_slice(b"Speex   1.2");
    out.resize(28, 0);
    let wide_band = 1;
    // version, header's length, rate, mode, bitstream version, channels, bit rate, frame size, variable bit rate, frames
    // of a packet, extra headers, reserved
    for field in [1, 80, 16_000, wide_band, 4, 1, u32::MAX, SPEEX_FRAME, 0, frames, 0, 0, 0] {
        out.put_u32_le(field);
    }
    out.freeze()
}

/// Passes one frame; `None` at the terminator, at the end, and at what is malformed.
fn speex_frame(bits: &mut Bits<'_>) -> Option<()> {
    let wide = |bits: &mut Bits<'_>| {
        let size = *SPEEX_WIDE.get(bits.take(3)? as usize)?;
        bits.skip(usize::from(size) - 4)
    };
    loop {
        if bits.flag()? {
            wide(bits)?; // a layer without its frame: passed
            continue;
        }
        match bits.take(4)? {
            15 => return None, // terminator
            14 => {
                // a request in the stream; its length goes by its number
                let request = bits.take(4)?;
                bits.skip(match request {
                    0..=1 => 1,
                    2..=7 => 4,
                    8..=9 => 8,
                    10..=11 => 16,
                    12..=13 => 32,
                    _ => 64,
                })?;
            }
            13 => {
                let bytes = bits.take(5)? as usize;
                bits.skip(8 * bytes)?;
            }
            mode => {
                let size = *SPEEX_NARROW.get(mode as usize)?;
                bits.skip(usize::from(size) - 5)?;
                break;
            }
        }
    }
    if bits.left() > 3 && bits.clone().flag()? {
        bits.skip(1)?;
        wide(bits)?;
    }
    Some(())
}

#[cfg(test)]
#[allow(clippy::unusual_byte_groupings)] // bits stand together as fields do
mod tests {
    use super::*;

    #[test]
    fn bodies_tell_their_samples() {
        assert_eq!([0, 63, 64, 256].map(|len| nellymoser(&vec![0; len])), [0, 0, 256, 1024]);
        assert_eq!((pcm(&[0; 400], 2, 2), pcm(&[0; 401], 1, 1), pcm(&[0; 3], 2, 2)), (100, 401, 0));
    }

    #[test]
    fn adpcm_blocks() {
        // four-bit codes, mono: 2 + 22 bits, then four bits a sample
        let mut whole = vec![0x80; (2 + 22 + 4 * 4095usize).div_ceil(8)];
        assert_eq!(adpcm_swf(&whole, 1), 4096);
        whole.truncate(3 + 100);
        assert_eq!(adpcm_swf(&whole, 1), 1 + 200);
        assert_eq!((adpcm_swf(&[], 1), adpcm_swf(&[0x80], 2)), (0, 0));
    }

    #[test]
    fn speex_frames_are_counted() {
        // mode 5 (300 bits) with wide-band mode 1 (36 bits): 42 bytes a frame
        let mut frame = [0u8; 42];
        frame[0] = 0b0_0101_000;
        frame[37] = 0b0000_1_001; // bit 300 opens the layer
        assert_eq!(speex_frames(&frame), 1);
        assert_eq!(speex_frames(&[frame, frame].concat()), 2);
        assert_eq!(speex_frames(&[&frame[..], &[0x7F]].concat()), 1, "a terminator");
        assert_eq!(speex_frames(&frame[..20]), 0);
        assert_eq!(speex_frames(&[0b0_0000_000]), 1, "silence: mode 0");
        assert_eq!(speex_frames(&[]), 0);
        assert_eq!(speex_header(3).len(), 80);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), channels in 0u8..4) {
            let _ = (speex_frames(&bytes), adpcm_swf(&bytes, channels), pcm(&bytes, channels, channels));
        }
    }
}
