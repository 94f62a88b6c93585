//! The thread that removes what compactions leave over, in small strides between which it rests.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use storage::machine::{Stride, Sweeper};
use storage::tables::{RocksTables, TablesError};
use tokio::sync::watch;
use tracing::{debug, info};

use super::{Failure, during};
use crate::guard::StateGuard;
use crate::metrics::SweepMetrics;
use crate::worker::Worker;

/// How often it looks whether there was a compaction.
const ROUND: Duration = Duration::from_millis(100);

/// It rests so many times as long as its last stride took: applying and reading come first.
const REST: u32 = 2;

/// The sweeping thread. Dropping it lets it finish its stride; the next start goes on where it was.
pub(super) struct Sweeping {
    _worker: Worker,
}

/// What the thread works with.
struct Work {
    sweeper: Sweeper<RocksTables>,
    /// Tells how far it has come.
    swept: watch::Sender<i64>,
    metrics: SweepMetrics,
    /// When the sweep under way began, and what it has removed.
    begun: Option<(Instant, u64)>,
}

pub(super) fn start(
    sweeper: Sweeper<RocksTables>,
    swept: watch::Sender<i64>,
    metrics: SweepMetrics,
    guard: StateGuard,
) -> Result<Sweeping, Failure> {
    let mut work = Work {
        sweeper,
        swept,
        metrics,
        begun: None,
    };
    let run = move |stopped: &Receiver<()>| {
        let mut rest = ROUND;
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(rest) {
            let begin = Instant::now();
            rest = match work.stride() {
                Ok(true) => begin.elapsed() * REST,
                Ok(false) => ROUND,
                Err(error) => {
                    guard.met("what compaction left over cannot be removed", &error);
                    return;
                }
            };
        }
    };
    let worker = Worker::start("sweeper", run).map_err(during("cannot start the sweeper"))?;
    Ok(Sweeping { _worker: worker })
}

impl Work {
    /// One stride; whether there was anything to look at.
    fn stride(&mut self) -> Result<bool, TablesError> {
        let Some(swept) = self.sweeper.step(Stride::default())? else {
            return Ok(false);
        };
        let (begun, removed) = self.begun.get_or_insert_with(|| (Instant::now(), 0));
        *removed += swept.removed;
        self.metrics.removed(swept.removed);
        let Some(revision) = swept.finished else {
            return Ok(true);
        };
        let (took, removed) = (begun.elapsed(), *removed);
        self.begun = None;
        if removed > 0 {
            // Only what is in a file is ever compacted away.
            self.sweeper.flush()?;
            info!(revision, removed, ?took, "what compaction left over is removed");
        } else {
            debug!(revision, "compaction left nothing over");
        }
        self.metrics.finished(took);
        self.swept.send_replace(revision);
        Ok(true)
    }
}
