//! Snapshots: what is taken is what was there, and whatever is not whole is refused.

use paxos::{Batch, ClusterId, Command as Logged, CommandId, Entry, Slot, Value};
use proptest::prelude::*;
use quorum::{Epoch, NodeId};
use storage::machine::{Command, DeleteRange, KvError, Machine, Progress, Put};
use storage::snapshot::{FORMAT, MemorySink, Origin, Piece, SnapshotError, Source, Staging, Summary, Verifier};
use storage::tables::{FrozenMemory, LOCAL, MemoryTables, Step, TableBatch, Tables};

const CLUSTER: ClusterId = ClusterId(7);

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn origin() -> Origin {
    Origin {
        cluster: "test".to_owned(),
        cluster_id: CLUSTER,
        epoch: Epoch(1),
    }
}

/// Puts and deletions of a few keys; the value's length says which.
fn entry(slot: u64, (key, length): (u8, usize)) -> Entry {
    let key = vec![key].into();
    let command = if length == 0 {
        Command::DeleteRange(DeleteRange {
            key,
            ..DeleteRange::default()
        })
    } else {
        Command::Put(Put {
            key,
            value: vec![slot as u8; length].into(),
            ..Put::default()
        })
    };
    let id = CommandId {
        origin: NodeId(1),
        boot: 1,
        sequence: slot,
    };
    let command = Logged {
        id,
        payload: command.encode(),
    };
    Entry {
        slot: Slot(slot),
        value: Value::Commands(Batch::pack(&[command])),
    }
}

/// A state machine that has done this, on tables with some local keys; applied in batches of `batch`.
fn machine(changes: &[(u8, usize)], batch: usize, local: &[u8]) -> Machine<MemoryTables> {
    let tables = MemoryTables::new();
    let mut own = tables.batch(0);
    for name in [&[LOCAL][..], &[LOCAL, 0], &[LOCAL, 0xff, 0xff]] {
        own.put(name, local);
    }
    tables.write(own).expect("memory");
    let mut machine = Machine::open(tables, 1 << 10).expect("empty tables");
    let entries: Vec<Entry> = (1..).zip(changes).map(|(slot, change)| entry(slot, *change)).collect();
    for entries in entries.chunks(batch) {
        machine.apply(entries, |_| false, |_, _| {}).expect("memory");
    }
    machine
}

fn source(machine: &Machine<MemoryTables>, piece_bytes: usize) -> Source<FrozenMemory> {
    let tables = machine.tables();
    Source::new(tables.freeze(), origin(), 42, piece_bytes).expect("memory")
}

fn pieces(source: &mut Source<FrozenMemory>) -> Vec<Piece> {
    (0..)
        .map_while(|number| source.piece(number).expect("memory"))
        .collect()
}

fn state(tables: &MemoryTables) -> Rows {
    let mut rows = Vec::new();
    tables
        .scan(b"", None, &mut |key, value| {
            if key[0] != LOCAL {
                rows.push((key.to_vec(), value.to_vec()));
            }
            Step::Next
        })
        .expect("memory");
    rows
}

/// Verifies these payloads as a whole snapshot.
fn verify<'p>(payloads: impl IntoIterator<Item = &'p [u8]>) -> Result<(Summary, Rows), SnapshotError> {
    let mut verifier = Verifier::new();
    let mut rows = Vec::new();
    for payload in payloads {
        verifier.take(payload, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            Ok(())
        })?;
    }
    let summary = verifier.summary().cloned();
    summary
        .map(|summary| (summary, rows))
        .ok_or(SnapshotError::Misplaced { expected: 0, found: 0 })
}

fn verify_all(pieces: &[Piece]) -> Result<(Summary, Rows), SnapshotError> {
    verify(pieces.iter().map(|piece| &piece.payload[..]))
}

fn stage(pieces: &[Piece], slot: Slot) -> Result<(MemoryTables, Summary), SnapshotError> {
    let mut staging = Staging::new(CLUSTER, slot, MemorySink::new());
    for piece in pieces {
        let taken = staging.take(&piece.payload)?;
        assert_eq!((taken.number, taken.complete), (piece.number, piece.last));
    }
    staging.finish()
}

fn changes() -> impl Strategy<Value = Vec<(u8, usize)>> {
    prop::collection::vec((0..6u8, 0..60usize), 1..80)
}

/// A snapshot of several pieces.
fn sample() -> (Progress, Vec<Piece>) {
    let changes: Vec<_> = (0..40u8).map(|n| (n % 7, usize::from(n) % 5 * 9)).collect();
    let machine = machine(&changes, 5, b"own");
    let pieces = pieces(&mut source(&machine, 400));
    assert!(pieces.len() > 3, "{} pieces are no test of order", pieces.len());
    (machine.progress(), pieces)
}

fn with_checksum(payload: &[u8]) -> Vec<u8> {
    let mut bytes = payload[..payload.len() - 4].to_vec();
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

proptest! {
    #[test]
    fn what_is_staged_is_what_was_there(changes in changes(), piece_bytes in 1..500usize) {
        let machine = machine(&changes, 3, b"mine");
        let pieces = pieces(&mut source(&machine, piece_bytes));
        let (tables, summary) = stage(&pieces, Slot(changes.len() as u64)).expect("it is whole");
        prop_assert_eq!(state(&tables), state(machine.tables()));
        prop_assert_eq!(tables.get(&[LOCAL]).expect("memory"), None, "local keys stay where they are");
        prop_assert_eq!(summary.header.progress, machine.progress());
        prop_assert_eq!(summary.rows, state(&tables).len() as u64);
        let mut copy = Machine::open(tables, 1 << 10).expect("a state");
        prop_assert_eq!(copy.progress(), machine.progress());
        // The copy goes on like the original.
        let mut machine = machine;
        let more = entry(changes.len() as u64 + 1, (3, 5));
        for machine in [&mut copy, &mut machine] {
            machine.apply([&more], |_| false, |_, _| {}).expect("memory");
        }
        prop_assert_eq!(copy.progress(), machine.progress());
        prop_assert_eq!(state(copy.tables()), state(machine.tables()));
    }

    #[test]
    fn equal_slots_give_equal_bytes_whatever_is_local(changes in changes(), a in 1..9usize, b in 1..9usize) {
        let (one, other) = (machine(&changes, a, b"one"), machine(&changes, b, b"other"));
        prop_assert_eq!(pieces(&mut source(&one, 200)), pieces(&mut source(&other, 200)));
        let cut_otherwise = verify_all(&pieces(&mut source(&other, 90))).expect("it is whole");
        prop_assert_eq!(verify_all(&pieces(&mut source(&one, 200))).expect("it is whole"), cut_otherwise);
    }

    #[test]
    fn a_piece_is_the_same_whenever_it_is_asked_for(changes in changes(), wanted in prop::collection::vec(0..30u64, 1..20)) {
        let mut machine = machine(&changes, 3, b"mine");
        let whole = pieces(&mut source(&machine, 200));
        let mut again = source(&machine, 200);
        // What is written after the freeze is not seen.
        let more = entry(changes.len() as u64 + 1, (1, 30));
        machine.apply([&more], |_| false, |_, _| {}).expect("memory");
        for number in wanted {
            let piece = again.piece(number).expect("memory");
            prop_assert_eq!(piece.as_ref(), whole.get(number as usize));
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes: Vec<u8>, whole: bool) {
        let (_, pieces) = sample();
        let mut payload = pieces[0].payload[..6].to_vec();
        payload.extend(bytes);
        if whole {
            payload.extend([0; 4]);
            payload = with_checksum(&payload);
        }
        prop_assert!(verify([&payload[..]]).is_err());
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (_, pieces) = sample();
    for (at, piece) in pieces.iter().enumerate() {
        for byte in 0..piece.payload.len() {
            let mut flipped = piece.payload.to_vec();
            flipped[byte] ^= 1 << (byte % 8);
            let payloads = pieces.iter().map(|piece| &piece.payload[..]);
            let payloads = payloads
                .enumerate()
                .map(|(n, whole)| if n == at { &flipped[..] } else { whole });
            assert!(verify(payloads).is_err(), "byte {byte} of piece {at}");
        }
    }
}

/// What a broken memory would write: wrong bytes under a right checksum. Only the guess in the header may differ.
#[test]
fn what_was_changed_before_it_was_checksummed_is_noticed_at_the_end() {
    let (_, pieces) = sample();
    let (_, rows) = verify_all(&pieces).expect("it is whole");
    let mut harmless = 0;
    for (at, piece) in pieces.iter().enumerate() {
        for byte in 0..piece.payload.len() - 4 {
            let mut flipped = piece.payload.to_vec();
            flipped[byte] ^= 1 << (byte % 8);
            let flipped = with_checksum(&flipped);
            let payloads = pieces.iter().map(|piece| &piece.payload[..]);
            let payloads = payloads
                .enumerate()
                .map(|(n, whole)| if n == at { &flipped[..] } else { whole });
            if let Ok((summary, found)) = verify(payloads) {
                assert_ne!(summary.header.estimated_rows, 42, "byte {byte} of piece {at}");
                assert_eq!(found, rows);
                harmless += 1;
            }
        }
    }
    assert!(harmless <= 2, "the guess takes a byte or two, not {harmless}");
}

#[test]
fn pieces_are_taken_whole_in_order_and_once() {
    let (progress, pieces) = sample();
    for at in 0..pieces.len() {
        for end in 0..pieces[at].payload.len() {
            let cut = &pieces[at].payload[..end];
            let payloads = pieces[..at].iter().map(|piece| &piece.payload[..]).chain([cut]);
            assert!(verify(payloads).is_err(), "piece {at} cut at {end}");
        }
        let mut repeated = pieces.clone();
        repeated.insert(at, pieces[at].clone());
        assert!(matches!(verify_all(&repeated), Err(SnapshotError::Misplaced { .. })));
        let mut missing = pieces.clone();
        missing.remove(at);
        assert!(verify_all(&missing).is_err(), "without piece {at}");
        if at > 0 {
            let mut swapped = pieces.clone();
            swapped.swap(at - 1, at);
            assert!(matches!(verify_all(&swapped), Err(SnapshotError::Misplaced { .. })));
        }
    }
    let Err(error) = stage(&pieces[..pieces.len() - 1], progress.applied) else {
        panic!("a snapshot without its end was taken")
    };
    assert!(error.to_string().contains("its last piece is not there"));
}

#[test]
fn a_refused_piece_is_the_last() {
    let (_, pieces) = sample();
    let mut verifier = Verifier::new();
    let mut take = |payload: &[u8]| verifier.take(payload, &mut |_, _| Ok(()));
    take(&pieces[0].payload).expect("the first");
    let error = take(&pieces[2].payload).expect_err("the third is not the second");
    assert_eq!(take(&pieces[1].payload), Err(error));
}

#[test]
fn a_newer_format_is_refused_with_a_sentence() {
    let (_, pieces) = sample();
    let mut newer = pieces[0].payload.to_vec();
    newer[4..6].copy_from_slice(&(FORMAT + 1).to_le_bytes());
    let error = verify([&newer[..]]).expect_err("a newer format");
    assert_eq!(error, SnapshotError::Newer { found: FORMAT + 1 });
    assert!(error.to_string().contains("upgrade this node first"), "{error}");
    newer[4..6].copy_from_slice(&0u16.to_le_bytes());
    assert!(verify([&newer[..]]).is_err());
}

#[test]
fn another_clusters_or_slots_snapshot_is_refused() {
    let (progress, pieces) = sample();
    assert!(matches!(
        stage(&pieces, progress.applied.next()),
        Err(SnapshotError::Foreign { .. })
    ));
    let mut staging = Staging::new(ClusterId(8), progress.applied, MemorySink::new());
    assert!(matches!(
        staging.take(&pieces[0].payload),
        Err(SnapshotError::Foreign { .. })
    ));
    // A piece of an older snapshot of the same cluster in the middle.
    let older = machine(&[(0, 9); 30], 5, b"own");
    let older = self::pieces(&mut source(&older, 400));
    let mixed = [&pieces[..1], &older[1..]].concat();
    assert!(matches!(verify_all(&mixed), Err(SnapshotError::Foreign { .. })));
}

#[test]
fn an_empty_state_is_a_snapshot_too() {
    let machine = machine(&[], 1, b"own");
    let pieces = pieces(&mut source(&machine, 100));
    assert_eq!(pieces.len(), 1);
    let (tables, summary) = stage(&pieces, Slot::ZERO).expect("it is whole");
    assert_eq!((summary.rows, state(&tables)), (0, Vec::new()));
}

#[test]
fn a_row_longer_than_a_piece_is_a_piece_of_its_own() {
    let machine = machine(&[(0, 10), (1, 5000), (2, 10)], 3, b"own");
    let pieces = pieces(&mut source(&machine, 1000));
    assert_eq!(pieces.len(), 3);
    assert!(stage(&pieces, Slot(3)).is_ok());
}

/// X1: what is done of each node's commands is part of the state, so whoever takes over a copy does nothing again.
#[test]
fn a_command_that_is_chosen_again_behind_a_copy_does_nothing() {
    let mut original = machine(&[(1, 5), (2, 5), (3, 5)], 2, b"");
    let (tables, _) = stage(&pieces(&mut source(&original, 100)), Slot(3)).expect("a whole copy");
    let mut copy = Machine::open(tables, 1 << 10).expect("a whole copy");
    assert_eq!(copy.newest_process(NodeId(1)), 1);
    let again = Entry {
        slot: Slot(4),
        ..entry(2, (2, 5))
    };
    for machine in [&mut original, &mut copy] {
        let before = machine.progress();
        let mut told = Vec::new();
        machine
            .apply([&again], |_| true, |_, applied| told.push(applied.result))
            .expect("memory");
        assert_eq!(told, [Err(KvError::TooLate)]);
        assert_eq!(machine.progress().revision, before.revision);
        machine
            .apply([&entry(5, (2, 5))], |_| false, |_, _| {})
            .expect("memory");
        assert!(
            machine.progress().revision > before.revision,
            "a new one has its effect"
        );
    }
    assert_eq!(state(original.tables()), state(copy.tables()));
}
