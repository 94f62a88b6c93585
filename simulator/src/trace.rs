//! The fingerprint of a run (I22), and its last events as lines for people.
//!
//! A run keeps no lines. When it fails it is run again, which repeats it bit for bit, and only the last events are put
//! into words: so lines cost nothing where they are not wanted.

use std::collections::VecDeque;

/// Most lines that are kept.
const LINES: usize = 400_000;

/// What a run leaves behind.
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    lines_from: u64,
    lines: VecDeque<String>,
}

impl Trace {
    /// A trace that keeps lines from event number `lines_from` on.
    pub(crate) fn new(lines_from: u64) -> Trace {
        Trace {
            hash: 0xCBF2_9CE4_8422_2325,
            events: 0,
            lines_from,
            lines: VecDeque::new(),
        }
    }

    pub(crate) fn event(&mut self) {
        self.events += 1;
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    pub(crate) fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }

    /// Keeps a line, if lines are wanted by now.
    #[inline]
    pub(crate) fn line(&mut self, words: impl FnOnce() -> String) {
        if self.events >= self.lines_from {
            if self.lines.len() == LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(words());
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

/// A 64-bit digest of bytes; fast, not cryptographic.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut hash = 0x2545_F491_4F6C_DD1D ^ (bytes.len() as u64);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks_exact gives eight bytes"));
        hash = (hash ^ word).wrapping_mul(0xA076_1D64_78BD_642F).rotate_left(31);
    }
    for byte in chunks.remainder() {
        hash = (hash ^ u64::from(*byte))
            .wrapping_mul(0xA076_1D64_78BD_642F)
            .rotate_left(31);
    }
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_sees_every_byte_and_the_length() {
        let bytes: Vec<u8> = (0..27).collect();
        let whole = digest(&bytes);
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_ne!(digest(&other), whole, "byte {at} does not count");
        }
        assert_ne!(digest(&bytes[..26]), whole);
        assert_ne!(digest(&[0; 8]), digest(&[0; 9]));
    }
}
