//! Watches the disk of the data folder: the room on it, and whether the state gets there.
//!
//! A disk that is full breaks the first write that does not fit, and the first failure of the journal ends the node (A5).
//! So the node stops taking on more *before*: below a reserve the core is told, and takes nothing more that must be
//! written, while what it has begun still fits. When room comes back the core is told again, and goes on by itself. Before
//! it comes to that the core is told that room is scarce, and gives up what it keeps for others only.
//!
//! A file of the state that could not be written in the background ends the node like a failed write, also when nothing is
//! written meanwhile, or when a write is held up by it. The journal watches itself.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use paxos::Room;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::{Failure, during};
use crate::status::Space;
use crate::worker::Worker;

/// How often the disk is asked while there is ample room …
const CALM: Duration = Duration::from_secs(1);
/// … and while there is not: a busy node writes some hundred megabytes a second.
const TENSE: Duration = Duration::from_millis(50);
/// So much room that the disk is asked seldom, in reserves.
const CALM_RESERVES: u64 = 4;
/// So much room that something may be kept for others, in reserves.
const AMPLE_RESERVES: u64 = 2;

/// The thread that asks. Dropping it ends it.
pub(super) struct Watchman {
    _worker: Worker,
}

/// Asks once, then starts the thread. There it tells when room is not ample, and whenever that changes; `told` says whether
/// anybody listens still, and `sound` whether the state is well.
pub(super) fn start(
    dir: &Path,
    reserve: u64,
    space: watch::Sender<Space>,
    told: impl Fn(Room) -> bool + Send + 'static,
    sound: impl Fn() -> bool + Send + 'static,
) -> Result<Watchman, Failure> {
    let mut watch = Watch {
        dir: dir.to_owned(),
        reserve,
        space,
        unreadable: false,
    };
    let mut room = watch.look(Room::Ample);
    let work = move |stopped: &Receiver<()>| {
        if room != Room::Ample && !told(room) {
            return;
        }
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(watch.pause()) {
            let now = watch.look(room);
            if (now != room && !told(now)) || !sound() {
                return;
            }
            room = now;
        }
    };
    let worker =
        Worker::start("space", work).map_err(during("cannot start the thread that watches the disk's room"))?;
    Ok(Watchman { _worker: worker })
}

struct Watch {
    dir: PathBuf,
    reserve: u64,
    space: watch::Sender<Space>,
    unreadable: bool,
}

impl Watch {
    fn pause(&self) -> Duration {
        if self.space.borrow().free_bytes > self.reserve.saturating_mul(CALM_RESERVES) {
            CALM
        } else {
            TENSE
        }
    }

    /// Asks the disk, publishes the answer; how much room there is, if there was so much `before`.
    fn look(&mut self, before: Room) -> Room {
        let (free, total) = match free_and_total(&self.dir) {
            Ok(room) => room,
            Err(reason) => {
                // A disk that does not say how much room it has is not full for that; what cannot be written fails.
                if !std::mem::replace(&mut self.unreadable, true) {
                    warn!(dir = %self.dir.display(), %reason, "cannot ask how much room the disk has");
                }
                return before;
            }
        };
        self.unreadable = false;
        let now = judge(free, self.reserve, before);
        let (enough, enough_before) = (now != Room::Exhausted, before != Room::Exhausted);
        self.space.send_replace(Space {
            free_bytes: free,
            total_bytes: total,
            reserve_bytes: self.reserve,
            enough,
        });
        let (dir, reserve) = (self.dir.display(), self.reserve);
        match (enough_before, enough) {
            (true, false) => error!(
                %dir, free, reserve,
                "less room on the disk than storage.reserve_bytes: this node takes no more writes until there is more"
            ),
            (false, true) => info!(%dir, free, reserve, "there is room on the disk again: this node takes writes"),
            _ => {}
        }
        now
    }
}

/// Below the reserve there is not enough, below some reserves it is scarce.
fn judge(free: u64, reserve: u64, before: Room) -> Room {
    if !suffices(free, reserve, before != Room::Exhausted) {
        Room::Exhausted
    } else if !suffices(free, reserve.saturating_mul(AMPLE_RESERVES), before == Room::Ample) {
        Room::Scarce
    } else {
        Room::Ample
    }
}

/// Whether so much is free; if it was not `before`, an eighth more is needed, so that the answer does not flutter.
fn suffices(free: u64, least: u64, before: bool) -> bool {
    free >= if before { least } else { least.saturating_add(least / 8) }
}

/// Bytes that this process may still write on the disk of this folder, and bytes that it has in all.
fn free_and_total(dir: &Path) -> std::io::Result<(u64, u64)> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok((
        disk.f_bavail.saturating_mul(disk.f_frsize),
        disk.f_blocks.saturating_mul(disk.f_frsize),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_there_is_does_not_flutter() {
        use Room::{Ample, Exhausted, Scarce};
        let free = [2000, 1600, 1599, 1799, 1800, 800, 799, 800, 899, 900, 799, 1800];
        let mut room = Ample;
        let seen = free.map(|free| {
            room = judge(free, 800, room);
            room
        });
        assert_eq!(
            seen,
            [
                Ample, Ample, Scarce, Scarce, Ample, Scarce, Exhausted, Exhausted, Exhausted, Scarce, Exhausted, Ample
            ]
        );
    }

    #[test]
    fn a_real_disk_is_asked_at_once() {
        let dir = tempfile::tempdir().expect("a folder");
        for (reserve, enough) in [(1, true), (1 << 60, false)] {
            let (sender, space) = watch::channel(Space::default());
            let said = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&said);
            let told = move |room: Room| {
                assert_eq!(room, Room::Exhausted);
                count.fetch_add(1, Ordering::Relaxed);
                true
            };
            drop(start(dir.path(), reserve, sender, told, || true).expect("a thread"));
            let seen = *space.borrow();
            assert_eq!(seen.enough, enough, "{seen:?}");
            assert!(seen.free_bytes > 1 && seen.total_bytes >= seen.free_bytes, "{seen:?}");
            assert_eq!(said.load(Ordering::Relaxed), u64::from(!enough));
        }
    }
}
