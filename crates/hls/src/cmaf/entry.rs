//! Sample entries: the box of `stsd` that says what a track's samples are coded in, and the CODECS name that goes with it.

use bytes::{BufMut, Bytes};
use media::{
    AudioCodec, AudioConfig, ColorInfo, OtherAudio, OtherVideo, VideoCodec, VideoConfig, aac, h264, hevc,
};

use super::boxes::{boxed, full};

/// Why a track cannot be written as fragmented MP4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// No sample entry is known here, or players take none, or the configuration does not tell what it must hold.
    #[error("{0} has no place in fragmented MP4 here")]
    Coding(&'static str),
    /// The decoder configuration is missing or cut short: parameter sets come in-band only, or not at all.
    #[error("the {coding} configuration record has {len} bytes, too few for a sample entry")]
    Configuration {
        /// What the track is coded in.
        coding: &'static str,
        /// Bytes of the record that came.
        len: usize,
    },
}

/// A sample entry that is ready to write.
pub(super) struct Entry {
    kind: &'static [u8; 4],
    /// The boxes behind the fixed fields.
    boxes: Vec<u8>,
    pub(super) codecs: String,
}

/// The entry of pictures.
pub(super) fn video(config: &VideoConfig) -> Result<Entry, Unwritable> {
    match config {
        VideoConfig::H264(config) => Ok(avc(config)),
        VideoConfig::Other(other) => match other.codec {
            VideoCodec::Hevc => hevc(other),
            VideoCodec::Av1 => av1(other),
            // The profile that vpcC must tell is in the frames only; the rest has no players.
            codec => Err(Unwritable::Coding(codec.as_str())),
        },
    }
}

/// The entry of sound.
pub(super) fn audio(config: &AudioConfig) -> Result<Entry, Unwritable> {
    match config {
        AudioConfig::Aac(config) => Ok(aac(config)),
        AudioConfig::Other(other) => match other.codec {
            AudioCodec::Opus => opus(other),
            AudioCodec::Flac => flac(other),
            AudioCodec::Mp3 => Ok(mp3(other)),
            // What dac3 and dec3 must tell is in the frames only; the rest has no players.
            codec => Err(Unwritable::Coding(codec.as_str())),
        },
    }
}

impl Entry {
    /// A visual sample entry (ISO/IEC 14496-12 §12.1.3).
    pub(super) fn visual(&self, size: (u16, u16)) -> Vec<u8> {
        let mut out = vec![];
        boxed(&mut out, self.kind, |out| {
            out.put_bytes(0, 6);
            out.put_u16(1); // data_reference_index
            out.put_bytes(0, 16);
            out.put_u16(size.0);
            out.put_u16(size.1);
            out.put_u32(0x0048_0000); // 72 dots per inch, as the standard wants
            out.put_u32(0x0048_0000);
            out.put_u32(0);
            out.put_u16(1); // one frame per sample
            out.put_bytes(0, 32); // no compressor name
            out.put_u16(0x18);
            out.put_i16(-1);
            out.put_slice(&self.boxes);
        });
        out
    }

    /// An audio sample entry (§12.2.3).
    pub(super) fn audio(&self, channels: u8, sample_rate: u32) -> Vec<u8> {
        let mut out = vec![];
        boxed(&mut out, self.kind, |out| {
            out.put_bytes(0, 6);
            out.put_u16(1); // data_reference_index
            out.put_bytes(0, 8);
            out.put_u16(u16::from(if channels == 0 { 2 } else { channels }));
            out.put_u16(16); // bits of a sample
            out.put_u32(0);
            out.put_u32(u32::from(u16::try_from(sample_rate).unwrap_or(0)) << 16); // beyond 16 bits the timescale tells
            out.put_slice(&self.boxes);
        });
        out
    }
}

/// `colr` (§12.1.5) with the numbers of ITU-T H.273.
fn colr(out: &mut Vec<u8>, color: ColorInfo, full_range: bool) {
    boxed(out, b"colr", |out| {
        out.put_slice(b"nclx");
        out.put_u16(color.primaries.into());
        out.put_u16(color.transfer.into());
        out.put_u16(color.matrix.into());
        out.put_u8(u8::from(full_range) << 7);
    });
}

/// `pasp` (§12.1.4): the shape of a pixel.
fn pasp(out: &mut Vec<u8>, (horizontal, vertical): (u16, u16)) {
    boxed(out, b"pasp", |out| {
        out.put_u32(horizontal.into());
        out.put_u32(vertical.into());
    });
}

/// ISO/IEC 14496-15 §5.4.2.
fn avc(config: &h264::Config) -> Entry {
    let mut boxes = vec![];
    boxed(&mut boxes, b"avcC", |out| out.put_slice(&config.to_record()));
    if let Some(color) = config.sps.color {
        colr(&mut boxes, color, config.sps.full_range);
    }
    pasp(&mut boxes, config.sps.sample_aspect);
    Entry { kind: b"avc1", boxes, codecs: config.codecs() }
}

/// ISO/IEC 14496-15 §8.4.1: `hvc1`, all parameter sets in the record.
fn hevc(other: &OtherVideo) -> Result<Entry, Unwritable> {
    let short = || Unwritable::Configuration { coding: other.codec.as_str(), len: other.extradata.len() };
    let record = hevc::Record::parse(&other.extradata).map_err(|_| short())?;
    let head: [u8; 13] = other.extradata.get(..13).and_then(|head| head.try_into().ok()).ok_or_else(short)?;
    if head[0] != 1 || record.units.sps.is_empty() || record.units.pps.is_empty() {
        return Err(short());
    }
    let mut complete = other.extradata.to_vec();
    mark_arrays_complete(&mut complete);
    let mut boxes = vec![];
    boxed(&mut boxes, b"hvcC", |out| out.put_slice(&complete));
    if let Some(color) = other.color {
        colr(&mut boxes, color, false);
    }
    pasp(&mut boxes, (1, 1));
    Ok(Entry { kind: b"hvc1", boxes, codecs: hevc_codecs(&head) })
}

/// array_completeness of each array: `hvc1` promises that no parameter set stands in a sample (§8.4.1.1.2).
fn mark_arrays_complete(record: &mut [u8]) {
    let arrays = record.get(22).copied().unwrap_or(0);
    let mut at = 23;
    for _ in 0..arrays {
        let Some(&[kind, high, low]) = record.get(at..at + 3).and_then(|head| head.first_chunk()) else {
            return;
        };
        record[at] = kind | 0x80;
        at += 3;
        for _ in 0..u16::from_be_bytes([high, low]) {
            let Some(len) = record.get(at..at + 2).and_then(|len| len.first_chunk::<2>()) else { return };
            at += 2 + usize::from(u16::from_be_bytes(*len));
        }
    }
}

/// ISO/IEC 14496-15 §E.3, from the record's first bytes: profile, compatibility, tier and level, constraints.
fn hevc_codecs(head: &[u8; 13]) -> String {
    let space = ["", "A", "B", "C"][usize::from(head[1] >> 6)];
    let tier = if head[1] & 0x20 == 0 { 'L' } else { 'H' };
    let compatible = u32::from_be_bytes([head[2], head[3], head[4], head[5]]).reverse_bits();
    let mut out = format!("hvc1.{space}{}.{compatible:X}.{tier}{}", head[1] & 0x1F, head[12]);
    let constraints = &head[6..12];
    let told = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    out.extend(constraints[..told].iter().map(|byte| format!(".{byte:X}")));
    out
}

/// AV1 codec ISO media file format binding §2.2 and §5.
fn av1(other: &OtherVideo) -> Result<Entry, Unwritable> {
    let &[0x81, profile_level, depth, ..] = &other.extradata[..] else {
        return Err(Unwritable::Configuration { coding: other.codec.as_str(), len: other.extradata.len() });
    };
    let (profile, level) = (profile_level >> 5, profile_level & 0x1F);
    let tier = if depth & 0x80 == 0 { 'M' } else { 'H' };
    let bits = match (depth & 0x40 != 0, depth & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    let mut boxes = vec![];
    boxed(&mut boxes, b"av1C", |out| out.put_slice(&other.extradata));
    if let Some(color) = other.color {
        colr(&mut boxes, color, false);
    }
    pasp(&mut boxes, (1, 1));
    Ok(Entry { kind: b"av01", boxes, codecs: format!("av01.{profile}.{level:02}{tier}.{bits:02}") })
}

/// `mp4a` and `esds` (ISO/IEC 14496-14 §6.7) with the publisher's own AudioSpecificConfig, so that SBR stays as it is
/// signalled there.
fn aac(config: &aac::Config) -> Entry {
    Entry { kind: b"mp4a", boxes: esds(0x40, &config.asc), codecs: config.codecs() }
}

/// Objects 0x6B (MPEG-1, 32 kHz and more) and 0x69 (MPEG-2 and below).
fn mp3(other: &OtherAudio) -> Entry {
    let object = if other.sample_rate >= 32_000 { 0x6B } else { 0x69 };
    Entry { kind: b"mp4a", boxes: esds(object, &[]), codecs: format!("mp4a.{object:X}") }
}

/// `esds` with its descriptors (ISO/IEC 14496-1 §7.2.6).
fn esds(object: u8, specific: &[u8]) -> Vec<u8> {
    let mut decoder = vec![object, 0x15]; // an audio stream
    decoder.put_bytes(0, 3 + 4 + 4); // buffer size and bit rates: not told
    if !specific.is_empty() {
        descriptor(&mut decoder, 5, specific);
    }
    let mut stream = vec![0, 0, 0]; // ES_ID as ISO/IEC 14496-14 §3.1.2 wants it, no flags
    descriptor(&mut stream, 4, &decoder);
    descriptor(&mut stream, 6, &[2]); // SLConfig predefined for MP4
    let mut out = vec![];
    full(&mut out, b"esds", 0, 0, |out| descriptor(out, 3, &stream));
    out
}

/// One descriptor: its tag, its length in four bytes of seven bits, its content.
fn descriptor(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    let len = content.len();
    let seven = |shift: usize| (len >> shift) as u8 & 0x7F;
    out.put_slice(&[tag, seven(21) | 0x80, seven(14) | 0x80, seven(7) | 0x80, seven(0)]);
    out.put_slice(content);
}

/// Encapsulation of Opus in ISOBMFF §4.3.2: OpusHead without its magic, big-endian, version 0.
fn opus(other: &OtherAudio) -> Result<Entry, Unwritable> {
    let short = || Unwritable::Configuration { coding: other.codec.as_str(), len: other.extradata.len() };
    let head = other.extradata.get(8..19).ok_or_else(short)?;
    let mapping = other.extradata.get(19..).unwrap_or_default();
    let (channels, family) = (head[1], head[10]);
    if family != 0 && mapping.len() < 2 + usize::from(channels) {
        return Err(short());
    }
    let mut boxes = vec![];
    boxed(&mut boxes, b"dOps", |out| {
        out.put_slice(&[0, channels]);
        out.put_slice(&[head[3], head[2]]); // pre-skip
        out.put_slice(&[head[7], head[6], head[5], head[4]]); // rate before encoding
        out.put_slice(&[head[9], head[8]]); // gain
        out.put_u8(family);
        if family != 0 {
            out.put_slice(&mapping[..2 + usize::from(channels)]);
        }
    });
    Ok(Entry { kind: b"Opus", boxes, codecs: "Opus".to_owned() })
}

/// Encapsulation of FLAC in ISOBMFF §3.3.2: STREAMINFO as the last, and only, metadata block.
fn flac(other: &OtherAudio) -> Result<Entry, Unwritable> {
    let info: &Bytes = &other.extradata;
    if info.len() != 34 {
        return Err(Unwritable::Configuration { coding: other.codec.as_str(), len: info.len() });
    }
    let mut boxes = vec![];
    full(&mut boxes, b"dfLa", 0, 0, |out| {
        out.put_slice(&[0x80, 0, 0, 34]);
        out.put_slice(info);
    });
    Ok(Entry { kind: b"fLaC", boxes, codecs: "fLaC".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(codec: AudioCodec, extradata: &[u8]) -> AudioConfig {
        let extradata = Bytes::copy_from_slice(extradata);
        AudioConfig::Other(OtherAudio { codec, extradata, sample_rate: 48_000, channels: 2 })
    }

    fn pictures(codec: VideoCodec, extradata: &[u8]) -> VideoConfig {
        let extradata = Bytes::copy_from_slice(extradata);
        let (width, height, bit_depth) = (1920, 1080, 8);
        VideoConfig::Other(OtherVideo {
            codec,
            extradata,
            width,
            height,
            bit_depth,
            frame_rate: None,
            color: None,
        })
    }

    #[test]
    fn descriptors_hold_the_whole_configuration() {
        // HE-AAC with explicit SBR, 24 kHz and 48 kHz
        let asc = [0x2B, 0x11, 0x88, 0x00];
        let config = aac::Config::parse(&asc).unwrap();
        let entry = aac(&config);
        assert_eq!(entry.codecs, "mp4a.40.5");
        let want = [
            &[0, 0, 0, 0, 3, 0x80, 0x80, 0x80, 36, 0, 0, 0, 4, 0x80, 0x80, 0x80, 22, 0x40, 0x15][..],
            &[0; 11],
            &[5, 0x80, 0x80, 0x80, 4],
            &asc,
            &[6, 0x80, 0x80, 0x80, 1, 2],
        ]
        .concat();
        assert_eq!(&entry.boxes[8..], want);
        let mut long = vec![];
        descriptor(&mut long, 5, &[7; 300]);
        assert_eq!(long[..5], [5, 0x80, 0x80, 0x82, 0x2C]);
    }

    #[test]
    fn hevc_is_named_after_its_record() {
        for (name, head, want) in [
            ("Main, 3.1", [1, 1, 0x60, 0, 0, 0, 0xB0, 0, 0, 0, 0, 0, 93], "hvc1.1.6.L93.B0"),
            (
                "Main 10, high tier, 5.1",
                [1, 0x22, 0x20, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 153],
                "hvc1.2.4.H153.90",
            ),
            ("no constraints", [1, 1, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 93], "hvc1.1.6.L93"),
            (
                "a profile space, a late constraint",
                [1, 0x41, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 30],
                "hvc1.A1.80000000.L30.0.0.1",
            ),
        ] {
            assert_eq!(hevc_codecs(&head), want, "{name}");
        }
    }

    #[test]
    fn hevc_promises_that_samples_hold_no_parameter_sets() {
        let mut record = vec![1; 22];
        record.push(2);
        record.extend([0x20, 0, 2, 0, 1, 9, 0, 2, 9, 9, 0x21, 0, 1, 0, 1, 9]);
        mark_arrays_complete(&mut record);
        assert_eq!(record[23..], [0xA0, 0, 2, 0, 1, 9, 0, 2, 9, 9, 0xA1, 0, 1, 0, 1, 9]);
        for end in 0..record.len() {
            mark_arrays_complete(&mut record[..end]);
        }
    }

    #[test]
    fn what_cannot_be_written_says_so() {
        let coding = |what| Err(Unwritable::Coding(what));
        let configuration = |coding, len| Err(Unwritable::Configuration { coding, len });
        for (config, want) in [
            (pictures(VideoCodec::Vp9, &[]), coding("VP9")),
            (pictures(VideoCodec::SorensonH263, &[]), coding("Sorenson H.263")),
            (pictures(VideoCodec::Hevc, &[]), configuration("HEVC", 0)),
            (pictures(VideoCodec::Av1, &[0x81, 0]), configuration("AV1", 2)),
            (pictures(VideoCodec::Av1, &[0x81, 0x2D, 0xCC, 0]), Ok("av01.1.13H.10".to_owned())),
        ] {
            assert_eq!(video(&config).map(|entry| entry.codecs), want);
        }
        let surround =
            [&b"OpusHead\x01\x06\x38\x01\x80\xBB\0\0\0\0\x01"[..], &[4, 2, 0, 4, 1, 2, 3, 5]].concat();
        for (config, want) in [
            (sound(AudioCodec::Ac3, &[]), coding("AC-3")),
            (sound(AudioCodec::Speex, &[0; 80]), coding("Speex")),
            (sound(AudioCodec::Opus, &[0; 18]), configuration("Opus", 18)),
            (sound(AudioCodec::Opus, &surround[..26]), configuration("Opus", 26)),
            (sound(AudioCodec::Opus, &surround), Ok("Opus".to_owned())),
            (sound(AudioCodec::Flac, &[0; 33]), configuration("FLAC", 33)),
            (sound(AudioCodec::Mp3, &[]), Ok("mp4a.6B".to_owned())),
        ] {
            assert_eq!(audio(&config).map(|entry| entry.codecs), want);
        }
        let entry = audio(&sound(AudioCodec::Opus, &surround)).map(|entry| entry.boxes).unwrap();
        let want = [0, 6, 0x01, 0x38, 0, 0, 0xBB, 0x80, 0, 0, 1, 4, 2, 0, 4, 1, 2, 3, 5];
        assert_eq!(entry[8..], want);
    }
}
