//! The node's status as gauges, filled when somebody scrapes.

use prometheus::{IntGauge, IntGaugeVec, Registry};

use super::{gauge, gauges, registered};
use crate::status::{NodeStatus, Role};

/// Gauges that mirror [`NodeStatus`]. Those of peers are the transport's own.
pub struct NodeGauges {
    leader: IntGauge,
    leader_known: IntGauge,
    ballot_round: IntGauge,
    quorum_available: IntGaugeVec,
    log_last: IntGauge,
    committed: IntGauge,
    applied: IntGauge,
    epoch: IntGauge,
    members: IntGaugeVec,
    revision: IntGauge,
    compacted: IntGauge,
    swept: IntGauge,
    store_bytes: IntGaugeVec,
    queues: IntGaugeVec,
    fetched: prometheus::Gauge,
    disk_free: IntGauge,
    disk_total: IntGauge,
    disk_reserve: IntGauge,
    alarm: IntGaugeVec,
}

impl NodeGauges {
    /// Registers the gauges, and `synod_build_info` with the program's version.
    #[must_use]
    pub fn new(registry: &Registry) -> NodeGauges {
        let build = gauges(
            registry,
            "synod_build_info",
            "The version of the program.",
            &["version"],
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        NodeGauges {
            leader: gauge(registry, "synod_leader", "Whether this node leads."),
            leader_known: gauge(registry, "synod_leader_known", "Whether this node knows a leader."),
            ballot_round: gauge(
                registry,
                "synod_ballot_round",
                "Round of the ballot that this node has promised.",
            ),
            quorum_available: gauges(
                registry,
                "synod_quorum_available",
                "Whether the leader hears a quorum of the phase, as far as this node knows.",
                &["phase"],
            ),
            log_last: gauge(
                registry,
                "synod_log_last_index",
                "Highest slot that this node knows to be chosen.",
            ),
            committed: gauge(
                registry,
                "synod_commit_index",
                "Every slot up to here is chosen and here.",
            ),
            applied: gauge(registry, "synod_applied_index", "Every slot up to here is applied."),
            epoch: gauge(registry, "synod_config_epoch", "Number of the configuration in force."),
            members: gauges(
                registry,
                "synod_members",
                "Members of the configuration in force.",
                &["state"],
            ),
            revision: gauge(registry, "synod_revision", "Revision of the store."),
            compacted: gauge(
                registry,
                "synod_compacted_revision",
                "Oldest revision of the store that can be read; 0 if it was never compacted.",
            ),
            swept: gauge(
                registry,
                "synod_swept_revision",
                "Compacted revision up to which old versions are gone from this node's disk.",
            ),
            store_bytes: gauges(
                registry,
                "synod_store_size_bytes",
                "Bytes of the store on disk: live, and all there are.",
                &["kind"],
            ),
            queues: gauges(
                registry,
                "synod_queue_length",
                "Entries waiting in a queue of the node.",
                &["queue"],
            ),
            fetched: registered(
                registry,
                prometheus::Gauge::new(
                    "synod_snapshot_fetched_ratio",
                    "Part of a peer's state that this node has fetched, about; 1 if it fetches none.",
                ),
            ),
            disk_free: gauge(
                registry,
                "synod_disk_free_bytes",
                "Bytes that the node may still write on the disk of its data folder.",
            ),
            disk_total: gauge(
                registry,
                "synod_disk_total_bytes",
                "Bytes of the disk of the data folder.",
            ),
            disk_reserve: gauge(
                registry,
                "synod_disk_reserve_bytes",
                "Bytes that must be free for the node to take writes.",
            ),
            alarm: gauges(
                registry,
                "synod_alarm",
                "Whether the node raises an alarm; NOSPACE is too little room on its disk.",
                &["alarm"],
            ),
        }
    }

    /// Takes over what the node knows now.
    pub fn update(&self, status: &NodeStatus) {
        self.leader.set(i64::from(status.role == Role::Leader));
        self.leader_known.set(i64::from(status.leader.is_some()));
        self.ballot_round.set(signed(status.ballot_round));
        // A leader that hears its phase 2 quorum says so; phase 1 is known only while somebody stands for election.
        self.quorum_available
            .with_label_values(&["2"])
            .set(i64::from(status.leader.is_some() && status.healthy));
        self.log_last.set(signed(status.known_chosen.max(status.chosen)));
        self.committed.set(signed(status.chosen));
        self.applied.set(signed(status.applied));
        self.epoch.set(signed(status.epoch));
        let voters = status.members.iter().filter(|member| member.voter).count();
        self.members.with_label_values(&["voter"]).set(signed(voters as u64));
        self.members
            .with_label_values(&["learner"])
            .set(signed((status.members.len() - voters) as u64));
        self.revision.set(status.revision);
        self.compacted.set(status.compacted);
        self.swept.set(status.swept);
        for (kind, bytes) in [("live", status.store_live_bytes), ("total", status.store_bytes)] {
            self.store_bytes.with_label_values(&[kind]).set(signed(bytes));
        }
        let fetched = status
            .catching_up
            .as_ref()
            .map_or(1.0, |copy| f64::from(copy.percent) / 100.0);
        self.fetched.set(fetched);
        self.disk_free.set(signed(status.disk.free_bytes));
        self.disk_total.set(signed(status.disk.total_bytes));
        self.disk_reserve.set(signed(status.disk.reserve_bytes));
        self.alarm
            .with_label_values(&["NOSPACE"])
            .set(i64::from(!status.disk.enough));
        let queues = &status.queues;
        for (queue, length) in [
            ("requests", queues.waiting_requests),
            ("commands", queues.queued_commands),
            ("apply", queues.unapplied_entries),
        ] {
            self.queues.with_label_values(&[queue]).set(signed(length));
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
