//! Members that vote and never lead: what that changes, and what it does not.

mod common;

use common::proposal;
use quorum::latency::{RoundTrips, predict};
use quorum::resilience::Domain;
use quorum::{Configuration, Fault, NodeSet, Phase, Proposal, QuorumSystem as _, Role};

const REGIONS: [&str; 5] = ["us", "us", "eu", "eu", "ap"];

/// Those whose bits are set in `acceptors` never lead.
fn with_acceptors(system: &str, acceptors: u64) -> Configuration {
    let mut proposal = proposal(&REGIONS, system);
    for (index, member) in proposal.members.iter_mut().enumerate() {
        if acceptors >> index & 1 == 1 {
            member.role = Role::Acceptor;
        }
    }
    Configuration::new(proposal).unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn an_acceptor_counts_in_every_quorum_as_a_voter_does() {
    for system in ["majority", "counts 4/2", "grid regions each-row/rows", "zones 2x1/2x2"] {
        let (all, some) = (with_acceptors(system, 0), with_acceptors(system, 0b10110));
        assert_eq!((all.leaders().len(), some.leaders().bits()), (5, 0b01001));
        assert!(some.is_voter(1) && !some.may_lead(1) && some.may_lead(3) && !some.may_lead(5));
        for bits in 0..32 {
            let set = NodeSet::from_bits(bits);
            for phase in Phase::BOTH {
                assert_eq!(
                    all.is_quorum(phase, set),
                    some.is_quorum(phase, set),
                    "{system} {set:?}"
                );
            }
        }
        assert_eq!(all.hazards(), some.hazards(), "what is at risk is on disks");
        assert_ne!(all.fingerprint(), some.fingerprint());
    }
}

#[test]
fn a_cluster_survives_what_leaves_a_quorum_and_somebody_to_lead() {
    let mut compared = 0;
    for system in ["majority", "counts 4/2", "grid regions each-row/rows"] {
        for acceptors in 0..31 {
            let configuration = with_acceptors(system, acceptors);
            for domain in Domain::ALL {
                let units = configuration.units(domain);
                for phase in Phase::BOTH {
                    let works = |set: NodeSet| {
                        configuration.is_quorum(phase, set) && !(configuration.leaders() & set).is_empty()
                    };
                    let gone = |lost: u64| {
                        let gone = units.iter().enumerate().filter(|(unit, _)| lost >> unit & 1 == 1);
                        gone.fold(NodeSet::EMPTY, |gone, (_, unit)| gone | unit.members)
                    };
                    for alive in (0..32).map(NodeSet::from_bits) {
                        let fatal = (0..1_u64 << units.len()).filter(|lost| !works(alive.minus(gone(*lost))));
                        let least = fatal.map(u64::count_ones).min().expect("the loss of all is fatal");
                        let counted = least.checked_sub(1);
                        let found = configuration.slack(phase, domain, alive).expect("few enough sets");
                        assert_eq!(found, counted, "{system} {acceptors:b} {phase} {domain} {alive:?}");
                        compared += 1;
                    }
                    let tolerance = configuration.tolerance(phase, domain).expect("few enough sets");
                    let all = configuration.slack(phase, domain, NodeSet::first(5));
                    assert_eq!(all, Ok(Some(tolerance.survives)));
                    for set in tolerance.fatal.expect("few enough sets") {
                        let lost = set.iter().fold(0, |lost, unit| lost | 1 << unit);
                        assert!(
                            !works(NodeSet::first(5).minus(gone(lost))),
                            "{system} {acceptors:b} {set:?}"
                        );
                    }
                }
            }
        }
    }
    assert_eq!(compared, 3 * 31 * 3 * 2 * 32);
}

#[test]
fn who_never_leads_is_no_place_to_commit_from() {
    let mut round_trips = RoundTrips::default();
    let configuration = with_acceptors("majority", 0b11100);
    for from in configuration.members() {
        for to in configuration.members() {
            round_trips.note(from, to, 1000);
        }
    }
    let regions: Vec<String> = predict(&configuration, &round_trips)
        .into_iter()
        .map(|prediction| prediction.region)
        .collect();
    assert_eq!(regions, ["us"]);
}

#[test]
fn somebody_must_be_able_to_lead() {
    let mut nobody = proposal(&REGIONS, "majority");
    nobody
        .members
        .iter_mut()
        .for_each(|member| member.role = Role::Acceptor);
    let faults = Configuration::new(nobody).expect_err("nobody may lead");
    assert_eq!(faults.as_slice(), [Fault::NoVoters]);
}

#[test]
fn what_becomes_of_a_role_is_told() {
    let told = |before: u64, after: u64| -> Vec<String> {
        let fates = with_acceptors("majority", after).fates(&with_acceptors("majority", before));
        let told = fates
            .into_iter()
            .flat_map(|(member, fates)| fates.into_iter().map(move |fate| format!("{} {fate}", member.name)));
        told.collect()
    };
    assert_eq!(
        told(0b00001, 0b00010),
        [
            "a becomes a voter, and so may lead",
            "b becomes an acceptor: it votes and does not lead"
        ]
    );
    let (before, after) = (with_acceptors("majority", 0), with_acceptors("majority", 0b11));
    assert!(after.new_voters(&before).is_empty(), "who votes already has caught up");
}

#[test]
fn the_role_is_written_as_it_is_called() {
    let configuration = with_acceptors("majority", 0b10);
    let text = serde_json::to_string(configuration.proposal()).expect("a proposal is text");
    assert_eq!(text.matches("\"acceptor\"").count(), 1, "{text}");
    let read: Proposal = serde_json::from_str(&text).expect("what was written");
    assert_eq!(&read, configuration.proposal());
}
