//! Histories that are right, and the same with something wrong in them.

use bytes::Bytes;

use super::brute::Store;
use crate::linearizable::History;
use crate::linearizable::history::Operation;
use crate::linearizable::list::{self, List};
use crate::linearizable::register::{self, Compare, Content, Held, Register};
use crate::random::Random;

/// A store whose histories can be made up.
pub(super) trait MadeUp: Store {
    fn any_op(random: &mut Random, fresh: u64) -> Self::Op;
    /// Another reply that somebody might have got.
    fn any_reply(random: &mut Random, reply: &Self::Reply, fresh: u64) -> Self::Reply;
}

impl MadeUp for Register {
    fn any_op(random: &mut Random, fresh: u64) -> register::Op {
        match random.below(8) {
            0..3 => register::Op::Get,
            3..5 => register::Op::Put(fresh),
            5 => register::Op::CompareAndPut(Compare::Version(random.below(3)), fresh),
            6 => register::Op::CompareAndPut(Compare::Value(1 + random.below(fresh)), fresh),
            _ => register::Op::Delete,
        }
    }

    fn any_reply(random: &mut Random, reply: &register::Reply, fresh: u64) -> register::Reply {
        match reply {
            register::Reply::Got(_) if random.chance(250) => register::Reply::Got(Content(None)),
            register::Reply::Got(_) => register::Reply::Got(Content(Some(Held {
                value: 1 + random.below(fresh),
                version: 1 + random.below(3),
            }))),
            register::Reply::Done => register::Reply::Done,
            register::Reply::Compared(held) => register::Reply::Compared(!held),
            register::Reply::Deleted(there) => register::Reply::Deleted(!there),
        }
    }
}

impl MadeUp for List {
    fn any_op(random: &mut Random, fresh: u64) -> list::Op {
        if random.chance(500) {
            list::Op::Append(fresh)
        } else {
            list::Op::Read
        }
    }

    fn any_reply(random: &mut Random, reply: &list::Reply, _: u64) -> list::Reply {
        let list::Reply::Found(found) = reply else {
            return reply.clone();
        };
        let mut elements = found.0.clone();
        match random.below(3) {
            0 => drop(elements.pop()),
            1 => elements.reverse(),
            _ => elements.extend(found.0.first()),
        }
        list::Reply::Found(list::Elements(elements))
    }
}

/// How a history is made up.
#[derive(Copy, Clone)]
pub(super) struct Shape {
    pub(super) operations: usize,
    pub(super) clients: usize,
    pub(super) keys: u64,
    /// Of a thousand operations, so many have an unknown outcome.
    pub(super) unknown: u32,
}

struct Pending<M: Store> {
    operation: Operation<M>,
    reply: Option<M::Reply>,
    /// What has an unknown outcome may happen after its client has given up; if so, it stays here.
    given_up: bool,
}

/// A history of a store that does one thing after another: it is linearizable.
pub(super) fn right<M: MadeUp>(random: &mut Random, shape: Shape) -> Vec<Operation<M>> {
    let mut data = M::Data::default();
    let mut pending: Vec<Pending<M>> = Vec::new();
    let mut ended = Vec::new();
    let mut busy = vec![false; shape.clients];
    let (mut called, mut now, mut names) = (0, 0, shape.clients as u64);
    let mut name: Vec<u64> = (0..names).collect();
    while called < shape.operations || busy.contains(&true) {
        // Often two things happen at one moment.
        now += random.below(2);
        let client = random.index(shape.clients);
        if !busy[client] && called < shape.operations {
            called += 1;
            busy[client] = true;
            let operation = Operation {
                client: name[client],
                key: Bytes::from(format!("k{}", random.below(shape.keys))),
                op: M::any_op(random, called as u64),
                called: now,
                answered: None,
            };
            let (reply, given_up) = (None, false);
            pending.push(Pending {
                operation,
                reply,
                given_up,
            });
        }
        // Something that was called takes effect.
        if !pending.is_empty() && random.chance(600) {
            let at = random.index(pending.len());
            let Pending { operation, reply, .. } = &mut pending[at];
            if reply.is_none() {
                *reply = Some(M::perform(&mut data, &operation.key, &operation.op));
            }
        }
        // Somebody gets an answer, or gives up: then the client goes on under another name.
        if !pending.is_empty() {
            let at = random.index(pending.len());
            let unknown = !pending[at].given_up && random.chance(shape.unknown);
            let client = pending[at].operation.client;
            if unknown {
                pending[at].given_up = true;
                let seat = name
                    .iter()
                    .position(|known| *known == client)
                    .expect("its client is there");
                (name[seat], busy[seat]) = (names, false);
                names += 1;
            } else if !pending[at].given_up && pending[at].reply.is_some() {
                let Pending {
                    mut operation, reply, ..
                } = pending.swap_remove(at);
                operation.answered = reply.map(|reply| (now, reply));
                ended.push(operation);
                let seat = name
                    .iter()
                    .position(|known| *known == client)
                    .expect("its client is there");
                busy[seat] = false;
            }
        }
    }
    ended.extend(pending.into_iter().map(|pending| pending.operation));
    ended
}

/// Makes something wrong: a reply, or a time. It may still be linearizable.
pub(super) fn corrupt<M: MadeUp>(random: &mut Random, operations: &mut [Operation<M>]) {
    let fresh = operations.len() as u64;
    let at = random.index(operations.len());
    let operation = &mut operations[at];
    let Some((end, reply)) = &mut operation.answered else {
        return;
    };
    match random.below(4) {
        0 => {
            *end = end.saturating_sub(3).max(operation.called);
        }
        1 => {
            operation.called += 3;
            *end = (*end).max(operation.called);
        }
        _ => *reply = M::any_reply(random, reply, fresh),
    }
}

pub(super) fn history<M: MadeUp>(operations: Vec<Operation<M>>) -> History<M> {
    operations.into_iter().collect()
}
