//! What both AMF decoders read through: a place in the message, and the budget that all of its values share.

use bytes::Bytes;

use crate::limits::{AMF_DEPTH_MAX, AMF_VALUES_MAX};

/// Why a value was not read. `at` is the byte offset in the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmfError {
    /// The message ends inside a value.
    #[error("AMF value cut short at byte {at}")]
    Truncated {
        /// Where.
        at: usize,
    },
    /// A marker that is reserved, or does not belong there.
    #[error("AMF marker {marker:#04x} at byte {at} is not one to read")]
    Marker {
        /// What stood there.
        marker: u8,
        /// Where.
        at: usize,
    },
    /// An AMF3 reference to something that was not met.
    #[error("AMF3 reference {index} at byte {at} leads nowhere")]
    Reference {
        /// Index in its table.
        index: usize,
        /// Where.
        at: usize,
    },
    /// An AMF3 object in its class's own format, which nobody else can skip.
    #[error("AMF3 object of class {class} at byte {at} is in a format of its own")]
    Externalizable {
        /// Class name, without control characters.
        class: String,
        /// Where.
        at: usize,
    },
    /// A bound was passed.
    #[error("AMF at byte {at}: more than {limit} {what}")]
    TooMuch {
        /// What was counted.
        what: &'static str,
        /// Its limit.
        limit: usize,
        /// Where.
        at: usize,
    },
}

/// A place in a message. Nothing is read behind a cut: the place then is the end.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) body: &'a Bytes,
    pub(crate) at: usize,
    values: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(body: &'a Bytes) -> Self {
        Self { body, at: 0, values: 0 }
    }

    pub(crate) fn left(&self) -> usize {
        self.body.len() - self.at
    }

    /// One value more, inside so many containers.
    pub(crate) fn count_value(&mut self, depth: usize) -> Result<(), AmfError> {
        self.values += 1;
        self.bound(self.values, AMF_VALUES_MAX, "values")?;
        self.bound(depth, AMF_DEPTH_MAX, "levels of nesting")
    }

    pub(crate) fn bound(&self, count: usize, limit: usize, what: &'static str) -> Result<(), AmfError> {
        if count > limit { Err(AmfError::TooMuch { what, limit, at: self.at }) } else { Ok(()) }
    }

    /// Refuses a count of things of at least `size` bytes each that the message cannot hold, before room is made.
    pub(crate) fn holds(&mut self, count: usize, size: usize) -> Result<(), AmfError> {
        if count > self.left() / size { Err(self.cut()) } else { Ok(()) }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, AmfError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], AmfError> {
        let found = self.body[self.at..].first_chunk().copied().ok_or_else(|| self.cut())?;
        self.at += N;
        Ok(found)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<Bytes, AmfError> {
        self.holds(len, 1)?;
        let start = self.at;
        self.at += len;
        Ok(self.body.slice(start..self.at))
    }

    fn cut(&mut self) -> AmfError {
        self.at = self.body.len();
        AmfError::Truncated { at: self.at }
    }
}

/// A container that was met, in the order in which references number them. A reference is followed by reading the
/// container again, so that what it makes is charged against the same budget as what stands there in full.
#[derive(Debug)]
pub(crate) struct Met {
    /// Where its marker stands.
    pub(crate) at: usize,
    /// It is being read: a reference to it from inside would have no end, and counts as null.
    pub(crate) open: bool,
}
