//! Changes of configuration on their way from an operator to the log, and what becomes of them (R2, X2).
//!
//! They go the way of commands: kept by the node that was asked until it knows what became of them, forwarded once under a
//! ballot, in doubt when that ballot's leader is deposed. Only the leader says no, because only it knows who has caught up.

use quorum::Configuration;

use crate::ballot::Ballot;
use crate::change::{Change, Waivers};
use crate::effect::{Outcome, Output, Refusal, RequestId};
use crate::election::Role;
use crate::message::{Address, Message};
use crate::proposals::{Asked, FORWARDED_PATIENCE, Outstanding};
use crate::replica::Replica;
use crate::time::Time;
use crate::value::CommandId;

/// Most changes that wait at one node. One at a time can be made, and one is all that an operator should want.
const MAX_CHANGES: usize = 8;

/// A change that waits to be proposed or forwarded.
#[derive(Clone, Debug)]
pub(crate) struct QueuedChange {
    pub(crate) change: Change,
    pub(crate) waivers: Waivers,
    pub(crate) deadline: Time,
}

impl core::hash::Hash for QueuedChange {
    fn hash<H: core::hash::Hasher>(&self, into: &mut H) {
        let Change { id, configuration } = &self.change;
        (id, configuration.fingerprint(), self.waivers, self.deadline).hash(into);
    }
}

impl Replica {
    /// An operator of this node wants another configuration.
    pub(crate) fn on_reconfigure(
        &mut self,
        id: RequestId,
        configuration: Configuration,
        waivers: Waivers,
        deadline: Time,
    ) {
        let refusal = if !self.has_space() {
            Some(Refusal::NoSpace)
        } else if matches!(&self.role, Role::Leading(leading) if !leading.healthy) {
            Some(Refusal::NoQuorum)
        } else if self.proposals.changes.len() >= MAX_CHANGES {
            Some(Refusal::Overloaded)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.output(Output::Answer(id, Outcome::Refused(refusal)));
        }
        let id = CommandId {
            origin: self.me().node,
            boot: self.options.boot,
            sequence: id.0,
        };
        self.proposals.changes.push_back(QueuedChange {
            change: Change { id, configuration },
            waivers,
            deadline,
        });
        self.schedule_sweep();
    }

    /// Forwards what is queued to the leader.
    pub(crate) fn forward_changes(&mut self, ballot: Ballot, leader: Address) {
        while let Some(queued) = self.proposals.changes.pop_front() {
            self.remember_change(ballot, &queued);
            let QueuedChange { change, waivers, .. } = queued;
            if change.id.origin != self.me().node {
                continue;
            }
            self.proposals.forwards += 1;
            let number = self.proposals.forwards;
            self.send(
                leader,
                Message::ForwardChange {
                    ballot,
                    number,
                    change,
                    waivers,
                },
            );
        }
    }

    /// A peer forwards what its operator asked for.
    pub(crate) fn on_forward_change(
        &mut self,
        from: Address,
        ballot: Ballot,
        number: u64,
        change: Change,
        waivers: Waivers,
    ) {
        if change.id.origin != from.node || !self.judges(from.node, change.id.boot, ballot, number) {
            return;
        }
        let refusal = match &self.role {
            Role::Leading(leading) if leading.ballot == ballot && !leading.healthy => Some(Refusal::NoQuorum),
            Role::Leading(leading) if leading.ballot == ballot => {
                (self.proposals.changes.len() >= MAX_CHANGES).then_some(Refusal::Overloaded)
            }
            _ => Some(Refusal::NotLeader),
        };
        if let Some(reason) = refusal {
            let (boot, sequences) = (change.id.boot, [change.id.sequence].into());
            return self.send(
                from,
                Message::ForwardRefused {
                    ballot,
                    boot,
                    reason,
                    sequences,
                },
            );
        }
        let deadline = self.now + FORWARDED_PATIENCE;
        self.proposals.changes.push_back(QueuedChange {
            change,
            waivers,
            deadline,
        });
        self.schedule_sweep();
    }

    /// The oldest change that waits at this leader, which is now answered or proposed.
    pub(crate) fn next_queued_change(&mut self) -> Option<(Change, Waivers)> {
        let queued = self.proposals.changes.pop_front()?;
        if let Some(ballot) = self.own_ballot() {
            self.remember_change(ballot, &queued);
        }
        Some((queued.change, queued.waivers))
    }

    fn remember_change(&mut self, ballot: Ballot, queued: &QueuedChange) {
        if queued.change.id.origin == self.me().node {
            let outstanding = Outstanding {
                ballot,
                asked: Asked::Change(queued.clone()),
                deadline: queued.deadline,
                doubted: false,
            };
            let sequence = queued.change.id.sequence;
            self.proposals.outstanding.insert(sequence, outstanding);
        }
    }

    /// It is settled what became of a request of this process: true if somebody still waits for it.
    pub(crate) fn forget_outstanding(&mut self, sequence: u64) -> bool {
        self.proposals.outstanding.remove(&sequence).is_some()
    }

    /// This leader does certainly not propose that change.
    pub(crate) fn refuse_change(&mut self, change: &Change, reason: Refusal) {
        let CommandId { origin, boot, sequence } = change.id;
        if origin == self.me().node {
            self.forget_outstanding(sequence);
            return self.output(Output::Answer(RequestId(sequence), Outcome::Refused(reason)));
        }
        let Some(ballot) = self.own_ballot() else { return };
        let peers = self.peers();
        for peer in peers.into_iter().filter(|peer| peer.node == origin) {
            self.send(
                peer,
                Message::ForwardRefused {
                    ballot,
                    boot,
                    reason,
                    sequences: [sequence].into(),
                },
            );
        }
    }
}
