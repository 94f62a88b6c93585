//! I8, adoption: a proposal `(b, s, v)` is consistent with the votes of some phase-1 quorum that promised `b` (L3 ii and
//! iii; P2c of *Paxos Made Simple*). `Adoption` in the model.
//!
//! Judged by what the promisers had durably voted for, not by what they reported or what the leader made of it.

use paxos::{Ballot, Slot, Value};
use quorum::NodeSet;

use crate::checker::{Verdict, ensure};
use crate::ledger::{Ledger, SlotFacts, same};

/// A proposal that was not known has just been noted.
pub(crate) fn check(ledger: &Ledger, slot: Slot, ballot: Ballot, value: &Value) -> Verdict {
    let promised = ledger.promised(ballot);
    ensure!(
        ledger.quorums(slot).is_phase1(promised),
        Adoption,
        "ballot {ballot} proposes {value:?} in slot {slot} with the promises of {promised:?} only, which are no phase-1 quorum"
    );
    let Some(facts) = ledger.slot(slot) else { return Ok(()) };
    if facts
        .proposals
        .iter()
        .all(|earlier| earlier.ballot >= ballot || earlier.voters.is_empty())
    {
        return Ok(());
    }
    // Free choice: a phase-1 quorum without any vote below the ballot. Adoption: one that has no vote above a vote for the
    // value, its own or that of a node whose promise spoke of this slot, though it never came whole (L9): with that node
    // the quorum is a larger one, whose highest vote it is.
    let free = ledger
        .quorums(slot)
        .is_phase1(silent_above(facts, promised, ballot, None));
    let spoke = ledger.promised_for(ballot, slot);
    let adopted = facts.proposals.iter().any(|earlier| {
        earlier.ballot < ballot
            && same(&earlier.value, value)
            && !(earlier.voters & silent_above(facts, spoke, ballot, Some(earlier.ballot))).is_empty()
            && ledger
                .quorums(slot)
                .is_phase1(silent_above(facts, promised, ballot, Some(earlier.ballot)))
    });
    if !free && !adopted {
        let votes: Vec<_> = facts
            .proposals
            .iter()
            .filter(|earlier| earlier.ballot < ballot)
            .map(|earlier| (earlier.ballot, &earlier.value, earlier.voters))
            .collect();
        ensure!(
            false,
            Adoption,
            "ballot {ballot}, promised by {promised:?}, proposes {value:?} in slot {slot}, where the votes are {votes:?}"
        );
    }
    Ok(())
}

/// Those of `promised` who never voted in this slot above `floor` and below `ballot`.
fn silent_above(facts: &SlotFacts, promised: NodeSet, ballot: Ballot, floor: Option<Ballot>) -> NodeSet {
    facts
        .proposals
        .iter()
        .filter(|earlier| earlier.ballot < ballot && floor.is_none_or(|floor| earlier.ballot > floor))
        .fold(promised, |silent, earlier| silent.minus(earlier.voters))
}
