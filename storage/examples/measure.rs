//! How fast the journal and the state machine are by themselves, on this disk.
//!
//! `cargo run --release -p storage --example measure [FOLDER]` writes to a folder that it makes and removes; give one on
//! the disk that matters. Each line is one measurement; they say nothing about a cluster.

use std::error::Error;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use paxos::{Ballot, Batch, ClusterId, Command as Logged, CommandId, Entry, Record, Slot, Value, Write, WriteId};
use prometheus::Registry;
use quorum::{Incarnation, NodeId};
use storage::journal::{Hooks, Identity, Journal, JournalSettings};
use storage::machine::{Command, HEAD_CACHE_BYTES, Machine, Op, Put, Range, Txn};
use storage::tables::{MemoryTables, RocksTables, StateSettings, Tables};

const VALUE: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let dir = Path::new(&parent).join(format!("synod-measure-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let measured = measure(&dir);
    std::fs::remove_dir_all(&dir)?;
    measured
}

fn measure(dir: &Path) -> Result<(), Box<dyn Error>> {
    for (in_flight, commands) in [(1, 1), (64, 1), (1000, 1), (8, 64), (8, 250)] {
        journal(
            &dir.join(format!("journal {in_flight} {commands}")),
            in_flight,
            commands,
        )?;
    }
    for (keys, batch) in [(100_000, 64), (100_000, 250), (1_000_000, 250), (5_000_000, 250)] {
        let name = format!("RocksDB, {keys} keys at random");
        let tables = RocksTables::open(
            &dir.join(format!("state {keys} {batch}")),
            true,
            StateSettings::default(),
        )?;
        puts(&name, tables, keys, batch)?;
    }
    puts("memory, 100000 keys at random", MemoryTables::new(), 100_000, 250)?;
    Ok(())
}

/// Votes with so many commands each, and so many writes in flight.
fn journal(dir: &Path, in_flight: u64, commands: u64) -> Result<(), Box<dyn Error>> {
    let identity = Identity {
        cluster: "measure".to_owned(),
        cluster_id: ClusterId(1),
        node: NodeId(1),
        incarnation: Incarnation(1),
    };
    Journal::create(dir, &identity)?;
    let (persisted, durable) = channel();
    let hooks = Hooks {
        release: Box::new(drop),
        persisted: Box::new(move |id| drop(persisted.send(id))),
        failed: Box::new(|error| eprintln!("{error}")),
    };
    let journal = Journal::open(dir, &identity, JournalSettings::default(), hooks, &Registry::new())?;
    let batch: Vec<Logged> = (0..commands)
        .map(|sequence| put(sequence, sequence, sequence))
        .collect();
    let value = Value::Commands(Batch::pack(&batch));
    let ballot = Ballot {
        round: 1,
        leader: NodeId(1),
    };
    let begun = Instant::now();
    let (mut sent, mut done) = (0, 0);
    while begun.elapsed() < Duration::from_secs(3) {
        let mut writes = Vec::new();
        while sent < done + in_flight {
            sent += 1;
            let records = vec![
                Record::Voted {
                    slot: Slot(sent),
                    ballot,
                    value: value.clone(),
                },
                Record::Chosen(Slot(sent.saturating_sub(in_flight))),
            ];
            writes.push(Write {
                id: WriteId(sent),
                records,
                then: Vec::new(),
            });
        }
        journal.submit(writes)?;
        done = durable.recv()?.0;
        done = durable.try_iter().last().map_or(done, |id| id.0);
        journal.trim(Slot(done.saturating_sub(20_000)));
    }
    let per_second = done as f64 / begun.elapsed().as_secs_f64();
    println!(
        "journal, {in_flight} writes in flight, {commands} commands of {VALUE} bytes each: {per_second:.0} slots/s, {:.0} commands/s",
        per_second * commands as f64
    );
    Ok(())
}

fn put(sequence: u64, key: u64, seed: u64) -> Logged {
    let mut value = vec![0; VALUE];
    let mut word = seed;
    for chunk in value.chunks_mut(8) {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    let put = Put {
        key: format!("/registry/pods/{key:012}").into(),
        value: value.into(),
        ..Put::default()
    };
    let id = CommandId {
        origin: NodeId(1),
        boot: 1,
        sequence,
    };
    Logged {
        id,
        payload: Command::Put(put).encode(),
    }
}

fn puts<T: Tables>(name: &str, tables: T, keys: u64, batch: u64) -> Result<(), Box<dyn Error>> {
    let mut machine = Machine::open(tables, HEAD_CACHE_BYTES)?;
    let mut random = 1u64;
    let (mut slot, mut sequence) = (0, 0);
    let mut applying = Duration::ZERO;
    let count = 1_000_000;
    while sequence < count {
        let entries: Vec<Entry> = (0..40)
            .map(|_| {
                slot += 1;
                let commands: Vec<Logged> = (0..batch)
                    .map(|_| {
                        sequence += 1;
                        random = random
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        put(sequence, (random >> 33) % keys, random)
                    })
                    .collect();
                Entry {
                    slot: Slot(slot),
                    value: Value::Commands(Batch::pack(&commands)),
                }
            })
            .collect();
        let begun = Instant::now();
        for entry in &entries {
            machine.apply([entry], |_| true, |_, applied| drop(applied))?;
        }
        applying += begun.elapsed();
    }
    println!(
        "apply, {name}, batches of {batch}: {:.0} puts/s, {:.2} µs each",
        sequence as f64 / applying.as_secs_f64(),
        applying.as_secs_f64() * 1e6 / sequence as f64
    );
    let begun = Instant::now();
    machine.flusher().flush()?;
    println!(
        "  flush at the end: {:.0} ms; {} MB",
        begun.elapsed().as_secs_f64() * 1e3,
        machine.reader().size() >> 20
    );
    reads(&machine, keys)?;
    transactions(&mut machine, slot, keys)
}

fn reads<T: Tables>(machine: &Machine<T>, keys: u64) -> Result<(), Box<dyn Error>> {
    let reader = machine.reader();
    let mut random = 7u64;
    let count = 200_000;
    let begun = Instant::now();
    let mut found = 0;
    for _ in 0..count {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let key = format!("/registry/pods/{:012}", (random >> 33) % keys).into();
        found += reader
            .range(&Range {
                key,
                ..Range::default()
            })?
            .0
            .count;
    }
    println!(
        "  read one key: {:.2} µs ({found} of {count} found)",
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
    );
    let begun = Instant::now();
    let count = 200_000;
    for number in 0..count {
        let key = format!("/registry/none/{number:012}").into();
        reader.range(&Range {
            key,
            ..Range::default()
        })?;
    }
    println!(
        "  read a key that does not exist: {:.2} µs",
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
    );
    let begun = Instant::now();
    let all = Range {
        key: "\0".into(),
        range_end: "\0".into(),
        count_only: true,
        ..Range::default()
    };
    let count = reader.range(&all)?.0.count;
    println!(
        "  count all {count} keys: {:.2} µs a key",
        begun.elapsed().as_secs_f64() * 1e6 / count as f64
    );
    Ok(())
}

fn transactions<T: Tables>(machine: &mut Machine<T>, mut slot: u64, keys: u64) -> Result<(), Box<dyn Error>> {
    let mut random = 11u64;
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % keys
    };
    let entries: Vec<Entry> = (0..2_000)
        .map(|sequence| {
            let ops = (0..100).map(|_| {
                let key = format!("/registry/pods/{:012}", next()).into();
                Op::Put(Put {
                    key,
                    value: vec![1; VALUE].into(),
                    ..Put::default()
                })
            });
            let txn = Txn {
                success: ops.collect(),
                ..Txn::default()
            };
            let id = CommandId {
                origin: NodeId(1),
                boot: 1,
                sequence,
            };
            let command = Logged {
                id,
                payload: Command::Txn(txn).encode(),
            };
            slot += 1;
            Entry {
                slot: Slot(slot),
                value: Value::Commands(Batch::pack(&[command])),
            }
        })
        .collect();
    let begun = Instant::now();
    machine.apply(&entries, |_| true, |_, applied| drop(applied))?;
    println!(
        "  transactions of 100 puts: {:.0} keys/s",
        200_000.0 / begun.elapsed().as_secs_f64()
    );
    Ok(())
}
