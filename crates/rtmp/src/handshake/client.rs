//! The client's side, simple.

use bytes::{BufMut, BytesMut};

use super::{HandshakeError, PACKET, VERSION, check_opening, hello, put_opening, take};

/// The client's side.
#[derive(Debug)]
pub struct Client {
    seen: Vec<u8>,
}

impl Client {
    /// Writes C0 and C1.
    pub fn start(out: &mut BytesMut) -> Self {
        put_opening(out, VERSION, &hello([0; 4], 0x5EED));
        Self { seen: Vec::new() }
    }

    /// Takes what belongs to the handshake from the front of `input`. True once S2 is in and C2 written.
    ///
    /// # Errors
    /// When the first byte is not RTMP's.
    pub fn feed(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<bool, HandshakeError> {
        let wanted = (1 + 2 * PACKET - self.seen.len()).min(input.len());
        self.seen.extend_from_slice(take(input, wanted));
        check_opening(&self.seen)?;
        if self.seen.len() < 1 + 2 * PACKET {
            return Ok(false);
        }
        out.put_slice(&self.seen[1..1 + PACKET]);
        self.seen = Vec::new();
        Ok(true)
    }
}
