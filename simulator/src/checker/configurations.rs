//! I13, configurations: what a node knows of them follows from the chosen values alone, the same everywhere, and at most one is
//! pending (R1, R2). And R6: an old configuration is retired only when a phase-2 quorum of the new one has its slots on disk as
//! chosen. What a state keeps is the same as of its slot (C3).

use paxos::{Configurations, Slot};
use quorum::{Epoch, NodeSet};

use crate::checker::{Verdict, ensure};
use crate::ledger::Ledger;
use crate::seat::Seat;

/// A node records these, or says that it knows them.
pub(crate) fn check(ledger: &Ledger, seat: Seat, known: &Configurations) -> Verdict {
    for (from, configuration) in known.entries() {
        ensure!(
            ledger.governs(*from, configuration),
            Configurations,
            "{seat} has epoch {} in force from slot {from}, which does not follow from the log",
            configuration.epoch()
        );
    }
    Ok(())
}

/// A node starts with a state at `applied` that keeps these; nothing if there was no change by then (C3).
pub(crate) fn on_state(ledger: &Ledger, seat: Seat, applied: Slot, kept: Option<Configurations>) -> Verdict {
    let all = ledger.as_of(applied);
    let first_only = all.entries().len() == 1 && all.newest_from() == Slot(1);
    let right = kept.as_ref().map_or(first_only, |kept| *kept == all);
    ensure!(
        right,
        Configurations,
        "{seat} has a state of slot {applied} that keeps {kept:?}, where the log says {all:?}"
    );
    Ok(())
}

/// A leader finds all before `epoch` retired, while the disks of `keepers` have held every slot before the one given as chosen.
pub(crate) fn on_retired(ledger: &Ledger, seat: Seat, epoch: Epoch, keepers: impl Fn(Slot) -> NodeSet) -> Verdict {
    let keepers = ledger.could_retire(epoch, keepers);
    ensure!(
        keepers == Some(true),
        Configurations,
        "{seat} finds all before epoch {epoch} retired, but no phase-2 quorum of it ever had the old slots on disk as chosen"
    );
    Ok(())
}
