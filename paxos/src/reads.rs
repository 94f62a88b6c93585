//! Linearizable reads (rules D1, D2, D6).
//!
//! A leader confirms, with a round of heartbeats begun after the read arrived, that a phase-2 quorum has promised nothing
//! above its ballot; every rival's phase-1 quorum meets that quorum, so nothing newer was chosen when the read arrived.
//! Another node asks the leader for the prefix so confirmed and waits until it has applied it. Under a lease the leader need not
//! ask (`lease`).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use quorum::{NodeSet, Phase};

use crate::ballot::{Ballot, Slot};
use crate::effect::{Outcome, Output, Refusal, RequestId};
use crate::election::Role;
use crate::message::{Address, Message};
use crate::mutant::{Mutant, mutated};
use crate::replica::Replica;
use crate::time::Time;

#[derive(Clone, Copy, Hash, Debug)]
struct Waiting {
    id: RequestId,
    deadline: Time,
}

/// Reads that were put to a leader together.
#[derive(Clone, Hash, Debug)]
struct Asked {
    ballot: Ballot,
    sent: Time,
    reads: Vec<Waiting>,
}

/// The reads of this node's clients.
#[derive(Clone, Hash, Debug, Default)]
pub(crate) struct Reads {
    /// Not put to a leader yet.
    waiting: Vec<Waiting>,
    /// Put to another node.
    asked: BTreeMap<u64, Asked>,
    batches: u64,
    /// Confirmed for a prefix that is not applied here yet.
    ready: BTreeMap<Slot, Vec<Waiting>>,
    /// Taken and not answered yet, wherever they are.
    pending: usize,
}

impl Reads {
    pub(crate) fn is_idle(&self) -> bool {
        self.pending == 0
    }
}

/// Who waits for a round.
#[derive(Clone, Hash, Debug)]
enum Asker {
    Own(Vec<Waiting>),
    Peer { address: Address, boot: u64, batch: u64 },
}

/// A leader's rounds of confirmation.
#[derive(Clone, Hash, Debug, Default)]
pub(crate) struct Rounds {
    /// Arrived since the last round began.
    waiting: Vec<Asker>,
    /// Begun: the round, the prefix its reads must see, and who asked.
    open: VecDeque<(u64, Slot, Vec<Asker>)>,
    last: Option<Time>,
}

impl Rounds {
    /// When the next round may begin, if anybody waits for it.
    pub(crate) fn deadline(&self, interval: Duration) -> Time {
        match self.last {
            _ if self.waiting.is_empty() => Time::NEVER,
            Some(last) if !self.open.is_empty() => last + interval,
            _ => Time::ZERO,
        }
    }
}

impl Replica {
    /// A client of this node wants to read.
    pub(crate) fn on_read(&mut self, id: RequestId, deadline: Time) {
        if self.reads.pending >= self.options.max_queued {
            self.output(Output::Answer(id, Outcome::Refused(Refusal::Overloaded)));
            return;
        }
        self.reads.pending += 1;
        self.reads.waiting.push(Waiting { id, deadline });
        self.schedule_sweep();
    }

    /// Puts waiting reads to the leader: to this node's next round, or to the node that leads.
    pub(crate) fn settle_reads(&mut self) {
        if !self.reads.waiting.is_empty() {
            let prefix = self.leased_prefix();
            if let Role::Leading(leading) = &mut self.role {
                let own = core::mem::take(&mut self.reads.waiting);
                if mutated(Mutant::ReadUnconfirmed) {
                    self.ready(self.log.chosen, own);
                } else if let Some(prefix) = prefix {
                    self.ready(prefix, own);
                } else if leading.healthy {
                    leading.rounds.waiting.push(Asker::Own(own));
                } else {
                    self.refuse_reads(own, Refusal::NoQuorum);
                }
            } else if let Some((ballot, leader)) = self.leader_address() {
                self.reads.batches += 1;
                let (boot, batch) = (self.options.boot, self.reads.batches);
                let reads = core::mem::take(&mut self.reads.waiting);
                self.reads.asked.insert(
                    batch,
                    Asked {
                        ballot,
                        sent: self.now,
                        reads,
                    },
                );
                self.send(leader, Message::ReadIndex { boot, batch });
            }
        }
        self.open_round();
    }

    /// D1, D2, D5: under a lease, what a read that has arrived must see.
    fn leased_prefix(&self) -> Option<Slot> {
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let holds = self.knows_horizon() && self.holds_lease(self.now);
        holds.then(|| self.log.chosen.max(leading.horizon))
    }

    /// D1: begins a round for the reads that have arrived, so that its confirmations are later than they are (mutant 42).
    fn open_round(&mut self) {
        if !self.knows_horizon() && !mutated(Mutant::HorizonIgnored) {
            return;
        }
        let (now, interval, chosen) = (self.now, self.options.batch_interval, self.log.chosen);
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.rounds.waiting.is_empty() || now < leading.rounds.deadline(interval) {
            return;
        }
        let askers = core::mem::take(&mut leading.rounds.waiting);
        // D2: nothing is read before what phase 1 brought back is chosen and applied (mutant 39).
        let prefix = if mutated(Mutant::HorizonIgnored) {
            chosen
        } else {
            chosen.max(leading.horizon)
        };
        leading.rounds.last = Some(now);
        if leading.round > 0 && mutated(Mutant::RoundBeforeRead) {
            leading.rounds.open.push_back((leading.round, prefix, askers));
            return self.confirm_rounds();
        }
        leading.rounds.open.push_back((leading.round + 1, prefix, askers));
        self.send_heartbeats();
        self.confirm_rounds();
    }

    /// D1: a round is confirmed when a phase-2 quorum of every governing configuration has answered it or a later one.
    pub(crate) fn confirm_rounds(&mut self) {
        let me = self.me();
        let Role::Leading(leading) = &self.role else { return };
        let Some((oldest, ..)) = leading.rounds.open.front() else {
            return;
        };
        let mut confirmed = oldest - 1;
        for (round, ..) in &leading.rounds.open {
            let answered = self
                .configurations
                .all_have_quorum(self.log.chosen, Phase::Two, |configuration| {
                    let answered = leading
                        .followers
                        .iter()
                        .filter(|(_, follower)| follower.round >= *round);
                    let members =
                        crate::replica::members(configuration, answered.map(|(address, _)| *address).chain([me]));
                    let voters = configuration.members().len();
                    if members.len() > voters / 2 && mutated(Mutant::HeadsCounted) {
                        return NodeSet::first(voters as u8);
                    }
                    members
                });
            if !answered {
                break;
            }
            confirmed = *round;
        }
        let Role::Leading(leading) = &mut self.role else { return };
        let done = leading.rounds.open.partition_point(|(round, ..)| *round <= confirmed);
        let done: Vec<_> = leading.rounds.open.drain(..done).collect();
        for (_, prefix, askers) in done {
            for asker in askers {
                match asker {
                    Asker::Own(reads) => self.ready(prefix, reads),
                    Asker::Peer { address, boot, batch } => {
                        self.send(
                            address,
                            Message::ReadIndexReply {
                                boot,
                                batch,
                                result: Ok(prefix),
                            },
                        );
                    }
                }
            }
        }
    }

    /// D6: another node asks on behalf of its clients.
    pub(crate) fn on_read_index(&mut self, from: Address, boot: u64, batch: u64) {
        if let Some(prefix) = self.leased_prefix() {
            let result = Ok(prefix);
            return self.send(from, Message::ReadIndexReply { boot, batch, result });
        }
        let refusal = match &mut self.role {
            Role::Leading(leading) if leading.healthy && leading.rounds.waiting.len() < self.options.max_queued => {
                leading.rounds.waiting.push(Asker::Peer {
                    address: from,
                    boot,
                    batch,
                });
                return;
            }
            Role::Leading(leading) if leading.healthy => Refusal::Overloaded,
            Role::Leading(_) => Refusal::NoQuorum,
            _ => Refusal::NotLeader,
        };
        self.send(
            from,
            Message::ReadIndexReply {
                boot,
                batch,
                result: Err(refusal),
            },
        );
    }

    pub(crate) fn on_read_index_reply(&mut self, boot: u64, batch: u64, result: Result<Slot, Refusal>) {
        if boot != self.options.boot {
            return;
        }
        if result == Err(Refusal::NotLeader) {
            // Perhaps a late word of a leader asked before: the question stands, and is put again in its time.
            return;
        }
        let Some(Asked { reads, .. }) = self.reads.asked.remove(&batch) else {
            return;
        };
        match result {
            Ok(prefix) => {
                self.log.known = self.log.known.max(prefix);
                let prefix = if mutated(Mutant::PrefixNotAwaited) {
                    Slot::ZERO
                } else {
                    prefix
                };
                self.ready(prefix, reads);
            }
            Err(refusal) => self.refuse_reads(reads, refusal),
        }
    }

    /// These reads may be served once `prefix` is applied here.
    fn ready(&mut self, prefix: Slot, reads: Vec<Waiting>) {
        self.reads.ready.entry(prefix).or_default().extend(reads);
        self.answer_ready_reads();
    }

    pub(crate) fn answer_ready_reads(&mut self) {
        let applied = self.log.applied;
        while let Some(entry) = self.reads.ready.first_entry() {
            if *entry.key() > applied && !(*entry.key() <= self.log.chosen && mutated(Mutant::ReadBeforeApplied)) {
                return;
            }
            for read in entry.remove() {
                self.reads.pending -= 1;
                self.output(Output::Answer(read.id, Outcome::Read(applied)));
            }
        }
    }

    /// A reign ends: its unconfirmed reads start again elsewhere. Reading twice does no harm.
    pub(crate) fn return_rounds(&mut self, rounds: Rounds) {
        let askers = rounds
            .open
            .into_iter()
            .flat_map(|(_, _, askers)| askers)
            .chain(rounds.waiting);
        for asker in askers {
            match asker {
                Asker::Own(reads) => self.reads.waiting.extend(reads),
                Asker::Peer { address, boot, batch } => {
                    let result = Err(Refusal::NotLeader);
                    self.send(address, Message::ReadIndexReply { boot, batch, result });
                }
            }
        }
        self.schedule_sweep();
    }

    /// E3: the leader's own clients, and those of its peers, are told that nothing can be confirmed.
    pub(crate) fn refuse_waiting_reads(&mut self, reason: Refusal) {
        let Role::Leading(leading) = &mut self.role else { return };
        let rounds = core::mem::take(&mut leading.rounds);
        let askers = rounds
            .open
            .into_iter()
            .flat_map(|(_, _, askers)| askers)
            .chain(rounds.waiting);
        for asker in askers {
            match asker {
                Asker::Own(reads) => self.refuse_reads(reads, reason),
                Asker::Peer { address, boot, batch } => {
                    self.send(
                        address,
                        Message::ReadIndexReply {
                            boot,
                            batch,
                            result: Err(reason),
                        },
                    );
                }
            }
        }
    }

    fn refuse_reads(&mut self, reads: Vec<Waiting>, reason: Refusal) {
        for read in reads {
            self.reads.pending -= 1;
            self.output(Output::Answer(read.id, Outcome::Refused(reason)));
        }
    }

    /// Gives up reads whose time has passed, and asks again what the leader did not answer or another leads now.
    pub(crate) fn tick_reads(&mut self, reason: Refusal) {
        let (now, patience, leader) = (self.now, self.patience(), self.election.leader);
        let late = |read: &mut Waiting| read.deadline <= now;
        let mut expired: Vec<Waiting> = self.reads.waiting.extract_if(.., late).collect();
        for reads in self.reads.ready.values_mut() {
            expired.extend(reads.extract_if(.., late));
        }
        self.reads.ready.retain(|_, reads| !reads.is_empty());
        for asked in self.reads.asked.values_mut() {
            expired.extend(asked.reads.extract_if(.., late));
        }
        self.reads.asked.retain(|_, asked| !asked.reads.is_empty());
        self.refuse_reads(expired, reason);
        self.ask_again(now, patience, leader);
        let Role::Leading(leading) = &mut self.role else { return };
        let mut expired = Vec::new();
        let open = leading.rounds.open.iter_mut().flat_map(|(_, _, askers)| askers);
        for asker in open.chain(&mut leading.rounds.waiting) {
            if let Asker::Own(reads) = asker {
                expired.extend(reads.extract_if(.., late));
            }
        }
        self.refuse_reads(expired, reason);
    }

    /// Asks again what was not answered for long, or was put to a node that leads no more. The question keeps its
    /// number: an answer that comes late is as good, because its round began after the reads had arrived.
    fn ask_again(&mut self, now: Time, patience: Duration, leader: Option<Ballot>) {
        if matches!(self.role, Role::Leading(_)) {
            for (_, asked) in core::mem::take(&mut self.reads.asked) {
                self.reads.waiting.extend(asked.reads);
            }
            return;
        }
        let Some((ballot, address)) = self.leader_address() else {
            return;
        };
        let boot = self.options.boot;
        let mut again = Vec::new();
        for (batch, asked) in &mut self.reads.asked {
            if Some(asked.ballot) != leader || now.since(asked.sent) >= patience {
                (asked.ballot, asked.sent) = (ballot, now);
                again.push(*batch);
            }
        }
        for batch in again {
            self.send(address, Message::ReadIndex { boot, batch });
        }
    }
}
