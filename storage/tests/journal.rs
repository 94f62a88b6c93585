//! What the journal promises (A3 to A7), on a real disk.

mod common;

use common::*;
use paxos::{Configurations, Logged, Record, Recovered, Slot, Value};
use quorum::{Configuration, Epoch, Incarnation, Member, NodeId, Proposal, Role, SystemSpec};
use storage::journal::{Identity, Journal, JournalError, JournalSettings, LoadError, OpenError, SubmitError};

#[test]
fn what_was_written_is_recovered() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, heard) = fresh(dir.path());
    assert_eq!(journal.recover(Slot(0)), Ok(Recovered::default()));
    let learned = Record::Learned {
        slot: Slot(3),
        value: value(3, 10),
    };
    let writes = vec![
        write(1, vec![Record::Promised(ballot(4))]),
        write(2, vec![voted(1, 4), voted(2, 4), voted(5, 4)]),
        write(3, vec![learned, Record::Chosen(Slot(3))]),
        write(4, vec![voted(2, 6)]),
    ];
    journal.submit(writes).expect("an empty queue");
    let released = await_write(&heard, 4);
    assert_eq!(
        released,
        (1..=4).map(accepted).collect::<Vec<_>>(),
        "messages leave in the order of their writes"
    );
    let vote = |slot, round| (Slot(slot), Logged::Voted(ballot(round), value(slot, 100)));
    let recovered = journal.recover(Slot(1)).expect("a whole journal");
    let (least, most) = (value(1, 100).size() as u64, value(1, 100).size() as u64 + 100);
    assert!(
        (least..most).contains(&recovered.log_bytes),
        "the applied slot 1 is there still"
    );
    let expected = Recovered {
        // A2: the vote of round 6 is a promise as well.
        promised: ballot(6),
        chosen: Slot(3),
        applied: Slot(1),
        trimmed: Slot(0),
        log_bytes: recovered.log_bytes,
        log: vec![vote(2, 6), (Slot(3), Logged::Learned(value(3, 10))), vote(5, 4)],
        configurations: None,
    };
    assert_eq!(recovered, expected);
    drop(journal);
    let (journal, _heard) = open(dir.path()).expect("a whole journal");
    assert_eq!(journal.recover(Slot(1)), Ok(expected));
}

/// R2: what a node knows of the configurations outlasts the slots that brought them, and the state.
#[test]
fn the_last_configurations_are_recovered_when_their_slots_are_trimmed() {
    let member = |node| Member {
        node: NodeId(node),
        incarnation: Incarnation(1),
        name: format!("n{node}"),
        region: "r".to_owned(),
        zone: "z".to_owned(),
        address: format!("h:{node}"),
        client_url: String::new(),
        role: Role::Voter,
    };
    let configuration = |epoch, nodes| {
        let proposal = Proposal {
            epoch: Epoch(epoch),
            alpha: 4,
            system: SystemSpec::Majority,
            members: (1..=nodes).map(member).collect(),
        };
        Configuration::new(proposal).expect("safe")
    };
    let entries = |first| vec![(Slot(1), configuration(1, 3)), (Slot(first), configuration(2, 4))];
    let known = |first| Configurations::from_entries(entries(first)).expect("they follow each other");
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, heard) = fresh(dir.path());
    let votes = (1..=9).map(|slot| voted(slot, 1)).chain([Record::Chosen(Slot(9))]);
    let writes = vec![
        write(1, vec![Record::Configurations(known(6))]),
        write(2, vec![Record::Configurations(known(7))]),
        write(3, votes.collect()),
    ];
    journal.submit(writes).expect("an empty queue");
    await_write(&heard, 3);
    drop(journal);
    let (journal, _heard) = open(dir.path()).expect("a whole journal");
    let recovered = journal.recover_beside(Slot(9), Slot(9)).expect("a whole journal");
    assert_eq!((recovered.trimmed, recovered.configurations), (Slot(9), Some(known(7))));
}

#[test]
fn a_write_without_records_waits_for_those_before_it_and_costs_no_sync() {
    let dir = tempfile::tempdir().expect("a folder");
    Journal::create(dir.path(), &identity()).expect("an empty folder");
    let registry = prometheus::Registry::new();
    let (hooks, heard) = hooks();
    let journal =
        Journal::open(dir.path(), &identity(), JournalSettings::default(), hooks, &registry).expect("a fresh journal");
    journal
        .submit(vec![write(1, vec![voted(1, 1)])])
        .expect("an empty queue");
    await_write(&heard, 1);
    let log = content(dir.path());
    for id in 2..10 {
        journal.submit(vec![write(id, vec![])]).expect("a short queue");
        assert_eq!(await_write(&heard, id), vec![accepted(id)]);
    }
    assert_eq!(content(dir.path()), log);
    let families = registry.gather();
    let syncs = families
        .iter()
        .find(|family| family.name() == "synod_journal_sync_seconds")
        .expect("registered");
    assert_eq!(syncs.get_metric()[0].get_histogram().get_sample_count(), 1);
}

#[test]
fn a_full_queue_gives_the_writes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    Journal::create(dir.path(), &identity()).expect("an empty folder");
    let settings = JournalSettings {
        max_queued_writes: 2,
        sync_delay: std::time::Duration::from_millis(20),
        ..JournalSettings::default()
    };
    let (journal, heard) = open_with(dir.path(), settings).expect("a fresh journal");
    let mut id = 0;
    let refused = loop {
        id += 1;
        match journal.submit(vec![write(id, vec![voted(id, 1)])]) {
            Ok(()) => assert!(id < 1_000_000, "the queue has no bound"),
            Err(error) => break error,
        }
    };
    let SubmitError::Full {
        writes,
        queued_writes: 2,
        queued_bytes,
    } = refused
    else {
        panic!("{refused}")
    };
    assert_eq!(writes, vec![write(id, vec![voted(id, 1)])]);
    assert!(queued_bytes > 200);
    await_write(&heard, id - 1);
    assert_eq!(journal.queued_bytes(), 0);
    journal.submit(writes).expect("an empty queue");
    await_write(&heard, id);
}

#[test]
fn dropping_completes_what_is_queued() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, heard) = fresh(dir.path());
    for id in 1..=100 {
        journal
            .submit(vec![write(id, vec![voted(id, 1)])])
            .expect("a short queue");
    }
    drop(journal);
    assert_eq!(await_write(&heard, 100).len(), 100);
    assert!(heard.recv().is_err(), "nothing is said afterwards");
    let (journal, _heard) = open(dir.path()).expect("a whole journal");
    assert_eq!(journal.recover(Slot(0)).expect("a whole journal").log.len(), 100);
}

#[test]
fn the_first_failure_is_the_last() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, heard) = fresh(dir.path());
    journal
        .submit(vec![write(2, vec![voted(1, 1)])])
        .expect("an empty queue");
    await_write(&heard, 2);
    // A4 is broken on purpose: the thread must not survive it, nor say anything about what follows.
    journal
        .submit(vec![write(1, vec![voted(2, 1)]), write(3, vec![voted(3, 1)])])
        .expect("an empty queue");
    assert_eq!(heard.recv(), Ok(Said::Failed(JournalError::Panicked)));
    let refused = journal.submit(vec![write(4, vec![voted(4, 1)])]);
    assert_eq!(refused, Err(SubmitError::Failed(JournalError::Panicked)));
    assert!(heard.recv().is_err(), "nothing is said afterwards");
    drop(journal);
    let (journal, _heard) = open(dir.path()).expect("a whole journal");
    assert_eq!(journal.recover(Slot(0)).expect("a whole journal").log.len(), 1);
}

#[test]
fn chosen_values_are_loaded_and_a_gap_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, heard) = fresh(dir.path());
    let slots = (1..=20).filter(|slot| *slot != 15);
    journal
        .submit(vec![write(1, slots.map(|slot| voted(slot, 1)).collect())])
        .expect("an empty queue");
    await_write(&heard, 1);
    let values = |slots: std::ops::RangeInclusive<u64>| slots.map(|slot| value(slot, 100)).collect::<Vec<Value>>();
    assert_eq!(journal.load(Slot(3), Slot(9), usize::MAX), Ok(values(3..=9)));
    assert_eq!(journal.load(Slot(3), Slot(9), 1), Ok(values(3..=3)), "at least one");
    assert_eq!(journal.load(Slot(3), Slot(9), 200), Ok(values(3..=4)));
    assert_eq!(journal.load(Slot(14), Slot(14), usize::MAX), Ok(values(14..=14)));
    assert_eq!(
        journal.load(Slot(14), Slot(16), usize::MAX),
        Err(LoadError::Missing { slot: Slot(15) })
    );
    assert_eq!(
        journal.load(Slot(20), Slot(21), usize::MAX),
        Err(LoadError::Missing { slot: Slot(21) })
    );
    assert_eq!(
        journal.load(Slot(21), Slot(21), usize::MAX),
        Err(LoadError::Missing { slot: Slot(21) })
    );
}

#[test]
fn trimmed_slots_are_gone_and_stay_gone() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, heard) = fresh(dir.path());
    let mut id = 0;
    for from in (1..=50_000).step_by(500) {
        id += 1;
        let mut records: Vec<Record> = (from..from + 500).map(|slot| voted(slot, 1)).collect();
        records.push(Record::Chosen(Slot(from + 499)));
        journal.submit(vec![write(id, records)]).expect("a short queue");
    }
    await_write(&heard, id);
    journal.trim(Slot(9_000));
    journal.trim(Slot(30_000));
    journal
        .submit(vec![write(id + 1, vec![Record::Promised(ballot(2))])])
        .expect("a short queue");
    await_write(&heard, id + 1);
    drop(journal);
    let (journal, _heard) = open(dir.path()).expect("a whole journal");
    assert_eq!(
        journal.load(Slot(30_000), Slot(30_001), 1),
        Err(LoadError::Missing { slot: Slot(30_000) })
    );
    assert_eq!(
        journal.load(Slot(30_001), Slot(30_001), 1),
        Ok(vec![value(30_001, 100)])
    );
    let recovered = journal.recover(Slot(40_000)).expect("a whole journal");
    assert_eq!(
        (recovered.trimmed, recovered.chosen, recovered.log.len()),
        (Slot(30_000), Slot(50_000), 10_000)
    );
    // A state that is older than the journal's beginning can be fetched again; the promise and the votes are all there.
    let recovered = journal.recover(Slot(29_999)).expect("a whole journal");
    assert_eq!(
        (recovered.trimmed, recovered.applied, recovered.log.len()),
        (Slot(30_000), Slot(29_999), 20_000)
    );
}

#[test]
fn recovery_refuses_a_journal_with_a_hole_or_without_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, heard) = fresh(dir.path());
    journal
        .submit(vec![write(1, vec![voted(1, 1), voted(2, 1), voted(4, 1)])])
        .expect("an empty queue");
    await_write(&heard, 1);
    assert_eq!(
        journal
            .recover(Slot(2))
            .expect("votes above what is chosen may have holes")
            .log
            .len(),
        1
    );
    let missing = |applied| match journal.recover(Slot(applied)) {
        Err(OpenError::Damaged { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert!(missing(4).contains("slot 3 is missing"), "{}", missing(4));
    assert!(missing(3).contains("slot 3 is missing"), "{}", missing(3));
    journal
        .submit(vec![write(2, vec![voted(3, 1), Record::Chosen(Slot(4))])])
        .expect("an empty queue");
    await_write(&heard, 2);
    assert_eq!(journal.recover(Slot(4)).expect("a whole journal").log, vec![]);
    assert!(missing(5).contains("slot 5 is missing"), "{}", missing(5));
}

#[test]
fn opening_says_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("journal");
    assert_eq!(open(&path).err(), Some(OpenError::Missing { dir: path.clone() }));
    let (journal, _heard) = fresh(&path);
    assert_eq!(
        Journal::create(&path, &identity()),
        Err(OpenError::NotEmpty { dir: path.clone() })
    );
    let Err(OpenError::Locked { holder, .. }) = open(&path) else {
        panic!("it is open already")
    };
    assert_eq!(holder, Some(std::process::id()));
    drop(journal);
    let other = Identity {
        node: NodeId(3),
        incarnation: Incarnation(2),
        ..identity()
    };
    let (hooks, _heard) = hooks();
    let settings = JournalSettings::default();
    let refused = Journal::open(&path, &other, settings, hooks, &prometheus::Registry::new());
    let Err(OpenError::Foreign { differences, .. }) = refused else {
        panic!("it is another node's")
    };
    assert_eq!(differences, "its node is 2, not 3; its incarnation is 1, not 2");
    assert!(open(&path).is_ok(), "a refusal leaves no lock behind");
    std::fs::remove_file(path.join("CURRENT")).expect("the file");
    let Err(OpenError::Damaged { what, .. }) = open(&path) else {
        panic!("it is not whole")
    };
    assert!(what.contains("CURRENT"), "{what}");
}

/// Many small writes, then the folder as a crash leaves it. The last write is acknowledged, or only on the disk.
fn crashed(dir: &std::path::Path, writes: u64, acknowledged: bool) {
    let original = tempfile::tempdir().expect("a folder");
    let (journal, heard) = fresh(original.path());
    let mut mark = Vec::new();
    for id in 1..=writes {
        mark = std::fs::read(original.path().join("SYNCED")).expect("the mark");
        journal
            .submit(vec![write(id, vec![voted(id, 1)])])
            .expect("a short queue");
        await_write(&heard, id);
    }
    copy(original.path(), dir);
    if !acknowledged {
        std::fs::write(dir.join("SYNCED"), mark).expect("a copy");
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for file in std::fs::read_dir(from).expect("the folder") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

/// A copy whose log file has lost `cut` bytes at its end.
fn shortened(dir: &std::path::Path, cut: usize) -> tempfile::TempDir {
    let shorter = tempfile::tempdir().expect("a folder");
    copy(dir, shorter.path());
    let log = log_file(shorter.path());
    let bytes = std::fs::read(&log).expect("the log file");
    std::fs::write(&log, &bytes[..bytes.len() - cut]).expect("a shorter file");
    shorter
}

#[test]
fn a_torn_end_is_tolerated() {
    let dir = tempfile::tempdir().expect("a folder");
    crashed(dir.path(), 300, false);
    let bytes = std::fs::read(log_file(dir.path())).expect("the log file");
    assert!(bytes.len() > 40_000, "the log file has two blocks");
    for cut in [1, 10, 100] {
        let copy = shortened(dir.path(), cut);
        let (journal, _heard) = open(copy.path()).expect("a torn end");
        assert_eq!(journal.recover(Slot(0)).expect("a whole journal").log.len(), 299);
        // A6: the state has applied what the journal lost; so it was acknowledged, and this is no torn end.
        assert!(matches!(journal.recover(Slot(300)), Err(OpenError::Damaged { .. })));
    }
}

/// Takes a journal into another format by hand.
fn reformat(dir: &std::path::Path, format: u32) {
    {
        let db = rocksdb::DB::open(&rocksdb::Options::default(), dir).expect("a whole journal");
        let mut identity = db.get("identity").expect("readable").expect("present");
        identity[..4].copy_from_slice(&format.to_le_bytes());
        let mut synced = rocksdb::WriteOptions::default();
        synced.set_sync(true);
        db.put_opt("identity", identity, &synced).expect("writable");
    }
    if format == 1 {
        std::fs::remove_file(dir.join("SYNCED")).expect("the mark");
    }
}

#[test]
fn an_end_that_was_acknowledged_and_is_missing_is_noticed_even_at_a_border_of_records() {
    let dir = tempfile::tempdir().expect("a folder");
    crashed(dir.path(), 100, true);
    let bytes = std::fs::read(log_file(dir.path())).expect("the log file").len();
    let mut lost = std::collections::BTreeSet::new();
    for cut in 1..900 {
        let copy = shortened(dir.path(), cut);
        let before = content(copy.path());
        let Err(OpenError::Damaged { what, .. }) = open(copy.path()) else {
            panic!("{cut} of {bytes} bytes were cut off, and nobody noticed")
        };
        assert!(what.contains("was durable up to change 102"), "{what}");
        let gone = what.split("; ").last().expect("a sentence").to_owned();
        lost.insert(gone);
        assert_eq!(content(copy.path()), before, "{cut}: a refusal changes nothing");
    }
    assert!(lost.len() > 3, "several cuts were borders: {lost:?}");

    // Without the mark nothing tells: this is what the mark is for.
    let copy = shortened(dir.path(), 1);
    reformat(copy.path(), 1);
    let (journal, _heard) = open(copy.path()).expect("a journal of the old format, which looks whole");
    assert_eq!(journal.recover(Slot(0)).expect("it looks whole").log.len(), 99);
}

#[test]
fn a_journal_of_the_first_format_is_taken_over_and_then_has_a_mark() {
    let dir = tempfile::tempdir().expect("a folder");
    crashed(dir.path(), 20, true);
    reformat(dir.path(), 1);
    for _ in 0..2 {
        let (journal, heard) = open(dir.path()).expect("an older journal");
        assert_eq!(journal.recover(Slot(0)).expect("a whole journal").log.len(), 20);
        assert!(dir.path().join("SYNCED").exists());
        journal
            .submit(vec![write(1, vec![voted(20, 2)])])
            .expect("an empty queue");
        await_write(&heard, 1);
    }
    std::fs::remove_file(dir.path().join("SYNCED")).expect("the mark");
    let Err(OpenError::Damaged { what, .. }) = open(dir.path()) else {
        panic!("it is in the new format now")
    };
    assert!(what.contains("SYNCED is missing"), "{what}");
}

#[test]
fn a_journal_of_a_newer_build_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    crashed(dir.path(), 20, true);
    reformat(dir.path(), storage::journal::FORMAT + 1);
    for mark in ["SYNCED", "elsewhere"] {
        let _ = std::fs::rename(dir.path().join("SYNCED"), dir.path().join(mark));
        let refused = open(dir.path()).err();
        let newer = OpenError::Newer {
            dir: dir.path().to_owned(),
            found: storage::journal::FORMAT + 1,
            known: storage::journal::FORMAT,
        };
        assert_eq!(refused, Some(newer));
    }
}

#[test]
fn a_mark_that_is_damaged_or_another_nodes_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    crashed(dir.path(), 20, true);
    let mark = dir.path().join("SYNCED");
    let whole = std::fs::read(&mark).expect("the mark");
    let refused = |dir: &std::path::Path| match open(dir) {
        Err(OpenError::Damaged { what, .. }) => what,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    };
    std::fs::write(&mark, []).expect("a writable file");
    assert!(refused(dir.path()).contains("SYNCED is damaged"));

    let theirs = tempfile::tempdir().expect("a folder");
    let other = Identity {
        node: NodeId(3),
        ..identity()
    };
    Journal::create(theirs.path(), &other).expect("an empty folder");
    std::fs::copy(theirs.path().join("SYNCED"), &mark).expect("a copy");
    assert!(refused(dir.path()).contains("another node's journal"));

    // One of two cells is enough.
    for cell in [0, 4096] {
        let mut flipped = whole.clone();
        flipped[cell + 12] ^= 1;
        let copied = tempfile::tempdir().expect("a folder");
        copy(dir.path(), copied.path());
        std::fs::write(copied.path().join("SYNCED"), flipped).expect("a writable file");
        let (journal, heard) = open(copied.path()).expect("the other cell is whole");
        journal
            .submit(vec![write(1, vec![voted(21, 2)])])
            .expect("an empty queue");
        await_write(&heard, 1);
        drop(journal);
        drop(open(copied.path()).expect("both cells are written again"));
    }
}

#[test]
fn damage_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    crashed(dir.path(), 300, true);
    let log = log_file(dir.path());
    let bytes = std::fs::read(&log).expect("the log file");
    // From the beginning to the last block, where RocksDB alone would drop what follows a bad length without a word.
    let last_block = bytes.len() - 2000..bytes.len() - 1600;
    // The second kind of flip makes a length reach a little beyond the end of the file.
    let flips = (0..bytes.len() - 400)
        .step_by(997)
        .map(|at| (at, 0x55))
        .chain(last_block.map(|at| (at, 0x08)));
    for (at, flip) in flips {
        let mut flipped = bytes.clone();
        flipped[at] ^= flip;
        std::fs::write(&log, &flipped).expect("a damaged file");
        let before = content(dir.path());
        match open(dir.path()) {
            Err(OpenError::Damaged { what, .. }) => assert!(what.contains("log"), "{what}"),
            Err(other) => panic!("byte {at}: {other}"),
            Ok(_) => panic!("byte {at}: a journal with a flipped byte opened"),
        }
        assert_eq!(content(dir.path()), before, "byte {at}: a refusal changes nothing");
    }
    let mut zeros = bytes.clone();
    zeros[20_000..36_000].fill(0);
    std::fs::write(&log, &zeros).expect("a damaged file");
    assert!(matches!(open(dir.path()), Err(OpenError::Damaged { .. })));
    std::fs::write(&log, &bytes).expect("the file as it was");
    let (journal, _heard) = open(dir.path()).expect("the journal as it was");
    assert_eq!(journal.recover(Slot(300)).expect("a whole journal").chosen, Slot(300));
}

#[test]
fn missing_and_damaged_files_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let (journal, heard) = fresh(dir.path());
        // Enough to fill memtables, so that there are sorted files.
        for id in 1..=300 {
            let vote = Record::Voted {
                slot: Slot(id),
                ballot: ballot(1),
                value: value(id, 16_000),
            };
            journal.submit(vec![write(id, vec![vote])]).expect("a short queue");
        }
        await_write(&heard, 300);
    }
    // Opening and closing once more leaves only files that are needed.
    drop(open(dir.path()).expect("a whole journal"));
    let files = content(dir.path());
    let sorted: Vec<&(String, Vec<u8>)> = files.iter().filter(|(name, _)| name.ends_with(".sst")).collect();
    assert!(!sorted.is_empty(), "there are sorted files");
    let copy = |without: &str| {
        let copy = tempfile::tempdir().expect("a folder");
        for (name, content) in files.iter().filter(|(name, _)| name != without) {
            std::fs::write(copy.path().join(name), content).expect("a copy");
        }
        copy
    };
    let needed = |name: &&String| *name != "IDENTITY" && !name.starts_with("OPTIONS");
    for name in files.iter().map(|(name, _)| name).filter(needed) {
        let copy = copy(name);
        let refused = open(copy.path()).and_then(|(journal, _heard)| journal.recover(Slot(300)));
        assert!(refused.is_err(), "{name} is missing, and nobody noticed");
    }
    let dir = copy("nothing");
    let (name, content) = sorted[0];
    let mut flipped = content.clone();
    flipped[content.len() / 2] ^= 1;
    std::fs::write(dir.path().join(name), flipped).expect("a damaged file");
    let refused = open(dir.path()).and_then(|(journal, _heard)| journal.recover(Slot(0)));
    let refused = refused.expect_err("a flipped bit in a sorted file").to_string();
    assert!(
        refused.contains(name.as_str()),
        "the message names the file {name}: {refused}"
    );
}

#[test]
fn a_slow_disk_is_emulated() {
    let dir = tempfile::tempdir().expect("a folder");
    Journal::create(dir.path(), &identity()).expect("an empty folder");
    let delay = std::time::Duration::from_millis(30);
    let settings = JournalSettings {
        sync_delay: delay,
        ..JournalSettings::default()
    };
    let (journal, heard) = open_with(dir.path(), settings).expect("a fresh journal");
    let begun = std::time::Instant::now();
    journal
        .submit(vec![write(1, vec![voted(1, 1)])])
        .expect("an empty queue");
    await_write(&heard, 1);
    assert!(begun.elapsed() >= delay, "nothing is durable before the delay");
}
