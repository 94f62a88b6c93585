//! Errors as etcd's clients know them.
//!
//! clientv3 and its relatives turn an error's text back into a value, so texts are etcd's to the letter wherever etcd has
//! one. Clients retry reads on UNAVAILABLE; what that says about writes is up to the text: "request timed out" means
//! perhaps done, "no leader" and "too many requests" mean not done.

use paxos::{Doubt, Refusal, Stays};
use storage::machine::KvError;
use tonic::{Code, Status};

use super::store::Unread;
use crate::requests::{Failure, Stayed};
use crate::status::NodeStatus;

/// A verdict of the state machine or of the checks before it.
#[must_use]
pub fn of_kv(error: KvError) -> Status {
    let code = match error {
        KvError::EmptyKey
        | KvError::KeyNotFound
        | KvError::ValueProvided
        | KvError::LeaseProvided
        | KvError::TooManyOps
        | KvError::DuplicateKey
        | KvError::InvalidSortOption
        | KvError::TooLarge => Code::InvalidArgument,
        KvError::LeaseNotFound => Code::NotFound,
        KvError::Compacted | KvError::FutureRevision => Code::OutOfRange,
        KvError::TooLate => Code::Unavailable,
        KvError::Malformed => Code::Internal,
    };
    Status::new(code, error.to_string())
}

/// A request that the cluster did not answer with a result.
///
/// Where the core only says that time ran out, the node's status says why.
#[must_use]
pub fn of_failure(failure: Failure, status: &NodeStatus) -> Status {
    let unavailable = |text: &str| Status::unavailable(text);
    match failure {
        Failure::Refused(Refusal::NoLeader) => unavailable("etcdserver: no leader"),
        Failure::Refused(Refusal::NoQuorum) => unavailable("etcdserver: no quorum"),
        Failure::Refused(Refusal::NotLeader) => unavailable("etcdserver: leader changed"),
        Failure::Refused(Refusal::Overloaded) => Status::resource_exhausted("etcdserver: too many requests"),
        Failure::Refused(Refusal::TooLarge) => of_kv(KvError::TooLarge),
        Failure::Unknown(Doubt::LeaderChanged) => {
            unavailable("etcdserver: request timed out, possibly due to previous leader failure")
        }
        Failure::Unknown(Doubt::TimedOut) => unavailable(match (status.leader, status.healthy) {
            (None, _) => "etcdserver: request timed out, possibly due to previous leader failure",
            (Some(_), false) => "etcdserver: request timed out, possibly due to connection lost",
            (Some(_), true) => "etcdserver: request timed out",
        }),
        Failure::Refused(Refusal::Change(objection)) => Status::failed_precondition(objection.to_string()),
        Failure::Refused(Refusal::NoSpace) => Status::resource_exhausted("etcdserver: mvcc: database space exceeded"),
        Failure::Stopping => unavailable("etcdserver: server stopped"),
    }
}

/// A read that the cluster did not allow in time. Nothing can have happened, so the text may name the reason plainly.
#[must_use]
pub fn of_read_failure(failure: Failure, status: &NodeStatus) -> Status {
    match failure {
        Failure::Unknown(Doubt::LeaderChanged) => Status::unavailable("etcdserver: leader changed"),
        Failure::Unknown(Doubt::TimedOut) if status.leader.is_none() => Status::unavailable("etcdserver: no leader"),
        Failure::Unknown(Doubt::TimedOut) if !status.healthy => Status::unavailable("etcdserver: no quorum"),
        other => of_failure(other, status),
    }
}

/// Leadership that stays where it is.
pub(super) fn of_stayed(stayed: Stayed) -> Status {
    match stayed {
        Stayed::Refused(Stays::NotLeader) => Status::failed_precondition("etcdserver: not leader"),
        Stayed::Refused(Stays::NoSuchMember | Stays::CannotLead) => {
            Status::failed_precondition("etcdserver: bad leader transferee")
        }
        Stayed::TimedOut => Status::unavailable("etcdserver: request timed out"),
        Stayed::Unasked => Status::resource_exhausted("etcdserver: too many requests"),
        Stayed::Refused(reason) => Status::unavailable(format!("synod: leadership was not handed over: {reason}")),
    }
}

/// What cannot be read from this node's state.
pub(super) fn of_unread(unread: Unread, status: &NodeStatus) -> Status {
    match unread {
        Unread::Refused(error) => of_kv(error),
        Unread::Ending => of_failure(Failure::Stopping, status),
    }
}

/// This node has lost its state, or never had one, and does not have it back.
pub(super) fn without_state() -> Status {
    Status::unavailable(
        "synod: this member has no state to show yet: it is getting it from its journal or from another member",
    )
}

/// A call of the API that this node does not serve.
pub(super) fn not_served(what: &str) -> Status {
    Status::unimplemented(format!("synod: {what} is not served yet"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_codes_are_those_that_clients_know() {
        let healthy = NodeStatus {
            leader: Some(1),
            healthy: true,
            ..NodeStatus::default()
        };
        let lonely = NodeStatus {
            leader: Some(1),
            healthy: false,
            ..NodeStatus::default()
        };
        let headless = NodeStatus::default();
        let table = [
            (
                of_kv(KvError::EmptyKey),
                Code::InvalidArgument,
                "etcdserver: key is not provided",
            ),
            (
                of_kv(KvError::DuplicateKey),
                Code::InvalidArgument,
                "etcdserver: duplicate key given in txn request",
            ),
            (
                of_kv(KvError::TooLarge),
                Code::InvalidArgument,
                "etcdserver: request is too large",
            ),
            (
                of_kv(KvError::InvalidSortOption),
                Code::InvalidArgument,
                "etcdserver: invalid sort option",
            ),
            (
                of_kv(KvError::LeaseNotFound),
                Code::NotFound,
                "etcdserver: requested lease not found",
            ),
            (
                of_kv(KvError::Compacted),
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
            ),
            (
                of_failure(Failure::Refused(Refusal::NoLeader), &healthy),
                Code::Unavailable,
                "etcdserver: no leader",
            ),
            (
                of_failure(Failure::Refused(Refusal::Overloaded), &healthy),
                Code::ResourceExhausted,
                "etcdserver: too many requests",
            ),
            (
                of_failure(Failure::Unknown(Doubt::TimedOut), &healthy),
                Code::Unavailable,
                "etcdserver: request timed out",
            ),
            (
                of_failure(Failure::Unknown(Doubt::TimedOut), &headless),
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to previous leader failure",
            ),
            (
                of_failure(Failure::Unknown(Doubt::TimedOut), &lonely),
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to connection lost",
            ),
            (
                of_read_failure(Failure::Unknown(Doubt::TimedOut), &headless),
                Code::Unavailable,
                "etcdserver: no leader",
            ),
            (
                of_read_failure(Failure::Unknown(Doubt::TimedOut), &lonely),
                Code::Unavailable,
                "etcdserver: no quorum",
            ),
            (
                of_failure(Failure::Refused(Refusal::NoSpace), &healthy),
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
            ),
            (
                of_failure(Failure::Stopping, &healthy),
                Code::Unavailable,
                "etcdserver: server stopped",
            ),
        ];
        for (status, code, text) in table {
            assert_eq!((status.code(), status.message()), (code, text));
        }
    }
}
