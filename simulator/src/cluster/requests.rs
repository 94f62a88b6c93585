//! What clients do, and what they are told.

use std::collections::VecDeque;

use paxos::{CommandId, Input, Outcome, RequestId};
use storage::machine::Applied;

use crate::checker::{Verdict, ensure};
use crate::client::{End, Kind, Op};
use crate::commands::{CommandFacts, Fate};
use crate::coverage::{Fault, Sometimes};
use crate::history;
use crate::linearizable::register::Reply;
use crate::mutant::Mutant;
use crate::node::{Pending, Process};
use crate::seat::Seat;
use crate::trace::digest;
use crate::workload::{OpId, Request};

use super::event::{Event, Happening};
use super::{Cluster, Phase};

impl Cluster {
    pub(super) fn think_later(&mut self, client: usize) {
        let span = self.random.workload.exponential(self.plan.load.think);
        self.later(span, Event::Think { client });
    }

    /// A client begins its next operation, if it has one.
    pub(super) fn think(&mut self, client: usize) {
        if self.clients[client].open.is_some() {
            return;
        }
        let random = &mut self.random.workload;
        let load = &self.plan.load;
        let kind = match &self.clients[client].programme {
            Some(programme) => match programme.last() {
                Some(kind) => *kind,
                None => return,
            },
            None if self.phase == Phase::Calm => return,
            None if random.chance(load.reads) => Kind::Read,
            None => Kind::Write,
        };
        let wanders = self.clients[client].programme.is_none();
        if wanders && random.chance(load.wander) {
            self.clients[client].seat = Seat(random.index(self.nodes.len()) as u8);
        }
        self.ops += 1;
        let id = OpId(self.ops);
        let too_large = self.plan.tuning.max_batch_bytes as u64;
        let request = match (self.clients[client].retry.take(), kind) {
            (Some(again), _) => {
                self.tally.sometimes.hit(Sometimes::Retried);
                again
            }
            (None, Kind::Write) => load.mix.write(random, id, too_large),
            (None, Kind::Read) => load.mix.read(random),
        };
        let call = self.history.as_mut().and_then(|history| {
            let (key, op) = history::operation(&request)?;
            Some(history.call(client as u64, key, op, self.trace.events()))
        });
        let seat = self.clients[client].seat;
        let abandons = wanders && random.chance(load.abandons);
        let patience = if abandons {
            random.span(std::time::Duration::ZERO, load.timeout)
        } else {
            load.patience()
        };
        self.clients[client].open = Some(Op {
            id,
            request,
            seat,
            begun: self.oracle.on_begin(),
            call,
        });
        let what = Happening::Request { client, op: id };
        self.schedule.push(self.now, Event::At { seat, boot: None, what });
        self.later(
            patience,
            Event::GiveUp {
                client,
                op: id,
                abandons,
            },
        );
    }

    /// A request reaches a process.
    pub(super) fn on_request(&mut self, seat: Seat, client: usize, id: OpId) -> Verdict {
        let Some(op) = self.open(client, id) else {
            return Ok(());
        };
        let (now, timeout) = (self.now, self.plan.load.timeout);
        let Some(process) = self.nodes[seat.index()].process.as_mut() else {
            return Ok(());
        };
        let request = self.oracle.on_request(process.boot, facts(&op));
        let deadline = process.clock.read(now) + timeout;
        self.trace.line(|| {
            format!(
                "{now:?} {seat} takes {:?} {} of client {client} as request {}",
                op.kind(),
                id.0,
                request.0
            )
        });
        let asked = op.request.clone();
        process.pending.insert(request.0, Pending { client, op });
        match asked {
            Request::Command(payload) => self.step(
                seat,
                Input::Propose {
                    id: request,
                    payload,
                    deadline,
                },
            ),
            Request::Query(_) if self.plan.is(Mutant::ReadLocally) => {
                let applied = process.machine.applied();
                return self.answer(seat, request, Outcome::Read(applied));
            }
            Request::Query(_) => self.step(seat, Input::Read { id: request, deadline }),
        }
        Ok(())
    }

    /// The operation that a client has open, if it is this one.
    fn open(&self, client: usize, id: OpId) -> Option<Op> {
        self.clients[client].open.clone().filter(|open| open.id == id)
    }

    /// The replica answers a request.
    pub(super) fn answer(&mut self, seat: Seat, request: RequestId, outcome: Outcome) -> Verdict {
        let mutant = self.plan.is(Mutant::UnknownIsRefused);
        let Some(process) = self.nodes[seat.index()].process.as_mut() else {
            return Ok(());
        };
        let id = CommandId {
            origin: seat.node(),
            boot: process.boot,
            sequence: request.0,
        };
        let Some(Pending { client, op }) = process.pending.remove(&request.0) else {
            // The applier was faster: the command is done.
            return self.oracle.judge(answered_before(seat, request, &outcome));
        };
        let end = match outcome {
            Outcome::Read(slot) => {
                self.oracle.judge(may_serve(seat, &op, slot, process))?;
                let Request::Query(query) = &op.request else {
                    return Ok(());
                };
                let (found, applied) = (process.machine.read(query), process.machine.applied());
                let by_leader = process.leads.is_some();
                self.tally.sometimes.hit(if by_leader {
                    Sometimes::LeaderRead
                } else {
                    Sometimes::FollowerRead
                });
                self.oracle.judge(self.may_get_done(&op))?;
                if by_leader {
                    self.note_read(seat);
                }
                self.oracle.on_read(op.id, query, applied, &found, op.begun)?;
                self.note_seen();
                self.record(client, &op, history::found(&found));
                End::Done
            }
            Outcome::Reconfigured { .. } => End::Done,
            Outcome::Unknown(_) if !mutant => {
                self.oracle.on_unknown(id, &mut self.tally);
                End::Unknown
            }
            Outcome::Refused(_) | Outcome::Unknown(_) => {
                self.tally.sometimes.hit(Sometimes::RefusedRequest);
                self.oracle.on_refused(id)?;
                End::Refused
            }
        };
        self.end(client, op.id, end);
        Ok(())
    }

    /// A write of this process is applied: its client hears what it did.
    pub(super) fn answer_done(&mut self, seat: Seat, id: CommandId, told: &Applied) -> Verdict {
        let Some(process) = self.process(seat) else {
            return Ok(());
        };
        let Some(Pending { client, op }) = process.pending.remove(&id.sequence) else {
            return Ok(());
        };
        let leads = process.leads.is_some();
        self.oracle.judge(self.may_get_done(&op))?;
        if !leads {
            self.tally.sometimes.hit(Sometimes::WriteForwarded);
        }
        if told.result.is_err() {
            self.tally.sometimes.hit(Sometimes::Faulty);
        }
        let slot = self.oracle.effect(id);
        let held = slot.map(|slot| self.holders()(slot)).unwrap_or_default();
        self.oracle.on_done(id, told, op.begun, held)?;
        self.note_seen();
        self.record(client, &op, history::applied(&op.request, told));
        self.end(client, op.id, End::Done);
        Ok(())
    }

    /// Keeps what a client hears for the judgement from the outside, if it still listens.
    fn record(&mut self, client: usize, op: &Op, reply: Option<Reply>) {
        let listens = self.clients[client].open.as_ref().is_some_and(|open| open.id == op.id);
        if let (Some(history), Some(call), Some(reply), true) = (&mut self.history, op.call, reply, listens) {
            history.answer(call, reply, self.trace.events());
        }
    }

    /// An operation has ended as far as its client knows.
    pub(super) fn end(&mut self, client: usize, op: OpId, end: End) {
        self.trace.mix(op.0 << 2 | end as u64);
        let one = &mut self.clients[client];
        let Some(ended) = one.open.take_if(|open| open.id == op) else {
            return;
        };
        if let (End::Refused, Some(history), Some(call)) = (end, &mut self.history, ended.call) {
            history.refuse(call);
        }
        match end {
            End::Done => {
                self.done += 1;
                one.programme.as_mut().map(Vec::pop);
            }
            End::Refused | End::Unknown => {
                if one.programme.is_none() && self.random.workload.chance(self.plan.load.retries) {
                    one.retry = Some(ended.request);
                }
                // Rests before it tries again.
                let span = self.random.workload.exponential(self.plan.tuning.heartbeat_interval);
                self.later(span, Event::Think { client });
                return;
            }
        }
        self.think_later(client);
    }

    /// Nobody listens at the node: certainly not done. The client tries elsewhere.
    pub(super) fn refuse_connection(&mut self, client: usize, op: OpId) {
        if self.clients[client].programme.is_none() {
            self.clients[client].seat = self.any_seat();
        }
        self.end(client, op, End::Refused);
    }

    /// A process died: its clients lose their connections.
    pub(super) fn lose_requests(
        &mut self,
        seat: Seat,
        process: &Process,
        waiting: &VecDeque<(Option<u64>, Happening)>,
    ) {
        for (sequence, pending) in &process.pending {
            let id = CommandId {
                origin: seat.node(),
                boot: process.boot,
                sequence: *sequence,
            };
            self.oracle.on_unknown(id, &mut self.tally);
            self.end(pending.client, pending.op.id, End::Unknown);
        }
        for (_, happening) in waiting {
            if let Happening::Request { client, op } = happening {
                self.refuse_connection(*client, *op);
            }
        }
    }

    /// A client's patience is at its end. It is longer than any request may take, unless the client abandons its requests.
    pub(super) fn give_up(&mut self, client: usize, id: OpId, abandons: bool) -> Verdict {
        let Some(op) = self.open(client, id) else {
            return Ok(());
        };
        let patience = self.plan.load.patience();
        let node = &self.nodes[op.seat.index()];
        if abandons {
            self.tally.faults.hit(Fault::Abandoned);
        } else if let Some(process) = node.process.as_ref().filter(|_| !node.paused) {
            let pending = process.pending.iter().find(|(_, pending)| pending.op.id == id);
            let paused_since = self.now.since(process.resumed) <= patience;
            if let Some((request, _)) = pending.filter(|_| !paused_since) {
                self.oracle.judge(unanswered(&op, *request))?;
            }
        }
        self.end(client, id, End::Unknown);
        Ok(())
    }
}

/// What is noted of a command; nothing of a read.
fn facts(op: &Op) -> Option<CommandFacts> {
    let Request::Command(payload) = &op.request else {
        return None;
    };
    Some(CommandFacts {
        op: op.id,
        payload: digest(payload),
        fate: Fate::Open,
        proposed: None,
        returned: Vec::new(),
        chosen: None,
        effect: None,
        reply: None,
    })
}

/// X2: a request has one answer. The applier may have been faster with "done" than the replica with "unknown".
fn answered_before(seat: Seat, request: RequestId, outcome: &Outcome) -> Verdict {
    ensure!(
        matches!(outcome, Outcome::Unknown(_)),
        OneEffect,
        "{seat} answers request {} with {outcome:?} after it was answered",
        request.0
    );
    Ok(())
}

/// D6: a read is served from a state that has applied what the replica says it has; and only reads are.
fn may_serve(seat: Seat, op: &Op, slot: paxos::Slot, process: &Process) -> Verdict {
    let applied = process.machine.applied();
    ensure!(
        op.kind() == Kind::Read && slot <= applied,
        RealTime,
        "{seat} lets {:?} {} be served after slot {slot}, but has applied only {applied}",
        op.kind(),
        op.id.0
    );
    Ok(())
}

/// Every exit path speaks: a request is answered by its deadline.
fn unanswered(op: &Op, request: u64) -> Verdict {
    ensure!(
        false,
        Liveness,
        "{} has not answered request {request} ({:?} {}) long after its deadline",
        op.seat,
        op.kind(),
        op.id.0
    );
    Ok(())
}
