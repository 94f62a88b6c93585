//! What the key-value store should answer: a second, naive implementation over the chosen log, which keeps every version of
//! every key in a list. It knows the clients' operations (`workload`) and shares only data types with the state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use paxos::{CommandId, Slot};
use quorum::NodeId;
use storage::machine::{
    Applied, Command, Compare, CompareResult, CompareTarget, DeleteRange, DeleteRangeReply, KeyValue, KvError, Op,
    OpReply, OpResult, Put, PutReply, Range, RangeReply, Reply, Revision, SortOrder, SortTarget, Txn, TxnReply,
};

use crate::workload::{Found, Query};

/// What a change made of a key.
struct Version {
    revision: i64,
    /// `None`: deleted.
    kv: Option<KeyValue>,
}

/// The whole history.
pub(crate) struct Reference {
    history: BTreeMap<Bytes, Vec<Version>>,
    now: Bounds,
    /// The slots in which a bound changed, and what it was after them.
    bounds: Vec<(Slot, Bounds)>,
    /// Every command that took effect, and the newest process of each node.
    done: BTreeSet<CommandId>,
    newest: BTreeMap<NodeId, u64>,
}

/// Which revisions there are to be read. Everything is remembered; what is compacted is only not told.
#[derive(Copy, Clone, PartialEq, Eq)]
struct Bounds {
    revision: i64,
    compacted: i64,
}

impl Reference {
    pub(crate) fn new() -> Reference {
        let now = Bounds {
            revision: 1,
            compacted: -1,
        };
        Reference {
            history: BTreeMap::new(),
            now,
            bounds: vec![(Slot::ZERO, now)],
            done: BTreeSet::new(),
            newest: BTreeMap::new(),
        }
    }

    /// The store's revision.
    pub(crate) fn revision(&self) -> Revision {
        Revision(self.now.revision)
    }

    fn bounds_at(&self, slot: Slot) -> Bounds {
        let after = self.bounds.partition_point(|(changed, _)| *changed <= slot);
        self.bounds[after - 1].1
    }

    /// The next command of the log: what its client should be told; nothing if it takes no effect, because it is done already or
    /// its node has used a later process (X1).
    pub(crate) fn apply(&mut self, slot: Slot, id: CommandId, payload: &Bytes) -> Option<Applied> {
        let newest = self.newest.entry(id.origin).or_default();
        *newest = id.boot.max(*newest);
        if id.boot < *newest || !self.done.insert(id) {
            return None;
        }
        let command = Command::decode(payload).ok()?;
        let before = self.now;
        let result = self.command(&command);
        if self.now != before {
            match self.bounds.last_mut() {
                Some((last, bounds)) if *last == slot => *bounds = self.now,
                _ => self.bounds.push((slot, self.now)),
            }
        }
        Some(Applied {
            revision: Revision(self.now.revision),
            result,
        })
    }

    /// What a read in the state after `slot` should find.
    pub(crate) fn read(&self, slot: Slot, query: &Query) -> Found {
        let bounds = self.bounds_at(slot);
        let now = Revision(bounds.revision);
        match query {
            Query::Range(range) => Found::Range(
                self.range(range, bounds)
                    .map(|reply| (reply, now))
                    .map_err(|error| error.to_string()),
            ),
            Query::Txn(txn) => {
                let path = self.path(txn, bounds.revision);
                let reply = check_ranges(&path, bounds).map(|()| self.look(&path, bounds));
                Found::Txn(reply.map(|reply| (reply, now)).map_err(|error| error.to_string()))
            }
        }
    }

    fn command(&mut self, command: &Command) -> Result<Reply, KvError> {
        let before = self.now;
        let mut change = Change {
            next: before.revision + 1,
            changed: false,
            compacted: before.compacted,
        };
        let reply = match command {
            Command::Put(put) => Reply::Put(self.put(put, &mut change)),
            Command::DeleteRange(delete) => Reply::DeleteRange(self.delete(delete, &mut change)),
            Command::Txn(txn) => {
                let path = self.path(txn, before.revision);
                check_ranges(&path, before)?;
                Reply::Txn(self.txn(&path, &mut change))
            }
            Command::Compact(compact) => {
                if compact.revision <= before.compacted {
                    return Err(KvError::Compacted);
                }
                if compact.revision > before.revision {
                    return Err(KvError::FutureRevision);
                }
                change.compacted = compact.revision;
                Reply::Compact
            }
        };
        self.now = change.now();
        Ok(reply)
    }

    fn at(versions: &[Version], revision: i64) -> Option<&KeyValue> {
        let after = versions.partition_point(|version| version.revision <= revision);
        versions[..after].last()?.kv.as_ref()
    }

    fn find(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        Reference::at(self.history.get(key)?, revision)
    }

    /// The keys of a span as they were at a revision.
    fn within<'a>(&'a self, key: &'a [u8], end: &'a [u8], revision: i64) -> Vec<&'a KeyValue> {
        let upper = match end {
            b"" => return self.find(key, revision).into_iter().collect(),
            b"\0" => Bound::Unbounded,
            end if end <= key => return Vec::new(),
            end => Bound::Excluded(end),
        };
        self.history
            .range::<[u8], _>((Bound::Included(key), upper))
            .filter_map(|(_, versions)| Reference::at(versions, revision))
            .collect()
    }

    fn range(&self, range: &Range, bounds: Bounds) -> Result<RangeReply, KvError> {
        let revision = match range.revision {
            ..=0 => bounds.revision,
            future if future > bounds.revision => return Err(KvError::FutureRevision),
            past if past < bounds.compacted => return Err(KvError::Compacted),
            past => past,
        };
        let mut found = self.within(&range.key, &range.range_end, revision);
        let count = found.len() as i64;
        if range.count_only {
            found.clear();
        }
        found.sort_by(|a, b| {
            let (a, b) = if range.sort_order == SortOrder::Descend {
                (b, a)
            } else {
                (a, b)
            };
            match range.sort_target {
                SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
                _ => a.key.cmp(&b.key),
            }
        });
        let more = range.limit > 0 && found.len() as i64 > range.limit;
        if more {
            found.truncate(range.limit as usize);
        }
        let kvs = found.into_iter().cloned().map(|kv| KeyValue {
            value: if range.keys_only { Bytes::new() } else { kv.value },
            ..kv
        });
        Ok(RangeReply {
            kvs: kvs.collect(),
            more,
            count,
        })
    }

    fn put(&mut self, put: &Put, change: &mut Change) -> PutReply {
        let old = self.find(&put.key, i64::MAX).cloned();
        change.changed = true;
        let kv = KeyValue {
            key: put.key.clone(),
            create_revision: old.as_ref().map_or(change.next, |old| old.create_revision),
            mod_revision: change.next,
            version: old.as_ref().map_or(1, |old| old.version + 1),
            value: put.value.clone(),
            lease: 0,
        };
        self.history.entry(put.key.clone()).or_default().push(Version {
            revision: change.next,
            kv: Some(kv),
        });
        PutReply {
            prev_kv: old.filter(|_| put.prev_kv),
        }
    }

    fn delete(&mut self, delete: &DeleteRange, change: &mut Change) -> DeleteRangeReply {
        let found = self.within(&delete.key, &delete.range_end, i64::MAX);
        let found: Vec<KeyValue> = found.into_iter().cloned().collect();
        for kv in &found {
            change.changed = true;
            self.history.entry(kv.key.clone()).or_default().push(Version {
                revision: change.next,
                kv: None,
            });
        }
        DeleteRangeReply {
            deleted: found.len() as i64,
            prev_kvs: if delete.prev_kv { found } else { Vec::new() },
        }
    }

    fn holds(&self, compare: &Compare, now: i64) -> bool {
        let found = self.within(&compare.key, &compare.range_end, now);
        if found.is_empty() {
            return !matches!(compare.target, CompareTarget::Value(_)) && relates(compare, &KeyValue::default());
        }
        found.into_iter().all(|kv| relates(compare, kv))
    }

    /// What a transaction will do, settled on the state before it.
    fn path<'t>(&self, txn: &'t Txn, now: i64) -> Path<'t> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare, now));
        let branch = if succeeded { &txn.success } else { &txn.failure };
        let step = |op: &'t Op| match op {
            Op::Txn(nested) => Step::Nested(self.path(nested, now)),
            plain => Step::Plain(plain),
        };
        Path {
            succeeded,
            steps: branch.iter().map(step).collect(),
        }
    }

    fn txn(&mut self, path: &Path<'_>, change: &mut Change) -> TxnReply {
        let mut responses = Vec::new();
        for step in &path.steps {
            let result = match step {
                Step::Plain(Op::Put(put)) => OpResult::Put(self.put(put, change)),
                Step::Plain(Op::DeleteRange(delete)) => OpResult::DeleteRange(self.delete(delete, change)),
                Step::Plain(op) => self.looked(op, change.now()),
                Step::Nested(path) => OpResult::Txn(self.txn(path, change)),
            };
            let revision = Revision(change.now().revision);
            responses.push(OpReply { revision, result });
        }
        TxnReply {
            succeeded: path.succeeded,
            responses,
        }
    }

    /// A transaction that only reads.
    fn look(&self, path: &Path<'_>, bounds: Bounds) -> TxnReply {
        let responses = path.steps.iter().map(|step| OpReply {
            revision: Revision(bounds.revision),
            result: match step {
                Step::Plain(op) => self.looked(op, bounds),
                Step::Nested(path) => OpResult::Txn(self.look(path, bounds)),
            },
        });
        TxnReply {
            succeeded: path.succeeded,
            responses: responses.collect(),
        }
    }

    fn looked(&self, op: &Op, bounds: Bounds) -> OpResult {
        match op {
            Op::Range(range) => OpResult::Range(self.range(range, bounds).expect("revisions were checked before")),
            other => unreachable!("{other:?} is no read"),
        }
    }
}

/// What a command has changed so far.
struct Change {
    /// The revision of its changes.
    next: i64,
    changed: bool,
    compacted: i64,
}

impl Change {
    fn now(&self) -> Bounds {
        Bounds {
            revision: if self.changed { self.next } else { self.next - 1 },
            compacted: self.compacted,
        }
    }
}

struct Path<'t> {
    succeeded: bool,
    steps: Vec<Step<'t>>,
}

enum Step<'t> {
    Plain(&'t Op),
    Nested(Path<'t>),
}

/// Whether every read on the path names a revision that is there to be read.
fn check_ranges(path: &Path<'_>, bounds: Bounds) -> Result<(), KvError> {
    path.steps.iter().try_for_each(|step| match step {
        Step::Plain(Op::Range(range)) if range.revision > bounds.revision => Err(KvError::FutureRevision),
        Step::Plain(Op::Range(range)) if range.revision != 0 && range.revision < bounds.compacted => {
            Err(KvError::Compacted)
        }
        Step::Plain(_) => Ok(()),
        Step::Nested(path) => check_ranges(path, bounds),
    })
}

fn relates(compare: &Compare, kv: &KeyValue) -> bool {
    let order = match &compare.target {
        CompareTarget::Version(number) => kv.version.cmp(number),
        CompareTarget::Create(number) => kv.create_revision.cmp(number),
        CompareTarget::Mod(number) => kv.mod_revision.cmp(number),
        CompareTarget::Lease(number) => kv.lease.cmp(number),
        CompareTarget::Value(value) => kv.value.cmp(value),
    };
    match compare.result {
        CompareResult::Equal => order.is_eq(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
        CompareResult::NotEqual => order.is_ne(),
    }
}
