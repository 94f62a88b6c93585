//! I7, evidence: every `Promise` and `Accepted` that leaves a node is implied by what is durable there at that moment, and
//! a promise leaves out no vote (A1, A2, A3, L9). `PromiseImpliesDurable`, `AcceptedImpliesDurable` in the model.

use paxos::{Ballot, Logged, Message, Slot, Vote};

use crate::checker::{Verdict, ensure};
use crate::disk::Store;
use crate::ledger::{Ledger, same};
use crate::seat::Seat;

/// A message leaves `seat`, whose disk holds `store`, whose highest durable promise is `durable` and whose highest asked
/// for is `asked`.
pub(crate) fn check(
    ledger: &mut Ledger,
    seat: Seat,
    message: &Message,
    store: &Store,
    durable: Ballot,
    asked: Ballot,
) -> Verdict {
    match message {
        Message::Promise {
            ballot,
            from,
            to,
            votes,
            chosen,
            ..
        } => {
            let facts = ledger.ballot(*ballot);
            match to {
                None => {
                    facts.promised.insert(seat.0);
                }
                Some(to) => {
                    let reach = facts.pages.entry(seat.0).or_insert(*to);
                    *reach = (*reach).max(*to);
                }
            }
            ensure!(
                durable >= *ballot,
                Evidence,
                "{seat} promises {ballot}, but durable is only {durable}"
            );
            for vote in votes {
                reported(ledger, seat, *ballot, vote)?;
            }
            complete(
                seat,
                *ballot,
                (*from).max(chosen.next()),
                to.unwrap_or(store.log.last()),
                votes,
                store,
            )?;
        }
        Message::Accepted { ballot, slot } => {
            let learned = || matches!(store.log.at(*slot), Some(Logged::Learned(_)));
            ensure!(
                ledger.has_voted_in(seat, *slot, *ballot) || learned(),
                Evidence,
                "{seat} says that it accepted in {ballot}, slot {slot}, but no such vote is durable there"
            );
        }
        Message::Reject { ballot, promised } => {
            ensure!(
                durable >= *promised && promised > ballot,
                Evidence,
                "{seat} refuses {ballot} for a promise of {promised}, but durable is {durable}"
            );
        }
        Message::HeartbeatAck { ballot, .. } => {
            ensure!(
                asked <= *ballot,
                Evidence,
                "{seat} confirms that it promised nothing above {ballot}, but it promised {asked} (D1)"
            );
        }
        _ => {}
    }
    Ok(())
}

/// A vote in a promise was cast durably; or its slot is chosen, which its reporter may say with the promised ballot.
fn reported(ledger: &Ledger, seat: Seat, ballot: Ballot, vote: &Vote) -> Verdict {
    let learned = || vote.ballot == ballot && ledger.chosen(vote.slot).is_some_and(|value| same(value, &vote.value));
    ensure!(
        ledger.has_voted(seat, vote.slot, vote.ballot, &vote.value) || learned(),
        Evidence,
        "{seat} reports in its promise of {ballot} a vote that is not durable there: {vote:?}"
    );
    Ok(())
}

/// Every durable vote below the promised ballot in the page's range is in the page.
fn complete(seat: Seat, ballot: Ballot, from: Slot, to: Slot, votes: &[Vote], store: &Store) -> Verdict {
    let mut rest = votes.iter().peekable();
    for (slot, logged) in store.log.range(from, to) {
        let Logged::Voted(voted, value) = logged else { continue };
        if *voted >= ballot {
            continue;
        }
        while rest.next_if(|vote| vote.slot < slot).is_some() {}
        let there = rest
            .peek()
            .is_some_and(|vote| vote.slot == slot && vote.ballot == *voted && same(&vote.value, value));
        ensure!(
            there,
            Evidence,
            "{seat} promises {ballot} for slots {from} to {to} without its durable vote in slot {slot} for {value:?} in {voted}"
        );
    }
    Ok(())
}
