//! What happens to datagrams that travel from one node to another.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// What has become of a direction's datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Passed on.
    pub forwarded: u64,
    /// Lost with the probability asked for.
    pub lost: u64,
    /// Dropped because the direction is cut.
    pub cut: u64,
    /// Dropped because too much is under way, or the socket would not take it.
    pub overflowed: u64,
}

/// The way from one node to another, shared by the sockets whose datagrams travel it.
#[derive(Debug)]
pub(super) struct Direction {
    delay_nanos: AtomicU64,
    cut: AtomicBool,
    /// The probability of loss in units of 2^-32.
    loss: AtomicU64,
    queued: AtomicUsize,
    queue_limit: usize,
    /// When the latest datagram is due: none overtakes it, even if the delay shrinks.
    latest: Mutex<Option<Instant>>,
    random: AtomicU64,
    forwarded: AtomicU64,
    lost: AtomicU64,
    dropped_cut: AtomicU64,
    overflowed: AtomicU64,
}

impl Direction {
    pub(super) fn new(queue_limit: usize) -> Self {
        Self {
            delay_nanos: AtomicU64::new(0),
            cut: AtomicBool::new(false),
            loss: AtomicU64::new(0),
            queued: AtomicUsize::new(0),
            queue_limit,
            latest: Mutex::new(None),
            random: AtomicU64::new(RandomState::new().hash_one(0)),
            forwarded: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            dropped_cut: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
        }
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        self.delay_nanos
            .store(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }

    pub(super) fn set_loss(&self, probability: f64) {
        let units = probability.clamp(0.0, 1.0) * 2f64.powi(32);
        self.loss.store(units as u64, Ordering::Relaxed);
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            forwarded: self.forwarded.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            cut: self.dropped_cut.load(Ordering::Relaxed),
            overflowed: self.overflowed.load(Ordering::Relaxed),
        }
    }

    /// Decides about a datagram that came at `now`: when it is due at the other end, or `None` if it never gets there.
    pub(super) fn admit(&self, now: Instant, length: usize) -> Option<Instant> {
        if self.cut.load(Ordering::Relaxed) {
            self.dropped_cut.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let loss = self.loss.load(Ordering::Relaxed);
        if loss > 0 && self.draw() < loss {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if self.queued.fetch_add(length, Ordering::Relaxed) + length > self.queue_limit {
            self.queued.fetch_sub(length, Ordering::Relaxed);
            self.overflowed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let due = now + Duration::from_nanos(self.delay_nanos.load(Ordering::Relaxed));
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let due = latest.map_or(due, |latest| latest.max(due));
        *latest = Some(due);
        Some(due)
    }

    /// Notes that a datagram has left.
    pub(super) fn released(&self, length: usize, sent: bool) {
        self.queued.fetch_sub(length, Ordering::Relaxed);
        let counter = if sent { &self.forwarded } else { &self.overflowed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// 32 random bits (splitmix64).
    fn draw(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_delay_overtakes_nothing() {
        let (direction, now) = (Direction::new(100), Instant::now());
        direction.set_delay(Duration::from_millis(50));
        let first = direction.admit(now, 10).expect("admitted");
        assert_eq!(first, now + Duration::from_millis(50));
        direction.set_delay(Duration::from_millis(10));
        assert_eq!(direction.admit(now, 10), Some(first));
        let later = now + Duration::from_millis(60);
        assert_eq!(direction.admit(later, 10), Some(later + Duration::from_millis(10)));
    }

    #[test]
    fn the_queue_is_bounded_in_bytes() {
        let (direction, now) = (Direction::new(100), Instant::now());
        assert!(direction.admit(now, 60).is_some());
        assert!(direction.admit(now, 60).is_none());
        direction.released(60, true);
        assert!(direction.admit(now, 60).is_some());
        assert_eq!(
            direction.traffic(),
            Traffic {
                forwarded: 1,
                overflowed: 1,
                ..Traffic::default()
            }
        );
    }

    #[test]
    fn about_as_many_are_lost_as_asked_for() {
        let (direction, now) = (Direction::new(usize::MAX), Instant::now());
        direction.set_loss(0.25);
        let arrived = (0..100_000).filter(|_| direction.admit(now, 1).is_some()).count();
        // Ten standard deviations of a binomial around 75 000.
        assert!((73_600..76_400).contains(&arrived), "{arrived}");
        direction.set_loss(1.0);
        assert!(direction.admit(now, 1).is_none());
        direction.set_loss(0.0);
        assert!(direction.admit(now, 1).is_some());
    }

    #[test]
    fn nothing_passes_a_cut() {
        let (direction, now) = (Direction::new(100), Instant::now());
        direction.set_cut(true);
        assert!(direction.admit(now, 1).is_none());
        direction.set_cut(false);
        assert!(direction.admit(now, 1).is_some());
        assert_eq!(direction.traffic().cut, 1);
    }
}
