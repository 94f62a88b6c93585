//! I10, applied: what a node applies is the chosen prefix, slot by slot without gap or repetition in each life of its
//! process, and equal prefixes give equal states (C2).

use paxos::{Entry, Slot};

use crate::checker::{Verdict, claims, ensure};
use crate::ledger::Ledger;
use crate::machine::Machine;
use crate::seat::Seat;
use crate::slots::Slots;

pub(crate) struct Applied {
    /// The last entry that each process was given to apply.
    handed: Vec<Slot>,
    /// The state after each slot, as a machine of the checker's own came to it.
    states: Slots<u64>,
    twin: Machine,
}

impl Applied {
    pub(crate) fn new(nodes: usize) -> Applied {
        Applied {
            handed: vec![Slot::ZERO; nodes],
            states: Slots::new(),
            twin: Machine::new(),
        }
    }

    /// A process starts with a state machine at `applied`.
    pub(crate) fn on_start(&mut self, seat: Seat, applied: Slot) {
        self.handed[seat.index()] = applied;
    }

    /// The chosen prefix has grown: the checker's own machine follows it.
    pub(crate) fn follow(&mut self, ledger: &Ledger) {
        while let Some(value) = ledger.chosen(self.twin.applied().next()) {
            self.twin.apply(&Entry {
                slot: self.twin.applied().next(),
                value: value.clone(),
            });
            self.states.put(self.twin.applied(), self.twin.digest());
        }
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
            Some(Machine::new().digest())
        } else {
            self.states.at(slot).copied()
        };
        ensure!(
            expected == Some(machine.digest()),
            Applied,
            "the state of {seat} after slot {slot} is {:016x}, but the chosen prefix gives {expected:016x?}",
            machine.digest()
        );
        Ok(())
    }
}
