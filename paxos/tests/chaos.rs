//! Small and dumb: a few replicas, and a die that decides what happens next. The judge watches.
//!
//! The simulator does this at length and with realistic faults; this is for finding out within a second or two that a
//! change broke something.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use bytes::Bytes;
use paxos::Waivers;
use quorum::Role;
use support::cluster::Cluster;

const RUNS: u64 = 60;
const STEPS: usize = 2000;

/// A die (xorshift): the same seed rolls the same.
struct Die(u64);

impl Die {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }
}

/// What went on in all runs: a run in which nothing happens proves nothing.
#[derive(Debug, Default)]
struct Seen {
    chosen: usize,
    elections: usize,
    stepped_down: usize,
    restarts: usize,
    learned: usize,
    reads: usize,
    unknown: usize,
    changes: usize,
    retired: usize,
    dismissed: usize,
    void: usize,
}

impl Seen {
    fn count(&mut self, trace: &[String]) {
        for line in trace {
            self.elections += usize::from(line.contains(" leads under "));
            self.stepped_down += usize::from(line.contains(" gives way: "));
            self.learned += usize::from(line.contains(" learned "));
            self.reads += usize::from(line.contains(": read at "));
            self.unknown += usize::from(line.contains(": unknown, "));
            self.changes += usize::from(line.contains(" chosen in s") && line.contains(" has epoch "));
            self.retired += usize::from(line.contains(" retired"));
            self.void += usize::from(line.contains("that takes no effect"));
        }
    }
}

/// A message, with odds: usually delivered in order, sometimes out of order, twice, or never.
fn shake_network(cluster: &mut Cluster, die: &mut Die) {
    if cluster.network.is_empty() {
        return;
    }
    let at = if die.below(3) == 0 {
        die.below(cluster.network.len())
    } else {
        0
    };
    match die.below(20) {
        0 => {
            cluster.network.remove(at);
        }
        1 => {
            let copy = cluster.network[at].clone();
            cluster.hand(copy);
        }
        _ => {
            let envelope = cluster.network.remove(at);
            cluster.hand(envelope);
        }
    }
}

/// An operator of `name` asks for some other configuration than the newest that the node knows.
fn reconfigure(cluster: &mut Cluster, die: &mut Die, name: u64) {
    let Some(replica) = &cluster.node(name).replica else {
        return;
    };
    let newest = replica.configuration().clone();
    let mut members: Vec<(u64, u64, Role)> = newest
        .members()
        .iter()
        .map(|member| (member.node.0, member.incarnation.0, member.role))
        .collect();
    let at = die.below(members.len());
    match die.below(6) {
        0 => {
            let absent = (1..=7).find(|node| members.iter().all(|(member, ..)| member != node));
            let Some(node) = absent else { return };
            // A name that was used before comes back with a new disk.
            let life = cluster
                .nodes
                .get(&node)
                .map_or(1, |before| before.address.incarnation.0 + 1);
            members.push((node, life, Role::Learner));
        }
        1 => members[at].2 = Role::Voter,
        2 if members.len() > 2 => drop(members.remove(at)),
        3 => members.iter_mut().for_each(|(.., role)| *role = Role::Voter),
        4 => members[at].2 = Role::Acceptor,
        _ => {}
    }
    let voters = members.iter().filter(|(.., role)| role.votes()).count();
    let phase2 = 1 + die.below(voters.max(1));
    let system = match die.below(2) {
        0 => "majority".to_string(),
        _ => format!("counts {}/{phase2}", voters + 1 - phase2),
    };
    let Some(next) = cluster.next_configuration(&newest, &system, &members) else {
        return;
    };
    let strict = die.below(4) == 0;
    let waivers = Waivers {
        behind: !strict && die.below(3) == 0,
        one_disk: !strict,
        one_zone: !strict,
    };
    cluster.change(name, next, waivers);
}

/// R6: who is said to be needed no more is switched off at once, and its disk thrown away. Who was added starts.
fn keep_house(cluster: &mut Cluster) {
    let newest = cluster.judge.newest().clone();
    for address in std::mem::take(&mut cluster.dismissed) {
        let node = address.node.0;
        if cluster.nodes.get(&node).is_some_and(|known| known.address == address) {
            cluster.crash(node);
            cluster.nodes.get_mut(&node).expect("it was just there").gone = true;
        }
    }
    for member in newest.members() {
        let (node, life) = (member.node.0, member.incarnation.0);
        let there = cluster
            .nodes
            .get(&node)
            .map(|known| (known.address.incarnation.0, known.gone));
        let is_new = match there {
            None => true,
            Some((known, gone)) => known < life && gone,
        };
        if is_new {
            cluster.place(node, life, Some(newest.clone()));
            cluster.start(node);
        }
    }
}

fn happen(cluster: &mut Cluster, die: &mut Die, step: usize, seen: &mut Seen) {
    keep_house(cluster);
    let names: Vec<u64> = cluster.nodes.keys().copied().collect();
    let size = names.len();
    let name = names[die.below(size)];
    let other = names[die.below(size)];
    match die.below(200) {
        0 => cluster.crash(name),
        1..5 => {
            if cluster.node(name).replica.is_none() && !cluster.node(name).gone {
                seen.restarts += 1;
                cluster.start(name);
            }
        }
        5 => cluster.node(name).holds = true,
        6..8 => {
            cluster.node(name).holds = false;
            cluster.complete_writes(name);
            cluster.apply(name);
        }
        8 => {
            cluster.cuts.insert((name, other));
        }
        9 => {
            let peers = names.iter().copied();
            match die.below(3) {
                0 => cluster.cuts.extend(peers.map(|peer| (name, peer))),
                1 => cluster.cuts.extend(peers.map(|peer| (peer, name))),
                _ => cluster.cuts.extend(peers.flat_map(|peer| [(name, peer), (peer, name)])),
            }
        }
        10 => cluster.cuts.clear(),
        11 => cluster.flush(name),
        12 => {
            let node = cluster.node(name);
            node.asleep = !node.asleep;
            cluster.apply(name);
        }
        62..64 => reconfigure(cluster, die, name),
        13..30 if cluster.node(name).replica.is_some() => {
            let text = format!("c{step}");
            cluster.propose(name, &text, Bytes::from(text.clone()));
        }
        30..36 if cluster.node(name).replica.is_some() => cluster.read(name),
        36..60 => cluster.pass(name, Duration::from_millis(1 + die.below(60) as u64)),
        60..62 => cluster.pass(name, Duration::from_millis(die.below(2500) as u64)),
        _ => shake_network(cluster, die),
    }
}

/// Ten milliseconds everywhere, and what was under way arrives.
fn beat(cluster: &mut Cluster) {
    let names: Vec<u64> = cluster.nodes.keys().copied().collect();
    for name in names {
        cluster.pass(name, Duration::from_millis(10));
    }
    for _ in 0..cluster.network.len() {
        let envelope = cluster.network.remove(0);
        cluster.hand(envelope);
    }
}

/// Whether every node has applied the same and nobody waits.
fn is_quiet(cluster: &Cluster) -> bool {
    let newest = cluster.judge.newest();
    let mut statuses = cluster
        .nodes
        .values()
        .filter(|node| newest.index_of(node.address.node, node.address.incarnation).is_some())
        .filter_map(|node| node.replica.as_ref())
        .map(paxos::Replica::status);
    let Some(first) = statuses.next() else { return false };
    let same = |status: paxos::Status| {
        status.leader == first.leader
            && status.applied == first.applied
            && status.configurations.entries() == [first.configurations.entries()[0].clone()]
    };
    let settled = first.configurations.newest() == newest && first.configurations.entries().len() == 1;
    settled && first.leader.is_some() && first.healthy && statuses.all(same) && cluster.unanswered() == 0
}

/// Heals everything: after a while there must be a leader, equal logs, no client that waits, and room for more.
fn heal(cluster: &mut Cluster) {
    cluster.cuts.clear();
    keep_house(cluster);
    let names: Vec<u64> = cluster.nodes.keys().copied().collect();
    for name in &names {
        if cluster.node(*name).replica.is_none() && !cluster.node(*name).gone {
            cluster.start(*name);
        }
        let node = cluster.node(*name);
        (node.holds, node.asleep) = (false, false);
        cluster.complete_writes(*name);
        cluster.apply(*name);
    }
    let recovered = (0..6000).any(|_| {
        beat(cluster);
        keep_house(cluster);
        is_quiet(cluster)
    });
    assert!(
        recovered,
        "a minute after everything was healed: {:#?}",
        standings(cluster)
    );
    let told = cluster.judge.told();
    let member = cluster.judge.newest().members()[0].node.0;
    cluster.propose(member, "last", Bytes::from("last"));
    let done = (0..300).any(|_| {
        beat(cluster);
        is_quiet(cluster)
    });
    assert!(
        done && cluster.judge.told() > told,
        "a fresh command is not done: {:#?}",
        standings(cluster)
    );
}

fn standings(cluster: &Cluster) -> Vec<String> {
    let standing = |(name, node): (&u64, &support::cluster::Node)| {
        let status = node.replica.as_ref().map(paxos::Replica::status);
        format!("{name} {status:?}")
    };
    cluster.nodes.iter().map(standing).collect()
}

fn run(seed: u64, seen: &mut Seen) {
    let mut die = Die(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (size, system) = [
        (3, "majority"),
        (4, "counts 3/2"),
        (5, "counts 4/2"),
        (5, "majority"),
        (5, "counts 2/4"),
    ][die.below(5)];
    let alpha = [1, 4, 16][die.below(3)];
    let mut cluster = Cluster::new(size, system, alpha, seed, 1 << 20);
    for step in 0..STEPS {
        happen(&mut cluster, &mut die, step, seen);
        if std::env::var("CHAOS_TRACE").is_ok() {
            cluster.trace.iter().for_each(|line| eprintln!("{line}"));
        }
        seen.count(&cluster.trace);
        cluster.trace.clear();
    }
    heal(&mut cluster);
    seen.chosen += cluster.judge.chosen();
    seen.dismissed += cluster.nodes.values().filter(|node| node.gone).count();
}

#[test]
fn whatever_happens_no_rule_is_broken() {
    let only: Option<u64> = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let runs = std::env::var("CHAOS_RUNS")
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(RUNS);
    let mut seen = Seen::default();
    for seed in only.map_or(1..=runs, |seed| seed..=seed) {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, &mut seen)));
        if let Err(fault) = outcome {
            eprintln!("reproduce with CHAOS_SEED={seed} cargo test --release -p paxos --test chaos");
            resume_unwind(fault);
        }
    }
    eprintln!("{seen:?}");
    if only.is_none() {
        let Seen {
            chosen,
            elections,
            stepped_down,
            restarts,
            learned,
            reads,
            unknown,
            changes,
            retired,
            dismissed,
            void: _,
        } = seen;
        assert!(
            [
                chosen,
                elections,
                stepped_down,
                restarts,
                learned,
                reads,
                unknown,
                changes,
                retired,
                dismissed
            ]
            .iter()
            .all(|count| *count > 5)
        );
    }
}
