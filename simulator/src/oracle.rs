//! The judge: sees every event of every node, keeps the facts, and asks each checker about what changed.

use paxos::{Address, Ballot, CommandId, Entry, Envelope, Message, Record, RequestId, Slot, Value, Write};
use quorum::{Configuration, Epoch, NodeSet};
use storage::machine::Applied as Reply;

use crate::checker::acknowledged::Acknowledged;
use crate::checker::applied::Applied;
use crate::checker::pieces::Pieces;
use crate::checker::promises::Promises;
use crate::checker::real_time::RealTime;
use crate::checker::{
    Verdict, adoption, agreement, ballots, chosen_stays, claims, configurations, ensure, evidence, floor, membership,
    one_effect, one_value, quorums_meet, same_bits, validity, window, witness,
};
use crate::commands::{CommandFacts, Commands, Fate};
use crate::coverage::{Sometimes, Tally};
use crate::disk::Store;
use crate::ledger::{Ledger, Vote, same};
use crate::machine::Machine;
use crate::reference::Reference;
use crate::seat::Seat;
use crate::swarm::{Judged, Plan};
use crate::workload::{Found, OpId, Query};

/// All facts and all checkers.
pub(crate) struct Oracle {
    judged: Judged,
    configuration: Configuration,
    ledger: Ledger,
    commands: Commands,
    promises: Promises,
    applied: Applied,
    acknowledged: Acknowledged,
    real_time: RealTime,
    reference: Reference,
    pieces: Pieces,
    /// The last slot that the reference has.
    told: Slot,
    /// How far each state machine is durable.
    flushed: Vec<Slot>,
    /// The window.
    alpha: u64,
}

impl Oracle {
    pub(crate) fn new(plan: &Plan) -> Oracle {
        let nodes = plan.nodes();
        Oracle {
            judged: plan.judged(),
            configuration: plan.configuration.clone(),
            ledger: Ledger::new(&plan.configuration),
            commands: Commands::default(),
            promises: Promises::new(nodes),
            applied: Applied::new(nodes, &plan.configuration),
            acknowledged: Acknowledged::default(),
            real_time: RealTime::default(),
            reference: Reference::new(),
            pieces: Pieces::default(),
            told: Slot::ZERO,
            flushed: vec![Slot::ZERO; nodes],
            alpha: plan.configuration.alpha(),
        }
    }

    /// A run begins.
    pub(crate) fn on_begin_run(&self) -> Verdict {
        self.judge(quorums_meet::check(
            self.ledger.genesis(),
            self.configuration.members().len(),
        ))
    }

    /// Lets a violation through if its property is judged in this run.
    pub(crate) fn judge(&self, verdict: Verdict) -> Verdict {
        match verdict {
            Err(violation) if !self.judged.contains(violation.property) => Ok(()),
            verdict => verdict,
        }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Where a command takes effect.
    pub(crate) fn effect(&self, id: CommandId) -> Option<Slot> {
        self.commands.of(id)?.effect
    }

    // ---- processes ----

    /// A process starts in the life of a disk in which the node is a member, with the promise that it found.
    pub(crate) fn on_found(&mut self, seat: Seat, promised: Ballot) -> Verdict {
        self.judge(self.promises.on_found(seat, promised))
    }

    /// A process starts with this state machine; its number.
    pub(crate) fn on_start(&mut self, seat: Seat, machine: &Machine) -> Result<u64, crate::checker::Violation> {
        self.promises.on_start(seat);
        self.applied.on_start(seat, machine.applied());
        self.judge(self.applied.on_state(seat, machine))?;
        let kept = configurations::on_state(&self.ledger, seat, machine.applied(), machine.configurations());
        self.judge(kept)?;
        Ok(self.commands.boot(seat))
    }

    /// A process asks for a write.
    pub(crate) fn on_write(&mut self, who: Address, write: &Write, tally: &mut Tally) -> Verdict {
        let seat = Seat::of(who.node);
        self.judge(membership::on_write(&self.ledger, who, write))?;
        for record in &write.records {
            let verdict = self.promises.on_record(seat, record);
            self.judge(verdict)?;
            if let Record::Configurations(known) = record {
                self.judge(configurations::check(&self.ledger, seat, known))?;
            }
            self.judge(claims::on_record(&self.ledger, seat, record))?;
            if let Record::Voted { slot, ballot, value } = record {
                let new = self.on_proposal(*slot, *ballot, value, tally)?;
                let own = ballot.leader == seat.node();
                self.judge(foreign_vote(seat, *slot, *ballot, value, new && !own))?;
            }
        }
        Ok(())
    }

    /// A record is on the disk; `store` holds it already, and `chosen` is what the disk knew as chosen before.
    pub(crate) fn on_durable(
        &mut self,
        seat: Seat,
        record: &Record,
        store: &Store,
        chosen: Slot,
        tally: &mut Tally,
    ) -> Verdict {
        self.promises.on_durable(seat, record);
        match record {
            Record::Voted { slot, ballot, value } => {
                let vote = self.ledger.vote(seat, *slot, *ballot, value);
                let contradicted = matches!(vote, Vote::Contradicted);
                self.judge(agreement::check(&self.ledger, *slot, *ballot, value, contradicted))?;
                if matches!(vote, Vote::Chosen) {
                    self.on_chosen(*slot, value, tally)?;
                }
            }
            Record::Chosen(slot) => {
                self.judge(claims::on_durable_prefix(&self.ledger, seat, store, chosen, *slot))?;
            }
            Record::Promised(_) | Record::Learned { .. } | Record::Configurations(_) => {}
        }
        Ok(())
    }

    fn on_chosen(&mut self, slot: Slot, value: &Value, tally: &mut Tally) -> Verdict {
        let others = self
            .ledger
            .slot(slot)
            .is_some_and(|facts| facts.proposals.iter().any(|known| !same(&known.value, value)));
        if others {
            tally.sometimes.hit(Sometimes::Superseded);
        }
        self.judge(chosen_stays::check(&self.ledger, slot))?;
        let verdict = one_effect::on_chosen(&mut self.commands, slot, value);
        self.judge(verdict)?;
        while self.told < self.ledger.chosen_prefix() {
            self.told = self.told.next();
            if let Some(Value::Commands(batch)) = self.ledger.chosen(self.told) {
                for command in batch.iter() {
                    let Some(reply) = self.reference.apply(self.told, command.id, &command.payload) else {
                        tally.sometimes.hit(Sometimes::ChosenAgain);
                        continue;
                    };
                    if let Some(facts) = self.commands.of_mut(command.id) {
                        (facts.effect, facts.reply) = (Some(self.told), Some(reply));
                    }
                }
            }
        }
        self.applied.follow(&self.ledger);
        let (expected, found) = (self.reference.revision(), self.applied.revision());
        self.judge(one_effect::on_prefix(self.told, expected, found))
    }

    /// A value is proposed or voted for; true if it was new in this ballot and slot.
    fn on_proposal(
        &mut self,
        slot: Slot,
        ballot: Ballot,
        value: &Value,
        tally: &mut Tally,
    ) -> Result<bool, crate::checker::Violation> {
        if !self.ledger.propose(slot, ballot, value) {
            return Ok(false);
        }
        let fresh = self.count_proposal(slot, ballot, value, tally);
        self.judge(one_value::check(&self.ledger, slot, ballot))?;
        self.judge(chosen_stays::check(&self.ledger, slot))?;
        if fresh {
            self.judge(validity::check(&self.commands, &self.ledger, slot, value))?;
            let verdict = one_effect::on_proposal(&mut self.commands, ballot, value);
            self.judge(verdict)?;
        }
        self.judge(adoption::check(&self.ledger, slot, ballot, value))?;
        Ok(true)
    }

    /// Notes what kind of proposal this is; true if no earlier one in the slot has the value.
    fn count_proposal(&self, slot: Slot, ballot: Ballot, value: &Value, tally: &mut Tally) -> bool {
        let Some(facts) = self.ledger.slot(slot) else {
            return true;
        };
        let lower = facts.proposals.iter().filter(|known| known.ballot < ballot);
        let recovered = lower.clone().any(|known| same(&known.value, value));
        let conflict = lower
            .clone()
            .any(|known| !same(&known.value, value) && !known.voters.is_empty());
        if recovered {
            tally.sometimes.hit(Sometimes::Recovered);
        }
        if recovered && conflict {
            tally.sometimes.hit(Sometimes::ConflictRecovered);
        }
        match value {
            Value::Noop if !recovered => tally.sometimes.hit(Sometimes::HoleFilled),
            Value::Commands(batch) if batch.len() > 1 => tally.sometimes.hit(Sometimes::Batched),
            _ => {}
        }
        !recovered
    }

    // ---- messages ----

    /// A message leaves process `boot` of a node whose disk holds `store`.
    pub(crate) fn on_send(
        &mut self,
        seat: Seat,
        boot: u64,
        envelope: &Envelope,
        store: &Store,
        tally: &mut Tally,
    ) -> Verdict {
        let message = &envelope.message;
        self.judge(membership::on_send(&self.ledger, envelope.from, envelope.to, message))?;
        let (durable, asked) = (self.promises.durable(seat), self.promises.asked(seat));
        let verdict = ballots::check(&mut self.ledger, seat, boot, durable, message);
        self.judge(verdict)?;
        let verdict = evidence::check(&mut self.ledger, seat, message, store, durable, asked);
        self.judge(verdict)?;
        if let Message::Accept {
            ballot, slot, value, ..
        } = message
        {
            self.on_proposal(*slot, *ballot, value, tally)?;
        }
        if let Message::ForwardRefused {
            ballot,
            boot,
            sequences,
            ..
        } = message
        {
            let (origin, boot) = (envelope.to.node, *boot);
            let ids = sequences.iter().map(|sequence| CommandId {
                origin,
                boot,
                sequence: *sequence,
            });
            let verdict = one_effect::on_returned(&mut self.commands, *ballot, ids);
            self.judge(verdict)?;
        }
        self.judge(claims::on_send(&self.ledger, seat, message))?;
        self.judge(window::on_send(seat, message, self.alpha))?;
        self.judge(floor::on_send(seat, message, &self.flushed, self.ledger.always()))
    }

    // ---- state machines ----

    /// A process is told to apply an entry.
    pub(crate) fn on_apply(&mut self, seat: Seat, entry: &Entry) -> Verdict {
        let verdict = self.applied.on_apply(&self.ledger, seat, entry);
        self.judge(verdict)
    }

    /// A state machine has applied some more.
    pub(crate) fn on_state(&self, seat: Seat, machine: &Machine) -> Verdict {
        self.judge(self.applied.on_state(seat, machine))
    }

    /// A run ends with these state machines: equal ones are equal to the byte.
    pub(crate) fn compare<'m>(&self, machines: impl Iterator<Item = (Seat, &'m Machine)>) -> Verdict {
        let expected = self.applied.bits();
        for (seat, machine) in machines {
            self.judge(same_bits::check(seat, machine.applied(), machine.bits(), expected))?;
        }
        Ok(())
    }

    /// A state machine is durable up to `slot`. If its state is restored from a backup, its journal still has the rest.
    pub(crate) fn on_flushed(&mut self, seat: Seat, slot: Slot) {
        let flushed = &mut self.flushed[seat.index()];
        *flushed = slot.max(*flushed);
    }

    /// A journal is told to forget.
    pub(crate) fn on_trim(&self, seat: Seat, slot: Slot, flushed: Slot) -> Verdict {
        self.judge(floor::on_trim(seat, slot, flushed))
    }

    /// A piece of a snapshot is read for a peer: I21, equal slots give equal pieces.
    pub(crate) fn on_piece(&mut self, seat: Seat, slot: Slot, number: u64, payload: &[u8]) -> Verdict {
        let verdict = self.pieces.on_piece(seat, slot, number, payload);
        self.judge(verdict)
    }

    // ---- clients ----

    /// A client begins an operation: what it must come after.
    pub(crate) fn on_begin(&self) -> Slot {
        self.real_time.begin()
    }

    /// A process takes a request: a command, or nothing for a read. Its number.
    pub(crate) fn on_request(&mut self, boot: u64, command: Option<CommandFacts>) -> RequestId {
        self.commands.request(boot, command)
    }

    /// A leader finds all before that configuration retired, and is right.
    pub(crate) fn on_retired(&mut self, epoch: Epoch) {
        self.ledger.retire(epoch);
    }

    /// An operator asks for a configuration.
    pub(crate) fn on_asked(&mut self, configuration: &Configuration) {
        self.ledger.ask(configuration);
    }

    /// A client is told that its write is done, and what it did; `held` says whose disks hold it, or held it and are lost.
    pub(crate) fn on_done(&mut self, id: CommandId, told: &Reply, begun: Slot, held: NodeSet) -> Verdict {
        let Some(facts) = self.commands.of_mut(id) else {
            return Ok(());
        };
        facts.fate = Fate::Done;
        let (op, slot, reply) = (facts.op, facts.effect, facts.reply.take());
        self.judge(witness::on_done(op, told, reply.as_ref()))?;
        let verdict = self
            .acknowledged
            .on_done(&self.ledger, slot, held, &format_args!("write {}", op.0));
        self.judge(verdict)?;
        let verdict = self.real_time.on_done(op, slot.unwrap_or_default(), begun);
        self.judge(verdict)
    }

    /// A client is told that its command was certainly not done.
    pub(crate) fn on_refused(&mut self, id: CommandId) -> Verdict {
        let verdict = one_effect::on_refused(&mut self.commands, id);
        self.judge(verdict)
    }

    /// A client is told, or has to assume, that its command may or may not be done.
    pub(crate) fn on_unknown(&mut self, id: CommandId, tally: &mut Tally) {
        if let Some(facts) = self.commands.of_mut(id) {
            facts.fate = Fate::Unknown;
            tally.sometimes.hit(Sometimes::Unknown);
            if facts.chosen.is_some() {
                tally.sometimes.hit(Sometimes::UnknownDone);
            }
        }
    }

    /// A read is served.
    pub(crate) fn on_read(&mut self, op: OpId, query: &Query, slot: Slot, found: &Found, begun: Slot) -> Verdict {
        let verdict = self.real_time.on_read(op, slot, begun);
        self.judge(verdict)?;
        self.judge(witness::on_read(&self.reference, op, query, slot, found))
    }

    /// A disk was struck, or the run is over: what was acknowledged is still there.
    pub(crate) fn audit(&self, holders: impl Fn(Slot) -> NodeSet) -> Verdict {
        self.judge(self.acknowledged.audit(&self.ledger, holders))
    }
}

/// I4 for votes: an acceptor votes for what the ballot's leader sent.
fn foreign_vote(seat: Seat, slot: Slot, ballot: Ballot, value: &Value, unheard_of: bool) -> Verdict {
    ensure!(
        !unheard_of,
        OneValue,
        "{seat} votes for {value:?} in slot {slot}, which the leader of {ballot} never proposed there"
    );
    Ok(())
}
