//! The one place where a node reads the time that it gives to its core.

use std::time::Instant;

use paxos::Time;

/// The node's monotonic clock. All copies have the same origin: the node's start.
#[derive(Copy, Clone, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// The present moment.
    #[must_use]
    pub fn now(self) -> Time {
        self.at(Instant::now())
    }

    /// A moment in the core's terms; moments before the origin are the origin.
    #[must_use]
    pub fn at(self, instant: Instant) -> Time {
        Time::ZERO + instant.saturating_duration_since(self.origin)
    }

    /// The moment when the system's clock reaches `time`, for sleeping; `None` for a time too far to represent.
    #[must_use]
    pub fn instant(self, time: Time) -> Option<Instant> {
        self.origin.checked_add(time.since(Time::ZERO))
    }
}
