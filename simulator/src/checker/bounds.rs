//! I19, bounds: no queue grows without limit, no memory, and a process does not spin.

use paxos::{Status, Write};

use crate::checker::{Verdict, ensure};
use crate::seat::Seat;
use crate::swarm::Plan;

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

/// Slots that a node may hold beyond its window: what it had when it last recorded how far all is chosen.
const SLACK: u64 = 4096;

/// What a replica says it holds, with `writes` of it not on the disk yet.
pub(crate) fn on_status(seat: Seat, status: &Status, plan: &Plan, writes: usize) -> Verdict {
    let (alpha, options) = (plan.configuration.alpha(), &plan.tuning);
    ensure!(
        status.last.0 <= status.known.0 + 2 * alpha + SLACK,
        Bounds,
        "{seat} holds slot {}, but knows of {} as chosen and has a window of {alpha}",
        status.last,
        status.known
    );
    // What is not applied, and what is applied but not on the disk, each slot with a full batch; then the cache.
    let slots = status.last.0 - status.applied.0 + writes as u64 + 1;
    let most = options.cache_bytes as u64 + slots * (options.max_batch_bytes as u64 + 64);
    ensure!(
        status.log_bytes as u64 <= most,
        Bounds,
        "{seat} holds {} bytes of log in {slots} slots, more than {most}",
        status.log_bytes
    );
    // A leader may take one batch of a peer when its queue is all but full.
    let most = options.max_queued + options.max_batch_bytes / 16 + 1;
    ensure!(
        status.queued <= most,
        Bounds,
        "{} commands wait at {seat}, more than {most}",
        status.queued
    );
    Ok(())
}

/// A process asks for a write; `room` says whether it was told that its disk has room for records (E5).
pub(crate) fn on_write(seat: Seat, write: &Write, room: bool) -> Verdict {
    ensure!(
        room || write.records.is_empty(),
        Bounds,
        "{seat} writes {:?}, though it knows that its disk has no room",
        write.records
    );
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
