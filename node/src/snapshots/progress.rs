//! How far the copy is that this node is fetching.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use paxos::Slot;
use quorum::NodeId;
use serde::{Deserialize, Serialize};

/// What a node says of the copy of a peer's state that it is fetching.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CatchingUp {
    /// Who sends it.
    pub from: u64,
    /// The applied slot of the state that is being fetched.
    pub slot: u64,
    /// Bytes of rows that are here and verified.
    pub bytes: u64,
    /// How many there will be, about.
    pub estimated_bytes: u64,
    /// How far that is: 0 to 99, and 100 when all of it is verified and durable.
    pub percent: u8,
    /// Bytes a second, from the beginning on.
    pub bytes_per_second: u64,
}

/// Written by the thread that takes the pieces, read by everybody.
#[derive(Default)]
pub struct Progress {
    /// Who sent the first piece last.
    from: AtomicU64,
    fetching: Mutex<Option<Fetching>>,
}

#[derive(Copy, Clone)]
struct Fetching {
    from: u64,
    slot: Slot,
    begun: Instant,
    rows: u64,
    estimated_rows: u64,
    bytes: u64,
    complete: bool,
}

impl Progress {
    /// Nothing is being fetched.
    pub fn clear(&self) {
        *self.lock() = None;
    }

    /// The next snapshot that begins is this node's.
    pub fn comes_from(&self, node: NodeId) {
        self.from.store(node.0, Ordering::Relaxed);
    }

    /// A snapshot of this slot begins.
    pub(super) fn begin(&self, slot: Slot) {
        *self.lock() = Some(Fetching {
            from: self.from.load(Ordering::Relaxed),
            slot,
            begun: Instant::now(),
            rows: 0,
            estimated_rows: 0,
            bytes: 0,
            complete: false,
        });
    }

    /// So much is here.
    pub(super) fn take(&self, (rows, bytes): (u64, u64), estimated_rows: u64) {
        if let Some(fetching) = &mut *self.lock() {
            (fetching.rows, fetching.bytes, fetching.estimated_rows) = (rows, bytes, estimated_rows);
        }
    }

    /// All of it is verified and durable.
    pub(super) fn complete(&self) {
        if let Some(fetching) = &mut *self.lock() {
            fetching.complete = true;
        }
    }

    /// How far it is; nothing if nothing is being fetched.
    #[must_use]
    pub fn now(&self) -> Option<CatchingUp> {
        let fetching = (*self.lock())?;
        Some(fetching.say(fetching.begun.elapsed()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Fetching>> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fetching {
    fn say(&self, after: Duration) -> CatchingUp {
        // The guess may be too low.
        let part = (self.rows as f64 / self.estimated_rows.max(1) as f64).min(0.99);
        let estimated = if part > 0.0 { self.bytes as f64 / part } else { 0.0 };
        CatchingUp {
            from: self.from,
            slot: self.slot.0,
            bytes: self.bytes,
            estimated_bytes: if self.complete { self.bytes } else { estimated as u64 },
            percent: if self.complete { 100 } else { (part * 100.0) as u8 },
            bytes_per_second: (self.bytes as f64 / after.as_secs_f64().max(0.001)) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_guess_until_it_is_complete() {
        let progress = Progress::default();
        assert_eq!(progress.now(), None);
        progress.comes_from(NodeId(3));
        progress.begin(Slot(9));
        assert_eq!(
            progress.now().map(|now| (now.from, now.slot, now.percent)),
            Some((3, 9, 0))
        );
        progress.take((50, 1000), 200);
        let now = progress.now().expect("it has begun");
        assert_eq!((now.bytes, now.estimated_bytes, now.percent), (1000, 4000, 25));
        progress.take((300, 6000), 200);
        assert_eq!(progress.now().map(|now| now.percent), Some(99));
        progress.complete();
        let now = progress.now().expect("it has begun");
        assert_eq!((now.estimated_bytes, now.percent), (6000, 100));
        progress.clear();
        assert_eq!(progress.now(), None);
    }
}
