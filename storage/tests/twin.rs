//! The state machine beside a deliberately dumb twin: a list of all versions, searched from the end.

mod naive;

use bytes::Bytes;
use naive::Naive;
use paxos::{Batch, Command as Logged, CommandId, Entry, Slot, Value};
use proptest::prelude::*;
use quorum::NodeId;
use storage::machine::*;
use storage::tables::{MemoryTables, RocksTables, StateSettings, Tables};

/// Few short keys, so that they collide; one holds a zero byte, and one is a beginning of another.
fn keys() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["a", "a\0", "a\0b", "aa", "b", "c", "\0"]).prop_map(Bytes::from)
}

fn ends() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => Just(Bytes::new()),
        2 => Just(Bytes::from("\0")),
        3 => prop::sample::select(vec!["a", "aa", "b", "c", "d"]).prop_map(Bytes::from),
    ]
}

fn values() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["", "x", "y", "yy"]).prop_map(Bytes::from)
}

/// Mostly the plain form; the numbers reach a little beyond what there is.
fn small() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0), 2 => -1..15i64]
}

fn puts() -> impl Strategy<Value = Put> {
    (
        keys(),
        values(),
        prop::bool::weighted(0.05),
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(key, value, lease, prev_kv, ignore_value, ignore_lease)| Put {
            key,
            value: if ignore_value { Bytes::new() } else { value },
            lease: i64::from(lease && !ignore_lease),
            prev_kv,
            ignore_value,
            ignore_lease,
        })
}

fn deletes() -> impl Strategy<Value = DeleteRange> {
    (keys(), ends(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRange {
        key,
        range_end,
        prev_kv,
    })
}

fn ranges() -> impl Strategy<Value = Range> {
    let numbers = (small(), small(), small(), small(), small(), small());
    let order = (0..3i32, 0..5i32, any::<bool>(), prop::bool::weighted(0.2));
    (keys(), ends(), numbers, order).prop_map(|(key, range_end, numbers, (order, target, keys_only, count_only))| {
        let (limit, revision, min_mod, max_mod, min_create, max_create) = numbers;
        Range {
            key,
            range_end,
            limit: limit.min(4),
            revision,
            sort_order: order.try_into().expect("in range"),
            sort_target: target.try_into().expect("in range"),
            keys_only,
            count_only,
            min_mod_revision: min_mod,
            max_mod_revision: max_mod,
            min_create_revision: min_create,
            max_create_revision: max_create,
        }
    })
}

fn compares() -> impl Strategy<Value = Compare> {
    let results = prop::sample::select(vec![
        CompareResult::Equal,
        CompareResult::Greater,
        CompareResult::Less,
        CompareResult::NotEqual,
    ]);
    let targets = prop_oneof![
        small().prop_map(CompareTarget::Version),
        small().prop_map(CompareTarget::Create),
        small().prop_map(CompareTarget::Mod),
        small().prop_map(CompareTarget::Lease),
        values().prop_map(CompareTarget::Value),
    ];
    (results, targets, keys(), ends()).prop_map(|(result, target, key, range_end)| Compare {
        result,
        target,
        key,
        range_end,
    })
}

fn txns() -> impl Strategy<Value = Txn> {
    let leaf = prop_oneof![
        ranges().prop_map(Op::Range),
        puts().prop_map(Op::Put),
        deletes().prop_map(Op::DeleteRange),
    ];
    let op = leaf.prop_recursive(2, 8, 3, |op| {
        let ops = || prop::collection::vec(op.clone(), 0..3);
        (prop::collection::vec(compares(), 0..2), ops(), ops()).prop_map(|(compare, success, failure)| {
            Op::Txn(Txn {
                compare,
                success,
                failure,
            })
        })
    });
    let ops = || prop::collection::vec(op.clone(), 0..4);
    (prop::collection::vec(compares(), 0..3), ops(), ops()).prop_map(|(compare, success, failure)| Txn {
        compare,
        success,
        failure,
    })
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => puts().prop_map(Command::Put),
        2 => deletes().prop_map(Command::DeleteRange),
        4 => txns().prop_map(Command::Txn),
        1 => (-3..15i64).prop_map(|revision| Command::Compact(Compact { revision })),
    ]
}

fn read_only(txn: &Txn) -> Txn {
    let only = |ops: &[Op]| {
        ops.iter()
            .filter_map(|op| match op {
                Op::Range(range) => Some(Op::Range(range.clone())),
                Op::Txn(txn) => Some(Op::Txn(read_only(txn))),
                Op::Put(_) | Op::DeleteRange(_) => None,
            })
            .collect()
    };
    Txn {
        compare: txn.compare.clone(),
        success: only(&txn.success),
        failure: only(&txn.failure),
    }
}

/// Entries of some commands each.
fn entries(commands: &[Command], sizes: &[usize]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut sequence = 0;
    let mut rest = commands;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*sizes.next().expect("it is endless")));
        rest = later;
        let logged: Vec<Logged> = now
            .iter()
            .map(|command| {
                sequence += 1;
                Logged {
                    id: CommandId {
                        origin: NodeId(1),
                        boot: 1,
                        sequence,
                    },
                    payload: command.encode(),
                }
            })
            .collect();
        let value = if logged.is_empty() {
            Value::Noop
        } else {
            Value::Commands(Batch::pack(&logged))
        };
        entries.push(Entry {
            slot: Slot(entries.len() as u64 + 1),
            value,
        });
    }
    entries
}

fn rocks(dir: &std::path::Path, create: bool) -> RocksTables {
    let settings = StateSettings {
        memtable_bytes: 1 << 20,
        block_cache_bytes: 1 << 20,
    };
    RocksTables::open(dir, create, settings).expect("the folder opens")
}

/// Applies in steps of some entries, and returns all answers. In between, what compaction leaves over is swept bit by bit.
fn apply<T: Tables>(machine: &mut Machine<T>, entries: &[Entry], step: usize) -> Vec<(u64, Applied)> {
    let mut answers = Vec::new();
    let mut sweeper = machine.sweeper().expect("a healthy disk");
    let stride = Stride {
        rows: step as u64,
        bytes: u64::MAX,
    };
    for some in entries.chunks(step) {
        machine
            .apply(some, |_| true, |id, applied| answers.push((id.sequence, applied)))
            .expect("a healthy disk");
        sweeper.step(stride).expect("a healthy disk");
    }
    answers
}

/// Every kind of answer, from a machine that may have forgotten what its cache held, against the twin's.
fn check<T: Tables>(
    mut machine: Machine<T>,
    commands: &[Command],
    entries: &[Entry],
    step: usize,
    queries: &[Range],
) -> Result<Progress, TestCaseError> {
    let mut twin = Naive::new();
    let expected: Vec<(u64, Applied)> = commands
        .iter()
        .map(|command| twin.apply(command))
        .enumerate()
        .map(|(n, a)| (n as u64 + 1, a))
        .collect();
    prop_assert_eq!(apply(&mut machine, entries, step), expected);
    let reader = machine.reader();
    prop_assert_eq!(reader.revision(), twin.revision());
    for query in queries {
        let expected = twin
            .range(query)
            .map(|reply| (reply, twin.revision()))
            .map_err(ReadError::Refused);
        prop_assert_eq!(reader.range(query), expected, "{:?}", query);
    }
    for command in commands {
        if let Command::Txn(txn) = command {
            let txn = read_only(txn);
            let expected = twin
                .read(&txn)
                .map(|reply| (reply, twin.revision()))
                .map_err(ReadError::Refused);
            prop_assert_eq!(reader.txn(&txn), expected, "{:?}", txn);
        }
    }
    prop_assert_eq!(machine.progress(), reader.progress());
    Ok(machine.progress())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn machine_and_twin_answer_alike(
        commands in prop::collection::vec(commands(), 0..25),
        sizes in prop::collection::vec(1..5usize, 1..4),
        step in 1..10usize,
        queries in prop::collection::vec(ranges(), 1..10),
    ) {
        let entries = entries(&commands, &sizes);
        // A cache of one key forgets nearly everything at once.
        let forgetful = Machine::open(MemoryTables::new(), 150).expect("empty tables");
        let progress = check(forgetful, &commands, &entries, step, &queries)?;
        let sane = Machine::open(MemoryTables::new(), HEAD_CACHE_BYTES).expect("empty tables");
        prop_assert_eq!(check(sane, &commands, &entries, entries.len().max(1), &queries)?, progress);
        // Replies that nobody wants change nothing but the work.
        let mut silent = Machine::open(MemoryTables::new(), HEAD_CACHE_BYTES).expect("empty tables");
        silent.apply(&entries, |_| false, |_, _| unreachable!("nobody wants an answer")).expect("a healthy disk");
        prop_assert_eq!(silent.progress(), progress);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn machine_and_twin_answer_alike_on_disk_across_restarts(
        commands in prop::collection::vec(commands(), 1..40),
        sizes in prop::collection::vec(1..5usize, 1..4),
        step in 1..10usize,
        queries in prop::collection::vec(ranges(), 1..10),
        cut in any::<prop::sample::Index>(),
    ) {
        let entries = entries(&commands, &sizes);
        let dir = tempfile::tempdir().expect("a folder");
        let machine = Machine::open(rocks(dir.path(), true), 150).expect("empty tables");
        let progress = check(machine, &commands, &entries, step, &queries)?;

        // The same entries with a restart between: what was flushed is there, what was not is applied again.
        let dir = tempfile::tempdir().expect("a folder");
        let (before, after) = entries.split_at(cut.index(entries.len()));
        let mut machine = Machine::open(rocks(dir.path(), true), HEAD_CACHE_BYTES).expect("empty tables");
        apply(&mut machine, before, step);
        prop_assert_eq!(machine.flusher().flush().expect("a healthy disk"), Slot(before.len() as u64));
        let flushed = machine.progress();
        apply(&mut machine, after, step);
        let crashed = tempfile::tempdir().expect("a folder");
        for file in std::fs::read_dir(dir.path()).expect("the folder") {
            let file = file.expect("a file");
            std::fs::copy(file.path(), crashed.path().join(file.file_name())).expect("a copy");
        }
        let mut machine = Machine::open(rocks(crashed.path(), false), HEAD_CACHE_BYTES).expect("what was flushed");
        prop_assert_eq!(machine.progress(), flushed);
        prop_assert_eq!(machine.flusher().flushed(), flushed.applied);
        apply(&mut machine, after, 1);
        prop_assert_eq!(machine.progress(), progress);
    }
}
