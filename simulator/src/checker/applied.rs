//! I10, applied: what a node applies is the chosen prefix, slot by slot without gap or repetition in each life of its
//! process, and equal prefixes give equal states (C2).

use paxos::{Entry, Slot};
use quorum::Configuration;
use storage::machine::Revision;

use crate::checker::{Verdict, claims, ensure};
use crate::ledger::Ledger;
use crate::machine::Machine;
use crate::seat::Seat;
use crate::slots::Slots;
use crate::tables::DiskTables;

/// After how many slots the checker's machine forgets how it was before.
const FLUSH: u64 = 64;

pub(crate) struct Applied {
    /// The last entry that each process was given to apply.
    handed: Vec<Slot>,
    /// Digest and revision after each slot, as a machine of the checker's own came to them.
    states: Slots<(u64, Revision)>,
    twin: Machine,
}

impl Applied {
    pub(crate) fn new(nodes: usize, genesis: &Configuration) -> Applied {
        Applied {
            handed: vec![Slot::ZERO; nodes],
            states: Slots::new(),
            twin: Machine::open(DiskTables::default(), genesis),
        }
    }

    /// A process starts with a state machine at `applied`.
    pub(crate) fn on_start(&mut self, seat: Seat, applied: Slot) {
        self.handed[seat.index()] = applied;
    }

    /// The chosen prefix has grown: the checker's own machine follows it.
    pub(crate) fn follow(&mut self, ledger: &Ledger) {
        while let Some(value) = ledger.chosen(self.twin.applied().next()) {
            let entry = Entry {
                slot: self.twin.applied().next(),
                value: value.clone(),
            };
            self.twin.apply(std::slice::from_ref(&entry), |_| false);
            self.states.put(entry.slot, (self.twin.digest(), self.twin.revision()));
            if entry.slot.0.is_multiple_of(FLUSH) {
                self.twin.flush();
            }
        }
    }

    /// The revision that the chosen prefix gives.
    pub(crate) fn revision(&self) -> Revision {
        self.twin.revision()
    }

    /// What the chosen prefix gives, to the byte.
    pub(crate) fn bits(&self) -> (Slot, u64) {
        (self.twin.applied(), self.twin.bits())
    }

    /// A process is told to apply an entry.
    pub(crate) fn on_apply(&mut self, ledger: &Ledger, seat: Seat, entry: &Entry) -> Verdict {
        let handed = &mut self.handed[seat.index()];
        let expected = handed.next();
        *handed = entry.slot;
        ensure!(
            entry.slot == expected,
            Applied,
            "{seat} applies slot {} where {expected} is next",
            entry.slot
        );
        claims::chosen(ledger, seat, entry.slot, &entry.value, "applies")
    }

    /// A state machine has reached `slot`.
    pub(crate) fn on_state(&self, seat: Seat, machine: &Machine) -> Verdict {
        let slot = machine.applied();
        let expected = if slot == Slot::ZERO {
            Some((0, Revision::FIRST))
        } else {
            self.states.at(slot).copied()
        };
        let found = (machine.digest(), machine.revision());
        ensure!(
            expected == Some(found),
            Applied,
            "the state of {seat} after slot {slot} is {found:x?}, but the chosen prefix gives {expected:x?}"
        );
        Ok(())
    }
}
