//! What each command does.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::apply::Machine;
use super::command::{Command, DeleteRange, Op, Put, Range, Txn};
use super::error::KvError;
use super::heads::Head;
use super::record::Record;
use super::reply::{DeleteRangeReply, KeyValue, OpReply, OpResult, PutReply, RangeReply, Reply, Revision, TxnReply};
use super::span::Span;
use super::view::View;
use crate::tables::{Finder, Tables, TablesError};

/// One command while it is done. All its changes get one revision, which counts only if there is a change.
pub(super) struct Write<'m, 't, T: Tables> {
    machine: &'m mut Machine<T>,
    finder: &'m mut Finder<'t>,
    /// The revision of the changes.
    revision: i64,
    changed: bool,
    /// Whether anybody will read the reply.
    wants: bool,
}

/// A verdict of the state machine inside a failure of the tables.
type Verdict<V> = Result<Result<V, KvError>, TablesError>;

/// The branches that a transaction and those nested in it take; read in the order in which they were decided.
type Path = std::vec::IntoIter<bool>;

impl<'m, 't, T: Tables> Write<'m, 't, T> {
    pub(super) fn new(machine: &'m mut Machine<T>, finder: &'m mut Finder<'t>, wants: bool) -> Write<'m, 't, T> {
        let revision = machine.revision + 1;
        Write {
            machine,
            finder,
            revision,
            changed: false,
            wants,
        }
    }

    /// Does the command. Whatever can fail is checked before the first change.
    pub(super) fn command(mut self, command: Command) -> Verdict<Reply> {
        let reply = match command {
            Command::Put(put) => {
                if put.lease != 0 {
                    return Ok(Err(KvError::LeaseNotFound));
                }
                if (put.ignore_value || put.ignore_lease) && self.machine.head(&put.key, self.finder)?.is_none() {
                    return Ok(Err(KvError::KeyNotFound));
                }
                Reply::Put(self.put(&put)?)
            }
            Command::DeleteRange(delete) => Reply::DeleteRange(self.delete_range(&delete)?),
            Command::Txn(txn) => {
                let mut path = Vec::new();
                self.view().path(&txn, &mut path)?;
                if let Err(error) = self.check_puts(&txn, &mut path.clone().into_iter())? {
                    return Ok(Err(error));
                }
                let kept = self.machine.compacted;
                if let Err(error) = check_ranges(&txn, self.now(), kept, &mut path.clone().into_iter()) {
                    return Ok(Err(error));
                }
                Reply::Txn(self.txn(&txn, &mut path.into_iter())?)
            }
            Command::Compact(compact) => match self.machine.compact(compact.revision) {
                Ok(()) => Reply::Compact,
                Err(error) => return Ok(Err(error)),
            },
        };
        if self.changed {
            self.machine.revision = self.revision;
        }
        Ok(Ok(reply))
    }

    /// The revision that the next operation sees.
    fn now(&self) -> i64 {
        if self.changed { self.revision } else { self.revision - 1 }
    }

    fn view(&self) -> View<'_, T> {
        self.machine.view(self.now())
    }

    /// Whether every put of the transaction will find what it rests on; keys that earlier operations of the same
    /// transaction create or delete do not count.
    fn check_puts(&mut self, txn: &Txn, path: &mut Path) -> Verdict<()> {
        for op in txn.branch(next(path)) {
            match op {
                Op::Put(put) => {
                    if (put.ignore_value || put.ignore_lease) && self.machine.head(&put.key, self.finder)?.is_none() {
                        return Ok(Err(KvError::KeyNotFound));
                    }
                    if put.lease != 0 {
                        return Ok(Err(KvError::LeaseNotFound));
                    }
                }
                Op::Txn(nested) => {
                    if let Err(error) = self.check_puts(nested, path)? {
                        return Ok(Err(error));
                    }
                }
                Op::Range(_) | Op::DeleteRange(_) => {}
            }
        }
        Ok(Ok(()))
    }

    fn put(&mut self, put: &Put) -> Result<PutReply, TablesError> {
        let head = self.machine.head(&put.key, self.finder)?;
        let wants_previous = put.prev_kv && self.wants;
        let previous = if head.is_some() && (wants_previous || put.ignore_value) {
            let view = self.view();
            view.find(&put.key, view.now)?
        } else {
            None
        };
        let (create_revision, version) =
            head.map_or((self.revision, 1), |head| (head.create_revision, head.version + 1));
        // A key to be kept may be gone if the same transaction deleted it; there is nothing left to keep then.
        let value = match &previous {
            Some(previous) if put.ignore_value => &previous.value,
            _ => &put.value,
        };
        let lease = match head {
            Some(Head { lease, .. }) if put.ignore_lease => lease,
            _ => put.lease,
        };
        self.machine.record(
            &put.key,
            self.revision,
            Record::Put {
                create_revision,
                version,
                lease,
                value,
            },
        );
        self.changed = true;
        Ok(PutReply {
            prev_kv: previous.filter(|_| wants_previous),
        })
    }

    fn delete_range(&mut self, delete: &DeleteRange) -> Result<DeleteRangeReply, TablesError> {
        let span = Span::new(&delete.key, &delete.range_end);
        let wants_previous = delete.prev_kv && self.wants;
        let mut keys: Vec<Bytes> = Vec::new();
        let mut prev_kvs: Vec<KeyValue> = Vec::new();
        if let (Span::One(key), false) = (span, wants_previous) {
            keys.extend(self.machine.head(key, self.finder)?.map(|_| delete.key.clone()));
        } else {
            let view = self.view();
            view.walk(span, view.now, &mut |found| {
                if wants_previous {
                    let previous = found.to_key_value(true);
                    keys.push(previous.key.clone());
                    prev_kvs.push(previous);
                } else {
                    keys.push(Bytes::copy_from_slice(found.key));
                }
                ControlFlow::Continue(())
            })?;
        }
        for key in &keys {
            self.machine.record(key, self.revision, Record::Deleted);
        }
        self.changed |= !keys.is_empty();
        Ok(DeleteRangeReply {
            deleted: keys.len() as i64,
            prev_kvs,
        })
    }

    fn range(&self, range: &Range) -> Result<RangeReply, TablesError> {
        let view = self.view();
        let revision = range
            .at(view.now, self.machine.compacted)
            .expect("revisions were checked before the first change");
        range.read(&view, revision)
    }

    fn txn(&mut self, txn: &Txn, path: &mut Path) -> Result<TxnReply, TablesError> {
        let succeeded = next(path);
        let mut responses = Vec::new();
        for op in txn.branch(succeeded) {
            let result = match op {
                Op::Range(_) if !self.wants => continue,
                Op::Range(range) => OpResult::Range(self.range(range)?),
                Op::Put(put) => OpResult::Put(self.put(put)?),
                Op::DeleteRange(delete) => OpResult::DeleteRange(self.delete_range(delete)?),
                Op::Txn(nested) => OpResult::Txn(self.txn(nested, path)?),
            };
            if self.wants {
                responses.push(OpReply {
                    revision: Revision(self.now()),
                    result,
                });
            }
        }
        Ok(TxnReply { succeeded, responses })
    }
}

/// Whether every read of the transaction names a revision that exists and is kept; the oldest of them, or `now`.
///
/// Here, as in etcd, a revision below 0 is a revision and not the present one.
pub(super) fn check_ranges(txn: &Txn, now: i64, compacted: i64, path: &mut Path) -> Result<i64, KvError> {
    let mut oldest = now;
    for op in txn.branch(next(path)) {
        match op {
            Op::Range(range) => {
                let at = range.at(now, compacted)?;
                if range.revision < 0 && range.revision < compacted {
                    return Err(KvError::Compacted);
                }
                oldest = oldest.min(at);
            }
            Op::Txn(nested) => oldest = oldest.min(check_ranges(nested, now, compacted, path)?),
            Op::Put(_) | Op::DeleteRange(_) => {}
        }
    }
    Ok(oldest)
}

/// The branch that the next transaction takes.
pub(super) fn next(path: &mut Path) -> bool {
    path.next().expect("every transaction on the path was decided")
}

impl Txn {
    /// The operations of the branch that `held` selects.
    pub(super) fn branch(&self, held: bool) -> &[Op] {
        if held { &self.success } else { &self.failure }
    }
}
