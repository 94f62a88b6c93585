//! I21, same bits: state machines that have applied the same slots hold the same tables, to the byte (C2, C3). Judged at
//! the end of a run, against tables of the checker's own.

use paxos::Slot;

use crate::checker::{Verdict, ensure};
use crate::seat::Seat;

/// What a node's tables hold after `slot`, beside what the chosen prefix gives.
pub(crate) fn check(seat: Seat, slot: Slot, tables: u64, expected: (Slot, u64)) -> Verdict {
    ensure!(
        slot != expected.0 || tables == expected.1,
        SameBits,
        "the tables of {seat} after slot {slot} are {tables:016x}, but the chosen prefix gives {:016x}",
        expected.1
    );
    Ok(())
}
