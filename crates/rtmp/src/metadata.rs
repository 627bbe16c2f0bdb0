//! What an encoder says about its stream in onMetaData: a hint, never believed over the packets.

use crate::{
    amf0::{Value, object},
    tracks::TRACKS_MAX,
};

/// Longest encoder name kept, in characters.
const ENCODER_MAX: usize = 128;
/// Longest label and language tag of a track kept, in characters.
const LABEL_MAX: usize = 64;
const LANGUAGE_MAX: usize = 35;
/// A data rate is written in kbit/s; from here on it can only be bits a second, as some encoders write it.
const KILO_MAX: f64 = 1_000_000.0;

/// The fields of onMetaData that are used. Any may be missing; any may be wrong.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Metadata {
    /// Picture width in pixels.
    pub width: Option<u32>,
    /// Picture height in pixels.
    pub height: Option<u32>,
    /// Frames a second; finite and above 0.
    pub frame_rate: Option<f64>,
    /// Video bits a second.
    pub video_bps: Option<u32>,
    /// Audio bits a second.
    pub audio_bps: Option<u32>,
    /// The encoder's own name, control characters taken out.
    pub encoder: Option<String>,
    /// Samples a second of the sound.
    pub audio_sample_rate: Option<u32>,
    /// Channels of the sound.
    pub audio_channels: Option<u8>,
    /// What is said of tracks of pictures by number (`videoTrackIdInfoMap`, Enhanced RTMP v2).
    pub video_tracks: Vec<TrackInfo>,
    /// What is said of tracks of sound by number (`audioTrackIdInfoMap`).
    pub audio_tracks: Vec<TrackInfo>,
}

/// What an encoder says of one track among several.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TrackInfo {
    /// Its number, 0 to 15; each stands once.
    pub track: u8,
    /// For people, control characters taken out: `Commentary`.
    pub label: Option<String>,
    /// A language tag (RFC 5646), letters, digits and hyphens alone: `de`.
    pub language: Option<String>,
    /// Bits a second.
    pub bps: Option<u32>,
}

impl TrackInfo {
    fn to_value(&self, rate: &'static str) -> Value {
        let mut fields: Vec<(&str, Value)> = Vec::new();
        fields.extend(self.label.as_deref().map(|label| ("label", Value::from(label))));
        fields.extend(self.language.as_deref().map(|language| ("language", Value::from(language))));
        fields.extend(self.bps.map(|bps| (rate, Value::Number(f64::from(bps) / 1000.0))));
        object(fields)
    }
}

/// The fields of an object of any form, read with patience: numbers as strings, booleans, and none that is not finite.
struct Fields<'a>(&'a Value);

impl Fields<'_> {
    /// Above 0.
    fn number(&self, key: &str) -> Option<f64> {
        self.0.get(key).and_then(Value::number).filter(|number| *number > 0.0)
    }

    fn whole(&self, key: &str) -> Option<u32> {
        self.number(key)
            .map(f64::round)
            .filter(|number| (1.0..=f64::from(u32::MAX)).contains(number))
            .map(|n| n as u32)
    }

    /// Bits a second, of a rate in kbit/s.
    fn rate(&self, key: &str) -> Option<u32> {
        let bps = self.number(key).map(|rate| if rate < KILO_MAX { rate * 1000.0 } else { rate });
        bps.filter(|bps| *bps <= f64::from(u32::MAX)).map(|bps| bps as u32)
    }

    fn text(&self, key: &str, limit: usize) -> Option<String> {
        let text = self.0.get(key).and_then(Value::text).map(|text| printable(text.trim(), limit));
        text.filter(|text| !text.is_empty())
    }

    fn tracks(&self, key: &str, rate: &str) -> Vec<TrackInfo> {
        let Some(Value::Object(tracks)) = self.0.get(key) else { return Vec::new() };
        let mut out: Vec<TrackInfo> = Vec::new();
        for (name, about) in tracks {
            let number = std::str::from_utf8(name).ok().and_then(|name| name.trim().parse::<u8>().ok());
            let Some(track) = number.filter(|track| *track < TRACKS_MAX) else { continue };
            if out.iter().any(|known| known.track == track) {
                continue;
            }
            let about = Fields(about);
            let label = ["label", "name", "title"].into_iter().find_map(|key| about.text(key, LABEL_MAX));
            let language = ["language", "lang"].into_iter().find_map(|key| about.text(key, LANGUAGE_MAX));
            let tag = |text: &String| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            out.push(TrackInfo { track, label, language: language.filter(tag), bps: about.rate(rate) });
        }
        out
    }
}

impl Metadata {
    /// Reads the values of a data message: `@setDataFrame` and `onMetaData`, or `onMetaData` alone, with an object in
    /// any form. `None` for other messages, and where there is no object.
    pub fn from_values(values: &[Value]) -> Option<Self> {
        let mut values = values.iter();
        let mut name = values.next()?.text()?;
        if name == "@setDataFrame" {
            name = values.next()?.text()?;
        }
        if name != "onMetaData" {
            return None;
        }
        let fields = values.find(|value| matches!(value, Value::Object(_)))?;
        let fields = Fields(fields);
        let channels = match fields.whole("audiochannels").and_then(|count| u8::try_from(count).ok()) {
            Some(count) => Some(count),
            None => fields.0.get("stereo").and_then(Value::truth).map(|stereo| 1 + u8::from(stereo)),
        };
        Some(Self {
            width: fields.whole("width"),
            height: fields.whole("height"),
            frame_rate: fields.number("framerate").or_else(|| fields.number("fps")),
            video_bps: fields.rate("videodatarate"),
            audio_bps: fields.rate("audiodatarate"),
            encoder: fields.text("encoder", ENCODER_MAX),
            audio_sample_rate: fields.whole("audiosamplerate"),
            audio_channels: channels,
            video_tracks: fields.tracks("videoTrackIdInfoMap", "videodatarate"),
            audio_tracks: fields.tracks("audioTrackIdInfoMap", "audiodatarate"),
        })
    }

    /// As the object that follows `onMetaData`.
    pub fn to_value(&self) -> Value {
        let mut fields: Vec<(&str, Value)> = Vec::new();
        let mut put =
            |key, number: Option<f64>| fields.extend(number.map(|number| (key, Value::Number(number))));
        put("width", self.width.map(f64::from));
        put("height", self.height.map(f64::from));
        put("framerate", self.frame_rate);
        put("videodatarate", self.video_bps.map(|bps| f64::from(bps) / 1000.0));
        put("videocodecid", Some(f64::from(crate::flv::AVC)));
        put("audiodatarate", self.audio_bps.map(|bps| f64::from(bps) / 1000.0));
        put("audiosamplerate", self.audio_sample_rate.map(f64::from));
        put("audiocodecid", Some(f64::from(crate::flv::AAC)));
        fields.extend(self.audio_channels.map(|count| ("stereo", Value::Boolean(count > 1))));
        fields.extend(self.encoder.as_deref().map(|encoder| ("encoder", Value::from(encoder))));
        for (map, tracks, rate) in [
            ("videoTrackIdInfoMap", &self.video_tracks, "videodatarate"),
            ("audioTrackIdInfoMap", &self.audio_tracks, "audiodatarate"),
        ] {
            if !tracks.is_empty() {
                let each = tracks.iter().map(|track| (track.track.to_string(), track.to_value(rate)));
                let each = each.map(|(name, value)| (bytes::Bytes::from(name), value)).collect();
                fields.push((map, Value::Object(each)));
            }
        }
        object(fields)
    }
}

/// At most `limit` characters, control characters taken out.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, Value)]) -> Option<Metadata> {
        Metadata::from_values(&["@setDataFrame".into(), "onMetaData".into(), object(fields.iter().cloned())])
    }

    #[test]
    fn fields_are_read_as_encoders_write_them() {
        let nothing = Metadata::default();
        for (name, fields, want) in [
            (
                "numbers",
                vec![("width", 1280.0.into()), ("framerate", 29.97.into())],
                Metadata { width: Some(1280), frame_rate: Some(29.97), ..nothing.clone() },
            ),
            (
                "numbers as strings",
                vec![("height", "720".into())],
                Metadata { height: Some(720), ..nothing.clone() },
            ),
            (
                "rates in kbit/s",
                vec![("videodatarate", 2500.0.into()), ("audiodatarate", 160.0.into())],
                Metadata { video_bps: Some(2_500_000), audio_bps: Some(160_000), ..nothing.clone() },
            ),
            (
                "nonsense",
                vec![
                    ("width", f64::NAN.into()),
                    ("height", (-5.0).into()),
                    ("framerate", f64::INFINITY.into()),
                    ("videodatarate", 1e300.into()),
                    ("videocodecid", "avc1".into()),
                    ("audiosamplerate", "NaN".into()),
                    ("audiochannels", 1e9.into()),
                    ("encoder", " ".into()),
                ],
                nothing.clone(),
            ),
            (
                "stereo",
                vec![("stereo", true.into()), ("audiosamplerate", 48000.0.into())],
                Metadata { audio_sample_rate: Some(48_000), audio_channels: Some(2), ..nothing.clone() },
            ),
            (
                "FourCC numbers, and a data rate in bits a second",
                vec![
                    ("videocodecid", 1_752_589_105.0.into()),
                    ("audiocodecid", 1_332_770_163.0.into()),
                    ("videodatarate", 6_000_000.0.into()),
                    ("framerate", "30".into()),
                ],
                Metadata { video_bps: Some(6_000_000), frame_rate: Some(30.0), ..nothing.clone() },
            ),
            (
                "encoder",
                vec![("encoder", "obs\n\x1b[0m".into())],
                Metadata { encoder: Some("obs[0m".into()), ..nothing.clone() },
            ),
        ] {
            assert_eq!(read(&fields), Some(want), "{name}");
        }
    }

    #[test]
    fn tracks_are_described_by_number() {
        let about = |fields: Vec<(&'static str, Value)>| object(fields);
        let map = Value::Object(vec![
            ("1".into(), about(vec![("language", "de".into()), ("label", "Kommentar\n".into())])),
            ("2".into(), about(vec![("lang", "<script>".into()), ("audiodatarate", 96.0.into())])),
            ("1".into(), about(vec![("language", "fr".into())])),
            ("16".into(), about(vec![])),
            ("x".into(), about(vec![])),
            ("3".into(), Value::Null),
        ]);
        let metadata = read(&[("audioTrackIdInfoMap", map), ("videoTrackIdInfoMap", "none".into())]).unwrap();
        let want = [
            TrackInfo {
                track: 1,
                label: Some("Kommentar".into()),
                language: Some("de".into()),
                ..TrackInfo::default()
            },
            TrackInfo { track: 2, bps: Some(96_000), ..TrackInfo::default() },
            TrackInfo { track: 3, ..TrackInfo::default() },
        ];
        assert_eq!((&metadata.audio_tracks[..], &metadata.video_tracks[..]), (&want[..], &[][..]));
        let again = Metadata::from_values(&["onMetaData".into(), metadata.to_value()]);
        assert_eq!(again, Some(metadata));
    }

    #[test]
    fn other_messages_are_none() {
        let object = object([]);
        assert!(Metadata::from_values(&["onMetaData".into(), object.clone()]).is_some());
        for values in [
            vec![],
            vec!["onMetaData".into(), Value::Null],
            vec!["onCuePoint".into(), object.clone()],
            vec![Value::Null, object],
        ] {
            assert_eq!(Metadata::from_values(&values), None, "{values:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let metadata = Metadata {
            width: Some(640),
            height: Some(360),
            frame_rate: Some(30.0),
            video_bps: Some(800_000),
            audio_bps: Some(128_000),
            encoder: Some("demo".into()),
            audio_sample_rate: Some(48_000),
            audio_channels: Some(2),
            ..Metadata::default()
        };
        assert_eq!(Metadata::from_values(&["onMetaData".into(), metadata.to_value()]), Some(metadata));
    }
}
