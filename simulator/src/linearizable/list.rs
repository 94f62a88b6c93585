//! One key that holds a list: append, read. No element is appended by two calls of a history, so a list that is read shows
//! what was done, in which order, and what was lost or done twice.
//!
//! A state is the whole list: meant for keys with hundreds of appends, not hundreds of thousands.

use std::fmt;

use crate::linearizable::model::Model;

/// The model of a list.
pub struct List;

/// What a key holds: the elements in the order in which they were appended.
#[derive(Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct Elements(pub Vec<u64>);

/// What a client asks.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Op {
    /// Adds an element at the end.
    Append(u64),
    /// Reads the list.
    Read,
}

/// What a client is told.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum Reply {
    /// An element is appended.
    Done,
    /// What a read found.
    Found(Elements),
}

impl Model for List {
    type State = Elements;
    type Op = Op;
    type Reply = Reply;

    fn step(state: &Elements, op: &Op, reply: Option<&Reply>) -> Option<Elements> {
        match (op, reply) {
            (Op::Append(element), None | Some(Reply::Done)) => {
                let mut after = state.clone();
                after.0.push(*element);
                Some(after)
            }
            (Op::Read, None) => Some(state.clone()),
            (Op::Read, Some(Reply::Found(found))) => (found == state).then(|| state.clone()),
            (Op::Append(_), Some(Reply::Found(_))) | (Op::Read, Some(Reply::Done)) => None,
        }
    }

    fn is_read(op: &Op) -> bool {
        *op == Op::Read
    }
}

impl fmt::Display for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Append(element) => write!(f, "append {element}"),
            Op::Read => f.write_str("read"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Done => f.write_str("done"),
            Reply::Found(elements) => elements.fmt(f),
        }
    }
}
