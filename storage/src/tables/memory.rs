//! Tables in memory, which can lose what was not flushed as a disk does in a crash.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Frozen, SUFFIX, Step, TableBatch, Tables, TablesError};

/// Tables in an ordered map.
#[derive(Default, Debug)]
pub struct MemoryTables {
    inner: RwLock<Inner>,
}

type Map = BTreeMap<Box<[u8]>, Box<[u8]>>;

#[derive(Default, Debug)]
struct Inner {
    map: Map,
    /// What keys that changed since the last flush held at that flush.
    unflushed: BTreeMap<Box<[u8]>, Option<Box<[u8]>>>,
    bytes: u64,
}

impl MemoryTables {
    /// Empty tables.
    #[must_use]
    pub fn new() -> MemoryTables {
        MemoryTables::default()
    }

    /// What a crash leaves: everything as it was at the last flush.
    pub fn lose_unflushed(&self) {
        let mut inner = self.write_lock();
        for (key, old) in std::mem::take(&mut inner.unflushed) {
            inner.set(key, old);
        }
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().expect("no thread panics while it holds the lock")
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().expect("no thread panics while it holds the lock")
    }
}

impl Inner {
    /// Sets or removes a key; returns what it held.
    fn set(&mut self, key: Box<[u8]>, value: Option<Box<[u8]>>) -> Option<Box<[u8]>> {
        let len = key.len() as u64;
        let added = value.as_ref().map_or(0, |value| len + value.len() as u64);
        let old = match value {
            Some(value) => self.map.insert(key, value),
            None => self.map.remove(&key),
        };
        self.bytes += added;
        self.bytes -= old.as_ref().map_or(0, |old| len + old.len() as u64);
        old
    }
}

/// Shows the keys of a map from `from` on and before `to` as `visit` directs.
fn walk(map: &Map, from: &[u8], to: Option<&[u8]>, visit: &mut dyn FnMut(&[u8], &[u8]) -> Step) {
    let end = to.map_or(Bound::Unbounded, Bound::Excluded);
    let mut from = from.to_vec();
    loop {
        if to.is_some_and(|to| from.as_slice() >= to) {
            return;
        }
        let mut seek = None;
        for (key, value) in map.range::<[u8], _>((Bound::Included(from.as_slice()), end)) {
            match visit(key, value) {
                Step::Next => {}
                Step::Seek(target) => {
                    assert!(
                        target.as_slice() > &key[..],
                        "a scan goes forward: to {target:?} from {key:?}"
                    );
                    seek = Some(target);
                    break;
                }
                Step::Stop => return,
            }
        }
        match seek {
            Some(target) => from = target,
            None => return,
        }
    }
}

/// A copy of [`MemoryTables`].
#[derive(Clone, Debug)]
pub struct FrozenMemory {
    map: Map,
}

impl Frozen for FrozenMemory {
    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), TablesError> {
        walk(&self.map, from, to, visit);
        Ok(())
    }
}

impl Tables for MemoryTables {
    type Batch = MemoryBatch;
    type Frozen<'t> = FrozenMemory;

    fn batch(&self, _bytes: usize) -> MemoryBatch {
        MemoryBatch::default()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError> {
        Ok(self.read_lock().map.get(key).map(|value| value.to_vec()))
    }

    fn first_in_group(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), TablesError> {
        let group = &from[..from.len() - SUFFIX];
        let inner = self.read_lock();
        let first = inner
            .map
            .range::<[u8], _>((Bound::Included(from), Bound::Unbounded))
            .next();
        if let Some((key, value)) = first
            && key.len() == from.len()
            && key.starts_with(group)
        {
            visit(key, value);
        }
        Ok(())
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), TablesError> {
        walk(&self.read_lock().map, from, to, visit);
        Ok(())
    }

    fn freeze(&self) -> FrozenMemory {
        FrozenMemory {
            map: self.read_lock().map.clone(),
        }
    }

    fn write(&self, batch: MemoryBatch) -> Result<(), TablesError> {
        let mut inner = self.write_lock();
        for (key, value) in batch.changes {
            let old = inner.set(key.clone(), value);
            inner.unflushed.entry(key).or_insert(old);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), TablesError> {
        self.write_lock().unflushed.clear();
        Ok(())
    }

    fn size(&self) -> u64 {
        self.read_lock().bytes
    }

    fn rows(&self) -> u64 {
        self.read_lock().map.len() as u64
    }
}

/// A key and its new value, or none to remove it.
type Change = (Box<[u8]>, Option<Box<[u8]>>);

/// A batch of writes to [`MemoryTables`].
#[derive(Default, Debug)]
pub struct MemoryBatch {
    changes: Vec<Change>,
}

impl TableBatch for MemoryBatch {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.changes.push((key.into(), Some(value.into())));
    }

    fn delete(&mut self, key: &[u8]) {
        self.changes.push((key.into(), None));
    }
}
