//! Flips bits in every file of a real data folder, one at a time, opens it, reads everything, and judges what came out.
//!
//! * **detected**: something refused, in words. For a fault in the state that is also that it was set aside.
//! * **harmless**: every promise, vote, chosen value and row is as it was.
//! * **wrong**: anything else. There must be none.
//!
//! Without an argument a sample of the bytes is flipped. `./dev flips` flips a bit in every byte, `./dev flips 16` in every
//! sixteenth; both flip every bit of the small files on which the others hang. RocksDB's own text logs (`LOG`) and its empty
//! `LOCK` are left out: nothing reads them. A flip over which opening takes minutes is told while it does.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use common::folder::{self, copy, entry_of};
use common::{await_write, ballot, hooks, identity, write};
use paxos::{Entry, Record, Slot};
use prometheus::Registry;
use storage::journal::{Journal, JournalSettings};
use storage::machine::Machine;
use storage::tables::{RocksTables, StateSettings, Step, Tables};
use storage::{Store, StoreSettings};

/// How many slots there are, and how many of them are chosen: so few that every byte can be flipped, and enough for every kind of
/// file.
const SLOTS: u64 = 60;
const CHOSEN: u64 = 56;
/// After which slots the state is flushed, and before which one the node was started anew: the journal's slots before it are in
/// a sorted file.
const FLUSHED: [u64; 2] = [20, 48];
const RESTARTED: u64 = 31;

fn settings() -> StoreSettings {
    StoreSettings {
        journal: JournalSettings {
            memtable_bytes: 64 << 10,
            ..JournalSettings::default()
        },
        state: StateSettings {
            memtable_bytes: 1 << 20,
            block_cache_bytes: 1 << 20,
        },
        head_cache_bytes: 1 << 20,
    }
}

fn entry(slot: u64) -> Entry {
    // Bytes that do not compress away, so that a flip in a block is a flip in somebody's value.
    let mut word = slot;
    let value: Vec<u8> = (0..80)
        .map(|_| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (word >> 33) as u8
        })
        .collect();
    entry_of(slot, format!("key {}", slot % 15), value)
}

/// Makes the data folder of a node that was killed in the middle of its work.
fn make(dir: &Path) {
    let live = tempfile::tempdir().expect("a folder");
    Store::create(live.path(), &identity()).expect("an empty folder");
    let (mut store, mut heard) = folder::open(live.path(), settings()).expect("a fresh store");
    for slot in 1..=SLOTS {
        if slot == RESTARTED {
            drop(store);
            (store, heard) = folder::open(live.path(), settings()).expect("its own store");
            replay(&mut store.machine, &store.recovered).expect("a healthy disk");
        }
        let Entry { value, .. } = entry(slot);
        let voted = Record::Voted {
            slot: Slot(slot),
            ballot: ballot(1 + slot / 50),
            value,
        };
        let mut records = vec![voted];
        if slot <= CHOSEN {
            records.push(Record::Chosen(Slot(slot)));
        }
        store.journal.submit(vec![write(slot, records)]).expect("a short queue");
        await_write(&heard, slot);
        if slot <= CHOSEN {
            store
                .machine
                .apply(&[entry(slot)], |_| false, |_, _| {})
                .expect("a healthy disk");
        }
        if FLUSHED.contains(&slot) {
            store.machine.flusher().flush().expect("a healthy disk");
        }
    }
    copy(live.path(), dir);
}

/// A folder in memory, if there is such a place: each flip opens a folder of its own, and what is synced there is of no use.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.exists() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a folder")
}

/// What the judges compare: names and bytes of everything that a node could say or answer.
type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// All that a journal holds.
fn of_journal(journal: &Journal, applied: Slot) -> Result<Content, String> {
    let recovered = journal.recover(applied).map_err(|error| error.to_string())?;
    let mut content = Content::new();
    let marks = (recovered.promised, recovered.chosen, recovered.trimmed);
    content.insert(b"marks".to_vec(), format!("{marks:?}").into_bytes());
    for (slot, logged) in &recovered.log {
        content.insert(format!("slot {slot}").into_bytes(), logged.encode().to_vec());
    }
    let values = journal
        .load(recovered.trimmed.next(), recovered.chosen, usize::MAX)
        .map_err(|error| error.to_string())?;
    content.insert(b"values".to_vec(), format!("{values:?}").into_bytes());
    Ok(content)
}

/// All that tables hold.
fn of_tables(tables: &RocksTables) -> Result<Content, String> {
    let mut content = Content::new();
    tables
        .scan(b"", None, &mut |key, value| {
            content.insert(key.to_vec(), value.to_vec());
            Step::Next
        })
        .map_err(|error| error.to_string())?;
    Ok(content)
}

/// What a journal by itself says.
fn read_journal(dir: &Path) -> Result<Content, String> {
    let (hooks, _heard) = hooks();
    let place = dir.join("journal");
    let journal = Journal::open(&place, &identity(), settings().journal, hooks, &Registry::new());
    of_journal(&journal.map_err(|error| error.to_string())?, Slot(0))
}

/// What a state by itself says.
fn read_state(dir: &Path) -> Result<Content, String> {
    let tables = RocksTables::open(&dir.join("state"), false, settings().state).map_err(|error| error.to_string())?;
    of_tables(&tables)
}

/// What a node says that is started on the folder and applies all that was chosen.
fn read_all(dir: &Path) -> Result<Content, String> {
    let (hooks, _heard) = hooks();
    let store =
        Store::open(dir, &identity(), settings(), hooks, &Registry::new()).map_err(|error| error.to_string())?;
    if dir.join("state.damaged").exists() {
        return Err("the state was set aside".to_owned());
    }
    let Store {
        journal,
        mut machine,
        recovered,
    } = store;
    replay(&mut machine, &recovered).map_err(|error| format!("replaying: {error}"))?;
    let mut content = of_journal(&journal, Slot(0))?;
    content.extend(of_tables(machine.tables())?);
    Ok(content)
}

fn replay(machine: &mut Machine<RocksTables>, recovered: &paxos::Recovered) -> Result<(), String> {
    let chosen = recovered.log.iter().filter(|(slot, _)| *slot <= recovered.chosen);
    let entries: Vec<Entry> = chosen
        .map(|(slot, logged)| Entry {
            slot: *slot,
            value: logged.value().clone(),
        })
        .collect();
    machine
        .apply(&entries, |_| false, |_, _| {})
        .map_err(|error| error.to_string())
}

#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    Detected,
    Harmless,
    Wrong,
}

/// The folder as it was, and what it says.
struct Original {
    dir: PathBuf,
    journal: Content,
    state: Content,
    all: Content,
}

/// One bit of one file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Flip {
    file: PathBuf,
    byte: usize,
    bit: u8,
}

impl Original {
    fn read(dir: &Path) -> Original {
        let fresh = |read: fn(&Path) -> Result<Content, String>| {
            let scratch = scratch();
            copy(dir, scratch.path());
            read(scratch.path()).expect("the folder is whole")
        };
        Original {
            dir: dir.to_owned(),
            journal: fresh(read_journal),
            state: fresh(read_state),
            all: fresh(read_all),
        }
    }

    /// Flips a bit and judges.
    fn judge(&self, flip: &Flip) -> Outcome {
        let judged = |read: fn(&Path) -> Result<Content, String>, expected: &Content, part: Option<&str>| {
            let scratch = scratch();
            match part {
                Some(part) => copy(&self.dir.join(part), &scratch.path().join(part)),
                None => copy(&self.dir, scratch.path()),
            }
            let path = scratch.path().join(&flip.file);
            let mut bytes = std::fs::read(&path).expect("readable");
            bytes[flip.byte] ^= 1 << flip.bit;
            std::fs::write(path, bytes).expect("writable");
            match read(scratch.path()) {
                Err(_) => Outcome::Detected,
                Ok(content) if content == *expected => Outcome::Harmless,
                Ok(_) => Outcome::Wrong,
            }
        };
        if flip.file.starts_with("journal") {
            return judged(read_journal, &self.journal, Some("journal"));
        }
        match judged(read_state, &self.state, Some("state")) {
            // An older state is a state: a crash could have left it, and the journal brings it to where it was.
            Outcome::Wrong => judged(read_all, &self.all, None),
            outcome => outcome,
        }
    }
}

/// The files whose bytes are flipped.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for part in ["journal", "state"] {
        for file in std::fs::read_dir(dir.join(part)).expect("the folder") {
            let name = file.expect("a file").file_name().into_string().expect("a plain name");
            if !name.starts_with("LOG") && name != "LOCK" {
                files.push(Path::new(part).join(name));
            }
        }
    }
    files.sort();
    files
}

/// What kind of file it is, for the report.
fn kind(file: &Path) -> String {
    let name = file.file_name().expect("a file").to_string_lossy();
    let part = file.parent().expect("a folder").display();
    let name = match name.rsplit_once('.') {
        Some((_, extension)) => format!("*.{extension}"),
        None => name
            .trim_end_matches(|digit: char| digit.is_ascii_digit() || digit == '-')
            .to_owned(),
    };
    format!("{part}/{name}")
}

/// The flips of one file: a bit of every `stride`-th byte, and all bits if the others hang on the file; or a sample.
fn flips(dir: &Path, file: &Path, stride: Option<u64>, random: &mut u64) -> Vec<Flip> {
    let length = std::fs::metadata(dir.join(file)).expect("a file").len();
    let mut draw = |below: u64| {
        *random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) % below
    };
    let name = kind(file);
    let small = ["MANIFEST", "CURRENT", "SYNCED"]
        .iter()
        .any(|small| name.ends_with(small));
    let thorough = stride.is_some() && small;
    let stride = match stride {
        Some(_) if small => 1,
        Some(stride) => stride,
        None => (length / 48).max(1),
    };
    let mut flips = Vec::new();
    for from in (0..length).step_by(usize::try_from(stride).expect("a small number")) {
        let byte = (from + draw(stride)).min(length - 1) as usize;
        let bits = if thorough && (!name.ends_with("SYNCED") || byte % 4096 < 24) {
            0..8
        } else {
            let bit = draw(8) as u8;
            bit..bit + 1
        };
        flips.extend(bits.map(|bit| Flip {
            file: file.to_owned(),
            byte,
            bit,
        }));
    }
    flips
}

#[test]
fn no_flipped_bit_changes_what_a_node_says() {
    let stride = std::env::var("SYNOD_FLIPS")
        .ok()
        .map(|stride| stride.parse().expect("a number of bytes"));
    let dir = tempfile::tempdir().expect("a folder");
    make(dir.path());
    let original = Original::read(dir.path());
    let mut random = 7;
    let flips: Vec<Flip> = files(dir.path())
        .iter()
        .flat_map(|file| flips(dir.path(), file, stride, &mut random))
        .collect();
    let (counts, wrong) = judge_all(&original, &flips);
    println!("{}", report(&counts));
    assert!(wrong.is_empty(), "{} flips gave something else: {wrong:?}", wrong.len());
    for kind in [
        "journal/*.log",
        "journal/*.sst",
        "state/*.sst",
        "journal/MANIFEST",
        "state/MANIFEST",
    ] {
        let detected = counts.get(kind).and_then(|counts| counts.get(&Outcome::Detected));
        assert!(
            detected.is_some_and(|count| *count > 0),
            "nothing was ever noticed in {kind}"
        );
    }
}

/// With some of these flips RocksDB would read the file for ever: the type of a record becomes one of recycled files.
#[test]
fn a_record_of_another_type_in_a_manifest_is_noticed() {
    let dir = tempfile::tempdir().expect("a folder");
    make(dir.path());
    let original = Original::read(dir.path());
    for file in files(dir.path())
        .into_iter()
        .filter(|file| kind(file).ends_with("/MANIFEST"))
    {
        let bytes = std::fs::read(dir.path().join(&file)).expect("readable");
        assert!(bytes.len() < 32 << 10, "one block, so that records follow each other");
        let (mut at, mut records) = (0, 0);
        while at < bytes.len() {
            for bit in 0..8 {
                let byte = at + 6;
                let file = file.clone();
                let flip = Flip { file, byte, bit };
                assert_eq!(original.judge(&flip), Outcome::Detected, "{flip:?}");
            }
            at += 7 + usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
            records += 1;
        }
        assert!(records > 2, "{} has {records} records", file.display());
    }
}

/// How many flips of which kind of file came to what.
type Counts = BTreeMap<String, BTreeMap<Outcome, u64>>;

/// Judges all flips, on all processors; also returns the wrong ones.
fn judge_all(original: &Original, flips: &[Flip]) -> (Counts, Vec<Flip>) {
    let counts: Mutex<Counts> = Mutex::default();
    let wrong: Mutex<Vec<Flip>> = Mutex::default();
    let in_hand: Mutex<BTreeMap<Flip, Instant>> = Mutex::default();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (working, ended) = sync_channel::<()>(0);
        let in_hand = &in_hand;
        scope.spawn(move || watch(in_hand, &ended));
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let working = working.clone();
            let (counts, wrong, next) = (&counts, &wrong, &next);
            scope.spawn(move || {
                let _working = working;
                while let Some(flip) = flips.get(next.fetch_add(1, Ordering::Relaxed)) {
                    in_hand.lock().expect("no panic").insert(flip.clone(), Instant::now());
                    let outcome = original.judge(flip);
                    in_hand.lock().expect("no panic").remove(flip);
                    if outcome == Outcome::Wrong {
                        wrong.lock().expect("no panic").push(flip.clone());
                    }
                    let mut counts = counts.lock().expect("no panic");
                    *counts.entry(kind(&flip.file)).or_default().entry(outcome).or_default() += 1;
                }
            });
        }
    });
    (
        counts.into_inner().expect("no panic"),
        wrong.into_inner().expect("no panic"),
    )
}

/// Tells of flips that take long, until nobody works any more: a test that hangs says over what.
fn watch(in_hand: &Mutex<BTreeMap<Flip, Instant>>, ended: &Receiver<()>) {
    let minute = Duration::from_secs(60);
    while ended.recv_timeout(minute) == Err(RecvTimeoutError::Timeout) {
        for (flip, since) in in_hand.lock().expect("no panic").iter() {
            if since.elapsed() >= minute {
                eprintln!("{flip:?} has taken {:?} so far", since.elapsed());
            }
        }
    }
}

fn report(counts: &Counts) -> String {
    let mut text = String::from("file                  flips  detected  harmless  wrong\n");
    let mut line = |name: &str, counts: &dyn Fn(Outcome) -> u64| {
        let outcomes = [Outcome::Detected, Outcome::Harmless, Outcome::Wrong].map(counts);
        let sum: u64 = outcomes.iter().sum();
        let [detected, harmless, wrong] = outcomes;
        let _ = writeln!(text, "{name:20} {sum:6} {detected:9} {harmless:9} {wrong:6}");
    };
    for (kind, counts) in counts {
        line(kind, &|outcome| counts.get(&outcome).copied().unwrap_or(0));
    }
    line("all", &|outcome| {
        counts.values().filter_map(|counts| counts.get(&outcome)).sum()
    });
    text
}
