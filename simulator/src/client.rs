//! Clients: each does one operation after another through nodes at random, and believes only what it is told.

use paxos::Slot;

use crate::linearizable::Call;
use crate::seat::Seat;
use crate::workload::{OpId, Request};

/// What an operation does.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Kind {
    Write,
    Read,
}

/// An operation that has begun and not ended.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) id: OpId,
    pub(crate) request: Request,
    pub(crate) seat: Seat,
    /// What had been seen when it began: it must come after that (I16).
    pub(crate) begun: Slot,
    /// Its place in the history that is judged from the outside, if this run has one.
    pub(crate) call: Option<Call>,
}

impl Op {
    pub(crate) fn kind(&self) -> Kind {
        match self.request {
            Request::Command(_) => Kind::Write,
            Request::Query(_) => Kind::Read,
        }
    }
}

/// How an operation ended.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum End {
    Done,
    Refused,
    Unknown,
}

/// One client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The node it talks to.
    pub(crate) seat: Seat,
    pub(crate) open: Option<Op>,
    /// What did not get done and is asked again, as a new operation.
    pub(crate) retry: Option<Request>,
    /// What is left of a fixed programme, last first; a client without one goes on at random until the calm.
    pub(crate) programme: Option<Vec<Kind>>,
}

impl Client {
    pub(crate) fn wanderer(seat: Seat) -> Client {
        Client {
            seat,
            open: None,
            retry: None,
            programme: None,
        }
    }

    /// Writes once and reads once through one node, however often it has to try.
    pub(crate) fn prober(seat: Seat) -> Client {
        Client {
            seat,
            open: None,
            retry: None,
            programme: Some(vec![Kind::Read, Kind::Write]),
        }
    }

    /// Whether its programme is done.
    pub(crate) fn is_done(&self) -> bool {
        self.open.is_none() && self.programme.as_ref().is_none_or(Vec::is_empty)
    }
}
