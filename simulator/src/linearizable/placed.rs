//! Which operations of one key have been given their place.

/// A set of operations: those with an answer, numbered from 0 in the order of their calls, and after them the others.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    words: Vec<u64>,
    /// The first word of the operations without an answer.
    unknown: usize,
}

impl Placed {
    pub(super) fn none(answered: usize, unknown: usize) -> Placed {
        let first = answered.div_ceil(64);
        Placed {
            words: vec![0; first + unknown.div_ceil(64)],
            unknown: first,
        }
    }

    /// The bit of the operation with this number, of which `answered` come first.
    pub(super) fn bit(number: usize, answered: usize) -> usize {
        match number.checked_sub(answered) {
            None => number,
            Some(unknown) => answered.next_multiple_of(64) + unknown,
        }
    }

    pub(super) fn insert(&mut self, bit: usize) {
        self.words[bit / 64] |= 1 << (bit % 64);
    }

    pub(super) fn remove(&mut self, bit: usize) {
        self.words[bit / 64] &= !(1 << (bit % 64));
    }

    pub(super) fn contains(&self, bit: usize) -> bool {
        self.words[bit / 64] & 1 << (bit % 64) != 0
    }

    /// The same set in few words: calls are placed roughly in their order, so most words are full or empty.
    pub(super) fn key(&self) -> Box<[u64]> {
        let (answered, unknown) = self.words.split_at(self.unknown);
        let full = answered.iter().take_while(|word| **word == u64::MAX).count();
        let end = answered
            .iter()
            .rposition(|word| *word != 0)
            .map_or(full, |last| last + 1);
        let window = &answered[full..end.max(full)];
        [full as u64].iter().chain(unknown).chain(window).copied().collect()
    }
}
