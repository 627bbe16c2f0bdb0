//! Reading AMF0 from peers.

use bytes::Bytes;

use super::{
    Properties, Value,
    cursor::{AmfError, Cursor, Met},
    marker,
};
use crate::{
    amf3,
    limits::{AMF_KEY_MAX, AMF_PROPERTIES_MAX, AMF_STRING_MAX},
};

/// Reads values one after the other.
#[derive(Debug)]
pub struct Decoder<'a> {
    cursor: Cursor<'a>,
    met: Vec<Met>,
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
        Self { cursor: Cursor::new(body), met: Vec::new() }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.cursor.left() == 0
    }

    /// The next value.
    ///
    /// # Errors
    /// When it is cut short, malformed or beyond the limits; nothing behind it can be read then.
    pub fn value(&mut self) -> Result<Value, AmfError> {
        self.nested(0)
    }

    fn nested(&mut self, depth: usize) -> Result<Value, AmfError> {
        let at = self.cursor.at;
        self.cursor.count_value(depth)?;
        let cursor = &mut self.cursor;
        Ok(match cursor.byte()? {
            marker::NUMBER => Value::Number(f64::from_be_bytes(cursor.array()?)),
            marker::BOOLEAN => Value::Boolean(cursor.byte()? != 0),
            marker::STRING => Value::String(self.short_string(AMF_STRING_MAX)?),
            marker::NULL | marker::UNSUPPORTED => Value::Null,
            marker::UNDEFINED => Value::Undefined,
            marker @ (marker::OBJECT | marker::ECMA_ARRAY | marker::STRICT_ARRAY | marker::TYPED_OBJECT) => {
                let index = self.met.len();
                self.met.push(Met { at, open: true });
                let value = self.container(marker, depth)?;
                self.met[index].open = false;
                value
            }
            marker::REFERENCE => {
                let index = usize::from(u16::from_be_bytes(cursor.array()?));
                self.again(index, depth)?
            }
            marker::DATE => {
                cursor.take(8 + 2)?;
                Value::Null
            }
            marker::LONG_STRING | marker::XML => {
                let len = u32::from_be_bytes(cursor.array()?) as usize;
                cursor.bound(len, AMF_STRING_MAX, "bytes in a string")?;
                Value::String(cursor.take(len)?)
            }
            marker::AMF3 => amf3::decode(cursor, depth)?,
            marker => return Err(AmfError::Marker { marker, at }),
        })
    }

    /// What stands behind the marker of a container.
    fn container(&mut self, marker: u8, depth: usize) -> Result<Value, AmfError> {
        let cursor = &mut self.cursor;
        Ok(match marker {
            marker::STRICT_ARRAY => {
                let count = u32::from_be_bytes(cursor.array()?) as usize;
                cursor.holds(count, 1)?;
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.nested(depth + 1)?);
                }
                Value::StrictArray(items)
            }
            marker::ECMA_ARRAY => {
                let count = u32::from_be_bytes(cursor.array()?);
                Value::Object(self.properties(depth, Some(count))?)
            }
            marker::TYPED_OBJECT => {
                self.short_string(AMF_KEY_MAX)?;
                Value::Object(self.properties(depth, None)?)
            }
            _ => Value::Object(self.properties(depth, None)?),
        })
    }

    /// Reads the container that a reference names once more. One that was not met, or that is still being read, is null.
    fn again(&mut self, index: usize, depth: usize) -> Result<Value, AmfError> {
        let Some(met) = self.met.get_mut(index).filter(|met| !met.open) else { return Ok(Value::Null) };
        met.open = true;
        let behind = std::mem::replace(&mut self.cursor.at, met.at);
        let known = self.met.len();
        let value = self.nested(depth)?;
        self.met.truncate(known); // what was met inside keeps the numbers it had the first time
        self.met[index].open = false;
        self.cursor.at = behind;
        Ok(value)
    }

    /// Properties up to the end marker or the end of the body. `hint` is an ECMA array's count: many encoders write 0
    /// or a wrong one, so it ends the array only where nothing that follows could be a property.
    fn properties(&mut self, depth: usize, hint: Option<u32>) -> Result<Properties, AmfError> {
        let mut properties = Vec::new();
        loop {
            if self.is_empty() {
                return Ok(properties); // some encoders leave the end marker out
            }
            if self.cursor.body[self.cursor.at..].starts_with(&[0, 0, marker::OBJECT_END]) {
                self.cursor.at += 3;
                return Ok(properties);
            }
            if hint.is_some_and(|count| count as usize == properties.len()) && !self.at_property() {
                return Ok(properties);
            }
            self.cursor.bound(properties.len() + 1, AMF_PROPERTIES_MAX, "properties")?;
            let key = self.short_string(AMF_KEY_MAX)?;
            properties.push((key, self.nested(depth + 1)?));
        }
    }

    /// Whether a printable name and a value's marker follow.
    fn at_property(&self) -> bool {
        let rest = &self.cursor.body[self.cursor.at..];
        let Some(len) = rest.first_chunk().map(|len| usize::from(u16::from_be_bytes(*len))) else {
            return false;
        };
        let printable = rest.get(2..2 + len).is_some_and(|key| !key.iter().any(|byte| *byte < 0x20));
        printable && len <= AMF_KEY_MAX && rest.get(2 + len).is_some_and(|marker| *marker <= marker::AMF3)
    }

    fn short_string(&mut self, limit: usize) -> Result<Bytes, AmfError> {
        let len = usize::from(u16::from_be_bytes(self.cursor.array()?));
        self.cursor.bound(len, limit, "bytes in a string")?;
        self.cursor.take(len)
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
            (
                "reference to an object met before",
                b"\x03\0\x01a\x05\0\0\x09\x0a\0\0\0\x02\x07\0\0\x07\0\x01".to_vec(),
                vec![
                    object(&[("a", Value::Null)]),
                    Value::StrictArray(vec![object(&[("a", Value::Null)]), Value::Null]),
                ],
            ),
            (
                "reference from inside",
                b"\x03\0\x01a\x07\0\0\0\0\x09".to_vec(),
                vec![object(&[("a", Value::Null)])],
            ),
            ("AMF3 and back", vec![5, 0x11, 4, 7, 5], vec![Value::Null, Value::Number(7.0), Value::Null]),
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
            ("AMF3 marker", vec![5, 0x11, 0x12], 1, "marker 0x12 at byte 2"),
            ("a thousand levels", deep(1000), 0, "more than 16 levels"),
            ("1025 properties", wide, 0, "more than 1024 properties"),
            (
                "references that multiply",
                [&b"\x0a\0\0\0\x40"[..], &[5; 64], b"\x0a\0\0\0\x40", &b"\x07\0\0".repeat(64)].concat(),
                1,
                "more than 4096 values",
            ),
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
