//! The janitor: flushes the state now and then, so that the journal can be trimmed and a restart replays little.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use paxos::Input;
use quorum::NodeId;
use storage::machine::{Flusher, Reader};
use storage::tables::RocksTables;
use tokio::sync::mpsc;

use super::{Failure, during};
use crate::driver::Happening;
use crate::guard::StateGuard;
use crate::worker::Worker;

/// How often the janitor looks.
const ROUND: Duration = Duration::from_millis(100);

/// Applied bytes that are not flushed beyond which it flushes: early enough that the journal is trimmed while its entries
/// are in memory still, so that most of them never reach a file besides the write-ahead log.
const MUCH: u64 = 20 << 20;

/// Nodes apply the same bytes. They flush after different amounts, so that they do not flush at the same time and a
/// phase-2 quorum seldom waits for a disk that is busy with it.
const STAGGER: u64 = 6 << 20;
const STEPS: u64 = 4;

/// Applied slots that are not flushed beyond which it flushes.
const MANY: u64 = 20_000;

/// A state that changed is flushed after this time at the latest.
const LONG: Duration = Duration::from_secs(30);

/// The janitor's thread. Dropping it lets it finish its round.
pub(super) struct Janitor {
    _worker: Worker,
}

pub(super) fn start(
    node: NodeId,
    reader: Reader<RocksTables>,
    flusher: Flusher<RocksTables>,
    driver: mpsc::Sender<Happening>,
    guard: StateGuard,
) -> Result<Janitor, Failure> {
    let work = move |stopped: &Receiver<()>| {
        let much = MUCH + STAGGER * (node.0 % STEPS);
        let mut last = Instant::now();
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(ROUND) {
            let behind = reader.applied().0 - flusher.flushed().0;
            let due = flusher.unflushed_bytes() >= much || behind >= MANY || last.elapsed() >= LONG;
            if behind == 0 || !due {
                continue;
            }
            last = Instant::now();
            match flusher.flush() {
                Ok(slot) => {
                    if driver.blocking_send(Happening::Input(Input::Flushed(slot))).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    guard.met("the state cannot be flushed", &error);
                    return;
                }
            }
        }
    };
    let worker = Worker::start("janitor", work).map_err(during("cannot start the janitor"))?;
    Ok(Janitor { _worker: worker })
}
