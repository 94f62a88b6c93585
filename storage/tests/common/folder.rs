//! A node's data folder: opened, filled, copied.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::mpsc::Receiver;

use paxos::{Batch, Command as Logged, CommandId, Entry, Record, Slot, Value};
use prometheus::Registry;
use quorum::NodeId;
use storage::machine::{Command, Put};
use storage::{Store, StoreError, StoreSettings};

use super::{Said, await_write, hooks, identity, write};

/// Opens a store, and listens to its journal.
pub(crate) fn open(dir: &Path, settings: StoreSettings) -> Result<(Store, Receiver<Said>), StoreError> {
    let (hooks, heard) = hooks();
    Store::open(dir, &identity(), settings, hooks, &Registry::new()).map(|store| (store, heard))
}

/// A slot that puts one key.
pub(crate) fn entry_of(slot: u64, key: String, value: impl Into<Vec<u8>>) -> Entry {
    let put = Put {
        key: key.into(),
        value: value.into().into(),
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

/// A slot that puts one of ten keys.
pub(crate) fn entry(slot: u64) -> Entry {
    entry_of(slot, format!("key {}", slot % 10), slot.to_string().repeat(20))
}

/// Journals these slots as chosen, and applies them.
pub(crate) fn run(store: &mut Store, heard: &Receiver<Said>, slots: RangeInclusive<u64>) {
    for slot in slots {
        let Entry { value, .. } = entry(slot);
        let learned = Record::Learned {
            slot: Slot(slot),
            value,
        };
        let records = vec![learned, Record::Chosen(Slot(slot))];
        store.journal.submit(vec![write(slot, records)]).expect("a short queue");
        await_write(heard, slot);
        apply(store, slot);
    }
}

/// Applies one slot.
pub(crate) fn apply(store: &mut Store, slot: u64) {
    store
        .machine
        .apply(&[entry(slot)], |_| false, |_, _| {})
        .expect("a healthy disk");
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for file in fs::read_dir(from).expect("the folder") {
        let file = file.expect("a file");
        let target = to.join(file.file_name());
        if file.file_type().expect("a type").is_dir() {
            copy(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).expect("a copy");
        }
    }
}
