//! The store as it was at some revision.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::command::{Compare, CompareResult, CompareTarget, Op, Txn};
use super::keys;
use super::pending::Pending;
use super::record::Record;
use super::reply::KeyValue;
use super::span::Span;
use crate::tables::{Finder, Step, Tables, TablesError};

/// What a reader or a command sees: what is in the tables, and on top of it what is not there yet, up to a revision.
pub(super) struct View<'a, T> {
    tables: &'a T,
    pending: Option<&'a Pending>,
    /// The newest revision that is seen.
    pub(super) now: i64,
}

/// How many versions a scan steps over before it looks up the next key: a seek costs as much as a few steps.
const STEPS: u32 = 4;

/// Is shown a key, the revision of its version, and the version.
type VisitRecord<'v> = dyn FnMut(&[u8], i64, Record<'_>) -> ControlFlow<()> + 'v;

/// A key and what is stored for it, borrowed from where it is.
#[derive(Copy, Clone)]
pub(super) struct Found<'a> {
    pub(super) key: &'a [u8],
    pub(super) mod_revision: i64,
    pub(super) create_revision: i64,
    pub(super) version: i64,
    pub(super) lease: i64,
    pub(super) value: &'a [u8],
}

impl Found<'_> {
    /// A copy, with or without the value.
    pub(super) fn to_key_value(self, with_value: bool) -> KeyValue {
        KeyValue {
            key: Bytes::copy_from_slice(self.key),
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
            value: if with_value {
                Bytes::copy_from_slice(self.value)
            } else {
                Bytes::new()
            },
            lease: self.lease,
        }
    }
}

impl<'a, T: Tables> View<'a, T> {
    pub(super) fn new(tables: &'a T, pending: Option<&'a Pending>, now: i64) -> View<'a, T> {
        let pending = pending.filter(|pending| !pending.is_empty());
        View { tables, pending, now }
    }

    /// One key as it was at `revision`.
    pub(super) fn find(&self, key: &[u8], revision: i64) -> Result<Option<KeyValue>, TablesError> {
        let mut found = None;
        self.walk(Span::One(key), revision, &mut |at| {
            found = Some(at.to_key_value(true));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Shows every key of `span` that existed at `revision`, in key order, until `visit` breaks.
    pub(super) fn walk(
        &self,
        span: Span<'_>,
        revision: i64,
        visit: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> Result<(), TablesError> {
        if let Span::One(key) = span {
            return self.look_up(key, revision, &mut self.tables.finder(), visit);
        }
        let Some(pending) = self.pending else {
            return self.walk_tables(span, revision, &mut |key, mod_revision, record| {
                show(key, mod_revision, record, visit)
            });
        };
        // Both are in key order; what is pending is newer than what the tables hold of the same key.
        let mut newer = pending.iter(span, revision).peekable();
        let mut flow = ControlFlow::Continue(());
        self.walk_tables(span, revision, &mut |key, mod_revision, record| {
            while let Some((newer_key, newer_revision, newer_record)) = newer.next_if(|(newer, ..)| *newer <= key) {
                flow = show(newer_key, newer_revision, newer_record, visit);
                if flow.is_break() || newer_key == key {
                    return flow;
                }
            }
            flow = show(key, mod_revision, record, visit);
            flow
        })?;
        for (key, mod_revision, record) in newer {
            if flow.is_break() {
                break;
            }
            flow = show(key, mod_revision, record, visit);
        }
        Ok(())
    }

    /// Shows one key as it was at `revision`, if it existed.
    pub(super) fn look_up(
        &self,
        key: &[u8],
        revision: i64,
        finder: &mut Finder<'_>,
        visit: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> Result<(), TablesError> {
        if let Some((mod_revision, record)) = self.pending.and_then(|pending| pending.find(key, revision)) {
            let _ = show(key, mod_revision, record, visit);
            return Ok(());
        }
        let mut table_key = Vec::with_capacity(key.len() + 16);
        keys::version_key(&mut table_key, key, revision);
        let mut damage = None;
        let mut parsed = Vec::new();
        finder(
            &table_key,
            &mut |table_key, bytes| match (keys::parse(table_key, &mut parsed), Record::decode(bytes)) {
                (Some(mod_revision), Some(record)) => {
                    let _ = show(key, mod_revision, record, visit);
                }
                _ => damage = Some(damaged(table_key)),
            },
        )?;
        damage.map_or(Ok(()), Err)
    }

    /// Shows what the tables hold for the keys of `span` at `revision`, deletions included.
    fn walk_tables(&self, span: Span<'_>, revision: i64, visit: &mut VisitRecord<'_>) -> Result<(), TablesError> {
        let (from, end) = match span {
            Span::One(_) => unreachable!("one key is looked up, not scanned for"),
            Span::Between(from, end) => (from, keys::floor(end)),
            Span::From(from) => (from, keys::END.to_vec()),
        };
        let mut damage = None;
        let mut key = Vec::new();
        // The key that was shown last: older versions of it are stepped over.
        let mut shown: Option<Vec<u8>> = None;
        let mut steps = 0;
        self.tables
            .scan(&keys::floor(from), Some(&end), &mut |table_key, bytes| {
                let Some(mod_revision) = keys::parse(table_key, &mut key) else {
                    damage = Some(damaged(table_key));
                    return Step::Stop;
                };
                let old = shown.as_ref() == Some(&key);
                if old || mod_revision > revision {
                    steps += 1;
                    if steps < STEPS {
                        return Step::Next;
                    }
                    steps = 0;
                    return Step::Seek(if old {
                        keys::behind_group(table_key)
                    } else {
                        keys::at_revision(table_key, revision)
                    });
                }
                steps = 0;
                let Some(record) = Record::decode(bytes) else {
                    damage = Some(damaged(table_key));
                    return Step::Stop;
                };
                let flow = visit(&key, mod_revision, record);
                std::mem::swap(shown.get_or_insert_default(), &mut key);
                if flow.is_break() { Step::Stop } else { Step::Next }
            })?;
        damage.map_or(Ok(()), Err)
    }

    /// Whether every comparison holds now.
    pub(super) fn holds(&self, compares: &[Compare]) -> Result<bool, TablesError> {
        for compare in compares {
            if !self.compare_holds(compare)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn compare_holds(&self, compare: &Compare) -> Result<bool, TablesError> {
        let mut any = false;
        let mut all = true;
        self.walk(Span::new(&compare.key, &compare.range_end), self.now, &mut |found| {
            any = true;
            all = compare.holds_for(&found);
            if all {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if any {
            return Ok(all);
        }
        // A key that does not exist has no value, not even an empty one.
        let missing = Found {
            key: b"",
            mod_revision: 0,
            create_revision: 0,
            version: 0,
            lease: 0,
            value: b"",
        };
        Ok(!matches!(compare.target, CompareTarget::Value(_)) && compare.holds_for(&missing))
    }

    /// Which branches a transaction and those nested in it take, outermost first, in the order in which the taken
    /// branches reach them. All of them see the state as it is before the first operation.
    pub(super) fn path(&self, txn: &Txn, path: &mut Vec<bool>) -> Result<(), TablesError> {
        let held = self.holds(&txn.compare)?;
        path.push(held);
        for op in txn.branch(held) {
            if let Op::Txn(nested) = op {
                self.path(nested, path)?;
            }
        }
        Ok(())
    }
}

impl Compare {
    fn holds_for(&self, found: &Found<'_>) -> bool {
        let ordering = match &self.target {
            CompareTarget::Version(operand) => found.version.cmp(operand),
            CompareTarget::Create(operand) => found.create_revision.cmp(operand),
            CompareTarget::Mod(operand) => found.mod_revision.cmp(operand),
            CompareTarget::Value(operand) => found.value.cmp(&operand[..]),
            CompareTarget::Lease(operand) => found.lease.cmp(operand),
        };
        match self.result {
            CompareResult::Equal => ordering.is_eq(),
            CompareResult::Greater => ordering.is_gt(),
            CompareResult::Less => ordering.is_lt(),
            CompareResult::NotEqual => ordering.is_ne(),
        }
    }
}

/// Shows a record unless it is a deletion.
fn show(
    key: &[u8],
    mod_revision: i64,
    record: Record<'_>,
    visit: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match record {
        Record::Deleted => ControlFlow::Continue(()),
        Record::Put {
            create_revision,
            version,
            lease,
            value,
        } => visit(Found {
            key,
            mod_revision,
            create_revision,
            version,
            lease,
            value,
        }),
    }
}

fn damaged(table_key: &[u8]) -> TablesError {
    TablesError::Damaged {
        what: format!("no version of a key can be read at \"{}\"", table_key.escape_ascii()),
    }
}
