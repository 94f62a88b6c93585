//! A snapshot in a file, read and checked.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use storage::machine::KeyCount;
use storage::snapshot::SnapshotError;

use super::decoder::Decoder;

/// Bytes read at once.
const READ: usize = 1 << 20;

/// What is in a file, every byte of which was checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Facts {
    /// The name of the cluster that it is of.
    pub cluster: String,
    /// Its number.
    pub cluster_id: u64,
    /// The applied slot whose state it is.
    pub slot: u64,
    /// The store's revision then.
    pub revision: i64,
    /// The oldest revision that can be read from it; 0 if the store was never compacted.
    pub compacted: i64,
    /// Keys that exist at its revision.
    pub keys: u64,
    /// Rows: versions of keys, and the state machine's own numbers.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Hash over the rows: equal for equal states.
    pub checksum: String,
}

/// Reads and checks a file; shows the bytes of each piece.
///
/// # Errors
/// A sentence.
pub fn read(path: &Path, piece: &mut dyn FnMut(&[u8]) -> Result<(), SnapshotError>) -> Result<Facts, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut file = File::open(path).map_err(|error| named(&error))?;
    let (mut decoder, mut keys, mut bytes) = (Decoder::default(), KeyCount::default(), 0);
    let mut buffer = vec![0; READ];
    loop {
        let count = file.read(&mut buffer).map_err(|error| named(&error))?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        let mut row = |key: &[u8], value: &[u8]| {
            keys.row(key, value);
            Ok(())
        };
        decoder
            .take(&buffer[..count], piece, &mut row)
            .map_err(|fault| named(&fault))?;
    }
    let summary = decoder.finish().map_err(|fault| named(&fault))?;
    let (origin, progress) = (summary.header.origin, summary.header.progress);
    Ok(Facts {
        cluster: origin.cluster,
        cluster_id: origin.cluster_id.0,
        slot: progress.applied.0,
        revision: progress.revision.0,
        compacted: progress.compacted.max(0),
        keys: keys.keys(),
        rows: summary.rows,
        bytes,
        checksum: format!("{:016x}", summary.checksum),
    })
}
