//! I9, what is chosen stays: once `(b, v)` is chosen in a slot, every proposal there with a ballot above `b` carries `v`
//! (P2b of *Paxos Made Simple*). This fails before agreement does: when the wrong proposal is made, not when it wins.
//! `ChosenStays` in the model.

use paxos::Slot;

use crate::checker::{Verdict, ensure};
use crate::ledger::{Ledger, same};

/// A slot has a new proposal, or has just been chosen.
pub(crate) fn check(ledger: &Ledger, slot: Slot) -> Verdict {
    let Some(facts) = ledger.slot(slot) else { return Ok(()) };
    let Some((ballot, value)) = facts.chosen() else {
        return Ok(());
    };
    let other = facts
        .proposals
        .iter()
        .find(|later| later.ballot > ballot && !same(&later.value, value));
    if let Some(other) = other {
        ensure!(
            false,
            ChosenStays,
            "slot {slot} is chosen as {value:?} in ballot {ballot}, but ballot {} proposes {:?} there",
            other.ballot,
            other.value
        );
    }
    Ok(())
}
