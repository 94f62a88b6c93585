//! From pieces to the bytes of a file.

use bytes::{BufMut, Bytes, BytesMut};
use ring::digest::{Context, SHA256};

use super::{BLOCK, LONGEST, MAGIC};

/// Frames pieces, and sums up what it gave out.
pub struct Encoder {
    sum: Context,
    len: u64,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder {
            sum: Context::new(&SHA256),
            len: 0,
        }
    }
}

impl Encoder {
    /// The bytes for the next piece.
    ///
    /// # Panics
    /// If it is longer than a gibibyte.
    pub fn piece(&mut self, payload: &[u8]) -> Bytes {
        assert!(
            !payload.is_empty() && payload.len() <= LONGEST,
            "a piece of {} bytes does not fit into a file",
            payload.len()
        );
        let mut bytes = BytesMut::with_capacity(payload.len() + MAGIC.len() + 4);
        self.begin(&mut bytes);
        bytes.put_u32_le(payload.len() as u32);
        bytes.put_slice(payload);
        self.give(bytes)
    }

    /// The bytes behind the last piece.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        let mut bytes = BytesMut::new();
        self.begin(&mut bytes);
        bytes.put_u32_le(0);
        let end = self.len + bytes.len() as u64;
        bytes.put_bytes(0, (end.next_multiple_of(BLOCK) - end) as usize);
        let body = self.give(bytes);
        let sum = self.sum.finish();
        [&body[..], sum.as_ref()].concat().into()
    }

    fn begin(&self, bytes: &mut BytesMut) {
        if self.len == 0 {
            bytes.put_slice(MAGIC);
        }
    }

    fn give(&mut self, bytes: BytesMut) -> Bytes {
        self.sum.update(&bytes);
        self.len += bytes.len() as u64;
        bytes.freeze()
    }
}
