//! Versions that were made and are not in the tables yet.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::keys;
use super::record::Record;
use super::span::Span;
use crate::tables::TableBatch;

/// The versions of one batch. Commands of the batch see them on top of what is in the tables.
#[derive(Default)]
pub(super) struct Pending {
    keys: BTreeMap<Bytes, Vec<Version>>,
    bytes: usize,
}

/// A version of a key, oldest first in its list.
struct Version {
    revision: i64,
    record: Vec<u8>,
}

impl Pending {
    /// Adds a version; a version that the key got in the same revision before is replaced.
    pub(super) fn add(&mut self, key: &Bytes, revision: i64, record: Vec<u8>) {
        self.bytes += key.len() + record.len() + 32;
        let version = Version { revision, record };
        match self.keys.get_mut(key) {
            None => {
                self.keys.insert(key.clone(), vec![version]);
            }
            Some(versions) => match versions.last_mut() {
                Some(last) if last.revision == revision => *last = version,
                _ => versions.push(version),
            },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Bytes that the versions take in a table batch, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts every version into a batch, and forgets them.
    pub(super) fn drain_into(&mut self, batch: &mut impl TableBatch) {
        let mut table_key = Vec::with_capacity(64);
        for (key, versions) in std::mem::take(&mut self.keys) {
            for version in versions {
                keys::version_key(&mut table_key, &key, version.revision);
                batch.put(&table_key, &version.record);
            }
        }
        self.bytes = 0;
    }

    /// The version of one key that is seen at `revision`.
    pub(super) fn find(&self, key: &[u8], revision: i64) -> Option<(i64, Record<'_>)> {
        if self.keys.is_empty() {
            return None;
        }
        seen(self.keys.get(key)?, revision)
    }

    /// The versions of the keys in `span` that are seen at `revision`, in key order.
    pub(super) fn iter<'p>(
        &'p self,
        span: Span<'p>,
        revision: i64,
    ) -> impl Iterator<Item = (&'p [u8], i64, Record<'p>)> {
        let (from, to) = match span {
            Span::One(key) => (Bound::Included(key), Bound::Included(key)),
            // A map panics if the end lies before the start; nothing lies between a key and itself.
            Span::Between(from, end) => (Bound::Included(from), Bound::Excluded(end.max(from))),
            Span::From(from) => (Bound::Included(from), Bound::Unbounded),
        };
        self.keys
            .range::<[u8], _>((from, to))
            .filter_map(move |(key, versions)| {
                let (revision, record) = seen(versions, revision)?;
                Some((&key[..], revision, record))
            })
    }
}

fn seen(versions: &[Version], revision: i64) -> Option<(i64, Record<'_>)> {
    let version = versions.iter().rev().find(|version| version.revision <= revision)?;
    Some((
        version.revision,
        Record::decode(&version.record).expect("the record was encoded here"),
    ))
}
