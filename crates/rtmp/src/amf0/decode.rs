//! Reading AMF0 from peers.

use bytes::Bytes;

use super::{Properties, Value, marker};
use crate::limits::{AMF_DEPTH_MAX, AMF_KEY_MAX, AMF_PROPERTIES_MAX, AMF_STRING_MAX, AMF_VALUES_MAX};

/// Why a value was not read. `at` is the byte offset in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmfError {
    /// The message ends inside a value.
    #[error("AMF0 value cut short at byte {at}")]
    Truncated {
        /// Where.
        at: usize,
    },
    /// A marker that is reserved, or does not belong there.
    #[error("AMF0 marker {marker:#04x} at byte {at} is not one to read")]
    Marker {
        /// What stood there.
        marker: u8,
        /// Where.
        at: usize,
    },
    /// An AMF3 value.
    #[error("AMF3 value at byte {at}; AMF3 is not supported")]
    Amf3 {
        /// Where.
        at: usize,
    },
    /// A bound was passed.
    #[error("AMF0 at byte {at}: more than {limit} {what}")]
    TooMuch {
        /// What was counted.
        what: &'static str,
        /// Its limit.
        limit: usize,
        /// Where.
        at: usize,
    },
}

/// Reads values one after the other.
#[derive(Debug)]
pub struct Decoder<'a> {
    body: &'a Bytes,
    at: usize,
    values: usize,
}

/// All values of a body, up to its end or the first fault.
pub fn decode_all(body: &Bytes) -> (Vec<Value>, Option<AmfError>) {
    let mut decoder = Decoder::new(body);
    let mut values = Vec::new();
    while !decoder.is_empty() {
        match decoder.value() {
            Ok(value) => values.push(value),
            Err(error) => return (values, Some(error)),
        }
    }
    (values, None)
}

impl<'a> Decoder<'a> {
    /// A decoder at the start of `body`.
    pub fn new(body: &'a Bytes) -> Self {
        Self { body, at: 0, values: 0 }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.at >= self.body.len()
    }

    /// The next value.
    ///
    /// # Errors
    /// When it is cut short, malformed or beyond the limits; nothing behind it can be read then.
    pub fn value(&mut self) -> Result<Value, AmfError> {
        self.nested(0)
    }

    fn nested(&mut self, depth: usize) -> Result<Value, AmfError> {
        let at = self.at;
        self.values += 1;
        self.bound(self.values, AMF_VALUES_MAX, "values")?;
        self.bound(depth, AMF_DEPTH_MAX, "levels of nesting")?;
        Ok(match self.byte()? {
            marker::NUMBER => Value::Number(f64::from_be_bytes(self.array()?)),
            marker::BOOLEAN => Value::Boolean(self.byte()? != 0),
            marker::STRING => Value::String(self.short_string(AMF_STRING_MAX)?),
            marker::OBJECT => Value::Object(self.properties(depth, None)?),
            marker::NULL | marker::UNSUPPORTED => Value::Null,
            marker::UNDEFINED => Value::Undefined,
            marker::REFERENCE => {
                self.take(2)?;
                Value::Null
            }
            marker::ECMA_ARRAY => {
                let count = u32::from_be_bytes(self.array()?);
                Value::Object(self.properties(depth, Some(count))?)
            }
            marker::STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.array()?) as usize;
                if count > self.body.len() - self.at {
                    return Err(AmfError::Truncated { at: self.body.len() }); // each value takes a byte at least
                }
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.nested(depth + 1)?);
                }
                Value::StrictArray(items)
            }
            marker::DATE => {
                self.take(8 + 2)?;
                Value::Null
            }
            marker::LONG_STRING | marker::XML => {
                let len = u32::from_be_bytes(self.array()?) as usize;
                self.bound(len, AMF_STRING_MAX, "bytes in a string")?;
                Value::String(self.take(len)?)
            }
            marker::TYPED_OBJECT => {
                self.short_string(AMF_KEY_MAX)?;
                Value::Object(self.properties(depth, None)?)
            }
            marker::AMF3 => return Err(AmfError::Amf3 { at }),
            marker => return Err(AmfError::Marker { marker, at }),
        })
    }

    /// Properties up to the end marker or the end of the body. `hint` is an ECMA array's count: many encoders write 0
    /// or a wrong one, so it ends the array only where nothing that follows could be a property.
    fn properties(&mut self, depth: usize, hint: Option<u32>) -> Result<Properties, AmfError> {
        let mut properties = Vec::new();
        loop {
            if self.is_empty() {
                return Ok(properties); // some encoders leave the end marker out
            }
            if self.body[self.at..].starts_with(&[0, 0, marker::OBJECT_END]) {
                self.at += 3;
                return Ok(properties);
            }
            if hint.is_some_and(|count| count as usize == properties.len()) && !self.at_property() {
                return Ok(properties);
            }
            self.bound(properties.len() + 1, AMF_PROPERTIES_MAX, "properties")?;
            let key = self.short_string(AMF_KEY_MAX)?;
            properties.push((key, self.nested(depth + 1)?));
        }
    }

    /// Whether a printable name and a value's marker follow.
    fn at_property(&self) -> bool {
        let rest = &self.body[self.at..];
        let Some(len) = rest.first_chunk().map(|len| usize::from(u16::from_be_bytes(*len))) else {
            return false;
        };
        let printable = rest.get(2..2 + len).is_some_and(|key| !key.iter().any(|byte| *byte < 0x20));
        printable && len <= AMF_KEY_MAX && rest.get(2 + len).is_some_and(|marker| *marker <= marker::AMF3)
    }

    fn bound(&self, count: usize, limit: usize, what: &'static str) -> Result<(), AmfError> {
        if count > limit { Err(AmfError::TooMuch { what, limit, at: self.at }) } else { Ok(()) }
    }

    fn short_string(&mut self, limit: usize) -> Result<Bytes, AmfError> {
        let len = usize::from(u16::from_be_bytes(self.array()?));
        self.bound(len, limit, "bytes in a string")?;
        self.take(len)
    }

    fn byte(&mut self) -> Result<u8, AmfError> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AmfError> {
        let found = self.body[self.at..].first_chunk().copied();
        self.at += N;
        found.ok_or_else(|| self.cut())
    }

    fn take(&mut self, len: usize) -> Result<Bytes, AmfError> {
        if len > self.body.len() - self.at {
            return Err(self.cut());
        }
        let start = self.at;
        self.at += len;
        Ok(self.body.slice(start..self.at))
    }

    /// Nothing is read after a cut: the cursor rests at the end.
    fn cut(&mut self) -> AmfError {
        self.at = self.body.len();
        AmfError::Truncated { at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> (Vec<Value>, Option<AmfError>) {
        decode_all(&Bytes::copy_from_slice(bytes))
    }

    fn object(pairs: &[(&'static str, Value)]) -> Value {
        Value::Object(
            pairs.iter().map(|(key, value)| (Bytes::from_static(key.as_bytes()), value.clone())).collect(),
        )
    }

    fn text(text: &'static str) -> Value {
        Value::string(text)
    }

    #[test]
    fn every_kind_is_read_and_oddities_are_taken() {
        const ONE: [u8; 9] = [0, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0];
        const END: [u8; 3] = [0, 0, 9];
        let one = Value::Number(1.0);
        let rows: Vec<(&str, Vec<u8>, Vec<Value>)> = vec![
            ("number", ONE.to_vec(), vec![one.clone()]),
            ("boolean", vec![1, 7], vec![Value::Boolean(true)]),
            ("string", b"\x02\x00\x02hi".to_vec(), vec![text("hi")]),
            ("long string", b"\x0c\0\0\0\x02hi".to_vec(), vec![text("hi")]),
            ("xml", b"\x0f\0\0\0\x02<>".to_vec(), vec![text("<>")]),
            (
                "null and the like",
                vec![5, 6, 0x0D, 7, 0, 1],
                vec![Value::Null, Value::Undefined, Value::Null, Value::Null],
            ),
            ("date", [vec![0x0B], vec![0; 10], vec![5]].concat(), vec![Value::Null, Value::Null]),
            ("object", [b"\x03\0\x01a".as_slice(), &ONE, &END].concat(), vec![object(&[("a", one.clone())])]),
            (
                "object without end",
                [b"\x03\0\x01a".as_slice(), &ONE].concat(),
                vec![object(&[("a", one.clone())])],
            ),
            (
                "typed object",
                [b"\x10\0\x01T\0\x01a".as_slice(), &ONE, &END].concat(),
                vec![object(&[("a", one.clone())])],
            ),
            (
                "property without a name",
                [b"\x03\0\0".as_slice(), &ONE, &END].concat(),
                vec![object(&[("", one.clone())])],
            ),
            (
                "ECMA array, count 0",
                [b"\x08\0\0\0\0\0\x01a".as_slice(), &ONE, &END, &[5]].concat(),
                vec![object(&[("a", one.clone())]), Value::Null],
            ),
            (
                "ECMA array, count too large",
                [b"\x08\0\0\0\x63\0\x01a".as_slice(), &ONE, &END].concat(),
                vec![object(&[("a", one.clone())])],
            ),
            (
                "ECMA array that ends at its count",
                [b"\x08\0\0\0\x01\0\x01a".as_slice(), &ONE, &[0x0A, 0, 0, 0, 0]].concat(),
                vec![object(&[("a", one.clone())]), Value::StrictArray(vec![])],
            ),
            (
                "a key and a string that hold 9",
                b"\x03\0\x02\x09\x09\x02\0\x01\x09\0\0\x09".to_vec(),
                vec![object(&[("\x09\x09", text("\x09"))])],
            ),
            (
                "strict array (fourCcList)",
                b"\x0a\0\0\0\x02\x02\0\x04hvc1\x05".to_vec(),
                vec![Value::StrictArray(vec![text("hvc1"), Value::Null])],
            ),
            ("Latin-1", b"\x02\0\x01\xe9".to_vec(), vec![Value::String(Bytes::from_static(b"\xe9"))]),
        ];
        for (name, bytes, want) in rows {
            assert_eq!(all(&bytes), (want, None), "{name}");
        }
    }

    #[test]
    fn faults_are_told_and_what_stood_before_them_stays() {
        let deep = |levels: usize| b"\x03\0\x01a".repeat(levels);
        let wide: Vec<u8> = [&b"\x03"[..], &b"\0\x01a\x05".repeat(1025)].concat();
        for (name, bytes, values, want) in [
            ("cut number", vec![5, 0, 1, 2], 1, "cut short at byte 4"),
            ("cut string", b"\x02\0\x09hi".to_vec(), 0, "cut short"),
            ("cut inside an object", b"\x03\0\x01a\x02\0\x09".to_vec(), 0, "cut short"),
            ("array of 2^32 - 1", b"\x0a\xff\xff\xff\xff\x05".to_vec(), 0, "cut short"),
            ("movie clip", vec![5, 4], 1, "marker 0x04 at byte 1"),
            ("stray object end", vec![9], 0, "marker 0x09"),
            ("record set", vec![0x0E], 0, "marker 0x0e"),
            ("AMF3", vec![5, 0x11, 4, 1], 1, "AMF3 value at byte 1"),
            ("a thousand levels", deep(1000), 0, "more than 16 levels"),
            ("1025 properties", wide, 0, "more than 1024 properties"),
            ("5000 values", vec![5; 5000], 4096, "more than 4096 values"),
            ("a long string", b"\x0c\0\x01\0\x01".to_vec(), 0, "more than 65536 bytes"),
            ("a long key", [&b"\x03\x04\x01"[..], &[b'a'; 1025]].concat(), 0, "more than 1024 bytes"),
        ] {
            let (got, error) = all(&bytes);
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(got.len(), values, "{name}");
            assert!(error.contains(want), "{name}: {error}");
        }
    }

    #[test]
    fn values_convert_leniently() {
        assert_eq!(text(" 7 ").number(), Some(7.0));
        assert_eq!(text("avc1").number(), None);
        assert_eq!(Value::Number(f64::NAN).number(), None);
        assert_eq!(Value::Number(2.0).truth(), Some(true));
        assert_eq!(Value::Boolean(true).number(), Some(1.0));
        assert_eq!(object(&[("a", text("b"))]).get("a").and_then(Value::text).as_deref(), Some("b"));
        assert_eq!(Value::Null.get("a"), None);
    }
}
