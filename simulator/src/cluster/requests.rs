//! What clients do, and what they are told.

use std::collections::VecDeque;

use bytes::Bytes;
use paxos::{CommandId, Input, Outcome, RequestId};

use crate::checker::{Verdict, ensure};
use crate::client::{End, Kind, Op};
use crate::commands::{CommandFacts, Fate};
use crate::coverage::Sometimes;
use crate::machine::{KEYS, OpId, put};
use crate::mutant::Mutant;
use crate::node::{Pending, Process};
use crate::seat::Seat;
use crate::trace::digest;

use super::Cluster;
use super::event::{Event, Happening};

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
            None if self.is_calm => return,
            None if random.chance(load.reads) => Kind::Read,
            None => Kind::Write,
        };
        if self.clients[client].programme.is_none() && random.chance(load.wander) {
            self.clients[client].seat = Seat(random.index(self.nodes.len()) as u8);
        }
        self.ops += 1;
        let op = Op {
            id: OpId(self.ops),
            kind,
            key: random.index(KEYS) as u8,
            seat: self.clients[client].seat,
            begun: self.oracle.on_begin(),
        };
        self.clients[client].open = Some(op);
        let patience = load.patience();
        let what = Happening::Request { client, op: op.id };
        self.schedule.push(
            self.now,
            Event::At {
                seat: op.seat,
                boot: None,
                what,
            },
        );
        self.later(patience, Event::GiveUp { client, op: op.id });
    }

    /// A request reaches a process.
    pub(super) fn on_request(&mut self, seat: Seat, client: usize, id: OpId) -> Verdict {
        let Some(op) = self.clients[client].open.filter(|open| open.id == id) else {
            return Ok(());
        };
        let size = self.random.workload.between(9, self.plan.load.largest as u64) as usize;
        let payload = (op.kind == Kind::Write).then(|| put(op.id, op.key, size));
        let (now, timeout) = (self.now, self.plan.load.timeout);
        let Some(process) = self.nodes[seat.index()].process.as_mut() else {
            return Ok(());
        };
        let facts = payload.as_ref().map(|payload| facts(op, payload));
        let request = RequestId(self.oracle.on_request(process.boot, facts));
        process.pending.insert(request.0, Pending { client, op });
        let deadline = process.clock.read(now) + timeout;
        self.trace.line(|| {
            format!(
                "{now:?} {seat} takes {:?} {} of client {client} as request {}",
                op.kind, id.0, request.0
            )
        });
        match payload {
            Some(payload) => self.step(
                seat,
                Input::Propose {
                    id: request,
                    payload,
                    deadline,
                },
            ),
            None if self.plan.is(Mutant::ReadLocally) => {
                let applied = process.machine.applied();
                return self.answer(seat, request, Outcome::Read(applied));
            }
            None => self.step(seat, Input::Read { id: request, deadline }),
        }
        Ok(())
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
                let leads = process.leads.is_some();
                self.oracle.judge(may_serve(seat, op, slot, process))?;
                self.oracle.on_read(op.id, op.key, &process.machine, op.begun)?;
                self.tally.sometimes.hit(if leads {
                    Sometimes::LeaderRead
                } else {
                    Sometimes::FollowerRead
                });
                End::Done
            }
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

    /// An operation has ended as far as its client knows.
    pub(super) fn end(&mut self, client: usize, op: OpId, end: End) {
        self.trace.mix(op.0 << 2 | end as u64);
        let one = &mut self.clients[client];
        if one.open.is_none_or(|open| open.id != op) {
            return;
        }
        one.open = None;
        match end {
            End::Done => {
                self.done += 1;
                one.programme.as_mut().map(Vec::pop);
            }
            End::Refused | End::Unknown => {
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

    /// A client's patience, which is longer than any request may take, is at its end.
    pub(super) fn give_up(&mut self, client: usize, id: OpId) -> Verdict {
        let Some(op) = self.clients[client].open.filter(|open| open.id == id) else {
            return Ok(());
        };
        let patience = self.plan.load.patience();
        let node = &self.nodes[op.seat.index()];
        if let Some(process) = node.process.as_ref().filter(|_| !node.paused) {
            let pending = process.pending.iter().find(|(_, pending)| pending.op.id == id);
            let paused_since = self.now.since(process.resumed) <= patience;
            if let Some((request, _)) = pending.filter(|_| !paused_since) {
                self.oracle.judge(unanswered(op, *request))?;
            }
        }
        self.end(client, id, End::Unknown);
        Ok(())
    }
}

fn facts(op: Op, payload: &Bytes) -> CommandFacts {
    CommandFacts {
        op: op.id,
        key: op.key,
        payload: digest(payload),
        fate: Fate::Open,
        chosen: None,
    }
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
fn may_serve(seat: Seat, op: Op, slot: paxos::Slot, process: &Process) -> Verdict {
    let applied = process.machine.applied();
    ensure!(
        op.kind == Kind::Read && slot <= applied,
        RealTime,
        "{seat} lets {:?} {} be served after slot {slot}, but has applied only {applied}",
        op.kind,
        op.id.0
    );
    Ok(())
}

/// Every exit path speaks: a request is answered by its deadline.
fn unanswered(op: Op, request: u64) -> Verdict {
    ensure!(
        false,
        Liveness,
        "{} has not answered request {request} ({:?} {}) long after its deadline",
        op.seat,
        op.kind,
        op.id.0
    );
    Ok(())
}
