//! Which versions compaction drops.
//!
//! Compaction at a revision keeps, of each key, every version after that revision and the one that a reader at the
//! revision sees; a deletion need not be kept to be seen. So reads at the revision and after it find what they found
//! before. The rest is left over: it lies in the tables until a sweep comes by, and nothing may depend on whether it did.

use super::keys;
use super::record::Record;

/// Tells what is left over from what is kept, as the tables' rows are shown to it in their order.
///
/// Whoever copies, hashes or compares states skips what is left over, because nodes sweep when they like.
#[derive(Clone, Debug)]
pub struct Leftovers {
    compacted: i64,
    /// The group that the last version at or before `compacted` belonged to.
    group: Option<Vec<u8>>,
}

/// Counts the keys that exist, as the rows of a state are shown to it in their order.
#[derive(Clone, Debug)]
pub struct KeyCount {
    /// What a store would keep that was compacted at its end: one version of each key that exists.
    leftovers: Leftovers,
    keys: u64,
}

impl Default for KeyCount {
    fn default() -> KeyCount {
        KeyCount {
            leftovers: Leftovers::new(i64::MAX),
            keys: 0,
        }
    }
}

impl KeyCount {
    /// Takes the next row.
    pub fn row(&mut self, table_key: &[u8], value: &[u8]) {
        let exists = keys::split(table_key).is_some() && !self.leftovers.drops(table_key, value);
        self.keys += u64::from(exists);
    }

    /// How many there are.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.keys
    }
}

/// What compaction makes of a row.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It stays, or is no version at all.
    Kept,
    /// A newer version hides it from every reader.
    Hidden,
    /// It is a deletion, which goes with everything that it hides, but not before.
    Tombstone,
}

impl Leftovers {
    /// For a store that is compacted at `compacted` (see [`Progress`](super::Progress)), from its first row on.
    #[must_use]
    pub fn new(compacted: i64) -> Leftovers {
        Leftovers { compacted, group: None }
    }

    /// Whether compaction drops this row. Rows come in the order of their table keys, newer versions of a key first.
    pub fn drops(&mut self, table_key: &[u8], value: &[u8]) -> bool {
        self.fate(table_key, value) != Fate::Kept
    }

    pub(super) fn fate(&mut self, table_key: &[u8], value: &[u8]) -> Fate {
        let Some((group, revision)) = keys::split(table_key) else {
            return Fate::Kept;
        };
        if revision > self.compacted {
            return Fate::Kept;
        }
        if self.group.as_deref() == Some(group) {
            return Fate::Hidden;
        }
        let seen = self.group.get_or_insert_default();
        seen.clear();
        seen.extend_from_slice(group);
        if Record::is_deletion(value) {
            Fate::Tombstone
        } else {
            Fate::Kept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(compacted: i64, rows: &[(&str, i64, Record<'_>)]) -> Vec<Fate> {
        let mut leftovers = Leftovers::new(compacted);
        let mut table_key = Vec::new();
        rows.iter()
            .map(|(key, revision, record)| {
                keys::version_key(&mut table_key, key.as_bytes(), *revision);
                let mut value = Vec::new();
                record.encode(&mut value);
                leftovers.fate(&table_key, &value)
            })
            .collect()
    }

    #[test]
    fn what_a_reader_at_the_revision_sees_is_kept_and_what_lies_behind_is_not() {
        use Fate::{Hidden, Kept, Tombstone};
        let put = Record::Put {
            create_revision: 1,
            version: 1,
            lease: 0,
            value: b"v",
        };
        let rows = [
            ("a", 9, put),
            ("a", 5, put),
            ("a", 4, Record::Deleted),
            ("a", 3, put),
            ("b", 5, Record::Deleted),
            ("b", 2, put),
            ("c", 6, Record::Deleted),
            ("c", 4, put),
            ("d", 7, put),
            ("e", 2, Record::Deleted),
        ];
        assert_eq!(
            fates(5, &rows),
            [
                Kept, Kept, Hidden, Hidden, Tombstone, Hidden, Kept, Kept, Kept, Tombstone
            ]
        );
        assert_eq!(fates(-1, &rows), [Kept; 10]);
        let mut leftovers = Leftovers::new(5);
        assert!(!leftovers.drops(keys::META, b""), "what is no version is not touched");
    }
}
