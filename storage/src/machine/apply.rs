//! Applying chosen entries.

use std::sync::Arc;

use bytes::Bytes;
use paxos::{CommandId, Configurations, Entry, Slot, Value};
use quorum::{Configuration, NodeId};
use thiserror::Error;

use super::command::{Command, Undecodable};
use super::digest::Digest;
use super::error::KvError;
use super::governance::Governance;
use super::heads::{Head, Heads};
use super::keys;
use super::pending::Pending;
use super::progress::{Progress, Shared};
use super::reader::{Flusher, Reader};
use super::record::Record;
use super::reply::{Applied, Revision};
use super::sessions::{Sessions, Turn};
use super::sweeper::Sweeper;
use super::view::View;
use super::write::Write;
use crate::step::{Step, reached};
use crate::tables::{Finder, TableBatch, Tables, TablesError};

/// The state machine: the only writer of its tables.
pub struct Machine<T: Tables> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) heads: Heads,
    pub(super) pending: Pending,
    pub(super) revision: i64,
    pub(super) compacted: i64,
    applied: Slot,
    digest: Digest,
    governance: Governance,
    sessions: Sessions,
    broken: Option<ApplyError>,
}

/// An entry cannot be applied; the node must stop, because to go on would make its state differ from its peers'.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ApplyError {
    /// The tables failed.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// A newer build proposed it.
    #[error("slot {slot} cannot be applied: {reason}")]
    Newer {
        /// Which slot.
        slot: Slot,
        /// What is not understood.
        reason: Undecodable,
    },
}

/// How much memory the heads of recently used keys may take by default.
pub const HEAD_CACHE_BYTES: usize = 32 << 20;

/// A table batch is written when it has about so many bytes, at the next entry's end.
const BATCH_BYTES: usize = 4 << 20;

impl<T: Tables> Machine<T> {
    /// The state machine that these tables hold, as far as they have come; `head_cache_bytes` is memory for
    /// the numbers of recently used keys.
    ///
    /// # Errors
    /// [`TablesError`] if the tables cannot be read, or say nonsense.
    pub fn open(tables: T, head_cache_bytes: usize) -> Result<Machine<T>, TablesError> {
        let (shared, progress) = Shared::open(tables)?;
        Ok(Machine {
            governance: Governance::load(&shared.tables)?,
            sessions: Sessions::load(&shared.tables)?,
            shared,
            heads: Heads::new(head_cache_bytes),
            pending: Pending::default(),
            revision: progress.revision.0,
            compacted: progress.compacted,
            applied: progress.applied,
            digest: Digest(progress.digest),
            broken: None,
        })
    }

    /// Says which configuration the log began with. Must be known before a change of it is applied (R2).
    pub fn found(&mut self, genesis: Configuration) {
        self.governance.genesis = Some(genesis);
    }

    /// The configurations as of the applied slot; nothing as long as there was no change of the first one.
    #[must_use]
    pub fn configurations(&self) -> Option<&Configurations> {
        self.governance.configurations()
    }

    /// The newest process of a node whose commands were applied; 0 if there was none. The node's next one must be above (X1).
    #[must_use]
    pub fn newest_process(&self, node: NodeId) -> u64 {
        self.sessions.newest(node)
    }

    /// Reads from any thread.
    #[must_use]
    pub fn reader(&self) -> Reader<T> {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Makes effects durable, from any thread.
    #[must_use]
    pub fn flusher(&self) -> Flusher<T> {
        Flusher::new(Arc::clone(&self.shared))
    }

    /// Takes what compaction leaves over out of the tables, from any thread; there must be only one.
    ///
    /// # Errors
    /// [`TablesError`] if what an earlier sweeper left cannot be read.
    pub fn sweeper(&self) -> Result<Sweeper<T>, TablesError> {
        Sweeper::open(Arc::clone(&self.shared))
    }

    /// The tables underneath.
    #[must_use]
    pub fn tables(&self) -> &T {
        &self.shared.tables
    }

    /// How far the state machine has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            applied: self.applied,
            revision: Revision(self.revision),
            digest: self.digest.0,
            compacted: self.compacted,
        }
    }

    /// Applies chosen entries, which follow on what is applied without a gap (C2).
    ///
    /// The effects of many entries reach the tables in one batch together with the applied slot; only then are they
    /// visible to readers, and only then is `answer` called with the outcomes, in order, of the commands that `wanted`
    /// asks for. The others cost less: nothing is read for them that only a reply would hold.
    ///
    /// # Errors
    /// [`ApplyError`]: from then on every call fails alike. What was answered is applied.
    ///
    /// # Panics
    /// If a slot is missing or comes twice.
    pub fn apply<'e>(
        &mut self,
        entries: impl IntoIterator<Item = &'e Entry>,
        wanted: impl Fn(CommandId) -> bool,
        mut answer: impl FnMut(CommandId, Applied),
    ) -> Result<(), ApplyError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let done = self.apply_whole(entries, &wanted, &mut answer);
        if let Err(error) = &done {
            self.broken = Some(error.clone());
        }
        done
    }

    fn apply_whole<'e>(
        &mut self,
        entries: impl IntoIterator<Item = &'e Entry>,
        wanted: &impl Fn(CommandId) -> bool,
        answer: &mut impl FnMut(CommandId, Applied),
    ) -> Result<(), ApplyError> {
        reached(Step::Apply);
        let shared = Arc::clone(&self.shared);
        let mut finder = shared.tables.finder();
        let mut answers = Vec::new();
        let mut unwritten = false;
        for entry in entries {
            self.apply_entry(entry, &mut finder, wanted, &mut answers)?;
            unwritten = true;
            if self.pending.bytes() >= BATCH_BYTES {
                self.write_pending()?;
                finder = shared.tables.finder();
                answers.drain(..).for_each(|(id, applied)| answer(id, applied));
                unwritten = false;
            }
        }
        if unwritten {
            self.write_pending()?;
            answers.drain(..).for_each(|(id, applied)| answer(id, applied));
        }
        Ok(())
    }

    fn apply_entry(
        &mut self,
        entry: &Entry,
        finder: &mut Finder<'_>,
        wanted: &impl Fn(CommandId) -> bool,
        answers: &mut Vec<(CommandId, Applied)>,
    ) -> Result<(), ApplyError> {
        let slot = entry.slot;
        assert!(
            slot == self.applied.next(),
            "C2: slots are applied in order, each once: slot {slot} came after slot {}",
            self.applied
        );
        self.digest.number(slot.0);
        if let Value::Reconfigure(change) = &entry.value
            && let Some(epoch) = self.governance.take(slot, change)
        {
            // Nodes that came to another answer are told apart by their digests.
            self.digest.number(epoch.0);
            self.digest.number(change.configuration.fingerprint());
        }
        if let Value::Commands(batch) = &entry.value {
            for command in batch.iter() {
                let wants = wanted(command.id);
                let result = match (self.sessions.take(command.id), Command::decode(&command.payload)) {
                    // X1: it is told to nobody, for whoever waited for it was told when it took effect.
                    (Turn::Closed, _) => Err(KvError::TooLate),
                    (Turn::First, Ok(command)) => Write::new(self, finder, wants).command(command)?,
                    (Turn::First, Err(Undecodable::Malformed)) => Err(KvError::Malformed),
                    (Turn::First, Err(reason @ Undecodable::Newer(_))) => {
                        return Err(ApplyError::Newer { slot, reason });
                    }
                };
                if wants {
                    answers.push((
                        command.id,
                        Applied {
                            revision: Revision(self.revision),
                            result,
                        },
                    ));
                }
            }
        }
        self.applied = slot;
        Ok(())
    }

    /// C2: effects and applied slot in one batch.
    fn write_pending(&mut self) -> Result<(), TablesError> {
        let progress = self.progress();
        let bytes = self.pending.bytes();
        let mut batch = self.shared.tables.batch(bytes + 64);
        self.pending.drain_into(&mut batch);
        self.governance.drain_into(&mut batch);
        self.sessions.drain_into(&mut batch);
        batch.put(keys::META, &progress.encode());
        reached(Step::TableWrite);
        self.shared.tables.write(batch)?;
        reached(Step::TableWritten);
        self.shared.publish(progress, bytes);
        Ok(())
    }

    /// Forgets the history below `revision`. Nothing is removed here: what is left over is swept aside, later, by each node
    /// for itself.
    pub(super) fn compact(&mut self, revision: i64) -> Result<(), KvError> {
        if revision <= self.compacted {
            return Err(KvError::Compacted);
        }
        if revision > self.revision {
            return Err(KvError::FutureRevision);
        }
        self.digest.number(revision.cast_unsigned());
        self.compacted = revision;
        Ok(())
    }

    /// What commands see at revision `now`: the tables, and the versions that are on their way there.
    pub(super) fn view(&self, now: i64) -> View<'_, T> {
        View::new(&self.shared.tables, Some(&self.pending), now)
    }

    /// The newest version's numbers, without reading if it can be helped.
    pub(super) fn head(&self, key: &[u8], finder: &mut Finder<'_>) -> Result<Option<Head>, TablesError> {
        if let Some(head) = self.heads.find(key) {
            return Ok(head);
        }
        let mut head = None;
        self.view(i64::MAX).look_up(key, i64::MAX, finder, &mut |found| {
            head = Some(Head {
                create_revision: found.create_revision,
                version: found.version,
                lease: found.lease,
            });
            std::ops::ControlFlow::Break(())
        })?;
        // Not noted: as a rule a change follows, which notes what the head is then.
        Ok(head)
    }

    /// Gives `key` a new version in `revision`; everything that is ever changed is changed here.
    pub(super) fn record(&mut self, key: &Bytes, revision: i64, record: Record<'_>) {
        let value = if let Record::Put { value, .. } = record {
            value.len()
        } else {
            0
        };
        let mut bytes = Vec::with_capacity(value + 16);
        record.encode(&mut bytes);
        self.digest.number(revision.cast_unsigned());
        self.digest.bytes(key);
        self.digest.bytes(&bytes);
        self.pending.add(key, revision, bytes);
        let head = match record {
            Record::Deleted => None,
            Record::Put {
                create_revision,
                version,
                lease,
                ..
            } => Some(Head {
                create_revision,
                version,
                lease,
            }),
        };
        self.heads.note(key, head);
    }
}
