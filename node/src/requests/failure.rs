//! Why a request was not answered with a result.

use std::fmt;

use paxos::{Doubt, Refusal};

/// How a request failed: what matters to its client is whether it may have been done.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Certainly not done.
    Refused(Refusal),
    /// May or may not be done.
    Unknown(Doubt),
    /// The node is stopping; may or may not be done.
    Stopping,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Refused(Refusal::NoLeader) => "not done: no leader was found in time",
            Failure::Refused(Refusal::NoQuorum) => "not done: the leader does not hear a phase 2 quorum",
            Failure::Refused(Refusal::NotLeader) => "not done: the leader changed before the request reached it",
            Failure::Refused(Refusal::Overloaded) => "not done: a queue is full",
            Failure::Refused(Refusal::TooLarge) => "not done: the command is larger than a slot of the log may be",
            Failure::Refused(Refusal::NoSpace) => {
                "not done: there is too little room on the disk of the node that was asked"
            }
            Failure::Refused(Refusal::Change(objection)) => return write!(f, "not done: {objection}"),
            Failure::Unknown(Doubt::LeaderChanged) => "perhaps done: the leader that had the request was deposed",
            Failure::Unknown(Doubt::TimedOut) => "perhaps done: no answer came in time",
            Failure::Stopping => "perhaps done: the node is stopping",
        })
    }
}

impl std::error::Error for Failure {}
