//! What must be done to pictures of a kind before the rungs can be made of them. Pure.
//!
//! | what comes | what is done |
//! |---|---|
//! | progressive, upright, SDR of BT.709 or BT.601, any depth, chroma or range | nothing: the scaler does the rest |
//! | frames marked as interlaced | bwdif, one frame for each, parity by the frame |
//! | a display matrix | turned and mirrored as it says |
//! | PQ or HLG | scaled to the largest rung, tone-mapped to BT.709 |
//! | BT.2020 without HDR | scaled to the largest rung, converted to BT.709 |

use crate::{
    av::{Colour, Pixel},
    source::Turn,
};

/// PQ (SMPTE ST 2084) and HLG (ARIB STD-B67) as transfer characteristics of ITU-T H.273.
const PQ: u8 = 16;
const HLG: u8 = 18;
/// BT.2020 as primaries and as matrix (non-constant luminance) of ITU-T H.273.
const BT2020: u8 = 9;
/// The brightness that is taken for SDR's white, in cd/m²: HDR reference white of ITU-R BT.2408.
const REFERENCE_WHITE: f64 = 203.0;
/// The brightest that keeps its differences, in cd/m²: what nearly all live HDR is graded for, and HLG's nominal peak.
/// What a stream says of its own peak is not asked, so that brightness never jumps with a side note.
const PEAK: f64 = 1000.0;

/// All of a picture that decides what is done to it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Kind {
    /// Pixels as coded.
    pub(crate) size: (u32, u32),
    /// Square pixels, not turned.
    pub(crate) shown: (u32, u32),
    pub(crate) interlaced: bool,
    pub(crate) turn: Turn,
    pub(crate) colour: Colour,
    pub(crate) full_range: bool,
    pub(crate) rgb: bool,
    /// FFmpeg's number for how samples lie in memory.
    pub(crate) format: Pixel,
}

/// Which of the filters that FFmpeg may be built without are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tools {
    /// The deinterlacer to use.
    pub(crate) deinterlacer: Option<&'static str>,
    /// zscale and tonemap.
    pub(crate) tone_mapping: bool,
}

/// Whether rungs of such colours are made BT.709, and declare it.
pub(crate) fn becomes_709(colour: Colour, tools: Tools) -> bool {
    match colour.transfer {
        PQ | HLG => tools.tone_mapping,
        _ => is_wide(colour),
    }
}

fn is_wide(colour: Colour) -> bool {
    colour.primaries == BT2020 || matches!(colour.matrix, BT2020 | 10)
}

/// The filters for pictures of a kind, in FFmpeg's notation; `None` when they can go to the scaler as they are, which
/// brings them to 8-bit 4:2:0 of limited range. `largest` is the largest rung: conversions of colour are dear and work
/// on no more pixels than it has.
pub(crate) fn steps(kind: &Kind, largest: (u32, u32), tools: Tools) -> Option<String> {
    let mut steps: Vec<String> = Vec::new();
    if kind.interlaced
        && let Some(name) = tools.deinterlacer
    {
        steps.push(format!("{name}=mode=send_frame:parity=auto:deint=interlaced"));
    }
    if becomes_709(kind.colour, tools) {
        let hdr = matches!(kind.colour.transfer, PQ | HLG);
        let (width, height) = room(kind, largest);
        if !(kind.size.0 | kind.size.1).is_multiple_of(2) {
            // They take no half chroma samples.
            steps.push("crop=floor(iw/2)*2:floor(ih/2)*2:0:0".to_owned());
        }
        steps.push(if hdr { tone_mapped(kind, width, height) } else { converted(kind, width, height) });
    }
    let Turn { across, mirror_x, mirror_y } = kind.turn;
    match (across, mirror_x, mirror_y) {
        (true, false, false) => steps.push("transpose=cclock_flip".to_owned()),
        (true, true, false) => steps.push("transpose=clock".to_owned()),
        (true, false, true) => steps.push("transpose=cclock".to_owned()),
        (true, true, true) => steps.push("transpose=clock_flip".to_owned()),
        (false, x, y) => {
            steps.extend(x.then(|| "hflip".to_owned()));
            steps.extend(y.then(|| "vflip".to_owned()));
        }
    }
    (!steps.is_empty()).then(|| steps.join(","))
}

/// To linear light of BT.709's primaries, where 1 is reference white; compressed so that the peak becomes white and what
/// is darker than a third of it stays; back to 8 bits.
fn tone_mapped(kind: &Kind, width: u32, height: u32) -> String {
    let Colour { primaries, transfer, matrix } = kind.colour;
    let primaries = if matches!(primaries, 1 | 5 | 6 | 9 | 12) { primaries } else { BT2020 };
    let matrix = match matrix {
        _ if kind.rgb => String::new(), // it has none
        1 | 5 | 6 | 9 | 10 => format!(":min={matrix}"),
        _ => format!(":min={BT2020}"),
    };
    let range = if kind.full_range || kind.rgb { "full" } else { "limited" };
    let peak = PEAK / REFERENCE_WHITE;
    format!(
        "zscale=w={width}:h={height}:filter=bicubic:tin={transfer}:pin={primaries}{matrix}:rin={range}\
         :t=linear:p=709:npl={REFERENCE_WHITE},format=gbrpf32le,tonemap=mobius:desat=0:peak={peak:.4},\
         zscale=t=709:m=709:r=limited,format=yuv420p"
    )
}

/// BT.2020's colours in BT.709's, by integers, which is cheap.
fn converted(kind: &Kind, width: u32, height: u32) -> String {
    let range = if kind.full_range { "pc" } else { "tv" };
    let deep = if kind.rgb { "" } else { ",format=yuv420p|yuv422p|yuv444p|yuv420p10|yuv422p10|yuv444p10" };
    format!(
        "scale={width}:{height}:flags=bicubic{deep},colorspace=ispace=bt2020ncl:iprimaries=bt2020:itrc=bt2020-10\
         :irange={range}:all=bt709:range=tv:format=yuv420p"
    )
}

/// The size that a conversion makes, before turning: square pixels, within the largest rung, and no more of them than
/// there are.
fn room(kind: &Kind, largest: (u32, u32)) -> (u32, u32) {
    let into = if kind.turn.across { (largest.1, largest.0) } else { largest };
    let (width, height) = (f64::from(kind.shown.0.max(1)), f64::from(kind.shown.1.max(1)));
    let scale = (f64::from(into.0) / width).min(f64::from(into.1) / height).min(1.0);
    let even = |side: f64| ((side * scale / 2.0).round() as u32).max(1) * 2;
    (even(width), even(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Tools = Tools { deinterlacer: Some("bwdif"), tone_mapping: true };
    const PLAIN: Kind = Kind {
        size: (1920, 1080),
        shown: (1920, 1080),
        interlaced: false,
        turn: Turn::NONE,
        colour: Colour::BT709,
        full_range: false,
        rgb: false,
        format: Pixel::YUV420P,
    };

    fn colour(primaries: u8, transfer: u8, matrix: u8) -> Colour {
        Colour { primaries, transfer, matrix }
    }

    #[test]
    fn what_is_done_to_which_kind() {
        let turn = |across, mirror_x, mirror_y| Turn { across, mirror_x, mirror_y };
        let hdr = Kind { colour: colour(9, 16, 9), ..PLAIN };
        for (name, kind, want) in [
            ("the usual", PLAIN, vec![]),
            ("colours not said", Kind { colour: colour(2, 2, 2), ..PLAIN }, vec![]),
            ("BT.601", Kind { colour: colour(6, 6, 6), ..PLAIN }, vec![]),
            ("full range", Kind { full_range: true, ..PLAIN }, vec![]),
            ("anamorphic", Kind { size: (1440, 1080), ..PLAIN }, vec![]),
            ("interlaced", Kind { interlaced: true, ..PLAIN }, vec!["bwdif="]),
            ("sideways", Kind { turn: turn(true, true, false), ..PLAIN }, vec!["transpose=clock"]),
            ("upside down", Kind { turn: turn(false, true, true), ..PLAIN }, vec!["hflip", "vflip"]),
            ("PQ", hdr, vec!["zscale=w=1280:h=720", "tin=16:pin=9:min=9:rin=limited", "tonemap=", "m=709"]),
            ("HLG", Kind { colour: colour(9, 18, 9), ..PLAIN }, vec!["tin=18", "tonemap="]),
            ("PQ and nothing else said", Kind { colour: colour(2, 16, 2), ..PLAIN }, vec!["pin=9:min=9"]),
            (
                "PQ with numbers that do not exist",
                Kind { colour: colour(200, 16, 77), ..PLAIN },
                vec!["pin=9:min=9"],
            ),
            ("PQ in RGB", Kind { rgb: true, ..hdr }, vec!["pin=9:rin=full"]),
            (
                "PQ, sideways",
                Kind { turn: turn(true, false, false), ..hdr },
                vec!["w=720:h=406", "transpose="],
            ),
            ("PQ, anamorphic", Kind { size: (1440, 1080), ..hdr }, vec!["w=1280:h=720"]),
            ("PQ, small", Kind { size: (640, 360), shown: (640, 360), ..hdr }, vec!["w=640:h=360"]),
            ("PQ, odd", Kind { size: (1279, 719), shown: (1279, 719), ..hdr }, vec!["crop=", "w=1280:h=720"]),
            (
                "BT.2020 without HDR",
                Kind { colour: colour(9, 14, 9), ..PLAIN },
                vec!["scale=1280:720", "colorspace="],
            ),
            (
                "all at once",
                Kind { interlaced: true, turn: turn(false, true, false), ..hdr },
                vec!["bwdif=", "zscale=", "hflip"],
            ),
        ] {
            let steps = steps(&kind, (1280, 720), ALL);
            assert_eq!(steps.is_some(), !want.is_empty(), "{name}: {steps:?}");
            let mut rest = steps.as_deref().unwrap_or_default();
            for part in want {
                let at = rest.find(part).unwrap_or_else(|| panic!("{name}: no {part} in {steps:?}"));
                rest = &rest[at + part.len()..];
            }
        }
    }

    #[test]
    fn what_ffmpeg_lacks_is_left_out() {
        let none = Tools { deinterlacer: None, tone_mapping: false };
        let hdr = Kind { interlaced: true, colour: colour(9, 16, 9), ..PLAIN };
        assert_eq!(steps(&hdr, (1280, 720), none), None);
        assert!(!becomes_709(hdr.colour, none) && becomes_709(hdr.colour, ALL));
    }

    proptest::proptest! {
        #[test]
        fn conversions_make_even_sizes_within_the_rung(w in 1u32..9000, h in 1u32..9000, across: bool) {
            let kind = Kind { size: (w, h), shown: (w, h), turn: Turn { across, ..Turn::NONE }, ..PLAIN };
            let (width, height) = room(&kind, (1280, 720));
            let into = if across { (720, 1280) } else { (1280, 720) };
            proptest::prop_assert!(width % 2 == 0 && height % 2 == 0 && width > 0 && height > 0);
            proptest::prop_assert!(width <= into.0 && height <= into.1);
        }
    }
}
