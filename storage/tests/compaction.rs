//! Compaction: what it refuses, that nobody notices the sweep behind it, and that it gives space back.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use paxos::{Batch, ClusterId, Command as Logged, CommandId, Entry, Slot, Value};
use quorum::{Epoch, NodeId};
use storage::machine::*;
use storage::snapshot::{MemorySink, Origin, Source, Staging};
use storage::tables::{MemoryTables, Step, Tables, TablesError};

struct Store<T: Tables> {
    machine: Machine<T>,
    slot: u64,
}

impl<T: Tables> Store<T> {
    fn new(tables: T) -> Store<T> {
        let machine = Machine::open(tables, HEAD_CACHE_BYTES).expect("empty tables");
        Store { machine, slot: 0 }
    }

    fn apply(&mut self, command: &Command) -> Applied {
        self.slot += 1;
        let id = CommandId {
            origin: NodeId(1),
            boot: 7,
            sequence: self.slot,
        };
        let payload = command.encode();
        let entry = Entry {
            slot: Slot(self.slot),
            value: Value::Commands(Batch::pack(&[Logged { id, payload }])),
        };
        let mut answer = None;
        self.machine
            .apply(&[entry], |_| true, |_, applied| answer = Some(applied))
            .expect("a healthy disk");
        answer.expect("one command, one answer")
    }

    fn put(&mut self, key: &str, value: impl Into<Bytes>) -> i64 {
        let put = Put {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: value.into(),
            ..Put::default()
        };
        self.apply(&Command::Put(put)).revision.0
    }

    fn delete(&mut self, key: &'static str) -> i64 {
        let delete = DeleteRange {
            key: key.into(),
            ..DeleteRange::default()
        };
        self.apply(&Command::DeleteRange(delete)).revision.0
    }

    fn compact(&mut self, revision: i64) -> Result<Reply, KvError> {
        self.apply(&Command::Compact(Compact { revision })).result
    }

    fn sweep(&self) -> u64 {
        let mut sweeper = self.machine.sweeper().expect("a healthy disk");
        let mut removed = 0;
        while let Some(swept) = sweeper.step(Stride::default()).expect("a healthy disk") {
            removed += swept.removed;
        }
        removed
    }
}

fn all(revision: i64) -> Range {
    Range {
        key: "\0".into(),
        range_end: "\0".into(),
        revision,
        ..Range::default()
    }
}

fn values<T: Tables>(reader: &Reader<T>, revision: i64) -> Result<Vec<String>, ReadError> {
    let text = |kv: &KeyValue| String::from_utf8_lossy(&kv.value).into_owned();
    Ok(reader.range(&all(revision))?.0.kvs.iter().map(text).collect())
}

#[test]
fn a_store_is_compacted_forwards_and_not_beyond_its_end() {
    let mut store = Store::new(MemoryTables::new());
    let digest = store.machine.progress().digest;
    assert_eq!(store.compact(2), Err(KvError::FutureRevision));
    assert_eq!(store.compact(-1), Err(KvError::Compacted));
    assert_eq!(store.machine.progress().compacted, -1);
    assert_eq!(store.compact(0), Ok(Reply::Compact), "as in etcd, once");
    assert_eq!(store.compact(0), Err(KvError::Compacted));
    store.put("a", "1");
    store.put("a", "2");
    assert_eq!(store.compact(2), Ok(Reply::Compact));
    assert_eq!(store.machine.progress().revision, Revision(3), "it makes no revision");
    assert_eq!(store.compact(2), Err(KvError::Compacted));
    assert_eq!(store.compact(4), Err(KvError::FutureRevision));
    assert_eq!(store.compact(3), Ok(Reply::Compact));
    assert_eq!(store.machine.reader().progress(), store.machine.progress());
    assert_ne!(store.machine.progress().digest, digest);
}

#[test]
fn what_is_compacted_cannot_be_read_and_what_is_not_can() {
    let mut store = Store::new(MemoryTables::new());
    store.put("a", "2");
    store.put("a", "3");
    store.delete("a");
    store.put("b", "5");
    store.put("b", "6");
    assert_eq!(store.compact(5), Ok(Reply::Compact));
    let reader = store.machine.reader();
    for round in 0..2 {
        for revision in 1..5 {
            let refused = Err(ReadError::Refused(KvError::Compacted));
            assert_eq!(values(&reader, revision), refused, "round {round}");
        }
        assert_eq!(
            values(&reader, 5),
            Ok(vec!["5".to_owned()]),
            "the revision itself can be read"
        );
        assert_eq!(values(&reader, 6), Ok(vec!["6".to_owned()]));
        assert_eq!(values(&reader, 0), Ok(vec!["6".to_owned()]));
        assert_eq!(values(&reader, -3), Ok(vec!["6".to_owned()]), "that is now");
        if round == 0 {
            assert_eq!(store.sweep(), 3, "both values of a and its deletion");
        }
    }
    // A transaction is refused as a whole, and there a revision below 0 is a revision.
    for (revision, verdict) in [
        (4, Err(KvError::Compacted)),
        (-3, Err(KvError::Compacted)),
        (7, Err(KvError::FutureRevision)),
        (5, Ok(())),
    ] {
        let read = Op::Range(all(revision));
        let txn = Txn {
            success: vec![read.clone()],
            ..Txn::default()
        };
        let told = reader.txn(&txn).map(|_| ());
        assert_eq!(told, verdict.map_err(ReadError::Refused), "{revision}");
        let put = Op::Put(Put {
            key: "c".into(),
            ..Put::default()
        });
        let txn = Command::Txn(Txn {
            success: vec![read, put],
            ..Txn::default()
        });
        if verdict.is_err() {
            assert_eq!(store.apply(&txn).result.map(|_| ()), verdict, "{revision}");
        }
    }
    assert_eq!(store.machine.progress().revision, Revision(6), "nothing was put");
    assert_eq!(store.put("a", "7"), 7);
    let kv = &reader.range(&all(0)).expect("now").0.kvs[0];
    assert_eq!((kv.create_revision, kv.version), (7, 1), "a begins anew");
}

/// I21: nodes sweep when they like, and still their snapshots are equal; whoever takes one has nothing to sweep.
#[test]
fn a_snapshot_shows_nothing_of_sweeps() {
    let mut store = Store::new(MemoryTables::new());
    for number in 0..60 {
        store.put(["a", "b", "c", "d"][number % 4], number.to_string());
        if number % 7 == 6 {
            store.delete("b");
        }
    }
    store.compact(50).expect("it exists");
    let pieces = |store: &Store<MemoryTables>| {
        let origin = Origin {
            cluster: "test".to_owned(),
            cluster_id: ClusterId(1),
            epoch: Epoch(1),
        };
        // Short pieces, so that many begin in the middle of a key's versions.
        let mut source = Source::new(store.machine.tables().freeze(), origin, 0, 40).expect("memory does not fail");
        let next = |number| source.piece(number).expect("memory does not fail");
        let pieces: Vec<Bytes> = (0..).map_while(next).map(|piece| piece.payload).collect();
        pieces
    };
    let before = pieces(&store);
    assert!(before.len() > 10, "{} pieces", before.len());
    let mut staging = Staging::new(ClusterId(1), Slot(store.slot), MemorySink::new());
    for piece in &before {
        staging.take(piece).expect("it is whole");
    }
    let (tables, summary) = staging.finish().expect("it is whole");
    assert_eq!(summary.header.progress, store.machine.progress());
    assert!(store.sweep() > 0);
    assert_eq!(pieces(&store), before);
    let taker = Store {
        machine: Machine::open(tables, HEAD_CACHE_BYTES).expect("a whole state"),
        slot: store.slot,
    };
    assert_eq!(taker.machine.progress(), store.machine.progress());
    assert_eq!(taker.machine.reader().hash(0), store.machine.reader().hash(0));
    assert_eq!(taker.sweep(), 0);
}

thread_local! {
    /// What happens in the middle of this thread's next read.
    static MEDDLE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// Tables in memory in which something happens between the moment that a read begins and its first row.
struct Meddled(MemoryTables);

impl Tables for Meddled {
    type Batch = <MemoryTables as Tables>::Batch;
    type Frozen<'t> = <MemoryTables as Tables>::Frozen<'t>;

    fn batch(&self, bytes: usize) -> Self::Batch {
        self.0.batch(bytes)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError> {
        self.0.get(key)
    }

    fn first_in_group(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), TablesError> {
        if let Some(meddle) = MEDDLE.take() {
            meddle();
        }
        self.0.first_in_group(from, visit)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), TablesError> {
        if let Some(meddle) = MEDDLE.take() {
            meddle();
        }
        self.0.scan(from, to, visit)
    }

    fn write(&self, batch: Self::Batch) -> Result<(), TablesError> {
        self.0.write(batch)
    }

    fn flush(&self) -> Result<(), TablesError> {
        self.0.flush()
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    fn rows(&self) -> u64 {
        self.0.rows()
    }

    fn freeze(&self) -> Self::Frozen<'_> {
        self.0.freeze()
    }
}

/// A read that a compaction and its sweep overtake would miss what was swept away from under it.
#[test]
fn a_read_that_is_overtaken_is_read_again_or_refused() {
    let store = Arc::new(Mutex::new(Store::new(Meddled(MemoryTables::new()))));
    let reader = {
        let mut store = store.lock().expect("no panic");
        store.put("a", "2");
        store.put("b", "3");
        store.machine.reader()
    };
    let overtake = |value: &'static str| {
        let store = Arc::clone(&store);
        MEDDLE.set(Some(Box::new(move || {
            let mut store = store.lock().expect("no panic");
            store.put("a", value);
            let now = store.put("b", value);
            store.compact(now).expect("it exists");
            assert_eq!(store.sweep(), 2);
        })));
    };
    overtake("4");
    assert_eq!(values(&reader, 0), Ok(vec!["4".to_owned(); 2]), "a range, now");
    overtake("6");
    assert_eq!(
        values(&reader, 5),
        Err(ReadError::Refused(KvError::Compacted)),
        "a range in the past"
    );
    overtake("8");
    let one = Range {
        key: "a".into(),
        ..Range::default()
    };
    assert_eq!(reader.range(&one).expect("now").0.kvs[0].value, "8", "one key");
    overtake("10");
    let txn = Txn {
        compare: vec![Compare {
            result: CompareResult::Equal,
            target: CompareTarget::Value("10".into()),
            key: "a".into(),
            range_end: Bytes::new(),
        }],
        ..Txn::default()
    };
    assert!(reader.txn(&txn).expect("now").0.succeeded, "a comparison");
}

#[test]
fn readers_on_other_threads_see_whole_states_while_everything_is_compacted_and_swept() {
    let mut store = Store::new(MemoryTables::new());
    store.put("a", "0");
    let reader = store.machine.reader();
    let mut sweeper = store.machine.sweeper().expect("a healthy disk");
    let (ended, swept) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last = 0;
                while !ended.load(Ordering::SeqCst) {
                    let (reply, revision) = reader.range(&all(0)).expect("now is never compacted");
                    assert_eq!(reply.count, 1);
                    assert_eq!(reply.kvs[0].mod_revision, revision.0);
                    assert!(revision.0 >= last);
                    last = revision.0;
                }
            });
        }
        scope.spawn(|| {
            let stride = Stride { rows: 3, bytes: 100 };
            while !ended.load(Ordering::SeqCst) {
                if sweeper.step(stride).expect("a healthy disk").is_some() {
                    swept.store(true, Ordering::SeqCst);
                }
            }
        });
        let mut number = 0;
        while number < 2000 || !swept.load(Ordering::SeqCst) {
            number += 1;
            let revision = store.put("a", number.to_string());
            store.compact(revision).expect("it exists");
        }
        ended.store(true, Ordering::SeqCst);
    });
}

/// What `HashKV` answers: the same wherever the same can be read.
#[test]
fn the_hash_covers_what_is_kept_and_nothing_else() {
    let history = |store: &mut Store<MemoryTables>| {
        for number in 0..30 {
            store.put(["a", "b", "c"][number % 3], number.to_string());
            if number % 10 == 9 {
                store.delete("b");
            }
        }
    };
    let (mut one, mut other) = (Store::new(MemoryTables::new()), Store::new(MemoryTables::new()));
    history(&mut one);
    history(&mut other);
    let of = |store: &Store<MemoryTables>, revision| store.machine.reader().hash(revision);
    let first = of(&one, 0).expect("now");
    assert_eq!(
        (first.revision, first.now, first.compacted),
        (Revision(34), Revision(34), -1)
    );
    assert_eq!(of(&other, 34), Ok(first));
    let past = of(&one, 20).expect("it exists");
    assert_ne!(past.hash, first.hash);
    other.put("d", "later");
    assert_eq!(
        of(&other, 20).map(|hash| hash.hash),
        Ok(past.hash),
        "what comes later does not count"
    );
    assert_ne!(of(&other, 0).expect("now").hash, first.hash);

    one.compact(25).expect("it exists");
    let compacted = of(&one, 0).expect("now");
    assert_ne!(compacted.hash, first.hash, "less is kept");
    assert_eq!(compacted.compacted, 25);
    assert!(one.sweep() > 0);
    assert_eq!(of(&one, 0), Ok(compacted), "it was not kept before it was swept");
    other.compact(25).expect("it exists");
    assert_eq!(of(&other, 34).map(|hash| hash.hash), Ok(compacted.hash));
    assert_eq!(of(&one, 24), Err(ReadError::Refused(KvError::Compacted)));
    assert_eq!(of(&one, 35), Err(ReadError::Refused(KvError::FutureRevision)));
    assert!(of(&one, 25).is_ok());
}

/// A build that knows no compaction stops where one is in the log; so does this one where a newer build's command is.
#[test]
fn what_a_newer_build_wrote_stops_the_machine_with_a_sentence() {
    let mut store = Store::new(MemoryTables::new());
    let id = CommandId {
        origin: NodeId(1),
        boot: 7,
        sequence: 1,
    };
    let payload = Bytes::from(vec![FORMAT + 1, 0]);
    let entry = Entry {
        slot: Slot(1),
        value: Value::Commands(Batch::pack(&[Logged { id, payload }])),
    };
    let error = store
        .machine
        .apply(&[entry], |_| true, |_, _| {})
        .expect_err("it is newer");
    assert!(error.to_string().contains("a newer build proposed it"), "{error}");
    assert_eq!(store.machine.progress().applied, Slot::ZERO);
}

#[cfg(feature = "rocks")]
mod on_disk {
    use super::*;
    use storage::tables::{RocksTables, StateSettings};

    fn files(dir: &std::path::Path) -> u64 {
        std::fs::read_dir(dir)
            .expect("the folder")
            .map(|file| file.expect("a file"))
            .filter(|file| file.path().extension().is_some_and(|extension| extension == "sst"))
            .map(|file| file.metadata().expect("a file").len())
            .sum()
    }

    /// Bytes that do not compress.
    fn noise(seed: u64) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(1000)
        .collect()
    }

    #[test]
    fn space_is_given_back_to_the_disk() {
        let dir = tempfile::tempdir().expect("a folder");
        let settings = StateSettings {
            memtable_bytes: 1 << 20,
            block_cache_bytes: 1 << 20,
        };
        let tables = RocksTables::open(dir.path(), true, settings).expect("a fresh folder");
        let mut store = Store::new(tables);
        let mut revision = 0;
        for number in 0..20_000u64 {
            revision = store.put(&format!("key {:03}", number % 200), noise(number));
        }
        store.machine.flusher().flush().expect("a healthy disk");
        let before = files(dir.path());
        assert!(before > 18_000_000, "20 MB were written, {before} are there");
        assert_eq!(store.compact(revision), Ok(Reply::Compact));
        assert_eq!(store.sweep(), 19_800);
        let sweeper = store.machine.sweeper().expect("a healthy disk");
        sweeper.flush().expect("a healthy disk");
        store.machine.reader().reclaim().expect("a healthy disk");
        let after = files(dir.path());
        assert!(after < 1_000_000, "0.2 MB are left to keep, {after} are there");
        assert_eq!(values(&store.machine.reader(), 0).expect("now").len(), 200);
    }
}
