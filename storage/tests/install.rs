//! A peer's state takes the place of this node's: whatever step a crash follows, the next start finds one whole state, and
//! what the journal has promised and voted is untouched.

mod common;

use std::fs;
use std::path::Path;
use std::sync::mpsc::Receiver;

use common::folder::{self, copy, entry, run};
use common::{Said, await_write, ballot, identity, voted, write};
use paxos::{ClusterId, Entry, Logged, Record, Slot};
use quorum::{Epoch, NodeId};
use storage::machine::{Machine, Progress};
use storage::snapshot::{Origin, RocksSink, RocksSinkOptions, Source, Staging};
use storage::tables::{MemoryTables, StateSettings, Tables};
use storage::{Store, StoreError, StoreSettings};

const SETTINGS: StateSettings = StateSettings {
    memtable_bytes: 1 << 20,
    block_cache_bytes: 1 << 20,
};

fn open(dir: &Path) -> Result<Store, StoreError> {
    open_and_hear(dir).map(|(store, _)| store)
}

fn open_and_hear(dir: &Path) -> Result<(Store, Receiver<Said>), StoreError> {
    let settings = StoreSettings {
        state: SETTINGS,
        ..StoreSettings::default()
    };
    folder::open(dir, settings)
}

/// A peer that has applied this many slots.
fn peer(slots: u64) -> Machine<MemoryTables> {
    let mut machine = Machine::open(MemoryTables::new(), 1 << 10).expect("empty tables");
    let entries: Vec<Entry> = (1..=slots).map(entry).collect();
    machine.apply(&entries, |_| false, |_, _| {}).expect("memory");
    machine
}

/// Stages the peer's state in `dir`: the first `pieces` of it, or all.
fn stage(dir: &Path, peer: &Machine<MemoryTables>, pieces: Option<u64>) {
    let origin = Origin {
        cluster: "test".to_owned(),
        cluster_id: ClusterId(0xabc),
        epoch: Epoch(1),
    };
    let tables = peer.tables();
    let mut source = Source::new(tables.freeze(), origin, tables.rows(), 500).expect("memory");
    let options = RocksSinkOptions::new(SETTINGS);
    let sink = RocksSink::begin(dir, &identity(), &options).expect("a healthy disk");
    let mut staging = Staging::new(ClusterId(0xabc), peer.progress().applied, sink);
    for number in 0..pieces.unwrap_or(u64::MAX) {
        let piece = source.piece(number).expect("memory").expect("it has so many");
        staging.take(&piece.payload).expect("it is whole");
        if piece.last {
            let (slot, _) = staging.finish().expect("a healthy disk");
            assert_eq!(slot, peer.progress().applied);
            return;
        }
    }
}

/// The learner of all tests: it applied 20 slots; it has promised 3.1, and voted in slots 30 and 130.
fn learner(dir: &Path) {
    Store::create(dir, &identity()).expect("an empty folder");
    let (mut store, heard) = open_and_hear(dir).expect("a fresh store");
    run(&mut store, &heard, 1..=20);
    let records = vec![voted(30, 2), voted(130, 2), Record::Promised(ballot(3))];
    store.journal.submit(vec![write(21, records)]).expect("a short queue");
    await_write(&heard, 21);
}

/// The store has the peer's state of slot 100 and goes on from there like the peer.
fn assert_installed(dir: &Path) {
    for start in 1..=3 {
        let mut store = open(dir).unwrap_or_else(|error| panic!("start {start}: {error}"));
        let mut peer = peer(100);
        assert_eq!(store.machine.progress(), peer.progress());
        let recovered = &store.recovered;
        assert_eq!((recovered.applied, recovered.trimmed), (Slot(100), Slot(100)));
        assert_eq!(recovered.chosen, Slot(100));
        assert_eq!(recovered.promised, ballot(3), "the promise stays");
        let log: Vec<_> = recovered.log.iter().map(|(slot, logged)| (slot.0, logged)).collect();
        assert!(
            matches!(log[..], [(130, Logged::Voted(at, _))] if *at == ballot(2)),
            "the vote above stays: {log:?}"
        );
        assert!(!dir.join("incoming").exists() && !dir.join("state.damaged").exists());
        if start < 3 {
            continue;
        }
        // Applied without being journaled, which no node does, so this comes last.
        for machine in 101..=103 {
            store
                .machine
                .apply(&[entry(machine)], |_| false, |_, _| {})
                .expect("a healthy disk");
            peer.apply(&[entry(machine)], |_| false, |_, _| {}).expect("memory");
        }
        assert_eq!(store.machine.progress(), peer.progress());
    }
}

/// The store has the state it had.
fn assert_old(dir: &Path) {
    let store = open(dir).expect("a whole store");
    assert_eq!(store.machine.progress(), peer(20).progress());
    assert_eq!((store.recovered.applied, store.recovered.chosen), (Slot(20), Slot(20)));
    assert_eq!(
        (store.recovered.trimmed, store.recovered.promised),
        (Slot(0), ballot(3))
    );
    let slots: Vec<u64> = store.recovered.log.iter().map(|(slot, _)| slot.0).collect();
    assert_eq!(slots, [30, 130]);
    assert!(!dir.join("incoming").exists());
}

/// A learner with the peer's state of slot 100 staged and verified.
fn staged(dir: &Path) {
    learner(dir);
    stage(dir, &peer(100), None);
}

#[test]
fn a_fetched_state_is_installed_and_the_journal_keeps_its_word() {
    let dir = tempfile::tempdir().expect("a folder");
    let live = dir.path().join("live");
    staged(&live);
    assert_installed(&live);
}

#[test]
fn what_was_not_staged_to_its_end_is_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let live = dir.path().join("live");
    learner(&live);
    for pieces in [0, 1, 5] {
        stage(&live, &peer(100), Some(pieces));
        assert!(live.join("incoming").exists());
        assert_old(&live);
    }
    // All is there, but it does not have its name yet.
    stage(&live, &peer(100), None);
    fs::rename(live.join("incoming/state"), live.join("incoming/building")).expect("a folder");
    assert_old(&live);
    // And a later attempt is not disturbed by an earlier one.
    stage(&live, &peer(50), Some(3));
    stage(&live, &peer(100), None);
    assert_installed(&live);
}

#[test]
fn a_crash_behind_the_exchange_leaves_the_new_state() {
    let dir = tempfile::tempdir().expect("a folder");
    let exchanged = dir.path().join("exchanged");
    staged(&exchanged);
    let (state, fetched, between) = (
        exchanged.join("state"),
        exchanged.join("incoming/state"),
        exchanged.join("between"),
    );
    fs::rename(&state, &between).expect("a folder");
    fs::rename(&fetched, &state).expect("a folder");
    fs::rename(&between, &fetched).expect("a folder");
    // The old state is removed file by file, in any order.
    let files: Vec<_> = fs::read_dir(&fetched)
        .expect("a folder")
        .map(|file| file.expect("a file").file_name())
        .collect();
    for file in &files {
        let crashed = dir.path().join("crashed");
        copy(&exchanged, &crashed);
        fs::remove_file(crashed.join("incoming/state").join(file)).expect("a file");
        assert_installed(&crashed);
        fs::remove_dir_all(&crashed).expect("a folder");
    }
    assert_installed(&exchanged);
}

#[test]
fn an_old_snapshot_is_not_installed() {
    let dir = tempfile::tempdir().expect("a folder");
    let live = dir.path().join("live");
    learner(&live);
    for slots in [5, 20] {
        stage(&live, &peer(slots), None);
        assert_old(&live);
    }
    stage(&live, &peer(100), None);
    drop(open(&live).expect("a whole store"));
    // Older than the journal's beginning, although the state is gone.
    fs::remove_dir_all(live.join("state")).expect("a folder");
    stage(&live, &peer(99), None);
    let store = open(&live).expect("a whole journal");
    assert_eq!((store.recovered.applied, store.recovered.trimmed), (Slot(0), Slot(100)));
    assert_eq!(store.recovered.promised, ballot(3));
    drop(store);
    stage(&live, &peer(100), None);
    assert_installed(&live);
}

#[test]
fn another_nodes_staged_state_is_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (live, other) = (dir.path().join("live"), dir.path().join("other"));
    staged(&live);
    let theirs = storage::journal::Identity {
        node: NodeId(9),
        ..identity()
    };
    Store::create(&other, &theirs).expect("an empty folder");
    fs::remove_dir_all(live.join("incoming/state")).expect("a folder");
    copy(&other.join("state"), &live.join("incoming/state"));
    assert_old(&live);
}

/// A6: the state that is replaced knows how far the journal reached.
#[test]
fn a_fetched_state_does_not_cover_up_that_the_journal_lost_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let (live, old) = (dir.path().join("live"), dir.path().join("old"));
    learner(&live);
    copy(&live.join("journal"), &old);
    let (mut store, heard) = open_and_hear(&live).expect("a whole store");
    let entries: Vec<Entry> = (21..=25).map(entry).collect();
    let records = |slot| Record::Learned {
        slot: Slot(slot),
        value: entry(slot).value,
    };
    store
        .journal
        .submit(vec![write(1, (21..=25).map(records).collect())])
        .expect("a short queue");
    await_write(&heard, 1);
    store
        .machine
        .apply(&entries, |_| false, |_, _| {})
        .expect("a healthy disk");
    store.machine.flusher().flush().expect("a healthy disk");
    drop(store);
    fs::remove_dir_all(live.join("journal")).expect("a folder");
    copy(&old, &live.join("journal"));
    stage(&live, &peer(100), None);
    let Err(error) = open(&live) else {
        panic!("a journal without its end was opened")
    };
    assert!(error.to_string().contains("slot 21 is missing"), "{error}");
}

/// What every kind of damage ends in: the state is set aside, the vote is kept.
fn assert_anew(dir: &Path, kept: bool) {
    let store = open(dir).expect("the journal is whole");
    assert_eq!(store.machine.progress(), peer(0).progress());
    let recovered = &store.recovered;
    assert_eq!(
        (recovered.applied, recovered.trimmed, recovered.chosen),
        (Slot(0), Slot(0), Slot(20))
    );
    assert_eq!(recovered.promised, ballot(3));
    assert_eq!(recovered.log.len(), 22, "everything is applied anew from the journal");
    assert_eq!(dir.join("state.damaged").exists(), kept);
    let again: Progress = {
        drop(store);
        open(dir).expect("the journal is whole").machine.progress()
    };
    assert_eq!(again, peer(0).progress());
}

#[test]
fn a_state_that_is_missing_or_damaged_is_set_aside_and_the_node_keeps_its_vote() {
    let dir = tempfile::tempdir().expect("a folder");
    let live = dir.path().join("live");
    learner(&live);
    type Harm = fn(&Path);
    let harms: [(&str, bool, Harm); 7] = [
        ("no folder", false, |dir| {
            fs::remove_dir_all(dir.join("state")).expect("a folder")
        }),
        ("an empty folder", true, |dir| {
            fs::remove_dir_all(dir.join("state")).expect("a folder");
            fs::create_dir(dir.join("state")).expect("a folder");
        }),
        ("no CURRENT", true, |dir| {
            fs::remove_file(dir.join("state/CURRENT")).expect("a file")
        }),
        ("rubbish in CURRENT", true, |dir| {
            fs::write(dir.join("state/CURRENT"), "rubbish").expect("a file");
        }),
        ("no file of rows", true, |dir| {
            each_file(dir, ".sst", |path| fs::remove_file(path).expect("a file"))
        }),
        ("a cut file of rows", true, |dir| {
            each_file(dir, ".sst", |path| {
                let bytes = fs::read(path).expect("a file");
                fs::write(path, &bytes[..bytes.len() / 2]).expect("a file");
            });
        }),
        ("a flipped manifest", true, |dir| {
            each_file(dir, "MANIFEST", |path| {
                let mut bytes = fs::read(path).expect("a file");
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x10;
                fs::write(path, &bytes).expect("a file");
            });
        }),
    ];
    for (name, kept, harm) in harms {
        println!("{name}");
        let harmed = dir.path().join("harmed");
        copy(&live, &harmed);
        harm(&harmed);
        assert_anew(&harmed, kept);
        fs::remove_dir_all(&harmed).expect("a folder");
    }
}

fn each_file(dir: &Path, part: &str, harm: impl Fn(&Path)) {
    let mut harmed = 0;
    for file in fs::read_dir(dir.join("state")).expect("the folder") {
        let path = file.expect("a file").path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains(part))
        {
            harm(&path);
            harmed += 1;
        }
    }
    assert!(harmed > 0, "no file was harmed");
}

#[test]
fn a_condemned_state_is_fetched_again_at_the_next_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let live = dir.path().join("live");
    learner(&live);
    Store::condemn_state(&live, "a block's checksum is wrong").expect("a healthy disk");
    assert_anew(&live, true);
    // A state that was fetched meanwhile is not condemned with the old one.
    Store::condemn_state(&live, "a block's checksum is wrong").expect("a healthy disk");
    fs::remove_dir_all(live.join("state.damaged")).expect("a folder");
    stage(&live, &peer(100), None);
    assert_installed(&live);
}
