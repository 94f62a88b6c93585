//! I11, acknowledged is durable: a write that a client was told is done is chosen, and a phase-2 quorum holds it on its
//! disks, in the log or in the state, or held it on disks that are spoilt since, which is within what the cluster is built
//! to survive (A3, L5, C4). Checked at the acknowledgement, after each strike that spoils a disk, and at the end of the run.

use std::fmt::Display;

use paxos::Slot;
use quorum::NodeSet;

use crate::checker::{Verdict, ensure};
use crate::ledger::Ledger;

#[derive(Default)]
pub(crate) struct Acknowledged {
    /// Slots with acknowledged writes, in the order of acknowledgement, neighbours told apart.
    slots: Vec<Slot>,
}

impl Acknowledged {
    /// A client is told that its write is done; `slot` is where the ledger has it, `holders` whose disks hold that slot.
    pub(crate) fn on_done(
        &mut self,
        ledger: &Ledger,
        slot: Option<Slot>,
        holders: NodeSet,
        what: &dyn Display,
    ) -> Verdict {
        let Some(slot) = slot else {
            ensure!(false, Acknowledged, "{what} is acknowledged but chosen nowhere");
            return Ok(());
        };
        if self.slots.last() != Some(&slot) {
            self.slots.push(slot);
        }
        holds(ledger, slot, holders, what)
    }

    /// At the end: every acknowledged write is still held by a quorum.
    pub(crate) fn audit(&self, ledger: &Ledger, holders: impl Fn(Slot) -> NodeSet) -> Verdict {
        self.slots
            .iter()
            .try_for_each(|slot| holds(ledger, *slot, holders(*slot), &"a write acknowledged earlier"))
    }
}

fn holds(ledger: &Ledger, slot: Slot, holders: NodeSet, what: &dyn Display) -> Verdict {
    ensure!(
        ledger.quorums(slot).is_phase2(holders),
        Acknowledged,
        "{what} lies in slot {slot}, which only the disks of {holders:?} hold: no phase-2 quorum"
    );
    Ok(())
}
