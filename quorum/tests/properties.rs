//! Random rules and random systems against an oracle that goes through every subset.

mod common;

use common::{Oracle, members, satisfied, try_spec};
use proptest::prelude::*;
use quorum::minimal::{count_minimal_quorums, minimal_quorums, smallest_quorum};
use quorum::resilience::tolerance;
use quorum::validity::{Intersection, Limits, Proof, intersection_within};
use quorum::{
    Configuration, Fault, Layout, Line, NodeSet, Phase, QuorumSystem, Rule, RuleSystem, SystemSpec, Verdict, ZoneCount,
};
use std::collections::BTreeMap;

/// A well-formed tree over the first `n` members, with weights and repeated members.
fn rule(n: u8) -> impl Strategy<Value = Rule> {
    let leaf = (0..n).prop_map(Rule::Node);
    leaf.prop_recursive(3, 20, 4, |inner| {
        let weight = prop_oneof![3 => Just(1_u32), 1 => 1..4_u32];
        (
            proptest::collection::vec((weight, inner), 1..=4),
            any::<prop::sample::Index>(),
        )
            .prop_map(|(of, k)| {
                let total: u32 = of.iter().map(|(weight, _)| weight).sum();
                Rule::Threshold {
                    k: k.index(total as usize) as u32 + 1,
                    of,
                }
            })
    })
}

fn rule_over() -> impl Strategy<Value = (u8, Rule)> {
    (1..=8_u8).prop_flat_map(|n| (Just(n), rule(n)))
}

fn rules_over() -> impl Strategy<Value = (u8, Rule, Rule)> {
    (1..=8_u8).prop_flat_map(|n| (Just(n), rule(n), rule(n)))
}

/// A rule and its dual, or something that its dual implies: pairs that meet, which random pairs seldom do.
fn meeting_rules() -> impl Strategy<Value = (u8, Rule, Rule)> {
    rules_over().prop_map(|(n, a, b)| {
        let dual = a.dual();
        (n, a, Rule::all([dual, b]))
    })
}

fn small(count: u32) -> impl Strategy<Value = u32> {
    0..=count
}

fn spec(n: u32) -> impl Strategy<Value = SystemSpec> {
    let zone_count = || (small(4), small(3)).prop_map(|(zones, members)| ZoneCount { zones, members });
    let line = || {
        prop_oneof![
            Just(Line::Row),
            Just(Line::Column),
            Just(Line::EachRow),
            Just(Line::EachColumn)
        ]
    };
    let layout = prop_oneof![
        (1..=3_u32).prop_map(move |rows| Layout::Size {
            rows,
            columns: n.div_ceil(rows)
        }),
        Just(Layout::Regions),
        Just(Layout::Zones)
    ];
    let cell = prop_oneof![4 => (1..=u64::from(n)).prop_map(|node| Some(quorum::NodeId(node))), 1 => Just(None)];
    let wild = proptest::collection::vec(proptest::collection::vec(cell, 0..4), 0..4);
    // Every member once, in rows of random lengths, with dead cells thrown in.
    let tame = proptest::collection::vec((0..4_u8, 0..6_u8), n as usize).prop_map(|turns| {
        let mut cells = vec![vec![]];
        for (node, (turn, hole)) in (1..).map(quorum::NodeId).zip(turns) {
            if turn == 0 {
                cells.push(vec![]);
            }
            let row = cells.last_mut().expect("there is a row");
            if hole == 0 {
                row.push(None);
            }
            row.push(Some(node));
        }
        cells.retain(|row| !row.is_empty());
        cells
    });
    prop_oneof![
        1 => Just(SystemSpec::Majority),
        3 => (small(n + 1), small(n + 1)).prop_map(|(phase1, phase2)| SystemSpec::Counts { phase1, phase2 }),
        3 => (zone_count(), zone_count()).prop_map(|(phase1, phase2)| SystemSpec::Zones { phase1, phase2 }),
        3 => (layout, line(), line()).prop_map(|(layout, phase1, phase2)| SystemSpec::GridOf { layout, phase1, phase2 }),
        1 => (wild, line(), line()).prop_map(|(cells, phase1, phase2)| SystemSpec::Grid { cells, phase1, phase2 }),
        3 => (tame, line(), line()).prop_map(|(cells, phase1, phase2)| SystemSpec::Grid { cells, phase1, phase2 }),
    ]
}

fn regions_and_spec() -> impl Strategy<Value = (Vec<&'static str>, SystemSpec)> {
    let region = prop::sample::select(vec!["x", "y", "z", "w"]);
    proptest::collection::vec(region, 1..=8).prop_flat_map(|regions| {
        let n = regions.len() as u32;
        (Just(regions), spec(n))
    })
}

/// What a system means, said directly: whether the members in `bits` hold a quorum. `None` if the system makes no sense.
fn meaning(regions: &[&str], spec: &SystemSpec, phase: Phase, bits: u64) -> Option<bool> {
    let pick = |one: u32, two: u32| if phase == Phase::One { one } else { two };
    let n = regions.len() as u32;
    let zones: Vec<Vec<usize>> = by_region(regions);
    match spec {
        SystemSpec::Majority => Some(bits.count_ones() * 2 > n),
        SystemSpec::Counts { phase1, phase2 } => {
            let k = pick(*phase1, *phase2);
            (1..=n).contains(&k).then(|| bits.count_ones() >= k)
        }
        SystemSpec::Zones { phase1, phase2 } => {
            let ZoneCount { zones: k, members: m } = if phase == Phase::One { *phase1 } else { *phase2 };
            let full = |bits: u64| {
                let count = |zone: &Vec<usize>| zone.iter().filter(|i| bits >> **i & 1 == 1).count();
                zones.iter().filter(|zone| count(zone) >= m as usize).count() >= k as usize
            };
            (k > 0 && m > 0 && full(u64::MAX)).then(|| full(bits))
        }
        SystemSpec::Grid { cells, phase1, phase2 } => {
            let cells: Vec<Vec<Option<usize>>> = cells
                .iter()
                .map(|row| row.iter().map(|cell| cell.map(|node| node.0 as usize - 1)).collect())
                .collect();
            grid_meaning(
                &cells,
                regions.len(),
                if phase == Phase::One { *phase1 } else { *phase2 },
                bits,
            )
        }
        SystemSpec::GridOf { layout, phase1, phase2 } => {
            let rows: Vec<Vec<usize>> = match layout {
                Layout::Regions | Layout::Zones => zones,
                Layout::Size { rows, columns } if rows * columns == n => (0..*rows as usize)
                    .map(|row| (0..*columns as usize).map(|c| row * *columns as usize + c).collect())
                    .collect(),
                Layout::Size { .. } => return None,
            };
            let cells: Vec<Vec<Option<usize>>> = rows
                .into_iter()
                .map(|row| row.into_iter().map(Some).collect())
                .collect();
            grid_meaning(
                &cells,
                regions.len(),
                if phase == Phase::One { *phase1 } else { *phase2 },
                bits,
            )
        }
    }
}

fn by_region(regions: &[&str]) -> Vec<Vec<usize>> {
    let mut first: Vec<&str> = Vec::new();
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, region) in regions.iter().enumerate() {
        if !first.contains(region) {
            first.push(region);
        }
        groups.entry(region).or_default().push(index);
    }
    first.iter().map(|region| groups[region].clone()).collect()
}

fn grid_meaning(cells: &[Vec<Option<usize>>], n: usize, line: Line, bits: u64) -> Option<bool> {
    let width = cells.iter().map(Vec::len).max().unwrap_or(0);
    let at = |row: usize, column: usize| cells[row].get(column).copied().flatten();
    let live: Vec<usize> = cells.iter().flatten().filter_map(|cell| *cell).collect();
    let mut sorted = live.clone();
    sorted.sort_unstable();
    if sorted != (0..n).collect::<Vec<_>>() {
        return None;
    }
    let hollow_row = (0..cells.len()).any(|row| (0..width).all(|column| at(row, column).is_none()));
    let hollow_column = (0..width).any(|column| (0..cells.len()).all(|row| at(row, column).is_none()));
    if hollow_row || hollow_column {
        return None;
    }
    let has = |cell: Option<usize>| cell.is_some_and(|index| bits >> index & 1 == 1);
    let rows = 0..cells.len();
    let columns = 0..width;
    let full_row = |row: usize| cells[row].iter().all(Option::is_some);
    let full_column = |column: usize| (0..cells.len()).all(|row| at(row, column).is_some());
    match line {
        Line::Row => rows.clone().any(full_row).then(|| {
            rows.clone()
                .any(|row| full_row(row) && cells[row].iter().all(|cell| has(*cell)))
        }),
        Line::Column => columns.clone().any(full_column).then(|| {
            columns
                .clone()
                .any(|column| full_column(column) && rows.clone().all(|row| has(at(row, column))))
        }),
        Line::EachRow => Some(
            rows.clone()
                .all(|row| columns.clone().any(|column| has(at(row, column)))),
        ),
        Line::EachColumn => Some(
            columns
                .clone()
                .all(|column| rows.clone().any(|row| has(at(row, column)))),
        ),
    }
}

fn system(n: u8, phase1: &Rule, phase2: &Rule) -> RuleSystem {
    RuleSystem::new(NodeSet::first(n), phase1.clone(), phase2.clone()).expect("generated rules are well-formed")
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_rule_is_monotone_and_means_what_it_says((n, rule) in rule_over()) {
        let system = system(n, &rule, &rule);
        let oracle = Oracle::of_rule(n, &rule);
        prop_assert!(!system.is_phase1_quorum(NodeSet::EMPTY));
        prop_assert!(system.is_phase1_quorum(NodeSet::first(n)));
        for bits in oracle.sets() {
            let strangers = NodeSet::from_bits(bits | !oracle.all());
            prop_assert_eq!(system.is_phase1_quorum(NodeSet::from_bits(bits)), oracle.is(bits));
            prop_assert_eq!(system.is_phase1_quorum(strangers), oracle.is(bits), "members outside count for nothing");
            for i in 0..n {
                prop_assert!(!oracle.is(bits) || oracle.is(bits | 1 << i), "monotone");
            }
        }
    }

    #[test]
    fn the_dual_holds_for_what_cannot_be_spared((n, rule) in rule_over()) {
        let dual = rule.dual();
        let simple = rule.simplified();
        prop_assert_eq!(&dual.dual(), &rule);
        for bits in 0..1_u64 << n {
            let rest = !bits & ((1 << n) - 1);
            prop_assert_eq!(satisfied(&dual, bits), !satisfied(&rule, rest));
            prop_assert_eq!(satisfied(&simple, bits), satisfied(&rule, bits));
        }
        prop_assert!(simple.check(NodeSet::first(n)).is_ok());
    }

    #[test]
    fn minimal_quorums_are_listed_and_counted((n, rule) in rule_over(), within in any::<u64>()) {
        let oracle = Oracle::of_rule(n, &rule);
        let mut listed: Vec<u64> = minimal_quorums(&rule, 1 << 20).expect("small").iter().map(|q| q.bits()).collect();
        listed.sort_unstable();
        prop_assert_eq!(&listed, &oracle.minimal());
        let count = count_minimal_quorums(&rule);
        prop_assert!(count >= listed.len() as u64);
        prop_assert!(!rule.is_read_once() || count == listed.len() as u64);
        prop_assert_eq!(minimal_quorums(&rule, count - 1).expect_err("over the cap").count, count);
        let within = NodeSet::from_bits(within);
        let smallest = smallest_quorum(&rule, within).expect("small");
        let least = listed.iter().filter(|q| *q & !within.bits() == 0).map(|q| q.count_ones() as usize).min();
        prop_assert_eq!(smallest.map(NodeSet::len), least);
        prop_assert!(smallest.is_none_or(|q| listed.contains(&q.bits())));
    }

    #[test]
    fn every_method_comes_to_the_same_verdict((n, a, b) in prop_oneof![rules_over(), meeting_rules()]) {
        check_intersection(n, &a, &b)?;
        check_intersection(n, &b, &a)?;
    }

    #[test]
    fn what_survives_and_what_is_fatal_is_exact((n, rule) in rule_over(), unit_of in proptest::collection::vec(0..4_usize, 8)) {
        let oracle = Oracle::of_rule(n, &rule);
        let nodes: Vec<u64> = (0..n).map(|i| 1 << i).collect();
        let mut groups = vec![0_u64; 4];
        for (i, unit) in unit_of.iter().enumerate().take(usize::from(n)) {
            groups[*unit] |= 1 << i;
        }
        groups.retain(|group| *group != 0);
        for units in [nodes, groups] {
            let sets: Vec<NodeSet> = units.iter().map(|unit| NodeSet::from_bits(*unit)).collect();
            let found = tolerance(&rule, &sets).expect("small");
            let (survives, mut fatal) = oracle.tolerance(&units);
            let word = |set: &Vec<usize>| set.iter().fold(0_u64, |word, unit| word | 1 << unit);
            let mut listed: Vec<u64> = found.fatal.expect("small").iter().map(word).collect();
            listed.sort_unstable();
            fatal.sort_unstable();
            prop_assert_eq!(found.survives, survives);
            prop_assert_eq!(listed, fatal);
        }
    }

    #[test]
    fn votes_are_won_lost_or_pending((n, a, b) in rules_over()) {
        let system = system(n, &a, &b);
        let all = (1_u64 << n) - 1;
        for phase in Phase::BOTH {
            let rule = system.rule(phase).into_owned();
            for acks in 0..=all {
                // Refusals of others, and of some who have agreed before.
                for nacks in [all & !acks, (all & !acks) & 0x0f, all & 0x55, all & 0x0f, 0, all] {
                    let expected = if satisfied(&rule, acks) {
                        Verdict::Won
                    } else if (0..=all).any(|later| later & nacks & !acks == 0 && satisfied(&rule, acks | later)) {
                        Verdict::Pending
                    } else {
                        Verdict::Lost
                    };
                    let verdict = system.verdict(phase, NodeSet::from_bits(acks), NodeSet::from_bits(nacks));
                    prop_assert_eq!(verdict, expected);
                }
            }
        }
    }

    #[test]
    fn the_committed_index_is_the_last_that_a_quorum_has((n, rule) in rule_over(), indexes in proptest::collection::vec(0..6_u64, 0..10)) {
        let system = system(n, &rule, &rule);
        let reached = |v: u64| indexes.iter().enumerate().filter(|(_, index)| **index >= v).fold(0_u64, |set, (i, _)| set | 1 << i);
        let expected = (1..6).rev().find(|v| satisfied(&rule, reached(*v))).unwrap_or(0);
        prop_assert_eq!(system.committed_index(Phase::Two, &indexes), expected);
    }

    #[test]
    fn the_picked_quorum_is_cheapest_and_minimal((n, rule) in rule_over(), cost in proptest::collection::vec(prop_oneof![4 => 0..6_u64, 1 => Just(u64::MAX)], 0..10)) {
        let system = system(n, &rule, &rule);
        let oracle = Oracle::of_rule(n, &rule);
        let dearest = |bits: u64| (0..n).filter(|i| bits >> i & 1 == 1).map(|i| cost.get(usize::from(i)).copied().unwrap_or(u64::MAX)).max();
        let cheapest = oracle.minimal().into_iter().filter_map(dearest).filter(|cost| *cost != u64::MAX).min();
        let picked = system.pick(Phase::One, &cost);
        prop_assert_eq!(picked.and_then(|quorum| dearest(quorum.bits())), cheapest);
        prop_assert!(picked.is_none_or(|quorum| oracle.minimal().contains(&quorum.bits())));
    }

    #[test]
    fn a_configuration_exists_exactly_if_its_quorums_meet((regions, spec) in regions_and_spec()) {
        let n = regions.len() as u8;
        let all = (1_u64 << n) - 1;
        let sensible = Phase::BOTH.iter().all(|phase| meaning(&regions, &spec, *phase, all).is_some());
        let answer = try_spec(&regions, spec.clone());
        if !sensible {
            prop_assert!(answer.is_err(), "{:?} over {:?}", spec, regions);
            return Ok(());
        }
        let oracle = |phase| Oracle::new(n, |bits| meaning(&regions, &spec, phase, bits).expect("sensible"));
        let (one, two) = (oracle(Phase::One), oracle(Phase::Two));
        match (answer, one.least_disjoint(&two)) {
            (Ok(configuration), None) => check_configuration(&configuration, &one, &two)?,
            (Err(faults), Some(least)) => {
                let [Fault::Disjoint { phase1, phase2 }] = faults.as_slice() else { panic!("{faults}") };
                let bits = |who: &[quorum::Who]| who.iter().fold(0_u64, |set, member| set | 1 << member.position);
                prop_assert!(one.minimal().contains(&bits(phase1)) && two.minimal().contains(&bits(phase2)));
                prop_assert_eq!(bits(phase1) & bits(phase2), 0);
                prop_assert_eq!((phase1.len() + phase2.len()) as u32, least);
            }
            (answer, least) => panic!("{spec:?} over {regions:?}: {answer:?}, least {least:?}"),
        }
    }

    #[test]
    fn a_system_survives_being_written_down((_, spec) in regions_and_spec()) {
        let text = spec.to_string();
        let back: SystemSpec = text.parse().expect("what is displayed can be read");
        // A row of no cells at all is written as nothing, and a grid without rows as one empty row: no grid is valid so.
        let is_grid = |spec: &SystemSpec| matches!(spec, SystemSpec::Grid { .. });
        prop_assert!(back == spec || (is_grid(&spec) && back.to_string() == text));
        let json = serde_json::to_string(&spec).expect("a text");
        prop_assert_eq!(&serde_json::from_str::<SystemSpec>(&json).expect("reads back"), &back);
        let binary = postcard::to_allocvec(&spec).expect("a text");
        prop_assert_eq!(&postcard::from_bytes::<SystemSpec>(&binary).expect("reads back"), &back);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(majority|counts|zones|grid|regions|rows|columns|each-row|[0-9]{1,12}|[x/|\\[\\] -]|\\PC){0,12}") {
        if let Ok(spec) = text.parse::<SystemSpec>() {
            let again: SystemSpec = spec.to_string().parse().expect("what is displayed can be read");
            prop_assert_eq!(again, spec.clone());
            // Whatever was read, the check comes to an answer.
            let _ = try_spec(&["x", "x", "y", "y"], spec);
        }
    }
}

fn check_intersection(n: u8, a: &Rule, b: &Rule) -> Result<(), TestCaseError> {
    let universe = NodeSet::first(n);
    let (ours, theirs) = (Oracle::of_rule(n, a), Oracle::of_rule(n, b));
    let least = ours.least_disjoint(&theirs);
    let all = Limits::default();
    for limits in [
        all,
        Limits { structure: 0, ..all },
        Limits {
            structure: 0,
            enumeration: 0,
            ..all
        },
    ] {
        match (intersection_within(universe, a, b, limits), least) {
            (Intersection::Always(proof), None) => {
                prop_assert!(limits.structure > 0 || proof != Proof::Structure);
            }
            (Intersection::Disjoint { first, second }, Some(least)) => {
                prop_assert!(first.is_disjoint(second));
                prop_assert!(ours.minimal().contains(&first.bits()) && theirs.minimal().contains(&second.bits()));
                let size = (first.len() + second.len()) as u32;
                prop_assert!(size == least || (limits.enumeration == 0 && size > least));
            }
            (answer, least) => panic!("{answer:?} under {limits:?}, least {least:?}"),
        }
    }
    let none = Limits {
        structure: 0,
        enumeration: 0,
        search: 0,
    };
    prop_assert_eq!(
        intersection_within(universe, a, b, none),
        Intersection::Unproven { examined: 0 }
    );
    // Given less than it takes, the search gives up; given that much, it comes to the same answer.
    let search = |search| intersection_within(universe, a, b, Limits { search, ..none });
    if let Intersection::Always(Proof::Search { examined }) = search(u64::MAX) {
        prop_assert_eq!(search(examined - 1), Intersection::Unproven { examined: examined - 1 });
        prop_assert_eq!(search(examined), Intersection::Always(Proof::Search { examined }));
    }
    Ok(())
}

fn check_configuration(configuration: &Configuration, one: &Oracle, two: &Oracle) -> Result<(), TestCaseError> {
    for (phase, oracle) in [(Phase::One, one), (Phase::Two, two)] {
        for bits in oracle.sets() {
            prop_assert_eq!(
                configuration.is_quorum(phase, NodeSet::from_bits(bits)),
                oracle.is(bits)
            );
        }
        let least = oracle
            .minimal()
            .iter()
            .map(|quorum| quorum.count_ones())
            .min()
            .expect("there is a quorum");
        prop_assert_eq!(configuration.smallest_quorum(phase), Ok(least));
    }
    let proposal = configuration.proposal();
    let json = serde_json::to_string(configuration).expect("a configuration can be written");
    prop_assert_eq!(
        &serde_json::from_str::<Configuration>(&json).expect("and read"),
        configuration
    );
    let toml = toml::to_string(configuration).expect("a configuration can be written");
    prop_assert_eq!(
        &toml::from_str::<Configuration>(&toml).expect("and read"),
        configuration
    );
    let binary = postcard::to_allocvec(configuration).expect("a configuration can be written");
    let back: Configuration = postcard::from_bytes(&binary).expect("and read");
    prop_assert_eq!(back.fingerprint(), configuration.fingerprint());
    prop_assert_eq!(&back, configuration);
    let mut shuffled = proposal.clone();
    shuffled.members.reverse();
    let same = Configuration::new(shuffled).expect("the order of the members does not matter");
    prop_assert_eq!(same.fingerprint(), configuration.fingerprint());
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    /// Whatever a decoder accepts was checked: a proposal that is not valid cannot come in as a configuration.
    #[test]
    fn an_invalid_proposal_is_not_decoded((regions, spec) in regions_and_spec()) {
        let proposal = quorum::Proposal { epoch: quorum::Epoch(3), alpha: 8, system: spec, members: members(&regions) };
        let binary = postcard::to_allocvec(&proposal).expect("a proposal can be written");
        let json = serde_json::to_string(&proposal).expect("a proposal can be written");
        let valid = Configuration::new(proposal).is_ok();
        prop_assert_eq!(postcard::from_bytes::<Configuration>(&binary).is_ok(), valid);
        prop_assert_eq!(serde_json::from_str::<Configuration>(&json).is_ok(), valid);
    }

    /// Bytes from a stranger are an error or a valid configuration, never a panic.
    #[test]
    fn damaged_bytes_do_not_panic((regions, spec) in regions_and_spec(), damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>()) {
        let proposal = quorum::Proposal { epoch: quorum::Epoch(3), alpha: 8, system: spec, members: members(&regions) };
        let mut binary = postcard::to_allocvec(&proposal).expect("a proposal can be written");
        for (at, byte) in damage {
            let at = at.index(binary.len());
            binary[at] = byte;
        }
        for bytes in [&binary[..], &binary[..cut.index(binary.len())]] {
            if let Ok(configuration) = postcard::from_bytes::<Configuration>(bytes) {
                let again = Configuration::new(configuration.proposal().clone());
                prop_assert_eq!(again.expect("what was decoded was checked"), configuration);
            }
        }
    }
}
