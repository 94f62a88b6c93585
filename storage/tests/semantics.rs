//! Where etcd's semantics surprise, one test per surprise, so that a change is noticed by its name.

use bytes::Bytes;
use paxos::{Batch, Command as Logged, CommandId, Entry, Slot, Value};
use quorum::NodeId;
use storage::machine::*;
use storage::tables::MemoryTables;

struct Store {
    machine: Machine<MemoryTables>,
    slot: u64,
}

impl Store {
    fn new() -> Store {
        let machine = Machine::open(MemoryTables::new(), HEAD_CACHE_BYTES).expect("empty tables");
        Store { machine, slot: 0 }
    }

    fn payload(&mut self, payload: Bytes) -> Applied {
        self.slot += 1;
        let id = CommandId {
            origin: NodeId(1),
            boot: 7,
            sequence: self.slot,
        };
        let value = Value::Commands(Batch::pack(&[Logged { id, payload }]));
        let mut answer = None;
        self.machine
            .apply(
                &[Entry {
                    slot: Slot(self.slot),
                    value,
                }],
                |_| true,
                |_, applied| answer = Some(applied),
            )
            .expect("a healthy disk");
        answer.expect("one command, one answer")
    }

    fn apply(&mut self, command: Command) -> Applied {
        self.payload(command.encode())
    }

    fn put(&mut self, key: &str, value: &str) -> i64 {
        let applied = self.apply(Command::Put(Put {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Bytes::copy_from_slice(value.as_bytes()),
            ..Put::default()
        }));
        applied.revision.0
    }

    fn delete(&mut self, key: &str, range_end: &str) -> (i64, i64) {
        let delete = DeleteRange {
            key: Bytes::copy_from_slice(key.as_bytes()),
            range_end: Bytes::copy_from_slice(range_end.as_bytes()),
            prev_kv: false,
        };
        let applied = self.apply(Command::DeleteRange(delete));
        let Ok(Reply::DeleteRange(reply)) = applied.result else {
            panic!("{applied:?}")
        };
        (applied.revision.0, reply.deleted)
    }

    fn read(&self, range: Range) -> RangeReply {
        self.machine.reader().range(&range).expect("a revision that exists").0
    }

    fn keys(&self, key: &'static str, range_end: &'static str) -> Vec<String> {
        let reply = self.read(Range {
            key: key.into(),
            range_end: range_end.into(),
            ..Range::default()
        });
        reply
            .kvs
            .iter()
            .map(|kv| String::from_utf8_lossy(&kv.key).into_owned())
            .collect()
    }

    fn kv(&self, key: &'static str) -> KeyValue {
        self.read(Range {
            key: key.into(),
            ..Range::default()
        })
        .kvs
        .remove(0)
    }
}

fn put(key: &'static str, value: &'static str) -> Op {
    Op::Put(Put {
        key: key.into(),
        value: value.into(),
        ..Put::default()
    })
}

fn get(key: &'static str) -> Op {
    Op::Range(Range {
        key: key.into(),
        ..Range::default()
    })
}

fn compare(result: CompareResult, target: CompareTarget, key: &'static str, range_end: &'static str) -> Compare {
    Compare {
        result,
        target,
        key: key.into(),
        range_end: range_end.into(),
    }
}

#[test]
fn revisions_count_commands_that_change_something() {
    let mut store = Store::new();
    assert_eq!(store.machine.reader().revision(), Revision(1));
    assert_eq!(store.delete("a", ""), (1, 0), "deleting nothing changes nothing");
    assert_eq!(store.put("a", "1"), 2);
    assert_eq!(store.put("a", "1"), 3, "the same value again is a change");
    let txn = Txn {
        success: vec![put("b", "1"), put("c", "1")],
        ..Txn::default()
    };
    assert_eq!(
        store.apply(Command::Txn(txn)).revision,
        Revision(4),
        "one revision for a transaction"
    );
    assert_eq!(
        store
            .apply(Command::Txn(Txn {
                success: vec![get("a")],
                ..Txn::default()
            }))
            .revision,
        Revision(4)
    );
    assert_eq!(store.delete("a", "d"), (5, 3));
    assert_eq!(store.delete("a", "d"), (5, 0));
}

#[test]
fn a_key_that_was_deleted_begins_anew() {
    let mut store = Store::new();
    store.put("a", "1");
    store.put("a", "2");
    let before = store.kv("a");
    assert_eq!((before.create_revision, before.mod_revision, before.version), (2, 3, 2));
    store.delete("a", "");
    store.put("a", "3");
    let after = store.kv("a");
    assert_eq!((after.create_revision, after.mod_revision, after.version), (5, 5, 1));
    let old = store.read(Range {
        key: "a".into(),
        revision: 3,
        ..Range::default()
    });
    assert_eq!(old.kvs, vec![before]);
    assert_eq!(
        store
            .read(Range {
                key: "a".into(),
                revision: 4,
                ..Range::default()
            })
            .count,
        0
    );
}

#[test]
fn range_ends_mean_one_key_all_from_a_key_on_or_everything() {
    let mut store = Store::new();
    for key in ["\0", "a", "a\0", "ab", "b"] {
        store.put(key, "v");
    }
    assert_eq!(store.keys("a", ""), ["a"]);
    assert_eq!(store.keys("a", "b"), ["a", "a\0", "ab"]);
    assert_eq!(store.keys("a", "\0"), ["a", "a\0", "ab", "b"]);
    assert_eq!(store.keys("\0", "\0").len(), 5);
    assert_eq!(store.keys("b", "a"), [""; 0], "an end before the key is an empty range");
    assert_eq!(store.keys("a", "a"), [""; 0]);
    assert_eq!(store.keys("a", "a\0"), ["a"]);
}

#[test]
fn the_count_ignores_limit_and_filters_and_the_limit_comes_after_them() {
    let mut store = Store::new();
    for key in ["a", "b", "c", "d"] {
        store.put(key, key);
    }
    let all = Range {
        key: "a".into(),
        range_end: "z".into(),
        ..Range::default()
    };
    let reply = store.read(Range {
        limit: 2,
        ..all.clone()
    });
    assert_eq!((reply.kvs.len(), reply.more, reply.count), (2, true, 4));
    let reply = store.read(Range {
        limit: 4,
        ..all.clone()
    });
    assert_eq!((reply.kvs.len(), reply.more, reply.count), (4, false, 4));
    let reply = store.read(Range {
        limit: 1,
        min_mod_revision: 4,
        ..all.clone()
    });
    assert_eq!(
        (reply.kvs[0].key.as_ref(), reply.more, reply.count),
        (b"c".as_ref(), true, 4)
    );
    let reply = store.read(Range {
        limit: 1,
        sort_target: SortTarget::Mod,
        sort_order: SortOrder::Descend,
        ..all.clone()
    });
    assert_eq!(
        (reply.kvs[0].key.as_ref(), reply.more, reply.count),
        (b"d".as_ref(), true, 4)
    );
    let reply = store.read(Range {
        count_only: true,
        limit: 1,
        ..all.clone()
    });
    assert_eq!((reply.kvs.len(), reply.more, reply.count), (0, false, 4));
    let reply = store.read(Range {
        keys_only: true,
        sort_target: SortTarget::Value,
        sort_order: SortOrder::Descend,
        ..all
    });
    assert_eq!(
        (reply.kvs[0].key.as_ref(), reply.kvs[0].value.len()),
        (b"d".as_ref(), 0)
    );
}

#[test]
fn a_key_that_does_not_exist_compares_as_zeros_but_has_no_value() {
    let mut store = Store::new();
    let mut holds = |compare: Compare| {
        let applied = store.apply(Command::Txn(Txn {
            compare: vec![compare],
            ..Txn::default()
        }));
        let Ok(Reply::Txn(reply)) = applied.result else {
            panic!("{applied:?}")
        };
        reply.succeeded
    };
    use CompareResult::*;
    assert!(holds(compare(Equal, CompareTarget::Version(0), "a", "")));
    assert!(holds(compare(Less, CompareTarget::Create(1), "a", "")));
    assert!(
        holds(compare(Equal, CompareTarget::Lease(0), "a", "z")),
        "an empty range too"
    );
    assert!(!holds(compare(Equal, CompareTarget::Value("".into()), "a", "")));
    assert!(!holds(compare(NotEqual, CompareTarget::Value("x".into()), "a", "")));
}

#[test]
fn every_key_of_a_compared_range_must_hold() {
    let mut store = Store::new();
    store.put("a", "x");
    store.put("b", "y");
    let mut holds = |compare: Compare| {
        let applied = store.apply(Command::Txn(Txn {
            compare: vec![compare],
            ..Txn::default()
        }));
        let Ok(Reply::Txn(reply)) = applied.result else {
            panic!("{applied:?}")
        };
        reply.succeeded
    };
    use CompareResult::*;
    assert!(holds(compare(Greater, CompareTarget::Value("w".into()), "a", "c")));
    assert!(!holds(compare(Equal, CompareTarget::Value("x".into()), "a", "c")));
    assert!(holds(compare(Equal, CompareTarget::Version(1), "a", "\0")));
}

#[test]
fn operations_of_a_transaction_see_the_earlier_ones_but_comparisons_do_not() {
    let mut store = Store::new();
    store.put("a", "old");
    let nested = Txn {
        compare: vec![compare(
            CompareResult::Equal,
            CompareTarget::Value("old".into()),
            "a",
            "",
        )],
        success: vec![get("a")],
        failure: vec![],
    };
    let txn = Txn {
        success: vec![get("a"), put("a", "new"), get("a"), Op::Txn(nested)],
        ..Txn::default()
    };
    let applied = store.apply(Command::Txn(txn));
    let Ok(Reply::Txn(reply)) = applied.result else {
        panic!("{applied:?}")
    };
    let value = |response: &OpReply| match &response.result {
        OpResult::Range(range) => range.kvs[0].value.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(value(&reply.responses[0]), "old");
    assert_eq!(value(&reply.responses[2]), "new");
    let OpResult::Txn(nested) = &reply.responses[3].result else {
        panic!("{reply:?}")
    };
    assert!(nested.succeeded, "it compared what was there before the transaction");
    assert_eq!(value(&nested.responses[0]), "new");
    let revisions: Vec<i64> = reply.responses.iter().map(|response| response.revision.0).collect();
    assert_eq!(revisions, [2, 3, 3, 3]);
}

#[test]
fn a_transaction_that_fails_changes_nothing() {
    let mut store = Store::new();
    store.put("a", "1");
    let late = |op| Txn {
        success: vec![put("a", "2"), op],
        ..Txn::default()
    };
    let keep = Op::Put(Put {
        key: "none".into(),
        ignore_value: true,
        ..Put::default()
    });
    let leased = Op::Put(Put {
        key: "b".into(),
        lease: 5,
        ..Put::default()
    });
    let future = Op::Range(Range {
        key: "a".into(),
        revision: 3,
        ..Range::default()
    });
    for (op, error) in [
        (keep, KvError::KeyNotFound),
        (leased, KvError::LeaseNotFound),
        (future, KvError::FutureRevision),
    ] {
        let applied = store.apply(Command::Txn(late(op.clone())));
        assert_eq!(
            applied,
            Applied {
                revision: Revision(2),
                result: Err(error)
            }
        );
        let nested = late(Op::Txn(Txn {
            success: vec![op],
            ..Txn::default()
        }));
        assert_eq!(store.apply(Command::Txn(nested)).result, Err(error));
    }
    assert_eq!(store.kv("a").value, "1");
}

#[test]
fn a_put_may_keep_the_value_and_leases_are_unknown() {
    let mut store = Store::new();
    let keep = Put {
        key: "a".into(),
        ignore_value: true,
        prev_kv: true,
        ..Put::default()
    };
    assert_eq!(
        store.apply(Command::Put(keep.clone())).result,
        Err(KvError::KeyNotFound)
    );
    store.put("a", "1");
    let applied = store.apply(Command::Put(keep));
    let Ok(Reply::Put(PutReply {
        prev_kv: Some(previous),
    })) = applied.result
    else {
        panic!("{applied:?}")
    };
    assert_eq!((previous.value.as_ref(), previous.version), (b"1".as_ref(), 1));
    assert_eq!((store.kv("a").value, store.kv("a").version), ("1".into(), 2));
    let leased = Put {
        key: "a".into(),
        lease: 1,
        ..Put::default()
    };
    assert_eq!(store.apply(Command::Put(leased)).result, Err(KvError::LeaseNotFound));
}

#[test]
fn the_future_is_an_error_and_the_past_is_not() {
    let mut store = Store::new();
    store.put("a", "1");
    let at = |revision| {
        store.machine.reader().range(&Range {
            key: "a".into(),
            revision,
            ..Range::default()
        })
    };
    assert_eq!(at(3), Err(ReadError::Refused(KvError::FutureRevision)));
    assert_eq!(at(2).expect("it is now").0.count, 1);
    assert_eq!(at(1).expect("it is the past").0.count, 0);
    assert_eq!(at(-1).expect("it means now").0.count, 1);
}

#[test]
fn what_is_no_command_is_an_error_for_its_sender_alone_and_a_newer_one_stops_the_node() {
    let mut store = Store::new();
    let rubbish = store.payload(Bytes::from_static(&[1, 99, 3]));
    assert_eq!(
        rubbish,
        Applied {
            revision: Revision(1),
            result: Err(KvError::Malformed)
        }
    );
    assert_eq!(store.put("a", "1"), 2);
    let id = CommandId {
        origin: NodeId(1),
        boot: 7,
        sequence: 9,
    };
    let newer = Logged {
        id,
        payload: Bytes::from_static(&[FORMAT + 1, 0]),
    };
    let entry = Entry {
        slot: Slot(3),
        value: Value::Commands(Batch::pack(&[newer])),
    };
    for _ in 0..2 {
        let refused = store
            .machine
            .apply([&entry], |_| true, |_, _| panic!("it has no answer"));
        assert!(
            matches!(refused, Err(ApplyError::Newer { slot: Slot(3), .. })),
            "{refused:?}"
        );
    }
    assert_eq!(store.machine.reader().applied(), Slot(2));
}

#[test]
#[should_panic(expected = "C2: slots are applied in order, each once: slot 3 came after slot 1")]
fn a_slot_that_is_left_out_is_a_broken_invariant() {
    let mut store = Store::new();
    store.put("a", "1");
    store.slot += 1;
    store.put("a", "2");
}

/// A reader on another thread never sees half a transaction, nor less than was answered.
#[test]
fn readers_see_whole_transactions_and_everything_that_was_answered() {
    let mut store = Store::new();
    let reader = store.machine.reader();
    let answered = std::sync::atomic::AtomicI64::new(1);
    std::thread::scope(|scope| {
        let readers = [0, 1].map(|_| {
            scope.spawn(|| {
                let pair = Range {
                    key: "a".into(),
                    range_end: "c".into(),
                    ..Range::default()
                };
                loop {
                    let before = answered.load(std::sync::atomic::Ordering::SeqCst);
                    let (reply, revision) = reader.range(&pair).expect("a healthy disk");
                    assert!(revision.0 >= before, "{before} was answered, but {revision} is read");
                    if let [a, b] = &reply.kvs[..] {
                        assert_eq!(
                            (a.mod_revision, b.mod_revision, &a.value),
                            (revision.0, revision.0, &b.value)
                        );
                    } else {
                        assert_eq!(revision, Revision(1));
                    }
                    if revision.0 > 2000 {
                        return;
                    }
                }
            })
        });
        for number in 0..2000 {
            let value = Bytes::from(format!("{number}"));
            let put = |key: &'static str| {
                Op::Put(Put {
                    key: key.into(),
                    value: value.clone(),
                    ..Put::default()
                })
            };
            let applied = store.apply(Command::Txn(Txn {
                success: vec![put("a"), put("b")],
                ..Txn::default()
            }));
            answered.store(applied.revision.0, std::sync::atomic::Ordering::SeqCst);
        }
        for reader in readers {
            reader.join().expect("no reader panics");
        }
    });
}
