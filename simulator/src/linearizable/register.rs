//! One key of a key-value store: put, get, compare-and-put, delete.
//!
//! Versions count the puts since the key was last created, as etcd's do: a put that took effect twice shows in the next
//! get's version, even if nobody saw the moment between.

use std::fmt;

use crate::linearizable::model::Model;

/// The model of a register with transactions.
pub struct Register;

/// What a key holds.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct Held {
    /// What was put. Each put of a history puts another, so that every read says whose put it saw.
    pub value: u64,
    /// How many puts since it was created.
    pub version: u64,
}

/// A key's state: nothing, or what it holds.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct Content(pub Option<Held>);

/// What a transaction asks of the key before it puts.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Compare {
    /// It holds this value.
    Value(u64),
    /// It has this version; 0: it is not there.
    Version(u64),
}

/// What a client asks.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Op {
    /// Reads.
    Get,
    /// Writes.
    Put(u64),
    /// Writes if the comparison holds.
    CompareAndPut(Compare, u64),
    /// Removes.
    Delete,
}

/// What a client is told.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Reply {
    /// What a get found.
    Got(Content),
    /// A put is done.
    Done,
    /// Whether a transaction's comparison held.
    Compared(bool),
    /// Whether there was something to delete.
    Deleted(bool),
}

impl Content {
    fn put(self, value: u64) -> Content {
        let version = self.0.map_or(0, |held| held.version) + 1;
        Content(Some(Held { value, version }))
    }

    fn satisfies(self, compare: Compare) -> bool {
        match compare {
            Compare::Value(value) => self.0.is_some_and(|held| held.value == value),
            Compare::Version(version) => self.0.map_or(0, |held| held.version) == version,
        }
    }
}

impl Model for Register {
    type State = Content;
    type Op = Op;
    type Reply = Reply;

    fn step(state: &Content, op: &Op, reply: Option<&Reply>) -> Option<Content> {
        let (right, after) = match *op {
            Op::Get => (Reply::Got(*state), *state),
            Op::Put(value) => (Reply::Done, state.put(value)),
            Op::CompareAndPut(compare, value) if state.satisfies(compare) => (Reply::Compared(true), state.put(value)),
            Op::CompareAndPut(..) => (Reply::Compared(false), *state),
            Op::Delete => (Reply::Deleted(state.0.is_some()), Content(None)),
        };
        reply.is_none_or(|reply| *reply == right).then_some(after)
    }

    fn is_read(op: &Op) -> bool {
        *op == Op::Get
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("nothing"),
            Some(Held { value, version }) => write!(f, "{value} (version {version})"),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Get => f.write_str("get"),
            Op::Put(value) => write!(f, "put {value}"),
            Op::CompareAndPut(Compare::Value(is), value) => write!(f, "put {value} if it holds {is}"),
            Op::CompareAndPut(Compare::Version(is), value) => write!(f, "put {value} if its version is {is}"),
            Op::Delete => f.write_str("delete"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Got(content) => content.fmt(f),
            Reply::Done => f.write_str("done"),
            Reply::Compared(true) => f.write_str("done"),
            Reply::Compared(false) => f.write_str("not done"),
            Reply::Deleted(true) => f.write_str("deleted"),
            Reply::Deleted(false) => f.write_str("nothing to delete"),
        }
    }
}
