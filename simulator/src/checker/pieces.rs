//! I21, same pieces: whoever reads a snapshot of a slot reads the same bytes (C3). Judged piece by piece, as they are read.

use std::collections::BTreeMap;

use paxos::Slot;

use crate::checker::{Verdict, ensure};
use crate::seat::Seat;
use crate::trace::digest;

/// The pieces that were read so far, by slot and number, and who read each first.
#[derive(Default)]
pub(crate) struct Pieces {
    known: BTreeMap<(Slot, u64), (u64, Seat)>,
}

impl Pieces {
    /// A node has read a piece for a peer.
    pub(crate) fn on_piece(&mut self, seat: Seat, slot: Slot, number: u64, payload: &[u8]) -> Verdict {
        let found = digest(payload);
        let (known, first) = *self.known.entry((slot, number)).or_insert((found, seat));
        ensure!(
            known == found,
            SameBits,
            "piece {number} of the snapshot of slot {slot} is {known:016x} at {first} and {found:016x} at {seat}"
        );
        Ok(())
    }
}
