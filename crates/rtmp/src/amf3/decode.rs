//! Reading AMF3 from peers, within the bounds of the message it stands in.

use bytes::Bytes;

use super::marker;
use crate::{
    amf0::{
        Properties, Value,
        cursor::{AmfError, Cursor, Met},
    },
    limits::{AMF_KEY_MAX, AMF_PROPERTIES_MAX, AMF_STRING_MAX},
    metadata::printable,
};

/// Classes with a format of their own that is known: one value each, the thing they wrap.
const WRAPPERS: [&[u8]; 3] =
    [b"flex.messaging.io.ArrayCollection", b"flex.messaging.io.ArrayList", b"flex.messaging.io.ObjectProxy"];
/// Longest class name told in an error, in characters.
const CLASS_SHOWN: usize = 64;

/// Reads the one AMF3 value at `cursor`, which stands inside `depth` containers already.
pub(crate) fn decode(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, AmfError> {
    Decoder { cursor, strings: Vec::new(), met: Vec::new(), traits: Vec::new() }.nested(depth)
}

struct Decoder<'c, 'b> {
    cursor: &'c mut Cursor<'b>,
    /// Strings met, without the empty one.
    strings: Vec<Bytes>,
    /// Everything met that references of objects number: all but scalars and strings.
    met: Vec<Met>,
    traits: Vec<Traits>,
}

/// What objects of one class have in common (§3.12).
#[derive(Clone, Debug)]
struct Traits {
    class: Bytes,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// The class writes itself.
    External,
    /// Values for these names, then, if dynamic, further names with values.
    Plain { sealed: Vec<Bytes>, dynamic: bool },
}

/// A length that stands here, or the index of something met before (the low bit of §1.3.1's numbers tells).
enum Told {
    Here(usize),
    Before(usize),
}

impl Decoder<'_, '_> {
    fn nested(&mut self, depth: usize) -> Result<Value, AmfError> {
        let at = self.cursor.at;
        self.cursor.count_value(depth)?;
        Ok(match self.cursor.byte()? {
            marker::UNDEFINED => Value::Undefined,
            marker::NULL => Value::Null,
            marker::FALSE => Value::Boolean(false),
            marker::TRUE => Value::Boolean(true),
            // 29 bits with a sign
            marker::INTEGER => Value::Number(f64::from((self.u29()? << 3) as i32 >> 3)),
            marker::DOUBLE => Value::Number(f64::from_be_bytes(self.cursor.array()?)),
            marker::STRING => Value::String(self.string(AMF_STRING_MAX)?),
            marker @ marker::XML_DOCUMENT..=marker::DICTIONARY => match self.told()? {
                Told::Before(index) => self.again(index, at, depth)?,
                Told::Here(head) => {
                    let index = self.met.len();
                    self.met.push(Met { at, open: true });
                    let value = self.complex(marker, head, depth)?;
                    self.met[index].open = false;
                    value
                }
            },
            marker => return Err(AmfError::Marker { marker, at }),
        })
    }

    /// What stands behind the marker and the number of anything that references can name. `head` is that number without
    /// its lowest bit: a length for most, three flags and a count for objects.
    fn complex(&mut self, marker: u8, head: usize, depth: usize) -> Result<Value, AmfError> {
        Ok(match marker {
            marker::XML_DOCUMENT | marker::XML | marker::BYTE_ARRAY => {
                self.cursor.bound(head, AMF_STRING_MAX, "bytes in a string")?;
                Value::String(self.cursor.take(head)?)
            }
            marker::DATE => {
                self.cursor.take(8)?;
                Value::Null
            }
            marker::ARRAY => self.array(head, depth)?,
            marker::OBJECT => self.object(head, depth)?,
            marker::VECTOR_INT => {
                self.vector(head, |bytes: [u8; 4]| f64::from(i32::from_be_bytes(bytes)), depth)?
            }
            marker::VECTOR_UINT => {
                self.vector(head, |bytes: [u8; 4]| f64::from(u32::from_be_bytes(bytes)), depth)?
            }
            marker::VECTOR_DOUBLE => self.vector(head, f64::from_be_bytes, depth)?,
            marker::VECTOR_OBJECT => {
                self.cursor.byte()?; // whether its length is fixed
                self.string(AMF_KEY_MAX)?; // class of its items
                Value::StrictArray(self.items(head, depth)?)
            }
            _ => self.dictionary(head, depth)?,
        })
    }

    /// Reads something met before once more; null where it is still being read, which would have no end.
    fn again(&mut self, index: usize, at: usize, depth: usize) -> Result<Value, AmfError> {
        let met = self.met.get_mut(index).ok_or(AmfError::Reference { index, at })?;
        if met.open {
            return Ok(Value::Null);
        }
        met.open = true;
        let behind = std::mem::replace(&mut self.cursor.at, met.at);
        // What is met inside keeps the numbers it had the first time.
        let known = (self.met.len(), self.strings.len(), self.traits.len());
        let value = self.nested(depth)?;
        self.met.truncate(known.0);
        self.strings.truncate(known.1);
        self.traits.truncate(known.2);
        self.met[index].open = false;
        self.cursor.at = behind;
        Ok(value)
    }

    /// An array: pairs up to the empty name, then `count` values. With names it becomes an object, its values named by
    /// their index.
    fn array(&mut self, count: usize, depth: usize) -> Result<Value, AmfError> {
        let mut properties = Vec::new();
        self.pairs(&mut properties, depth)?;
        let items = self.items(count, depth)?;
        if properties.is_empty() {
            return Ok(Value::StrictArray(items));
        }
        self.cursor.bound(properties.len() + items.len(), AMF_PROPERTIES_MAX, "properties")?;
        let named = |(index, item): (usize, Value)| (Bytes::from(index.to_string()), item);
        properties.extend(items.into_iter().enumerate().map(named));
        Ok(Value::Object(properties))
    }

    fn object(&mut self, head: usize, depth: usize) -> Result<Value, AmfError> {
        let at = self.cursor.at;
        let traits = match head & 1 {
            0 => {
                let index = head >> 1;
                self.traits.get(index).cloned().ok_or(AmfError::Reference { index, at })?
            }
            _ => self.traits(head)?,
        };
        let Form::Plain { sealed, dynamic } = traits.form else {
            if WRAPPERS.contains(&&*traits.class) {
                return self.nested(depth + 1);
            }
            let class = printable(&String::from_utf8_lossy(&traits.class), CLASS_SHOWN);
            return Err(AmfError::Externalizable { class, at });
        };
        let mut properties = Vec::new();
        for name in sealed {
            properties.push((name, self.nested(depth + 1)?));
        }
        if dynamic {
            self.pairs(&mut properties, depth)?;
        }
        Ok(Value::Object(properties))
    }

    /// Traits that stand here: externalizable is bit 1 of `head`, dynamic bit 2, the rest the count of sealed names.
    fn traits(&mut self, head: usize) -> Result<Traits, AmfError> {
        let class = self.string(AMF_KEY_MAX)?;
        let form = if head & 2 != 0 {
            Form::External
        } else {
            let count = head >> 3;
            self.cursor.bound(count, AMF_PROPERTIES_MAX, "properties")?;
            self.cursor.holds(count, 1)?;
            let sealed = (0..count).map(|_| self.string(AMF_KEY_MAX)).collect::<Result<_, _>>()?;
            Form::Plain { sealed, dynamic: head & 4 != 0 }
        };
        let traits = Traits { class, form };
        self.traits.push(traits.clone());
        Ok(traits)
    }

    fn vector<const N: usize>(
        &mut self,
        count: usize,
        number: fn([u8; N]) -> f64,
        depth: usize,
    ) -> Result<Value, AmfError> {
        self.cursor.byte()?; // whether its length is fixed
        self.cursor.holds(count, N)?;
        let mut items = Vec::new();
        for _ in 0..count {
            self.cursor.count_value(depth + 1)?;
            items.push(Value::Number(number(self.cursor.array()?)));
        }
        Ok(Value::StrictArray(items))
    }

    /// Keys may be of any kind: text and numbers name a property, pairs with others are left out.
    fn dictionary(&mut self, count: usize, depth: usize) -> Result<Value, AmfError> {
        self.cursor.byte()?; // whether its keys are held weakly
        self.cursor.holds(count, 2)?;
        self.cursor.bound(count, AMF_PROPERTIES_MAX, "properties")?;
        let mut properties = Vec::new();
        for _ in 0..count {
            let key = match self.nested(depth + 1)? {
                Value::String(text) => Some(text),
                Value::Number(number) => Some(Bytes::from(number.to_string())),
                _ => None,
            };
            self.cursor.bound(key.as_ref().map_or(0, Bytes::len), AMF_KEY_MAX, "bytes in a string")?;
            let value = self.nested(depth + 1)?;
            properties.extend(key.map(|key| (key, value)));
        }
        Ok(Value::Object(properties))
    }

    fn items(&mut self, count: usize, depth: usize) -> Result<Vec<Value>, AmfError> {
        self.cursor.holds(count, 1)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.nested(depth + 1)?);
        }
        Ok(items)
    }

    /// Names and values up to the empty name.
    fn pairs(&mut self, properties: &mut Properties, depth: usize) -> Result<(), AmfError> {
        loop {
            let key = self.string(AMF_KEY_MAX)?;
            if key.is_empty() {
                return Ok(());
            }
            self.cursor.bound(properties.len() + 1, AMF_PROPERTIES_MAX, "properties")?;
            properties.push((key, self.nested(depth + 1)?));
        }
    }

    fn string(&mut self, limit: usize) -> Result<Bytes, AmfError> {
        let at = self.cursor.at;
        let text = match self.told()? {
            Told::Before(index) => {
                self.strings.get(index).cloned().ok_or(AmfError::Reference { index, at })?
            }
            Told::Here(len) => {
                self.cursor.bound(len, limit, "bytes in a string")?;
                let text = self.cursor.take(len)?;
                if len > 0 {
                    self.strings.push(text.clone());
                }
                text
            }
        };
        self.cursor.bound(text.len(), limit, "bytes in a string")?;
        Ok(text)
    }

    fn told(&mut self) -> Result<Told, AmfError> {
        let number = self.u29()? as usize;
        Ok(if number & 1 == 0 { Told::Before(number >> 1) } else { Told::Here(number >> 1) })
    }

    /// 29 bits: seven of each of up to three bytes while their high bit is set, eight of a fourth (§1.3.1).
    fn u29(&mut self) -> Result<u32, AmfError> {
        let mut number = 0;
        for _ in 0..3 {
            let byte = self.cursor.byte()?;
            number = number << 7 | u32::from(byte & 0x7F);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Ok(number << 8 | u32::from(self.cursor.byte()?))
    }
}
