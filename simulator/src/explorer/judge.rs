//! The facts that no node can know, and whether they obey the protocol. What is chosen is computed from votes that were
//! ever durable, never from what a node says.
//!
//! What has been judged is part of a state: two states are the same only if their pasts permit the same futures.

use std::collections::{BTreeMap, BTreeSet};

use paxos::{Ballot, CommandId, Entry, Envelope, Event, Message, Record, Slot, Value};
use quorum::{Configuration, Phase, QuorumSystem};

use crate::checker::{Property, Violation, ensure};
use crate::explorer::node::{Fact, PAYLOAD};
use crate::seat::Seat;

type Verdict = Result<(), Violation>;

/// What has happened so far, as far as rules ask for it.
#[derive(Clone, Hash, Default)]
pub(super) struct Judge {
    /// The commands that clients gave.
    given: BTreeSet<CommandId>,
    /// The ballots in which anybody was ever asked for a promise.
    used: BTreeSet<Ballot>,
    /// What was proposed, by slot and ballot.
    proposed: BTreeMap<(Slot, Ballot), Value>,
    /// The slots and ballots in which each node ever voted, durably.
    votes: Vec<BTreeSet<(Slot, Ballot)>>,
    /// What each node has promised, durably.
    promised: Vec<Ballot>,
    /// The highest promise that each node has given to anybody.
    told: Vec<Ballot>,
    /// What is chosen, and the first ballot in which it was.
    chosen: BTreeMap<Slot, (Ballot, Value)>,
    /// The prefix that each node's disk holds as chosen, if anything depends on it.
    kept: Vec<Slot>,
}

/// The configurations that there can be.
#[derive(Copy, Clone)]
pub(super) struct Asked<'a> {
    pub(super) first: &'a Configuration,
    /// The one that leaders are asked for.
    pub(super) next: Option<&'a Configuration>,
}

impl Asked<'_> {
    /// R1: the first slot of the next one, which is chosen in slot 1.
    pub(super) fn from(self) -> Slot {
        Slot(1).plus(self.first.alpha())
    }
}

impl Judge {
    pub(super) fn new(nodes: usize) -> Judge {
        Judge {
            votes: vec![BTreeSet::new(); nodes],
            promised: vec![Ballot::ZERO; nodes],
            told: vec![Ballot::ZERO; nodes],
            kept: vec![Slot::ZERO; nodes],
            ..Judge::default()
        }
    }

    /// What is chosen.
    pub(super) fn chosen(&self) -> &BTreeMap<Slot, (Ballot, Value)> {
        &self.chosen
    }

    /// What was proposed, by slot and ballot.
    pub(super) fn proposed(&self) -> &BTreeMap<(Slot, Ballot), Value> {
        &self.proposed
    }

    /// Takes what a node did, in order. Judges `only` one property, or all.
    pub(super) fn see(&mut self, seat: Seat, facts: &[Fact], asked: Asked<'_>, only: Option<Property>) -> Verdict {
        facts.iter().try_for_each(|fact| {
            let verdicts = self.see_one(seat, fact, asked);
            let judged = |verdict: &Verdict| match verdict {
                Ok(()) => false,
                Err(violation) => only.is_none_or(|only| violation.property == only),
            };
            verdicts.into_iter().find(judged).unwrap_or(Ok(()))
        })
    }

    fn see_one(&mut self, seat: Seat, fact: &Fact, asked: Asked<'_>) -> Vec<Verdict> {
        match fact {
            Fact::Given(id) => {
                self.given.insert(*id);
                Vec::new()
            }
            Fact::Noted(Event::Preparing(ballot)) => {
                let new = !self.used.contains(ballot) && ballot.leader == seat.node();
                vec![began(seat, *ballot, new)]
            }
            Fact::Noted(Event::ConfigurationRetired { .. }) => vec![self.may_retire(seat, asked)],
            Fact::Noted(_) | Fact::Crashed(_) => Vec::new(),
            Fact::Handed(entry, before) => vec![self.handed(seat, entry, *before)],
            Fact::Durable(record) => self.durable(seat, record, asked),
            Fact::Sent(envelope) => self.sent(seat, envelope, asked),
        }
    }

    /// I2, I10: what is applied is chosen, in slot order.
    fn handed(&self, seat: Seat, entry: &Entry, before: Slot) -> Verdict {
        let Entry { slot, value } = entry;
        let chosen = self.chosen.get(slot).map(|(_, chosen)| chosen);
        ensure!(
            *slot == before.next(),
            Applied,
            "{seat} applies slot {slot} after {before}"
        );
        ensure!(
            chosen == Some(value),
            Claims,
            "{seat} applies {value:?} in slot {slot}, where {chosen:?} is chosen"
        );
        Ok(())
    }

    fn durable(&mut self, seat: Seat, record: &Record, asked: Asked<'_>) -> Vec<Verdict> {
        match record {
            Record::Promised(ballot) => {
                let before = std::mem::replace(&mut self.promised[seat.index()], *ballot);
                vec![grows(seat, before, *ballot)]
            }
            Record::Voted { slot, ballot, value } => {
                let told = self.told[seat.index()];
                let mut verdicts = vec![below(seat, *slot, *ballot, told)];
                verdicts.extend(self.propose(*slot, *ballot, value, asked));
                self.votes[seat.index()].insert((*slot, *ballot));
                verdicts.extend(self.count(*slot, *ballot, asked));
                verdicts
            }
            Record::Learned { slot, value } => vec![self.is_chosen(seat, *slot, value)],
            Record::Chosen(slot) => {
                if asked.next.is_some() {
                    self.kept[seat.index()] = *slot;
                }
                vec![self.claims(seat, *slot)]
            }
            Record::Configurations(_) => Vec::new(),
        }
    }

    /// I3, I4: one value for each ballot and slot, which a client gave.
    fn propose(&mut self, slot: Slot, ballot: Ballot, value: &Value, asked: Asked<'_>) -> Vec<Verdict> {
        let known = self.proposed.entry((slot, ballot)).or_insert_with(|| value.clone());
        let mut verdicts = Vec::new();
        if known != value {
            verdicts.push(violation(
                Property::OneValue,
                format!("ballot {ballot} has two values in slot {slot}: {known:?} and {value:?}"),
            ));
        }
        let valid = match value {
            Value::Noop => true,
            Value::Commands(batch) => batch
                .iter()
                .all(|command| self.given.contains(&command.id) && command.payload == PAYLOAD),
            Value::Reconfigure(change) => self.given.contains(&change.id) && asked.next == Some(&change.configuration),
        };
        if !valid {
            verdicts.push(violation(
                Property::Validity,
                format!("nobody gave {value:?}, which ballot {ballot} has in slot {slot}"),
            ));
        }
        verdicts
    }

    /// Whether the change is chosen, which is in slot 1.
    pub(super) fn has_changed(&self) -> bool {
        matches!(self.chosen.get(&Slot(1)), Some((_, Value::Reconfigure(_))))
    }

    /// R1: what governs a slot: the change, if one is chosen in slot 1 and this is a window later.
    fn configuration<'a>(&self, slot: Slot, asked: Asked<'a>) -> &'a Configuration {
        asked
            .next
            .filter(|_| self.has_changed() && slot >= asked.from())
            .unwrap_or(asked.first)
    }

    /// R6: an old configuration is found retired when its last slot is on enough disks as chosen.
    fn may_retire(&self, seat: Seat, asked: Asked<'_>) -> Verdict {
        let keeps = |seat: &Seat| self.kept[seat.index()].next() >= asked.from();
        let keepers = Seat::all(self.votes.len()).filter(keeps);
        let enough = asked.next.is_some_and(|next| is_quorum(next, Phase::Two, keepers));
        ensure!(
            enough,
            Configurations,
            "{seat} finds the first configuration retired, while disks hold as chosen no more than {:?}",
            self.kept
        );
        Ok(())
    }

    /// I1: chosen is what a phase-2 quorum has voted for in one ballot; it never changes.
    fn count(&mut self, slot: Slot, ballot: Ballot, asked: Asked<'_>) -> Vec<Verdict> {
        let voters = Seat::all(self.votes.len()).filter(|seat| self.votes[seat.index()].contains(&(slot, ballot)));
        if !is_quorum(self.configuration(slot, asked), Phase::Two, voters) {
            return Vec::new();
        }
        let value = self.proposed[&(slot, ballot)].clone();
        let (first, chosen) = self.chosen.entry(slot).or_insert_with(|| (ballot, value.clone()));
        if *chosen != value {
            return vec![violation(
                Property::Agreement,
                format!(
                    "in slot {slot} two values are chosen: {chosen:?} in ballot {first} and {value:?} in ballot {ballot}"
                ),
            )];
        }
        *first = ballot.min(*first);
        let later: Vec<_> = self
            .proposed
            .range((slot, ballot)..(slot.next(), Ballot::ZERO))
            .collect();
        later
            .into_iter()
            .map(|((_, of), proposed)| self.stays(slot, *of, proposed))
            .collect()
    }

    /// I9: what is chosen is proposed again by every later ballot.
    fn stays(&self, slot: Slot, ballot: Ballot, value: &Value) -> Verdict {
        if let Some((first, chosen)) = self.chosen.get(&slot) {
            ensure!(
                ballot <= *first || value == chosen,
                ChosenStays,
                "ballot {ballot} has {value:?} in slot {slot}, where {chosen:?} is chosen since ballot {first}"
            );
        }
        Ok(())
    }

    fn sent(&mut self, seat: Seat, envelope: &Envelope, asked: Asked<'_>) -> Vec<Verdict> {
        let index = seat.index();
        match &envelope.message {
            // L1: a ballot is durable before it is used.
            Message::Prepare { ballot, .. } => {
                self.used.insert(*ballot);
                vec![self.has_promised(seat, *ballot, Property::Ballots)]
            }
            Message::Promise {
                ballot, votes, chosen, ..
            } => {
                let mut verdicts = vec![
                    self.has_promised(seat, *ballot, Property::Evidence),
                    grows(seat, self.told[index], *ballot),
                    self.claims(seat, *chosen),
                ];
                for vote in votes {
                    let known = self
                        .chosen
                        .get(&vote.slot)
                        .is_some_and(|(_, value)| *value == vote.value);
                    let voted = self.votes[index].contains(&(vote.slot, vote.ballot));
                    if !known && !voted {
                        let words = format!("{seat} reports {vote:?}, which is not on its disk");
                        verdicts.push(violation(Property::Evidence, words));
                    }
                }
                self.told[index] = self.told[index].max(*ballot);
                verdicts
            }
            Message::Accept {
                ballot,
                slot,
                value,
                chosen,
            } => {
                let new = !self.proposed.contains_key(&(*slot, *ballot));
                let mut verdicts = self.propose(*slot, *ballot, value, asked);
                if new {
                    verdicts.push(self.adopts(*slot, *ballot, value, asked));
                }
                verdicts.push(self.stays(*slot, *ballot, value));
                verdicts.push(self.claims(seat, *chosen));
                verdicts
            }
            Message::Accepted { ballot, slot } => {
                let value = self.proposed.get(&(*slot, *ballot));
                let known = self.chosen.get(slot).is_some_and(|(_, chosen)| Some(chosen) == value);
                let voted = self.votes[index].contains(&(*slot, *ballot));
                if known || voted {
                    return Vec::new();
                }
                let words = format!("{seat} says it voted in slot {slot}, ballot {ballot}: its disk does not");
                vec![violation(Property::Evidence, words)]
            }
            Message::Chosen { from, values, chosen } => {
                let slots = std::iter::successors(Some(*from), |slot| Some(slot.next()));
                let served = slots.zip(values).map(|(slot, value)| self.is_chosen(seat, slot, value));
                served.chain([self.claims(seat, *chosen)]).collect()
            }
            Message::Decided { chosen, .. } | Message::Commit { chosen, .. } | Message::Heartbeat { chosen, .. } => {
                vec![self.claims(seat, *chosen)]
            }
            _ => Vec::new(),
        }
    }

    /// What a node has durably promised: its vote is a promise as well (A2), and a restart finds it.
    fn implied(&self, seat: Seat) -> Ballot {
        let votes = self.votes[seat.index()].iter().map(|(_, ballot)| *ballot);
        votes.fold(self.promised[seat.index()], Ballot::max)
    }

    /// I7: what is said of a promise is on the disk.
    fn has_promised(&self, seat: Seat, ballot: Ballot, property: Property) -> Verdict {
        let promised = self.implied(seat);
        if promised >= ballot {
            return Ok(());
        }
        violation(
            property,
            format!("{seat} speaks of its promise {ballot}, but its disk has {promised}"),
        )
    }

    /// I8 (P2c): some phase-1 quorum has promised the ballot, and its votes below leave the leader this value.
    fn adopts(&self, slot: Slot, ballot: Ballot, value: &Value, asked: Asked<'_>) -> Verdict {
        let promised: Vec<Seat> = Seat::all(self.votes.len())
            .filter(|seat| self.implied(*seat) >= ballot)
            .collect();
        let last_vote = |seat: &Seat| {
            let below = self.votes[seat.index()].range((slot, Ballot::ZERO)..(slot, ballot));
            below.last().map(|(_, ballot)| *ballot)
        };
        let configuration = self.configuration(slot, asked);
        let permits = (0..1_u32 << promised.len()).any(|choice| {
            let chosen = promised.iter().enumerate().filter(|(at, _)| choice >> at & 1 == 1);
            let members: Vec<Seat> = chosen.map(|(_, seat)| *seat).collect();
            let bound = members.iter().filter_map(last_vote).max();
            is_quorum(configuration, Phase::One, members.iter().copied())
                && bound.is_none_or(|bound| self.proposed.get(&(slot, bound)) == Some(value))
        });
        // What is chosen may be known from elsewhere, and is safe in any ballot.
        let known = self.chosen.get(&slot).is_some_and(|(_, chosen)| chosen == value);
        ensure!(
            permits || known,
            Adoption,
            "no phase-1 quorum permits ballot {ballot} to propose {value:?} in slot {slot}"
        );
        Ok(())
    }

    /// I2: every slot up to there is chosen.
    fn claims(&self, seat: Seat, prefix: Slot) -> Verdict {
        let missing = (1..=prefix.0).find(|slot| !self.chosen.contains_key(&Slot(*slot)));
        match missing {
            None => Ok(()),
            Some(slot) => violation(
                Property::Claims,
                format!("{seat} takes every slot up to {prefix} for chosen, and {slot} is not"),
            ),
        }
    }

    /// I2: this value is chosen there.
    fn is_chosen(&self, seat: Seat, slot: Slot, value: &Value) -> Verdict {
        let chosen = self.chosen.get(&slot).map(|(_, chosen)| chosen);
        ensure!(
            chosen == Some(value),
            Claims,
            "{seat} takes {value:?} for chosen in slot {slot}, where {chosen:?} is chosen"
        );
        Ok(())
    }
}

/// Whether these are a quorum, as members of a configuration.
fn is_quorum(configuration: &Configuration, phase: Phase, seats: impl Iterator<Item = Seat>) -> bool {
    let index = |seat: Seat| configuration.index_of(seat.node(), seat.address().incarnation);
    configuration.is_quorum(phase, seats.filter_map(index).collect())
}

fn violation(property: Property, detail: String) -> Verdict {
    Err(Violation { property, detail })
}

/// L1: a ballot is its leader's, and never resumed once it was used.
fn began(seat: Seat, ballot: Ballot, new: bool) -> Verdict {
    ensure!(new, Ballots, "{seat} begins ballot {ballot}, which was used before");
    Ok(())
}

/// I5: promises grow.
fn grows(seat: Seat, before: Ballot, ballot: Ballot) -> Verdict {
    ensure!(
        ballot >= before,
        PromisesGrow,
        "{seat} promises {ballot} after it promised {before}"
    );
    Ok(())
}

/// I6: no vote below a promise that was given.
fn below(seat: Seat, slot: Slot, ballot: Ballot, told: Ballot) -> Verdict {
    ensure!(
        ballot >= told,
        NoVoteBelow,
        "{seat} votes in ballot {ballot} for slot {slot} after it promised {told}"
    );
    Ok(())
}
