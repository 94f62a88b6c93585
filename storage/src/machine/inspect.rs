//! A look at tables: rows are read and taken apart, all at once when no node has them open, or bit by bit while one runs.

use super::keys;
use super::progress::Progress;
use super::reader::Reader;
use super::record::Record;
use super::sessions::{self, is_session};
use crate::tables::{Frozen, Step, Tables, TablesError};

/// What tables hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StateFindings {
    /// How far the state machine has come.
    pub progress: Option<Progress>,
    /// Versions of keys.
    pub versions: u64,
    /// Rows that are not versions: the state machine's own numbers.
    pub own_rows: u64,
    /// Bytes of all rows.
    pub bytes: u64,
    /// What is not as the state machine writes it, as sentences.
    pub faults: Vec<String>,
    /// A newer build wrote it: nothing can be said.
    pub newer: bool,
}

/// Faults of single rows that are listed; the rest are counted.
const LISTED: u64 = 10;

impl StateFindings {
    /// Reads all of `tables`. `read` hears of bytes as they are read.
    pub(crate) fn gather(tables: &impl Tables, read: &mut dyn FnMut(u64)) -> StateFindings {
        let mut findings = StateFindings::default();
        let failed = |error: TablesError| match error {
            TablesError::Damaged { what } => what,
            error => error.to_string(),
        };
        let revision = match Progress::load(tables) {
            Ok(progress) => {
                findings.progress = Some(progress);
                progress.revision.0
            }
            Err(error) => {
                findings.newer = matches!(error, TablesError::Newer { .. });
                findings.faults.push(failed(error));
                i64::MAX
            }
        };
        let mut bad = 0;
        let mut faults = Vec::new();
        let mut key = Vec::new();
        let scanned = tables.scan(b"", None, &mut |table_key, value| {
            let bytes = (table_key.len() + value.len()) as u64;
            read(bytes);
            findings.bytes += bytes;
            match row(table_key, value, revision, &mut key) {
                Ok(true) => findings.versions += 1,
                Ok(false) => findings.own_rows += 1,
                Err(what) => {
                    bad += 1;
                    if bad <= LISTED {
                        faults.push(format!("the row \"{}\" {what}", table_key.escape_ascii()));
                    }
                }
            }
            Step::Next
        });
        findings.faults.append(&mut faults);
        if bad > LISTED {
            findings.faults.push(format!("{} more rows are damaged", bad - LISTED));
        }
        if let Err(error) = scanned {
            findings.faults.push(failed(error));
        }
        findings
    }
}

/// A stretch of rows that was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stretch {
    /// The row to go on with; none if all rows are read.
    pub next: Option<Vec<u8>>,
    /// Bytes that were read.
    pub bytes: u64,
    /// A row that is not as the state machine writes it, as a sentence; the first one only.
    pub fault: Option<String>,
}

impl<T: Tables> Reader<T> {
    /// Reads about `max_bytes` of rows from `from` on, past all caches, and checks each: what rots is found before somebody
    /// needs it.
    ///
    /// # Errors
    /// [`TablesError`] if something cannot be read, or is not what was written.
    pub fn examine(&self, from: &[u8], max_bytes: u64) -> Result<Stretch, TablesError> {
        let mut stretch = Stretch::default();
        let mut key = Vec::new();
        let frozen = self.tables().freeze();
        let newest = Progress::frozen(&frozen)?.revision.0;
        frozen.scan(from, None, &mut |table_key, value| {
            if stretch.bytes >= max_bytes {
                stretch.next = Some(table_key.to_vec());
                return Step::Stop;
            }
            stretch.bytes += (table_key.len() + value.len()) as u64;
            if let Err(what) = row(table_key, value, newest, &mut key) {
                let what = format!("the row \"{}\" {what}", table_key.escape_ascii());
                stretch.fault.get_or_insert(what);
            }
            Step::Next
        })?;
        Ok(stretch)
    }
}

/// Whether a row is a version of a key; an error if it was meant to be one.
fn row(table_key: &[u8], value: &[u8], newest: i64, key: &mut Vec<u8>) -> Result<bool, String> {
    if is_session(table_key) && !sessions::is_sound(value) {
        return Err("does not hold a session".to_owned());
    }
    if !keys::is_version(table_key) {
        return Ok(false);
    }
    let revision = keys::parse(table_key, key).ok_or("is not the key of a version")?;
    let record = Record::decode(value).ok_or("does not hold a version")?;
    if revision < 1 || revision > newest {
        return Err(format!("is of revision {revision}, but the newest is {newest}"));
    }
    match record {
        Record::Put {
            create_revision,
            version,
            ..
        } if version < 1 || create_revision < 1 || create_revision > revision => Err(format!(
            "is version {version}, created in revision {create_revision}, put in revision {revision}: that cannot be"
        )),
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use paxos::Slot;

    use super::super::reply::Revision;
    use super::*;
    use crate::tables::{MemoryTables, TableBatch};

    #[test]
    fn stretches_cover_all_rows_once() {
        let tables = MemoryTables::new();
        let mut batch = tables.batch(0);
        let progress = Progress {
            revision: Revision(100),
            ..Progress::START
        };
        batch.put(keys::META, &progress.encode());
        for revision in 1..=102 {
            let (mut table_key, mut value) = (Vec::new(), Vec::new());
            keys::version_key(&mut table_key, b"key", revision);
            Record::Deleted.encode(&mut value);
            batch.put(&table_key, &value);
        }
        tables.write(batch).expect("memory");
        let all = StateFindings::gather(&tables, &mut |_| {});
        let machine = super::super::Machine::open(tables, 0).expect("sound tables");
        let (mut from, mut bytes, mut faults, mut stretches) = (Vec::new(), 0, Vec::new(), 0);
        loop {
            let stretch = machine.reader().examine(&from, 100).expect("memory");
            bytes += stretch.bytes;
            faults.extend(stretch.fault);
            stretches += 1;
            match stretch.next {
                Some(next) => from = next,
                None => break,
            }
        }
        assert_eq!(bytes, all.bytes);
        assert!(stretches > 10, "{stretches}");
        assert!(
            faults[0].contains("is of revision 102, but the newest is 100"),
            "{faults:?}"
        );
    }

    #[test]
    fn every_row_that_cannot_be_is_named() {
        let tables = MemoryTables::new();
        let mut batch = tables.batch(0);
        let progress = Progress {
            applied: Slot(9),
            revision: Revision(5),
            ..Progress::START
        };
        batch.put(keys::META, &progress.encode());
        let mut put = |key: &str, revision: i64, create_revision: i64, version: i64| {
            let (mut table_key, mut value) = (Vec::new(), Vec::new());
            keys::version_key(&mut table_key, key.as_bytes(), revision);
            Record::Put {
                create_revision,
                version,
                lease: 0,
                value: b"v",
            }
            .encode(&mut value);
            batch.put(&table_key, &value);
        };
        put("good", 4, 2, 3);
        put("from the future", 6, 2, 3);
        put("unborn", 3, 4, 1);
        put("no version", 3, 3, 0);
        batch.put(b"kshort", b"");
        batch.put(b"i", b"an owner");
        tables.write(batch).expect("memory");
        let mut heard = 0;
        let findings = StateFindings::gather(&tables, &mut |bytes| heard += bytes);
        assert_eq!((findings.versions, findings.own_rows, findings.bytes), (1, 2, heard));
        assert_eq!(findings.progress, Some(progress));
        for part in ["from the future", "unborn", "no version", "kshort"] {
            assert!(
                findings.faults.iter().any(|fault| fault.contains(part)),
                "{part}: {:?}",
                findings.faults
            );
        }
        assert_eq!(findings.faults.len(), 4);
    }
}
