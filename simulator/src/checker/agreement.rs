//! I1, agreement: no two values are ever chosen in one slot. `Agreement` in the model; Lamport, *Paxos Made Simple*, 2.2.
//!
//! Chosen is computed from votes on disks and the quorum system, never from what a node says.

use paxos::{Ballot, Slot, Value};

use crate::checker::{Verdict, ensure};
use crate::ledger::Ledger;

/// A second value was chosen in a slot, if `contradicted`.
pub(crate) fn check(ledger: &Ledger, slot: Slot, ballot: Ballot, value: &Value, contradicted: bool) -> Verdict {
    if contradicted {
        let first = ledger.slot(slot).and_then(|facts| facts.chosen());
        ensure!(
            false,
            Agreement,
            "slot {slot} was chosen as {first:?} (ballot, value), and now {value:?} has a phase-2 quorum in ballot {ballot}"
        );
    }
    Ok(())
}
