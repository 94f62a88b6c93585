//! 128 bits for a state: so wide that two states of an exploration never share them by chance (at 10⁸ states the odds
//! are one in 10²²).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What stands for a state.
pub(super) type Print = u128;

/// Two lanes of multiply and fold, with different keys.
pub(super) struct Lanes(u64, u64);

const KEYS: [u64; 4] = [
    0x9E37_79B9_7F4A_7C15,
    0xD6E8_FEB8_6659_FD93,
    0xA076_1D64_78BD_642F,
    0xE703_7ED1_A0B4_28DB,
];

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Lanes {
    fn word(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word ^ KEYS[0], KEYS[1]).wrapping_add(word);
        self.1 = fold(self.1 ^ word.rotate_left(32) ^ KEYS[2], KEYS[3]).wrapping_sub(word);
    }
}

impl Hasher for Lanes {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }

    fn write_u8(&mut self, word: u8) {
        self.word(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.word(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.word(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.word(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The fingerprint of what `feed` feeds.
pub(super) fn print(feed: impl FnOnce(&mut Lanes)) -> Print {
    let mut lanes = Lanes(KEYS[3], KEYS[0]);
    feed(&mut lanes);
    lanes.word(KEYS[1]);
    u128::from(lanes.0) << 64 | u128::from(lanes.1)
}

/// Takes a fingerprint for its own hash.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, print: u128) {
        self.0 = print as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Hashes a fingerprint by taking it as it is.
pub(super) type ByPrint = BuildHasherDefault<AsIs>;

/// Things met in an exploration, each kept once and named by a number.
pub(super) struct Kept<T> {
    things: Vec<T>,
    numbers: HashMap<Print, u32, ByPrint>,
}

impl<T> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept {
            things: Vec::new(),
            numbers: HashMap::default(),
        }
    }
}

impl<T> Kept<T> {
    /// The number of the thing with this fingerprint, which is kept if it is new.
    pub(super) fn number(&mut self, print: Print, thing: T) -> u32 {
        let next = u32::try_from(self.things.len()).expect("an exploration stops long before");
        let number = *self.numbers.entry(print).or_insert(next);
        if number == next {
            self.things.push(thing);
        }
        number
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.things.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.things.len()
    }
}

impl<T: Hash> Kept<T> {
    /// The number of a thing that says itself what it is.
    pub(super) fn keep(&mut self, thing: T) -> u32 {
        self.number(print(|into| thing.hash(into)), thing)
    }
}

impl<T> std::ops::Index<u32> for Kept<T> {
    type Output = T;
    fn index(&self, number: u32) -> &T {
        &self.things[number as usize]
    }
}
