//! I16, real time: an operation that begins after another has ended comes after it in the log's order (D1, D2, D6).
//!
//! The witness is the slot: a write takes effect at its own, a read after the last slot of the state that it saw. One
//! comparison per operation, with [`witness`](super::witness) for what was answered, proves the whole history linearizable,
//! all keys and transactions together.

use paxos::Slot;

use crate::checker::{Verdict, ensure};
use crate::workload::OpId;

#[derive(Default)]
pub(crate) struct RealTime {
    /// The highest slot whose effect some ended operation has shown.
    shown: Slot,
}

impl RealTime {
    /// An operation begins: it must come after this slot.
    pub(crate) fn begin(&self) -> Slot {
        self.shown
    }

    /// A write that had to come after `begun` has ended.
    pub(crate) fn on_done(&mut self, op: OpId, slot: Slot, begun: Slot) -> Verdict {
        self.shown = self.shown.max(slot);
        ensure!(
            slot > begun,
            RealTime,
            "write {} began after slot {begun} was seen, but took effect in slot {slot}",
            op.0
        );
        Ok(())
    }

    /// A read that had to see `begun` has ended, in the state after `slot`.
    pub(crate) fn on_read(&mut self, op: OpId, slot: Slot, begun: Slot) -> Verdict {
        self.shown = self.shown.max(slot);
        ensure!(
            slot >= begun,
            RealTime,
            "read {} began after slot {begun} was seen, but was served from the state after slot {slot}",
            op.0
        );
        Ok(())
    }
}
