//! Writing AMF3, for tests and fuzzing: as Flash does it, strings by reference from their second time on.

use bytes::{BufMut, Bytes, BytesMut};

use super::marker;
use crate::amf0::Value;

/// One value with its AMF0 marker 0x11 in front.
pub(crate) fn encode(value: &Value) -> Bytes {
    let mut encoder = Encoder { out: BytesMut::new(), strings: Vec::new() };
    encoder.out.put_u8(crate::amf0::marker::AMF3);
    encoder.put(value);
    encoder.out.freeze()
}

struct Encoder {
    out: BytesMut,
    strings: Vec<Bytes>,
}

impl Encoder {
    fn put(&mut self, value: &Value) {
        match value {
            Value::Number(number) => self.number(*number),
            Value::Boolean(truth) => self.out.put_u8(if *truth { marker::TRUE } else { marker::FALSE }),
            Value::String(text) => {
                self.out.put_u8(marker::STRING);
                self.string(text);
            }
            Value::Object(properties) if properties.iter().any(|(key, _)| key.is_empty()) => {
                // An empty name would end the pairs, so all names are sealed ones.
                self.out.put_u8(marker::OBJECT);
                self.u29((properties.len() as u32) << 4 | 0b0011);
                self.string(&Bytes::new());
                properties.iter().for_each(|(key, _)| self.string(key));
                properties.iter().for_each(|(_, value)| self.put(value));
            }
            Value::Object(properties) => {
                self.out.put_u8(marker::OBJECT);
                self.u29(0b1011);
                self.string(&Bytes::new());
                for (key, value) in properties {
                    self.string(key);
                    self.put(value);
                }
                self.string(&Bytes::new());
            }
            Value::StrictArray(items) => {
                self.out.put_u8(marker::ARRAY);
                self.u29((items.len() as u32) << 1 | 1);
                self.string(&Bytes::new());
                items.iter().for_each(|item| self.put(item));
            }
            Value::Null => self.out.put_u8(marker::NULL),
            Value::Undefined => self.out.put_u8(marker::UNDEFINED),
        }
    }

    fn number(&mut self, number: f64) {
        const RANGE: f64 = (1 << 28) as f64;
        let whole = number.fract() == 0.0 && (-RANGE..RANGE).contains(&number);
        if whole && !(number == 0.0 && number.is_sign_negative()) {
            self.out.put_u8(marker::INTEGER);
            self.u29(number as i32 as u32 & 0x1FFF_FFFF);
        } else {
            self.out.put_u8(marker::DOUBLE);
            self.out.put_f64(number);
        }
    }

    fn string(&mut self, text: &Bytes) {
        if let Some(index) = self.strings.iter().position(|known| known == text) {
            return self.u29((index as u32) << 1);
        }
        self.u29((text.len() as u32) << 1 | 1);
        self.out.put_slice(text);
        if !text.is_empty() {
            self.strings.push(text.clone());
        }
    }

    fn u29(&mut self, number: u32) {
        let byte = |shift: u32| (number >> shift) as u8;
        match number {
            0..0x80 => self.out.put_u8(byte(0)),
            0x80..0x4000 => self.out.put_slice(&[byte(7) | 0x80, byte(0) & 0x7F]),
            0x4000..0x20_0000 => self.out.put_slice(&[byte(14) | 0x80, byte(7) | 0x80, byte(0) & 0x7F]),
            _ => self.out.put_slice(&[byte(22) | 0x80, byte(15) | 0x80, byte(8) | 0x80, byte(0)]),
        }
    }
}
