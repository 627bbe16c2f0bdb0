//! The settings that x264 writes into the first keyframe, as SEI user data: they tell how keyframes are spaced before a
//! second one comes. OBS's default is 250 frames, far too long to cut segments at, so knowing at once saves a wait.

use media::h264::{self, nal_type};

/// What x264 was set to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct X264 {
    /// Most frames from one keyframe to the next; `None` when there is no limit.
    pub(super) keyint: Option<u32>,
    /// Keyframes also come where the scene changes.
    pub(super) scene_cuts: bool,
    /// GOPs are open, or pictures are refreshed bit by bit instead of by keyframes.
    pub(super) open: bool,
}

/// SEI payload type user_data_unregistered (ISO/IEC 14496-10 §D.1.7).
const USER_DATA_UNREGISTERED: u8 = 5;
/// The UUID that x264 marks its user data with.
const UUID: [u8; 16] =
    [0xDC, 0x45, 0xE9, 0xBD, 0xE6, 0xD9, 0x48, 0xB7, 0x96, 0x2C, 0xD8, 0x20, 0xD9, 0x23, 0xEE, 0xEF];
/// Longest SEI unit that is looked at, in bytes; x264's is about 700.
const MAX_LEN: usize = 4096;

impl X264 {
    /// Looks for the settings in an access unit (NAL units behind four-byte lengths).
    pub(super) fn find(data: &[u8]) -> Option<Self> {
        h264::units(data).find_map(|unit| {
            let sei = unit.first()? & 31 == nal_type::SEI
                && unit.get(1) == Some(&USER_DATA_UNREGISTERED)
                && unit.len() <= MAX_LEN;
            // The payload size takes one byte for each 255 in it, and the text no emulation prevention: it is ASCII.
            let at = if sei {
                unit.windows(UUID.len()).take(16).position(|window| window == UUID)?
            } else {
                return None;
            };
            Self::parse(&String::from_utf8_lossy(&unit[at + UUID.len()..]))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let options = text.split_once("options:")?.1;
        let value = |key: &str| {
            options
                .split_ascii_whitespace()
                .find_map(|option| option.split_once('=').filter(|(name, _)| *name == key))
                .map(|(_, value)| value.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()))
        };
        let keyint = match value("keyint")? {
            "infinite" => None,
            frames => Some(frames.parse().ok().filter(|frames| *frames > 0)?),
        };
        let on = |key| value(key).is_some_and(|value| value != "0");
        Some(Self { keyint, scene_cuts: on("scenecut"), open: on("open_gop") || on("intra_refresh") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn sei(text: &str) -> Vec<u8> {
        let mut unit = vec![6, 5];
        let len = UUID.len() + text.len();
        unit.extend(vec![255; len / 255]);
        unit.push((len % 255) as u8);
        unit.extend(UUID);
        unit.extend(text.as_bytes());
        unit.push(0x80);
        let mut data = (unit.len() as u32).to_be_bytes().to_vec();
        data.extend(unit);
        data
    }

    #[test]
    fn settings_are_found() {
        let obs = "x264 - core 164 r3095 baee400 - H.264/MPEG-4 AVC codec - Copyleft 2003-2022 - \
                   http://www.videolan.org/x264.html - options: cabac=1 ref=1 deblock=1:0:0 subme=2 keyint=250 \
                   keyint_min=25 scenecut=40 intra_refresh=0 rc_lookahead=10 open_gop=0 rc=cbr\0";
        for (name, text, want) in [
            ("OBS default", obs, Some((Some(250), true, false))),
            (
                "fixed",
                "options: keyint=60 keyint_min=60 scenecut=0 open_gop=0",
                Some((Some(60), false, false)),
            ),
            ("open", "options: keyint=60 scenecut=0 open_gop=1", Some((Some(60), false, true))),
            ("refresh", "options: keyint=60 scenecut=0 intra_refresh=1", Some((Some(60), false, true))),
            ("no limit", "options: keyint=infinite scenecut=0", Some((None, false, false))),
            ("cut short", "options: keyi", None),
            ("not a number", "options: keyint=x", None),
            ("zero", "options: keyint=0", None),
            ("not x264's text", "hello", None),
        ] {
            let got = X264::find(&sei(text)).map(|x264| (x264.keyint, x264.scene_cuts, x264.open));
            assert_eq!(got, want, "{name}");
        }
        assert_eq!(X264::find(&[0, 0, 0, 2, 0x65, 0x88]), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            X264::find(&bytes);
            let mut data = sei("options: keyint=250");
            for (at, byte) in bytes.iter().enumerate().take(data.len()) { data[at] ^= byte & 1; }
            X264::find(&data);
        }
    }
}
