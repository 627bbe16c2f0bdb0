//! The header of one track: `ftyp` and `moov` (CMAF header, ISO/IEC 23000-19 §7.3.1), without samples and without an edit
//! list.
//!
//! Its name is a hash of its bytes, so equal configurations give equal files, and a list that names one may keep it for
//! ever.

use bytes::BufMut;
use media::{AudioConfig, VideoConfig};
use sha2::{Digest, Sha256};

pub use super::entry::Unwritable;
use super::{
    VIDEO_TIMESCALE,
    boxes::{boxed, full},
    entry::{self, Entry},
};
use crate::Init;

/// The only track of each file.
pub(super) const TRACK_ID: u32 = 1;
/// ISO-639-2 `und`, three letters of five bits.
const UNDETERMINED: u16 = 0x55C4;
/// No rotation, no scaling (ISO/IEC 14496-12 §8.2.2).
const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// The header of a track of pictures; its timescale is [`VIDEO_TIMESCALE`].
///
/// # Errors
/// When the coding has no place here, or its configuration does not hold what a sample entry must.
pub fn video(config: &VideoConfig) -> Result<Init, Unwritable> {
    let entry = entry::video(config)?;
    let short = |(width, height): (u32, u32)| {
        (u16::try_from(width).unwrap_or(u16::MAX), u16::try_from(height).unwrap_or(u16::MAX))
    };
    let coded = short(config.dimensions());
    let shown = short(config.shown());
    let bytes = header(&Track {
        handler: b"vide",
        name: "Sluice video",
        timescale: VIDEO_TIMESCALE,
        shown,
        entry: entry.visual(coded),
    });
    Ok(named(bytes, entry))
}

/// The header of a track of sound; its timescale is the sample rate.
///
/// # Errors
/// When the coding has no place here, or its configuration does not hold what a sample entry must.
pub fn audio(config: &AudioConfig) -> Result<Init, Unwritable> {
    let entry = entry::audio(config)?;
    let bytes = header(&Track {
        handler: b"soun",
        name: "Sluice audio",
        timescale: config.sample_rate(),
        shown: (0, 0),
        entry: entry.audio(config.channels(), config.sample_rate()),
    });
    Ok(named(bytes, entry))
}

fn named(bytes: Vec<u8>, entry: Entry) -> Init {
    let hash = Sha256::digest(&bytes);
    let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    Init { name: format!("init-{hash}.mp4"), bytes: bytes.into(), codecs: entry.codecs }
}

/// What differs between tracks.
struct Track {
    handler: &'static [u8; 4],
    name: &'static str,
    timescale: u32,
    /// Width and height in square pixels; 0 for sound.
    shown: (u16, u16),
    /// The sample entry.
    entry: Vec<u8>,
}

fn header(track: &Track) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    boxed(&mut out, b"ftyp", |out| {
        out.put_slice(b"iso6");
        out.put_u32(0);
        out.put_slice(b"iso6cmfcmp41dash");
    });
    boxed(&mut out, b"moov", |out| {
        full(out, b"mvhd", 0, 0, |out| {
            out.put_u64(0); // creation and modification
            out.put_u32(1000);
            out.put_u32(0); // duration: in the fragments
            out.put_u32(0x1_0000); // rate
            out.put_u16(0x100); // volume
            out.put_bytes(0, 10);
            UNITY.into_iter().for_each(|number| out.put_u32(number));
            out.put_bytes(0, 24);
            out.put_u32(TRACK_ID + 1);
        });
        boxed(out, b"trak", |out| trak(out, track));
        boxed(out, b"mvex", |out| {
            full(out, b"trex", 0, 0, |out| {
                out.put_u32(TRACK_ID);
                out.put_u32(1); // sample description
                out.put_bytes(0, 12); // durations, sizes and flags are in each fragment
            });
        });
    });
    out
}

fn trak(out: &mut Vec<u8>, track: &Track) {
    let sound = track.handler == b"soun";
    full(out, b"tkhd", 0, 3, |out| {
        out.put_u64(0);
        out.put_u32(TRACK_ID);
        out.put_u32(0);
        out.put_u32(0); // duration
        out.put_u64(0);
        out.put_u32(0); // layer and alternate group
        out.put_u16(if sound { 0x100 } else { 0 });
        out.put_u16(0);
        UNITY.into_iter().for_each(|number| out.put_u32(number));
        out.put_u32(u32::from(track.shown.0) << 16);
        out.put_u32(u32::from(track.shown.1) << 16);
    });
    boxed(out, b"mdia", |out| {
        full(out, b"mdhd", 0, 0, |out| {
            out.put_u64(0);
            out.put_u32(track.timescale);
            out.put_u32(0);
            out.put_u16(UNDETERMINED);
            out.put_u16(0);
        });
        full(out, b"hdlr", 0, 0, |out| {
            out.put_u32(0);
            out.put_slice(track.handler);
            out.put_bytes(0, 12);
            out.put_slice(track.name.as_bytes());
            out.put_u8(0);
        });
        boxed(out, b"minf", |out| {
            if sound {
                full(out, b"smhd", 0, 0, |out| out.put_u32(0));
            } else {
                full(out, b"vmhd", 0, 1, |out| out.put_u64(0));
            }
            boxed(out, b"dinf", |out| {
                full(out, b"dref", 0, 0, |out| {
                    out.put_u32(1);
                    full(out, b"url ", 0, 1, |_| {}); // the media are in this very file
                });
            });
            boxed(out, b"stbl", |out| {
                full(out, b"stsd", 0, 0, |out| {
                    out.put_u32(1);
                    out.put_slice(&track.entry);
                });
                for empty in [b"stts", b"stsc", b"stco"] {
                    full(out, empty, 0, 0, |out| out.put_u32(0));
                }
                full(out, b"stsz", 0, 0, |out| out.put_u64(0));
            });
        });
    });
}
