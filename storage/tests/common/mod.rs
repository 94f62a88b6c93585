//! What the journal's tests share.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod folder;

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use paxos::{
    Address, Ballot, Batch, ClusterId, Command, CommandId, Envelope, Message, Record, Slot, Value, Write, WriteId,
};
use prometheus::Registry;
use quorum::{Epoch, Incarnation, NodeId};
use storage::journal::{Hooks, Identity, Journal, JournalError, JournalSettings, OpenError};

/// What the journal's thread said, in order.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    Released(Vec<Envelope>),
    Persisted(WriteId),
    Failed(JournalError),
}

pub(crate) fn identity() -> Identity {
    Identity {
        cluster: "test".to_owned(),
        cluster_id: ClusterId(0xabc),
        node: NodeId(2),
        incarnation: Incarnation(1),
    }
}

pub(crate) fn hooks() -> (Hooks, Receiver<Said>) {
    let (said, heard) = sync_channel(65_536);
    let (released, persisted, failed) = (said.clone(), said.clone(), said);
    let hooks = Hooks {
        // A test that has heard enough drops its end.
        release: Box::new(move |envelopes| drop(released.send(Said::Released(envelopes)))),
        persisted: Box::new(move |id| drop(persisted.send(Said::Persisted(id)))),
        failed: Box::new(move |error| drop(failed.send(Said::Failed(error)))),
    };
    (hooks, heard)
}

pub(crate) fn open(dir: &Path) -> Result<(Journal, Receiver<Said>), OpenError> {
    open_with(
        dir,
        JournalSettings {
            memtable_bytes: 1 << 20,
            ..JournalSettings::default()
        },
    )
}

pub(crate) fn open_with(dir: &Path, settings: JournalSettings) -> Result<(Journal, Receiver<Said>), OpenError> {
    let (hooks, heard) = hooks();
    Ok((
        Journal::open(dir, &identity(), settings, hooks, &Registry::new())?,
        heard,
    ))
}

/// A fresh journal.
pub(crate) fn fresh(dir: &Path) -> (Journal, Receiver<Said>) {
    Journal::create(dir, &identity()).expect("an empty folder");
    open(dir).expect("a fresh journal")
}

pub(crate) fn ballot(round: u64) -> Ballot {
    Ballot {
        round,
        leader: NodeId(1),
    }
}

/// A value that says which slot it is for, with some weight.
pub(crate) fn value(slot: u64, bytes: usize) -> Value {
    let payload = slot.to_le_bytes().repeat(1 + bytes / 8).into();
    let id = CommandId {
        origin: NodeId(1),
        boot: 1,
        sequence: slot,
    };
    Value::Commands(Batch::pack(&[Command { id, payload }]))
}

pub(crate) fn voted(slot: u64, round: u64) -> Record {
    Record::Voted {
        slot: Slot(slot),
        ballot: ballot(round),
        value: value(slot, 100),
    }
}

pub(crate) fn write(id: u64, records: Vec<Record>) -> Write {
    Write {
        id: WriteId(id),
        records,
        then: vec![accepted(id)],
    }
}

/// A message that names the write it rests on.
pub(crate) fn accepted(id: u64) -> Envelope {
    let address = |node| Address {
        node: NodeId(node),
        incarnation: Incarnation(1),
    };
    Envelope {
        cluster: ClusterId(0xabc),
        from: address(2),
        to: address(1),
        epoch: Epoch(1),
        message: Message::Accepted {
            ballot: ballot(1),
            slot: Slot(id),
        },
    }
}

/// Waits until this write is durable; returns the messages released until then.
pub(crate) fn await_write(heard: &Receiver<Said>, id: u64) -> Vec<Envelope> {
    let mut released = Vec::new();
    loop {
        match heard.recv().expect("the journal's thread lives") {
            Said::Released(envelopes) => released.extend(envelopes),
            Said::Persisted(persisted) if persisted.0 >= id => return released,
            Said::Persisted(_) => {}
            Said::Failed(error) => panic!("{error}"),
        }
    }
}

/// The content of every file but those that opening always touches: RocksDB's own log and lock.
pub(crate) fn content(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the folder")
        .map(|file| file.expect("a file"))
        .map(|file| (file.file_name().into_string().expect("a plain name"), file.path()))
        .filter(|(name, _)| !name.starts_with("LOG") && name != "LOCK")
        .map(|(name, path)| (name, std::fs::read(path).expect("a readable file")))
        .collect();
    files.sort();
    files
}

/// The log file that holds the most.
pub(crate) fn log_file(dir: &Path) -> std::path::PathBuf {
    std::fs::read_dir(dir)
        .expect("the folder")
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .max_by_key(|path| std::fs::metadata(path).expect("a file").len())
        .expect("a log file")
}
