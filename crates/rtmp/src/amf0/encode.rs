//! Writing AMF0 to peers. Strings beyond 65 535 bytes become long strings, which every decoder reads.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Value, marker};

/// An object of these properties.
pub fn object<'a>(properties: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Object(
        properties.into_iter().map(|(key, value)| (Bytes::copy_from_slice(key.as_bytes()), value)).collect(),
    )
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(Bytes::copy_from_slice(text.as_bytes()))
    }
}

/// Gathers values into one body.
#[derive(Debug, Default)]
pub struct Encoder {
    out: BytesMut,
}

impl Encoder {
    /// An empty body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `value`.
    #[must_use]
    pub fn put(mut self, value: impl Into<Value>) -> Self {
        put(&mut self.out, &value.into());
        self
    }

    /// Appends `value` as an ECMA array: the form in which onMetaData travels.
    #[must_use]
    pub fn put_ecma(mut self, value: &Value) -> Self {
        match value {
            Value::Object(properties) => {
                self.out.put_u8(marker::ECMA_ARRAY);
                self.out.put_u32(properties.len() as u32);
                put_properties(&mut self.out, properties);
            }
            other => put(&mut self.out, other),
        }
        self
    }

    /// The body.
    pub fn finish(self) -> Bytes {
        self.out.freeze()
    }
}

fn put(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Number(number) => {
            out.put_u8(marker::NUMBER);
            out.put_f64(*number);
        }
        Value::Boolean(truth) => out.put_slice(&[marker::BOOLEAN, u8::from(*truth)]),
        Value::String(bytes) => match u16::try_from(bytes.len()) {
            Ok(len) => {
                out.put_u8(marker::STRING);
                out.put_u16(len);
                out.put_slice(bytes);
            }
            Err(_) => {
                out.put_u8(marker::LONG_STRING);
                out.put_u32(bytes.len() as u32);
                out.put_slice(bytes);
            }
        },
        Value::Object(properties) => {
            out.put_u8(marker::OBJECT);
            put_properties(out, properties);
        }
        Value::StrictArray(items) => {
            out.put_u8(marker::STRICT_ARRAY);
            out.put_u32(items.len() as u32);
            items.iter().for_each(|item| put(out, item));
        }
        Value::Null => out.put_u8(marker::NULL),
        Value::Undefined => out.put_u8(marker::UNDEFINED),
    }
}

fn put_properties(out: &mut BytesMut, properties: &[(Bytes, Value)]) {
    for (key, value) in properties {
        let key = &key[..key.len().min(usize::from(u16::MAX))];
        out.put_u16(key.len() as u16);
        out.put_slice(key);
        put(out, value);
    }
    out.put_slice(&[0, 0, marker::OBJECT_END]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::amf0::decode_all;

    #[test]
    fn a_reply_is_written_in_fixed_positions() {
        let body = Encoder::new().put("_result").put(4.0).put(Value::Null).put(1.0).finish();
        assert_eq!(body[..10], *b"\x02\0\x07_result");
        assert_eq!(body[10..], [0, 0x40, 0x10, 0, 0, 0, 0, 0, 0, 5, 0, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0]);
    }

    fn leaf() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<f64>().prop_filter("NaN differs from itself", |n| !n.is_nan()).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Boolean),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::String(bytes.into())),
            Just(Value::Null),
            Just(Value::Undefined),
        ]
    }

    fn tree() -> impl Strategy<Value = Value> {
        leaf().prop_recursive(4, 40, 6, |inner| {
            let key = "[a-z]{1,8}".prop_map(Bytes::from);
            prop_oneof![
                prop::collection::vec((key, inner.clone()), 0..6).prop_map(Value::Object),
                prop::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_round_trip(values in prop::collection::vec(tree(), 0..5)) {
            let body = values.iter().fold(Encoder::new(), |out, value| out.put(value.clone())).finish();
            prop_assert_eq!(decode_all(&body), (values.clone(), None));
            let ecma = values.iter().fold(Encoder::new(), |out, value| out.put_ecma(value)).finish();
            prop_assert_eq!(decode_all(&ecma), (values, None));
        }

        #[test]
        fn hostile_bytes_do_not_panic(bytes in prop::collection::vec(prop_oneof![0u8..0x12, any::<u8>()], 0..300)) {
            let _ = decode_all(&bytes.into());
        }
    }
}
