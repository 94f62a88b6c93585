//! The dumb twin: every version ever made in one list, every question answered by walking all of it.
//!
//! It is written from the description of etcd's semantics, not from the state machine, and shares only the data types.

use std::collections::BTreeMap;

use storage::machine::*;

#[derive(Clone)]
struct Version {
    key: Vec<u8>,
    revision: i64,
    /// `None`: deleted.
    kv: Option<KeyValue>,
}

/// The whole history.
pub(crate) struct Naive {
    history: Vec<Version>,
    revision: i64,
    /// Nothing is ever forgotten here; below this revision it is only not told.
    compacted: i64,
}

impl Naive {
    pub(crate) fn new() -> Naive {
        Naive {
            history: Vec::new(),
            revision: 1,
            compacted: -1,
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    fn state(&self, revision: i64) -> BTreeMap<Vec<u8>, KeyValue> {
        let mut state = BTreeMap::new();
        for version in self.history.iter().filter(|version| version.revision <= revision) {
            match &version.kv {
                Some(kv) => state.insert(version.key.clone(), kv.clone()),
                None => state.remove(&version.key),
            };
        }
        state
    }

    fn within(&self, key: &[u8], end: &[u8], revision: i64) -> Vec<KeyValue> {
        let inside = |candidate: &[u8]| match end {
            b"" => candidate == key,
            b"\0" => candidate >= key,
            end => candidate >= key && candidate < end,
        };
        self.state(revision)
            .into_values()
            .filter(|kv| inside(&kv.key))
            .collect()
    }

    pub(crate) fn range(&self, range: &Range) -> Result<RangeReply, KvError> {
        self.range_at(range, self.revision)
    }

    fn range_at(&self, range: &Range, now: i64) -> Result<RangeReply, KvError> {
        if range.revision > now {
            return Err(KvError::FutureRevision);
        }
        if range.revision > 0 && range.revision < self.compacted {
            return Err(KvError::Compacted);
        }
        let revision = if range.revision <= 0 { now } else { range.revision };
        let mut kvs = self.within(&range.key, &range.range_end, revision);
        let count = kvs.len() as i64;
        if range.count_only {
            return Ok(RangeReply {
                kvs: Vec::new(),
                more: false,
                count,
            });
        }
        kvs.retain(|kv| range.max_mod_revision == 0 || kv.mod_revision <= range.max_mod_revision);
        kvs.retain(|kv| range.min_mod_revision == 0 || kv.mod_revision >= range.min_mod_revision);
        kvs.retain(|kv| range.max_create_revision == 0 || kv.create_revision <= range.max_create_revision);
        kvs.retain(|kv| range.min_create_revision == 0 || kv.create_revision >= range.min_create_revision);
        kvs.sort_by(|a, b| {
            let (a, b) = if range.sort_order == SortOrder::Descend {
                (b, a)
            } else {
                (a, b)
            };
            match range.sort_target {
                SortTarget::Key => a.key.cmp(&b.key),
                SortTarget::Version => a.version.cmp(&b.version),
                SortTarget::Create => a.create_revision.cmp(&b.create_revision),
                SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
                SortTarget::Value => a.value.cmp(&b.value),
            }
        });
        let more = range.limit > 0 && kvs.len() as i64 > range.limit;
        if more {
            kvs.truncate(range.limit as usize);
        }
        if range.keys_only {
            for kv in &mut kvs {
                kv.value = bytes::Bytes::new();
            }
        }
        Ok(RangeReply { kvs, more, count })
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Applied {
        let result = self.apply_inner(command);
        Applied {
            revision: self.revision(),
            result,
        }
    }

    fn apply_inner(&mut self, command: &Command) -> Result<Reply, KvError> {
        let next = self.revision + 1;
        let length = self.history.len();
        let reply = match command {
            Command::Put(put) => {
                if put.lease != 0 {
                    return Err(KvError::LeaseNotFound);
                }
                self.needs(put)?;
                Reply::Put(self.put(put, next))
            }
            Command::DeleteRange(delete) => Reply::DeleteRange(self.delete(delete, next)),
            Command::Txn(txn) => {
                // What every transaction will do is settled before anything is done.
                let plan = self.plan(txn);
                self.check_puts(&plan)?;
                self.check_ranges(&plan)?;
                Reply::Txn(self.run(&plan, next, length))
            }
            Command::Compact(Compact { revision }) => {
                if *revision <= self.compacted {
                    return Err(KvError::Compacted);
                }
                if *revision > self.revision {
                    return Err(KvError::FutureRevision);
                }
                self.compacted = *revision;
                Reply::Compact
            }
        };
        if self.history.len() > length {
            self.revision = next;
        }
        Ok(reply)
    }

    pub(crate) fn read(&self, txn: &Txn) -> Result<TxnReply, KvError> {
        let plan = self.plan(txn);
        self.check_ranges(&plan)?;
        let mut copy = Naive {
            history: self.history.clone(),
            revision: self.revision,
            compacted: self.compacted,
        };
        let length = copy.history.len();
        Ok(copy.run(&plan, self.revision + 1, length))
    }

    fn needs(&self, put: &Put) -> Result<(), KvError> {
        let keeps = put.ignore_value || put.ignore_lease;
        if keeps && !self.state(self.revision).contains_key(&put.key[..]) {
            return Err(KvError::KeyNotFound);
        }
        Ok(())
    }

    fn put(&mut self, put: &Put, revision: i64) -> PutReply {
        let old = self.state(revision).remove(&put.key[..]);
        let kv = KeyValue {
            key: put.key.clone(),
            create_revision: old.as_ref().map_or(revision, |old| old.create_revision),
            mod_revision: revision,
            version: old.as_ref().map_or(1, |old| old.version + 1),
            value: match &old {
                Some(old) if put.ignore_value => old.value.clone(),
                _ => put.value.clone(),
            },
            lease: match &old {
                Some(old) if put.ignore_lease => old.lease,
                _ => put.lease,
            },
        };
        self.history.push(Version {
            key: put.key.to_vec(),
            revision,
            kv: Some(kv),
        });
        PutReply {
            prev_kv: old.filter(|_| put.prev_kv),
        }
    }

    fn delete(&mut self, delete: &DeleteRange, revision: i64) -> DeleteRangeReply {
        let found = self.within(&delete.key, &delete.range_end, revision);
        for kv in &found {
            self.history.push(Version {
                key: kv.key.to_vec(),
                revision,
                kv: None,
            });
        }
        let deleted = found.len() as i64;
        DeleteRangeReply {
            deleted,
            prev_kvs: if delete.prev_kv { found } else { Vec::new() },
        }
    }

    fn plan<'t>(&self, txn: &'t Txn) -> Plan<'t> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let branch = if succeeded { &txn.success } else { &txn.failure };
        let steps = branch
            .iter()
            .map(|op| match op {
                Op::Txn(nested) => Step::Nested(self.plan(nested)),
                other => Step::Plain(other),
            })
            .collect();
        Plan { succeeded, steps }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let kvs = self.within(&compare.key, &compare.range_end, self.revision);
        if kvs.is_empty() {
            return match compare.target {
                CompareTarget::Value(_) => false,
                _ => relates(compare, &KeyValue::default()),
            };
        }
        kvs.iter().all(|kv| relates(compare, kv))
    }

    fn check_puts(&self, plan: &Plan<'_>) -> Result<(), KvError> {
        for step in &plan.steps {
            match step {
                Step::Plain(Op::Put(put)) => {
                    self.needs(put)?;
                    if put.lease != 0 {
                        return Err(KvError::LeaseNotFound);
                    }
                }
                Step::Plain(_) => {}
                Step::Nested(plan) => self.check_puts(plan)?,
            }
        }
        Ok(())
    }

    fn check_ranges(&self, plan: &Plan<'_>) -> Result<(), KvError> {
        for step in &plan.steps {
            match step {
                Step::Plain(Op::Range(range)) if range.revision > self.revision => {
                    return Err(KvError::FutureRevision);
                }
                Step::Plain(Op::Range(range)) if range.revision != 0 && range.revision < self.compacted => {
                    return Err(KvError::Compacted);
                }
                Step::Plain(_) => {}
                Step::Nested(plan) => self.check_ranges(plan)?,
            }
        }
        Ok(())
    }

    fn run(&mut self, plan: &Plan<'_>, next: i64, length: usize) -> TxnReply {
        let mut responses = Vec::new();
        for step in &plan.steps {
            let now = if self.history.len() > length { next } else { next - 1 };
            let result = match step {
                Step::Plain(Op::Range(range)) => OpResult::Range(self.range_at(range, now).expect("it was checked")),
                Step::Plain(Op::Put(put)) => OpResult::Put(self.put(put, next)),
                Step::Plain(Op::DeleteRange(delete)) => OpResult::DeleteRange(self.delete(delete, next)),
                Step::Plain(Op::Txn(_)) => unreachable!("nested transactions are planned"),
                Step::Nested(plan) => OpResult::Txn(self.run(plan, next, length)),
            };
            let now = if self.history.len() > length { next } else { next - 1 };
            responses.push(OpReply {
                revision: Revision(now),
                result,
            });
        }
        TxnReply {
            succeeded: plan.succeeded,
            responses,
        }
    }
}

struct Plan<'t> {
    succeeded: bool,
    steps: Vec<Step<'t>>,
}

enum Step<'t> {
    Plain(&'t Op),
    Nested(Plan<'t>),
}

fn relates(compare: &Compare, kv: &KeyValue) -> bool {
    let order = match &compare.target {
        CompareTarget::Version(n) => kv.version.cmp(n),
        CompareTarget::Create(n) => kv.create_revision.cmp(n),
        CompareTarget::Mod(n) => kv.mod_revision.cmp(n),
        CompareTarget::Lease(n) => kv.lease.cmp(n),
        CompareTarget::Value(value) => kv.value.cmp(value),
    };
    match compare.result {
        CompareResult::Equal => order.is_eq(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
        CompareResult::NotEqual => order.is_ne(),
    }
}
