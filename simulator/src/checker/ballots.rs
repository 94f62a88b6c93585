//! L1, ballots: a ballot is the candidate's own, its promise of it is durable before any `Prepare` leaves, and no later
//! process resumes it. And ballots do not run away: a storm of candidacies is a fault of the election (E2).

use paxos::{Ballot, Message, Release};

use crate::checker::{Verdict, ensure};
use crate::ledger::Ledger;
use crate::seat::Seat;
use crate::swarm::Plan;

/// A message leaves `seat`, whose process is `boot` and whose highest durable promise is `durable`.
pub(crate) fn check(ledger: &mut Ledger, seat: Seat, boot: u64, durable: Ballot, message: &Message) -> Verdict {
    let (Message::Prepare { ballot, .. }
    | Message::HandOver {
        release: Release { ballot, .. },
        ..
    }
    | Message::Accept { ballot, .. }
    | Message::Heartbeat { ballot, .. }
    | Message::Commit { ballot, .. }) = message
    else {
        return Ok(());
    };
    ensure!(
        ballot.leader == seat.node(),
        Ballots,
        "{seat} uses ballot {ballot}, which is not its own"
    );
    ensure!(
        ballot.round < Plan::HIGHEST_ROUND,
        Ballots,
        "{seat} has reached ballot {ballot}: ballots run away"
    );
    let facts = ledger.ballot(*ballot);
    let by = *facts.used_by.get_or_insert(boot);
    ensure!(
        by == boot,
        Ballots,
        "process {boot} of {seat} uses ballot {ballot}, which process {by} began"
    );
    ensure!(
        durable >= *ballot,
        Ballots,
        "{seat} uses ballot {ballot}, but durably promised only {durable}"
    );
    // The candidate's own promise counts from here on: it is durable, and its votes are its own to read.
    facts.promised.insert(seat.0);
    Ok(())
}
