//! Between the wire's messages and the state machine's types.

use storage::machine::{
    Compare, CompareResult, CompareTarget, DeleteRange, DeleteRangeReply, KeyValue, KvError, Op, OpReply, OpResult,
    Put, PutReply, Range, RangeReply, Revision, SortOrder, SortTarget, Txn, TxnReply,
};
use tonic::Status;

use super::error::of_kv;
use crate::proto::etcdserverpb::compare::TargetUnion;
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::response_op::Response;
use crate::proto::etcdserverpb::{self as wire, ResponseHeader};
use crate::proto::mvccpb;

/// Deepest nesting of transactions that is converted; the budget of operations forbids deeper ones anyway.
const MAX_DEPTH: usize = 128;

pub(super) fn range(request: wire::RangeRequest) -> Result<Range, KvError> {
    // An empty key is the first thing that is reported.
    if request.key.is_empty() {
        return Err(KvError::EmptyKey);
    }
    Ok(Range {
        sort_order: SortOrder::try_from(request.sort_order)?,
        sort_target: SortTarget::try_from(request.sort_target)?,
        key: request.key,
        range_end: request.range_end,
        limit: request.limit,
        revision: request.revision,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    })
}

pub(super) fn put(request: wire::PutRequest) -> Put {
    Put {
        key: request.key,
        value: request.value,
        lease: request.lease,
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    }
}

pub(super) fn delete_range(request: wire::DeleteRangeRequest) -> DeleteRange {
    DeleteRange {
        key: request.key,
        range_end: request.range_end,
        prev_kv: request.prev_kv,
    }
}

pub(super) fn txn(request: wire::TxnRequest) -> Result<Txn, Status> {
    nested_txn(request, MAX_DEPTH)
}

fn nested_txn(request: wire::TxnRequest, depth: usize) -> Result<Txn, Status> {
    let depth = depth.checked_sub(1).ok_or_else(|| of_kv(KvError::TooManyOps))?;
    Ok(Txn {
        compare: request.compare.into_iter().map(compare).collect::<Result<_, _>>()?,
        success: request
            .success
            .into_iter()
            .map(|request| op(request, depth))
            .collect::<Result<_, _>>()?,
        failure: request
            .failure
            .into_iter()
            .map(|request| op(request, depth))
            .collect::<Result<_, _>>()?,
    })
}

fn op(request: wire::RequestOp, depth: usize) -> Result<Op, Status> {
    Ok(match request.request {
        Some(Request::RequestRange(request)) => Op::Range(range(request).map_err(of_kv)?),
        Some(Request::RequestPut(request)) => Op::Put(put(request)),
        Some(Request::RequestDeleteRange(request)) => Op::DeleteRange(delete_range(request)),
        Some(Request::RequestTxn(request)) => Op::Txn(nested_txn(request, depth)?),
        // etcd's answer to an operation of no kind.
        None => return Err(of_kv(KvError::KeyNotFound)),
    })
}

/// An operand of another kind than the target counts as the kind's zero, as in etcd.
fn compare(request: wire::Compare) -> Result<Compare, Status> {
    use wire::compare::{CompareResult as WireResult, CompareTarget as WireTarget};
    let (result, target) = (request.result(), request.target());
    if result as i32 != request.result || target as i32 != request.target {
        return Err(Status::invalid_argument("etcdserver: invalid compare option"));
    }
    let operand = request.target_union;
    let target = match target {
        WireTarget::Version => CompareTarget::Version(match operand {
            Some(TargetUnion::Version(version)) => version,
            _ => 0,
        }),
        WireTarget::Create => CompareTarget::Create(match operand {
            Some(TargetUnion::CreateRevision(revision)) => revision,
            _ => 0,
        }),
        WireTarget::Mod => CompareTarget::Mod(match operand {
            Some(TargetUnion::ModRevision(revision)) => revision,
            _ => 0,
        }),
        WireTarget::Value => CompareTarget::Value(match operand {
            Some(TargetUnion::Value(value)) => value,
            _ => bytes::Bytes::new(),
        }),
        WireTarget::Lease => CompareTarget::Lease(match operand {
            Some(TargetUnion::Lease(lease)) => lease,
            _ => 0,
        }),
    };
    let result = match result {
        WireResult::Equal => CompareResult::Equal,
        WireResult::Greater => CompareResult::Greater,
        WireResult::Less => CompareResult::Less,
        WireResult::NotEqual => CompareResult::NotEqual,
    };
    Ok(Compare {
        result,
        target,
        key: request.key,
        range_end: request.range_end,
    })
}

pub(super) fn range_response(header: ResponseHeader, reply: RangeReply) -> wire::RangeResponse {
    let kvs = reply.kvs.into_iter().map(key_value).collect();
    wire::RangeResponse {
        header: Some(header),
        kvs,
        more: reply.more,
        count: reply.count,
    }
}

pub(super) fn put_response(header: ResponseHeader, reply: PutReply) -> wire::PutResponse {
    wire::PutResponse {
        header: Some(header),
        prev_kv: reply.prev_kv.map(key_value),
    }
}

pub(super) fn delete_range_response(header: ResponseHeader, reply: DeleteRangeReply) -> wire::DeleteRangeResponse {
    let prev_kvs = reply.prev_kvs.into_iter().map(key_value).collect();
    wire::DeleteRangeResponse {
        header: Some(header),
        deleted: reply.deleted,
        prev_kvs,
    }
}

pub(super) fn txn_response(header: ResponseHeader, reply: TxnReply) -> wire::TxnResponse {
    let responses = reply.responses.into_iter().map(op_response).collect();
    wire::TxnResponse {
        header: Some(header),
        succeeded: reply.succeeded,
        responses,
    }
}

/// The headers of a transaction's operations hold their revision and nothing else, those of nested transactions nothing.
fn op_response(reply: OpReply) -> wire::ResponseOp {
    let header = |Revision(revision)| ResponseHeader {
        revision,
        ..ResponseHeader::default()
    };
    let header = header(reply.revision);
    wire::ResponseOp {
        response: Some(match reply.result {
            OpResult::Range(reply) => Response::ResponseRange(range_response(header, reply)),
            OpResult::Put(reply) => Response::ResponsePut(put_response(header, reply)),
            OpResult::DeleteRange(reply) => Response::ResponseDeleteRange(delete_range_response(header, reply)),
            OpResult::Txn(reply) => Response::ResponseTxn(txn_response(ResponseHeader::default(), reply)),
        }),
    }
}

fn key_value(kv: KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        value: kv.value,
        lease: kv.lease,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tonic::Code;

    use super::*;

    #[test]
    fn numbers_that_no_enum_has_are_refused() {
        let request = wire::RangeRequest {
            key: "k".into(),
            sort_target: 99,
            ..wire::RangeRequest::default()
        };
        assert_eq!(range(request), Err(KvError::InvalidSortOption));
        let request = wire::RangeRequest {
            sort_order: 3,
            ..wire::RangeRequest::default()
        };
        assert_eq!(range(request), Err(KvError::EmptyKey), "the empty key comes first");
        for (result, target) in [(4, 0), (-1, 0), (0, 5), (0, -1)] {
            let compare = wire::Compare {
                result,
                target,
                key: "k".into(),
                ..wire::Compare::default()
            };
            let request = wire::TxnRequest {
                compare: vec![compare],
                ..wire::TxnRequest::default()
            };
            let status = txn(request).expect_err("an unknown number");
            assert_eq!(status.code(), Code::InvalidArgument, "{result} {target}");
        }
    }

    #[test]
    fn an_operation_of_no_kind_is_refused_as_etcd_does() {
        let request = wire::TxnRequest {
            success: vec![wire::RequestOp::default()],
            ..wire::TxnRequest::default()
        };
        let status = txn(request).expect_err("an empty operation");
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, "etcdserver: key not found")
        );
    }

    #[test]
    fn a_transaction_keeps_its_shape() {
        let put = wire::RequestOp {
            request: Some(Request::RequestPut(wire::PutRequest {
                key: "k".into(),
                lease: 3,
                ..Default::default()
            })),
        };
        let inner = wire::TxnRequest {
            failure: vec![put.clone()],
            ..Default::default()
        };
        let request = wire::TxnRequest {
            compare: vec![wire::Compare {
                result: wire::compare::CompareResult::NotEqual as i32,
                target: wire::compare::CompareTarget::Value as i32,
                key: "k".into(),
                range_end: Bytes::from_static(b"\0"),
                target_union: Some(TargetUnion::Value("v".into())),
            }],
            success: vec![
                put,
                wire::RequestOp {
                    request: Some(Request::RequestTxn(inner)),
                },
            ],
            failure: vec![],
        };
        let converted = txn(request).expect("valid");
        assert_eq!(converted.compare[0].result, CompareResult::NotEqual);
        assert_eq!(converted.compare[0].target, CompareTarget::Value("v".into()));
        assert_eq!(converted.compare[0].range_end, Bytes::from_static(b"\0"));
        let expected = Put {
            key: "k".into(),
            lease: 3,
            ..Put::default()
        };
        assert_eq!(converted.success[0], Op::Put(expected.clone()));
        assert_eq!(
            converted.success[1],
            Op::Txn(Txn {
                failure: vec![Op::Put(expected)],
                ..Txn::default()
            })
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let mut request = wire::TxnRequest::default();
        for _ in 0..MAX_DEPTH {
            let op = wire::RequestOp {
                request: Some(Request::RequestTxn(request)),
            };
            request = wire::TxnRequest {
                success: vec![op],
                ..wire::TxnRequest::default()
            };
        }
        let status = txn(request).expect_err("too deep");
        assert_eq!(status.message(), "etcdserver: too many operations in txn request");
    }
}
