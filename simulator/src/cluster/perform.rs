//! What happens at a node, and doing what its replica says: the simulated driver.
//!
//! It keeps the driver's contract: outputs are done in their order; a completed sync first releases the messages of its
//! writes, those to the node itself as inputs, and then reports the last write.

use std::time::Duration;

use bytes::Bytes;
use paxos::{Address, Envelope, Input, Message, Outcome, Output, Room, Slot, WriteId};

use crate::adversary::Strike;
use crate::checker::{Verdict, bounds, configurations};
use crate::clock::Moment;
use crate::coverage::{Fault, Sometimes, Step};
use crate::disk::Job;
use crate::mutant::Mutant;
use crate::seat::Seat;

use super::Cluster;
use super::event::{Event, Happening};

impl Cluster {
    /// Something happens at a node.
    pub(super) fn on_happening(&mut self, seat: Seat, boot: Option<u64>, what: Happening) -> Verdict {
        let node = &mut self.nodes[seat.index()];
        if boot.is_some() && node.boot() != boot {
            return Ok(());
        }
        if node.paused {
            node.waiting.push_back((boot, what));
            return Ok(());
        }
        if node.process.is_none() {
            match what {
                Happening::Deliver { .. } => self.tally.faults.hit(Fault::Unheard),
                Happening::Request { client, op } => self.refuse_connection(client, op),
                _ => {}
            }
            return Ok(());
        }
        match what {
            Happening::Deliver {
                from,
                connection,
                frame,
            } => {
                if connection != self.network.connection(from, seat) {
                    return Ok(());
                }
                return self.on_deliver(seat, from, frame);
            }
            Happening::Request { client, op } => self.on_request(seat, client, op)?,
            Happening::Synced => return self.on_synced(seat),
            Happening::Apply => self.on_apply(seat)?,
            Happening::Flush => self.on_flush(seat)?,
            Happening::Load {
                peer,
                from,
                to,
                max_bytes,
            } => self.on_load(seat, peer, from, to, max_bytes),
            Happening::ReadSnapshot {
                peer,
                snapshot,
                from,
                count,
            } => self.on_read_snapshot(seat, peer, snapshot, (from, count))?,
            Happening::Room { enough } => {
                if let Some(process) = self.process(seat) {
                    process.may_write = enough;
                }
                let room = if enough { Room::Ample } else { Room::Exhausted };
                self.step(seat, Input::Space(room));
            }
            Happening::Stage => self.on_stage(seat)?,
            Happening::Serve { request, slot } => self.answer(seat, request, Outcome::Read(slot))?,
            Happening::Wake { at } => return self.on_wake(seat, at),
            Happening::Measure => self.on_measure(seat),
        }
        self.drain(seat)
    }

    fn on_deliver(&mut self, seat: Seat, from: Seat, frame: Bytes) -> Verdict {
        self.trace.mix(u64::from(from.0) << 8 | u64::from(seat.0));
        let envelope = match Envelope::decode(frame) {
            Ok(envelope) => envelope,
            Err(error) => panic!("{seat} cannot decode what {from} encoded: {error}"),
        };
        let now = self.now;
        self.trace
            .line(|| format!("{now:?} {seat} <- {from} {:?}", envelope.message));
        self.step(seat, Input::Receive(envelope));
        self.drain(seat)
    }

    /// A4: the sync covers the oldest writes; their messages leave, then the replica hears of it.
    fn on_synced(&mut self, seat: Seat) -> Verdict {
        if self.nodes[seat.index()].disk.sync_fails() {
            let now = self.now;
            self.trace
                .line(|| format!("{now:?} fault: a sync of {seat} fails, and its process ends"));
            self.tally.faults.hit(Fault::SyncFailed);
            self.crash(seat)?;
            self.restart_later(seat);
            return Ok(());
        }
        let jobs = self.nodes[seat.index()].disk.finish_sync();
        for job in &jobs {
            self.harden(seat, job)?;
        }
        self.trace.mix(jobs.len() as u64);
        let now = self.now;
        self.trace
            .line(|| format!("{now:?} {seat} synced {} writes", jobs.len()));
        if self.plan.is(Mutant::LoseSynced) && self.random.disk.chance(100) {
            let node = &mut self.nodes[seat.index()];
            node.old_store = Some(node.disk.store().clone());
        }
        if self.dies_at(seat, Step::Synced)? {
            return Ok(());
        }
        let mut last = None;
        for job in jobs {
            let Job::Write(write) = job else { continue };
            last = Some(write.id);
            for envelope in write.then {
                self.release(seat, envelope)?;
                if self.dies_at(seat, Step::Released)? {
                    return Ok(());
                }
            }
        }
        if self.plan.is(Mutant::SyncOffByOne)
            && let Some(next) = self.nodes[seat.index()].disk.take_next_messages()
        {
            for envelope in next {
                self.release(seat, envelope)?;
            }
        }
        if let Some(WriteId(last)) = last {
            self.step(seat, Input::Persisted(WriteId(last)));
        }
        self.drain(seat)
    }

    /// Makes a job durable, under the eyes of the checkers.
    pub(super) fn harden(&mut self, seat: Seat, job: &Job) -> Verdict {
        let disk = &mut self.nodes[seat.index()].disk;
        let chosen = disk.store().chosen;
        disk.settle(job);
        if let Job::Write(write) = job {
            if let Some(spec) = &mut self.spec {
                spec.on_durable(seat, write.id);
            }
            for record in &write.records {
                self.oracle
                    .on_durable(seat, record, disk.store(), chosen, &mut self.tally)?;
            }
        }
        Ok(())
    }

    fn on_apply(&mut self, seat: Seat) -> Verdict {
        let node = &mut self.nodes[seat.index()];
        let Some(process) = node.process.as_mut() else {
            return Ok(());
        };
        let count = 1 + self.random.process.index(process.to_apply.len());
        let entries: Vec<_> = process.to_apply.drain(..count).collect();
        let mut rest = entries.as_slice();
        let restarted = process.boot > self.plan.nodes() as u64;
        if self.plan.is(Mutant::SkipEntry) && restarted && !process.has_applied {
            process.machine.skip(entries[0].slot);
            rest = &entries[1..];
        }
        process.has_applied = true;
        let (boot, pending) = (process.boot, &process.pending);
        let answers = process.machine.apply(rest, |id| {
            id.origin == seat.node() && id.boot == boot && pending.contains_key(&id.sequence)
        });
        if process.machine.sweep() {
            self.tally.sometimes.hit(Sometimes::Swept);
        }
        let applied = process.machine.applied();
        self.trace.mix(process.machine.digest());
        self.oracle.on_state(seat, &process.machine)?;
        let more = !process.to_apply.is_empty();
        let now = self.now;
        self.trace
            .line(|| format!("{now:?} {seat} has applied up to {applied}"));
        if self.dies_at(seat, Step::Applied)? {
            return Ok(());
        }
        for (id, told) in answers {
            self.answer_done(seat, id, &told)?;
            if self.dies_at(seat, Step::Answered)? {
                return Ok(());
            }
        }
        if more {
            self.apply_later(seat);
        }
        self.step(seat, Input::Applied(applied));
        Ok(())
    }

    fn apply_later(&mut self, seat: Seat) {
        let span = self.random.process.exponential(self.plan.tuning.apply);
        self.later_at(span, seat, Happening::Apply);
    }

    fn on_flush(&mut self, seat: Seat) -> Verdict {
        let node = &mut self.nodes[seat.index()];
        let Some(process) = node.process.as_ref() else {
            return Ok(());
        };
        let (status, writes) = (process.replica.status(), node.disk.backlog());
        self.oracle
            .judge(bounds::on_status(seat, &status, &self.plan, writes))?;
        let known = configurations::check(self.oracle.ledger(), seat, &status.configurations);
        self.oracle.judge(known)?;
        let applied = process.machine.applied();
        self.judge_staleness(seat)?;
        let node = &mut self.nodes[seat.index()];
        let Some(process) = node.process.as_ref() else {
            return Ok(());
        };
        if !self.plan.is(Mutant::ClaimFlushed) {
            process.machine.flush();
            node.flushed = applied;
            let kept = self.plan.faults.every.contains_key(&Strike::OldState) || self.plan.is(Mutant::SnapshotBehind);
            if kept && self.random.disk.chance(200) {
                node.backup = Some((node.tables.copy(), applied));
            }
            self.oracle.on_flushed(seat, applied);
            self.for_spec(|spec| spec.on_flushed(seat, applied));
        }
        self.trace.mix(applied.0);
        let span = self.random.disk.exponential(self.plan.tuning.flush);
        self.later_at(span, seat, Happening::Flush);
        if !self.dies_at(seat, Step::Flushed)? {
            self.step(seat, Input::Flushed(applied));
        }
        Ok(())
    }

    fn on_load(&mut self, seat: Seat, peer: Address, from: Slot, to: Slot, max_bytes: usize) {
        let now = self.now;
        let values = match self.nodes[seat.index()].disk.load(from, to, max_bytes) {
            Ok(values) => values,
            Err(slot) => {
                self.tally.sometimes.hit(Sometimes::RotNoticed);
                self.trace
                    .line(|| format!("{now:?} {seat} cannot read slot {slot} for {peer:?}"));
                return;
            }
        };
        self.tally.sometimes.hit(Sometimes::LoadedFromJournal);
        self.trace.mix(values.len() as u64);
        self.step(seat, Input::Loaded { peer, from, values });
    }

    fn on_measure(&mut self, seat: Seat) {
        for peer in Seat::all(self.plan.nodes()).filter(|peer| *peer != seat) {
            if self.network.is_open(seat, peer) && self.network.is_open(peer, seat) {
                let round_trip = self.network.round_trip(seat, peer);
                self.step(
                    seat,
                    Input::RoundTrip {
                        node: peer.node(),
                        round_trip,
                    },
                );
            }
        }
        let span = self.plan.tuning.election_timeout * 8;
        self.later_at(span, seat, Happening::Measure);
    }

    fn on_wake(&mut self, seat: Seat, at: Moment) -> Verdict {
        let now = self.now;
        let Some(process) = self.process(seat) else {
            return Ok(());
        };
        if process.wake != at {
            return Ok(());
        }
        process.wake = Moment(u64::MAX);
        let (deadline, why) = process.deadline;
        if process.clock.read(now) >= deadline {
            self.trace.line(|| format!("{now:?} {seat} wakes for {why:?}"));
            self.step(seat, Input::Tick);
        }
        self.drain(seat)
    }

    /// Performs all that the replica says, then sees to its disk and its alarm clock.
    pub(super) fn drain(&mut self, seat: Seat) -> Verdict {
        let mut outputs = 0;
        while let Some(output) = self.process(seat).and_then(|process| process.replica.next_output()) {
            outputs += 1;
            let step = match &output {
                Output::Write(_) => Some(Step::Queued),
                Output::Send(_) => Some(Step::Sent),
                Output::Apply(_) => Some(Step::Handed),
                Output::Trim(_) => Some(Step::Trimmed),
                _ => None,
            };
            self.perform(seat, output)?;
            if let Some(step) = step
                && self.dies_at(seat, step)?
            {
                return Ok(());
            }
            self.oracle.judge(bounds::on_outputs(seat, outputs))?;
        }
        self.sync_later(seat)?;
        self.wake_later(seat)
    }

    fn sync_later(&mut self, seat: Seat) -> Verdict {
        let disk = &mut self.nodes[seat.index()].disk;
        self.oracle.judge(bounds::on_backlog(seat, disk.backlog()))?;
        if let Some(span) = disk.start_sync(&mut self.random.disk) {
            self.later_at(span, seat, Happening::Synced);
        }
        Ok(())
    }

    pub(super) fn wake_later(&mut self, seat: Seat) -> Verdict {
        let now = self.now;
        let Some(process) = self.process(seat) else {
            return Ok(());
        };
        let deadline = process.replica.deadline();
        if deadline == process.deadline && process.wake != Moment(u64::MAX) {
            return Ok(());
        }
        process.deadline = deadline;
        let mut at = process.clock.when(deadline.0);
        if at <= now {
            process.idle_wakes += 1;
            at = Moment(now.0 + 1000);
        } else {
            process.idle_wakes = 0;
        }
        let (boot, wakes) = (process.boot, process.idle_wakes);
        if at < process.wake {
            process.wake = at;
            let what = Happening::Wake { at };
            self.schedule.push(
                at,
                Event::At {
                    seat,
                    boot: Some(boot),
                    what,
                },
            );
        }
        self.oracle.judge(bounds::on_wakes(seat, wakes, &deadline.1))
    }

    fn perform(&mut self, seat: Seat, output: Output) -> Verdict {
        match output {
            Output::Write(mut write) => {
                self.trace.mix(write.id.0);
                self.trace.line(|| {
                    format!(
                        "               {seat} writes {:?} then {:?}",
                        write.records,
                        messages(&write.then)
                    )
                });
                let room = self.process(seat).is_none_or(|process| process.may_write);
                self.oracle.judge(bounds::on_write(seat, &write, room))?;
                self.for_spec(|spec| spec.on_write(seat, &write));
                self.oracle.on_write(self.address(seat), &write, &mut self.tally)?;
                let early = if self.plan.is(Mutant::AcknowledgeBeforeSync) {
                    std::mem::take(&mut write.then)
                } else {
                    Vec::new()
                };
                self.nodes[seat.index()].disk.submit(Job::Write(write));
                early.into_iter().try_for_each(|envelope| self.transmit(seat, envelope))
            }
            Output::Send(envelope) => self.transmit(seat, envelope),
            Output::Apply(entry) => {
                self.trace
                    .line(|| format!("               {seat} is to apply {} {:?}", entry.slot, entry.value));
                self.oracle.on_apply(seat, &entry)?;
                let Some(process) = self.process(seat) else {
                    return Ok(());
                };
                let idle = process.to_apply.is_empty();
                process.to_apply.push_back(entry);
                if idle {
                    self.apply_later(seat);
                }
                Ok(())
            }
            Output::Answer(id, outcome) => {
                self.trace
                    .line(|| format!("               {seat} answers request {}: {outcome:?}", id.0));
                self.on_answer(seat, id, outcome)
            }
            Output::Load {
                peer,
                from,
                to,
                max_bytes,
            } => {
                let span = self.random.disk.exponential(self.plan.disk.mean);
                self.later_at(
                    span,
                    seat,
                    Happening::Load {
                        peer,
                        from,
                        to,
                        max_bytes,
                    },
                );
                Ok(())
            }
            Output::Trim(slot) => {
                self.trace
                    .line(|| format!("               {seat} trims its journal to {slot}"));
                self.tally.sometimes.hit(Sometimes::JournalTrimmed);
                if self.nodes.iter().any(|node| node.flushed < slot) {
                    self.tally.sometimes.hit(Sometimes::TrimmedPastMember);
                }
                self.oracle.on_trim(seat, slot, self.nodes[seat.index()].flushed)?;
                self.nodes[seat.index()].disk.submit(Job::Trim(slot));
                Ok(())
            }
            snapshot
            @ (Output::ReadSnapshot { .. } | Output::StageSnapshot { .. } | Output::InstallSnapshot { .. }) => {
                self.perform_snapshot(seat, snapshot)
            }
            Output::Event(note) => {
                self.trace.line(|| format!("               {seat} notes {note:?}"));
                let verdict = self.may_retire(seat, &note);
                self.oracle.judge(verdict)?;
                self.on_note(seat, &note);
                self.judge_lease(seat, &note)
            }
        }
    }

    fn on_answer(&mut self, seat: Seat, id: paxos::RequestId, outcome: Outcome) -> Verdict {
        self.trace
            .mix(id.0 << 2 | u64::from(matches!(outcome, Outcome::Read(_))));
        if self.is_for_operator(seat, id, &outcome) {
            return Ok(());
        }
        if let Outcome::Read(slot) = outcome
            && self.plan.is(Mutant::ReadServedLate)
        {
            let most = self.plan.load.timeout / 2;
            let span = self.random.process.span(Duration::ZERO, most);
            self.later_at(span, seat, Happening::Serve { request: id, slot });
            return Ok(());
        }
        self.answer(seat, id, outcome)
    }
}

fn messages(envelopes: &[Envelope]) -> Vec<(Seat, &Message)> {
    envelopes
        .iter()
        .map(|envelope| (Seat::of(envelope.to.node), &envelope.message))
        .collect()
}
