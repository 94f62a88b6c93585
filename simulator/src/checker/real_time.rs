//! I16, real time: an operation that begins after another has ended comes after it in the log's order (D1, D2, D6).
//!
//! The witness is the slot: a write takes effect at its own, a read after the last slot of the state that it saw. One
//! comparison per operation proves the whole history linearizable, all keys together. The value that a read returns is
//! compared with the checker's own history of the key.

use paxos::Slot;

use crate::checker::{Verdict, ensure};
use crate::machine::{KEYS, OpId};

pub(crate) struct RealTime {
    /// The highest slot whose effect some ended operation has shown.
    shown: Slot,
    /// Each key's writes in slot order.
    history: Vec<Vec<(Slot, OpId)>>,
}

impl RealTime {
    pub(crate) fn new() -> RealTime {
        RealTime {
            shown: Slot::ZERO,
            history: vec![Vec::new(); KEYS],
        }
    }

    /// An operation begins: it must come after this slot.
    pub(crate) fn begin(&self) -> Slot {
        self.shown
    }

    /// The next slot of the chosen prefix writes `op` to `key`.
    pub(crate) fn on_write(&mut self, slot: Slot, key: u8, op: OpId) {
        self.history[usize::from(key)].push((slot, op));
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

    /// A read of `key` that had to see `begun` has ended with `found`, in the state after `slot`.
    pub(crate) fn on_read(&mut self, op: OpId, key: u8, found: OpId, slot: Slot, begun: Slot) -> Verdict {
        self.shown = self.shown.max(slot);
        ensure!(
            slot >= begun,
            RealTime,
            "read {} began after slot {begun} was seen, but was served from the state after slot {slot}",
            op.0
        );
        let history = &self.history[usize::from(key)];
        let at = history.partition_point(|(written, _)| *written <= slot);
        let expected = at.checked_sub(1).map(|last| history[last].1).unwrap_or_default();
        ensure!(
            found == expected,
            RealTime,
            "read {} of key {key} after slot {slot} found write {}, but {} was there",
            op.0,
            found.0,
            expected.0
        );
        Ok(())
    }
}
