//! Journal and state together: a crash anywhere leaves a store that comes back to the same state.

mod common;

use std::path::Path;

use common::{await_write, hooks, identity, write};
use paxos::{Batch, Command as Logged, CommandId, Entry, Record, Slot, Value};
use prometheus::Registry;
use quorum::NodeId;
use storage::journal::OpenError;
use storage::machine::{Command, Progress, Put};
use storage::{Store, StoreError, StoreSettings};

fn open(dir: &Path) -> Result<(Store, std::sync::mpsc::Receiver<common::Said>), StoreError> {
    let (hooks, heard) = hooks();
    Ok((
        Store::open(dir, &identity(), StoreSettings::default(), hooks, &Registry::new())?,
        heard,
    ))
}

fn entry(slot: u64) -> Entry {
    let put = Put {
        key: format!("key {}", slot % 10).into(),
        value: slot.to_string().into(),
        ..Put::default()
    };
    let id = CommandId {
        origin: NodeId(1),
        boot: 1,
        sequence: slot,
    };
    let command = Logged {
        id,
        payload: Command::Put(put).encode(),
    };
    Entry {
        slot: Slot(slot),
        value: Value::Commands(Batch::pack(&[command])),
    }
}

/// Journals and applies these slots.
fn run(store: &mut Store, heard: &std::sync::mpsc::Receiver<common::Said>, slots: std::ops::RangeInclusive<u64>) {
    for slot in slots {
        let Entry { value, .. } = entry(slot);
        let records = vec![
            Record::Learned {
                slot: Slot(slot),
                value,
            },
            Record::Chosen(Slot(slot)),
        ];
        store.journal.submit(vec![write(slot, records)]).expect("a short queue");
        await_write(heard, slot);
        store
            .machine
            .apply(&[entry(slot)], |_| false, |_, _| {})
            .expect("a healthy disk");
    }
}

/// Applies what the core would: everything recovered, up to what is chosen.
fn replay(store: &mut Store) -> Progress {
    let entries: Vec<Entry> = store
        .recovered
        .log
        .iter()
        .filter(|(slot, _)| *slot <= store.recovered.chosen)
        .map(|(slot, logged)| Entry {
            slot: *slot,
            value: logged.value().clone(),
        })
        .collect();
    store
        .machine
        .apply(&entries, |_| false, |_, _| {})
        .expect("a healthy disk");
    store.machine.progress()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for file in std::fs::read_dir(from).expect("the folder") {
        let file = file.expect("a file");
        let target = to.join(file.file_name());
        if file.file_type().expect("a type").is_dir() {
            copy(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).expect("a copy");
        }
    }
}

#[test]
fn the_journal_replays_what_the_state_missed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (live, crashed) = (dir.path().join("live"), dir.path().join("crashed"));
    assert!(!Store::exists(&live));
    Store::create(&live, &identity()).expect("an empty folder");
    assert!(Store::exists(&live));
    let (mut store, heard) = open(&live).expect("a fresh store");
    run(&mut store, &heard, 1..=50);
    assert_eq!(store.machine.flusher().flush(), Ok(Slot(50)));
    run(&mut store, &heard, 51..=80);
    let before = store.machine.progress();
    copy(&live, &crashed);
    let (mut store, _heard) = open(&crashed).expect("what a crash leaves");
    assert_eq!((store.recovered.applied, store.recovered.chosen), (Slot(50), Slot(80)));
    assert_eq!(replay(&mut store), before);
}

#[test]
fn a_journal_and_a_state_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let live = dir.path().join("live");
    Store::create(&live, &identity()).expect("an empty folder");
    let (mut store, heard) = open(&live).expect("a fresh store");
    run(&mut store, &heard, 1..=20);
    drop(store);
    let old = dir.path().join("old");
    copy(&live, &old);
    let (mut store, heard) = open(&live).expect("a whole store");
    replay(&mut store);
    for slot in 21..=40 {
        let Entry { value, .. } = entry(slot);
        let records = vec![
            Record::Learned {
                slot: Slot(slot),
                value,
            },
            Record::Chosen(Slot(slot)),
        ];
        store.journal.submit(vec![write(slot, records)]).expect("a short queue");
        await_write(&heard, slot);
        store
            .machine
            .apply(&[entry(slot)], |_| false, |_, _| {})
            .expect("a healthy disk");
    }
    store.machine.flusher().flush().expect("a healthy disk");
    drop(store);

    // A6: an older journal beside a newer state has lost its end.
    let mixed = dir.path().join("mixed");
    copy(&live.join("state"), &mixed.join("state"));
    copy(&old.join("journal"), &mixed.join("journal"));
    let Err(StoreError::Journal(OpenError::Damaged { what, .. })) = open(&mixed).map(|_| ()) else {
        panic!("an old journal was taken")
    };
    assert!(what.contains("slot 21 is missing"), "{what}");

    // Another node's state.
    let other = dir.path().join("other");
    let theirs = storage::journal::Identity {
        node: NodeId(9),
        ..identity()
    };
    Store::create(&other, &theirs).expect("an empty folder");
    let foreign = dir.path().join("foreign");
    copy(&other.join("state"), &foreign.join("state"));
    copy(&live.join("journal"), &foreign.join("journal"));
    let Err(StoreError::Foreign { what, .. }) = open(&foreign).map(|_| ()) else {
        panic!("another node's state was taken")
    };
    assert_eq!(what, "its node is 9, not 2");

    assert!(matches!(
        Store::create(&live, &identity()),
        Err(StoreError::NotEmpty { .. })
    ));
    std::fs::remove_dir_all(mixed.join("journal")).expect("the folder");
    assert!(matches!(
        open(&mixed).map(|_| ()),
        Err(StoreError::Journal(OpenError::Missing { .. }))
    ));
}
