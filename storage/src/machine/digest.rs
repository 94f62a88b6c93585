//! A running hash of everything that was applied.
//!
//! Two nodes that applied the same slots have the same digest, however the slots were batched and however often a node
//! was restarted. It finds bugs and broken hardware; it is no defence against an attacker.

/// The digest after some slot.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Digest(pub(crate) u64);

const A: u64 = 0x9e37_79b9_7f4a_7c15;
const B: u64 = 0xe703_7ed1_a0b4_28db;

/// Both halves of a product, folded.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

impl Digest {
    /// Before the first slot.
    pub(crate) const START: Digest = Digest(0);

    /// Takes in a number.
    pub(crate) fn number(&mut self, number: u64) {
        self.0 = fold(self.0 ^ A, number ^ B);
    }

    /// Takes in bytes; where they end counts.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let mut hash = self.0 ^ bytes.len() as u64;
        let mut chunks = bytes.chunks_exact(16);
        for chunk in &mut chunks {
            let (low, high) = chunk.split_at(8);
            hash = fold(word(low) ^ A, word(high) ^ hash ^ B);
        }
        let rest = chunks.remainder();
        let (low, high) = rest.split_at(rest.len().min(8));
        self.0 = fold(word(low) ^ A, word(high) ^ hash ^ B);
    }
}

/// Up to eight bytes as a number.
fn word(bytes: &[u8]) -> u64 {
    match bytes.try_into() {
        Ok(eight) => u64::from_le_bytes(eight),
        Err(_) => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&[u8]]) -> u64 {
        let mut digest = Digest::default();
        parts.iter().for_each(|part| digest.bytes(part));
        digest.0
    }

    #[test]
    fn every_byte_and_every_border_counts() {
        let long = [7u8; 100];
        for at in 0..long.len() {
            for bit in 0..8 {
                let mut other = long;
                other[at] ^= 1 << bit;
                assert_ne!(of(&[&long]), of(&[&other]), "bit {bit} of byte {at}");
            }
        }
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"a"]), of(&[b"a", b""]));
        assert_ne!(of(&[b"a"]), of(&[b"a\0"]));
    }
}
