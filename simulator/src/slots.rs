//! A map from slots to things, dense and cheap, that forgets from below.

use std::collections::VecDeque;

use paxos::Slot;

/// How far above its last entry a map may grow at once: a slot further out can only come from a broken replica.
const LONGEST_LEAP: u64 = 1 << 20;

/// Things by slot, from just above the floor on.
#[derive(Clone, Debug)]
pub(crate) struct Slots<T> {
    floor: Slot,
    entries: VecDeque<Option<T>>,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Slots<T> {
        Slots {
            floor: Slot::ZERO,
            entries: VecDeque::new(),
        }
    }

    /// The highest slot that may hold something.
    pub(crate) fn last(&self) -> Slot {
        self.floor.plus(self.entries.len() as u64)
    }

    fn index(&self, slot: Slot) -> Option<usize> {
        usize::try_from(slot.0.checked_sub(self.floor.0 + 1)?).ok()
    }

    pub(crate) fn at(&self, slot: Slot) -> Option<&T> {
        self.entries.get(self.index(slot)?)?.as_ref()
    }

    /// The place of a slot above the floor, empty or not; `None` at or below the floor.
    pub(crate) fn place(&mut self, slot: Slot) -> Option<&mut Option<T>> {
        let index = self.index(slot)?;
        assert!(
            slot.0 <= self.last().0 + LONGEST_LEAP,
            "slot {slot} lies more than {LONGEST_LEAP} above the last slot {}",
            self.last()
        );
        while self.entries.len() <= index {
            self.entries.push_back(None);
        }
        Some(&mut self.entries[index])
    }

    /// Puts something into a slot; at or below the floor it is dropped.
    pub(crate) fn put(&mut self, slot: Slot, thing: T) {
        if let Some(place) = self.place(slot) {
            *place = Some(thing);
        }
    }

    /// Forgets every slot up to `floor`.
    pub(crate) fn forget(&mut self, floor: Slot) {
        while self.floor < floor {
            self.entries.pop_front();
            self.floor = self.floor.next();
        }
    }

    /// The occupied slots from `from` to `to`, both included, in order.
    pub(crate) fn range(&self, from: Slot, to: Slot) -> impl Iterator<Item = (Slot, &T)> {
        let first = from.max(self.floor.next());
        let last = to.min(self.last());
        (first.0..=last.0).filter_map(move |slot| self.at(Slot(slot)).map(|thing| (Slot(slot), thing)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_from_below_and_keeps_holes() {
        let mut slots = Slots::new();
        slots.put(Slot(2), 'b');
        slots.put(Slot(5), 'e');
        assert_eq!(
            slots.range(Slot::ZERO, Slot(9)).collect::<Vec<_>>(),
            [(Slot(2), &'b'), (Slot(5), &'e')]
        );
        slots.forget(Slot(3));
        slots.put(Slot(1), 'x');
        assert_eq!(
            (slots.at(Slot(2)), slots.at(Slot(1)), slots.at(Slot(5))),
            (None, None, Some(&'e'))
        );
        assert_eq!(slots.last(), Slot(5));
        slots.forget(Slot(8));
        slots.put(Slot(9), 'i');
        assert_eq!(slots.range(Slot(1), Slot(20)).collect::<Vec<_>>(), [(Slot(9), &'i')]);
    }
}
