//! The requests, in order, and how their answers are written down.

use std::fmt::{Debug, Write};

use node::proto::etcdserverpb::cluster_client::ClusterClient;
use node::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use node::proto::etcdserverpb::kv_client::KvClient;
use node::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use node::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use node::proto::etcdserverpb::request_op::Request as Op;
use node::proto::etcdserverpb::response_op::Response as OpResponse;
use node::proto::etcdserverpb::{
    AlarmRequest, Compare, DeleteRangeRequest, DeleteRangeResponse, MemberListRequest, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp, StatusRequest, TxnRequest, TxnResponse,
};
use node::proto::mvccpb::KeyValue;
use tonic::Status;
use tonic::transport::Channel;

/// Runs all steps against a store in which nothing was ever written.
pub(crate) async fn run(endpoint: &str) -> String {
    let channel = Channel::from_shared(endpoint.to_owned())
        .expect("a URL")
        .connect()
        .await
        .expect("it listens");
    let mut script = Script {
        kv: KvClient::new(channel.clone()),
        text: String::new(),
    };
    script.single_keys().await;
    script.ranges().await;
    script.sorts_and_filters().await;
    script.deletions().await;
    script.kept_values_and_leases().await;
    script.comparisons().await;
    script.transactions().await;
    script.transaction_faults().await;
    script.nested_transactions().await;
    script.transaction_order_of_effects().await;
    script.limits().await;
    script.compactions(channel.clone()).await;
    script.other_services(channel).await;
    script.text
}

pub(crate) struct Script {
    pub(crate) kv: KvClient<Channel>,
    text: String,
}

pub(crate) fn key(text: &str) -> RangeRequest {
    RangeRequest {
        key: text.to_owned().into(),
        ..RangeRequest::default()
    }
}

pub(crate) fn span(from: &str, to: &str) -> RangeRequest {
    RangeRequest {
        key: from.to_owned().into(),
        range_end: to.to_owned().into(),
        ..RangeRequest::default()
    }
}

pub(crate) fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..PutRequest::default()
    }
}

pub(crate) fn delete(key: &str, range_end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: key.to_owned().into(),
        range_end: range_end.to_owned().into(),
        prev_kv: false,
    }
}

pub(crate) fn op(request: impl Into<Operation>) -> RequestOp {
    RequestOp {
        request: Some(request.into().0),
    }
}

pub(crate) struct Operation(Op);

impl From<RangeRequest> for Operation {
    fn from(request: RangeRequest) -> Operation {
        Operation(Op::RequestRange(request))
    }
}

impl From<PutRequest> for Operation {
    fn from(request: PutRequest) -> Operation {
        Operation(Op::RequestPut(request))
    }
}

impl From<DeleteRangeRequest> for Operation {
    fn from(request: DeleteRangeRequest) -> Operation {
        Operation(Op::RequestDeleteRange(request))
    }
}

impl From<TxnRequest> for Operation {
    fn from(request: TxnRequest) -> Operation {
        Operation(Op::RequestTxn(request))
    }
}

pub(crate) fn txn(compare: Vec<Compare>, success: Vec<RequestOp>, failure: Vec<RequestOp>) -> TxnRequest {
    TxnRequest {
        compare,
        success,
        failure,
    }
}

fn compare(key: &str, result: CompareResult, operand: TargetUnion) -> Compare {
    let target = match operand {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    Compare {
        result: result as i32,
        target: target as i32,
        key: key.to_owned().into(),
        range_end: bytes::Bytes::new(),
        target_union: Some(operand),
    }
}

/// Holds for any key.
fn always() -> Compare {
    compare("nowhere", CompareResult::Equal, TargetUnion::Version(0))
}

/// Holds for no key.
fn never() -> Compare {
    compare("nowhere", CompareResult::Greater, TargetUnion::Version(0))
}

impl Script {
    pub(crate) async fn range(&mut self, name: &str, request: RangeRequest) {
        let answer = self
            .kv
            .range(request)
            .await
            .map(|answer| show_range(&answer.into_inner()));
        self.note(name, answer);
    }

    pub(crate) async fn put(&mut self, name: &str, request: PutRequest) {
        let answer = self.kv.put(request).await.map(|answer| show_put(&answer.into_inner()));
        self.note(name, answer);
    }

    pub(crate) async fn delete(&mut self, name: &str, request: DeleteRangeRequest) {
        let answer = self
            .kv
            .delete_range(request)
            .await
            .map(|answer| show_delete(&answer.into_inner()));
        self.note(name, answer);
    }

    pub(crate) async fn txn(&mut self, name: &str, request: TxnRequest) {
        let answer = self
            .kv
            .txn(request)
            .await
            .map(|answer| show_txn(&answer.into_inner(), 0));
        self.note(name, answer);
    }

    pub(crate) fn note(&mut self, name: &str, answer: Result<String, Status>) {
        let answer = answer.unwrap_or_else(|status| format!("error {:?}: {}", status.code(), status.message()));
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "## {name}\n{}", answer.trim_end());
    }

    async fn single_keys(&mut self) {
        self.range("a key that never was", key("a")).await;
        self.range(
            "serializably, a key that never was",
            RangeRequest {
                serializable: true,
                ..key("a")
            },
        )
        .await;
        self.put("first put", put("a", "1")).await;
        self.put(
            "second put, with the previous value",
            PutRequest {
                prev_kv: true,
                ..put("a", "2")
            },
        )
        .await;
        self.put(
            "put of a new key, with the previous value",
            PutRequest {
                prev_kv: true,
                ..put("b", "")
            },
        )
        .await;
        self.range("a key that is", key("a")).await;
        self.range("a key with an empty value", key("b")).await;
        self.range(
            "in the past",
            RangeRequest {
                revision: 2,
                ..key("a")
            },
        )
        .await;
        self.range(
            "before it was",
            RangeRequest {
                revision: 1,
                ..key("a")
            },
        )
        .await;
        self.range(
            "now, by number",
            RangeRequest {
                revision: 4,
                ..key("a")
            },
        )
        .await;
        self.range(
            "in the future",
            RangeRequest {
                revision: 5,
                ..key("a")
            },
        )
        .await;
        self.range(
            "at a negative revision",
            RangeRequest {
                revision: -3,
                ..key("a")
            },
        )
        .await;
        self.range(
            "only its numbers",
            RangeRequest {
                keys_only: true,
                ..key("a")
            },
        )
        .await;
        self.range(
            "only the count",
            RangeRequest {
                count_only: true,
                ..key("a")
            },
        )
        .await;
        self.range("an empty key", key("")).await;
        self.range(
            "an empty key, serializably",
            RangeRequest {
                serializable: true,
                ..key("")
            },
        )
        .await;
        self.put("put to an empty key", put("", "x")).await;
        self.delete("deletion of an empty key", delete("", "")).await;
        self.put("a key of zero bytes", put("\0", "zero")).await;
        self.range("that key", key("\0")).await;
        self.delete("its deletion", delete("\0", "")).await;
    }

    async fn ranges(&mut self) {
        for name in ["r/1", "r/2", "r/3", "r/4", "r/5"] {
            self.put(name, put(name, &format!("value of {name}"))).await;
        }
        self.range("a prefix", span("r/", "r0")).await;
        self.range("a part", span("r/2", "r/4")).await;
        self.range("from a key on", span("r/4", "\0")).await;
        self.range("everything", span("\0", "\0")).await;
        self.range("an end before the key", span("r/3", "r/1")).await;
        self.range("an end that is the key", span("r/3", "r/3")).await;
        self.range("a gap", span("q", "r")).await;
        self.range(
            "with a limit",
            RangeRequest {
                limit: 2,
                ..span("r/", "r0")
            },
        )
        .await;
        self.range(
            "with a limit that is just enough",
            RangeRequest {
                limit: 5,
                ..span("r/", "r0")
            },
        )
        .await;
        self.range(
            "with a large limit",
            RangeRequest {
                limit: 50,
                ..span("r/", "r0")
            },
        )
        .await;
        self.range(
            "with a negative limit",
            RangeRequest {
                limit: -1,
                ..span("r/", "r0")
            },
        )
        .await;
        self.range(
            "the count with a limit",
            RangeRequest {
                limit: 2,
                count_only: true,
                ..span("r/", "r0")
            },
        )
        .await;
        self.range(
            "keys only",
            RangeRequest {
                keys_only: true,
                limit: 2,
                ..span("r/", "r0")
            },
        )
        .await;
        self.range(
            "in the past",
            RangeRequest {
                revision: 8,
                ..span("r/", "r0")
            },
        )
        .await;
        self.range(
            "counted in the past",
            RangeRequest {
                revision: 8,
                count_only: true,
                ..span("r/", "r0")
            },
        )
        .await;
    }

    async fn sorts_and_filters(&mut self) {
        self.put("r/3 changes", put("r/3", "a")).await;
        self.put("r/1 changes", put("r/1", "z")).await;
        self.put("r/3 changes again", put("r/3", "m")).await;
        for order in [SortOrder::None, SortOrder::Ascend, SortOrder::Descend] {
            for target in [
                SortTarget::Key,
                SortTarget::Version,
                SortTarget::Create,
                SortTarget::Mod,
                SortTarget::Value,
            ] {
                let request = RangeRequest {
                    sort_order: order as i32,
                    sort_target: target as i32,
                    keys_only: true,
                    limit: 3,
                    ..span("r/", "r0")
                };
                self.range(
                    &format!("sorted by {} {}", target.as_str_name(), order.as_str_name()),
                    request,
                )
                .await;
            }
        }
        let whole = || RangeRequest {
            keys_only: true,
            ..span("r/", "r0")
        };
        self.range(
            "changed late",
            RangeRequest {
                min_mod_revision: 12,
                ..whole()
            },
        )
        .await;
        self.range(
            "changed early",
            RangeRequest {
                max_mod_revision: 10,
                ..whole()
            },
        )
        .await;
        self.range(
            "created late",
            RangeRequest {
                min_create_revision: 9,
                ..whole()
            },
        )
        .await;
        self.range(
            "created early",
            RangeRequest {
                max_create_revision: 8,
                ..whole()
            },
        )
        .await;
        self.range(
            "created then, changed then",
            RangeRequest {
                min_create_revision: 7,
                max_mod_revision: 11,
                ..whole()
            },
        )
        .await;
        self.range(
            "filtered and limited",
            RangeRequest {
                min_create_revision: 7,
                limit: 2,
                ..whole()
            },
        )
        .await;
        self.range(
            "filtered and counted",
            RangeRequest {
                min_create_revision: 9,
                count_only: true,
                ..whole()
            },
        )
        .await;
        self.range(
            "filtered, sorted and limited",
            RangeRequest {
                max_create_revision: 10,
                sort_order: SortOrder::Descend as i32,
                sort_target: SortTarget::Mod as i32,
                limit: 1,
                ..whole()
            },
        )
        .await;
        self.range(
            "a negative filter",
            RangeRequest {
                min_mod_revision: -5,
                ..whole()
            },
        )
        .await;
    }

    async fn deletions(&mut self) {
        self.delete("of nothing", delete("nowhere", "")).await;
        self.delete("of a range of nothing", delete("n", "o")).await;
        self.delete(
            "of one key, with what it was",
            DeleteRangeRequest {
                prev_kv: true,
                ..delete("r/2", "")
            },
        )
        .await;
        self.range("after the deletion", span("r/", "r0")).await;
        self.range(
            "before the deletion",
            RangeRequest {
                revision: 14,
                ..key("r/2")
            },
        )
        .await;
        self.put(
            "put after the deletion",
            PutRequest {
                prev_kv: true,
                ..put("r/2", "again")
            },
        )
        .await;
        self.range("a key that came back", key("r/2")).await;
        self.delete(
            "of a range, with what was",
            DeleteRangeRequest {
                prev_kv: true,
                ..delete("r/4", "r0")
            },
        )
        .await;
        self.delete("of a prefix", delete("r/", "r0")).await;
        self.delete("of the prefix again", delete("r/", "r0")).await;
        self.delete("with an end before the key", delete("b", "a")).await;
    }

    async fn kept_values_and_leases(&mut self) {
        self.put(
            "the value of nothing is kept",
            PutRequest {
                ignore_value: true,
                ..put("k", "")
            },
        )
        .await;
        self.put(
            "the lease of nothing is kept",
            PutRequest {
                ignore_lease: true,
                ..put("k", "v")
            },
        )
        .await;
        self.put(
            "a value is kept and given",
            PutRequest {
                ignore_value: true,
                ..put("a", "v")
            },
        )
        .await;
        self.put(
            "a lease is kept and given",
            PutRequest {
                ignore_lease: true,
                lease: 5,
                ..put("a", "v")
            },
        )
        .await;
        self.put(
            "a lease that does not exist",
            PutRequest {
                lease: 5,
                ..put("a", "v")
            },
        )
        .await;
        self.put(
            "a value is kept",
            PutRequest {
                ignore_value: true,
                prev_kv: true,
                ..put("a", "")
            },
        )
        .await;
        self.put(
            "a lease is kept",
            PutRequest {
                ignore_lease: true,
                ..put("a", "w")
            },
        )
        .await;
        self.range("after all that", key("a")).await;
        self.put(
            "an empty key with a kept value",
            PutRequest {
                ignore_value: true,
                ..put("", "v")
            },
        )
        .await;
    }

    async fn comparisons(&mut self) {
        use CompareResult::{Equal, Greater, Less, NotEqual};
        for (name, subject) in [("present", "a"), ("absent", "nowhere")] {
            for result in [Equal, Greater, Less, NotEqual] {
                let operands = [
                    TargetUnion::Version(4),
                    TargetUnion::Version(0),
                    TargetUnion::CreateRevision(2),
                    TargetUnion::CreateRevision(0),
                    TargetUnion::ModRevision(7),
                    TargetUnion::ModRevision(0),
                    TargetUnion::Value("w".into()),
                    TargetUnion::Value("".into()),
                    TargetUnion::Value("x".into()),
                    TargetUnion::Lease(0),
                    TargetUnion::Lease(1),
                ];
                for operand in operands {
                    let what = format!("{name} {} {operand:?}", result.as_str_name());
                    self.txn(&what, txn(vec![compare(subject, result, operand)], vec![], vec![]))
                        .await;
                }
            }
        }
        self.put("c/1", put("c/1", "x")).await;
        self.put("c/2", put("c/2", "x")).await;
        let mut whole = compare("c/", Equal, TargetUnion::Value("x".into()));
        whole.range_end = "c0".into();
        self.txn("all of a range", txn(vec![whole.clone()], vec![], vec![]))
            .await;
        self.put("c/2 changes", put("c/2", "y")).await;
        self.txn("not all of a range", txn(vec![whole.clone()], vec![], vec![]))
            .await;
        let mut empty = compare("d/", Equal, TargetUnion::Version(0));
        empty.range_end = "d0".into();
        self.txn("an empty range", txn(vec![empty.clone()], vec![], vec![]))
            .await;
        empty.target_union = Some(TargetUnion::Version(1));
        self.txn("an empty range, otherwise", txn(vec![empty], vec![], vec![]))
            .await;
        let mut mismatched = compare("a", Equal, TargetUnion::Version(1));
        mismatched.target = CompareTarget::Create as i32;
        self.txn("an operand of another kind", txn(vec![mismatched], vec![], vec![]))
            .await;
        self.txn(
            "an empty key",
            txn(vec![compare("", Equal, TargetUnion::Version(0))], vec![], vec![]),
        )
        .await;
    }

    async fn transactions(&mut self) {
        self.txn("nothing at all", TxnRequest::default()).await;
        self.txn("a put", txn(vec![], vec![op(put("t", "1"))], vec![])).await;
        self.txn(
            "the failure branch",
            txn(vec![never()], vec![op(put("t", "2"))], vec![op(key("t"))]),
        )
        .await;
        self.txn(
            "reads only",
            txn(vec![always()], vec![op(key("t")), op(span("c/", "c0"))], vec![]),
        )
        .await;
        let past = RangeRequest {
            revision: 2,
            ..key("a")
        };
        self.txn("a read of the past", txn(vec![], vec![op(past.clone())], vec![]))
            .await;
        self.txn(
            "a read of the past beside a put",
            txn(vec![], vec![op(put("t", "3")), op(past)], vec![]),
        )
        .await;
        let sees = vec![
            op(key("t")),
            op(put("t", "4")),
            op(key("t")),
            op(delete("t", "")),
            op(key("t")),
        ];
        self.txn("a key put and deleted", txn(vec![], sees, vec![])).await;
        let sees = vec![
            op(key("t")),
            op(PutRequest {
                prev_kv: true,
                ..put("t", "5")
            }),
            op(key("t")),
            op(span("t", "v")),
        ];
        self.txn("reads see earlier operations", txn(vec![], sees, vec![]))
            .await;
        self.txn(
            "several keys, one revision",
            txn(vec![], vec![op(put("u/1", "")), op(put("u/2", ""))], vec![]),
        )
        .await;
        self.range("those keys", span("u/", "u0")).await;
        let deletes = vec![op(delete("u/1", "")), op(delete("u/", "u0")), op(delete("u/", "u0"))];
        self.txn("overlapping deletions", txn(vec![], deletes, vec![])).await;
        self.txn(
            "a deletion of nothing",
            txn(vec![], vec![op(delete("u/", "u0"))], vec![]),
        )
        .await;
        self.txn(
            "a deletion of nothing beside a put",
            txn(vec![], vec![op(delete("u/", "u0")), op(put("w", ""))], vec![]),
        )
        .await;
        self.txn(
            "both branches",
            txn(vec![always()], vec![op(put("w", "yes"))], vec![op(put("w", "no"))]),
        )
        .await;
        self.range("the branch taken", key("w")).await;
    }

    async fn transaction_faults(&mut self) {
        self.txn(
            "a key put twice",
            txn(vec![], vec![op(put("x", "1")), op(put("x", "2"))], vec![]),
        )
        .await;
        self.txn(
            "put and deleted",
            txn(vec![], vec![op(put("x", "1")), op(delete("w", "y"))], vec![]),
        )
        .await;
        self.txn(
            "a duplicate in the other branch",
            txn(vec![], vec![], vec![op(put("x", "1")), op(put("x", "2"))]),
        )
        .await;
        self.txn(
            "an empty key",
            txn(vec![], vec![op(put("x", "1")), op(put("", "2"))], vec![]),
        )
        .await;
        self.txn("an empty key to read", txn(vec![], vec![op(key(""))], vec![]))
            .await;
        self.txn("an empty key to delete", txn(vec![], vec![op(delete("", "x"))], vec![]))
            .await;
        self.txn(
            "an empty key in the other branch",
            txn(vec![], vec![], vec![op(put("", "2"))]),
        )
        .await;
        self.txn(
            "an operation of no kind",
            txn(vec![], vec![RequestOp::default()], vec![]),
        )
        .await;
        let kept = PutRequest {
            ignore_value: true,
            ..put("nowhere", "")
        };
        self.txn(
            "the value of nothing is kept",
            txn(vec![], vec![op(put("x", "1")), op(kept.clone())], vec![]),
        )
        .await;
        self.range("nothing of it was done", key("x")).await;
        self.txn(
            "in the branch not taken",
            txn(vec![always()], vec![op(put("x", "1"))], vec![op(kept)]),
        )
        .await;
        let leased = PutRequest {
            lease: 77,
            ..put("y", "")
        };
        self.txn(
            "an unknown lease",
            txn(vec![], vec![op(put("x", "2")), op(leased)], vec![]),
        )
        .await;
        let future = RangeRequest {
            revision: 1_000_000,
            ..key("a")
        };
        self.txn("a read of the future", txn(vec![], vec![op(future.clone())], vec![]))
            .await;
        self.txn(
            "a read of the future beside a put",
            txn(vec![], vec![op(put("x", "3")), op(future)], vec![]),
        )
        .await;
        self.range("nothing of it was done either", key("x")).await;
        let kept = PutRequest {
            ignore_value: true,
            ..put("x", "v")
        };
        self.txn("a value is kept and given", txn(vec![], vec![op(kept)], vec![]))
            .await;
    }

    async fn nested_transactions(&mut self) {
        let inner = txn(vec![always()], vec![op(put("n/1", "in"))], vec![op(put("n/1", "out"))]);
        self.txn(
            "one in another",
            txn(
                vec![],
                vec![op(put("n/2", "x")), op(inner), op(span("n/", "n0"))],
                vec![],
            ),
        )
        .await;
        let inner = txn(vec![never()], vec![], vec![op(key("n/1"))]);
        self.txn("reads only", txn(vec![], vec![op(inner)], vec![])).await;
        let inner = txn(
            vec![compare("n/3", CompareResult::Equal, TargetUnion::Version(1))],
            vec![op(key("n/3"))],
            vec![],
        );
        self.txn(
            "it sees what was before the whole",
            txn(vec![], vec![op(put("n/3", "")), op(inner)], vec![]),
        )
        .await;
        let inner = txn(vec![], vec![op(put("n/4", ""))], vec![]);
        self.txn(
            "a duplicate across levels",
            txn(vec![], vec![op(put("n/4", "")), op(inner)], vec![]),
        )
        .await;
        let either = txn(vec![], vec![op(put("n/5", "a"))], vec![op(put("n/5", "b"))]);
        self.txn("the same key in both branches", txn(vec![], vec![op(either)], vec![]))
            .await;
        let one = txn(vec![], vec![], vec![op(delete("n/6", ""))]);
        let two = txn(vec![], vec![op(put("n/6", ""))], vec![]);
        self.txn(
            "deleted by one, put by the other",
            txn(vec![], vec![op(one), op(two)], vec![]),
        )
        .await;
        let mut deep = txn(vec![], vec![op(put("n/7", "deep"))], vec![]);
        for _ in 0..10 {
            deep = txn(vec![], vec![op(deep)], vec![]);
        }
        self.txn("ten levels", deep).await;
        self.range("the key below", key("n/7")).await;
    }

    async fn transaction_order_of_effects(&mut self) {
        let ops = vec![
            op(put("o/1", "a")),
            op(DeleteRangeRequest {
                prev_kv: true,
                ..delete("o/2", "o/9")
            }),
            op(put("o/a", "b")),
            op(span("o/", "o0")),
        ];
        self.txn("puts around a deletion of nothing", txn(vec![], ops.clone(), vec![]))
            .await;
        self.put("a key to delete", put("o/5", "five")).await;
        self.txn("puts around a deletion", txn(vec![], ops, vec![])).await;
        self.range("what is left", span("o/", "o0")).await;
        let gone = vec![op(delete("o/", "o0")), op(span("o/", "o0"))];
        self.txn("a range deleted and read", txn(vec![], gone, vec![])).await;
    }

    async fn limits(&mut self) {
        let puts = |count: usize| {
            (0..count)
                .map(|n| op(put(&format!("l/{n:03}"), "")))
                .collect::<Vec<_>>()
        };
        self.txn("more operations than allowed", txn(vec![], puts(129), vec![]))
            .await;
        self.txn(
            "more comparisons than allowed",
            txn(vec![always(); 129], vec![], vec![]),
        )
        .await;
        self.txn("more in the other branch than allowed", txn(vec![], vec![], puts(129)))
            .await;
        self.txn(
            "a nested one takes from the budget",
            txn(vec![], vec![op(txn(vec![], puts(128), vec![]))], vec![]),
        )
        .await;
        let most = self.kv.txn(txn(vec![], puts(128), vec![])).await;
        self.note(
            "as many as allowed",
            most.map(|answer| format!("{} responses", answer.into_inner().responses.len())),
        );
        let big = "x".repeat(1_600_000);
        self.put("a value that is too large", put("big", &big)).await;
        self.txn(
            "a transaction that is too large",
            txn(vec![], vec![op(put("big", &big))], vec![]),
        )
        .await;
        self.put("a value that is just small enough", put("big", &big[..1_500_000]))
            .await;
        let read = self
            .kv
            .range(key("big"))
            .await
            .map(|answer| answer.into_inner().kvs[0].value.len().to_string());
        self.note("its length", read);
        self.delete("and gone", delete("big", "")).await;
    }

    async fn other_services(&mut self, channel: Channel) {
        let status = MaintenanceClient::new(channel.clone()).status(StatusRequest {}).await;
        self.note(
            "the status",
            status.map(|answer| {
                let answer = answer.into_inner();
                let leads = answer
                    .header
                    .as_ref()
                    .is_some_and(|header| header.member_id == answer.leader);
                format!(
                    "{}leads {leads}, errors {:?}, learner {}",
                    show_header(&answer.header),
                    answer.errors,
                    answer.is_learner
                )
            }),
        );
        let members = ClusterClient::new(channel.clone())
            .member_list(MemberListRequest::default())
            .await;
        self.note(
            "the members",
            members.map(|answer| {
                let answer = answer.into_inner();
                let names: Vec<_> = answer
                    .members
                    .iter()
                    .map(|member| (&member.name, member.is_learner))
                    .collect();
                format!("{}{names:?}", show_header(&answer.header))
            }),
        );
        let alarms = MaintenanceClient::new(channel).alarm(AlarmRequest::default()).await;
        self.note(
            "the alarms",
            alarms.map(|answer| {
                let answer = answer.into_inner();
                format!("{}{:?}", show_header(&answer.header), answer.alarms)
            }),
        );
    }
}

/// The part of a header that is the same everywhere.
pub(crate) fn show_header(header: &Option<ResponseHeader>) -> String {
    header.as_ref().map_or("no header\n".to_owned(), |header| {
        format!("revision {}\n", header.revision)
    })
}

fn show_range(answer: &RangeResponse) -> String {
    let kvs = show_list(&answer.kvs, show_kv);
    format!(
        "{}count {}, more {}\n{kvs}",
        show_header(&answer.header),
        answer.count,
        answer.more
    )
}

fn show_put(answer: &PutResponse) -> String {
    let before = answer.prev_kv.as_ref().map(|kv| format!("before {}\n", show_kv(kv)));
    format!("{}{}", show_header(&answer.header), before.unwrap_or_default())
}

fn show_delete(answer: &DeleteRangeResponse) -> String {
    let before = show_list(&answer.prev_kvs, show_kv);
    format!("{}deleted {}\n{before}", show_header(&answer.header), answer.deleted)
}

fn show_txn(answer: &TxnResponse, depth: usize) -> String {
    let responses = show_list(&answer.responses, |response| show_op(response, depth + 1));
    format!(
        "{}succeeded {}\n{responses}",
        show_header(&answer.header),
        answer.succeeded
    )
}

fn show_op(response: &ResponseOp, depth: usize) -> String {
    let text = match &response.response {
        Some(OpResponse::ResponseRange(answer)) => format!("range: {}", show_range(answer)),
        Some(OpResponse::ResponsePut(answer)) => format!("put: {}", show_put(answer)),
        Some(OpResponse::ResponseDeleteRange(answer)) => format!("delete: {}", show_delete(answer)),
        Some(OpResponse::ResponseTxn(answer)) => format!("txn: {}", show_txn(answer, depth)),
        None => "nothing".to_owned(),
    };
    text.trim_end()
        .lines()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn show_kv(kv: &KeyValue) -> String {
    let KeyValue {
        key,
        create_revision,
        mod_revision,
        version,
        value,
        lease,
    } = kv;
    format!("{key:?} = {value:?}, created {create_revision}, changed {mod_revision}, version {version}, lease {lease}")
}

fn show_list<T: Debug>(items: &[T], show: impl Fn(&T) -> String) -> String {
    items.iter().map(|item| show(item) + "\n").collect()
}
