//! What a seed decides before anything starts: where the nodes stand, what they are told, and how far apart they are.

use std::time::Duration;

use quorum::NodeId;
use simulator::random::{Concern, Random};

/// The name of every cluster.
pub(crate) const CLUSTER: &str = "chaos";
pub(crate) const REGIONS: [&str; 3] = ["east", "west", "south"];
/// Nodes that are not members at first, and may become so.
const SPARES: u64 = 2;

/// One round: a cluster and its clients.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) founders: u64,
    pub(crate) system: String,
    /// How long leases last, if there are any.
    pub(crate) lease: Option<Duration>,
    /// By how many parts in a million clocks may be wrong, as all nodes are told.
    pub(crate) drift_ppm: u32,
    /// How long a less reluctant node must have been well before it is handed leadership; never, if nothing.
    pub(crate) hand_back: Option<Duration>,
    /// Slots of the journal that are kept for members that lag; who lags further fetches a copy of the state.
    pub(crate) keep_slots: u64,
    pub(crate) clients: u64,
    round_trips: [[Duration; REGIONS.len()]; REGIONS.len()],
    reluctance: [u32; REGIONS.len()],
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Plan {
        let mut random = Random::new(seed, Concern::Swarm);
        let millis = Duration::from_millis;
        let founders = *random.pick(&[3, 5, 5]);
        let near = millis(1);
        let [a, b, c] = [(); 3].map(|()| random.span(millis(4), millis(50)));
        let round_trips = [[near, a, b], [a, near, c], [b, c, near]];
        let systems = systems(founders);
        Plan {
            seed,
            founders,
            system: random.pick(&systems).clone(),
            lease: random.chance(600).then(|| random.span(millis(300), millis(900))),
            drift_ppm: *random.pick(&[1_000, 20_000, 100_000]),
            hand_back: random.chance(500).then_some(Duration::from_secs(3)),
            keep_slots: *random.pick(&[50, 500, 5000]),
            clients: random.between(6, 12),
            round_trips,
            reluctance: [0, 1, 2].map(|region| if random.chance(500) { region } else { 0 }),
        }
    }

    /// All nodes that there can be.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.founders + SPARES).map(NodeId)
    }

    pub(crate) fn region(node: NodeId) -> &'static str {
        REGIONS[Plan::place(node)]
    }

    fn place(node: NodeId) -> usize {
        (node.0 as usize - 1) % REGIONS.len()
    }

    pub(crate) fn round_trip(&self, from: NodeId, to: NodeId) -> Duration {
        self.round_trips[Plan::place(from)][Plan::place(to)]
    }

    /// How wrong the clock of some process is, in parts in a million: often as wrong as it may be.
    pub(crate) fn clock_rate(&self, random: &mut Random) -> i32 {
        let most = self.drift_ppm as i32;
        match random.below(4) {
            0 => most,
            1 => -most,
            2 => 0,
            _ => random.below(2 * u64::from(self.drift_ppm) + 1) as i32 - most,
        }
    }

    pub(crate) fn reluctance(&self, node: NodeId) -> u32 {
        self.reluctance[Plan::place(node)]
    }
}

/// Quorum systems for so many voters, of which each can do without any one node in both phases.
pub(crate) fn systems(voters: u64) -> Vec<String> {
    let mut systems = vec!["majority".to_owned()];
    if voters >= 4 {
        systems.push(format!("counts {}/2", voters - 1));
        systems.push(format!("counts 2/{}", voters - 1));
    }
    match voters {
        4 => systems.push("grid 2x2 columns/rows".to_owned()),
        6 => {
            systems.push("grid 2x3 columns/rows".to_owned());
            systems.push("grid 3x2 columns/rows".to_owned());
            systems.push("counts 4/3".to_owned());
        }
        _ => {}
    }
    systems
}

#[cfg(test)]
mod tests {
    use quorum::Configuration;

    use super::*;

    #[test]
    fn every_system_that_is_drawn_is_safe() {
        for voters in 3..=7 {
            for system in systems(voters) {
                let mut text = format!("system = \"{system}\"\n");
                for node in 1..=voters {
                    text += &format!(
                        "[[member]]\nnode = {node}\nname = \"n{node}\"\nregion = \"{}\"\naddress = \"h:{node}\"\n",
                        Plan::region(NodeId(node))
                    );
                }
                let proposal = toml::from_str(&text).expect("a proposal");
                Configuration::new(proposal).unwrap_or_else(|faults| panic!("{system} of {voters}: {faults}"));
            }
        }
    }

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(format!("{:?}", Plan::of(7)), format!("{:?}", Plan::of(7)));
        let leases = (0..50).filter(|seed| Plan::of(*seed).lease.is_some()).count();
        assert!((15..45).contains(&leases), "leases in {leases} of 50 plans");
    }
}
