//! Taking out of the tables what compaction leaves over.
//!
//! A sweep walks through all versions once, in short strides, each of which ends in one small batch of removals: whoever
//! applies and reads goes on meanwhile, and nothing waits for it. It removes only what the last compaction that readers
//! can see has dropped, so no reader misses anything ([`Reader`](super::Reader) makes sure that it has not been overtaken).
//!
//! A deletion is the last of its key to go: without it, an older version would be seen again.
//!
//! How far a sweep has come is noted beside the removals. After a crash it goes on from there; at worst it looks at some
//! rows again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::keys;
use super::leftovers::{Fate, Leftovers};
use super::progress::Shared;
use crate::tables::{Step, TableBatch, Tables, TablesError};

/// Sweeps the tables. Each call of [`step`](Sweeper::step) is one stride.
pub struct Sweeper<T: Tables> {
    shared: Arc<Shared<T>>,
    /// Everything is gone that compaction at this revision drops.
    done: i64,
    sweep: Option<Sweep>,
    /// A sweeper made wrong: deletions go when they are found.
    #[cfg(test)]
    hasty: bool,
}

/// A sweep that is under way.
struct Sweep {
    /// The revision of the compaction whose leftovers it takes out.
    target: i64,
    /// The first row that it has not looked at.
    from: Vec<u8>,
    /// What comes before every version of the key that it is at: where a sweep after a crash goes on.
    group: Vec<u8>,
    leftovers: Leftovers,
    /// A deletion that goes when everything that it hides is gone.
    tombstone: Option<Vec<u8>>,
}

/// How much one stride does.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Stride {
    /// Most rows looked at.
    pub rows: u64,
    /// Bytes of rows after which it ends.
    pub bytes: u64,
}

impl Default for Stride {
    fn default() -> Stride {
        Stride {
            rows: 2000,
            bytes: 1 << 20,
        }
    }
}

/// What one stride did.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Swept {
    /// Rows that it looked at.
    pub seen: u64,
    /// Versions that it removed.
    pub removed: u64,
    /// The revision of the compaction whose leftovers are all gone now, if this was the sweep's last stride.
    pub finished: Option<i64>,
}

/// The first byte of a mark.
const FORMAT: u8 = 1;

/// What is noted of a sweep.
#[derive(Serialize, Deserialize)]
struct Mark {
    done: i64,
    /// The target of the sweep that is under way, and the group that it is at.
    sweep: Option<(i64, Vec<u8>)>,
}

impl Mark {
    fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![FORMAT]).expect("writing to a vector does not fail")
    }

    /// What can be read of a mark. A mark that says nothing is as good as none: the next sweep finds out for itself.
    fn decode(bytes: &[u8]) -> Option<Mark> {
        let rest = bytes.strip_prefix(&[FORMAT])?;
        postcard::from_bytes(rest).ok()
    }
}

impl Sweep {
    fn new(target: i64, group: Vec<u8>) -> Sweep {
        Sweep {
            target,
            from: group.clone(),
            group,
            leftovers: Leftovers::new(target),
            tombstone: None,
        }
    }
}

impl<T: Tables> Sweeper<T> {
    pub(super) fn open(shared: Arc<Shared<T>>) -> Result<Sweeper<T>, TablesError> {
        let compacted = shared.progress().compacted;
        let mark = shared.tables.get(keys::SWEPT)?;
        let mark = mark.and_then(|bytes| Mark::decode(&bytes)).filter(|mark| {
            let target = mark.sweep.as_ref().map_or(mark.done, |(target, _)| *target);
            mark.done <= target && target <= compacted
        });
        let (done, sweep) = mark.map_or((-1, None), |mark| (mark.done, mark.sweep));
        shared.note_swept(done);
        Ok(Sweeper {
            shared,
            done,
            sweep: sweep.map(|(target, group)| Sweep::new(target, group)),
            #[cfg(test)]
            hasty: false,
        })
    }

    /// Does one stride; `None` if nothing is left over.
    ///
    /// # Errors
    /// [`TablesError`]: the node must stop.
    pub fn step(&mut self, stride: Stride) -> Result<Option<Swept>, TablesError> {
        let compacted = self.shared.progress().compacted;
        if self.sweep.is_none() {
            if compacted <= self.done {
                return Ok(None);
            }
            self.sweep = Some(Sweep::new(compacted, keys::BEGIN.to_vec()));
        }
        let (seen, dropped, ended) = self.look(stride)?;
        let sweep = self.sweep.as_ref().expect("it was begun above");
        let target = sweep.target;
        let mark = if ended {
            Mark {
                done: target,
                sweep: None,
            }
        } else {
            Mark {
                done: self.done,
                sweep: Some((target, sweep.group.clone())),
            }
        };
        if ended || !dropped.is_empty() {
            self.remove(&dropped, &mark)?;
        }
        if ended {
            self.done = target;
            self.sweep = None;
            self.shared.note_swept(target);
        }
        Ok(Some(Swept {
            seen,
            removed: dropped.len() as u64,
            finished: ended.then_some(target),
        }))
    }

    /// Makes removals durable, so that the space they had can be given back.
    ///
    /// # Errors
    /// [`TablesError`]: the node must stop.
    pub fn flush(&self) -> Result<(), TablesError> {
        self.shared.tables.flush()
    }

    /// Looks at the next rows: how many, which of them are to go, in which order, and whether they were the last.
    fn look(&mut self, stride: Stride) -> Result<(u64, Vec<Vec<u8>>, bool), TablesError> {
        let sweep = self.sweep.as_mut().expect("a sweep was begun");
        let (mut seen, mut bytes, mut ended) = (0, 0, true);
        let mut dropped = Vec::new();
        let from = sweep.from.clone();
        self.shared
            .tables
            .scan_through(&from, Some(keys::END), &mut |table_key, value| {
                if seen >= stride.rows || bytes >= stride.bytes {
                    sweep.from = table_key.to_vec();
                    ended = false;
                    return Step::Stop;
                }
                seen += 1;
                bytes += (table_key.len() + value.len()) as u64;
                if let Some((group, _)) = keys::split(table_key)
                    && group != sweep.group
                {
                    dropped.extend(sweep.tombstone.take());
                    sweep.group = group.to_vec();
                }
                match sweep.leftovers.fate(table_key, value) {
                    Fate::Kept => {}
                    Fate::Hidden => dropped.push(table_key.to_vec()),
                    Fate::Tombstone => sweep.tombstone = Some(table_key.to_vec()),
                }
                #[cfg(test)]
                if self.hasty {
                    dropped.extend(sweep.tombstone.take());
                }
                Step::Next
            })?;
        if ended {
            dropped.extend(sweep.tombstone.take());
        }
        Ok((seen, dropped, ended))
    }

    /// Removals and mark in one batch.
    fn remove(&self, dropped: &[Vec<u8>], mark: &Mark) -> Result<(), TablesError> {
        let bytes: usize = dropped.iter().map(|table_key| table_key.len() + 16).sum();
        let mut batch = self.shared.tables.batch(bytes + 64);
        for table_key in dropped {
            batch.delete(table_key);
        }
        batch.put(keys::SWEPT, &mark.encode());
        self.shared.tables.write(batch)
    }
}

#[cfg(test)]
mod tests;
