//! AMF0 (Action Message Format, 2007): the values of commands and data messages. Decoding is lenient where encoders
//! are careless, bounded where a peer could be hostile.
//!
//! ```text
//!  payload ─▶ Decoder ─▶ Value …        Value … ─▶ encode ─▶ payload
//! ```
//! Kinds that no publisher needs are read so that the values behind them are reached, and then count as null: dates,
//! unsupported. A value behind marker 0x11 is [`crate::amf3`]'s.

pub(crate) mod cursor;
mod decode;
mod encode;

use std::borrow::Cow;

use bytes::Bytes;

pub use cursor::AmfError;
pub use decode::{Decoder, decode_all};
pub use encode::{Encoder, object};

/// Type markers (AMF0 §2.1).
pub(crate) mod marker {
    pub(crate) const NUMBER: u8 = 0x00;
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const STRING: u8 = 0x02;
    pub(crate) const OBJECT: u8 = 0x03;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const UNDEFINED: u8 = 0x06;
    pub(crate) const REFERENCE: u8 = 0x07;
    pub(crate) const ECMA_ARRAY: u8 = 0x08;
    pub(crate) const OBJECT_END: u8 = 0x09;
    pub(crate) const STRICT_ARRAY: u8 = 0x0A;
    pub(crate) const DATE: u8 = 0x0B;
    pub(crate) const LONG_STRING: u8 = 0x0C;
    pub(crate) const UNSUPPORTED: u8 = 0x0D;
    pub(crate) const XML: u8 = 0x0F;
    pub(crate) const TYPED_OBJECT: u8 = 0x10;
    pub(crate) const AMF3: u8 = 0x11;
}

/// Properties in the order they came; names may repeat, the first counts.
pub type Properties = Vec<(Bytes, Value)>;

/// One value, of AMF0 or AMF3. Strings are slices of the message they came in, and need not be UTF-8.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A number; may be NaN or infinite.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A string, long string or XML document; AMF3's byte arrays.
    String(Bytes),
    /// An object, typed object or ECMA array: encoders use them interchangeably. AMF3's arrays with names, and its
    /// dictionaries.
    Object(Properties),
    /// Values without names; AMF3's vectors.
    StrictArray(Vec<Value>),
    /// Null, and what counts as null here.
    Null,
    /// Undefined.
    Undefined,
}

impl Value {
    /// A string value.
    pub fn string(text: impl Into<Bytes>) -> Self {
        Self::String(text.into())
    }

    /// The property `name` of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(properties) = self else { return None };
        properties.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value)
    }

    /// As text, where it is a string; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::String(bytes) => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        }
    }

    /// As a finite number, where it is one, a boolean, or a string that reads as one.
    pub fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Number(number) => *number,
            Self::Boolean(truth) => f64::from(u8::from(*truth)),
            Self::String(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    /// As true or false, where it is a boolean or a number.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(*truth),
            _ => self.number().map(|number| number != 0.0),
        }
    }
}
