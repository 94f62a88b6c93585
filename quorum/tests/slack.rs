//! What is left to lose, against going through every set of members that answer and every set of units that may be lost.

mod common;

use common::configuration;
use quorum::resilience::Domain;
use quorum::{Configuration, NodeSet, Phase, QuorumSystem as _};

const FIVE: [&str; 5] = ["us", "us", "eu", "eu", "ap"];
const NINE: [&str; 9] = ["us", "us", "us", "eu", "eu", "eu", "ap", "ap", "ap"];

/// The least number of units whose loss leaves no quorum of those that answer, less one; nothing if there is none now.
fn by_counting(configuration: &Configuration, phase: Phase, units: &[NodeSet], alive: NodeSet) -> Option<u32> {
    let quorum = |set: NodeSet| configuration.is_quorum(phase, set);
    quorum(alive).then(|| {
        let fatal = (0..1_u64 << units.len()).filter(|lost| {
            let gone = (units.iter().enumerate()).filter(|(unit, _)| lost >> unit & 1 == 1);
            !quorum(gone.fold(alive, |left, (_, members)| left.minus(*members)))
        });
        fatal.map(u64::count_ones).min().expect("the loss of all is fatal") - 1
    })
}

#[test]
fn slack_is_what_counting_says_for_every_set_of_members_that_answer() {
    let systems: [(&[&str], &str); 8] = [
        (&FIVE, "majority"),
        (&FIVE, "counts 4/2"),
        (&FIVE, "counts 2/4"),
        (&["us"], "majority"),
        (&NINE, "grid regions each-row/rows"),
        (&NINE, "grid regions rows/each-row"),
        (&NINE, "zones 2x2/2x2"),
        (&NINE, "counts 7/3"),
    ];
    let mut compared = 0;
    for (regions, system) in systems {
        let configuration = configuration(regions, system);
        for domain in Domain::ALL {
            let units: Vec<NodeSet> = configuration
                .units(domain)
                .into_iter()
                .map(|unit| unit.members)
                .collect();
            for phase in Phase::BOTH {
                for bits in 0..1_u64 << regions.len() {
                    let alive = NodeSet::from_bits(bits);
                    let found = configuration.slack(phase, domain, alive).expect("few enough sets");
                    let counted = by_counting(&configuration, phase, &units, alive);
                    assert_eq!(found, counted, "{system}, {phase}, {domain}, alive {alive:?}");
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 6 * (3 * 32 + 2 + 4 * 512));
}

#[test]
fn with_everybody_there_slack_is_the_tolerance() {
    for (regions, system, node, region) in [
        (&FIVE[..], "majority", [2, 2], [1, 1]),
        (&FIVE[..], "counts 4/2", [1, 3], [0, 1]),
        (&NINE[..], "grid regions each-row/rows", [2, 2], [0, 2]),
        (&NINE[..], "counts 7/3", [2, 6], [0, 2]),
        (&NINE[..], "zones 2x2/2x2", [3, 3], [1, 1]),
        (&NINE[..], "majority", [4, 4], [1, 1]),
    ] {
        let configuration = configuration(regions, system);
        let slack = |domain| {
            Phase::BOTH.map(|phase| {
                let all = configuration.universe();
                let slack = configuration.slack(phase, domain, all).expect("few enough sets");
                let tolerance = configuration.tolerance(phase, domain).expect("few enough sets");
                assert_eq!(slack, Some(tolerance.survives), "{system}, {phase}, {domain}");
                tolerance.survives
            })
        };
        assert_eq!((slack(Domain::Node), slack(Domain::Region)), (node, region), "{system}");
    }
}

#[test]
fn members_that_do_not_count_change_nothing() {
    let configuration = configuration(&FIVE, "majority");
    let (three, more) = (NodeSet::from_bits(0b00111), NodeSet::from_bits(0b1110_0111));
    let slack = |alive| configuration.slack(Phase::Two, Domain::Node, alive);
    assert_eq!(slack(three), Ok(Some(0)));
    assert_eq!(slack(more), Ok(Some(0)));
    assert_eq!(slack(NodeSet::from_bits(0b00011)), Ok(None));
    assert_eq!(slack(NodeSet::EMPTY), Ok(None));
}
