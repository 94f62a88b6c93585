//! The log as one node sees it: the window it holds in memory, and how far each prefix reaches.
//!
//! `trimmed ≤ flushed ≤ applied ≤ handed ≤ chosen ≤ known`, but for a node whose state machine was lost: its `flushed`,
//! `applied` and `handed` stay below `trimmed` until it has a snapshot (C3). Cells at or below `applied` are a cache for
//! peers that are slightly behind; older ones are in the journal down to `trimmed`.

use alloc::collections::VecDeque;
use core::hash::{Hash, Hasher};

use crate::ballot::Slot;
use crate::effect::{Logged, WriteId};
use crate::value::Value;

#[derive(Clone, Debug)]
struct Cell {
    logged: Logged,
    /// The write that makes it durable.
    write: WriteId,
}

#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// `cells[i]` is slot `base + 1 + i`.
    base: Slot,
    cells: VecDeque<Option<Cell>>,
    /// Bytes of the values in `cells`.
    bytes: usize,
    /// Every slot up to here is gone from the journal.
    pub(crate) trimmed: Slot,
    /// Effects up to here are durable in the state machine.
    pub(crate) flushed: Slot,
    /// The state machine has applied everything up to here.
    pub(crate) applied: Slot,
    /// Everything up to here was given to the applier.
    pub(crate) handed: Slot,
    /// Every slot up to here is known to be chosen, and its value is known.
    pub(crate) chosen: Slot,
    /// Some peer has said that every slot up to here is chosen.
    pub(crate) known: Slot,
}

impl Log {
    /// A log of which everything up to `applied` is in the state machine, durably.
    pub(crate) fn new(trimmed: Slot, applied: Slot) -> Log {
        let base = applied.max(trimmed);
        Log {
            base,
            cells: VecDeque::new(),
            bytes: 0,
            trimmed,
            flushed: applied,
            applied,
            handed: applied,
            chosen: base,
            known: base,
        }
    }

    fn index(&self, slot: Slot) -> Option<usize> {
        let distance = slot.0.checked_sub(self.base.0 + 1)?;
        usize::try_from(distance).ok()
    }

    fn cell(&self, slot: Slot) -> Option<&Cell> {
        self.cells.get(self.index(slot)?)?.as_ref()
    }

    /// What is in a slot, if it is in memory.
    pub(crate) fn at(&self, slot: Slot) -> Option<&Logged> {
        self.cell(slot).map(|cell| &cell.logged)
    }

    /// The value in a slot, if it is in memory.
    pub(crate) fn value(&self, slot: Slot) -> Option<&Value> {
        self.at(slot).map(Logged::value)
    }

    /// The write that makes a slot's cell durable, if the cell is in memory.
    pub(crate) fn write_of(&self, slot: Slot) -> Option<WriteId> {
        self.cell(slot).map(|cell| cell.write)
    }

    /// Puts a vote or a learned value into a slot above the evicted ones.
    pub(crate) fn put(&mut self, slot: Slot, logged: Logged, write: WriteId) {
        let index = self
            .index(slot)
            .unwrap_or_else(|| panic!("slot {slot} is at or below the evicted {}", self.base));
        if index >= self.cells.len() {
            self.cells.resize(index + 1, None);
        }
        self.bytes += logged.value().size();
        if let Some(old) = self.cells[index].replace(Cell { logged, write }) {
            self.bytes -= old.logged.value().size();
        }
    }

    /// The highest slot that holds anything, or the chosen prefix if that is higher.
    pub(crate) fn last(&self) -> Slot {
        let held = self
            .cells
            .iter()
            .rposition(Option::is_some)
            .map_or(self.base, |at| self.base.plus(at as u64 + 1));
        held.max(self.chosen)
    }

    /// Bytes of all values in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every slot up to here is trimmed, or applied, durable in the journal as it was chosen, and no longer in memory.
    pub(crate) fn evicted(&self) -> Slot {
        self.base
    }

    /// Lets go of the oldest applied cells while more than `keep` bytes are held. A cell whose write is not durable
    /// stays: the journal could not answer for it yet.
    pub(crate) fn evict(&mut self, keep: usize, persisted: WriteId) {
        while self.base < self.applied && (self.bytes > keep || self.cells.len() > 1 << 16) {
            match self.cells.front() {
                Some(Some(cell)) if cell.write > persisted => return,
                Some(Some(cell)) => self.bytes -= cell.logged.value().size(),
                Some(None) | None => {}
            }
            self.cells.pop_front();
            self.base = self.base.next();
        }
    }

    /// For [`Replica::fingerprint`](crate::Replica::fingerprint): of a cell's write, how far it is from being durable.
    pub(crate) fn fingerprint(&self, persisted: WriteId, into: &mut impl Hasher) {
        let Log {
            base,
            cells,
            bytes: _,
            trimmed,
            flushed,
            applied,
            handed,
            chosen,
            known,
        } = self;
        (base, trimmed, flushed, applied, handed, chosen, known).hash(into);
        for cell in cells {
            let cell = cell.as_ref();
            cell.map(|cell| (&cell.logged, cell.write.0.saturating_sub(persisted.0)))
                .hash(into);
        }
    }
}
