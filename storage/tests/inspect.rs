//! What a look at a data folder says, and that it changes nothing.

mod common;

use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::SystemTime;

use common::folder::{self, copy, run};
use common::{Said, identity};
use paxos::Slot;
use quorum::NodeId;
use storage::{InspectError, Inspection, Store, StoreSettings, Verdict};

fn open(dir: &Path) -> (Store, Receiver<Said>) {
    folder::open(dir, StoreSettings::default()).expect("a whole store")
}

/// A data folder with so many slots, all of them chosen and applied; the state has a file for the first `flushed`.
fn folder(dir: &Path, slots: u64, flushed: u64) {
    Store::create(dir, &identity()).expect("an empty folder");
    let (mut store, heard) = open(dir);
    run(&mut store, &heard, 1..=flushed);
    assert_eq!(store.machine.flusher().flush(), Ok(Slot(flushed)));
    run(&mut store, &heard, flushed + 1..=slots);
}

/// Everything below a folder: names, times of change, content.
fn everything(dir: &Path) -> Vec<(String, SystemTime, Vec<u8>)> {
    let mut all = Vec::new();
    let own = std::fs::metadata(dir).and_then(|metadata| metadata.modified());
    all.push((dir.display().to_string(), own.expect("a time"), Vec::new()));
    for file in std::fs::read_dir(dir).expect("the folder") {
        let path = file.expect("a file").path();
        let metadata = std::fs::metadata(&path).expect("a file");
        if metadata.is_dir() {
            all.extend(everything(&path));
        } else {
            let content = std::fs::read(&path).expect("readable");
            all.push((
                path.display().to_string(),
                metadata.modified().expect("a time"),
                content,
            ));
        }
    }
    all.sort();
    all
}

fn inspect(dir: &Path) -> Inspection {
    let before = everything(dir);
    let mut looked = 0;
    let inspection = Inspection::of(dir, &mut |_| looked += 1).expect("a folder that nobody uses");
    assert!(looked >= 2, "it tells how far it is");
    let names = |all: &[(String, SystemTime, Vec<u8>)]| {
        let names = all
            .iter()
            .map(|(name, time, content)| (name.clone(), *time, content.len()));
        names.collect::<Vec<_>>()
    };
    let after = everything(dir);
    assert_eq!(names(&after), names(&before), "a look changed the folder");
    assert!(after == before, "a look changed a file");
    inspection
}

#[test]
fn a_whole_folder_is_healthy_and_a_look_changes_no_byte_and_no_time() {
    let dir = tempfile::tempdir().expect("a folder");
    folder(dir.path(), 200, 120);
    for _ in 0..2 {
        let inspection = inspect(dir.path());
        assert_eq!(inspection.verdict, Verdict::Healthy, "{inspection:?}");
        let journal = &inspection.journal;
        assert_eq!(
            (journal.entries, journal.chosen, journal.last, journal.reaches(Slot(0))),
            (200, Slot(200), Slot(200), Slot(200))
        );
        assert_eq!(journal.synced, Some(journal.last_change));
        assert_eq!((journal.format, &journal.identity), (Some(3), &Some(identity())));
        // A state that is closed is flushed.
        let applied = inspection.state.progress.expect("it is there").applied;
        assert_eq!((applied, inspection.state.versions), (Slot(200), 200));
        assert!(inspection.free_bytes > 0 && inspection.bytes > 10_000);
        // What a start leaves is healthy as well.
        drop(open(dir.path()));
    }
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    assert!(matches!(
        Inspection::of(dir.path(), &mut |_| {}),
        Err(InspectError::Missing { .. })
    ));
    folder(dir.path(), 10, 5);
    // The lock is a process's: another one must hold it.
    let holder = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child", "--nocapture"])
        .env(FOLDER, dir.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut holder = holder.expect("the child starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(holder.stdout.take().expect("it is piped")));
    assert!(lines.any(|line| line.expect("text").contains("it is open")));
    let refused = Inspection::of(dir.path(), &mut |_| {}).expect_err("it is in use");
    assert_eq!(
        refused,
        InspectError::InUse {
            dir: dir.path().to_owned(),
            holder: Some(holder.id())
        }
    );
    drop(holder.stdin.take());
    holder.wait().expect("it ends with its input");
    assert_eq!(inspect(dir.path()).verdict, Verdict::Healthy);
}

/// Tells the child which folder to hold; without it, the child's test does nothing.
const FOLDER: &str = "SYNOD_TEST_HOLD";

#[test]
fn child() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let _store = open(Path::new(&dir));
    println!("it is open");
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn what_is_wrong_is_named_and_judged() {
    let dir = tempfile::tempdir().expect("a folder");
    let whole = dir.path().join("whole");
    folder(&whole, 200, 120);
    let spoilt = |name: &str, spoil: &dyn Fn(&Path)| {
        let copied = dir.path().join(name);
        copy(&whole, &copied);
        spoil(&copied);
        inspect(&copied)
    };
    let of_journal = |inspection: &Inspection, part: &str| {
        assert_eq!(inspection.verdict, Verdict::MustNotVote, "{inspection:?}");
        assert!(
            inspection.journal.faults.iter().any(|fault| fault.contains(part)),
            "{part}: {:?}",
            inspection.journal.faults
        );
    };
    let of_state = |inspection: &Inspection, part: &str| {
        assert_eq!(inspection.verdict, Verdict::FetchState, "{inspection:?}");
        assert!(
            inspection.state.faults.iter().any(|fault| fault.contains(part)),
            "{part}: {:?}",
            inspection.state.faults
        );
    };
    let remove = |path: &'static str| move |dir: &Path| std::fs::remove_file(dir.join(path)).expect("a file");
    let remove_all = |path: &'static str| move |dir: &Path| std::fs::remove_dir_all(dir.join(path)).expect("a folder");
    of_journal(&spoilt("no mark", &remove("journal/SYNCED")), "SYNCED is missing");
    of_journal(&spoilt("no current", &remove("journal/CURRENT")), "CURRENT");
    of_journal(&spoilt("no journal", &remove_all("journal")), "holds no journal");
    of_state(&spoilt("no state", &remove_all("state")), "there is none");
    of_state(&spoilt("no state's current", &remove("state/CURRENT")), "CURRENT");
    let short = |dir: &Path| {
        let log = common::log_file(&dir.join("journal"));
        let bytes = std::fs::read(&log).expect("the log file");
        std::fs::write(log, &bytes[..bytes.len() - 700]).expect("a shorter file");
    };
    of_journal(&spoilt("short", &short), "its end is missing");
    let flipped = |dir: &Path| {
        let log = common::log_file(&dir.join("journal"));
        let mut bytes = std::fs::read(&log).expect("the log file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(log, bytes).expect("a damaged file");
    };
    of_journal(&spoilt("flipped", &flipped), "bad record");
    let rotten = |dir: &Path| {
        let sorted = std::fs::read_dir(dir.join("state")).expect("the folder");
        let sorted = sorted
            .map(|file| file.expect("a file").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
            .max_by_key(|path| std::fs::metadata(path).expect("a file").len())
            .expect("the state was flushed");
        let mut bytes = std::fs::read(&sorted).expect("readable");
        bytes[100] ^= 1;
        std::fs::write(sorted, bytes).expect("a damaged file");
    };
    of_state(&spoilt("rotten", &rotten), "checksum");
    let condemned = |dir: &Path| Store::condemn_state(dir, "a test says so").expect("writable");
    of_state(&spoilt("condemned", &condemned), "a test says so");

    // Another node's state, and a leftover.
    let theirs = dir.path().join("theirs");
    let other = storage::journal::Identity {
        node: NodeId(9),
        ..identity()
    };
    Store::create(&theirs, &other).expect("an empty folder");
    let foreign = |dir: &Path| {
        std::fs::rename(dir.join("state"), dir.join("state.damaged")).expect("a folder");
        copy(&theirs.join("state"), &dir.join("state"));
    };
    let inspection = spoilt("foreign", &foreign);
    of_state(&inspection, "its node is 9, not 2");
    assert!(inspection.foreign);
    assert_eq!(inspection.leftovers[0].name, "state.damaged");
}
