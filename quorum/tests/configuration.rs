//! What an operator meets: files, texts and what is said about mistakes.

mod common;

use common::{configuration, members, proposal, set};
use quorum::resilience::Domain;
use quorum::validity::{Intersection, Proof, intersection};
use quorum::{
    Configuration, Epoch, Fault, Incarnation, Layout, Line, NodeId, NodeSet, Phase, Place, Proposal, QuorumSystem,
    Role, Rule, RuleFault, RuleSystem, SystemSpec, ZoneCount,
};

const FILE: &str = r#"
system = "counts 4/2"

[[member]]
name = "b"
node = 2
region = "us-east-1"
address = "10.0.0.2:7400"

[[member]]
name = "a"
node = 1
region = "us-east-1"
zone = "us-east-1a"
address = "10.0.0.1:7400"
client_url = "http://10.0.0.1:2379"

[[member]]
name = "c"
node = 3
region = "eu-west-1"
address = "[2001:db8::3]:7400"

[[member]]
name = "d"
node = 4
incarnation = 2
region = "eu-west-1"
address = "d.example:7400"

[[member]]
name = "e"
node = 5
region = "ap-south-1"
address = "10.0.0.5:7400"

[[member]]
name = "l"
node = 6
region = "ap-south-1"
address = "10.0.0.6:7400"
role = "learner"
"#;

fn refusal(proposal: Proposal) -> String {
    Configuration::new(proposal)
        .expect_err("the proposal is not valid")
        .to_string()
}

#[test]
fn a_file_with_defaults_is_a_configuration() {
    let proposal: Proposal = toml::from_str(FILE).expect("the file can be read");
    assert_eq!((proposal.epoch, proposal.alpha), (Epoch(1), 256));
    let configuration = Configuration::new(proposal).expect("the file is valid");
    let names: Vec<&str> = configuration
        .members()
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "l"], "sorted by node number");
    assert_eq!(configuration.members()[0].zone, "us-east-1a");
    assert_eq!(
        configuration.members()[1].zone,
        "us-east-1",
        "the zone is the region unless given"
    );
    assert_eq!(configuration.universe(), NodeSet::first(5));
    assert!(configuration.is_voter(4) && !configuration.is_voter(5) && !configuration.is_voter(64));
    assert_eq!(configuration.index_of(NodeId(4), Incarnation(2)), Some(3));
    assert_eq!(
        configuration.index_of(NodeId(4), Incarnation(1)),
        None,
        "an earlier life is not a member"
    );
    assert_eq!(
        configuration.index_of(NodeId(6), Incarnation(1)),
        Some(5),
        "learners are members"
    );
    assert_eq!(configuration.index_of(NodeId(7), Incarnation(1)), None);
    assert!(
        configuration
            .member(NodeId(4))
            .is_some_and(|member| member.incarnation == Incarnation(2))
    );
    assert!(
        !configuration.is_phase2_quorum(NodeSet::single(0) | NodeSet::single(5)),
        "a learner is not counted"
    );
    assert!(configuration.is_phase2_quorum(NodeSet::single(0) | NodeSet::single(4)));
}

#[test]
fn a_grid_in_a_file_names_members_as_text_or_as_a_table() {
    let file = |system: &str| FILE.replacen("system = \"counts 4/2\"", system, 1);
    let expected = SystemSpec::Grid {
        cells: vec![
            vec![Some(NodeId(1)), Some(NodeId(2)), Some(NodeId(3))],
            vec![Some(NodeId(4)), Some(NodeId(5)), None],
        ],
        phase1: Line::Column,
        phase2: Line::Row,
    };
    for system in [
        r#"system = "grid [a b c | d 5 -] columns/rows""#,
        r#"system = { grid = { rows = [["a", "b", "c"], ["d", 5, ""]], phase1 = "column", phase2 = "row" } }"#,
    ] {
        let proposal: Proposal = toml::from_str(&file(system)).expect("the file can be read");
        assert_eq!(proposal.system, expected, "{system}");
        let configuration = Configuration::new(proposal).expect("the grid is valid");
        assert!(configuration.is_phase2_quorum(set("abc")), "the full row");
        assert!(
            !configuration.is_phase2_quorum(set("de")),
            "a row with a dead cell misses column 3, so it is no quorum"
        );
        assert!(configuration.is_phase1_quorum(set("ad")) && !configuration.is_phase1_quorum(set("c")));
        assert_eq!(configuration.spec().to_string(), "grid [1 2 3 | 4 5 -] columns/rows");
    }
    let unknown = toml::from_str::<Proposal>(&file(r#"system = "grid [a b x | d y -] columns/rows""#));
    let error = unknown.expect_err("x and y are nobody").to_string();
    assert!(
        error.contains(r#"the grid names "x", "y", but no member has that name"#),
        "{error}"
    );
    for (system, expected) in [
        (
            "system = { counts = { phase1 = 4, phase2 = 2 } }",
            SystemSpec::Counts { phase1: 4, phase2: 2 },
        ),
        (
            "system = { zones = { phase1 = { zones = 2, members = 1 }, phase2 = { zones = 3, members = 1 } } }",
            SystemSpec::Zones {
                phase1: ZoneCount { zones: 2, members: 1 },
                phase2: ZoneCount { zones: 3, members: 1 },
            },
        ),
    ] {
        let proposal: Proposal = toml::from_str(&file(system)).expect("the file can be read");
        assert_eq!(proposal.system, expected);
    }
    for mistake in [
        "alhpa = 3",
        "system = \"counts 4\"",
        "system = { counts = { phase1 = 4, phase3 = 1 } }",
        "system = 3",
    ] {
        assert!(toml::from_str::<Proposal>(&file(mistake)).is_err(), "{mistake}");
    }
}

#[test]
fn systems_are_written_as_they_are_read() {
    let counts = SystemSpec::Counts { phase1: 4, phase2: 2 };
    let size = Layout::Size { rows: 3, columns: 2 };
    for (text, spec) in [
        ("majority", SystemSpec::Majority),
        ("counts 4/2", counts.clone()),
        (
            "zones 2x1/2x2",
            SystemSpec::Zones {
                phase1: ZoneCount { zones: 2, members: 1 },
                phase2: ZoneCount { zones: 2, members: 2 },
            },
        ),
        (
            "grid 3x2 columns/rows",
            SystemSpec::GridOf {
                layout: size,
                phase1: Line::Column,
                phase2: Line::Row,
            },
        ),
        (
            "grid regions each-row/rows",
            SystemSpec::GridOf {
                layout: Layout::Regions,
                phase1: Line::EachRow,
                phase2: Line::Row,
            },
        ),
        (
            "grid [1 - | 2 3] each-column/columns",
            SystemSpec::Grid {
                cells: vec![vec![Some(NodeId(1)), None], vec![Some(NodeId(2)), Some(NodeId(3))]],
                phase1: Line::EachColumn,
                phase2: Line::Column,
            },
        ),
    ] {
        assert_eq!(text.parse(), Ok(spec.clone()), "{text}");
        assert_eq!(spec.to_string(), text);
    }
    assert_eq!("  counts   4 / 2 ".parse(), Ok(counts));
    for (text, reason) in [
        ("", "is not a quorum system"),
        ("majority of 3", "is not a quorum system"),
        ("counts 4", "\"4\" is not of the form \"phase 1/phase 2\""),
        ("counts -1/2", "\"-1\" is not a number from 1"),
        ("counts +1/2", "\"+1\" is not a number from 1"),
        ("counts 4294967296/2", "is not a number from 1 to 4294967295"),
        ("zones 2/1", "\"2\" is not of the form \"2x3\""),
        ("grid 3x3", "does not say which lines are quorums"),
        ("grid 3x3 diagonals/rows", "\"diagonals\" is not a kind of grid quorum"),
        ("grid [1 2 | 3 4 rows/columns", "no closing"),
        (
            "grid [a b] rows/columns",
            "the grid names \"a\", \"b\", but no member has that name",
        ),
        (
            "grid [+1 2] rows/columns",
            "the grid names \"+1\", but no member has that name",
        ),
    ] {
        let error = text.parse::<SystemSpec>().expect_err(text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn disjoint_quorums_are_named_with_their_regions() {
    let regions = ["us-east-1", "us-east-1", "eu-west-1", "ap"];
    assert_eq!(
        refusal(proposal(&regions, "counts 2/2")),
        "phase 1 quorum {a (us-east-1), b (us-east-1)} and phase 2 quorum {c (eu-west-1), d (ap)} are disjoint: a leader \
         elected by the first can miss a value chosen by the second"
    );
    // Six nodes in two rows: the sizes 2 and 3 are those of a column and a row, which meet; as counts they do not.
    configuration(&["r"; 6], "grid 2x3 columns/rows");
    assert!(refusal(proposal(&["r"; 6], "counts 2/3")).contains("are disjoint"));
    assert!(refusal(proposal(&["r"; 6], "grid 2x3 rows/rows")).starts_with("phase 1 quorum {a (r), b (r), c (r)} and"));
}

#[test]
fn every_fault_is_reported_at_once_with_its_place() {
    let mut wrong = proposal(&["x", "x", "y"], "majority");
    wrong.epoch = Epoch(0);
    wrong.alpha = 0;
    wrong.system = SystemSpec::Counts { phase1: 0, phase2: 4 };
    wrong.members[0].name = "12".into();
    wrong.members[1].incarnation = Incarnation(0);
    wrong.members[1].region = String::new();
    wrong.members[2].address = "10.0.0.3".into();
    let faults = Configuration::new(wrong).expect_err("nothing about it is right");
    let lines: Vec<String> = faults.to_string().lines().map(str::to_string).collect();
    assert_eq!(
        lines,
        [
            "the epoch is 0, epochs count from 1",
            "alpha is 0, it must be from 1 to 65536",
            "\"12\" is not a name for a member: use letters, digits, \"-\", \"_\" and \".\", start with a letter or digit, \
             and do not use digits only",
            "b: incarnation is 0, it must be 1 or more",
            "b: region is empty",
            "c: the address \"10.0.0.3\" is not of the form host:port",
            "a phase 1 quorum of 0 voters: the empty set must not be a quorum",
            "a phase 2 quorum needs 4 voters, but there are only 3",
        ]
    );
    let places: Vec<Place> = faults.iter().map(|fault| fault.places()[0]).collect();
    let member = |position, key| Place::Member { position, key };
    assert_eq!(
        places,
        [
            Place::Key("epoch"),
            Place::Key("alpha"),
            member(0, "name"),
            member(1, "incarnation"),
            member(1, "region"),
            member(2, "address"),
            Place::Key("system"),
            Place::Key("system"),
        ]
    );
}

#[test]
fn members_share_no_number_name_or_address() {
    // Nothing is said of the grid: with two nodes 1 there is no telling which cell is whose.
    let mut wrong = proposal(&["x", "y", "z"], "grid [1 2 3] rows/columns");
    wrong.members[2].node = NodeId(1);
    wrong.members[1].name = "c".into();
    wrong.members[1].address = wrong.members[0].address.clone();
    assert_eq!(
        refusal(wrong),
        "2 members have the node 1: a and c\n2 members have the name c: c and c\n2 members have the address \
         10.0.0.1:7400: a and c"
    );
}

#[test]
fn limits_are_enforced() {
    let many = ["r"; 65];
    let mut wrong = proposal(&many, "majority");
    for (port, member) in (1..).zip(&mut wrong.members) {
        member.address = format!("h:{port}");
    }
    assert_eq!(refusal(wrong.clone()), "there are 65 members, the most is 64");
    wrong.members.pop();
    let largest = Configuration::new(wrong).expect("64 members are fine");
    assert!(largest.is_phase1_quorum(NodeSet::first(33)) && !largest.is_phase1_quorum(NodeSet::first(32)));
    let mut wrong = proposal(&["r"], "majority");
    wrong.alpha = 65_537;
    assert_eq!(refusal(wrong.clone()), "alpha is 65537, it must be from 1 to 65536");
    wrong.alpha = 65_536;
    wrong.members[0].role = Role::Learner;
    assert_eq!(
        refusal(wrong.clone()),
        "no member is a voter: there is nobody to lead and decide"
    );
    wrong.members.clear();
    assert_eq!(
        refusal(wrong),
        "no member is a voter: there is nobody to lead and decide"
    );
    for (region, fault) in [
        ("r\u{1b}[2J", true),
        (&"r".repeat(256), true),
        (&"r".repeat(255), false),
    ] {
        let mut odd = proposal(&["r"], "majority");
        odd.members[0].region = region.into();
        let said = Configuration::new(odd).err().map(|faults| faults.to_string());
        let expected = "node 1: region has control characters or is longer than 255 bytes";
        assert_eq!(said.as_deref(), fault.then_some(expected), "{region}");
    }
    for address in ["h:0", "h:65536", "h", ":1", "a b:1", "h:+1"] {
        let mut wrong = proposal(&["r"], "majority");
        wrong.members[0].address = address.into();
        assert!(refusal(wrong).contains("is not of the form host:port"), "{address}");
    }
}

#[test]
fn a_grid_must_hold_every_voter_once() {
    let regions = ["r"; 4];
    let wide = format!("grid [{}] columns/rows", "1 ".repeat(65));
    for (spec, reason) in [
        (
            "grid 2x3 columns/rows",
            "a grid of 2 rows and 3 columns does not hold 4 voters exactly",
        ),
        ("grid 65536x65536 columns/rows", "does not hold 4 voters exactly"),
        (
            "grid [1 2 | 3 9] columns/rows",
            "row 2, column 2 of the grid holds node 9, which is not a member",
        ),
        (
            "grid [1 2 | 3 9] columns/rows",
            "d is a voter but is in no cell of the grid",
        ),
        (
            "grid [1 2 | 3 4 | 1 2] columns/rows",
            "a is in more than one cell of the grid\nb is in more than one cell",
        ),
        ("grid [1 2 3 4 | - -] columns/rows", "row 2 of the grid has no member"),
        (
            "grid [1 2 - | 3 4 -] columns/rows",
            "column 3 of the grid has no member",
        ),
        ("grid [1 - 2 | 3 4 -] each-row/rows", "each of the rows has a dead cell"),
        ("grid [1 2 - | - 3 4] rows/columns", "each of the rows has a dead cell"),
        (&wide, "the grid has 1 rows and 65 columns, the most is 64 of each"),
        ("grid [] columns/rows", "row 1 of the grid has no member"),
        (
            "zones 2x1/1x1",
            "a phase 1 quorum needs 2 zones with 1 voters each, but only 1 zones have so many",
        ),
        ("zones 0x1/1x0", "a phase 1 quorum of 0 zones"),
        ("zones 0x1/1x0", "a phase 2 quorum of 0 voters in each zone"),
    ] {
        let said = refusal(proposal(&regions, spec));
        assert!(said.contains(reason), "{spec}: {said}");
    }
    let mut learner = proposal(&regions, "grid [1 2 | 3 4] columns/rows");
    learner.members[3].role = Role::Learner;
    let faults = Configuration::new(learner).expect_err("a learner is in the grid");
    assert!(matches!(faults.as_slice(), [Fault::GridLearner { member }] if member.position == 3));
}

#[test]
fn large_systems_are_proven_by_their_shape() {
    let eight_regions: Vec<String> = (0..64).map(|index| format!("r{}", index / 8)).collect();
    let regions: Vec<&str> = eight_regions.iter().map(String::as_str).collect();
    for spec in [
        "majority",
        "counts 60/5",
        "grid 8x8 columns/rows",
        "grid regions each-row/rows",
        "grid 8x8 each-column/columns",
        "zones 5x5/4x4",
        "zones 8x1/1x8",
    ] {
        let configuration = configuration(&regions, spec);
        let universe = configuration.universe();
        let answer = intersection(
            universe,
            &configuration.rule(Phase::One),
            &configuration.rule(Phase::Two),
        );
        assert_eq!(answer, Intersection::Always(Proof::Structure), "{spec}");
        for phase in Phase::BOTH {
            for domain in Domain::ALL {
                configuration
                    .tolerance(phase, domain)
                    .unwrap_or_else(|error| panic!("{spec}: {phase}, {domain}: {error}"));
            }
        }
    }
    for (spec, total) in [
        ("counts 32/32", 64),
        ("zones 4x5/4x5", 40),
        ("zones 5x5/4x3", 37),
        ("zones 8x1/8x7", 64),
    ] {
        let faults = Configuration::new(proposal(&regions, spec)).expect_err(spec);
        let [Fault::Disjoint { phase1, phase2 }] = faults.as_slice() else {
            panic!("{spec}: {faults}")
        };
        assert!(phase1.iter().all(|member| !phase2.contains(member)), "{spec}");
        assert!(
            phase1.len() + phase2.len() <= total,
            "{spec}: {} and {}",
            phase1.len(),
            phase2.len()
        );
    }
}

#[test]
fn zones_of_one_name_in_two_regions_are_two_zones() {
    let mut two = proposal(&["x", "x", "y", "y"], "zones 1x2/2x1");
    for member in &mut two.members {
        member.zone = "1".into();
    }
    let configuration = Configuration::new(two).expect("two zones");
    let names: Vec<String> = configuration
        .units(Domain::Zone)
        .into_iter()
        .map(|unit| unit.name)
        .collect();
    assert_eq!(names, ["x/1", "y/1"]);
}

#[test]
fn data_on_one_disk_or_in_one_zone_is_a_hazard() {
    let said = |regions: &[&str], spec: &str| {
        configuration(regions, spec)
            .hazards()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(said(&["x", "y", "z"], "majority"), "");
    assert_eq!(
        said(&["x", "x", "y"], "majority"),
        "phase 2 quorum {a, b} lies within one zone: losing x can lose acknowledged data"
    );
    assert_eq!(
        said(&["x", "y"], "counts 2/1"),
        "phase 2 quorum {a} lies within one node: losing a can lose acknowledged data\nphase 2 quorum {b} lies within one \
         node: losing b can lose acknowledged data"
    );
    assert_eq!(said(&["x", "x", "y", "y"], "zones 1x2/2x1"), "");
}

#[test]
fn fingerprints_tell_configurations_apart() {
    let base = proposal(&["x", "y", "z"], "majority");
    let fingerprint = |change: &dyn Fn(&mut Proposal)| {
        let mut changed = base.clone();
        change(&mut changed);
        Configuration::new(changed).expect("still valid").fingerprint()
    };
    let all = [
        fingerprint(&|_| {}),
        fingerprint(&|p| p.epoch = Epoch(2)),
        fingerprint(&|p| p.alpha = 17),
        fingerprint(&|p| p.system = SystemSpec::Counts { phase1: 2, phase2: 2 }),
        fingerprint(&|p| p.members[0].incarnation = Incarnation(2)),
        fingerprint(&|p| p.members[0].zone = "x2".into()),
        fingerprint(&|p| p.members[0].address = "10.0.0.9:7400".into()),
        fingerprint(&|p| p.members[2].role = Role::Learner),
        fingerprint(&|p| drop(p.members.pop())),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "{index}");
    }
    // Nodes of different versions compare this number: it must never change. The value was worked out from the definition by other means.
    assert_eq!(
        all[0], 7_049_726_152_551_326_751,
        "the fingerprint of the reference configuration"
    );
}

#[test]
fn a_rule_that_is_not_well_formed_is_refused() {
    let universe = NodeSet::first(3);
    let node = Rule::Node(0);
    let deep = (0..40).fold(node.clone(), |rule, _| Rule::all([rule]));
    let wide = Rule::any((0..5000).map(|_| node.clone()));
    for (rule, fault) in [
        (Rule::Node(3), RuleFault::Foreign(3)),
        (Rule::any([]), RuleFault::OutOfReach { k: 1, total: 0 }),
        (Rule::all([]), RuleFault::Zero),
        (Rule::at_least(0, [node.clone()]), RuleFault::Zero),
        (
            Rule::at_least(3, [node.clone(), Rule::Node(1)]),
            RuleFault::OutOfReach { k: 3, total: 2 },
        ),
        (
            Rule::Threshold {
                k: 1,
                of: vec![(0, node.clone())],
            },
            RuleFault::Zero,
        ),
        (
            Rule::Threshold {
                k: 1,
                of: vec![(u32::MAX, node.clone())],
            },
            RuleFault::TooHeavy(u64::from(u32::MAX)),
        ),
        (deep, RuleFault::TooLarge),
        (wide, RuleFault::TooLarge),
    ] {
        let answer = RuleSystem::new(universe, node.clone(), rule.clone());
        assert_eq!(answer.map(|_| ()).expect_err("malformed"), fault, "{rule}");
    }
}

#[test]
fn sets_of_members_are_words() {
    assert_eq!(NodeSet::first(64).len(), 64);
    assert_eq!(NodeSet::first(0), NodeSet::EMPTY);
    let mut set: NodeSet = [5, 1, 63, 1].into_iter().collect();
    assert_eq!(set.iter().collect::<Vec<_>>(), [1, 5, 63]);
    assert_eq!(set.iter().len(), 3);
    assert!(set.insert(2) && !set.insert(2) && set.remove(63) && !set.remove(63) && !set.remove(200));
    assert!(!set.contains(200));
    assert_eq!(format!("{set:?}"), "{1, 2, 5}");
    assert_eq!(NodeSet::first(6).minus(set) | set, NodeSet::first(6));
    assert!((NodeSet::first(6).minus(set) & set).is_empty());
}

#[test]
fn members_are_read_with_defaults() {
    let [member] = &members(&["r"])[..] else {
        panic!("one member")
    };
    let json = r#"{"node":1,"name":"a","region":"r","address":"10.0.0.1:7400"}"#;
    assert_eq!(
        &serde_json::from_str::<quorum::Member>(json).expect("defaults fill the rest"),
        member
    );
    assert!(
        serde_json::from_str::<quorum::Member>(r#"{"node":1,"name":"a","region":"r"}"#).is_err(),
        "no address"
    );
    let binary = postcard::to_allocvec(member).expect("a member can be written");
    assert_eq!(
        &postcard::from_bytes::<quorum::Member>(&binary).expect("and read"),
        member
    );
}
