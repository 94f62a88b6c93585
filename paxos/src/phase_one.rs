//! The promises that a candidate gathers, and a leader goes on to gather for a new configuration (L3 ii, L7, L9, R3).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use quorum::{Configuration, NodeSet};

use crate::ballot::{Ballot, Slot};
use crate::configurations::index_of;
use crate::lease::Release;
use crate::message::{Address, Vote};
use crate::mutant::{Mutant, mutated};
use crate::value::Value;

/// What is known of the promises of one ballot.
#[derive(Clone, Hash, Debug)]
pub(crate) struct PhaseOne {
    pub(crate) ballot: Ballot,
    /// The first slot asked about.
    pub(crate) from: Slot,
    /// E4: what its `Prepare`s show, if its candidate was chosen to succeed the leader.
    pub(crate) release: Option<Release>,
    /// R3: the first slot asked about of those who were asked for a new configuration only.
    later: BTreeMap<Address, Slot>,
    /// Next slot that a page of each promise must begin at (L9).
    pages: BTreeMap<Address, Slot>,
    /// Whose promise is complete.
    pub(crate) promised: Vec<Address>,
    /// The highest-ballot vote of each slot among the promises (L3 iii).
    pub(crate) votes: BTreeMap<Slot, (Ballot, Value)>,
    /// Every slot up to here is decided, by somebody's promise (L7).
    pub(crate) decided: Slot,
}

impl PhaseOne {
    /// Nobody has promised `ballot` for the slots from `from` on yet; those before are known to be chosen.
    pub(crate) fn new(ballot: Ballot, from: Slot, chosen: Slot) -> PhaseOne {
        PhaseOne {
            ballot,
            from,
            release: None,
            later: BTreeMap::new(),
            pages: BTreeMap::new(),
            promised: Vec::new(),
            votes: BTreeMap::new(),
            decided: chosen,
        }
    }

    /// L9: the first slot of the page that is missing from a promise.
    pub(crate) fn expected(&self, from: Address) -> Slot {
        let first = self.later.get(&from).copied().unwrap_or(self.from);
        self.pages.get(&from).copied().unwrap_or(first)
    }

    /// R3: somebody who has promised nothing yet is asked for the slots from `first` on.
    pub(crate) fn ask_later(&mut self, whom: Address, first: Slot) {
        if !self.pages.contains_key(&whom) {
            self.later.entry(whom).or_insert(first);
        }
    }

    /// Those among `addresses` whose promise is missing, with the page that is (L9).
    pub(crate) fn missing(&self, addresses: impl IntoIterator<Item = Address>) -> Vec<(Address, Slot)> {
        let missing = addresses.into_iter().filter(|address| !self.promised.contains(address));
        missing.map(|address| (address, self.expected(address))).collect()
    }

    /// L3 ii: the members of `configuration` whose promise speaks of every slot from `first` on.
    pub(crate) fn promisers(&self, configuration: &Configuration, first: Slot) -> NodeSet {
        let speaks = |address: &&Address| self.later.get(address).is_none_or(|from| *from <= first);
        let whole = self.promised.iter().filter(speaks);
        whole.filter_map(|address| index_of(configuration, *address)).collect()
    }

    /// L3 ii, L9: takes a page: the slot from which on the next one is to be asked for, if it is not the last. Nothing if it is
    /// of an older ballot, repeated, or not the page that is missing (mutants 19 to 21).
    pub(crate) fn take(
        &mut self,
        from: Address,
        ballot: Ballot,
        (first, to): (Slot, Option<Slot>),
        votes: Vec<Vote>,
        decided: Slot,
    ) -> Option<Option<Slot>> {
        let old = self.ballot != ballot && !mutated(Mutant::OldPromiseCounted);
        let repeated = self.promised.contains(&from);
        if (old || repeated || first != self.expected(from)) && !(repeated && mutated(Mutant::PromiseCountedTwice)) {
            return None;
        }
        // L7, L10: what somebody knows as decided is learned, never proposed.
        self.decided = self.decided.max(decided);
        let top = votes.iter().map(|vote| vote.ballot).max();
        for vote in votes {
            if Some(vote.ballot) < top && mutated(Mutant::AdoptByAcceptor) {
                continue;
            }
            let known = self.votes.get(&vote.slot).map(|(ballot, _)| *ballot);
            let best = self.votes.entry(vote.slot).or_insert((vote.ballot, Value::Noop));
            if outranks(vote.ballot, known) {
                *best = (vote.ballot, vote.value);
            }
        }
        match to {
            Some(last) if !mutated(Mutant::PartialPromise) => {
                self.pages.insert(from, last.next());
                Some(Some(last.next()))
            }
            _ => {
                self.promised.push(from);
                Some(None)
            }
        }
    }

    /// The values that the votes bind to slots up to `to`; the votes beyond stay.
    pub(crate) fn adopt(&mut self, to: Slot) -> BTreeMap<Slot, Value> {
        let beyond = self.votes.split_off(&Slot(to.0.saturating_add(1)));
        let adopted = core::mem::replace(&mut self.votes, beyond);
        if mutated(Mutant::AdoptNone) {
            return BTreeMap::new();
        }
        adopted.into_iter().map(|(slot, (_, value))| (slot, value)).collect()
    }
}

/// L3 iii: whether a vote takes the place of the best one reported for its slot so far: that of the highest ballot wins.
fn outranks(vote: Ballot, best: Option<Ballot>) -> bool {
    match best {
        None => !mutated(Mutant::AdoptConfirmed),
        Some(best) if vote < best => mutated(Mutant::AdoptAny) || mutated(Mutant::AdoptLowest),
        Some(best) if vote > best => !mutated(Mutant::AdoptFirst) && !mutated(Mutant::AdoptLowest),
        Some(_) => true,
    }
}
