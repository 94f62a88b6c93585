//! True time, which only the simulator knows, and the clocks that nodes read instead.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use paxos::Time;

use crate::random::nanos;

/// A moment of true time: nanoseconds since the run began. Nodes never see it.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Default)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    pub(crate) const START: Moment = Moment(0);

    pub(crate) fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(nanos(span)))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}.{:06}", self.0 / 1_000_000_000, self.0 / 1000 % 1_000_000)
    }
}

/// The monotonic clock of one process: an origin of its own, and a rate that is a little wrong.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Clock {
    /// True time at which the clock showed `origin`.
    pub(crate) started: Moment,
    /// What it showed then.
    pub(crate) origin: Time,
    /// Parts per million by which it runs fast (positive) or slow (negative).
    pub(crate) drift: i64,
}

impl Clock {
    /// What the clock shows at a moment of true time.
    pub(crate) fn read(&self, now: Moment) -> Time {
        let passed = i128::from(now.0.saturating_sub(self.started.0));
        let shown = passed + passed * i128::from(self.drift) / 1_000_000;
        Time(self.origin.0.saturating_add(u64::try_from(shown).unwrap_or(u64::MAX)))
    }

    /// The clock shows `by` more than it did, and runs on at that rate.
    pub(crate) fn jump(&mut self, now: Moment, by: Duration, drift: i64) {
        self.origin = Time(self.read(now).0.saturating_add(nanos(by)));
        self.started = now;
        self.drift = drift;
    }

    /// The first moment at which the clock shows at least `time`.
    pub(crate) fn when(&self, time: Time) -> Moment {
        if time == Time::NEVER {
            return Moment(u64::MAX);
        }
        let shown = i128::from(time.0.saturating_sub(self.origin.0));
        let rate = 1_000_000 + i128::from(self.drift);
        let passed = (shown * 1_000_000 + rate - 1) / rate;
        let mut moment = Moment(self.started.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)));
        while self.read(moment) < time {
            moment.0 += 1;
        }
        moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_goes_forward_only() {
        let mut clock = Clock {
            started: Moment(5),
            origin: Time(700),
            drift: -200_000,
        };
        let before = clock.read(Moment(1005));
        clock.jump(Moment(1005), Duration::from_nanos(50), 0);
        assert_eq!((before, clock.read(Moment(1005))), (Time(1500), Time(1550)));
        assert_eq!(clock.read(Moment(1105)), Time(1650));
    }

    #[test]
    fn when_is_the_first_moment_that_reads_so() {
        for drift in [-10_000, -37, 0, 1, 999, 10_000] {
            let clock = Clock {
                started: Moment(12_345),
                origin: Time(777),
                drift,
            };
            for time in [777, 778, 1_000_000, 123_456_789, 98_765_432_101] {
                let moment = clock.when(Time(time));
                assert!(
                    clock.read(moment) >= Time(time),
                    "drift {drift}, time {time}: woken too early"
                );
                if moment.0 > 12_345 + 2 {
                    assert!(
                        clock.read(Moment(moment.0 - 2)) < Time(time),
                        "drift {drift}, time {time}: woken late"
                    );
                }
            }
        }
    }
}
