//! What one seed decides: the cluster, its options, its load and its faults.
//!
//! Swarm testing: each run has some kinds of fault and not others, some often and some seldom, because a run with a bit of
//! everything never gets far into any one corner.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use paxos::{Ballot, ClusterId};
use quorum::{Configuration, Epoch, Member, Proposal, SystemSpec};

use crate::adversary::Strike;
use crate::checker::Property;
use crate::disk::DiskSpeed;
use crate::electorate::{configuration, members};
use crate::favour::Favour;
use crate::mutant::Mutant;
use crate::network::Weather;
use crate::random::{Concern, Random};
use crate::reduction::Reduction;
use crate::tenure::Tenure;
use crate::workload::{Kind, Mix};

/// The cluster that every simulated node belongs to.
pub(crate) const CLUSTER: ClusterId = ClusterId(0x0053_594E_4F44);

/// The run that one seed stands for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How the nodes are wrong, if they are.
    pub mutant: Option<Mutant>,
    judged: Judged,
    /// Strikes that are left out, by number.
    pub(crate) omitted: BTreeSet<u64>,
    pub(crate) configuration: Configuration,
    /// One-way delays by sender and receiver.
    pub(crate) delays: Vec<Vec<Duration>>,
    pub(crate) weather: Weather,
    pub(crate) disk: DiskSpeed,
    pub(crate) faults: Faults,
    pub(crate) load: Load,
    pub(crate) tuning: Tuning,
    /// Events of the safety phase.
    pub(crate) events: u64,
    /// Largest error of a node's clock, in parts per million.
    pub(crate) drift: u64,
    /// Leases and hand-overs.
    pub(crate) tenure: Tenure,
}

/// Which properties are judged.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Judged(u32);

impl Judged {
    const ALL: Judged = Judged(u32::MAX);

    pub(crate) fn contains(self, property: Property) -> bool {
        self.0 >> property as u32 & 1 == 1
    }
}

/// What goes wrong besides the weather, and how often: the mean time between two strikes of a kind; never, if it is not there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) every: BTreeMap<Strike, Duration>,
    /// How long a fault lasts, on average.
    pub(crate) lasting: Duration,
    /// How long a process is frozen, on average.
    pub(crate) pause: Duration,
    /// How often, in a thousand, a fault aims at the node that leads.
    pub(crate) aim_at_leader: u32,
}

impl Faults {
    /// In some runs members and quorum system change as well. It is drawn apart from all else.
    fn with_changes(mut self, seed: u64, election_timeout: Duration) -> Faults {
        let random = &mut Random::new(seed, Concern::Operator);
        if random.chance(how_often(Strike::Change)) {
            let mean = election_timeout * random.magnitude(2, 32) as u32;
            self.every.insert(Strike::Change, mean);
        }
        self
    }
}

/// What clients do.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    /// Pause between two operations of a client, on average.
    pub(crate) think: Duration,
    /// Reads in a thousand operations.
    pub(crate) reads: u32,
    /// How often, in a thousand, a client goes to another node.
    pub(crate) wander: u32,
    /// What is asked.
    pub(crate) mix: Mix,
    /// How often, in a thousand, what was not done is asked again.
    pub(crate) retries: u32,
    /// How often, in a thousand, a client does not wait for its answer.
    pub(crate) abandons: u32,
    /// How long a request may take.
    pub(crate) timeout: Duration,
}

impl Load {
    /// How long a client waits for an answer: longer than any request may take, by the slowest clock and the longest
    /// interval at which a replica looks for what has expired.
    pub(crate) fn patience(&self) -> Duration {
        self.timeout * 2 + Duration::from_millis(500)
    }
}

/// The core's options, and how the node around it is tuned.
#[derive(Clone, Debug)]
pub(crate) struct Tuning {
    pub(crate) heartbeat_interval: Duration,
    pub(crate) election_timeout: Duration,
    pub(crate) reluctant: bool,
    pub(crate) max_batch_bytes: usize,
    pub(crate) max_inflight_bytes: usize,
    pub(crate) batch_interval: Duration,
    pub(crate) eager_slots: usize,
    pub(crate) max_queued: usize,
    pub(crate) cache_bytes: usize,
    pub(crate) keep_slots: u64,
    pub(crate) trim_step: u64,
    pub(crate) max_log_slots: u64,
    pub(crate) max_log_bytes: u64,
    /// About how long a piece of a snapshot is.
    pub(crate) piece_bytes: usize,
    pub(crate) page_bytes: usize,
    /// How long applying what waits takes, on average.
    pub(crate) apply: Duration,
    /// Mean time between two flushes of the state machine.
    pub(crate) flush: Duration,
    /// Whether the transport measures round trips.
    pub(crate) measures: bool,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Plan {
        let random = &mut Random::new(seed, Concern::Swarm);
        let nodes = *random.pick(&[3, 3, 3, 3, 4, 4, 5, 5, 5, 5, 6, 7]);
        let regions = *random.pick(&[1, 1, 2, 3, 3]);
        let alpha = random.magnitude(1, 256) as u32;
        let members = members(nodes, regions);
        let configuration = configuration(random, &members, alpha);
        // One-way delay between regions; within a region it is a small part of that.
        let far = Duration::from_micros(random.magnitude(100, 60_000));
        let delays = delays(random, &members, far);
        // No more often than a round trip usually takes, as an operator would set it.
        let jitter = far * random.below(3) as u32 + Duration::from_micros(10);
        let longest = (delays.iter().flatten().max().copied().unwrap_or(far) + jitter) * 2;
        let heartbeat_interval = longest.max(Duration::from_millis(*random.pick(&[2, 5, 20, 50])));
        let disk = DiskSpeed {
            least: Duration::from_micros(random.magnitude(20, 2_000)),
            mean: Duration::from_micros(random.magnitude(20, 1_000)) + far * *random.pick(&[0, 0, 1, 4]),
        };
        // Phase 1 takes a round trip and two syncs.
        let election_timeout = heartbeat_interval * random.between(3, 10) as u32 + disk.mean * 2;
        let heavy = random.chance(30);
        let mut plan = Plan {
            seed,
            mutant: None,
            judged: Judged::ALL,
            omitted: BTreeSet::new(),
            configuration,
            delays,
            weather: weather(random, jitter, election_timeout),
            disk,
            faults: faults(random, regions, election_timeout).with_changes(seed, election_timeout),
            load: load(random, far, election_timeout, heavy),
            tuning: tuning(random, heartbeat_interval, election_timeout, heavy),
            events: if heavy {
                random.between(2_000, 8_000)
            } else {
                random.magnitude(4_000, 40_000)
            },
            drift: *random.pick(&[0, 100, 1_000, 10_000]),
            tenure: Tenure::default(),
        };
        plan.tenure = Tenure::new(seed, &mut plan.drift, election_timeout, &mut plan.faults);
        if [8, 14].contains(&(seed % 16)) {
            Favour::Doubt.shape(&mut plan);
        }
        plan
    }

    /// The same run with nodes that are wrong.
    #[must_use]
    pub fn with(mut self, mutant: Option<Mutant>) -> Plan {
        if mutant.is_some_and(|mutant| !mutant.needs_changes()) {
            // What kills it was found in a cluster whose members stay.
            self.faults.every.remove(&Strike::Change);
        }
        for favour in mutant.map_or(&[][..], Favour::of) {
            favour.shape(&mut self);
        }
        self.mutant = mutant;
        self
    }

    /// The same run with this property alone judged, to learn what it sees when others would speak first.
    #[must_use]
    pub fn judging_only(mut self, property: Property) -> Plan {
        self.judged = Judged(1 << property as u32);
        self
    }

    /// The same run with this property not judged.
    #[must_use]
    pub fn ignoring(mut self, property: Property) -> Plan {
        self.judged = Judged(self.judged.0 & !(1 << property as u32));
        self
    }

    /// The same run on disks that keep what was synced. The model knows no others.
    #[must_use]
    pub(crate) fn sparing_disks(mut self) -> Plan {
        for strike in [Strike::BitRot, Strike::Wipe, Strike::OldState, Strike::LostState] {
            self.faults.every.remove(&strike);
        }
        self.faults.every.remove(&Strike::Change);
        // Nor does it know snapshots: nothing is trimmed that a member may need.
        (self.tuning.max_log_slots, self.tuning.max_log_bytes) = (u64::MAX, u64::MAX);
        self
    }

    /// The same run without what this names.
    #[must_use]
    pub fn reduced(self, reduction: &Reduction) -> Plan {
        reduction.apply(&self)
    }

    /// Leaves that many of the nodes, with the same kind of quorums if they fit so few and majorities if not.
    pub(crate) fn keep_nodes(&mut self, nodes: usize) {
        let members = &self.configuration.members()[..nodes];
        let proposal = |system| Proposal {
            epoch: Epoch(1),
            alpha: self.configuration.alpha() as u32,
            system,
            members: members.to_vec(),
        };
        let same = Configuration::new(proposal(self.configuration.spec().clone()));
        self.configuration = same
            .or_else(|_| Configuration::new(proposal(SystemSpec::Majority)))
            .expect("a majority is valid for any members");
        self.delays.truncate(nodes);
        self.delays.iter_mut().for_each(|row| row.truncate(nodes));
    }

    pub(crate) fn judged(&self) -> Judged {
        let excused = self.tenure.excused().iter();
        Judged(excused.fold(self.judged.0, |judged, property| judged & !(1 << *property as u32)))
    }

    pub(crate) fn nodes(&self) -> usize {
        self.configuration.members().len()
    }

    /// A word for the kind of quorum system, for reports.
    #[must_use]
    pub fn system(&self) -> String {
        format!("{} of {}", self.configuration.spec(), self.nodes())
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Above every ballot that a run can reach: more means that ballots run away.
    pub(crate) const HIGHEST_ROUND: u64 = 1_000_000 + Ballot::ZERO.round;
}

fn delays(random: &mut Random, members: &[Member], far: Duration) -> Vec<Vec<Duration>> {
    let near = far / 20 + Duration::from_micros(20);
    let mut delays = vec![vec![Duration::ZERO; members.len()]; members.len()];
    for (from, one) in members.iter().enumerate() {
        for (to, other) in members.iter().enumerate() {
            let base = if one.region == other.region { near } else { far };
            delays[from][to] = random.span(base / 2, base * 3 / 2);
        }
    }
    delays
}

fn weather(random: &mut Random, jitter: Duration, election_timeout: Duration) -> Weather {
    let mut often = |most| {
        if random.chance(500) {
            random.magnitude(1, most) as u32
        } else {
            0
        }
    };
    let (loss, repeat, straggle) = (often(300), often(500), often(100));
    Weather {
        loss,
        repeat,
        straggle,
        straggle_mean: election_timeout * random.between(1, 8) as u32,
        jitter,
        damage: *random.pick(&[0, 0, 10, 100]),
    }
}

fn faults(random: &mut Random, regions: usize, election_timeout: Duration) -> Faults {
    let none = random.chance(50);
    // A run with a bit of everything gets nowhere, so half of them are quieter.
    let quieter = if random.chance(500) { 3 } else { 1 };
    let mut every = BTreeMap::new();
    let asked_for = [Strike::Change, Strike::HandOver];
    for strike in Strike::ALL.iter().filter(|strike| !asked_for.contains(strike)) {
        let falls = random.chance(how_often(*strike) / quieter);
        let mean = election_timeout * random.magnitude(2, 64) as u32;
        if falls && !none && (regions > 1 || *strike != Strike::Region) {
            every.insert(*strike, mean);
        }
    }
    let lasting = election_timeout * random.magnitude(1, 16) as u32;
    let pause = Duration::from_millis(random.magnitude(100, 60_000));
    Faults {
        every,
        lasting,
        pause: *random.pick(&[lasting, lasting, pause]),
        aim_at_leader: *random.pick(&[0, 300, 700]),
    }
}

/// In how many of a thousand runs a kind of strike falls.
fn how_often(strike: Strike) -> u32 {
    match strike {
        Strike::Crash | Strike::CrashAtStep => 600,
        Strike::Isolate | Strike::OneWay | Strike::Split | Strike::Pause | Strike::Region => 300,
        Strike::SlowDisk | Strike::Flap | Strike::Swizzle | Strike::SyncError => 200,
        Strike::Bridge | Strike::Ring | Strike::Scramble | Strike::Reset | Strike::Degrade => 150,
        Strike::CrashLoop | Strike::FullDisk | Strike::BitRot | Strike::ClockJump | Strike::ClockRate => 150,
        Strike::Wipe | Strike::OldState | Strike::LostState => 100,
        Strike::Change => 400,
        // As the tenure has it.
        Strike::HandOver => 0,
    }
}

fn load(random: &mut Random, far: Duration, election_timeout: Duration, heavy: bool) -> Load {
    Load {
        clients: random.magnitude(1, 16) as usize,
        think: far * random.magnitude(1, 32) as u32,
        reads: *random.pick(&[0, 100, 300, 500, 800]),
        wander: *random.pick(&[0, 50, 300, 1000]),
        mix: mix(random, heavy),
        retries: *random.pick(&[0, 200, 800]),
        abandons: *random.pick(&[0, 0, 50, 300]),
        timeout: election_timeout * random.magnitude(2, 32) as u32 + Duration::from_millis(100),
    }
}

fn mix(random: &mut Random, heavy: bool) -> Mix {
    let kind = *random.pick(&[Kind::ByKey, Kind::ByKey, Kind::Wide, Kind::Wide, Kind::Puts]);
    let often = |random: &mut Random| *random.pick(&[0, 50, 200, 600]);
    Mix {
        kind,
        keys: random.magnitude(if kind == Kind::Wide { 1 } else { 4 }, 64),
        txns: often(random),
        deletes: *random.pick(&[0, 50, 200]),
        wide: often(random),
        largest: if heavy { 128 << 10 } else { random.magnitude(8, 400) },
        oversized: *random.pick(&[0, 0, 0, 20]),
    }
}

fn tuning(random: &mut Random, heartbeat_interval: Duration, election_timeout: Duration, heavy: bool) -> Tuning {
    Tuning {
        heartbeat_interval,
        election_timeout,
        reluctant: random.chance(300),
        max_batch_bytes: if heavy {
            256 << 10
        } else {
            *random.pick(&[600, 4 << 10, 64 << 10])
        },
        max_inflight_bytes: if heavy {
            16 << 20
        } else {
            *random.pick(&[2 << 10, 64 << 10, 4 << 20])
        },
        batch_interval: Duration::from_micros(random.magnitude(1, 2_000)),
        eager_slots: random.magnitude(1, 32) as usize,
        max_queued: random.magnitude(2, 1024) as usize,
        cache_bytes: *random.pick(&[0, 500, 64 << 10]),
        keep_slots: random.magnitude(1, 256),
        trim_step: random.magnitude(1, 64),
        page_bytes: random.magnitude(64, 1 << 20) as usize,
        apply: Duration::from_micros(random.magnitude(1, 2_000)),
        flush: election_timeout * random.magnitude(1, 32) as u32,
        measures: random.chance(800),
        max_log_slots: *random.pick(&[u64::MAX, u64::MAX, 4, 30, 100, 400]),
        max_log_bytes: *random.pick(&[u64::MAX, u64::MAX, 4 << 10, 64 << 10]),
        piece_bytes: *random.pick(&[128, 512, 4 << 10, 1 << 20]),
    }
}
