//! One node's protocol: where inputs are told apart and outputs queue up.
//!
//! Each message is handled in the room of the rule it belongs to; this file only routes, keeps the clock, and decides
//! when [`Replica::settle`] turns what gathered during a batch of steps into messages.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use quorum::{Configuration, NodeId, NodeSet, QuorumSystem};

use crate::ballot::{Ballot, Slot};
use crate::catch_up::CatchUp;
use crate::configurations::{Configurations, index_of};
use crate::effect::{Event, Input, Options, Output, Record, Recovered, Write, WriteId};
use crate::election::{Election, Role};
use crate::learner::Learner;
use crate::lease::Leases;
use crate::log::Log;
use crate::message::{ASSUMED_ROUND_TRIP, Address, Envelope, Message};
use crate::mutant::{Mutant, mutated};
use crate::proposals::Proposals;
use crate::reads::Reads;
use crate::reconfiguration::Reconfiguration;
use crate::rng::Rng;
use crate::snapshot::Snapshots;
use crate::space::Space;
use crate::time::Time;
use crate::trimming::Trimming;

/// Why a replica wants to be woken.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Wake {
    /// Nothing is waited for.
    Never,
    /// The leader may have died, or a canvass or a candidacy has taken too long.
    Election,
    /// It is time to say that the leader is alive, or to ask again what was not answered.
    Leader,
    /// A batch or a round of reads has waited long enough.
    Batch,
    /// A peer did not deliver what it was asked for.
    CatchUp,
    /// Some request may have reached its deadline.
    Expiry,
}

/// One node of the protocol: acceptor, learner and, at times, leader.
///
/// It performs nothing. Feed it with [`step`](Replica::step), then do what [`next_output`](Replica::next_output) says
/// until it says nothing more, and come back at [`deadline`](Replica::deadline).
#[derive(Clone, Debug)]
pub struct Replica {
    pub(crate) options: Options,
    pub(crate) configurations: Configurations,
    pub(crate) reconfiguration: Reconfiguration,
    pub(crate) rng: Rng,
    pub(crate) now: Time,
    /// The acceptor's promise. What was told to others of it is durable; this may run ahead of the disk.
    pub(crate) promised: Ballot,
    /// The page of a promise that was last reported, and the write that it leaves with (L9).
    pub(crate) reporting: Option<((Address, Ballot, Slot), WriteId)>,
    /// The highest ballot seen anywhere: the next candidacy goes above it.
    pub(crate) highest: Ballot,
    pub(crate) log: Log,
    pub(crate) role: Role,
    pub(crate) election: Election,
    pub(crate) leases: Leases,
    pub(crate) learner: Learner,
    pub(crate) catch_up: CatchUp,
    pub(crate) snapshots: Snapshots,
    pub(crate) trimming: Trimming,
    pub(crate) space: Space,
    pub(crate) proposals: Proposals,
    pub(crate) reads: Reads,
    pub(crate) round_trips: Vec<(NodeId, Duration)>,
    pub(crate) last_write: WriteId,
    pub(crate) persisted: WriteId,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) unsettled: bool,
}

impl Replica {
    /// A node that starts, or starts again, with what it found on its disk.
    ///
    /// # Panics
    /// If `recovered` contradicts itself: a journal that lacks a chosen slot which is neither trimmed nor applied.
    #[must_use]
    pub fn new(options: Options, recovered: Recovered, seed: u64, now: Time) -> Replica {
        let mut log = Log::new(recovered.trimmed, recovered.applied);
        let applied_slots = recovered.applied.0.saturating_sub(recovered.trimmed.0);
        let trimming = Trimming::new(recovered.applied, applied_slots, recovered.log_bytes);
        // A vote may have raised the promise without a record of its own reaching this recovery.
        let mut promised = recovered.promised;
        for (slot, logged) in recovered.log {
            if let crate::effect::Logged::Voted(ballot, _) = &logged {
                promised = promised.max(*ballot);
            }
            if slot > log.evicted() {
                log.put(slot, logged, WriteId(0));
            }
        }
        let configurations = recovered.configurations;
        let configurations = configurations.unwrap_or_else(|| Configurations::new(options.genesis.clone()));
        let (recorded, oldest) = (configurations.newest().epoch(), configurations.oldest().epoch());
        let mut replica = Replica {
            configurations,
            reconfiguration: Reconfiguration::new(recorded, oldest, recovered.chosen),
            rng: Rng::new(seed),
            now,
            promised,
            reporting: None,
            highest: promised,
            log,
            role: Role::Follower,
            election: Election::new(promised),
            leases: Leases::new(options.lease, now),
            learner: Learner::default(),
            catch_up: CatchUp::default(),
            snapshots: Snapshots::default(),
            trimming,
            space: Space::default(),
            proposals: Proposals::default(),
            reads: Reads::default(),
            round_trips: Vec::new(),
            last_write: WriteId(0),
            persisted: WriteId(0),
            outputs: VecDeque::new(),
            unsettled: true,
            options,
        };
        replica.restore_chosen(recovered.chosen);
        replica.await_leader();
        replica
    }

    /// Takes one input. Never fails and never blocks; what follows from it comes out of [`Replica::next_output`].
    pub fn step(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        self.unsettled = true;
        match input {
            Input::Receive(envelope) => self.on_envelope(envelope),
            Input::Propose { id, payload, deadline } => self.on_propose(id, payload, deadline),
            Input::Reconfigure {
                id,
                configuration,
                waivers,
                deadline,
            } => self.on_reconfigure(id, configuration, waivers, deadline),
            Input::Read { id, deadline } => self.on_read(id, deadline),
            Input::Persisted(write) => self.on_persisted(write),
            Input::Applied(slot) => self.on_applied(slot),
            Input::Flushed(slot) => self.on_flushed(slot),
            Input::Loaded { peer, from, values } => self.on_loaded(peer, from, values),
            Input::SnapshotRead {
                peer,
                snapshot,
                number,
                last,
                payload,
            } => self.on_snapshot_read(peer, snapshot, number, last, payload),
            Input::SnapshotGone { peer, snapshot } => self.send(peer, Message::SnapshotGone { snapshot }),
            Input::SnapshotStaged { snapshot, number } => self.on_snapshot_staged(snapshot, number),
            Input::SnapshotRefused { snapshot } => self.on_snapshot_refused(snapshot),
            Input::Space(room) => self.on_space(room),
            Input::RoundTrip { node, round_trip } => self.on_round_trip(node, round_trip),
            Input::HandOver { to } => self.on_wish(to),
            Input::Tick => self.on_tick(),
        }
    }

    /// The next thing to do, oldest first; `None` when everything has been said.
    ///
    /// Commands and reads that arrived since the last `None` are batched together here, so it pays to take many
    /// inputs before draining.
    pub fn next_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() && self.unsettled {
            self.unsettled = false;
            self.settle();
        }
        self.outputs.pop_front()
    }

    /// When to call [`step`](Replica::step) with [`Input::Tick`] if nothing else happens before, and why.
    #[must_use]
    pub fn deadline(&self) -> (Time, Wake) {
        let candidates = [
            (self.election_deadline(), Wake::Election),
            (self.leader_deadline(), Wake::Leader),
            (self.batch_deadline(), Wake::Batch),
            (self.catch_up_deadline().min(self.snapshot_deadline()), Wake::CatchUp),
            (self.expiry_deadline(), Wake::Expiry),
        ];
        let earliest = candidates
            .into_iter()
            .min_by_key(|(at, _)| *at)
            .unwrap_or((Time::NEVER, Wake::Never));
        if earliest.0 == Time::NEVER {
            (Time::NEVER, Wake::Never)
        } else {
            earliest
        }
    }

    fn on_tick(&mut self) {
        self.tick_election();
        self.tick_leader();
        self.tick_catch_up();
        self.tick_snapshot();
        self.tick_expiry();
    }

    /// Turns what gathered since the last settling into batches, rounds and announcements.
    fn settle(&mut self) {
        self.settle_proposals();
        self.settle_reads();
        self.settle_leader();
        self.settle_reconfiguration();
        self.settle_catch_up();
        self.settle_snapshot();
    }

    /// A8: answers only what is addressed to what this node is now, by a member, in this cluster.
    fn on_envelope(&mut self, envelope: Envelope) {
        let Envelope {
            cluster,
            from,
            to,
            epoch,
            message,
        } = envelope;
        let votes = matches!(message, Message::Prepare { .. } | Message::Accept { .. });
        let stale = votes && epoch < self.configurations.oldest().epoch();
        // Who names a configuration that is not known here yet may be a member of that one.
        let newer = epoch > self.configurations.newest().epoch();
        let usurped = message.reign().is_some_and(|ballot| ballot.leader != from.node);
        let here = self.options.address;
        let meant = to == here || (to.node == here.node && mutated(Mutant::EarlierLivesCounted));
        let meant = cluster == self.options.cluster && meant;
        let known = self.configurations.knows(from) || newer;
        if let Message::Retired { epoch } = message
            && meant
        {
            return self.on_retired(epoch);
        }
        if !known || !meant || stale || usurped {
            self.event(Event::Misaddressed(from));
            if meant && !known {
                self.answer_stranger(from, epoch);
            }
            return;
        }
        match message {
            Message::Canvass { attempt, chosen } => self.on_canvass(from, attempt, chosen),
            Message::CanvassReply {
                attempt,
                granted,
                promised,
                chosen,
            } => {
                self.on_canvass_reply(from, attempt, granted, promised, chosen);
            }
            Message::Prepare {
                ballot,
                from: first,
                release,
            } => self.on_prepare(from, ballot, first, release),
            Message::Promise {
                ballot,
                from: first,
                to,
                votes,
                chosen,
                trimmed,
            } => {
                self.on_promise(from, ballot, first, to, votes, chosen, trimmed);
            }
            Message::Accept {
                ballot,
                slot,
                value,
                chosen,
            } => self.on_accept(from, ballot, slot, value, chosen),
            Message::Accepted { ballot, slot } => self.on_accepted(from, ballot, slot),
            Message::Reject { ballot, promised } => self.on_reject(ballot, promised),
            Message::Decided { ballot, chosen } => self.on_decided(from, ballot, chosen),
            Message::Commit { ballot, chosen } => self.on_commit(from, ballot, chosen),
            Message::Heartbeat {
                ballot,
                round,
                chosen,
                horizon,
                everywhere,
                healthy,
                oldest,
                pulse,
            } => {
                self.on_heartbeat(from, ballot, round, chosen, horizon, everywhere, healthy, oldest, pulse);
            }
            Message::HeartbeatAck {
                ballot,
                round,
                chosen,
                flushed,
                kept,
                echo,
            } => {
                self.on_heartbeat_ack(from, ballot, round, chosen, flushed, kept, echo);
            }
            Message::HandOver { release, chosen } => self.on_hand_over(from, release, chosen),
            Message::Forward {
                ballot,
                number,
                commands,
            } => self.on_forward(from, ballot, number, commands),
            Message::ForwardRefused {
                ballot,
                boot,
                reason,
                sequences,
            } => {
                self.on_forward_refused(ballot, boot, reason, &sequences);
            }
            Message::ReadIndex { boot, batch } => self.on_read_index(from, boot, batch),
            Message::ReadIndexReply { boot, batch, result } => self.on_read_index_reply(boot, batch, result),
            Message::Fetch { from: first, to } => self.on_fetch(from, first, to),
            Message::Chosen {
                from: first,
                values,
                chosen,
            } => self.on_chosen(from, first, values, chosen),
            Message::Trimmed { trimmed } => self.on_trimmed(from, trimmed),
            Message::AskSnapshot {
                least,
                snapshot,
                from: first,
                count,
            } => self.on_ask_snapshot(from, least, snapshot, first, count),
            Message::SnapshotPiece {
                snapshot,
                number,
                last,
                payload,
            } => self.on_snapshot_piece(from, snapshot, number, last, payload),
            Message::SnapshotGone { snapshot } => self.on_snapshot_gone(from, snapshot),
            Message::ForwardChange {
                ballot,
                number,
                change,
                waivers,
            } => self.on_forward_change(from, ballot, number, change, waivers),
            Message::Retired { .. } => unreachable!("it is taken from whoever says it"),
        }
    }

    fn on_persisted(&mut self, write: WriteId) {
        assert!(
            write <= self.last_write,
            "write {} is reported durable but only {} were made",
            write.0,
            self.last_write.0
        );
        self.persisted = self.persisted.max(write);
        self.note_persisted(write);
        self.note_kept(write);
        self.hand_over();
    }

    fn on_round_trip(&mut self, node: NodeId, round_trip: Duration) {
        match self.round_trips.iter_mut().find(|(peer, _)| *peer == node) {
            Some(entry) => entry.1 = round_trip,
            None => self.round_trips.push((node, round_trip)),
        }
    }

    /// The last measured round trip to a peer.
    pub(crate) fn round_trip(&self, node: NodeId) -> Duration {
        self.round_trips
            .iter()
            .find(|(peer, _)| *peer == node)
            .map_or(ASSUMED_ROUND_TRIP, |(_, time)| *time)
    }

    /// The longest measured round trip to any peer: what a phase that needs everybody would take.
    pub(crate) fn longest_round_trip(&self) -> Duration {
        self.round_trips
            .iter()
            .map(|(_, time)| *time)
            .max()
            .unwrap_or(ASSUMED_ROUND_TRIP)
    }

    /// How long to wait for answers before asking again.
    pub(crate) fn patience(&self) -> Duration {
        (self.longest_round_trip() * 2).max(self.options.heartbeat_interval)
    }

    pub(crate) fn me(&self) -> Address {
        self.options.address
    }

    /// Everybody else who has a part in a configuration that is not retired; for a newcomer, whom it was told of.
    pub(crate) fn peers(&self) -> Vec<Address> {
        let mut peers = match self.newcomers_guide() {
            Some(guide) => guide.members().iter().map(Address::of).collect(),
            None => self.configurations.addresses(),
        };
        let me = self.me();
        peers.retain(|address| *address != me);
        peers
    }

    pub(crate) fn envelope(&self, to: Address, message: Message) -> Envelope {
        Envelope {
            cluster: self.options.cluster,
            from: self.me(),
            to,
            epoch: self.configurations.newest().epoch(),
            message,
        }
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.output(Output::Event(event));
    }

    /// Sends what rests on nothing that is not durable yet.
    pub(crate) fn send(&mut self, to: Address, message: Message) {
        let envelope = self.envelope(to, message);
        self.output(Output::Send(envelope));
    }

    /// The number that the next [`Replica::write`] will have.
    pub(crate) fn next_write(&self) -> WriteId {
        WriteId(self.last_write.0 + 1)
    }

    /// A3: makes `records` durable, and only then releases `then`.
    pub(crate) fn write(&mut self, mut records: Vec<Record>, mut then: Vec<Envelope>) {
        if crate::MUTABLE {
            let early = then.extract_if(.., |envelope| self.leaves_early(&records, envelope));
            let early = early.map(Output::Send).collect::<Vec<_>>();
            self.outputs.extend(early);
        }
        self.last_write = self.next_write();
        self.note_write(self.last_write);
        if !records.is_empty() {
            records.extend(self.learner.chosen_record(self.log.chosen));
            self.note_keeping(self.last_write, self.log.chosen);
        }
        self.output(Output::Write(Write {
            id: self.last_write,
            records,
            then,
        }));
    }

    /// What a mutant does not keep back until it is durable.
    fn leaves_early(&self, records: &[Record], envelope: &Envelope) -> bool {
        let own = envelope.to == self.me();
        match &envelope.message {
            _ if records.is_empty() && mutated(Mutant::AnswerOvertakes) => true,
            Message::Promise { .. } => mutated(Mutant::PromiseBeforeWrite),
            Message::Prepare { .. } => mutated(Mutant::PrepareBeforeWrite),
            Message::Accepted { .. } if own => mutated(Mutant::OwnVoteEarly),
            Message::Accepted { .. } => mutated(Mutant::VoteBeforeWrite),
            _ => false,
        }
    }

    /// A3: an answer that changes nothing still waits for the writes that it may rest on.
    pub(crate) fn answer(&mut self, to: Address, message: Message) {
        let envelope = self.envelope(to, message);
        self.write(Vec::new(), alloc::vec![envelope]);
    }
}

/// The members of `configuration` among `addresses`: who is of another life or no member is not counted (L3, L5).
pub(crate) fn members(configuration: &Configuration, addresses: impl IntoIterator<Item = Address>) -> NodeSet {
    let known = addresses.into_iter();
    let counted: NodeSet = known.filter_map(|address| index_of(configuration, address)).collect();
    let absent = configuration.universe().minus(counted);
    let learners = counted.minus(configuration.universe());
    if !learners.is_empty() && !absent.is_empty() && mutated(Mutant::LearnerCounted) {
        return absent
            .iter()
            .take(1)
            .fold(counted, |all, index| all | NodeSet::single(index));
    }
    counted
}
