//! Operations, and how a run records them.

use bytes::Bytes;

use crate::linearizable::model::Model;

/// One operation of one client on one key.
pub struct Operation<M: Model> {
    /// Who asked.
    pub client: u64,
    /// On what.
    pub key: Bytes,
    /// What was asked.
    pub op: M::Op,
    /// When it was asked: stamped before anything of it was sent.
    pub called: u64,
    /// What was answered, and when: stamped after the answer was received. Nothing: the outcome is unknown.
    pub answered: Option<(u64, M::Reply)>,
}

impl<M: Model> Operation<M> {
    pub(super) fn reply(&self) -> Option<&M::Reply> {
        self.answered.as_ref().map(|(_, reply)| reply)
    }

    /// When it was answered; after everything else if its outcome is unknown.
    pub(super) fn returned(&self) -> u64 {
        self.answered.as_ref().map_or(u64::MAX, |(at, _)| *at)
    }
}

impl<M: Model> Clone for Operation<M> {
    fn clone(&self) -> Operation<M> {
        Operation {
            client: self.client,
            key: self.key.clone(),
            op: self.op.clone(),
            called: self.called,
            answered: self.answered.clone(),
        }
    }
}

/// An operation of a history that has been called.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Call(usize);

/// What clients did and were told. All times are on one clock; an operation comes before another if its answer is
/// *earlier* than the other's call. What has neither been answered nor refused has an unknown outcome.
pub struct History<M: Model> {
    operations: Vec<Option<Operation<M>>>,
}

impl<M: Model> Default for History<M> {
    fn default() -> History<M> {
        History { operations: Vec::new() }
    }
}

impl<M: Model> History<M> {
    /// A client asks.
    pub fn call(&mut self, client: u64, key: Bytes, op: M::Op, at: u64) -> Call {
        self.operations.push(Some(Operation {
            client,
            key,
            op,
            called: at,
            answered: None,
        }));
        Call(self.operations.len() - 1)
    }

    /// A client is told what came of it.
    ///
    /// # Panics
    /// If it was refused, has been answered before, or is answered before it was called.
    pub fn answer(&mut self, call: Call, reply: M::Reply, at: u64) {
        let operation = self.operations[call.0]
            .as_mut()
            .expect("what was refused is not answered");
        assert!(operation.answered.is_none(), "one call has two answers");
        assert!(
            operation.called <= at,
            "answered at {at}, called at {}",
            operation.called
        );
        operation.answered = Some((at, reply));
    }

    /// A client is told that it was certainly not done.
    pub fn refuse(&mut self, call: Call) {
        self.operations[call.0] = None;
    }

    /// What says something about the data: everything but refusals and reads without an answer.
    pub fn operations(&self) -> impl Iterator<Item = &Operation<M>> {
        let says_something = |op: &&Operation<M>| op.answered.is_some() || !M::is_read(&op.op);
        self.operations.iter().flatten().filter(says_something)
    }
}

impl<M: Model> FromIterator<Operation<M>> for History<M> {
    fn from_iter<I: IntoIterator<Item = Operation<M>>>(operations: I) -> History<M> {
        History {
            operations: operations.into_iter().map(Some).collect(),
        }
    }
}
