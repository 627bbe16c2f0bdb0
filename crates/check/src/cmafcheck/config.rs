//! Sample entries and decoder configurations: what a track holds, and the RFC 6381 name of it.

use super::boxes::{Cursor, Item, one, read as boxes};
use crate::codec;
use crate::report::Findings;

/// What a sample entry says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// Its four characters.
    pub(crate) entry: [u8; 4],
    /// As CODECS has it.
    pub(crate) codec: String,
    /// Width and height.
    pub(crate) size: Option<(u32, u32)>,
    /// Bytes of a NAL unit's length, where samples are of NAL units.
    pub(crate) nal_length: Option<usize>,
    /// Hertz and channels.
    pub(crate) sound: Option<(u32, u8)>,
    /// Samples of one frame, where that is known.
    pub(crate) frame: Option<u32>,
    /// The decoder configuration, whole.
    pub(crate) bytes: Vec<u8>,
}

/// Reads the entry.
///
/// # Errors
/// What is wrong with it.
fn children<'a>(entry: &Item<'a>, skip: usize) -> Result<Vec<Item<'a>>, String> {
    let body = entry.body.get(skip..).ok_or_else(|| format!("sample entry {} is cut", entry.name()))?;
    boxes(body, entry.at + entry.header + skip)
}

/// Reads a sample entry.
///
/// # Errors
/// When the configuration of its coding cannot be read.
fn read_pictures(entry: &Item<'_>) -> Result<Config, String> {
    let size = entry.body.get(24..28).ok_or("sample entry is cut")?;
    let mut size = Cursor(size);
    let size = size.u16().zip(size.u16()).map(|(w, h)| (u32::from(w), u32::from(h)));
    let children = children(entry, 78)?;
    let name = entry.name();
    let config = |kind: &[u8; 4]| one(&children, kind).map(|item| item.body);
    let (codec, nal_length, bytes) = match &entry.kind {
        b"avc1" | b"avc3" => {
            let avcc = config(b"avcC")?;
            let [1, profile, flags, level, length, sets, ..] = *avcc else {
                return Err("avcC is cut".into());
            };
            if entry.kind == *b"avc1" {
                let sps = (sets & 0x1f != 0)
                    .then(|| {
                        let mut c = Cursor(&avcc[6..]);
                        let length = c.u16()?;
                        c.take(usize::from(length))
                    })
                    .flatten()
                    .ok_or("avcC has no SPS")?;
                if sps.get(1..4) != Some(&[profile, flags, level]) {
                    return Err(format!(
                        "avcC says {profile:02x}{flags:02x}{level:02x}, its SPS {:02x?}",
                        sps.get(1..4)
                    ));
                }
                if let Some(real) = codec::avc_size(sps)
                    && Some(real) != size
                {
                    return Err(format!("the sample entry says {size:?}, the SPS {real:?}"));
                }
            }
            let codec = format!("{name}.{profile:02x}{flags:02x}{level:02x}");
            (codec, Some(usize::from(length & 3) + 1), avcc)
        }
        b"hvc1" | b"hev1" => {
            let hvcc = config(b"hvcC")?;
            let codec = codec::hevc(&name, hvcc).ok_or("hvcC is cut")?;
            let length = hvcc.get(21).ok_or("hvcC is cut")? & 3;
            (codec, Some(usize::from(length) + 1), hvcc)
        }
        b"av01" => {
            let av1c = config(b"av1C")?;
            (codec::av1(av1c).ok_or("av1C is cut")?, None, av1c)
        }
        _ => (name, None, &[][..]),
    };
    Ok(Config { entry: entry.kind, codec, size, nal_length, sound: None, frame: None, bytes: bytes.to_vec() })
}

fn read_sound(entry: &Item<'_>) -> Result<Config, String> {
    let channels = entry.body.get(17).copied().unwrap_or(0);
    let rate = entry.body.get(24..26).map_or(0, |b| u32::from(b[0]) << 8 | u32::from(b[1]));
    let children = children(entry, 28)?;
    let config = |kind: &[u8; 4]| one(&children, kind).map(|item| item.body);
    let mut out = Config {
        entry: entry.kind,
        codec: entry.name(),
        size: None,
        nal_length: None,
        sound: Some((rate, channels)),
        frame: None,
        bytes: Vec::new(),
    };
    match &entry.kind {
        b"mp4a" => {
            let esds = config(b"esds")?;
            let asc = codec::audio_specific(esds).ok_or("esds has no AudioSpecificConfig")?;
            let sound = codec::aac(asc).ok_or("the AudioSpecificConfig cannot be read")?;
            out.codec = format!("mp4a.40.{}", sound.object);
            out.sound = Some((sound.rate, sound.channels));
            out.frame = Some(1024);
            out.bytes = asc.to_vec();
        }
        b"Opus" => {
            let dops = config(b"dOps")?;
            out.sound = Some((48_000, *dops.get(1).ok_or("dOps is cut")?));
            out.bytes = dops.to_vec();
        }
        b"ac-3" => out.bytes = config(b"dac3")?.to_vec(),
        b"ec-3" => out.bytes = config(b"dec3")?.to_vec(),
        b"fLaC" => out.bytes = config(b"dfLa")?.to_vec(),
        _ => {}
    }
    Ok(out)
}

/// Reads the sample entry of a track of this handler.
///
/// # Errors
/// When the configuration of its coding cannot be read.
pub(crate) fn read(
    entry: &Item<'_>,
    handler: [u8; 4],
    place: &str,
    found: &mut Findings,
) -> Result<Config, String> {
    let config = match &handler {
        b"vide" => read_pictures(entry)?,
        b"soun" => read_sound(entry)?,
        _ => Config {
            entry: entry.kind,
            codec: entry.name(),
            size: None,
            nal_length: None,
            sound: None,
            frame: None,
            bytes: entry.body.to_vec(),
        },
    };
    if matches!(&entry.kind, b"avc3" | b"hev1") {
        found.violation("cmaf.entry", place, format!("sample entry {}", entry.name()));
    }
    Ok(config)
}
