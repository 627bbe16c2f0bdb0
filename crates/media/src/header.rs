//! What is wrong with a codec's header, in words for a log.

/// A configuration record or frame header that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It ends before its fields do.
    #[error("{what} of {len} bytes ends inside its fields")]
    Truncated {
        /// What was read.
        what: &'static str,
        /// Bytes that came.
        len: usize,
    },
    /// A field holds what the standard reserves, or what no picture or sound has.
    #[error("{what} has {field} {value}, which cannot be")]
    Reserved {
        /// What was read.
        what: &'static str,
        /// The field's name.
        field: &'static str,
        /// What it held.
        value: u64,
    },
    /// Something without which nothing can be decoded.
    #[error("no {0} came")]
    Missing(&'static str),
    /// As a parser of its own told it.
    #[error("{0}")]
    Other(String),
}

impl HeaderError {
    pub(crate) fn truncated(what: &'static str, bytes: &[u8]) -> Self {
        Self::Truncated { what, len: bytes.len() }
    }

    pub(crate) fn reserved(what: &'static str, field: &'static str, value: impl Into<u64>) -> Self {
        Self::Reserved { what, field, value: value.into() }
    }
}

/// Longest side of a picture that is believed, in pixels.
const MAX_SIDE: u32 = 16_384;

/// A picture's size as it was declared: both sides between 1 and 16384.
pub(crate) fn plausible(what: &'static str, width: u32, height: u32) -> Result<(u32, u32), HeaderError> {
    for (field, side) in [("a width of", width), ("a height of", height)] {
        if side == 0 || side > MAX_SIDE {
            return Err(HeaderError::reserved(what, field, side));
        }
    }
    Ok((width, height))
}
