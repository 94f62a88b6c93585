//! How fast copies of the state leave a node, all together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A sleeping thread looks so often whether it is to end.
const NAP: Duration = Duration::from_millis(50);

/// Shared by all threads that serve; clones are the same pace.
#[derive(Clone)]
pub struct Pace {
    bytes_per_second: u64,
    /// When the next byte may leave.
    free_at: Arc<Mutex<Instant>>,
}

impl Pace {
    /// So many bytes a second, at least 1.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Pace {
        Pace {
            bytes_per_second: bytes_per_second.max(1),
            free_at: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Waits until `bytes` more may leave; false if `stop` turned true meanwhile.
    pub(super) fn wait(&self, bytes: usize, stop: &AtomicBool) -> bool {
        let turn = self.reserve(bytes as u64, Instant::now());
        loop {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            let left = turn.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    /// Takes the next stretch of time for so many bytes; returns when it begins. Time in which nothing left is lost.
    fn reserve(&self, bytes: u64, now: Instant) -> Instant {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = now.max(*free_at);
        *free_at = turn + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_at_the_pace_and_pauses_are_not_made_up_for() {
        let pace = Pace::new(1000);
        let start = Instant::now() + Duration::from_secs(1);
        let second = |n: u64| start + Duration::from_secs(n);
        assert_eq!(pace.reserve(1000, start), start);
        assert_eq!(pace.reserve(3000, start), second(1));
        assert_eq!(pace.reserve(1000, second(2)), second(4));
        assert_eq!(pace.reserve(1000, second(100)), second(100));
        assert_eq!(pace.reserve(1000, second(100)), second(101));
    }

    #[test]
    fn a_node_that_stops_does_not_wait() {
        let pace = Pace::new(1);
        pace.reserve(1 << 30, Instant::now());
        assert!(!pace.wait(1, &AtomicBool::new(true)));
    }
}
