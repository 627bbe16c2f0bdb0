//! The index of a recording: JSON pages, each naming what is in the packs of a range of numbers.
//!
//! ```text
//!  {stream}/{start}/pack/00000000.bin   00000001.bin   …            segments, headers and sample tables, end to end
//!  {stream}/{start}/index/00000000-00000063.json   00000064-00000064.json   …
//! ```
//!
//! A page of one pack is written after its pack. Every [`MERGE`] of them become one, and all become one when the recording
//! is complete; a wider page is written before those that it replaces are removed, and where both are there the wider
//! one counts.

use bytes::Bytes;
use media::{Epoch, RecordingId};
use serde::{Deserialize, Serialize};

/// How many small pages become one.
pub const MERGE: usize = 64;
/// The form of pages written by this version.
pub const VERSION: u32 = 1;
/// No page is larger: some days of a large ladder. A larger one is not read.
pub const MAX_PAGE: u64 = 512 << 20;

/// Where some bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Extent {
    /// Number of the pack.
    #[serde(rename = "p")]
    pub pack: u32,
    /// From its beginning.
    #[serde(rename = "o")]
    pub offset: u64,
    /// How many.
    #[serde(rename = "l")]
    pub length: u64,
}

/// The first 16 bytes of a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 16]);

/// A segment of one rendition. What the live lists had and is not here is a gap.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Which of [`Header::renditions`].
    #[serde(rename = "r")]
    pub rendition: u16,
    /// Its media sequence number; equal numbers are the same stretch of content.
    #[serde(rename = "n")]
    pub sequence: u64,
    /// On the stream's clock, in ticks of 90 kHz.
    #[serde(rename = "t")]
    pub start: i64,
    /// In the same ticks.
    #[serde(rename = "d")]
    pub duration: i64,
    /// How many discontinuities there have been, its own counted.
    #[serde(rename = "c")]
    pub discontinuities: u64,
    /// Wall clock at its start, in microseconds since 1970.
    #[serde(rename = "u")]
    pub unix_micros: i64,
    /// Where it is.
    #[serde(flatten)]
    pub at: Extent,
    /// Of its bytes.
    #[serde(rename = "h")]
    pub hash: Hash,
    /// Fragmented MP4: which header it needs, by [`InitEntry::id`].
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub init: Option<u32>,
    /// Fragmented MP4: where its sample table is, in the same pack: offset and length.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<(u64, u32)>,
}

/// A header of fragmented MP4.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InitEntry {
    /// Its number within the recording.
    pub id: u32,
    /// Its file name in URLs.
    pub name: String,
    /// CODECS.
    pub codecs: String,
    /// Where it is.
    pub at: Extent,
}

/// What segments are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// MPEG-2 transport streams, sound muxed in.
    Ts,
    /// Fragmented MP4, one track a rendition.
    Fmp4,
}

/// A rendition, as far as it is known.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rendition {
    /// Its part of the URL.
    pub id: String,
    /// What its segments are.
    pub container: Container,
    /// Width, height; `None` for sound alone.
    pub size: Option<(u32, u32)>,
    /// Frames a second, as a fraction.
    pub frame_rate: Option<(u32, u32)>,
    /// CODECS of everything in it.
    pub codecs: String,
    /// It is chosen as a sound beside the pictures.
    pub sound: Option<Sound>,
}

/// What viewers are told of a sound.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sound {
    /// For people.
    pub name: String,
    /// A tag of RFC 5646.
    pub language: Option<String>,
    /// 0 where not known.
    pub channels: u8,
}

/// What holds for a recording as a whole. Each page has it as it was then: the last page's counts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub version: u32,
    /// Which recording.
    pub id: RecordingId,
    /// The publication that was recorded.
    pub session: Epoch,
    /// EXT-X-TARGETDURATION in seconds.
    pub target_duration: u32,
    /// In the order of the live stream.
    pub renditions: Vec<Rendition>,
    /// Segments that could not be kept.
    pub lost: u64,
    /// When it was completed, in milliseconds since 1970.
    pub ended_unix_ms: Option<u64>,
}

/// Part of an index.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Page {
    /// As of this page.
    #[serde(flatten)]
    pub header: Header,
    /// The first and the last pack that it speaks of.
    pub packs: (u32, u32),
    /// Headers that came with these packs.
    pub inits: Vec<InitEntry>,
    /// In the order of the packs.
    pub entries: Vec<Entry>,
}

impl Page {
    /// As it is stored.
    pub fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("a page has string keys and no floats").into()
    }

    /// Reads one.
    ///
    /// # Errors
    /// In words, when it is none or of another version.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let page: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("no page of an index: {error}"))?;
        if page.header.version != VERSION {
            return Err(format!("version {} of the index is not known", page.header.version));
        }
        let (known, packs) = (page.header.renditions.len(), page.packs.0..=page.packs.1);
        let within = |at: &Extent| packs.contains(&at.pack) && at.offset.checked_add(at.length).is_some();
        let sound = page.entries.iter().all(|entry| {
            usize::from(entry.rendition) < known
                && within(&entry.at)
                && entry.samples.is_none_or(|(offset, length)| offset.checked_add(length.into()).is_some())
        });
        if sound && page.inits.iter().all(|init| within(&init.at)) {
            Ok(page)
        } else {
            Err("it names what cannot be there".to_owned())
        }
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        let bad = "32 hexadecimal digits are expected";
        if text.len() != 32 || !text.is_ascii() {
            return Err(bad);
        }
        let mut bytes = [0; 16];
        for (nth, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * nth..2 * nth + 2], 16).map_err(|_| bad)?;
        }
        Ok(Self(bytes))
    }
}

/// The folder of a recording.
pub fn folder(id: &RecordingId) -> String {
    format!("{}/{}", id.stream, id.start)
}

/// The name of a pack.
pub fn pack_key(id: &RecordingId, pack: u32) -> String {
    format!("{}/pack/{pack:08}.bin", folder(id))
}

/// The name of a page.
pub fn page_key(id: &RecordingId, (first, last): (u32, u32)) -> String {
    format!("{}/index/{first:08}-{last:08}.json", folder(id))
}

/// What an object of ours is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    /// A pack by its number.
    Pack(u32),
    /// A page by the first and last pack that it speaks of.
    Page((u32, u32)),
}

/// Reads an object's name; `None` for what is not ours.
pub fn read_key(key: &str) -> Option<(RecordingId, Object)> {
    let mut parts = key.split('/');
    let (stream, start, kind, file) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let id: RecordingId = format!("{stream}-{start}").parse().ok()?;
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.len() >= 8);
    let object = match kind {
        "pack" => Object::Pack(number(file.strip_suffix(".bin")?)?),
        "index" => {
            let (first, last) = file.strip_suffix(".json")?.split_once('-')?;
            let range = (number(first)?, number(last)?);
            Some(Object::Page(range)).filter(|_| range.0 <= range.1)?
        }
        _ => return None,
    };
    (parts.next().is_none() && id.stream.as_str() == stream).then_some((id, object))
}

/// Of the pages that are there, those that count, in order; the others have been replaced by wider ones.
pub fn current(mut pages: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    pages.sort_by_key(|(first, last)| (*first, std::cmp::Reverse(*last)));
    let mut kept: Vec<(u32, u32)> = Vec::with_capacity(pages.len());
    for page in pages {
        if kept.last().is_none_or(|before| page.0 > before.1) {
            kept.push(page);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let id: RecordingId = "my-show-1795348800123".parse().unwrap();
        assert_eq!(pack_key(&id, 7), "my-show/1795348800123/pack/00000007.bin");
        assert_eq!(read_key(&pack_key(&id, 7)), Some((id.clone(), Object::Pack(7))));
        assert_eq!(read_key(&page_key(&id, (0, 63))), Some((id, Object::Page((0, 63)))));
        for bad in [
            "",
            "show",
            "show/7/pack/00000001.bin/x",
            "show/7/pack/1.bin",
            "show/7/pack/00000001.bin#1",
            "show/x/pack/00000001.bin",
            "show/7/index/00000002-00000001.json",
            "show/7/index/00000002.json",
            ".x/7/pack/00000001.bin",
        ] {
            assert_eq!(read_key(bad), None, "{bad}");
        }
    }

    #[test]
    fn wider_pages_replace_those_within() {
        let pages = vec![(2, 2), (0, 0), (0, 1), (1, 1), (3, 3)];
        assert_eq!(current(pages), [(0, 1), (2, 2), (3, 3)]);
        assert_eq!(current(vec![(0, 5), (3, 3), (0, 2), (6, 6)]), [(0, 5), (6, 6)]);
        assert_eq!(current(vec![]), []);
    }

    #[test]
    fn pages_round_trip_and_lies_are_found() {
        let entry = Entry {
            rendition: 0,
            sequence: 897_674_400,
            start: -5,
            duration: 180_000,
            discontinuities: 3,
            unix_micros: 1_795_348_800_000_001,
            at: Extent { pack: 4, offset: 1, length: 9 },
            hash: Hash([0xab; 16]),
            init: Some(0),
            samples: Some((10, 7)),
        };
        let header = Header {
            version: VERSION,
            id: "show-7".parse().unwrap(),
            session: Epoch(7),
            target_duration: 4,
            renditions: vec![Rendition {
                id: "v-720p".into(),
                container: Container::Fmp4,
                size: Some((1280, 720)),
                frame_rate: Some((30_000, 1001)),
                codecs: "avc1.64001f".into(),
                sound: None,
            }],
            lost: 2,
            ended_unix_ms: None,
        };
        let page = Page { header, packs: (4, 4), inits: vec![], entries: vec![entry] };
        let bytes = page.to_bytes();
        assert_eq!(Page::read(&bytes).unwrap(), page);
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        for (good, bad) in [
            ("\"r\":0", "\"r\":1"),
            ("\"p\":4", "\"p\":5"),
            ("\"version\":1", "\"version\":2"),
            ("\"o\":1", "\"o\":18446744073709551615"),
            ("abab", "abax"),
            ("\"id\":\"show-7\"", "\"id\":\"../7\""),
        ] {
            assert!(text.contains(good), "{good} in {text}");
            assert!(Page::read(text.replacen(good, bad, 1).as_bytes()).is_err(), "{bad}");
        }
    }
}
