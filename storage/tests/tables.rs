//! What every kind of tables must do: one contract, run over RocksDB and over memory.

use std::collections::BTreeMap;

use proptest::prelude::*;
use storage::tables::{Frozen, MemoryTables, RocksTables, StateSettings, Step, TableBatch, Tables};

fn rocks(dir: &std::path::Path) -> RocksTables {
    let settings = StateSettings {
        memtable_bytes: 1 << 20,
        block_cache_bytes: 1 << 20,
    };
    RocksTables::open(dir, !dir.join("CURRENT").exists(), settings).expect("a fresh folder")
}

/// Runs a check over each kind of tables.
fn each(check: impl Fn(&dyn Check)) {
    check(&MemoryTables::new());
    let dir = tempfile::tempdir().expect("a folder");
    check(&rocks(dir.path()));
}

/// The operations without type parameters, so that one check serves all.
trait Check {
    fn apply(&self, changes: &[(Vec<u8>, Option<Vec<u8>>)]);
    fn all(&self, from: &[u8], to: Option<&[u8]>, step: &mut dyn FnMut(&[u8]) -> Step) -> Vec<(Vec<u8>, Vec<u8>)>;
    fn first(&self, from: &[u8]) -> Option<Vec<u8>>;
    fn value(&self, key: &[u8]) -> Option<Vec<u8>>;
    fn durable(&self);
    /// Everything as it was, after `meanwhile`.
    fn frozen(&self, meanwhile: &mut dyn FnMut()) -> Vec<(Vec<u8>, Vec<u8>)>;
    fn through(&self, from: &[u8], to: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)>;
    fn rewritten(&self);
}

impl<T: Tables> Check for T {
    fn apply(&self, changes: &[(Vec<u8>, Option<Vec<u8>>)]) {
        let mut batch = self.batch(100);
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        self.write(batch).expect("a healthy disk");
    }

    fn all(&self, from: &[u8], to: Option<&[u8]>, step: &mut dyn FnMut(&[u8]) -> Step) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut seen = Vec::new();
        self.scan(from, to, &mut |key, value| {
            seen.push((key.to_vec(), value.to_vec()));
            step(key)
        })
        .expect("a healthy disk");
        seen
    }

    fn first(&self, from: &[u8]) -> Option<Vec<u8>> {
        let mut first = None;
        self.first_in_group(from, &mut |key, _| first = Some(key.to_vec()))
            .expect("a healthy disk");
        first
    }

    fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get(key).expect("a healthy disk")
    }

    fn durable(&self) {
        self.flush().expect("a healthy disk");
    }

    fn frozen(&self, meanwhile: &mut dyn FnMut()) -> Vec<(Vec<u8>, Vec<u8>)> {
        let frozen = self.freeze();
        meanwhile();
        let mut seen = Vec::new();
        frozen
            .scan(b"", None, &mut |key, value| {
                seen.push((key.to_vec(), value.to_vec()));
                Step::Next
            })
            .expect("a healthy disk");
        seen
    }

    fn through(&self, from: &[u8], to: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut seen = Vec::new();
        self.scan_through(from, to, &mut |key, value| {
            seen.push((key.to_vec(), value.to_vec()));
            Step::Next
        })
        .expect("a healthy disk");
        seen
    }

    fn rewritten(&self) {
        self.reclaim().expect("a healthy disk");
        assert!(self.live_size() <= self.size());
    }
}

#[test]
fn what_is_frozen_stays_as_it_was() {
    each(|tables| {
        for version in 0..50 {
            tables.apply(&[(key("a", version), Some(vec![1]))]);
        }
        let before = tables.all(b"", None, &mut |_| Step::Next);
        let after = tables.frozen(&mut || {
            tables.apply(&[
                (key("a", 7), None),
                (key("a", 8), Some(vec![2])),
                (key("b", 1), Some(vec![3])),
            ]);
            tables.durable();
        });
        assert_eq!(after, before);
        assert_ne!(tables.all(b"", None, &mut |_| Step::Next), before);
    });
}

/// A key of a group (one or two letters) with a version.
fn key(group: &str, version: u64) -> Vec<u8> {
    let mut key = group.as_bytes().to_vec();
    key.extend(version.to_be_bytes());
    key
}

#[test]
fn a_batch_is_done_in_order() {
    each(|tables| {
        let k = key("a", 1);
        tables.apply(&[
            (k.clone(), Some(b"1".into())),
            (k.clone(), None),
            (k.clone(), Some(b"2".into())),
        ]);
        assert_eq!(tables.value(&k), Some(b"2".into()));
        tables.apply(&[(k.clone(), Some(b"3".into())), (k.clone(), None)]);
        assert_eq!(tables.value(&k), None);
    });
}

#[test]
fn the_first_key_of_a_group_is_found_and_nothing_of_another_group() {
    each(|tables| {
        for (group, version) in [("a", 5), ("a", 7), ("b", 2), ("bb", 1)] {
            tables.apply(&[(key(group, version), Some(vec![]))]);
        }
        for _ in 0..2 {
            assert_eq!(tables.first(&key("a", 0)), Some(key("a", 5)));
            assert_eq!(tables.first(&key("a", 6)), Some(key("a", 7)));
            assert_eq!(tables.first(&key("a", 8)), None);
            assert_eq!(tables.first(&key("c", 0)), None);
            assert_eq!(tables.first(&key("bb", 0)), Some(key("bb", 1)));
            assert_eq!(tables.first(&key("ba", 0)), None);
            tables.durable();
        }
    });
}

#[test]
fn a_scan_stops_seeks_and_ends_where_it_is_told() {
    each(|tables| {
        for version in 0..100 {
            tables.apply(&[(key("a", version), Some(vec![])), (key("b", version), Some(vec![]))]);
        }
        let mut left = 3;
        let seen = tables.all(&key("a", 10), None, &mut |_| {
            left -= 1;
            if left == 0 { Step::Stop } else { Step::Next }
        });
        assert_eq!(seen.len(), 3);
        let seen = tables.all(&key("a", 10), Some(&key("b", 2)), &mut |at| {
            if at == key("a", 11) {
                Step::Seek(key("b", 0))
            } else {
                Step::Next
            }
        });
        let keys: Vec<_> = seen.into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [key("a", 10), key("a", 11), key("b", 0), key("b", 1)]);
        assert!(
            tables
                .all(&key("b", 1), Some(&key("a", 1)), &mut |_| Step::Next)
                .is_empty()
        );
        let seen = tables.all(&key("a", 98), Some(&key("b", 0)), &mut |_| Step::Seek(key("c", 0)));
        assert_eq!(seen.len(), 1, "a seek beyond the end ends the scan");
    });
}

#[test]
fn a_scan_sees_one_state_while_others_write() {
    let dir = tempfile::tempdir().expect("a folder");
    let tables = rocks(dir.path());
    for version in 0..1000 {
        tables.apply(&[(key("a", version), Some(vec![0]))]);
    }
    let mut first = true;
    let seen = tables.all(&key("a", 0), None, &mut |_| {
        if std::mem::take(&mut first) {
            // RocksDB allows the write from within; the contract only promises it from other threads.
            tables.apply(&[(key("a", 500), None), (key("a", 2000), Some(vec![1]))]);
        }
        Step::Next
    });
    assert_eq!(seen.len(), 1000);
    assert_eq!(tables.all(&key("a", 0), None, &mut |_| Step::Next).len(), 1000);
}

#[test]
fn what_was_flushed_survives_and_what_was_not_may_not() {
    let memory = MemoryTables::new();
    let dir = tempfile::tempdir().expect("a folder");
    let on_disk = rocks(dir.path());
    for tables in [&memory as &dyn Check, &on_disk] {
        tables.apply(&[(key("a", 1), Some(b"flushed".into()))]);
        tables.durable();
        tables.apply(&[(key("a", 1), Some(b"not".into())), (key("a", 2), Some(b"not".into()))]);
    }
    memory.lose_unflushed();
    assert_eq!(memory.value(&key("a", 1)), Some(b"flushed".into()));
    assert_eq!(memory.value(&key("a", 2)), None);
    // A copy of the folder is what a crash leaves.
    let copy = tempfile::tempdir().expect("a folder");
    for file in std::fs::read_dir(dir.path()).expect("the folder") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("a copy");
    }
    let after = rocks(copy.path());
    assert_eq!(after.value(&key("a", 1)), Some(b"flushed".into()));
    assert_eq!(after.value(&key("a", 2)), None);
}

#[test]
fn a_folder_is_opened_once_and_made_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let missing = dir.path().join("missing");
    let settings = StateSettings::default();
    assert!(RocksTables::open(&missing, false, settings).is_err());
    let open = RocksTables::open(&missing, true, settings).expect("a fresh folder");
    assert!(
        RocksTables::open(&missing, false, settings).is_err(),
        "it is open already"
    );
    drop(open);
    assert!(RocksTables::open(&missing, true, settings).is_err(), "it exists");
    assert!(RocksTables::open(&missing, false, settings).is_ok());
}

/// This build's RocksDB checksums with the processor's instruction: without it, a fifth of all time goes there.
#[test]
fn checksums_are_computed_by_the_processor() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(rocks(dir.path()));
    let log = std::fs::read_to_string(dir.path().join("LOG")).expect("RocksDB's log");
    let line = log
        .lines()
        .find(|line| line.contains("Fast CRC32 supported"))
        .expect("the line in RocksDB's log");
    assert!(
        line.contains("Supported on"),
        "built without fast checksums (see .cargo/config.toml): {line}"
    );
    // The same for the crate that checksums the journal's entries; it chooses at compile time or at start.
    #[cfg(target_arch = "x86_64")]
    const {
        assert!(
            cfg!(target_feature = "sse4.2"),
            "built without sse4.2 (see .cargo/config.toml)"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn tables_are_an_ordered_map(
        batches in prop::collection::vec(
            prop::collection::vec(("[ab]{1,2}", 0..6u64, prop::option::of("[xy]{0,3}")), 1..8), 1..20),
        from in ("[ab]{1,2}", 0..6u64),
        to in ("[ab]{1,2}", 0..6u64),
        flush_after in 0..20usize,
    ) {
        each(|tables| {
                let mut map = BTreeMap::new();
                for (number, batch) in batches.iter().enumerate() {
                    let changes: Vec<_> = batch
                        .iter()
                        .map(|(group, version, value)| (key(group, *version), value.clone().map(String::into_bytes)))
                        .collect();
                    tables.apply(&changes);
                    for (key, value) in changes {
                        match value {
                            Some(value) => map.insert(key, value),
                            None => map.remove(&key),
                        };
                    }
                    if number == flush_after {
                        tables.durable();
                    }
                }
                let (from, to) = (key(&from.0, from.1), key(&to.0, to.1));
                let seen = tables.all(&from, Some(&to), &mut |_| Step::Next);
                let expected: Vec<_> = map
                    .iter()
                    .filter(|(key, _)| **key >= from && **key < to)
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                assert_eq!(seen, expected);
                assert_eq!(tables.through(&from, Some(&to)), expected);
                if flush_after % 2 == 0 {
                    tables.rewritten();
                    assert_eq!(tables.through(&from, Some(&to)), expected);
                }
                let group = &from[..from.len() - 8];
                let first = map
                    .range(from.clone()..)
                    .map(|(key, _)| key)
                    .find(|key| key.len() == from.len() && key.starts_with(group));
                assert_eq!(tables.first(&from).as_ref(), first);
        });
    }
}
