//! The leader: proposing, counting votes, announcing, staying in touch (rules L3, L4, L5, L6, L8, C1, D2, E3).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use quorum::{Epoch, NodeSet, Phase, QuorumSystem};

use crate::ballot::{Ballot, Slot};
use crate::configurations::index_of;
use crate::effect::{Event, Logged, Record};
use crate::election::Role;
use crate::hand_over::{HandOver, Preferred};
use crate::lease::{Contact, Echo, Moment, Pulse};
use crate::message::{Address, Message};
use crate::mutant::{Mutant, mutated};
use crate::phase_one::PhaseOne;
use crate::reads::Rounds;
use crate::replica::Replica;
use crate::retirement::Leaving;
use crate::status::MemberProgress;
use crate::time::Time;
use crate::value::Value;

/// Most bytes sent again to one peer in one go.
const RESEND_BYTES: usize = 1 << 20;

/// A leader proposes nothing while its own state machine is this many windows behind.
const WINDOWS_UNAPPLIED: u64 = 4;

/// What a leader knows of one member.
#[derive(Clone, Copy, Hash, Debug)]
pub(crate) struct Follower {
    /// The last round of heartbeats that it answered (D1).
    pub(crate) round: u64,
    /// When it was last heard under this ballot.
    pub(crate) heard: Time,
    /// The chosen prefix that it knows.
    pub(crate) chosen: Slot,
    /// The prefix that its state machine holds durably.
    pub(crate) flushed: Slot,
    /// The prefix that its disk holds as chosen (R6).
    pub(crate) kept: Slot,
    /// What its answers say about time, and about itself.
    pub(crate) contact: Contact,
}

impl Follower {
    /// Somebody of whom nothing was heard yet, as of `now`.
    pub(crate) fn new(now: Time) -> Follower {
        Follower {
            round: 0,
            heard: now,
            chosen: Slot::ZERO,
            flushed: Slot::ZERO,
            kept: Slot::ZERO,
            contact: Contact::default(),
        }
    }
}

/// A proposal whose slot is not in the chosen prefix yet. Its value is in the log.
#[derive(Clone, Hash, Debug)]
struct InFlight {
    acks: NodeSet,
    chosen: bool,
    bytes: usize,
    proposed: Time,
    sent: Time,
}

/// A reign.
#[derive(Clone, Hash, Debug)]
pub(crate) struct Leading {
    pub(crate) ballot: Ballot,
    /// D2: every slot that phase 1 showed might be chosen is at or below this one.
    pub(crate) horizon: Slot,
    /// Values that phase 1 bound to their slots, until they are proposed (L3 iii).
    adopted: BTreeMap<Slot, Value>,
    /// Whose promises it has (L3 ii, R3).
    pub(crate) phase_one: PhaseOne,
    /// R3: it may propose in slots up to here; all there are, if a phase-1 quorum of every known configuration has promised.
    pub(crate) open_to: Slot,
    /// The newest configuration that is open.
    pub(crate) opened: Epoch,
    /// The slots above the chosen prefix that hold a change of configuration, or are bound to one.
    pub(crate) changes: BTreeSet<Slot>,
    /// What is known of a configuration that was left, or is about to be.
    pub(crate) leaving: Leaving,
    /// The slots from `first` on, without gaps.
    in_flight: VecDeque<InFlight>,
    first: Slot,
    in_flight_bytes: usize,
    /// How many of `in_flight` are not chosen yet.
    unchosen: usize,
    last_opened: Option<Time>,
    /// The chosen prefix that everybody was told.
    announced: Slot,
    pub(crate) followers: BTreeMap<Address, Follower>,
    pub(crate) round: u64,
    pub(crate) rounds: Rounds,
    /// When it says that it is alive, and sees to what was lost, whatever heartbeats reads cause in between.
    heartbeat_at: Time,
    /// E3: whether a phase-2 quorum was heard within the election timeout.
    pub(crate) healthy: bool,
    /// E4: the last heartbeat whose lease was given back.
    pub(crate) given_back: u64,
    /// E4: the hand-over under way.
    pub(crate) handing: Option<HandOver>,
    /// E4: who had better lead.
    pub(crate) preferred: Preferred,
}

impl Leading {
    /// Whether everything that it has proposed, or has to, is chosen.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.next() > self.horizon
    }

    /// The first slot without a proposal.
    pub(crate) fn next(&self) -> Slot {
        self.first.plus(self.in_flight.len() as u64)
    }

    /// R3: whether every known configuration that governs an open slot has promised.
    pub(crate) fn all_open(&self) -> bool {
        self.open_to == Slot(u64::MAX)
    }

    /// L3 iii: phase 1 of more slots is done, those up to `open_to`: takes over the values that it binds to them.
    pub(crate) fn adopt(&mut self, open_to: Slot) {
        let next = self.next();
        let mut adopted = self.phase_one.adopt(open_to);
        adopted.retain(|slot, _| *slot >= next);
        self.open_to = open_to;
        let changes = adopted
            .iter()
            .filter(|(_, value)| matches!(value, Value::Reconfigure(_)));
        self.changes.extend(changes.map(|(slot, _)| *slot));
        let last = adopted.last_key_value().map(|(slot, _)| *slot);
        self.adopted.append(&mut adopted);
        // D2: what may have been chosen there is to be chosen and applied before anything is read.
        self.horizon = self.horizon.max(last.unwrap_or_default());
    }
}

impl Replica {
    /// Begins a reign: a phase-1 quorum of the first open slot's configuration has promised.
    pub(crate) fn lead(&mut self, phase_one: PhaseOne) {
        let ballot = phase_one.ballot;
        assert!(
            self.promised == ballot,
            "leads under {ballot} having promised {}",
            self.promised
        );
        let (now, chosen) = (self.now, self.log.chosen);
        let fresh = Follower::new(now);
        let mut leading = Leading {
            ballot,
            horizon: chosen,
            adopted: BTreeMap::new(),
            phase_one,
            open_to: Slot::ZERO,
            opened: Epoch(0),
            changes: BTreeSet::new(),
            leaving: Leaving::default(),
            in_flight: VecDeque::new(),
            first: chosen.next(),
            in_flight_bytes: 0,
            unchosen: 0,
            last_opened: None,
            announced: Slot::ZERO,
            followers: self.peers().into_iter().map(|peer| (peer, fresh)).collect(),
            round: 0,
            rounds: Rounds::default(),
            heartbeat_at: now + self.options.heartbeat_interval,
            healthy: true,
            given_back: 0,
            handing: None,
            preferred: Preferred::default(),
        };
        let (open_to, opened) = self.open_to(&leading.phase_one, Epoch(0));
        leading.opened = opened;
        leading.adopt(open_to);
        if leading.horizon > chosen && mutated(Mutant::HolesLeft) {
            leading.first = leading.horizon.next();
        }
        let horizon = leading.horizon;
        self.role = Role::Leading(Box::new(leading));
        self.election.leader = Some(ballot);
        self.election.horizon = Some((ballot, horizon));
        self.clear_failures();
        self.event(Event::Leading(ballot));
        self.send_heartbeats();
        self.ask_newcomers();
    }

    /// L6: what was proposed and not seen chosen has an unknown outcome; what was not proposed goes elsewhere.
    pub(crate) fn abandon(&mut self, leading: Leading) {
        self.note_gone(&leading);
        self.return_foreign(leading.ballot);
        self.return_rounds(leading.rounds);
    }

    /// Proposes what may be proposed now: first what phase 1 bound, then new commands.
    pub(crate) fn propose_all(&mut self) {
        while let Some((slot, value)) = self.next_proposal() {
            self.propose(slot, value);
        }
    }

    fn next_proposal(&mut self) -> Option<(Slot, Value)> {
        if !self.may_open() {
            return None;
        }
        self.heed_learned();
        let Role::Leading(leading) = &mut self.role else {
            return None;
        };
        let slot = leading.next();
        if slot <= leading.horizon {
            if !leading.adopted.contains_key(&slot) && !self.proposals.queue.is_empty() && mutated(Mutant::HoleFilled) {
                let ballot = leading.ballot;
                return Some((slot, self.next_batch(ballot)));
            }
            // L3 iii: the value that phase 1 bound to the slot, or a no-op where it bound none.
            return Some((slot, leading.adopted.remove(&slot).unwrap_or(Value::Noop)));
        }
        if !leading.healthy || leading.has_drained() {
            return None;
        }
        if let Some(change) = self.next_change(slot) {
            return Some((slot, change));
        }
        self.next_commands(slot).or_else(|| self.next_filler(slot))
    }

    /// New commands, if there are enough of them or they have waited long enough.
    fn next_commands(&mut self, slot: Slot) -> Option<(Slot, Value)> {
        let now = self.now;
        let (eager, interval) = (self.options.eager_slots, self.options.batch_interval);
        let max_batch = self.options.max_batch_bytes;
        let Role::Leading(leading) = &mut self.role else {
            return None;
        };
        if self.proposals.queue.is_empty() {
            return None;
        }
        let full = self.proposals.queue.bytes() >= max_batch;
        let rested = leading.last_opened.is_none_or(|at| now.since(at) >= interval);
        if leading.unchosen >= eager && !full && !rested {
            return None;
        }
        leading.last_opened = Some(now);
        let ballot = leading.ballot;
        Some((slot, self.next_batch(ballot)))
    }

    /// A9: where this node has learned what is chosen, above a gap, it proposes that or nothing. A phase 1 binds the slot to
    /// whatever was chosen there before, so another value is one of a higher ballot, of which this leader has not heard (L6).
    fn heed_learned(&mut self) {
        let Role::Leading(leading) = &self.role else { return };
        let slot = leading.next();
        let Some(Logged::Learned(known)) = self.log.at(slot) else {
            return;
        };
        let bound = leading.adopted.get(&slot).unwrap_or(&Value::Noop);
        if slot > leading.horizon || bound != known {
            self.give_way_unseen(slot);
        }
    }

    /// L3 i, R3: whether config(s) is known for the next slot, and has promised. The window also bounds what a successor may have to recover, and
    /// how far the state machine may fall behind.
    fn may_open(&self) -> bool {
        let Role::Leading(leading) = &self.role else {
            return false;
        };
        let (chosen, alpha) = (self.log.chosen, self.configurations.alpha());
        (leading.next() <= chosen.plus(alpha) || mutated(Mutant::WindowIgnored))
            && leading.next() <= leading.open_to
            && (chosen.0 - self.log.applied.0 <= WINDOWS_UNAPPLIED * alpha || mutated(Mutant::MachineOutrun))
            && leading.in_flight_bytes < self.options.max_inflight_bytes
    }

    /// When a batch that waits to fill has waited long enough.
    pub(crate) fn batch_deadline(&self) -> Time {
        let Role::Leading(leading) = &self.role else {
            return Time::NEVER;
        };
        let interval = self.options.batch_interval;
        let takes = leading.healthy && !leading.has_drained();
        let batch = match leading.last_opened.filter(|_| takes) {
            Some(at) if self.may_open() && !self.proposals.queue.is_empty() => at + interval,
            _ => Time::NEVER,
        };
        let rounds = if self.knows_horizon() {
            leading.rounds.deadline(interval)
        } else {
            Time::NEVER
        };
        batch.min(rounds)
    }

    /// L4, L8: sends the one value of this ballot and slot to everybody, in parallel with this node's own write.
    fn propose(&mut self, slot: Slot, value: Value) {
        let (now, chosen) = (self.now, self.log.chosen);
        let Role::Leading(leading) = &mut self.role else { return };
        let ballot = leading.ballot;
        assert!(
            self.promised == ballot,
            "proposes under {ballot} having promised {}",
            self.promised
        );
        let oldest = self.configurations.entries()[0].0;
        assert!(
            slot >= oldest,
            "R6: {ballot} proposes in slot {slot}, but what governs slots before {oldest} is retired"
        );
        if matches!(value, Value::Reconfigure(_)) {
            leading.changes.insert(slot);
        }
        let bytes = value.size();
        leading.in_flight.push_back(InFlight {
            acks: NodeSet::EMPTY,
            chosen: false,
            bytes,
            proposed: now,
            sent: now,
        });
        leading.in_flight_bytes += bytes;
        leading.unchosen += 1;
        leading.announced = chosen;
        let mut peers = self.peers();
        if mutated(Mutant::Thrifty) {
            let enough = |count| {
                let some = peers[..count].iter().copied().chain([self.me()]);
                self.have_quorum(Phase::Two, &some.collect::<Vec<_>>())
            };
            peers.truncate((0..peers.len()).find(|count| enough(*count)).unwrap_or(peers.len()));
        }
        for peer in peers {
            self.send(
                peer,
                Message::Accept {
                    ballot,
                    slot,
                    value: value.clone(),
                    chosen,
                },
            );
        }
        // L5: its own vote counts like any other's, when it is durable.
        self.log
            .put(slot, Logged::Voted(ballot, value.clone()), self.next_write());
        let vote = self.envelope(self.me(), Message::Accepted { ballot, slot });
        self.write(alloc::vec![Record::Voted { slot, ballot, value }], alloc::vec![vote]);
    }

    /// L5: a slot is chosen when a phase-2 quorum of its configuration has voted for it in this ballot.
    pub(crate) fn on_accepted(&mut self, from: Address, ballot: Ballot, slot: Slot) {
        let now = self.now;
        let Role::Leading(leading) = &mut self.role else { return };
        if slot >= leading.next() || (leading.ballot != ballot && !mutated(Mutant::BallotsSummed)) {
            return;
        }
        if let Some(follower) = leading.followers.get_mut(&from) {
            follower.heard = now;
        }
        let configuration = self.configurations.of(slot);
        let index = slot
            .0
            .checked_sub(leading.first.0)
            .and_then(|distance| usize::try_from(distance).ok());
        let (Some(index), Some(member)) = (index, index_of(configuration, from)) else {
            return;
        };
        let proposal = &mut leading.in_flight[index];
        if proposal.acks.contains(member) && mutated(Mutant::DuplicatesCounted) {
            let absent = (0..configuration.members().len() as u8).find(|index| !proposal.acks.contains(*index));
            proposal.acks.extend(absent);
        }
        proposal.acks.insert(member);
        let enough = configuration.is_quorum(Phase::Two, proposal.acks) || mutated(Mutant::ChosenByOne);
        if proposal.chosen || !enough {
            return;
        }
        proposal.chosen = true;
        let proposed = proposal.proposed;
        leading.in_flight_bytes -= proposal.bytes;
        leading.unchosen -= 1;
        self.event(Event::ChosenAt {
            slot,
            proposed,
            last: from.node,
        });
        self.extend_chosen();
    }

    /// C1 at the leader: the chosen prefix is as long as the run of chosen slots.
    fn extend_chosen(&mut self) {
        let Role::Leading(leading) = &mut self.role else { return };
        let mut run = leading.in_flight.iter().take_while(|proposal| proposal.chosen).count() as u64;
        if mutated(Mutant::PrefixOverGaps) {
            let last = leading.in_flight.iter().rposition(|proposal| proposal.chosen);
            run = last.map_or(0, |last| last as u64 + 1);
        }
        if run == 0 {
            return;
        }
        let (ballot, prefix) = (leading.ballot, Slot(leading.first.0 - 1 + run));
        self.note_commit(ballot, prefix);
        self.drop_chosen();
    }

    /// Lets go of proposals that the chosen prefix has passed, however that was learned.
    fn drop_chosen(&mut self) {
        let chosen = self.log.chosen;
        let Role::Leading(leading) = &mut self.role else { return };
        while leading.first <= chosen {
            if let Some(proposal) = leading.in_flight.pop_front()
                && !proposal.chosen
            {
                leading.in_flight_bytes -= proposal.bytes;
                leading.unchosen -= 1;
            }
            leading.adopted.remove(&leading.first);
            leading.first = leading.first.next();
        }
        leading.changes.retain(|slot| *slot > chosen);
    }

    /// L10: an acceptor knows that slots up to `chosen` were decided. They are learned, whoever proposed them.
    pub(crate) fn on_decided(&mut self, from: Address, ballot: Ballot, chosen: Slot) {
        if let Role::Leading(leading) = &mut self.role
            && leading.ballot == ballot
            && let Some(follower) = leading.followers.get_mut(&from)
        {
            follower.heard = self.now;
            follower.chosen = follower.chosen.max(chosen);
        }
        self.log.known = self.log.known.max(chosen);
    }

    /// Announces what was chosen since the last announcement.
    pub(crate) fn settle_leader(&mut self) {
        self.settle_call();
        self.settle_candidacy();
        self.drop_chosen();
        self.open_configurations();
        // What was learned from a peer may have closed a gap in front of slots that were chosen already.
        self.extend_chosen();
        self.propose_all();
        self.settle_hand_over();
        let chosen = self.log.chosen;
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.announced < chosen {
            leading.announced = chosen;
            let ballot = leading.ballot;
            for peer in self.peers() {
                self.send(peer, Message::Commit { ballot, chosen });
            }
        }
    }

    pub(crate) fn leader_deadline(&self) -> Time {
        match &self.role {
            Role::Leading(leading) => leading.heartbeat_at,
            _ => Time::NEVER,
        }
    }

    pub(crate) fn tick_leader(&mut self) {
        if self.now < self.leader_deadline() {
            return;
        }
        let next = self.now + self.options.heartbeat_interval;
        if let Role::Leading(leading) = &mut self.role {
            leading.heartbeat_at = next;
        }
        self.check_stall();
        self.check_health();
        self.tick_hand_over();
        self.send_heartbeats();
        self.resend_accepts();
        self.tick_reconfiguration();
    }

    /// E3: a leader that has not heard a phase-2 quorum for an election timeout takes no more proposals.
    fn check_health(&mut self) {
        let (now, silence, me) = (self.now, self.silence(), self.me());
        let Role::Leading(leading) = &self.role else { return };
        let mut heard: Vec<Address> = leading
            .followers
            .iter()
            .filter(|(_, follower)| now.since(follower.heard) < silence)
            .map(|(address, _)| *address)
            .collect();
        heard.push(me);
        let healthy = self.have_quorum(Phase::Two, &heard) || mutated(Mutant::AilingUnnoticed);
        let Role::Leading(leading) = &mut self.role else { return };
        if healthy == leading.healthy {
            return;
        }
        leading.healthy = healthy;
        let ballot = leading.ballot;
        self.note_health(ballot, healthy);
        if healthy {
            self.event(Event::QuorumRegained);
        } else {
            self.event(Event::QuorumLost);
            self.refuse_everything();
        }
    }

    /// Opens a round of heartbeats, which also confirms reads (D1).
    pub(crate) fn send_heartbeats(&mut self) {
        let (now, chosen, flushed) = (self.now, self.log.chosen, self.spare());
        let (lease, confirmed) = (self.wanted_lease(), self.confirmed());
        let Role::Leading(leading) = &mut self.role else { return };
        leading.round += 1;
        let everywhere = leading
            .followers
            .values()
            .map(|follower| follower.flushed)
            .fold(flushed, Slot::min);
        let (ballot, round, horizon, healthy) = (leading.ballot, leading.round, leading.horizon, leading.healthy);
        let oldest = self.configurations.oldest().epoch();
        for peer in self.peers() {
            let pulse = Pulse {
                sent: now,
                lease,
                confirmed,
                heard: self.heard_from(peer),
            };
            let heartbeat = Message::Heartbeat {
                ballot,
                round,
                chosen,
                horizon,
                everywhere,
                healthy,
                oldest,
                pulse,
            };
            self.send(peer, heartbeat);
        }
        if let Some(confirmed) = confirmed {
            self.note_fresh(chosen.max(horizon), now.before(confirmed));
        }
        self.note_everywhere(everywhere);
    }

    #[expect(clippy::too_many_arguments, reason = "one argument for each field of the message")]
    pub(crate) fn on_heartbeat(
        &mut self,
        from: Address,
        ballot: Ballot,
        round: u64,
        chosen: Slot,
        horizon: Slot,
        everywhere: Slot,
        healthy: bool,
        oldest: Epoch,
        pulse: Pulse,
    ) {
        if ballot < self.promised && !mutated(Mutant::HeartbeatAlwaysAnswered) {
            // D1: no confirmation once a higher ballot is promised (mutant 82); L6: the old leader learns of it.
            let promised = self.promised;
            self.answer(from, Message::Reject { ballot, promised });
            return;
        }
        self.note_health(ballot, healthy);
        self.follow(from, ballot);
        self.election.horizon = Some((ballot, horizon));
        self.note_commit(ballot, chosen);
        self.note_everywhere(everywhere);
        self.note_oldest(oldest);
        self.note_pulse(&pulse, chosen.max(horizon));
        let granted = self.grant(ballot, round, pulse.lease);
        let echo = self.echo(pulse.sent, granted);
        let (chosen, flushed, kept) = (self.log.chosen, self.spare(), self.kept());
        self.send(
            from,
            Message::HeartbeatAck {
                ballot,
                round,
                chosen,
                flushed,
                kept,
                echo,
            },
        );
    }

    #[expect(clippy::too_many_arguments, reason = "one argument for each field of the message")]
    pub(crate) fn on_heartbeat_ack(
        &mut self,
        from: Address,
        ballot: Ballot,
        round: u64,
        chosen: Slot,
        flushed: Slot,
        kept: Slot,
        echo: Echo,
    ) {
        let now = self.now;
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.ballot != ballot {
            return;
        }
        if let Some(follower) = leading.followers.get_mut(&from) {
            follower.heard = now;
            follower.round = follower.round.max(round);
            follower.chosen = follower.chosen.max(chosen);
            follower.flushed = follower.flushed.max(flushed);
            follower.kept = follower.kept.max(kept);
            follower.contact.note(round, &echo, now);
        }
        self.confirm_rounds();
    }

    /// Sends again what was not answered for too long: L4, so the same value.
    fn resend_accepts(&mut self) {
        let (now, chosen, patience) = (self.now, self.log.chosen, self.patience());
        let peers = self.peers();
        let mut again = Vec::new();
        let Role::Leading(leading) = &mut self.role else { return };
        let ballot = leading.ballot;
        let mut bytes = 0;
        for (offset, proposal) in leading.in_flight.iter_mut().enumerate() {
            if bytes > RESEND_BYTES {
                break;
            }
            if !proposal.chosen && now.since(proposal.sent) >= patience {
                proposal.sent = now;
                bytes += proposal.bytes;
                again.push((leading.first.plus(offset as u64), proposal.acks));
            }
        }
        for (slot, acks) in again {
            let value = self
                .log
                .value(slot)
                .expect("a proposal in flight is in the log")
                .clone();
            let value = if mutated(Mutant::TwoValues) { Value::Noop } else { value };
            let configuration = self.configurations.of(slot);
            let missing: Vec<Address> = peers
                .iter()
                .copied()
                .filter(|peer| index_of(configuration, *peer).is_none_or(|index| !acks.contains(index)))
                .collect();
            for peer in missing {
                self.send(
                    peer,
                    Message::Accept {
                        ballot,
                        slot,
                        value: value.clone(),
                        chosen,
                    },
                );
            }
        }
    }

    /// How far each member has come, for the operator.
    pub(crate) fn progress_of_members(&self) -> Vec<MemberProgress> {
        let Role::Leading(leading) = &self.role else {
            return Vec::new();
        };
        let progress = |(address, follower): (&Address, &Follower)| MemberProgress {
            address: *address,
            heard: self.now.since(follower.heard),
            chosen: follower.chosen,
            kept: follower.kept,
            flushed: follower.flushed,
        };
        leading.followers.iter().map(progress).collect()
    }

    /// A follower's clock in its last answer.
    fn heard_from(&self, peer: Address) -> Option<Moment> {
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        leading.followers.get(&peer)?.contact.heard
    }
}
