//! A state of the whole, in a few numbers that name what is kept once, and what may happen in it.

use std::hash::Hash;

use crate::explorer::fingerprint::{Print, print};
use crate::seat::Seat;

/// Most nodes of an exploration.
pub(super) const NODES: usize = 3;

/// What may still happen.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub(super) struct Budget {
    pub(super) ballots: u8,
    pub(super) crashes: u8,
    pub(super) duplicates: u8,
    pub(super) reminders: u8,
    pub(super) fetches: u8,
}

/// A state.
#[derive(Clone, Hash)]
pub(super) struct World {
    pub(super) nodes: [u32; NODES],
    pub(super) judge: u32,
    /// Messages that were sent and have not arrived, sorted. Any of them may never arrive: a loss is nothing of its own.
    pub(super) network: Vec<u32>,
    pub(super) budget: Budget,
}

/// One step.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Action {
    /// A message arrives.
    Deliver(u32),
    /// A message arrives and will arrive again.
    Repeat(u32),
    /// A node's oldest write becomes durable.
    Sync(Seat),
    /// A node stands for election, with the consent of these peers.
    Stand(Seat, u8),
    /// A leader sends again what was not answered.
    Remind(Seat),
    /// A node fetches what it missed.
    Fetch(Seat),
    /// A node crashes and starts again.
    Crash(Seat),
}

impl World {
    pub(super) fn print(&self) -> Print {
        print(|into| self.hash(into))
    }
}
