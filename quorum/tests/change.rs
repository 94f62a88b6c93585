//! From one configuration to the next, as an operator is told about it.

mod common;

use common::{configuration, proposal};
use quorum::latency::{Prediction, RoundTrips, predict};
use quorum::resilience::Domain;
use quorum::{Configuration, Epoch, Fate, Incarnation, NodeId, Obstacle, Proposal, Role};

const REGIONS: [&str; 5] = ["us", "us", "eu", "eu", "ap"];

fn next(change: impl FnOnce(&mut Proposal)) -> Configuration {
    let mut proposal = proposal(&REGIONS, "majority");
    proposal.epoch = Epoch(2);
    change(&mut proposal);
    Configuration::new(proposal).unwrap_or_else(|faults| panic!("{faults}"))
}

fn fates(before: &Configuration, after: &Configuration) -> Vec<String> {
    let fates = after.fates(before).into_iter();
    fates
        .flat_map(|(member, fates)| fates.into_iter().map(move |fate| format!("{} {fate}", member.name)))
        .collect()
}

#[test]
fn every_member_for_whom_something_changes_is_told_of_once() {
    let before = configuration(&REGIONS, "majority");
    let after = next(|proposal| {
        proposal.members[1].role = Role::Learner;
        proposal.members[2].incarnation = Incarnation(2);
        proposal.members[2].role = Role::Learner;
        proposal.members[3].address = "elsewhere:7400".to_owned();
        proposal.members[3].zone = "eu-b".to_owned();
        let mut sixth = proposal.members[4].clone();
        (sixth.node, sixth.name) = (NodeId(6), "f".to_owned());
        (sixth.address, sixth.role) = ("10.0.0.6:7400".to_owned(), Role::Learner);
        proposal.members[4] = sixth;
    });
    assert_eq!(
        fates(&before, &after),
        [
            "b becomes a learner",
            "c comes back with a new disk (incarnation 1 becomes 2)",
            "c becomes a learner",
            "d has another zone, address",
            "e leaves",
            "f joins as learner",
        ]
    );
    assert!(fates(&before, &before).is_empty());
    let back = before.fates(&after);
    assert!(
        back.iter().any(|(_, fates)| fates.contains(&Fate::Promoted)),
        "{back:?}"
    );
}

#[test]
fn a_change_of_the_quorum_system_needs_nobody_to_catch_up_and_a_new_voter_must() {
    let before = configuration(&REGIONS, "majority");
    assert_eq!(next(|_| {}).obstacles(&before), []);
    let wiped = next(|proposal| proposal.members[0].incarnation = Incarnation(2));
    let names: Vec<&str> = wiped
        .new_voters(&before)
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    assert_eq!(names, ["a"]);
    assert_eq!(wiped.obstacles(&before), [], "the four others can commit without it");
    let three_wiped = next(|proposal| {
        for member in &mut proposal.members[..3] {
            member.incarnation = Incarnation(2);
        }
    });
    let newcomers = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(three_wiped.obstacles(&before), [Obstacle::Unready { newcomers }]);
    let with_learner = Configuration::new({
        let mut proposal = proposal(&REGIONS, "majority");
        proposal.members[0].role = Role::Learner;
        proposal
    })
    .expect("four voters are fine");
    let promoted = next(|_| {});
    assert_eq!(promoted.new_voters(&with_learner).len(), 1);
    assert_eq!(
        promoted.obstacles(&with_learner),
        [],
        "whether it has caught up is not for the configurations to say"
    );
}

#[test]
fn what_could_lose_data_with_one_disk_or_one_zone_is_objected_to_by_name() {
    let before = configuration(&REGIONS, "majority");
    for (system, domain, words) in [
        ("counts 5/1", Domain::Node, "phase 2 quorum {a} lies within one node"),
        ("counts 4/2", Domain::Zone, "phase 2 quorum {a, b} lies within one zone"),
    ] {
        let after = next(|proposal| proposal.system = system.parse().expect("good"));
        let obstacles = after.obstacles(&before);
        assert_eq!(after.risk(), Some(domain));
        let [Obstacle::Risk { domain: found, .. }] = obstacles.as_slice() else {
            panic!("{obstacles:?}")
        };
        assert_eq!(*found, domain);
        assert!(obstacles[0].to_string().contains(words), "{}", obstacles[0]);
    }
    assert_eq!(before.risk(), None);
    let risky = configuration(&REGIONS, "counts 4/2");
    assert_eq!(next(|_| {}).obstacles(&risky), [], "the way back is no risk");
    let as_risky = next(|proposal| proposal.system = "grid regions each-row/rows".parse().expect("good"));
    let riskier = as_risky.obstacles(&risky);
    assert_eq!(riskier.len(), 1, "a row of one node is one disk: {riskier:?}");
    assert_eq!(
        next(|proposal| proposal.system = "counts 4/2".parse().expect("good")).obstacles(&risky),
        []
    );
}

#[test]
fn a_stale_a_repeated_and_a_backward_change_are_objected_to() {
    let before = next(|proposal| proposal.members[1].incarnation = Incarnation(3));
    let stale = next(|proposal| {
        proposal.alpha += 1;
        proposal.members[1].incarnation = Incarnation(2);
    });
    let texts: Vec<String> = stale.obstacles(&before).iter().map(ToString::to_string).collect();
    for part in [
        "epoch 2 does not follow on epoch 2",
        "alpha is 16 for as long as the cluster exists",
        "b is in incarnation 3; incarnation 2 of it is gone",
    ] {
        assert!(texts.iter().any(|text| text.contains(part)), "{part}: {texts:?}");
    }
    assert_eq!(texts.len(), 3, "{texts:?}");
}

/// us - eu 80 ms, us - ap 200 ms, eu - ap 120 ms, neighbours 1 ms.
fn round_trips(configuration: &Configuration) -> RoundTrips {
    let mut round_trips = RoundTrips::default();
    let members = configuration.members();
    // Only one side of each pair has measured it, as when nodes do not answer.
    for (position, from) in members.iter().enumerate() {
        for to in &members[position + 1..] {
            let millis = match (from.region.as_str(), to.region.as_str()) {
                ("us", "eu") => 80,
                ("us", "ap") => 200,
                ("eu", "ap") => 120,
                _ => 1,
            };
            round_trips.note(from, to, millis * 1000);
        }
    }
    round_trips
}

#[test]
fn commits_and_elections_are_predicted_for_each_region_from_what_was_measured() {
    let counts = configuration(&REGIONS, "counts 4/2");
    let round_trips = round_trips(&counts);
    let told = |configuration: &Configuration| -> Vec<(String, u64, Option<u64>, Option<u64>)> {
        let predictions = predict(configuration, &round_trips).into_iter();
        predictions
            .map(
                |Prediction {
                     region,
                     leader,
                     commit,
                     election,
                 }| (region, leader.0, commit, election),
            )
            .collect()
    };
    // Phase 1 of four: both regions from us and eu, everything but one from ap.
    assert_eq!(
        told(&counts),
        [
            ("us".to_owned(), 1, Some(1_000), Some(160_000)),
            ("eu".to_owned(), 3, Some(1_000), Some(160_000)),
            ("ap".to_owned(), 5, Some(120_000), Some(400_000)),
        ]
    );
    let majority = configuration(&REGIONS, "majority");
    assert_eq!(told(&majority)[0], ("us".to_owned(), 1, Some(80_000), Some(160_000)));
    // A node that nobody has measured is taken to be as far as its region is.
    let wider = configuration(&["us", "us", "eu", "eu", "ap", "ap"], "counts 2/5");
    assert_eq!(told(&wider)[0].2, Some(200_000));
    assert_eq!(told(&wider)[2].2, Some(200_000));
    // Of a region that nobody has measured nothing is known.
    let strange = configuration(&["mars", "us", "eu"], "majority");
    assert_eq!(predict(&strange, &RoundTrips::default())[0].commit, None);
}
