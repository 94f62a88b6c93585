//! Journal and state together: a crash anywhere leaves a store that comes back to the same state.

mod common;

use std::path::Path;
use std::sync::mpsc::Receiver;

use common::folder::{copy, open, run};
use common::{Said, identity};
use paxos::{Entry, Slot};
use quorum::NodeId;
use storage::journal::OpenError;
use storage::machine::Progress;
use storage::{Found, InspectError, Inspection, Store, StoreError, StoreSettings};

fn open_store(dir: &Path) -> Result<(Store, Receiver<Said>), StoreError> {
    open(dir, StoreSettings::default())
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

#[test]
fn the_journal_replays_what_the_state_missed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (live, crashed) = (dir.path().join("live"), dir.path().join("crashed"));
    assert_eq!(Store::found(&live), Found::Nothing);
    Store::create(&live, &identity()).expect("an empty folder");
    assert_eq!(Store::found(&live), Found::Something);
    let (mut store, heard) = open_store(&live).expect("a fresh store");
    run(&mut store, &heard, 1..=50);
    assert_eq!(store.machine.flusher().flush(), Ok(Slot(50)));
    run(&mut store, &heard, 51..=80);
    let before = store.machine.progress();
    copy(&live, &crashed);
    let (mut store, _heard) = open_store(&crashed).expect("what a crash leaves");
    assert_eq!((store.recovered.applied, store.recovered.chosen), (Slot(50), Slot(80)));
    assert_eq!(replay(&mut store), before);
}

#[test]
fn a_journal_and_a_state_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let live = dir.path().join("live");
    Store::create(&live, &identity()).expect("an empty folder");
    let (mut store, heard) = open_store(&live).expect("a fresh store");
    run(&mut store, &heard, 1..=20);
    drop(store);
    let old = dir.path().join("old");
    copy(&live, &old);
    let (mut store, heard) = open_store(&live).expect("a whole store");
    replay(&mut store);
    run(&mut store, &heard, 21..=40);
    store.machine.flusher().flush().expect("a healthy disk");
    drop(store);

    // A6: an older journal beside a newer state has lost its end.
    let mixed = dir.path().join("mixed");
    copy(&live.join("state"), &mixed.join("state"));
    copy(&old.join("journal"), &mixed.join("journal"));
    let Err(StoreError::Journal(OpenError::Damaged { what, .. })) = open_store(&mixed).map(|_| ()) else {
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
    let Err(StoreError::Foreign { what, .. }) = open_store(&foreign).map(|_| ()) else {
        panic!("another node's state was taken")
    };
    assert_eq!(what, "its node is 9, not 2");

    assert!(matches!(
        Store::create(&live, &identity()),
        Err(StoreError::NotEmpty { .. })
    ));
    std::fs::remove_dir_all(mixed.join("journal")).expect("the folder");
    assert!(matches!(
        open_store(&mixed).map(|_| ()),
        Err(StoreError::Journal(OpenError::Missing { .. }))
    ));
}

#[test]
fn a_half_made_folder_is_told_from_one_that_lost_its_journal() {
    let dir = tempfile::tempdir().expect("a folder");
    let whole = dir.path().join("whole");
    Store::create(&whole, &identity()).expect("an empty folder");
    assert!(!whole.join("making").exists());
    let half = |name: &str, made: &[&str], named: &[&str]| {
        let half = dir.path().join(name);
        std::fs::create_dir_all(half.join("making")).expect("a folder");
        for part in made {
            copy(&whole.join(part), &half.join("making").join(part));
        }
        for part in named {
            copy(&whole.join(part), &half.join(part));
        }
        half
    };
    for (name, made, named) in [
        ("just begun", &[][..], &[][..]),
        ("no journal", &["state"], &[]),
        ("no names", &["state", "journal"], &[]),
        ("one name", &["journal"], &["state"]),
    ] {
        let half = half(name, made, named);
        assert_eq!(Store::found(&half), Found::HalfMade, "{name}");
        let Err(error) = open_store(&half) else {
            panic!("{name}: it was opened")
        };
        assert_eq!(error, StoreError::HalfMade { dir: half.clone() });
        assert!(error.to_string().contains("--bootstrap"), "{error}");
        let looked = Inspection::of(&half, &mut |_| {}).expect_err("nothing to look at");
        assert_eq!(looked, InspectError::HalfMade { dir: half.clone() });
        Store::create(&half, &identity()).expect("it is made again");
        open_store(&half).expect("a fresh store");
    }
    // Complete, but for what was left to tidy up.
    let half = half("both names", &[], &["state", "journal"]);
    assert!(matches!(
        Store::create(&half, &identity()),
        Err(StoreError::NotEmpty { .. })
    ));
    open_store(&half).expect("a fresh store");
    assert!(!half.join("making").exists());
    // A6: whoever has lost its journal may not make another.
    std::fs::remove_dir_all(half.join("journal")).expect("a folder");
    assert_eq!(Store::found(&half), Found::Something);
    assert!(matches!(
        Store::create(&half, &identity()),
        Err(StoreError::NotEmpty { .. })
    ));
}

/// What was found once must not be forgotten because the next start does not come upon it.
#[test]
fn a_journal_that_was_found_damaged_is_not_opened_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    Store::create(dir, &identity()).expect("an empty folder");
    let (mut store, heard) = open_store(dir).expect("a fresh store");
    run(&mut store, &heard, 1..=20);
    Store::condemn_journal(dir, "slot 7 of the journal is damaged").expect("a healthy disk");
    drop(store);
    let refused = open_store(dir).err().expect("it is remembered").to_string();
    for part in [
        "was found damaged",
        "slot 7 of the journal",
        "must not vote",
        "synod disk check",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let inspection = Inspection::of(dir, &mut |_| {}).expect("a data folder");
    assert_eq!(inspection.verdict, storage::Verdict::MustNotVote);
    assert!(
        inspection.journal.faults.len() == 1 && inspection.journal.faults[0].contains("the only fault"),
        "{:?}",
        inspection.journal.faults
    );
    // All of it reads well, and somebody has found out why it did not.
    std::fs::remove_file(dir.join("journal.condemned")).expect("it is there");
    let (store, _heard) = open_store(dir).expect("a whole journal");
    assert_eq!(store.recovered.chosen, Slot(20));
}

/// A state that is there from the beginning is there with the journal or not at all.
#[test]
fn a_store_that_cannot_be_given_its_state_is_not_made() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = &dir.path().join("data");
    let refused = Store::create_with(dir, &identity(), |making| {
        std::fs::write(making.join("half"), "of it").expect("a healthy disk");
        Err("the file ends early".to_owned())
    });
    assert_eq!(refused, Err(StoreError::Staging("the file ends early".to_owned())));
    assert_eq!(Store::found(dir), Found::Nothing);
    Store::create(dir, &identity()).expect("the folder is free");
}
