//! Ordered byte strings on a disk, or in memory: what the state machine is kept in.
//!
//! The state machine needs little: write many keys at once, find one, walk some in order, and know when everything
//! written so far is on the disk. [`Tables`] is that much and no more, so that the same state machine runs on RocksDB
//! ([`RocksTables`]) in a node and on a map ([`MemoryTables`]) in the simulator, and one contract test holds for both.
//!
//! There is no log here. A batch is atomic, and batches become durable in the order in which they were written, but
//! only a [`flush`](Tables::flush) says that they are: after a crash the tables are as they were after *some* earlier
//! batch at or after the last flush, and the journal replays the rest. That is why the applied slot is part of each batch.
//!
//! One [`scan`](Tables::scan) sees one state, however long it takes; and because the state machine never changes a version
//! once written, several scans at one revision see one state as well, as long as the store is not compacted beyond it. What must
//! see one state over many scans, whatever becomes of old versions, [freezes](Tables::freeze) it.
//!
//! Keys that begin with [`LOCAL`] are this node's own affair (whose the tables are, where they came from, how far some work
//! in the background has come). All others are the state, and equal on all nodes that have applied the same slots.

mod memory;
#[cfg(feature = "rocks")]
pub(crate) mod rocks;

pub use memory::{FrozenMemory, MemoryTables};
#[cfg(feature = "rocks")]
pub use rocks::{FrozenRocks, RocksTables, StateSettings};

use thiserror::Error;

/// Length of the suffix that tells the versions of one key apart. What comes before it is the *group* of a table key.
pub const SUFFIX: usize = 8;

/// First byte of the keys that are no part of the state: they differ between nodes, and no snapshot carries them.
pub const LOCAL: u8 = b'i';

/// Ordered byte keys with values. Any thread may write and read; batches are done one after the other.
pub trait Tables: Send + Sync + 'static {
    /// Writes that are done together or not at all.
    type Batch: TableBatch;

    /// One state of the tables, unmoved by later writes.
    type Frozen<'t>: Frozen
    where
        Self: 't;

    /// An empty batch with room for about so many bytes.
    fn batch(&self, bytes: usize) -> Self::Batch;

    /// The value of exactly this key.
    ///
    /// # Errors
    /// [`TablesError`] if it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError>;

    /// Shows the first key at or after `from` in the group of `from`, if there is one. A group that does not exist costs
    /// no disk access, as a rule.
    ///
    /// # Errors
    /// [`TablesError`] if it cannot be read.
    fn first_in_group(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), TablesError>;

    /// [`first_in_group`](Tables::first_in_group) for many keys, one after the other, as the tables are at the first of
    /// them: cheaper where looking something up needs preparation.
    fn finder(&self) -> Finder<'_> {
        Box::new(|from, visit| self.first_in_group(from, visit))
    }

    /// Shows the keys from `from` on and before `to` in order, as `visit` directs. Everything shown belongs to one state.
    /// `visit` must not write to these tables.
    ///
    /// # Errors
    /// [`TablesError`] if something cannot be read.
    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), TablesError>;

    /// The tables as they are now, for as long as the result lives. What it shows cannot be reclaimed meanwhile.
    fn freeze(&self) -> Self::Frozen<'_>;

    /// [`scan`](Tables::scan) through much that nobody will look at again soon: what is read pushes nothing out of caches.
    ///
    /// # Errors
    /// [`TablesError`] if something cannot be read.
    fn scan_through(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), TablesError> {
        self.scan(from, to, visit)
    }

    /// Does everything in the batch; readers see all of it or nothing. It becomes durable with the next flush at the latest.
    ///
    /// # Errors
    /// [`TablesError`]; how much of the batch was done is then unknown, and the tables must not be written again.
    fn write(&self, batch: Self::Batch) -> Result<(), TablesError>;

    /// Returns when everything that was written before the call is durable. Reads and writes go on meanwhile.
    ///
    /// # Errors
    /// [`TablesError`]; nothing is known to be durable then.
    fn flush(&self) -> Result<(), TablesError>;

    /// Gives the space of what was removed or replaced back at once, which happens by and by otherwise. It rewrites all
    /// that is kept, and so may take long; reads and writes go on meanwhile.
    ///
    /// # Errors
    /// [`TablesError`] if something cannot be read or written.
    fn reclaim(&self) -> Result<(), TablesError> {
        Ok(())
    }

    /// Has every scan that is under way on another thread, and every [`reclaim`](Tables::reclaim), end soon with
    /// [`TablesError::Closing`], and every later one at once: for tables that nobody shall keep open.
    fn interrupt(&self) {}

    /// Whether everything that was written in the background has been (A5). Never waits for the disk, so it may be asked while a
    /// write is held up.
    ///
    /// # Errors
    /// [`TablesError`], from the first failure on.
    fn sound(&self) -> Result<(), TablesError> {
        Ok(())
    }

    /// Bytes on disk, or in memory if there is no disk; about.
    fn size(&self) -> u64;

    /// How many keys there are; about.
    fn rows(&self) -> u64;

    /// Bytes of [`size`](Tables::size) that hold what is still there; about.
    fn live_size(&self) -> u64 {
        self.size()
    }
}

/// One state of tables.
pub trait Frozen {
    /// [`Tables::scan`], always of the same state. What is read once in a while leaves no trace in caches.
    ///
    /// # Errors
    /// [`TablesError`] if something cannot be read.
    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), TablesError>;
}

/// Looks keys up in tables that nobody changes meanwhile.
pub type Finder<'t> = Box<dyn FnMut(&[u8], &mut dyn FnMut(&[u8], &[u8])) -> Result<(), TablesError> + 't>;

/// Writes that are done together or not at all, in this order.
pub trait TableBatch: Send {
    /// Sets a key.
    fn put(&mut self, key: &[u8], value: &[u8]);

    /// Removes a key.
    fn delete(&mut self, key: &[u8]);
}

/// What a scan does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Goes on to the next key.
    Next,
    /// Goes on to the first key at or after this one, which lies behind the present key.
    Seek(Vec<u8>),
    /// Ends.
    Stop,
}

/// The tables cannot be read or written. The node cannot go on.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TablesError {
    /// The storage engine failed.
    #[error("the state in {place} cannot be {verb}: {reason}")]
    Engine {
        /// Which folder.
        place: String,
        /// What was tried.
        verb: &'static str,
        /// What the engine says.
        reason: String,
    },
    /// A newer build wrote them.
    #[error("the state is in format {found}, and this build reads formats up to {known}: start a newer build")]
    Newer {
        /// Their format.
        found: u8,
        /// The newest that this build reads.
        known: u8,
    },
    /// The node ends, and does not wait for whoever reads much.
    #[error("the state is being closed")]
    Closing,
    /// What was read is not what the state machine writes.
    #[error("the state is damaged: {what}")]
    Damaged {
        /// What was found where.
        what: String,
    },
}
