//! I4, one value per ballot and slot: whatever is retransmitted or voted for, a ballot has one value in a slot (L4).
//! `OneValue` in the model.

use paxos::{Ballot, Slot};

use crate::checker::{Verdict, ensure};
use crate::ledger::Ledger;

/// A proposal that was not known has just been noted.
pub(crate) fn check(ledger: &Ledger, slot: Slot, ballot: Ballot) -> Verdict {
    let Some(facts) = ledger.slot(slot) else { return Ok(()) };
    let mut values = facts
        .proposals
        .iter()
        .filter(|known| known.ballot == ballot)
        .map(|known| &known.value);
    let (first, second) = (values.next(), values.next());
    ensure!(
        second.is_none(),
        OneValue,
        "ballot {ballot} has {first:?} and {second:?} in slot {slot}"
    );
    Ok(())
}
