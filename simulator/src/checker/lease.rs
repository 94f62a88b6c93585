//! I15, leases: while a node would serve a read under its lease, nobody leads under a higher ballot (D3, E4). Judged at the
//! true moment at which another begins to lead, by what each clock shows then. And D6: a state has everything that had been
//! seen when it was last as new as its node says.

use std::time::Duration;

use paxos::{Ballot, Slot};

use crate::checker::{Verdict, ensure};
use crate::seat::Seat;

/// `seat` begins to lead under `ballot`; `holders` would serve reads under leases of theirs now.
pub(crate) fn on_leading(seat: Seat, ballot: Ballot, holders: &[(Seat, Ballot)]) -> Verdict {
    let beside = holders.iter().find(|(other, held)| *other != seat && *held < ballot);
    ensure!(
        beside.is_none(),
        Lease,
        "{seat} leads under {ballot} while {beside:?} still holds a lease"
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
