//! Tells the rest of the node how the core is doing.

use std::sync::Arc;
use std::time::Duration;

use paxos::{Address, Replica, Standing};
use quorum::{Member, QuorumSystem as _};
use storage::machine::Reader;
use storage::tables::RocksTables;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::requests::Waiters;
use crate::scrub::ScrubProgress;
use crate::snapshots::Progress;
use crate::status::{ConfigurationStatus, MemberStatus, NodeStatus, Queues, Role, Space};
use crate::transport::Transport;

/// Publishes [`NodeStatus`].
pub struct Publisher {
    /// What does not change while the process runs.
    pub fixed: NodeStatus,
    /// Where it goes.
    pub status: watch::Sender<Arc<NodeStatus>>,
    /// The node's clock.
    pub clock: Clock,
    /// The state that is applied.
    pub reader: Reader<RocksTables>,
    /// Who waits for answers.
    pub waiters: Arc<Waiters>,
    /// How far the copy of a peer's state is that is being fetched.
    pub progress: Arc<Progress>,
    /// What the scrub has read and found.
    pub scrub: Arc<ScrubProgress>,
    /// The room on the disk.
    pub space: watch::Receiver<Space>,
    /// Whether the node is drained.
    pub draining: watch::Receiver<bool>,
}

impl Publisher {
    /// Publishes what the core and the transport say now; `unwritten` bytes wait for the journal.
    pub fn publish(&self, replica: &Replica, transport: &Transport, unwritten: usize) {
        let status = replica.status();
        let configuration = replica.configuration();
        let role = match status.standing {
            Standing::Leading => Role::Leader,
            Standing::Canvassing | Standing::Preparing => Role::Candidate,
            Standing::Follower if status.leader.is_some() => Role::Follower,
            Standing::Follower => Role::Starting,
        };
        let progress_of = |member: &Member| {
            let address = Address {
                node: member.node,
                incarnation: member.incarnation,
            };
            status.members.iter().find(|progress| progress.address == address)
        };
        let members = configuration
            .members()
            .iter()
            .enumerate()
            .map(|(index, member)| MemberStatus {
                node: member.node.0,
                name: member.name.clone(),
                region: member.region.clone(),
                zone: member.zone.clone(),
                peer_address: member.address.clone(),
                client_url: member.client_url.clone(),
                incarnation: member.incarnation.0,
                voter: configuration
                    .universe()
                    .contains(u8::try_from(index).unwrap_or(u8::MAX)),
                connected: member.node.0 == self.fixed.node || transport.is_connected(member.node),
                round_trip_ms: transport
                    .round_trip(member.node)
                    .map(|time| time.as_secs_f64() * 1000.0),
                chosen: progress_of(member).map(|progress| progress.chosen.0),
                kept: progress_of(member).map(|progress| progress.kept.0),
                wire_version: transport.wire_version(member.node),
            })
            .collect();
        let progress = self.reader.progress();
        let ballot = status.leader.unwrap_or(status.promised);
        let published = NodeStatus {
            role,
            leader: status.leader.map(|ballot| ballot.leader.0),
            ballot: ballot.to_string(),
            ballot_round: ballot.round,
            healthy: status.healthy,
            chosen: status.chosen.0,
            known_chosen: status.known.0,
            applied: status.applied.0,
            flushed: status.flushed.0,
            trimmed: status.trimmed.0,
            revision: progress.revision.0,
            compacted: progress.compacted.max(0),
            swept: self.reader.swept().max(0),
            digest: format!("{:016x}", progress.digest),
            digest_slot: progress.applied.0,
            store_bytes: self.reader.size(),
            store_live_bytes: self.reader.live_size(),
            epoch: configuration.epoch().0,
            quorum_system: configuration.spec().to_string(),
            configurations: (status.configurations.entries().iter())
                .map(|(from, configuration)| ConfigurationStatus {
                    from_slot: from.0,
                    configuration: configuration.proposal().clone(),
                })
                .collect(),
            may_stop: status.may_stop.map(|epoch| epoch.0),
            recovered: true,
            published: Some(std::time::Instant::now()),
            uptime_seconds: self.clock.now().0 / 1_000_000_000,
            members,
            catching_up: self.progress.now(),
            lease_ms: status.lease.map(millis),
            stale_ms: status.stale.map(millis),
            handing_over: status.handing_over.map(|node| node.0),
            draining: *self.draining.borrow(),
            scrub: self.scrub.now(),
            queues: Queues {
                queued_commands: status.queued as u64,
                unapplied_entries: status.chosen.0 - status.applied.0,
                waiting_requests: self.waiters.len() as u64,
                unwritten_bytes: unwritten as u64,
            },
            disk: *self.space.borrow(),
            ..self.fixed.clone()
        };
        self.status.send_replace(Arc::new(published));
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
