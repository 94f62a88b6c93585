//! The driver of the nodes on the stage: it feeds the replicas, and does what they put out.

use paxos::{Entry, Envelope, Event, Input, Logged, Output, Record, Value, Write};
use quorum::Incarnation;

use super::story::Line;
use super::words;
use super::world::World;
use crate::mutant::Mutant;
use crate::seat::Seat;

/// What a node does at once before it is found not to come to rest.
const BUSY: usize = 10_000;

impl World {
    pub(super) fn step(&mut self, seat: Seat, input: Input) {
        let actor = self.actor(seat);
        let now = actor.now;
        if let Some(replica) = &mut actor.replica {
            replica.step(now, input);
            self.settle(seat);
        }
    }

    /// Does all that a replica says; its disk and its state machine follow at once, unless they are held back.
    pub(super) fn settle(&mut self, seat: Seat) {
        for _ in 0..BUSY {
            let actor = self.actor(seat);
            let Some(replica) = &mut actor.replica else { return };
            if let Some(output) = replica.next_output() {
                self.obey(seat, output);
            } else if let Some(write) = (!actor.holds).then(|| actor.writes.pop_front()).flatten() {
                self.complete(seat, write);
            } else if let Some(entry) = (!actor.asleep).then(|| actor.to_apply.pop_front()).flatten() {
                self.apply(seat, entry);
            } else {
                return;
            }
        }
        panic!("{} does not come to rest", words::name(seat));
    }

    pub(super) fn feed(&mut self, seat: Seat, input: Input) {
        let actor = self.actor(seat);
        let now = actor.now;
        if let Some(replica) = &mut actor.replica {
            replica.step(now, input);
        }
    }

    fn obey(&mut self, seat: Seat, output: Output) {
        match output {
            Output::Send(envelope) => self.post(seat, envelope),
            Output::Write(mut write) => {
                let off_by_one = self.is(Mutant::SyncOffByOne) && self.actor(seat).writes.is_empty();
                let early = self.is(Mutant::AcknowledgeBeforeSync) || (off_by_one && self.holds(seat));
                if early {
                    let then = std::mem::take(&mut write.then);
                    then.into_iter().for_each(|envelope| self.post(seat, envelope));
                }
                if self.holds(seat) {
                    for record in &write.records {
                        if let Record::Voted { slot, ballot, value } = record
                            && ballot.leader == seat.node()
                        {
                            let what = words::value(value);
                            self.note(
                                seat,
                                format!("proposes {what} at {} in slot {slot}", words::ballot(*ballot)),
                            );
                        }
                    }
                }
                self.actor(seat).writes.push_back(write);
            }
            Output::Apply(entry) => self.actor(seat).to_apply.push_back(entry),
            Output::Answer(id, outcome) => self.answer(seat, id, &outcome),
            Output::Load { peer, from, to, .. } => {
                let values = self.actor(seat).load(from, to);
                self.feed(seat, Input::Loaded { peer, from, values });
            }
            Output::Trim(slot) => {
                let actor = self.actor(seat);
                actor.store.trimmed = slot;
                actor.store.log = actor.store.log.split_off(&slot.next());
                let flushed = actor.flushed.applied;
                self.note(seat, format!("forgets slots up to {slot} in its journal"));
                self.judge.on_trim(seat, slot, flushed);
            }
            // No scene trims what a member may still need.
            Output::ReadSnapshot { peer, snapshot, .. } => self.feed(seat, Input::SnapshotGone { peer, snapshot }),
            Output::StageSnapshot { snapshot, .. } => self.feed(seat, Input::SnapshotRefused { snapshot }),
            Output::InstallSnapshot { .. } => {}
            Output::Event(event) => self.on_event(seat, &event),
        }
    }

    fn on_event(&mut self, seat: Seat, event: &Event) {
        let text = match event {
            Event::Preparing(ballot) => format!("stands under {}", words::ballot(*ballot)),
            Event::Leading(ballot) => format!("leads under {}", words::ballot(*ballot)),
            Event::SteppedDown { to, .. } => format!("gives way to {}", words::ballot(*to)),
            Event::Overtaken { slot, .. } => format!("gives way: another value is chosen in slot {slot}"),
            _ => return,
        };
        self.note(seat, text);
    }

    /// A message to the node itself is there at once; others are under way from now on.
    fn post(&mut self, seat: Seat, envelope: Envelope) {
        if Seat::of(envelope.to.node) == seat {
            self.feed(seat, Input::Receive(envelope));
        } else {
            self.network.push(envelope);
        }
    }

    fn complete(&mut self, seat: Seat, write: Write) {
        self.actor(seat).before = self.actor(seat).store.clone();
        for record in write.records {
            self.keep(seat, record);
        }
        for envelope in write.then {
            self.post(seat, envelope);
        }
        self.feed(seat, Input::Persisted(write.id));
    }

    fn keep(&mut self, seat: Seat, record: Record) {
        let member = self.actor(seat).incarnation == Incarnation(1);
        let store = &mut self.actor(seat).store;
        match record {
            Record::Promised(ballot) => {
                store.promised = ballot;
                if ballot.leader != seat.node() {
                    self.note(seat, format!("promises {}", words::ballot(ballot)));
                }
            }
            Record::Voted { slot, ballot, value } => {
                store.log.insert(slot, Logged::Voted(ballot, value.clone()));
                let (what, own) = (words::value(&value), ballot.leader == seat.node());
                let verb = if own { "proposes and votes" } else { "votes" };
                self.note(
                    seat,
                    format!("{verb} {what} at {} in slot {slot}", words::ballot(ballot)),
                );
                if member && let Some(chosen) = self.judge.on_vote(seat, slot, ballot, &value) {
                    self.story.lines.push(Line::Fact(chosen));
                }
            }
            Record::Learned { slot, value } => {
                let what = words::value(&value);
                store.log.insert(slot, Logged::Learned(value));
                self.note(seat, format!("learns that {what} is chosen in slot {slot}"));
            }
            Record::Chosen(slot) => store.chosen = slot,
            Record::Configurations(configurations) => store.configurations = Some(configurations),
        }
    }

    fn apply(&mut self, seat: Seat, entry: Entry) {
        let skips = self.is(Mutant::SkipEntry) && self.actor(seat).starts > 1;
        let actor = self.actor(seat);
        let before = actor.machine.applied;
        actor.machine.applied = entry.slot;
        if !skips {
            actor.machine.values.push(entry.value.clone());
        }
        let (machine, boot) = (actor.machine.clone(), actor.boot);
        self.note(
            seat,
            format!("applies {} from slot {}", words::value(&entry.value), entry.slot),
        );
        self.judge.on_apply(seat, before, entry.slot, &entry.value);
        self.judge.on_state(seat, machine.applied, &machine.values);
        if let Value::Commands(batch) = &entry.value {
            for command in batch
                .iter()
                .filter(|command| (command.id.origin, command.id.boot) == (seat.node(), boot))
            {
                if self.actor(seat).requests.remove(&command.id.sequence).is_some() {
                    let what = String::from_utf8_lossy(&command.payload).into_owned();
                    self.note(seat, format!("tells its client that {what} is done"));
                    self.judge.on_done(entry.slot, &entry.value);
                }
            }
        }
        self.feed(seat, Input::Applied(entry.slot));
    }
}
