//! What an encoder says about its stream in onMetaData: a hint, never believed over the packets.

use crate::amf0::{Value, object};

/// Longest encoder name kept, in characters.
const ENCODER_MAX: usize = 128;

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
        let number = |key: &str| fields.get(key).and_then(Value::number).filter(|number| *number > 0.0);
        let whole =
            |key: &str| number(key).filter(|number| *number <= f64::from(u32::MAX)).map(|n| n.round() as u32);
        let kilo =
            |key: &str| number(key).map(|kbps| kbps * 1000.0).filter(|bps| *bps <= f64::from(u32::MAX));
        let channels = match whole("audiochannels").and_then(|count| u8::try_from(count).ok()) {
            Some(count) => Some(count),
            None => fields.get("stereo").and_then(Value::truth).map(|stereo| 1 + u8::from(stereo)),
        };
        Some(Self {
            width: whole("width"),
            height: whole("height"),
            frame_rate: number("framerate").or_else(|| number("fps")),
            video_bps: kilo("videodatarate").map(|bps| bps as u32),
            audio_bps: kilo("audiodatarate").map(|bps| bps as u32),
            encoder: fields.get("encoder").and_then(Value::text).map(|text| printable(&text, ENCODER_MAX)),
            audio_sample_rate: whole("audiosamplerate"),
            audio_channels: channels,
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
                ],
                nothing.clone(),
            ),
            (
                "stereo",
                vec![("stereo", true.into()), ("audiosamplerate", 48000.0.into())],
                Metadata { audio_sample_rate: Some(48_000), audio_channels: Some(2), ..nothing.clone() },
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
        };
        assert_eq!(Metadata::from_values(&["onMetaData".into(), metadata.to_value()]), Some(metadata));
    }
}
