//! The adversary: which kinds of strike there are, and when they fall.
//!
//! Each kind has a stream of random numbers of its own, and each strike one that it takes from there. So a strike that is
//! left out leaves all others as they were, which is how a failed run is shrunk.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::coverage::counted;
use crate::random::{Concern, Random};

counted! {
    /// A kind of strike: a fault that begins at some moment. The names are for plans and stories.
    Strike {
        /// A process dies between two events.
        Crash = "crash",
        /// A process dies at one of its steps.
        CrashAtStep = "crash at a step",
        /// A process dies again and again, soon after each start.
        CrashLoop = "crash loop",
        /// A process is frozen for a while.
        Pause = "pause",
        /// A clock jumps forward.
        ClockJump = "clock jump",
        /// A clock changes its rate.
        ClockRate = "clock rate",
        /// One node is cut off in both directions.
        Isolate = "isolate",
        /// One direction of one node's links is cut.
        OneWay = "one way",
        /// The cluster is split in two.
        Split = "split",
        /// The cluster is split in two, but for one node that hears both sides.
        Bridge = "bridge",
        /// Every node hears a majority, no two the same.
        Ring = "ring",
        /// One region is cut off, in one direction or both.
        Region = "region",
        /// Every link is cut or not.
        Scramble = "scramble",
        /// A link goes down and up again, many times.
        Flap = "flap",
        /// Links are clogged one by one, and unclogged in another order.
        Swizzle = "swizzle",
        /// Everything under way between two nodes is lost.
        Reset = "reset",
        /// One node's links are slow and lose much.
        Degrade = "degrade",
        /// A disk becomes slow.
        SlowDisk = "slow disk",
        /// A disk is full.
        FullDisk = "full disk",
        /// The next sync of a disk fails.
        SyncError = "sync error",
        /// Something on a disk decays.
        BitRot = "bit rot",
        /// A disk is replaced by an empty one.
        Wipe = "wipe",
        /// The state, not the journal, is restored from a backup.
        OldState = "old state",
        /// The state is lost, and the journal is not.
        LostState = "lost state",
        /// An operator changes members or quorum system.
        Change = "change",
        /// An operator wants another node to lead. No fault, but it may come at any time.
        HandOver = "hand-over",
    }
}

/// When strikes fall, and what each draws from.
pub(crate) struct Adversary {
    streams: Vec<Random>,
    /// How many fell so far, those left out included.
    fallen: u64,
    /// The numbers of those that are left out.
    omitted: BTreeSet<u64>,
}

impl Adversary {
    pub(crate) fn new(seed: u64, omitted: BTreeSet<u64>) -> Adversary {
        let mut random = Random::new(seed, Concern::Faults);
        Adversary {
            streams: Strike::ALL.iter().map(|_| random.fork()).collect(),
            fallen: 0,
            omitted,
        }
    }

    /// How long it is until the next strike of a kind.
    pub(crate) fn next(&mut self, strike: Strike, mean: Duration) -> Duration {
        self.streams[strike as usize].exponential(mean)
    }

    /// A strike falls: its number, and its random numbers, unless it is left out.
    pub(crate) fn fall(&mut self, strike: Strike) -> Option<(u64, Random)> {
        let random = self.streams[strike as usize].fork();
        self.fallen += 1;
        (!self.omitted.contains(&self.fallen)).then_some((self.fallen, random))
    }

    /// How many strikes fell so far, those left out included.
    pub(crate) fn fallen(&self) -> u64 {
        self.fallen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strike_that_is_left_out_leaves_the_others_as_they_were() {
        let draw = |omitted: &[u64]| {
            let mut adversary = Adversary::new(7, omitted.iter().copied().collect());
            [Strike::Crash, Strike::Pause, Strike::Crash, Strike::Crash].map(|strike| {
                let span = adversary.next(strike, Duration::from_millis(1));
                (
                    span,
                    adversary
                        .fall(strike)
                        .map(|(number, mut random)| (number, random.word())),
                )
            })
        };
        let (all, some) = (draw(&[]), draw(&[1, 3]));
        for at in 0..4 {
            assert_eq!(all[at].0, some[at].0, "strike {at} falls at another time");
        }
        assert_eq!((some[0].1, some[2].1), (None, None));
        assert_eq!((all[1].1, all[3].1), (some[1].1, some[3].1));
    }
}
