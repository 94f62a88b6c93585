//! What one seed decides about leases and hand-overs.

use std::time::Duration;

use paxos::LeaseOptions;

use crate::adversary::Strike;
use crate::checker::Property;
use crate::random::{Concern, Random};
use crate::swarm::Faults;

/// Leases and hand-overs of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenure {
    /// What nodes ask for and grant.
    pub(crate) lease: Option<LeaseOptions>,
    /// Clocks are wrong by more than leases allow for: reads may be stale (D7).
    pub(crate) beyond: bool,
    /// After how long a leader hands over to a less reluctant node.
    pub(crate) hand_back: Option<Duration>,
}

impl Tenure {
    /// The tenure of a seed, whose clocks are wrong by `drift` parts in a million at most unless they are struck. With leases
    /// they may be wrong by more, so that the allowance for it matters.
    pub(crate) fn new(seed: u64, drift: &mut u64, election_timeout: Duration, faults: &mut Faults) -> Tenure {
        let random = &mut Random::new(seed, Concern::Leases);
        if random.chance(400) {
            let mean = election_timeout * random.magnitude(1, 64) as u32;
            faults.every.insert(Strike::HandOver, mean);
        }
        let hand_back = random
            .chance(500)
            .then(|| election_timeout * random.magnitude(1, 16) as u32);
        let lease = random.chance(500).then(|| {
            *drift = *random.pick(&[*drift, 10_000, 50_000, 150_000]);
            LeaseOptions {
                // Longer than patience now and then: then grants outlast suspicion.
                duration: election_timeout * *random.pick(&[2, 4, 4, 8, 16, 16]) / 4,
                drift_ppm: *drift as u32,
            }
        });
        let beyond = lease.is_some() && random.chance(150);
        if lease.is_some() && !beyond {
            // A clock that jumps has run beyond every bound for a moment.
            faults.every.remove(&Strike::ClockJump);
        }
        Tenure {
            lease,
            beyond,
            hand_back,
        }
    }

    /// Leases that outlast suspicion.
    pub(crate) fn favoured(election_timeout: Duration, drift: u64) -> Tenure {
        Tenure {
            lease: Some(LeaseOptions {
                duration: election_timeout * 4,
                drift_ppm: drift as u32,
            }),
            ..Tenure::default()
        }
    }

    /// The most that a clock which is struck may be wrong by, if leases rest on it.
    pub(crate) fn bound(&self) -> Option<u64> {
        self.lease
            .filter(|_| !self.beyond)
            .map(|lease| u64::from(lease.drift_ppm))
    }

    /// What does not hold in this run, and need not: D7.
    pub(crate) fn excused(&self) -> &'static [Property] {
        if self.beyond {
            &[
                Property::RealTime,
                Property::Linearizable,
                Property::Lease,
                Property::Stale,
            ]
        } else {
            &[]
        }
    }
}
