//! The tags of the standard: where each may stand, how often, and of what type its attributes are (§4.4).

use super::text::{byte_range, integer, micros, quoted};
use std::fmt;

/// In which playlist a tag belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    Either,
    Media,
    Multivariant,
}

/// The type of an attribute's value (§4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Hex,
    Float,
    Signed,
    Quoted,
    /// Quoted, `n[@o]`.
    Range,
    /// Quoted or, as the one enumerated string it may be, NONE.
    QuotedOrNone,
    Enumerated(&'static [&'static str]),
    /// Any enumerated string.
    Word,
    Resolution,
    /// The attribute has to be there.
    Needed(&'static Kind),
}

/// A tag of the standard.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) name: &'static str,
    pub(crate) home: Home,
    /// At most once in a playlist.
    pub(crate) once: bool,
    pub(crate) attributes: &'static [(&'static str, Kind)],
}

impl Tag {
    /// The type of an attribute; client attributes (X-) may have any.
    pub(crate) fn kind(&self, name: &str) -> Option<&Kind> {
        self.attributes.iter().find(|(n, _)| *n == name).map(|(_, kind)| kind)
    }
}

impl Kind {
    pub(crate) fn fits(&self, value: &str) -> bool {
        match self {
            Kind::Needed(kind) => kind.fits(value),
            Kind::Integer => integer(value).is_some(),
            Kind::Hex => value.strip_prefix("0x").or(value.strip_prefix("0X")).is_some_and(|digits| {
                !digits.is_empty()
                    && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'A'..=b'F' | b'a'..=b'f'))
            }),
            Kind::Float => micros(value).is_some(),
            Kind::Signed => micros(value.strip_prefix('-').unwrap_or(value)).is_some(),
            Kind::Quoted => quoted(value).is_some(),
            Kind::Range => quoted(value).is_some_and(|v| byte_range(v).is_some()),
            Kind::QuotedOrNone => quoted(value).is_some_and(|v| v != "NONE") || value == "NONE",
            Kind::Enumerated(words) => words.contains(&value),
            Kind::Word => !value.starts_with('"') && !value.is_empty(),
            Kind::Resolution => {
                value.split_once('x').is_some_and(|(w, h)| integer(w).is_some() && integer(h).is_some())
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Needed(kind) => kind.fmt(f),
            Kind::Integer => f.write_str("a decimal integer"),
            Kind::Hex => f.write_str("a hexadecimal sequence"),
            Kind::Float => f.write_str("a decimal number"),
            Kind::Signed => f.write_str("a signed decimal number"),
            Kind::Quoted => f.write_str("a quoted string"),
            Kind::Range => f.write_str("a quoted byte range"),
            Kind::QuotedOrNone => f.write_str("a quoted string or NONE without quotes"),
            Kind::Enumerated(words) => write!(f, "one of {} without quotes", words.join(", ")),
            Kind::Word => f.write_str("an enumerated string without quotes"),
            Kind::Resolution => f.write_str("a resolution"),
        }
    }
}

const YES: Kind = Kind::Enumerated(&["YES"]);
const YES_NO: Kind = Kind::Enumerated(&["YES", "NO"]);

const fn plain(name: &'static str, home: Home, once: bool) -> Tag {
    Tag { name, home, once, attributes: &[] }
}

const fn with(
    name: &'static str,
    home: Home,
    once: bool,
    attributes: &'static [(&'static str, Kind)],
) -> Tag {
    Tag { name, home, once, attributes }
}

use Home::{Either, Media, Multivariant};
use Kind::{Enumerated, Float, Hex, Integer, Needed, Quoted, QuotedOrNone, Range, Resolution, Signed, Word};

const KEY: &[(&str, Kind)] = &[
    ("METHOD", Needed(&Word)),
    ("URI", Quoted),
    ("IV", Hex),
    ("KEYFORMAT", Quoted),
    ("KEYFORMATVERSIONS", Quoted),
];

/// Every tag of the standard.
pub(crate) const TAGS: &[Tag] = &[
    plain("EXTM3U", Either, true),
    plain("EXT-X-VERSION", Either, true),
    plain("EXT-X-INDEPENDENT-SEGMENTS", Either, true),
    with("EXT-X-START", Either, true, &[("TIME-OFFSET", Needed(&Signed)), ("PRECISE", YES_NO)]),
    with(
        "EXT-X-DEFINE",
        Either,
        false,
        &[("NAME", Quoted), ("VALUE", Quoted), ("IMPORT", Quoted), ("QUERYPARAM", Quoted)],
    ),
    plain("EXT-X-TARGETDURATION", Media, true),
    plain("EXT-X-MEDIA-SEQUENCE", Media, true),
    plain("EXT-X-DISCONTINUITY-SEQUENCE", Media, true),
    plain("EXT-X-ENDLIST", Media, true),
    plain("EXT-X-PLAYLIST-TYPE", Media, true),
    plain("EXT-X-I-FRAMES-ONLY", Media, true),
    with("EXT-X-PART-INF", Media, true, &[("PART-TARGET", Needed(&Float))]),
    with(
        "EXT-X-SERVER-CONTROL",
        Media,
        true,
        &[
            ("CAN-SKIP-UNTIL", Float),
            ("CAN-SKIP-DATERANGES", YES),
            ("HOLD-BACK", Float),
            ("PART-HOLD-BACK", Float),
            ("CAN-BLOCK-RELOAD", YES),
        ],
    ),
    plain("EXTINF", Media, false),
    plain("EXT-X-BYTERANGE", Media, false),
    plain("EXT-X-DISCONTINUITY", Media, false),
    with("EXT-X-KEY", Media, false, KEY),
    with("EXT-X-MAP", Media, false, &[("URI", Needed(&Quoted)), ("BYTERANGE", Range)]),
    plain("EXT-X-PROGRAM-DATE-TIME", Media, false),
    plain("EXT-X-GAP", Media, false),
    plain("EXT-X-BITRATE", Media, false),
    with(
        "EXT-X-PART",
        Media,
        false,
        &[
            ("URI", Needed(&Quoted)),
            ("DURATION", Needed(&Float)),
            ("INDEPENDENT", YES),
            ("BYTERANGE", Range),
            ("GAP", YES),
        ],
    ),
    with(
        "EXT-X-DATERANGE",
        Media,
        false,
        &[
            ("ID", Needed(&Quoted)),
            ("CLASS", Quoted),
            ("START-DATE", Quoted),
            ("CUE", Quoted),
            ("END-DATE", Quoted),
            ("DURATION", Float),
            ("PLANNED-DURATION", Float),
            ("SCTE35-CMD", Hex),
            ("SCTE35-OUT", Hex),
            ("SCTE35-IN", Hex),
            ("END-ON-NEXT", YES),
        ],
    ),
    with(
        "EXT-X-SKIP",
        Media,
        false,
        &[("SKIPPED-SEGMENTS", Needed(&Integer)), ("RECENTLY-REMOVED-DATERANGES", Quoted)],
    ),
    with(
        "EXT-X-PRELOAD-HINT",
        Media,
        false,
        &[
            ("TYPE", Needed(&Word)),
            ("URI", Needed(&Quoted)),
            ("BYTERANGE-START", Integer),
            ("BYTERANGE-LENGTH", Integer),
        ],
    ),
    with(
        "EXT-X-RENDITION-REPORT",
        Media,
        false,
        &[("URI", Needed(&Quoted)), ("LAST-MSN", Integer), ("LAST-PART", Integer)],
    ),
    with(
        "EXT-X-MEDIA",
        Multivariant,
        false,
        &[
            ("TYPE", Needed(&Enumerated(&["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"]))),
            ("URI", Quoted),
            ("GROUP-ID", Needed(&Quoted)),
            ("LANGUAGE", Quoted),
            ("ASSOC-LANGUAGE", Quoted),
            ("NAME", Needed(&Quoted)),
            ("STABLE-RENDITION-ID", Quoted),
            ("DEFAULT", YES_NO),
            ("AUTOSELECT", YES_NO),
            ("FORCED", YES_NO),
            ("INSTREAM-ID", Quoted),
            ("BIT-DEPTH", Integer),
            ("SAMPLE-RATE", Integer),
            ("CHARACTERISTICS", Quoted),
            ("CHANNELS", Quoted),
        ],
    ),
    with(
        "EXT-X-STREAM-INF",
        Multivariant,
        false,
        &[
            ("BANDWIDTH", Integer),
            ("AVERAGE-BANDWIDTH", Integer),
            ("SCORE", Float),
            ("CODECS", Quoted),
            ("SUPPLEMENTAL-CODECS", Quoted),
            ("RESOLUTION", Resolution),
            ("FRAME-RATE", Float),
            ("HDCP-LEVEL", Word),
            ("ALLOWED-CPC", Quoted),
            ("VIDEO-RANGE", Word),
            ("REQ-VIDEO-LAYOUT", Quoted),
            ("STABLE-VARIANT-ID", Quoted),
            ("AUDIO", Quoted),
            ("VIDEO", Quoted),
            ("SUBTITLES", Quoted),
            ("CLOSED-CAPTIONS", QuotedOrNone),
            ("PATHWAY-ID", Quoted),
        ],
    ),
    with(
        "EXT-X-I-FRAME-STREAM-INF",
        Multivariant,
        false,
        &[
            ("BANDWIDTH", Integer),
            ("AVERAGE-BANDWIDTH", Integer),
            ("SCORE", Float),
            ("CODECS", Quoted),
            ("SUPPLEMENTAL-CODECS", Quoted),
            ("RESOLUTION", Resolution),
            ("HDCP-LEVEL", Word),
            ("ALLOWED-CPC", Quoted),
            ("VIDEO-RANGE", Word),
            ("STABLE-VARIANT-ID", Quoted),
            ("VIDEO", Quoted),
            ("PATHWAY-ID", Quoted),
            ("URI", Quoted),
        ],
    ),
    with(
        "EXT-X-SESSION-DATA",
        Multivariant,
        false,
        &[
            ("DATA-ID", Needed(&Quoted)),
            ("VALUE", Quoted),
            ("URI", Quoted),
            ("FORMAT", Word),
            ("LANGUAGE", Quoted),
        ],
    ),
    with("EXT-X-SESSION-KEY", Multivariant, false, KEY),
    with(
        "EXT-X-CONTENT-STEERING",
        Multivariant,
        true,
        &[("SERVER-URI", Needed(&Quoted)), ("PATHWAY-ID", Quoted)],
    ),
];

/// The tag of this name.
pub(crate) fn find(name: &str) -> Option<&'static Tag> {
    TAGS.iter().find(|tag| tag.name == name)
}
