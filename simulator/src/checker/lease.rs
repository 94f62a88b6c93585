//! I15, leases: while a node would serve a read under its lease, nobody leads under a higher ballot in slots that it knows
//! nothing of (D3, E4). Judged at the true moment at which another begins to lead, or opens a configuration's slots, by what
//! each clock shows then. And D6: a state has everything that had been seen when it was last as new as its node says.

use std::time::Duration;

use paxos::{Ballot, Slot};
use quorum::Epoch;

use crate::checker::{Verdict, ensure};
use crate::seat::Seat;

/// Who would serve a read under a lease.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) seat: Seat,
    /// It leads under this one.
    pub(crate) ballot: Ballot,
    /// The configuration that governs the first slot of which it does not know what is chosen.
    pub(crate) open: Epoch,
}

/// `seat` leads under `ballot` from now on in the slots of the configuration `opened`, while `holders` hold leases. What is
/// older than the first open slot of a holder has nothing to choose any more: who leads there alone does no harm.
pub(crate) fn on_leading(seat: Seat, ballot: Ballot, opened: Epoch, holders: &[Holder]) -> Verdict {
    let beside = holders
        .iter()
        .find(|holder| holder.seat != seat && holder.ballot < ballot && opened >= holder.open);
    ensure!(
        beside.is_none(),
        Lease,
        "{seat} leads under {ballot} in epoch {opened} while {beside:?} still holds a lease"
    );
    Ok(())
}

/// `seat` has applied `applied` and says that its state is at most `stale` old; so long ago, by the slowest clock, `seen` had
/// been seen by clients.
pub(crate) fn on_stale(seat: Seat, applied: Slot, stale: Duration, seen: Slot) -> Verdict {
    ensure!(
        seen <= applied,
        Stale,
        "{seat} has applied {applied} and says that this is at most {stale:?} old, but slot {seen} had been seen by then"
    );
    Ok(())
}
