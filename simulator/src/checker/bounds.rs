//! I19, bounds: no queue grows without limit, and a process does not spin.

use crate::checker::{Verdict, ensure};
use crate::seat::Seat;

/// Most outputs of one batch of steps.
const OUTPUTS: usize = 50_000;
/// Most writes that wait for a disk.
const WRITES: usize = 50_000;
/// Most wake-ups of one process in a row that let no time pass.
const WAKES: u32 = 1000;

/// How much a process has made of one batch of steps.
pub(crate) fn on_outputs(seat: Seat, outputs: usize) -> Verdict {
    ensure!(
        outputs <= OUTPUTS,
        Bounds,
        "{seat} has made {outputs} outputs of one batch of inputs"
    );
    Ok(())
}

/// How much waits for a disk.
pub(crate) fn on_backlog(seat: Seat, writes: usize) -> Verdict {
    ensure!(writes <= WRITES, Bounds, "{writes} writes wait for the disk of {seat}");
    Ok(())
}

/// How often a process was woken without time passing.
pub(crate) fn on_wakes(seat: Seat, wakes: u32, why: &dyn std::fmt::Debug) -> Verdict {
    ensure!(
        wakes <= WAKES,
        Bounds,
        "{seat} asked {wakes} times to be woken at once, the last time for {why:?}"
    );
    Ok(())
}
