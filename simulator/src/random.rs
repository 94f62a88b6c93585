//! Random numbers that are the same on every machine: one stream per concern, so that shrinking one leaves the others.

use std::time::Duration;

/// What a stream of random numbers decides. Each concern draws from a stream of its own.
#[derive(Copy, Clone, Debug)]
pub enum Concern {
    /// What a run is made of.
    Swarm,
    /// Messages on their way.
    Network,
    /// What disks keep.
    Disk,
    /// Rates and jumps.
    Clock,
    /// What clients ask for.
    Workload,
    /// When strikes fall, and on whom.
    Faults,
    /// Lives and deaths.
    Process,
    /// Changes of quorum system, members and leader.
    Operator,
    /// How long leases last, and whether there are any.
    Leases,
}

/// xoshiro256++, seeded through splitmix64.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of this concern in the run of this seed.
    pub fn new(seed: u64, concern: Concern) -> Random {
        let mut mix = seed ^ (concern as u64 + 1).wrapping_mul(0xA076_1D64_78BD_642F);
        let mut word = || {
            mix = mix.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = mix;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        Random {
            state: [word(), word(), word(), word()],
        }
    }

    /// Another stream, which this one's next word decides.
    pub fn fork(&mut self) -> Random {
        Random::new(self.word(), Concern::Swarm)
    }

    /// Puts things in a random order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.index(last + 1));
        }
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// A place in a list of `len` elements, of which there is at least one.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A number from `low` to `high` whose order of magnitude is uniform: 1 to 10 is as likely as 10 to 100.
    pub fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let doublings = u64::from(high.ilog2() - low.ilog2());
        let top = low.saturating_mul(1 << self.below(doublings + 1)).min(high);
        self.between((top / 2).max(low), top)
    }

    /// True `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1000) < u64::from(per_mille)
    }

    /// One of these, of which there is at least one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// A span from `low` to `high`, both included.
    pub fn span(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_nanos(self.between(nanos(low), nanos(high).max(nanos(low))))
    }

    /// Exponentially distributed around `mean`, by integers only: the logarithm's mantissa is taken as linear, which
    /// is at most 9 % off and the same on every machine.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        let word = self.word() | 1;
        let zeros = word.leading_zeros();
        let mantissa = (word << zeros) << 1 >> 32;
        let thousandths = (u64::from(zeros) + 1) * 1000 - ((mantissa * 1000) >> 32);
        Duration::from_nanos(((u128::from(nanos(mean)) * u128::from(thousandths) * 693) / 1_000_000) as u64)
    }
}

/// Nanoseconds of a duration that is far shorter than 500 years.
pub(crate) fn nanos(span: Duration) -> u64 {
    span.as_secs() * 1_000_000_000 + u64::from(span.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_concern_and_repeat_by_seed() {
        let words = |seed, concern| {
            let mut random = Random::new(seed, concern);
            [random.word(), random.word()]
        };
        assert_eq!(words(7, Concern::Disk), words(7, Concern::Disk));
        assert_ne!(words(7, Concern::Disk), words(7, Concern::Network));
        assert_ne!(words(7, Concern::Disk), words(8, Concern::Disk));
    }

    #[test]
    fn exponential_has_its_mean() {
        let mut random = Random::new(1, Concern::Network);
        let total: u64 = (0..100_000)
            .map(|_| nanos(random.exponential(Duration::from_micros(100))))
            .sum();
        let mean = total / 100_000;
        assert!(
            (95_000..107_000).contains(&mean),
            "mean of {mean} ns instead of 100 000"
        );
    }

    #[test]
    fn bounds_are_kept() {
        let mut random = Random::new(2, Concern::Workload);
        for _ in 0..10_000 {
            assert!((3..=9).contains(&random.between(3, 9)));
            assert!((1..=1000).contains(&random.magnitude(1, 1000)));
            assert!(!random.chance(0) && random.chance(1000));
        }
    }
}
