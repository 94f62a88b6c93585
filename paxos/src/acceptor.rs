//! The acceptor: what this node has promised and voted for (rules A1, A2, A3, A8, A9, L10).

use alloc::vec;
use alloc::vec::Vec;

use crate::ballot::{Ballot, Slot};
use crate::effect::{Logged, Record};
use crate::lease::Release;
use crate::message::{Address, Message, Vote};
use crate::mutant::{Mutant, mutated};
use crate::replica::Replica;
use crate::value::Value;

/// Votes are taken up to this many windows ahead of the chosen prefix; further ahead this node must catch up first.
const WINDOWS_AHEAD: u64 = 2;

/// Most bytes of values that wait to be chosen and applied here before further votes are declined.
const MAX_UNAPPLIED_BYTES: usize = 512 << 20;

impl Replica {
    /// A1: promises `ballot` unless a higher one was promised, and reports the votes from `first` on.
    pub(crate) fn on_prepare(&mut self, from: Address, ballot: Ballot, first: Slot, release: Option<Release>) {
        if self.is_outbid(ballot) && !mutated(Mutant::PromiseLowered) {
            let promised = self.promised;
            self.answer(from, Message::Reject { ballot, promised });
            return;
        }
        if !self.has_space() {
            // E5: a promise rests on a record.
            return;
        }
        let mut records = Vec::new();
        if ballot != self.promised {
            let wait = self.withholds(ballot, release);
            if !wait.is_zero() {
                return self.withhold(ballot, wait);
            }
            self.observe(ballot);
            self.promised = ballot;
            records.push(Record::Promised(ballot));
        }
        if from == self.me() {
            self.note_begun(ballot);
        } else {
            self.grant_time();
        }
        let page = (from, ballot, first);
        if self
            .reporting
            .is_some_and(|(said, write)| said == page && write > self.persisted)
        {
            // L9: this very page waits for the disk already, and leaves with it (A3).
            return;
        }
        self.reporting = Some((page, self.next_write()));
        let promise = self.promise_page(ballot, first);
        let reply = self.envelope(from, promise);
        // A3: the promise leaves when it is on the disk.
        self.write(records, vec![reply]);
    }

    /// A1, A2: whether a higher ballot than this one is promised.
    fn is_outbid(&self, ballot: Ballot) -> bool {
        ballot < self.promised && !(ballot.round == self.promised.round && mutated(Mutant::RoundsOnly))
    }

    /// L9: as many votes from `first` on as fit a page. Votes in ballots below a promised one are frozen, so pages taken
    /// at different times still make one promise.
    fn promise_page(&self, ballot: Ballot, first: Slot) -> Message {
        let last = self.log.last();
        let mut votes = Vec::new();
        let mut bytes = 0;
        let mut to = None;
        // L7: what is decided is not reported as a vote; the candidate learns it.
        let mut slot = first.max(self.log.chosen.next());
        if mutated(Mutant::OnlyLastReported) {
            slot = slot.max(last);
        }
        while slot <= last {
            if bytes >= self.options.page_bytes {
                to = Some(Slot(slot.0 - 1));
                break;
            }
            match self.log.at(slot) {
                Some(Logged::Voted(ballot, value)) => {
                    bytes += value.size();
                    votes.push(Vote {
                        slot,
                        ballot: *ballot,
                        value: value.clone(),
                    });
                }
                // Chosen, but above a gap: no vote outranks it, and it is safe in every ballot up to the promised one.
                Some(Logged::Learned(value)) => {
                    bytes += value.size();
                    let outranked = mutated(Mutant::LearnedOutranked);
                    votes.push(Vote {
                        slot,
                        ballot: if outranked { Ballot::ZERO } else { ballot },
                        value: value.clone(),
                    });
                }
                None => {}
            }
            slot = slot.next();
        }
        if mutated(Mutant::VotesUnreported) {
            votes.clear();
        }
        let (mut chosen, mut trimmed) = (self.log.chosen, self.log.trimmed);
        if mutated(Mutant::PrefixUnreported) {
            (chosen, trimmed) = (Slot::ZERO, Slot::ZERO);
        }
        Message::Promise {
            ballot,
            from: first,
            to,
            votes,
            chosen,
            trimmed,
        }
    }

    /// A2: votes unless a higher ballot was promised.
    pub(crate) fn on_accept(&mut self, from: Address, ballot: Ballot, slot: Slot, value: Value, chosen: Slot) {
        if self.refuses(ballot, slot) {
            let promised = self.promised;
            self.answer(from, Message::Reject { ballot, promised });
            return;
        }
        self.follow(from, ballot);
        if !self.has_space() {
            // E5: a vote rests on a record.
            return self.on_commit(from, ballot, chosen);
        }
        let mut records = Vec::new();
        if ballot > self.promised && !mutated(Mutant::VoteUnpromised) && !mutated(Mutant::VoteKept) {
            // A vote promises its ballot: an older leader must not get past it (mutant 9).
            self.promised = ballot;
            records.push(Record::Promised(ballot));
        }
        if slot <= self.log.chosen && !mutated(Mutant::ChosenOverwritten) {
            // L10, A9: decided; what was chosen stays. A leader that proposes another value was deposed by a ballot which
            // this node was not asked to promise, and finds out when it learns the slot.
            let reply = self.envelope(
                from,
                Message::Decided {
                    ballot,
                    chosen: self.log.chosen,
                },
            );
            self.write(records, vec![reply]);
        } else if self.may_hold(slot) && !self.contradicts(slot, &value) {
            if let Value::Reconfigure(change) = &value
                && mutated(Mutant::InForceWhenVoted)
            {
                self.on_change_chosen(slot, change);
            }
            if self.must_record(slot, ballot, &value) {
                self.log
                    .put(slot, Logged::Voted(ballot, value.clone()), self.next_write());
                records.push(Record::Voted { slot, ballot, value });
            }
            let reply = self.envelope(from, Message::Accepted { ballot, slot });
            // A3: the vote counts when it is on the disk.
            self.write(records, vec![reply]);
        } else if !records.is_empty() {
            self.write(records, Vec::new());
        }
        self.on_commit(from, ballot, chosen);
    }

    /// A2: whether an `Accept` is refused.
    fn refuses(&self, ballot: Ballot, slot: Slot) -> bool {
        let outvoted = || matches!(self.log.at(slot), Some(Logged::Voted(voted, _)) if ballot < *voted);
        if self.is_outbid(ballot) {
            return !mutated(Mutant::AcceptUnchecked) && (!mutated(Mutant::VoteCompared) || outvoted());
        }
        (ballot == self.promised && mutated(Mutant::AcceptStrict)) || (outvoted() && mutated(Mutant::VoteKept))
    }

    /// Whether the vote is new to the disk; a repeated `Accept` is only answered again.
    fn must_record(&self, slot: Slot, ballot: Ballot, value: &Value) -> bool {
        match self.log.at(slot) {
            Some(Logged::Voted(earlier, voted)) if *earlier == ballot => {
                // L4: one value for each ballot and slot.
                assert!(
                    voted == value,
                    "ballot {ballot} proposed {voted:?} and then {value:?} in slot {slot}"
                );
                false
            }
            // A9: it is kept as chosen, which outlasts any vote.
            Some(Logged::Learned(_)) => mutated(Mutant::ChosenOverwritten),
            _ => true,
        }
    }

    /// A9: whether another value was learned as chosen in this slot, above a gap. Its proposer was deposed unawares; it is
    /// not answered, as if the message had been lost.
    fn contradicts(&self, slot: Slot, value: &Value) -> bool {
        matches!(self.log.at(slot), Some(Logged::Learned(known)) if known != value)
            && !mutated(Mutant::LearnedContradicted)
            && !mutated(Mutant::ChosenOverwritten)
    }

    /// A node far behind takes no further votes: they would only pile up in memory.
    fn may_hold(&self, slot: Slot) -> bool {
        slot <= self.log.chosen.plus(WINDOWS_AHEAD * self.configurations.alpha()) && !self.log_is_full()
    }

    /// Whether so much waits to be applied that no more is taken.
    pub(crate) fn log_is_full(&self) -> bool {
        self.log.bytes() >= MAX_UNAPPLIED_BYTES + self.options.cache_bytes
    }
}
