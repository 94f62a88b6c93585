//! Who may vote in a simulated cluster, and which of them decide: members over regions and zones, and a quorum system drawn
//! at random.

use quorum::{Configuration, Epoch, Layout, Line, Member, Proposal, Role, SystemSpec, ZoneCount};

use crate::random::Random;
use crate::seat::Seat;

/// Members spread over the regions in turn, two zones to a region.
pub(crate) fn members(nodes: usize, regions: usize) -> Vec<Member> {
    let member = |seat: Seat| {
        let region = seat.index() % regions;
        Member {
            node: seat.node(),
            incarnation: seat.address().incarnation,
            name: seat.to_string(),
            region: format!("r{region}"),
            zone: format!("z{}", seat.index() / regions % 2),
            address: format!("127.0.0.1:{}", 7000 + seat.index()),
            client_url: String::new(),
            role: Role::Voter,
        }
    };
    Seat::all(nodes).map(member).collect()
}

/// A configuration with a quorum system drawn at random; a system that does not fit the members gives way to another.
pub(crate) fn configuration(random: &mut Random, members: &[Member], alpha: u32) -> Configuration {
    for _ in 0..8 {
        let proposal = Proposal {
            epoch: Epoch(1),
            alpha,
            system: system(random, members.len() as u32),
            members: members.to_vec(),
        };
        if let Ok(configuration) = Configuration::new(proposal) {
            return configuration;
        }
    }
    let proposal = Proposal {
        epoch: Epoch(1),
        alpha,
        system: SystemSpec::Majority,
        members: members.to_vec(),
    };
    Configuration::new(proposal).expect("a majority is valid for any members")
}

pub(crate) fn system(random: &mut Random, nodes: u32) -> SystemSpec {
    match random.below(6) {
        0 | 1 => SystemSpec::Majority,
        2 | 3 => {
            let phase2 = random.between(1, u64::from(nodes)) as u32;
            SystemSpec::Counts {
                phase1: nodes + 1 - phase2,
                phase2,
            }
        }
        4 => {
            let rows = random.between(2, 3) as u32;
            let layout = if random.chance(500) {
                Layout::Regions
            } else {
                Layout::Size {
                    rows,
                    columns: nodes / rows,
                }
            };
            let (phase1, phase2) = *random.pick(&[
                (Line::Column, Line::Row),
                (Line::EachRow, Line::Row),
                (Line::Row, Line::EachRow),
                (Line::EachColumn, Line::Column),
            ]);
            SystemSpec::GridOf { layout, phase1, phase2 }
        }
        _ => {
            let zones = random.between(1, 3) as u32;
            let members = random.between(1, 2) as u32;
            SystemSpec::Zones {
                phase1: ZoneCount { zones, members },
                phase2: ZoneCount {
                    zones: random.between(1, 4) as u32,
                    members: random.between(1, 2) as u32,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::swarm::Plan;

    #[test]
    fn seeds_reach_every_kind_of_quorum_system() {
        let systems: BTreeSet<String> = (0..500).map(|seed| Plan::new(seed).system()).collect();
        for kind in ["majority", "counts", "grid", "zones"] {
            assert!(
                systems.iter().any(|system| system.starts_with(kind)),
                "no {kind} in {systems:?}"
            );
        }
        assert!(systems.len() > 25, "only {systems:?}");
    }
}
