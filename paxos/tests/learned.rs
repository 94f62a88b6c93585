//! A9 at a leader: a value that was learned as chosen above a gap is proposed again, or the leader gives way.
//!
//! The values come unasked here. A peer answers only what it was asked, so it takes a restart to get an answer above a gap;
//! the rule does not rest on that.

mod support;

use std::time::Duration;

use bytes::Bytes;
use paxos::{Envelope, Logged, Message, Slot, Standing, Value};
use support::cluster::Cluster;

/// Delivers all that is under way, and what follows from it.
fn deliver(cluster: &mut Cluster) {
    while !cluster.network.is_empty() {
        let envelope = cluster.network.remove(0);
        cluster.hand(envelope);
    }
}

fn campaign(cluster: &mut Cluster, name: u64) {
    for node in cluster.nodes.values_mut() {
        node.now = node.now + Duration::from_secs(1);
    }
    cluster.pass_until_election(name);
}

fn propose(cluster: &mut Cluster, name: u64, text: &'static str) {
    cluster.propose(name, text, Bytes::from_static(text.as_bytes()));
}

/// A peer of node `to` says that `value` is chosen in `slot`.
fn tell(cluster: &mut Cluster, from: u64, to: u64, slot: Slot, value: Value) {
    let mut envelope: Envelope = cluster.sent.last().expect("something was sent before").clone();
    (envelope.from, envelope.to) = (cluster.node(from).address, cluster.node(to).address);
    envelope.message = Message::Chosen {
        from: slot,
        values: vec![value],
        chosen: Slot::ZERO,
    };
    cluster.hand(envelope);
}

fn standing(cluster: &mut Cluster, name: u64) -> Standing {
    let replica = cluster.node(name).replica.as_ref().expect("it runs");
    replica.status().standing
}

#[test]
fn a_leader_gives_way_where_it_has_learned_another_value_than_it_would_propose() {
    let mut cluster = Cluster::new(3, "majority", 16, 1, 1 << 20);
    campaign(&mut cluster, 1);
    deliver(&mut cluster);
    propose(&mut cluster, 1, "x");
    cluster.network.clear();
    tell(&mut cluster, 2, 1, Slot(2), Value::Noop);
    propose(&mut cluster, 1, "y");
    assert_eq!(standing(&mut cluster, 1), Standing::Follower);
    assert_eq!(cluster.node(1).disk.log[&Slot(2)], Logged::Learned(Value::Noop));
    let over = |envelope: &Envelope| matches!(&envelope.message, Message::Accept { slot, .. } if *slot == Slot(2));
    assert!(!cluster.network.iter().any(over), "{:?}", cluster.network);
}

#[test]
fn a_leader_proposes_what_it_has_learned_if_phase_1_bound_the_slot_to_it() {
    let mut cluster = Cluster::new(3, "majority", 16, 1, 1 << 20);
    campaign(&mut cluster, 2);
    deliver(&mut cluster);
    propose(&mut cluster, 2, "x");
    propose(&mut cluster, 2, "y");
    // Node 3 votes for both, and nobody hears of it.
    for envelope in std::mem::take(&mut cluster.network) {
        if envelope.to.node.0 == 3 {
            cluster.hand(envelope);
        }
    }
    cluster.network.clear();
    cluster.crash(2);
    let voted = cluster.node(3).disk.log[&Slot(2)].value().clone();
    campaign(&mut cluster, 1);
    tell(&mut cluster, 3, 1, Slot(2), voted.clone());
    deliver(&mut cluster);
    assert_eq!(standing(&mut cluster, 1), Standing::Leading);
    let chosen = cluster.node(3).disk.log[&Slot(2)].clone();
    assert!(
        matches!(&chosen, Logged::Voted(ballot, value) if ballot.leader.0 == 1 && *value == voted),
        "{chosen:?} after\n{}",
        cluster.trace.join("\n")
    );
    propose(&mut cluster, 1, "z");
    deliver(&mut cluster);
    assert_eq!(cluster.judge.chosen(), 3);
}
