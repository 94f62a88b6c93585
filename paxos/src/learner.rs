//! The learner: which slots are chosen, and handing them to the applier in order (rules C1, C2).

use crate::ballot::{Ballot, Slot};
use crate::effect::{Entry, Logged, Output, Record};
use crate::message::Address;
use crate::mutant::{Mutant, mutated};
use crate::replica::Replica;
use crate::value::Value;

/// What leaders have announced.
#[derive(Clone, Hash, Debug, Default)]
pub(crate) struct Learner {
    /// C1: the highest ballot whose leader announced a chosen prefix, and that prefix.
    commit: (Ballot, Slot),
    /// The chosen prefix that the journal was last told.
    recorded: Slot,
}

impl Learner {
    /// The chosen prefix that the journal was last told, durable or about to be.
    pub(crate) fn recorded(&self) -> Slot {
        self.recorded
    }

    /// The record that keeps `chosen` over a restart, if the journal does not have it yet.
    pub(crate) fn chosen_record(&mut self, chosen: Slot) -> Option<Record> {
        (chosen > self.recorded).then(|| {
            self.recorded = chosen;
            Record::Chosen(chosen)
        })
    }
}

impl Replica {
    /// After a restart: what the disk knows to be chosen is chosen still.
    pub(crate) fn restore_chosen(&mut self, chosen: Slot) {
        self.learner.recorded = chosen;
        let mut slot = self.log.chosen;
        while slot < chosen {
            slot = slot.next();
            assert!(
                self.log.at(slot).is_some(),
                "slot {slot} is chosen (up to {chosen}) but the journal does not have it"
            );
            self.log.chosen = slot;
            self.judge_change(slot);
        }
        self.log.chosen = slot;
        self.log.known = slot;
        self.advance();
    }

    /// C1: the leader of `ballot` announces that every slot up to `chosen` is chosen.
    pub(crate) fn on_commit(&mut self, from: Address, ballot: Ballot, chosen: Slot) {
        if ballot >= self.promised {
            self.follow(from, ballot);
        }
        self.note_commit(ballot, chosen);
    }

    /// C1, wherever the news comes from.
    pub(crate) fn note_commit(&mut self, ballot: Ballot, chosen: Slot) {
        let (highest, prefix) = self.learner.commit;
        if ballot > highest || (ballot == highest && chosen > prefix) {
            self.learner.commit = (ballot, chosen);
        }
        self.log.known = self.log.known.max(chosen);
        self.advance();
    }

    /// Extends the chosen prefix over every slot whose chosen value is at hand.
    pub(crate) fn advance(&mut self) {
        let (ballot, prefix) = self.learner.commit;
        loop {
            let slot = self.log.chosen.next();
            let chosen = match self.log.at(slot) {
                // C1: only a vote of exactly the announcing ballot is known to be the chosen value (mutant 74).
                Some(Logged::Voted(voted, _)) => {
                    slot <= prefix && (*voted == ballot || mutated(Mutant::AnyVoteBlessed))
                }
                Some(Logged::Learned(_)) => true,
                None => slot <= prefix && mutated(Mutant::HoleSkipped),
            };
            if !chosen {
                break;
            }
            self.log.chosen = slot;
            self.judge_change(slot);
        }
        self.log.known = self.log.known.max(self.log.chosen);
        self.hand_over();
    }

    /// R1, R2: the chosen prefix has reached `slot`; if it holds a change of configuration, that is judged now, by all alike.
    fn judge_change(&mut self, slot: Slot) {
        if let Some(Value::Reconfigure(change)) = self.log.value(slot) {
            let change = change.clone();
            self.on_change_chosen(slot, &change);
        }
    }

    /// C2: hands chosen entries to the applier, in slot order, each once.
    ///
    /// An entry waits until this node's own copy is durable. So whatever the state machine has applied, the journal
    /// holds as it was chosen, and can serve it to others after any crash.
    pub(crate) fn hand_over(&mut self) {
        // C3: a state machine that was lost has nothing to apply entries to.
        while self.log.handed < self.log.chosen && self.log.handed >= self.log.trimmed {
            let slot = self.log.handed.next();
            let write = self.log.write_of(slot);
            if write.is_none() && mutated(Mutant::HoleSkipped) {
                self.log.handed = slot;
                continue;
            }
            let write = write.expect("a chosen slot above the applied prefix is in memory");
            if write > self.persisted && !mutated(Mutant::AppliedBeforeDurable) {
                return;
            }
            let value = self.log.value(slot).expect("the cell was just read").clone();
            self.note_handed(&value);
            self.note_length(slot, value.size());
            self.log.handed = slot;
            self.output(Output::Apply(Entry { slot, value }));
        }
    }

    pub(crate) fn on_applied(&mut self, slot: Slot) {
        let handed = self.log.handed;
        assert!(
            slot <= handed,
            "slot {slot} is reported applied but only {handed} was handed over"
        );
        self.log.applied = self.log.applied.max(slot);
        self.log.evict(self.options.cache_bytes, self.persisted);
        self.note_applied_fresh();
        self.answer_ready_reads();
    }

    pub(crate) fn on_flushed(&mut self, slot: Slot) {
        // What is durable in the state machine is applied there: this report may overtake the other one.
        if slot > self.log.applied {
            self.on_applied(slot);
        }
        self.log.flushed = self.log.flushed.max(slot);
        self.trim();
    }
}
