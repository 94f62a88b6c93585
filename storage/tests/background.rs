//! A5: a failed write of RocksDB's own threads ends the store too, although RocksDB would get over it by itself.

mod common;
#[path = "../faulty-disk/client.rs"]
mod faulty_disk;

use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

use common::{Said, hooks, identity, voted, write};
use faulty_disk::FaultyDisk;
use paxos::{Entry, Slot, Value};
use prometheus::Registry;
use storage::journal::{Journal, JournalSettings, SubmitError};
use storage::tables::StateSettings;
use storage::{Store, StoreSettings};

/// How long RocksDB may take to come to the write that fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings() -> StoreSettings {
    StoreSettings {
        journal: JournalSettings {
            // So much that writing does not wait for a flush, on any machine.
            memtable_bytes: 256 << 10,
            ..JournalSettings::default()
        },
        state: StateSettings {
            memtable_bytes: 64 << 10,
            block_cache_bytes: 1 << 20,
        },
        ..StoreSettings::default()
    }
}

/// The disk is full for one write, and has room again: RocksDB resumes after that, and says so in its log.
#[test]
fn a_journal_whose_file_could_not_be_written_once_is_closed_for_good() {
    let Some(mut disk) = FaultyDisk::mount(env!("CARGO"), None) else {
        return;
    };
    let dir = disk.folder().join("journal");
    Journal::create(&dir, &identity()).expect("an empty folder");
    let (hooks, heard) = hooks();
    let journal = Journal::open(&dir, &identity(), settings().journal, hooks, &Registry::new());
    // A node that failed does not wait for RocksDB to close, which may be busy with getting over it; nor does this test.
    let journal = ManuallyDrop::new(journal.expect("a fresh journal"));
    disk.order("fail write journal/0*.sst 0 1 28");
    let begun = Instant::now();
    let mut id = 0;
    let reason = loop {
        assert!(begun.elapsed() < PATIENCE, "{id} writes, and nothing failed");
        id += 1;
        match journal.submit(vec![write(id, vec![voted(id, 1)])]) {
            Ok(()) => {}
            Err(SubmitError::Failed(error)) => break error.to_string(),
            Err(error) => panic!("{error}"),
        }
        loop {
            match heard.recv().expect("the journal's thread says how it went") {
                Said::Persisted(_) | Said::Failed(_) => break,
                Said::Released(_) => {}
            }
        }
    };
    println!("{reason}");
    assert!(
        reason.contains("in the background") || reason.contains("No space left"),
        "{reason}"
    );
    assert!(heard.try_recv().is_err(), "nothing is released or reported behind it");
    assert!(FaultyDisk::count(&disk.order("count"), "struck") > 0, "the disk failed");
}

#[test]
fn a_state_whose_file_could_not_be_written_once_is_not_flushed_any_more() {
    let Some(mut disk) = FaultyDisk::mount(env!("CARGO"), None) else {
        return;
    };
    let dir = disk.folder().join("store");
    Store::create(&dir, &identity()).expect("an empty folder");
    let (hooks, _heard) = hooks();
    let store = Store::open(&dir, &identity(), settings(), hooks, &Registry::new());
    let mut store = ManuallyDrop::new(store.expect("a fresh store"));
    let entry = Entry {
        slot: Slot(1),
        value: Value::Noop,
    };
    store
        .machine
        .apply(&[entry], |_| false, |_, _| {})
        .expect("a healthy disk");
    disk.order("fail write state/0*.sst 0 1 28");
    for attempt in 1..=3 {
        let error = store
            .machine
            .flusher()
            .flush()
            .expect_err("a file could not be written");
        println!("attempt {attempt}: {error}");
    }
    assert!(FaultyDisk::count(&disk.order("count"), "struck") > 0, "the disk failed");
}
