//! The one place where a node reads the time that it gives to its core.

use std::time::{Duration, Instant};

use paxos::Time;
use rustix::time::{ClockId, clock_gettime};

/// The node's monotonic clock. All copies have the same origin: the node's start.
///
/// It counts the time that the machine is suspended, as leases need (D5). The clock behind [`Instant`] does not, so moments of
/// the one are never moments of the other; [`Clock::instant`] is for sleeping only.
#[derive(Copy, Clone, Debug)]
pub struct Clock {
    origin: Duration,
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Clock {
        Clock { origin: since_boot() }
    }

    /// The present moment.
    #[must_use]
    pub fn now(self) -> Time {
        Time::ZERO + since_boot().saturating_sub(self.origin)
    }

    /// When to wake so that [`Clock::now`] is at least `time`, unless the machine is suspended meanwhile; `None` for a time too
    /// far to represent.
    #[must_use]
    pub fn instant(self, time: Time) -> Option<Instant> {
        Instant::now().checked_add(time.since(self.now()))
    }
}

/// Time since the machine started, suspensions included.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).expect("the clock begins at 0 when the machine starts");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("less than a second"))
}
