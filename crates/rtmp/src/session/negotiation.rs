//! What client and server can do, told in `connect` and its answer (Enhanced RTMP v2, "connect"). Nothing depends on
//! it: OBS sends Enhanced RTMP and announces none of it.

use crate::amf0::{Value, object};

/// Bits of `capsEx`.
mod caps {
    /// The Reconnect Request is understood.
    pub(super) const RECONNECT: u32 = 1;
    pub(super) const MULTITRACK: u32 = 2;
    pub(super) const MOD_EX: u32 = 4;
    pub(super) const TIMESTAMP_NANO_OFFSET: u32 = 8;
}

/// Bits of `videoFunction`.
mod video_function {
    /// Pictures in HDR.
    pub(super) const HDR: u32 = 2;
    /// Packets of metadata, such as colorInfo.
    pub(super) const METADATA: u32 = 4;
}

/// In `…FourCcInfoMap`: taken, and passed on.
const CAN_FORWARD: f64 = 4.0;
/// What is taken from publishers.
const VIDEO: [&str; 5] = ["avc1", "hvc1", "av01", "vp09", "vp08"];
const AUDIO: [&str; 6] = ["mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"];

/// What a client said that it can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Abilities {
    /// It announced any of Enhanced RTMP's properties.
    enhanced: bool,
    caps: u32,
    video_function: u32,
    /// 3 where the client asked for AMF3, else 0.
    object_encoding: u8,
}

impl Abilities {
    /// From the object of `connect`; what is missing or of another type counts as not said.
    pub(super) fn read(connect: &Value) -> Self {
        let bits = |key| connect.get(key).and_then(Value::number).map_or(0, |number| number as u32);
        let enhanced = ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"]
            .iter()
            .any(|key| connect.get(key).is_some());
        Self {
            enhanced,
            caps: bits("capsEx"),
            video_function: bits("videoFunction"),
            object_encoding: if bits("objectEncoding") == 3 { 3 } else { 0 },
        }
    }

    /// Whether the client understands the Reconnect Request.
    pub(super) fn reconnects(self) -> bool {
        self.caps & caps::RECONNECT != 0
    }

    /// The properties that answer it in the information object. Clients that announced nothing new get nothing new:
    /// some hardware reads the answer into little room.
    pub(super) fn answer(self) -> Vec<(&'static str, Value)> {
        let mut out = vec![("objectEncoding", f64::from(self.object_encoding).into())];
        if self.enhanced {
            let ours = caps::MULTITRACK | caps::MOD_EX | caps::TIMESTAMP_NANO_OFFSET;
            let mutual = video_function::HDR | video_function::METADATA;
            let map = |names: &[&'static str]| object(names.iter().map(|name| (*name, CAN_FORWARD.into())));
            let list = VIDEO.iter().chain(&AUDIO).map(|name| Value::from(*name)).collect();
            out.extend([
                ("fourCcList", Value::StrictArray(list)),
                ("videoFourCcInfoMap", map(&VIDEO)),
                ("audioFourCcInfoMap", map(&AUDIO)),
                ("capsEx", f64::from(ours | self.caps & caps::RECONNECT).into()),
                ("videoFunction", f64::from(self.video_function & mutual).into()),
            ]);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &[(&'static str, Value)], enhanced: bool, caps: f64, encoding: f64, reconnects: bool) {
        let abilities = Abilities::read(&object(said.iter().cloned()));
        let answer = object(abilities.answer());
        let number = |key| answer.get(key).and_then(Value::number);
        assert_eq!(number("objectEncoding"), Some(encoding));
        assert_eq!(answer.get("fourCcList").is_some(), enhanced);
        assert_eq!(number("capsEx"), enhanced.then_some(caps));
        assert_eq!(abilities.reconnects(), reconnects);
    }

    #[test]
    fn who_announces_something_is_told_what_is_taken() {
        let list = || Value::StrictArray(vec!["*".into()]);
        check(&[], false, 0.0, 0.0, false);
        check(&[("objectEncoding", 3.0.into())], false, 0.0, 3.0, false);
        check(&[("objectEncoding", 1.0.into()), ("fourCcList", list())], true, 14.0, 0.0, false);
        check(&[("capsEx", 1.0.into())], true, 15.0, 0.0, true);
        check(&[("capsEx", 255.0.into())], true, 15.0, 0.0, true);
        check(&[("capsEx", f64::NAN.into())], true, 14.0, 0.0, false);
        check(&[("videoFourCcInfoMap", Value::Null)], true, 14.0, 0.0, false);
        check(&[("capsEx", "nonsense".into()), ("fourCcList", "hvc1".into())], true, 14.0, 0.0, false);
    }

    #[test]
    fn the_maps_list_what_can_be_forwarded() {
        let said = object([("capsEx", 2.0.into()), ("videoFunction", 7.0.into())]);
        let answer = object(Abilities::read(&said).answer());
        let ability = |map: &str, name: &str| answer.get(map).unwrap().get(name).and_then(Value::number);
        assert_eq!(ability("videoFourCcInfoMap", "hvc1"), Some(4.0));
        assert_eq!(ability("audioFourCcInfoMap", "Opus"), Some(4.0));
        assert_eq!(ability("videoFourCcInfoMap", "vvc1"), None, "it cannot be decoded");
        assert_eq!(answer.get("videoFunction").and_then(Value::number), Some(6.0));
    }
}
