//! What happens next: events ordered by (moment, sequence), so that equal moments keep the order of their making.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Moment;

#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd)]
struct Key {
    at: Moment,
    sequence: u64,
    place: u32,
}

/// The queue of everything that is still to happen.
pub(crate) struct Schedule<E> {
    heap: BinaryHeap<Reverse<Key>>,
    places: Vec<Option<E>>,
    free: Vec<u32>,
    sequence: u64,
}

impl<E> Schedule<E> {
    pub(crate) fn new() -> Schedule<E> {
        Schedule {
            heap: BinaryHeap::new(),
            places: Vec::new(),
            free: Vec::new(),
            sequence: 0,
        }
    }

    pub(crate) fn push(&mut self, at: Moment, event: E) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            (self.places.len() - 1) as u32
        });
        self.places[place as usize] = Some(event);
        self.sequence += 1;
        self.heap.push(Reverse(Key {
            at,
            sequence: self.sequence,
            place,
        }));
    }

    pub(crate) fn pop(&mut self) -> Option<(Moment, E)> {
        let Reverse(key) = self.heap.pop()?;
        self.free.push(key.place);
        let event = self.places[key.place as usize]
            .take()
            .expect("every key in the heap has an event in its place");
        Some((key.at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_moments_keep_their_order() {
        let mut schedule = Schedule::new();
        for (at, event) in [(5, 'b'), (1, 'a'), (5, 'c'), (9, 'e'), (5, 'd')] {
            schedule.push(Moment(at), event);
        }
        let mut order = String::new();
        while let Some((_, event)) = schedule.pop() {
            order.push(event);
            if event == 'a' {
                schedule.push(Moment(9), 'f');
            }
        }
        assert_eq!(order, "abcdef");
    }
}
