//! Commands on their way into the log: queued, forwarded to the leader, batched, tried again, and given up (rules L6, E3, X1,
//! X2).
//!
//! The node that a client talks to keeps the command until it knows what became of it. When the leader changes, a command
//! whose fate is unknown is put to the next one under the same number: the state machine does it once, in however many slots
//! it is chosen (X1). A command that has never been in doubt was forwarded under one ballot and proposed in one slot of that
//! ballot, or refused, so that "refused" is certain. One that ever was in doubt ends as done or as unknown (X2).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use quorum::NodeId;

use crate::ballot::Ballot;
use crate::effect::{Doubt, Outcome, Output, Refusal, RequestId};
use crate::election::Role;
use crate::message::{Address, Message};
use crate::mutant::{Mutant, mutated};
use crate::operator::QueuedChange;
use crate::replica::Replica;
use crate::time::Time;
use crate::value::{Batch, Command, CommandId, Value};

/// How often deadlines are looked at while anything waits.
const SWEEP: Duration = Duration::from_millis(50);

/// How long a command that a peer forwarded may wait in the leader's queue.
pub(crate) const FORWARDED_PATIENCE: Duration = Duration::from_secs(5);

/// A command that waits to be proposed or forwarded.
#[derive(Clone, Hash, Debug)]
struct Queued {
    command: Command,
    deadline: Time,
    /// X2: an earlier leader may have proposed it.
    doubted: bool,
}

/// Commands in order of arrival, with their size.
#[derive(Clone, Hash, Debug, Default)]
pub(crate) struct Queue {
    commands: VecDeque<Queued>,
    bytes: usize,
    /// How many of them may be proposed already.
    doubted: usize,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, queued: Queued) {
        self.bytes += queued.command.encoded_len();
        self.commands.push_back(queued);
    }

    fn push_front(&mut self, queued: Queued) {
        self.bytes += queued.command.encoded_len();
        self.doubted += usize::from(queued.doubted);
        self.commands.push_front(queued);
    }

    /// Takes commands from the front, at least one, at most `max_bytes` if more than one.
    fn take(&mut self, max_bytes: usize) -> Vec<Queued> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.commands.front() {
            bytes += next.command.encoded_len();
            if bytes > max_bytes && !taken.is_empty() {
                break;
            }
            self.bytes -= next.command.encoded_len();
            self.doubted -= usize::from(next.doubted);
            taken.extend(self.commands.pop_front());
        }
        taken
    }

    fn retain(&mut self, mut keep: impl FnMut(&Queued) -> bool) {
        let (bytes, doubted) = (&mut self.bytes, &mut self.doubted);
        self.commands.retain(|queued| {
            let stays = keep(queued);
            if !stays {
                *bytes -= queued.command.encoded_len();
                *doubted -= usize::from(queued.doubted);
            }
            stays
        });
    }
}

/// A request of this node that was proposed or forwarded, and of which nothing was heard yet.
#[derive(Clone, Hash, Debug)]
pub(crate) struct Outstanding {
    pub(crate) ballot: Ballot,
    pub(crate) asked: Asked,
    pub(crate) deadline: Time,
    /// X2: a leader before this ballot's may have proposed it.
    pub(crate) doubted: bool,
}

/// What was asked for, so that it can be asked again.
#[derive(Clone, Hash, Debug)]
pub(crate) enum Asked {
    /// A command with this payload.
    Command(Bytes),
    /// A change of configuration.
    Change(QueuedChange),
}

/// The commands that this node is responsible for.
#[derive(Clone, Hash, Debug, Default)]
pub(crate) struct Proposals {
    pub(crate) queue: Queue,
    /// Changes of configuration that wait to be proposed or forwarded.
    pub(crate) changes: VecDeque<QueuedChange>,
    pub(crate) outstanding: BTreeMap<u64, Outstanding>,
    /// Counts what this process forwards.
    pub(crate) forwards: u64,
    /// The last `Forward` that was taken or refused here, for each process that sent any: each is judged once, whoever
    /// leads by the time it is repeated.
    judged: BTreeMap<(NodeId, u64), u64>,
    /// Every outstanding request of a lower ballot has been asked again or given up.
    settled: Ballot,
    sweep_at: Option<Time>,
}

impl Replica {
    /// A client of this node wants a command done.
    pub(crate) fn on_propose(&mut self, id: RequestId, payload: Bytes, deadline: Time) {
        let id_of_command = CommandId {
            origin: self.me().node,
            boot: self.options.boot,
            sequence: id.0,
        };
        let command = Command {
            id: id_of_command,
            payload,
        };
        let refusal = if !self.has_space() {
            // E5: its client is answered when this node applies the command, which takes a record.
            Some(Refusal::NoSpace)
        } else if command.encoded_len() > self.options.max_batch_bytes {
            Some(Refusal::TooLarge)
        } else if matches!(&self.role, Role::Leading(leading) if !leading.healthy) {
            Some(Refusal::NoQuorum)
        } else if self.queue_is_full(command.encoded_len()) {
            Some(Refusal::Overloaded)
        } else {
            None
        };
        match refusal {
            Some(refusal) => self.output(Output::Answer(id, Outcome::Refused(refusal))),
            None => {
                self.proposals.queue.push(Queued {
                    command,
                    deadline,
                    doubted: false,
                });
                self.schedule_sweep();
            }
        }
    }

    fn queue_is_full(&self, more: usize) -> bool {
        let queue = &self.proposals.queue;
        let commands = queue.len() + self.proposals.outstanding.len();
        commands >= self.options.max_queued || queue.bytes() + more > self.options.max_queued_bytes
    }

    pub(crate) fn schedule_sweep(&mut self) {
        if self.proposals.sweep_at.is_none() {
            self.proposals.sweep_at = Some(self.now + SWEEP);
        }
    }

    /// Forwards what is queued, if another node leads. A leader's own queue is emptied by its proposals.
    pub(crate) fn settle_proposals(&mut self) {
        self.doubt_older();
        if matches!(self.role, Role::Leading(_)) {
            return;
        }
        let Some((ballot, leader)) = self.leader_address() else {
            return;
        };
        self.forward_changes(ballot, leader);
        while !self.proposals.queue.is_empty() {
            let taken = self.proposals.queue.take(self.options.max_batch_bytes);
            self.remember(ballot, &taken);
            self.proposals.forwards += 1;
            let number = self.proposals.forwards;
            let commands = taken.into_iter().map(|queued| queued.command).collect();
            self.send(
                leader,
                Message::Forward {
                    ballot,
                    number,
                    commands,
                },
            );
        }
    }

    /// The next batch of a leader.
    pub(crate) fn next_batch(&mut self, ballot: Ballot) -> Value {
        let taken = self.proposals.queue.take(self.options.max_batch_bytes);
        self.remember(ballot, &taken);
        Value::Commands(Batch::pack(taken.iter().map(|queued| &queued.command)))
    }

    /// Keeps this node's own commands until it is known what became of them.
    fn remember(&mut self, ballot: Ballot, taken: &[Queued]) {
        for Queued {
            command,
            deadline,
            doubted,
        } in taken
        {
            if command.id.origin == self.me().node {
                let outstanding = Outstanding {
                    ballot,
                    asked: Asked::Command(command.payload.clone()),
                    deadline: *deadline,
                    doubted: *doubted,
                };
                self.proposals.outstanding.insert(command.id.sequence, outstanding);
            }
        }
    }

    /// An entry goes to the applier, which answers this node's clients: their commands are settled.
    pub(crate) fn note_handed(&mut self, value: &Value) {
        let Proposals { queue, outstanding, .. } = &mut self.proposals;
        if outstanding.is_empty() && queue.doubted == 0 {
            return;
        }
        if let Value::Commands(batch) = value {
            let (me, boot) = (self.options.address.node, self.options.boot);
            let own = batch
                .iter()
                .map(|command| command.id)
                .filter(|id| id.origin == me && id.boot == boot);
            for id in own {
                let waited = outstanding.remove(&id.sequence).is_some();
                if !waited && queue.doubted > 0 {
                    // It was about to be tried again, and is done.
                    queue.retain(|queued| queued.command.id != id);
                }
            }
        }
    }

    /// L6: under a newer leader, what was asked under older ballots and its phase 1 did not bring back is in doubt: it may lie in
    /// slots that a later leader recovers. Commands are tried again (X1); a change of configuration is its operator's to repeat.
    fn doubt_older(&mut self) {
        let Some(ballot) = self.election.leader else { return };
        let recovered =
            matches!(self.election.horizon, Some((of, horizon)) if of == ballot && self.log.handed >= horizon);
        if ballot <= self.proposals.settled || !recovered {
            return;
        }
        self.proposals.settled = ballot;
        let older: Vec<u64> = self.outstanding_where(|outstanding| outstanding.ballot < ballot);
        // From the back, so that what returns to the front of the queue keeps its order.
        for sequence in older.into_iter().rev() {
            let Some(mut outstanding) = self.proposals.outstanding.remove(&sequence) else {
                continue;
            };
            if mutated(Mutant::DoubtRefused) {
                let outcome = Outcome::Refused(Refusal::NotLeader);
                self.output(Output::Answer(RequestId(sequence), outcome));
            } else if matches!(outstanding.asked, Asked::Command(_)) {
                outstanding.doubted = !mutated(Mutant::DoubtForgotten);
                self.ask_anew(sequence, outstanding);
            } else {
                let outcome = Outcome::Unknown(Doubt::LeaderChanged);
                self.output(Output::Answer(RequestId(sequence), outcome));
            }
        }
    }

    /// What was not proposed, or does nothing the second time (X1), is asked for again, before what came later.
    fn ask_anew(&mut self, sequence: u64, outstanding: Outstanding) {
        let Outstanding {
            asked,
            deadline,
            doubted,
            ..
        } = outstanding;
        let (origin, boot) = (self.me().node, self.options.boot);
        let id = CommandId { origin, boot, sequence };
        match asked {
            Asked::Command(payload) => {
                let command = Command { id, payload };
                self.proposals.queue.push_front(Queued {
                    command,
                    deadline,
                    doubted,
                });
            }
            Asked::Change(change) => self.proposals.changes.push_front(change),
        }
        self.schedule_sweep();
    }

    fn outstanding_where(&self, mut which: impl FnMut(&Outstanding) -> bool) -> Vec<u64> {
        let matching = self
            .proposals
            .outstanding
            .iter()
            .filter(|(_, outstanding)| which(outstanding));
        matching.map(|(sequence, _)| *sequence).collect()
    }

    /// X2: whether this process is to judge what another forwarded under `ballot`; that it does so is noted.
    pub(crate) fn judges(&mut self, origin: NodeId, boot: u64, ballot: Ballot, number: u64) -> bool {
        let earlier = !self.began(ballot) && !mutated(Mutant::EarlierProcessRefuses);
        if ballot.leader != self.me().node || earlier {
            // An earlier process of this node led then. It may have taken this, so refusing it would not be certain.
            return false;
        }
        let judged = self.proposals.judged.entry((origin, boot)).or_default();
        if number <= *judged && !mutated(Mutant::ForwardTakenTwice) && !mutated(Mutant::RepeatRefused) {
            // Repeated or overtaken: taking it could do the commands twice, refusing it could be untrue. Their origin
            // waits and then doubts.
            return false;
        }
        *judged = number;
        true
    }

    /// A peer forwards its clients' commands.
    pub(crate) fn on_forward(&mut self, from: Address, ballot: Ballot, number: u64, commands: Vec<Command>) {
        let Some(boot) = commands.first().map(|command| command.id.boot) else {
            return;
        };
        if commands
            .iter()
            .any(|command| command.id.origin != from.node || command.id.boot != boot)
        {
            return;
        }
        let judged = self.proposals.judged.get(&(from.node, boot));
        let repeated = judged.is_some_and(|judged| number <= *judged);
        if !self.judges(from.node, boot, ballot, number) {
            return;
        }
        let bytes = commands.iter().map(Command::encoded_len).sum();
        let full = self.queue_is_full(bytes);
        let reason = match &self.role {
            Role::Leading(leading) if leading.ballot == ballot => match (leading.healthy, full) {
                (false, _) => Some(Refusal::NoQuorum),
                (true, true) => Some(Refusal::Overloaded),
                (true, false) => None,
            },
            _ => Some(Refusal::NotLeader),
        };
        let reason = match reason {
            None if repeated && mutated(Mutant::RepeatRefused) => Some(Refusal::NotLeader),
            reason => reason,
        };
        if let Some(reason) = reason {
            let sequences = commands.iter().map(|command| command.id.sequence).collect();
            self.send(
                from,
                Message::ForwardRefused {
                    ballot,
                    boot,
                    reason,
                    sequences,
                },
            );
            return;
        }
        let deadline = self.now + FORWARDED_PATIENCE;
        for command in commands {
            self.proposals.queue.push(Queued {
                command,
                deadline,
                doubted: false,
            });
        }
        self.schedule_sweep();
    }

    /// The leader of `ballot` did certainly not propose these. An earlier one may have, if they were in doubt before (X2).
    pub(crate) fn on_forward_refused(&mut self, ballot: Ballot, boot: u64, reason: Refusal, sequences: &[u64]) {
        if boot != self.options.boot {
            return;
        }
        if reason == Refusal::NotLeader {
            self.forget_leader(ballot);
        }
        // From the back, so that what returns to the front of the queue keeps its order.
        for sequence in sequences.iter().rev() {
            let forwarded = self
                .proposals
                .outstanding
                .get(sequence)
                .is_some_and(|outstanding| outstanding.ballot == ballot);
            if !forwarded {
                continue;
            }
            let Some(outstanding) = self.proposals.outstanding.remove(sequence) else {
                continue;
            };
            if reason == Refusal::NotLeader {
                self.ask_anew(*sequence, outstanding);
            } else if outstanding.doubted {
                let outcome = Outcome::Unknown(Doubt::LeaderChanged);
                self.output(Output::Answer(RequestId(*sequence), outcome));
            } else {
                self.output(Output::Answer(RequestId(*sequence), Outcome::Refused(reason)));
            }
        }
    }

    /// A reign ends: what peers had forwarded and was not proposed goes back to them. This node's own stays queued.
    pub(crate) fn return_foreign(&mut self, ballot: Ballot) {
        self.refuse_queued(ballot, Refusal::NotLeader, false);
    }

    /// E3: without a phase-2 quorum nothing can be chosen; those who wait are told so.
    pub(crate) fn refuse_everything(&mut self) {
        if let Some(ballot) = self.own_ballot() {
            self.refuse_queued(ballot, Refusal::NoQuorum, true);
            self.refuse_waiting_reads(Refusal::NoQuorum);
        }
    }

    /// E5: this node's own commands that have not left it are refused. Those in doubt wait for their deadline (X2).
    pub(crate) fn refuse_own(&mut self, reason: Refusal) {
        let me = self.me().node;
        let mut own = Vec::new();
        self.proposals.queue.retain(|queued| {
            let stays = queued.command.id.origin != me || queued.doubted;
            if !stays {
                own.push(queued.command.id.sequence);
            }
            stays
        });
        self.proposals.changes.retain(|queued| {
            let foreign = queued.change.id.origin != me;
            if !foreign {
                own.push(queued.change.id.sequence);
            }
            foreign
        });
        for sequence in own {
            self.output(Output::Answer(RequestId(sequence), Outcome::Refused(reason)));
        }
    }

    fn refuse_queued(&mut self, ballot: Ballot, reason: Refusal, own_too: bool) {
        let me = self.me().node;
        let mut foreign: BTreeMap<(NodeId, u64), Vec<u64>> = BTreeMap::new();
        let mut own = Vec::new();
        let mut stays = |CommandId { origin, boot, sequence }| {
            if origin != me {
                foreign.entry((origin, boot)).or_default().push(sequence);
                return false;
            }
            if own_too {
                own.push(sequence);
            }
            !own_too
        };
        // X2: what is in doubt cannot be refused; it waits for another leader, or for its deadline.
        self.proposals
            .queue
            .retain(|queued| queued.doubted || stays(queued.command.id));
        self.proposals.changes.retain(|queued| stays(queued.change.id));
        for sequence in own {
            self.output(Output::Answer(RequestId(sequence), Outcome::Refused(reason)));
        }
        let peers = self.peers();
        for ((origin, boot), sequences) in foreign {
            // Of two lives of a node only the process that asked takes it for its own.
            for peer in peers.iter().filter(|peer| peer.node == origin) {
                self.send(
                    *peer,
                    Message::ForwardRefused {
                        ballot,
                        boot,
                        reason,
                        sequences: sequences.clone(),
                    },
                );
            }
        }
    }

    pub(crate) fn expiry_deadline(&self) -> Time {
        self.proposals.sweep_at.unwrap_or(Time::NEVER)
    }

    /// Answers those whose deadline has passed: refused if nothing left this node, in doubt otherwise (X2).
    pub(crate) fn tick_expiry(&mut self) {
        if self.now < self.expiry_deadline() {
            return;
        }
        let (now, me) = (self.now, self.me().node);
        let reason = self.reason_for_waiting();
        let mut expired = Vec::new();
        let mut stays = |deadline: Time, id: CommandId, doubted: bool| {
            let stays = deadline > now;
            if !stays && id.origin == me {
                let outcome = if doubted {
                    Outcome::Unknown(Doubt::TimedOut)
                } else {
                    Outcome::Refused(reason)
                };
                expired.push((id.sequence, outcome));
            }
            stays
        };
        self.proposals
            .queue
            .retain(|queued| stays(queued.deadline, queued.command.id, queued.doubted));
        self.proposals
            .changes
            .retain(|queued| stays(queued.deadline, queued.change.id, false));
        for (sequence, outcome) in expired {
            self.output(Output::Answer(RequestId(sequence), outcome));
        }
        for sequence in self.outstanding_where(|outstanding| outstanding.deadline <= now) {
            self.proposals.outstanding.remove(&sequence);
            self.output(Output::Answer(RequestId(sequence), Outcome::Unknown(Doubt::TimedOut)));
        }
        self.tick_reads(reason);
        let unsent = self.proposals.queue.is_empty() && self.proposals.changes.is_empty();
        let idle = unsent && self.proposals.outstanding.is_empty() && self.reads.is_idle();
        self.proposals.sweep_at = (!idle).then_some(now + SWEEP);
    }

    /// Why a request that is still queued has waited in vain.
    fn reason_for_waiting(&self) -> Refusal {
        match (&self.role, self.election.leader) {
            (Role::Leading(leading), _) if leading.healthy => Refusal::Overloaded,
            (Role::Leading(_), _) => Refusal::NoQuorum,
            (_, None) => Refusal::NoLeader,
            (_, Some(_)) if !self.leader_is_healthy() => Refusal::NoQuorum,
            (_, Some(_)) => Refusal::NoLeader,
        }
    }
}
