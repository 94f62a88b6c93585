//! What the parts around the core report to it comes over threads of their own, in any order.

use std::time::Duration;

use paxos::{
    Address, Ballot, ClusterId, Input, Options, Output, Recovered, Replica, RequestId, Slot, Standing, Time, Write,
};
use quorum::{Configuration, Epoch, Incarnation, Member, NodeId, Proposal, Role};

const ME: Address = Address {
    node: NodeId(1),
    incarnation: Incarnation(1),
};

fn options() -> Options {
    let member = Member {
        node: ME.node,
        incarnation: ME.incarnation,
        name: "n1".to_owned(),
        region: "r1".to_owned(),
        zone: "z1".to_owned(),
        address: "127.0.0.1:7001".to_owned(),
        client_url: String::new(),
        role: Role::Voter,
    };
    let genesis = Configuration::new(Proposal {
        epoch: Epoch(1),
        alpha: 64,
        system: "majority".parse().expect("a quorum system"),
        members: vec![member],
    });
    Options {
        cluster: ClusterId(7),
        address: ME,
        boot: 1,
        genesis: genesis.expect("a valid configuration"),
        introduced: None,
        heartbeat_interval: Duration::from_millis(20),
        election_timeout: Duration::from_millis(100),
        reluctance: 0,
        lease: None,
        hand_back: None,
        max_batch_bytes: 1 << 10,
        max_inflight_bytes: 1 << 20,
        batch_interval: Duration::ZERO,
        eager_slots: 64,
        max_queued: 64,
        max_queued_bytes: 1 << 20,
        cache_bytes: 1 << 20,
        keep_slots: 100,
        max_log_bytes: 1 << 30,
        max_log_slots: 1 << 30,
        trim_step: 64,
        page_bytes: 1 << 20,
    }
}

/// A node that is alone, with a disk that syncs at once and a state machine that only takes entries.
struct Alone {
    replica: Replica,
    now: Time,
    handed: Slot,
}

impl Alone {
    fn step(&mut self, input: Input) {
        self.replica.step(self.now, input);
        while let Some(output) = self.replica.next_output() {
            match output {
                Output::Write(Write { id, then, .. }) => {
                    for envelope in then {
                        self.replica.step(self.now, Input::Receive(envelope));
                    }
                    self.replica.step(self.now, Input::Persisted(id));
                }
                Output::Apply(entry) => self.handed = entry.slot,
                _ => {}
            }
        }
    }
}

#[test]
fn what_is_reported_flushed_is_applied_whether_or_not_that_was_reported() {
    let recovered = Recovered {
        promised: Ballot::ZERO,
        chosen: Slot::ZERO,
        applied: Slot::ZERO,
        trimmed: Slot::ZERO,
        log_bytes: 0,
        log: Vec::new(),
        configurations: None,
    };
    let mut node = Alone {
        replica: Replica::new(options(), recovered, 1, Time(0)),
        now: Time(0),
        handed: Slot::ZERO,
    };
    while node.replica.status().standing != Standing::Leading {
        node.now = node.replica.deadline().0;
        node.step(Input::Tick);
    }
    for request in 1..=3 {
        let deadline = Time(node.now.0 + 1_000_000_000);
        let (id, payload) = (RequestId(request), vec![1].into());
        node.step(Input::Propose { id, payload, deadline });
    }
    let handed = node.handed;
    assert!(handed > Slot::ZERO && node.replica.status().applied < handed);
    // The thread that flushes is faster than the one that has applied.
    node.step(Input::Flushed(handed));
    assert_eq!(node.replica.status().applied, handed);
    node.step(Input::Applied(handed));
    assert_eq!(node.replica.status().applied, handed);
}
