//! Failures of RocksDB's own threads (A5).
//!
//! RocksDB writes sorted files in the background. When that fails it remembers the error, and for some errors, a full disk above
//! all, forgets it again by itself once a retry succeeds; whoever writes in between may never hear of it. Nothing that was
//! synced is lost by that. But a disk that failed once is one whose word nobody should take, so the count that RocksDB keeps of
//! such failures, and never lowers, is looked at behind every write, before anybody hears that it is done; and now and then beside
//! the writes, because one that waits for a flush when RocksDB gets over such an error may wait for ever.

use rocksdb::{DB, properties};

/// Whether every background write of this process has succeeded.
///
/// # Errors
/// A sentence, from the first failure on.
pub(crate) fn sound(db: &DB) -> Result<(), String> {
    match db.property_int_value(properties::BACKGROUND_ERRORS) {
        Ok(Some(0)) => Ok(()),
        Ok(Some(count)) => Err(format!(
            "RocksDB failed {count} times to write files in the background; the file LOG beside them says why"
        )),
        Ok(None) => Err("RocksDB does not say whether its background writes succeed".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
