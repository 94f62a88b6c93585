//! What clients saw, in the words of the checker that judges from the outside: one key to an operation.

use bytes::Bytes;
use storage::machine::{Applied, Command, CompareTarget, KeyValue, Op as Step, Reply as Told};

use crate::linearizable::register::{Compare, Content, Held, Op, Reply};
use crate::workload::{Found, OpId, Query, Request};

/// The operation and its key, if the request has but one.
pub(crate) fn operation(request: &Request) -> Option<(Bytes, Op)> {
    match request {
        Request::Query(query) => match &**query {
            Query::Range(range) if range.range_end.is_empty() => Some((range.key.clone(), Op::Get)),
            _ => None,
        },
        Request::Command(payload) => match Command::decode(payload).ok()? {
            Command::Put(put) => Some((put.key, Op::Put(OpId::of(&put.value).0))),
            Command::DeleteRange(delete) if delete.range_end.is_empty() => Some((delete.key, Op::Delete)),
            Command::Txn(txn) => {
                let ([compare], [Step::Put(put)]) = (&txn.compare[..], &txn.success[..]) else {
                    return None;
                };
                let wanted = match &compare.target {
                    CompareTarget::Value(value) => Compare::Value(OpId::of(value).0),
                    CompareTarget::Version(version) => Compare::Version(version.cast_unsigned()),
                    _ => return None,
                };
                Some((put.key.clone(), Op::CompareAndPut(wanted, OpId::of(&put.value).0)))
            }
            Command::DeleteRange(_) | Command::Compact(_) => None,
        },
    }
}

/// What a write was told.
pub(crate) fn applied(request: &Request, told: &Applied) -> Option<Reply> {
    let Request::Command(_) = request else { return None };
    Some(match told.result.as_ref().ok()? {
        Told::Put(_) => Reply::Done,
        Told::DeleteRange(reply) => Reply::Deleted(reply.deleted > 0),
        Told::Txn(reply) => Reply::Compared(reply.succeeded),
        Told::Compact => return None,
    })
}

/// What a read found.
pub(crate) fn found(found: &Found) -> Option<Reply> {
    let Found::Range(Ok((reply, _))) = found else {
        return None;
    };
    let held = |kv: &KeyValue| Held {
        value: OpId::of(&kv.value).0,
        version: kv.version.cast_unsigned(),
    };
    Some(Reply::Got(Content(reply.kvs.first().map(held))))
}
