//! What was seen on the way: an exploration in which nothing happens proves nothing.

use paxos::{Ballot, Event, Slot};

use crate::coverage::{Counts, counted};
use crate::explorer::judge::{Asked, Judge};
use crate::explorer::node::Fact;

counted! {
    /// What must be reachable, if the bounds allow for it.
    Reach {
        /// A phase-2 quorum has voted for a value.
        Chosen = "something is chosen",
        /// A node knows it and applies it.
        Applied = "a node applies a chosen value",
        /// Two ballots have proposed something in one slot.
        Duelled = "two ballots propose in one slot",
        /// A ballot proposes what a lower ballot had proposed.
        Adopted = "a ballot proposes the value of a lower one",
        /// Two ballots propose different values in one slot.
        Differed = "two ballots propose different values in one slot",
        /// A leader or candidate meets a higher ballot.
        GaveWay = "a proposer gives way to a higher ballot",
        /// A leader finds out only by learning another value.
        Overtaken = "a leader learns that it was overtaken",
        /// A crash loses records that were written and not durable.
        LostWrites = "a crash loses writes",
        /// Something is chosen, and a crash comes after.
        CrashedAfter = "a node crashes after something is chosen",
        /// A change is chosen.
        Changed = "a change of configuration is chosen",
        /// The new configuration chooses something.
        Moved = "the new configuration chooses",
        /// The old configuration is retired.
        Retired = "the old configuration is retired",
        /// A value is learned from a peer.
        Learned = "a chosen value is fetched from a peer",
    }
}

/// Counts what a step shows that led from one past to another.
pub(super) fn see(counts: &mut Counts, facts: &[Fact], asked: Asked<'_>, before: &Judge, after: &Judge) {
    if after.chosen().len() > before.chosen().len() {
        counts.hit(Reach::Chosen);
    }
    if after.has_changed() && !before.has_changed() {
        counts.hit(Reach::Changed);
    }
    let moved = |judge: &Judge| judge.has_changed() && judge.chosen().contains_key(&asked.from());
    if moved(after) && !moved(before) {
        counts.hit(Reach::Moved);
    }
    for fact in facts {
        match fact {
            Fact::Noted(Event::ConfigurationRetired { .. }) => counts.hit(Reach::Retired),
            Fact::Handed(..) => counts.hit(Reach::Applied),
            Fact::Noted(Event::SteppedDown { .. }) => counts.hit(Reach::GaveWay),
            Fact::Noted(Event::Overtaken { .. }) => counts.hit(Reach::Overtaken),
            Fact::Crashed(lost) => {
                if *lost > 0 {
                    counts.hit(Reach::LostWrites);
                }
                if !before.chosen().is_empty() {
                    counts.hit(Reach::CrashedAfter);
                }
            }
            Fact::Durable(paxos::Record::Learned { .. }) => counts.hit(Reach::Learned),
            _ => {}
        }
    }
    let new = after
        .proposed()
        .iter()
        .filter(|(at, _)| !before.proposed().contains_key(at));
    for ((slot, ballot), value) in new {
        let others = after
            .proposed()
            .range((*slot, Ballot::ZERO)..(Slot(slot.0 + 1), Ballot::ZERO));
        for ((_, other), proposed) in others.filter(|((_, other), _)| other != ballot) {
            counts.hit(Reach::Duelled);
            if proposed != value {
                counts.hit(Reach::Differed);
            } else if other < ballot {
                counts.hit(Reach::Adopted);
            }
        }
    }
}
