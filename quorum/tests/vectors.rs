//! Reference values that were computed outside this project; see `data/README.md`.

mod common;

use common::{configuration, expression, set, words};
use quorum::latency::commit_cost;
use quorum::minimal::{count_minimal_quorums, minimal_quorums};
use quorum::resilience::{Domain, tolerance};
use quorum::validity::{Intersection, Limits, intersection, intersection_within};
use quorum::{Configuration, NodeSet, Phase, QuorumSystem, Rule, RuleSystem};
use serde_json::Value;
use std::collections::BTreeMap;

fn systems() -> Value {
    serde_json::from_str(include_str!("data/quorum_systems.json")).expect("the file is JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is a text in {value}"))
}

fn number(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key} is a number in {value}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key]
        .as_array()
        .unwrap_or_else(|| panic!("{key} is a list in {value}"))
}

fn sorted_words(value: &Value, key: &str) -> Vec<String> {
    let mut words: Vec<String> = list(value, key)
        .iter()
        .map(|word| word.as_str().expect("a quorum is a word").to_string())
        .collect();
    words.sort();
    words
}

fn minimal(rule: &Rule) -> Vec<String> {
    words(minimal_quorums(rule, 1 << 20).expect("small systems can be listed"))
}

fn survived_nodes(rule: &Rule, n: usize) -> u64 {
    let nodes: Vec<NodeSet> = (0..n as u8).map(NodeSet::single).collect();
    u64::from(tolerance(rule, &nodes).expect("small systems can be decided").survives)
}

#[test]
fn quorums_and_resilience_of_every_system_are_the_published_ones() {
    let file = systems();
    let mut seen = 0;
    for system in list(&file, "systems") {
        let name = text(system, "name");
        let n = list(system, "nodes").len();
        let reads = expression(text(system, "reads_expr"));
        let writes = expression(text(system, "writes_expr"));
        assert_eq!(
            minimal(&reads),
            sorted_words(system, "min_read_quorums"),
            "{name}: phase 1"
        );
        assert_eq!(
            minimal(&writes),
            sorted_words(system, "min_write_quorums"),
            "{name}: phase 2"
        );
        assert_eq!(
            minimal(&reads.dual()),
            sorted_words(system, "min_dual_of_reads"),
            "{name}: dual"
        );
        assert_eq!(
            survived_nodes(&reads, n),
            number(system, "read_resilience"),
            "{name}: phase 1"
        );
        assert_eq!(
            survived_nodes(&writes, n),
            number(system, "write_resilience"),
            "{name}: phase 2"
        );
        let universe = NodeSet::first(n as u8);
        let checked = RuleSystem::new(universe, reads.clone(), writes.clone()).expect("the rules are well-formed");
        assert!(
            matches!(intersection(universe, &reads, &writes), Intersection::Always(_)),
            "{name}"
        );
        for quorum in minimal_quorums(&writes, 1 << 20).expect("small") {
            assert!(
                checked.is_phase2_quorum(quorum) && !checked.is_phase1_quorum(universe.minus(quorum)),
                "{name}"
            );
        }
        seen += 1;
    }
    assert_eq!(seen, 38);
}

#[test]
fn intersection_checks_agree_with_their_smallest_counterexample() {
    let file = systems();
    let checks = list(&file, "intersection_checks");
    assert_eq!(checks.len(), 8);
    for check in checks {
        let name = text(check, "name");
        let reads = expression(text(check, "reads_expr"));
        let writes = expression(text(check, "writes_expr"));
        let universe = reads.leaves() | writes.leaves();
        let answer = intersection(universe, &reads, &writes);
        let search_only = Limits {
            structure: 0,
            enumeration: 0,
            ..Limits::default()
        };
        let searched = intersection_within(universe, &reads, &writes, search_only);
        if check["valid"] == true {
            assert!(matches!(answer, Intersection::Always(_)), "{name}: {answer:?}");
            assert!(matches!(searched, Intersection::Always(_)), "{name}: {searched:?}");
            continue;
        }
        let smallest = list(check, "smallest_counterexample");
        let [first, second] = smallest else {
            panic!("{name}: a counterexample is a pair")
        };
        let first = set(first.as_str().expect("a word"));
        let second = set(second.as_str().expect("a word"));
        assert_eq!(answer, Intersection::Disjoint { first, second }, "{name}");
        let Intersection::Disjoint { first: a, second: b } = searched else {
            panic!("{name}: {searched:?}")
        };
        assert_eq!(a.len() + b.len(), first.len() + second.len(), "{name}: {searched:?}");
    }
}

/// Regions of the members, the system as an operator writes it, and the name of the same system in the file.
const EXPRESSIBLE: [(&[&str], &str, &str); 23] = [
    (&["r"], "majority", "single"),
    (&["r"; 2], "counts 2/1", "majority2"),
    (&["r"; 3], "majority", "majority3"),
    (&["r"; 5], "majority", "majority5"),
    (&["r"; 3], "counts 3/1", "fpaxos_count_n3_w1"),
    (&["r"; 5], "counts 5/1", "fpaxos_count_n5_w1"),
    (&["r"; 5], "counts 4/2", "fpaxos_count_n5_w2"),
    (&["r"; 7], "counts 6/2", "fpaxos_count_n7_w2"),
    (&["r"; 7], "counts 5/3", "fpaxos_count_n7_w3"),
    (&["r"; 8], "counts 7/2", "fpaxos_count_n8_w2"),
    (&["r"; 9], "counts 6/4", "fpaxos_count_n9_w4"),
    (&["r"; 9], "grid 3x3 rows/each-row", "grid3x3_rows"),
    (&["r"; 9], "grid 3x3 each-column/columns", "grid3x3_col_q2"),
    (
        &["x", "y", "y", "z", "z", "z", "z"],
        "grid regions rows/each-row",
        "grid_ragged_1_2_4",
    ),
    (
        &["x", "x", "x", "y", "y", "y", "z", "z", "z"],
        "zones 2x2/2x2",
        "fgrid_fz1",
    ),
    (
        &["x", "x", "x", "y", "y", "y", "z", "z", "z"],
        "zones 1x3/3x1",
        "zone_any_all",
    ),
    (
        &["x", "x", "y", "y", "z", "z"],
        "zones 2x2/2x1",
        "zones3x2_two_zones_one_each",
    ),
    (
        &["x", "x", "y", "y", "z", "z"],
        "zones 2x1/2x2",
        "zones3x2_two_zones_all",
    ),
    (
        &["r"; 6],
        "grid [1 | 2 3 | 4 5 6] rows/each-row",
        "triang_wall_rows_1_2_3_reads",
    ),
    (
        &["x", "x", "y", "y", "y"],
        "grid zones rows/each-row",
        "paper_case_grid",
    ),
    (&["x", "x", "y", "y"], "grid 2x2 rows/each-row", "paper_grid_rw_hetero"),
    (&["r"; 4], "counts 2/3", "paper_choose2of4"),
    (
        &["x", "x", "x", "y", "y", "y"],
        "grid regions rows/each-row",
        "readme_grid2x3",
    ),
];

#[test]
fn systems_as_an_operator_writes_them_are_those_of_the_file() {
    let file = systems();
    let by_name: BTreeMap<&str, &Value> = list(&file, "systems")
        .iter()
        .map(|system| (text(system, "name"), system))
        .collect();
    for (regions, spec, name) in EXPRESSIBLE {
        let configuration = configuration(regions, spec);
        let system = by_name[name];
        for (phase, quorums, resilience) in [
            (Phase::One, "min_read_quorums", "read_resilience"),
            (Phase::Two, "min_write_quorums", "write_resilience"),
        ] {
            let rule = configuration.rule(phase);
            assert_eq!(
                minimal(&rule),
                sorted_words(system, quorums),
                "{name} as {spec}: {phase}"
            );
            assert_eq!(
                count_minimal_quorums(&rule),
                list(system, quorums).len() as u64,
                "{name} as {spec}: {phase}"
            );
            let survives = configuration.tolerance(phase, Domain::Node).expect("small").survives;
            assert_eq!(
                u64::from(survives),
                number(system, resilience),
                "{name} as {spec}: {phase}"
            );
        }
    }
}

/// Microseconds between regions.
fn round_trips(csv: &str) -> BTreeMap<(&str, &str), u64> {
    csv.lines()
        .skip(1)
        .map(|line| {
            let [from, to, ms] = line.split(',').collect::<Vec<_>>()[..] else {
                panic!("three columns: {line}")
            };
            ((from, to), micros(ms.parse().expect("milliseconds")))
        })
        .collect()
}

fn micros(ms: f64) -> u64 {
    (ms * 1000.0).round() as u64
}

/// How an operator writes each scenario of `planner.json`.
const SCENARIOS: [(&str, &str); 10] = [
    ("gcp5_count_q12_q24", "counts 2/4"),
    ("gcp3x3_fgrid_fz0", "zones 3x2/1x2"),
    ("gcp3x3_fgrid_fz1", "zones 2x2/2x2"),
    ("gcp_221_q1_4_q2_2", "counts 4/2"),
    ("gcp_2dc_q2_both_dcs", "zones 1x2/2x1"),
    ("aws5_wpaxos_regions_q13_q23", "majority"),
    ("aws5_wpaxos_regions_q14_q22", "counts 4/2"),
    ("aws5x3_fgrid_fz0", "zones 5x2/1x2"),
    ("aws5x3_fgrid_fz1", "zones 4x2/2x2"),
    ("aws5x3_fgrid_fz2", "zones 3x2/3x2"),
];

#[test]
fn latency_and_resilience_of_every_scenario_are_the_published_ones() {
    let file: Value = serde_json::from_str(include_str!("data/planner.json")).expect("the file is JSON");
    let aws = round_trips(include_str!("data/rtt_aws.csv"));
    let gcp = round_trips(include_str!("data/rtt_gcp.csv"));
    let scenarios = list(&file, "scenarios");
    assert_eq!(scenarios.len(), SCENARIOS.len());
    for scenario in scenarios {
        let name = text(scenario, "name");
        let (_, spec) = SCENARIOS
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("{name} is new"));
        let regions: Vec<&str> = list(scenario, "nodes")
            .iter()
            .map(|node| text(node, "region"))
            .collect();
        let configuration = configuration(&regions, spec);
        let trips = if text(scenario, "provider") == "aws" {
            &aws
        } else {
            &gcp
        };
        check_quorums_and_tolerance(name, &configuration, scenario);
        for leader in list(scenario, "leaders") {
            let from = number(leader, "node") as u8;
            let cost: Vec<u64> = regions
                .iter()
                .map(|to| trips[&(regions[usize::from(from)], *to)])
                .collect();
            check_latency(name, &configuration, from, &cost, leader);
        }
    }
}

fn check_quorums_and_tolerance(name: &str, configuration: &Configuration, scenario: &Value) {
    for (phase, quorums, nodes, regions) in [
        (Phase::One, "min_phase1", "node_ft_phase1", "region_ft_phase1"),
        (Phase::Two, "min_phase2", "node_ft_phase2", "region_ft_phase2"),
    ] {
        let member = |index: &Value| index.as_u64().expect("an index") as u8;
        let quorum = |members: &Value| {
            members
                .as_array()
                .expect("a quorum is a list")
                .iter()
                .map(member)
                .collect()
        };
        let expected = words(list(scenario, quorums).iter().map(quorum));
        assert_eq!(minimal(&configuration.rule(phase)), expected, "{name}: {phase}");
        for (domain, key) in [(Domain::Node, nodes), (Domain::Region, regions)] {
            let survives = configuration.tolerance(phase, domain).expect("small").survives;
            assert_eq!(u64::from(survives), number(scenario, key), "{name}: {phase}, {domain}");
        }
    }
    for region in configuration.units(Domain::Region) {
        let left = configuration.universe().minus(region.members);
        let survives = configuration.is_phase1_quorum(left) && configuration.is_phase2_quorum(left);
        assert_eq!(
            scenario["survives_region_loss"][&region.name], survives,
            "{name}: {}",
            region.name
        );
    }
}

fn check_latency(name: &str, configuration: &Configuration, from: u8, cost: &[u64], leader: &Value) {
    let expected = |key: &str| leader[key].as_f64().map(micros);
    for (phase, key) in [(Phase::One, "election_ms"), (Phase::Two, "commit_ms")] {
        assert_eq!(
            commit_cost(configuration, phase, from, cost),
            expected(key),
            "{name}, leader {from}: {key}"
        );
    }
    let without = |down: u8| {
        let mut cost = cost.to_vec();
        cost[usize::from(down)] = u64::MAX;
        commit_cost(configuration, Phase::Two, from, &cost)
    };
    let others = configuration.universe().minus(NodeSet::single(from));
    let worst = others
        .iter()
        .map(without)
        .max_by_key(|cost| cost.unwrap_or(u64::MAX))
        .flatten();
    let key = "commit_ms_worst_single_node_down";
    assert_eq!(worst, expected(key), "{name}, leader {from}: {key} is {}", leader[key]);
}
