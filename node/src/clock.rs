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
    /// How many millionths too fast it is.
    rate_ppm: i32,
}

/// The largest error of rate, in millionths, that a clock can be given.
pub const MAX_RATE_PPM: u32 = 500_000;

const MILLION: i128 = 1_000_000;

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Clock {
        Clock::wrong(0)
    }

    /// A clock that begins now and runs too fast by so many parts in a million, or too slowly if that is negative: a test aid,
    /// for clocks of real machines cannot be had to order.
    ///
    /// # Panics
    /// If it is wrong by more than [`MAX_RATE_PPM`].
    #[must_use]
    pub fn wrong(rate_ppm: i32) -> Clock {
        assert!(
            rate_ppm.unsigned_abs() <= MAX_RATE_PPM,
            "a clock that is wrong by {rate_ppm} parts in a million is none"
        );
        Clock {
            origin: since_boot(),
            rate_ppm,
        }
    }

    /// The present moment.
    #[must_use]
    pub fn now(self) -> Time {
        Time::ZERO + self.shown(since_boot().saturating_sub(self.origin))
    }

    /// What it shows after so much true time.
    fn shown(self, passed: Duration) -> Duration {
        scaled(passed, MILLION + i128::from(self.rate_ppm), MILLION)
    }

    /// The true time after which it shows at least so much.
    fn passed(self, shown: Duration) -> Duration {
        match self.rate_ppm {
            0 => shown,
            rate => scaled(shown, MILLION, MILLION + i128::from(rate)).saturating_add(Duration::from_nanos(1)),
        }
    }

    /// When to wake so that [`Clock::now`] is at least `time`, unless the machine is suspended meanwhile; `None` for a time too
    /// far to represent.
    #[must_use]
    pub fn instant(self, time: Time) -> Option<Instant> {
        Instant::now().checked_add(self.passed(time.since(self.now())))
    }
}

/// `span · over / under`, rounded down.
fn scaled(span: Duration, over: i128, under: i128) -> Duration {
    if over == under {
        return span;
    }
    let nanos = i128::try_from(span.as_nanos()).map_or(i128::MAX, |nanos| nanos.saturating_mul(over) / under);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Time since the machine started, suspensions included.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).expect("the clock begins at 0 when the machine starts");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("less than a second"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_shows_so_much_more_or_less_and_is_slept_by_to_match() {
        let second = Duration::from_secs(1);
        let millis = Duration::from_millis;
        for (rate, shown) in [
            (0, 1000),
            (50_000, 1050),
            (-50_000, 950),
            (500_000, 1500),
            (-500_000, 500),
        ] {
            let clock = Clock::wrong(rate);
            assert_eq!(clock.shown(second), millis(shown), "{rate}");
            for span in [
                Duration::ZERO,
                millis(1),
                second,
                Duration::from_nanos(3),
                second * 86_400 * 365,
            ] {
                let woken = clock.shown(clock.passed(span));
                assert!(woken >= span, "{rate}: wakes at {woken:?} for {span:?}");
                assert!(
                    woken <= span + Duration::from_nanos(3),
                    "{rate}: {woken:?} for {span:?}"
                );
            }
        }
    }
}
