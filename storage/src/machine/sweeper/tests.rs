use std::collections::BTreeMap;

use bytes::Bytes;
use paxos::{Batch, Command as Logged, CommandId, Entry, Slot, Value};
use proptest::prelude::*;
use quorum::NodeId;

use super::*;
use crate::machine::{Command, Compact, DeleteRange, Machine, Put, Range, RangeReply};
use crate::tables::MemoryTables;

fn entry(slot: u64, command: &Command) -> Entry {
    let id = CommandId {
        origin: NodeId(1),
        boot: 1,
        sequence: slot,
    };
    let payload = command.encode();
    Entry {
        slot: Slot(slot),
        value: Value::Commands(Batch::pack(&[Logged { id, payload }])),
    }
}

#[derive(Clone, Debug)]
enum Do {
    Put(u8),
    Delete(u8),
    Compact(i64),
}

fn machine(history: &[Do]) -> Machine<MemoryTables> {
    let mut machine = Machine::open(MemoryTables::new(), 1 << 20).expect("empty tables");
    let entries: Vec<Entry> = history
        .iter()
        .enumerate()
        .map(|(at, what)| {
            let key = |key: &u8| Bytes::copy_from_slice(&[b'a' + key]);
            let command = match what {
                Do::Put(k) => Command::Put(Put {
                    key: key(k),
                    value: at.to_string().into(),
                    ..Put::default()
                }),
                Do::Delete(k) => Command::DeleteRange(DeleteRange {
                    key: key(k),
                    ..DeleteRange::default()
                }),
                Do::Compact(revision) => Command::Compact(Compact { revision: *revision }),
            };
            entry(at as u64 + 1, &command)
        })
        .collect();
    machine
        .apply(&entries, |_| false, |_, _| {})
        .expect("memory does not fail");
    machine
}

/// Everything that can be read, at every revision that is kept.
fn readable(machine: &Machine<MemoryTables>) -> BTreeMap<i64, RangeReply> {
    let (progress, reader) = (machine.progress(), machine.reader());
    (progress.compacted.max(1)..=progress.revision.0)
        .map(|revision| {
            let range = Range {
                key: "\0".into(),
                range_end: "\0".into(),
                revision,
                ..Range::default()
            };
            (revision, reader.range(&range).expect("it is kept").0)
        })
        .collect()
}

fn rows(machine: &Machine<MemoryTables>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut leftovers = Leftovers::new(machine.progress().compacted);
    machine
        .tables()
        .scan(keys::BEGIN, Some(keys::END), &mut |key, value| {
            if !leftovers.drops(key, value) {
                rows.push((key.to_vec(), value.to_vec()));
            }
            Step::Next
        })
        .expect("memory does not fail");
    rows
}

fn count(machine: &Machine<MemoryTables>) -> usize {
    let mut count = 0;
    machine
        .tables()
        .scan(keys::BEGIN, Some(keys::END), &mut |_, _| {
            count += 1;
            Step::Next
        })
        .expect("memory does not fail");
    count
}

fn histories() -> impl Strategy<Value = Vec<Do>> {
    let one = prop_oneof![
        4 => (0..4u8).prop_map(Do::Put),
        2 => (0..4u8).prop_map(Do::Delete),
        1 => (0..20i64).prop_map(Do::Compact),
    ];
    prop::collection::vec(one, 1..40)
}

proptest! {
    /// Whatever a sweep has done so far, and wherever a crash interrupts it, readers see the same; and in the end nothing
    /// is left over.
    #[test]
    fn nobody_sees_a_sweep(history in histories(), rows_at_once in 1..5u64, crash in prop::option::of(0..30u32), flush in 0..20u32) {
        let machine = machine(&history);
        machine.flusher().flush().expect("memory does not fail");
        let (before, kept) = (readable(&machine), rows(&machine));
        let stride = Stride { rows: rows_at_once, bytes: u64::MAX };
        let mut sweeper = machine.sweeper().expect("there is no mark");
        let mut steps = 0;
        while let Some(swept) = sweeper.step(stride).expect("memory does not fail") {
            prop_assert!(swept.seen <= rows_at_once);
            prop_assert_eq!(&readable(&machine), &before, "after step {}", steps);
            prop_assert_eq!(&rows(&machine), &kept);
            if steps == flush {
                sweeper.flush().expect("memory does not fail");
            }
            if Some(steps) == crash {
                machine.tables().lose_unflushed();
                sweeper = machine.sweeper().expect("the mark is sound");
            }
            steps += 1;
        }
        prop_assert_eq!(count(&machine), kept.len(), "nothing is left over");
        prop_assert_eq!(machine.reader().swept(), machine.progress().compacted);
    }
}

/// The rule that a deletion goes last is watched: a sweeper that breaks it is noticed.
#[test]
fn a_hasty_sweeper_brings_the_dead_back() {
    let machine = machine(&[Do::Put(0), Do::Put(0), Do::Delete(0), Do::Compact(4)]);
    let before = readable(&machine);
    assert_eq!(before[&4].count, 0);
    let mut sweeper = machine.sweeper().expect("there is no mark");
    sweeper.hasty = true;
    let stride = Stride { rows: 1, bytes: 1 };
    let mut seen = Vec::new();
    while sweeper.step(stride).expect("memory does not fail").is_some() {
        seen.push(readable(&machine) == before);
    }
    assert_eq!(
        seen,
        [false, false, true],
        "the deleted key is back until its last version is gone"
    );
}

#[test]
fn a_sweep_goes_on_after_a_crash_where_it_was_and_a_mark_of_another_time_is_not_believed() {
    let mut history: Vec<Do> = (0..40).map(|at| Do::Put(at % 4)).collect();
    history.push(Do::Compact(41));
    let machine = machine(&history);
    let stride = Stride {
        rows: 10,
        bytes: u64::MAX,
    };
    let mut sweeper = machine.sweeper().expect("there is no mark");
    for _ in 0..2 {
        sweeper.step(stride).expect("memory does not fail");
    }
    sweeper.flush().expect("memory does not fail");
    let mut sweeper = machine.sweeper().expect("the mark is sound");
    let swept = sweeper
        .step(Stride {
            rows: 100,
            bytes: u64::MAX,
        })
        .expect("memory does not fail");
    // The key that it was at, of which one version is left, and the two after it.
    assert_eq!(
        swept,
        Some(Swept {
            seen: 21,
            removed: 18,
            finished: Some(41)
        })
    );
    assert_eq!(count(&machine), 4);
    assert_eq!(machine.sweeper().expect("the mark is sound").step(stride), Ok(None));

    for mark in [&b"rubbish"[..], b"", &Mark { done: 99, sweep: None }.encode()] {
        let mut batch = machine.tables().batch(0);
        batch.put(keys::SWEPT, mark);
        machine.tables().write(batch).expect("memory does not fail");
        let swept = machine.sweeper().expect("a mark is not needed").step(Stride::default());
        assert_eq!(
            swept.expect("memory does not fail").and_then(|swept| swept.finished),
            Some(41)
        );
    }
}
