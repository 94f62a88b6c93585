//! The check of RocksDB's log files before RocksDB is let near them (A6).
//!
//! RocksDB takes a record that reaches beyond the end of the file for the torn end of a last write. So a damaged length
//! in the last 32 KiB makes it drop acknowledged records without a word, and so does a run of zeros. Here, what is
//! dropped must be an end: nothing readable may follow it. Every commit is one synced record, so a crash leaves at most
//! one record incomplete, at the very end.
//!
//! A cut exactly between two records is an end like any other here. What was acknowledged beyond it is told by the synced
//! mark (`synced`), with which the number of the last change that is found here is compared.
//!
//! The file format is told in `records`. A write batch begins with the number of its first change (8 bytes) and how many it
//! has (4).

use std::fs;
use std::path::Path;

use super::error::OpenError;
use crate::records::{self, At, FIRST, FULL, LAST, MIDDLE};

/// What the log files of a folder hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tail {
    /// How many files there are.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Whole write batches in them.
    pub(super) batches: u64,
    /// Bytes of incomplete last records: they were never acknowledged.
    pub(super) torn: u64,
    /// The number of the last change in a whole batch; 0 if there is none.
    pub(super) last: u64,
}

/// Refuses if a log file in `dir` is damaged anywhere but in an incomplete end, or if there is none.
pub(super) fn check(dir: &Path) -> Result<Tail, OpenError> {
    let failed = |error: std::io::Error| OpenError::Engine {
        dir: dir.to_owned(),
        reason: error.to_string(),
    };
    let damaged = |what| OpenError::Damaged {
        dir: dir.to_owned(),
        what,
    };
    let mut tail = Tail::default();
    for file in fs::read_dir(dir).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let bytes = fs::read(&path).map_err(failed)?;
        let content = verify(&bytes).map_err(|at| {
            let file = path.file_name().unwrap_or_default().display();
            damaged(format!(
                "the log file {file} ({} bytes) has a bad record at byte {at}, which is not a torn end",
                bytes.len()
            ))
        })?;
        tail.files += 1;
        tail.bytes += bytes.len() as u64;
        tail.batches += content.batches;
        tail.torn += (bytes.len() - content.end) as u64;
        tail.last = tail.last.max(content.last);
    }
    if tail.files == 0 {
        return Err(damaged(
            "it has no log file, and an open journal always has one".to_owned(),
        ));
    }
    Ok(tail)
}

/// What one log file holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Content {
    /// Whole write batches.
    batches: u64,
    /// The number of the last change in them.
    last: u64,
    /// Where the readable part ends.
    end: usize,
    /// The beginning of a batch that is not complete yet.
    begun: Option<Vec<u8>>,
}

/// Bytes at the beginning of a batch: number and count.
const BATCH_HEADER: usize = 12;

impl Content {
    /// Takes in a whole record.
    fn take(&mut self, kind: u8, data: &[u8]) {
        let mut header = match kind {
            FULL | FIRST => Vec::new(),
            MIDDLE | LAST => self.begun.take().unwrap_or_default(),
            // Notes of RocksDB's own.
            _ => return,
        };
        header.extend_from_slice(&data[..data.len().min(BATCH_HEADER - header.len())]);
        if kind == FIRST || kind == MIDDLE {
            self.begun = Some(header);
            return;
        }
        self.batches += 1;
        if let Some((number, count)) = header.split_first_chunk::<8>()
            && let Ok(count) = <[u8; 4]>::try_from(count)
        {
            let next = u64::from_le_bytes(*number).saturating_add(u32::from_le_bytes(count).into());
            self.last = self.last.max(next.saturating_sub(1));
        }
    }
}

/// Returns what is there, or where the damage is if it is not a torn end.
fn verify(bytes: &[u8]) -> Result<Content, usize> {
    let mut content = Content::default();
    let mut at = 0;
    loop {
        match records::at(bytes, at) {
            At::Record { kind, data, next } => {
                content.take(kind, data);
                at = next;
            }
            At::Filler(next) => at = next,
            At::End => break,
            At::Bad => return Err(at),
        }
    }
    content.end = at.min(bytes.len());
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log file of records with these lengths, and where each begins.
    fn log(lengths: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let batches: Vec<_> = lengths.iter().map(|length| (FULL, *length)).collect();
        records::written(&batches)
    }

    #[test]
    fn a_whole_log_passes_and_so_does_every_prefix_of_it() {
        let (bytes, _) = log(&[100, 5000, 0, 300]);
        for end in 0..=bytes.len() {
            assert!(verify(&bytes[..end]).is_ok(), "cut at {end}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed_where_its_record_begins() {
        let batches = [100, 50, 0, 70].map(|length| (FULL, length));
        records::every_flip_is_noticed(&batches, |bytes| verify(bytes).map(drop));
    }

    #[test]
    fn a_run_of_zeros_is_an_end_only_at_the_end() {
        let (mut bytes, starts) = log(&[100, 50, 70]);
        let whole = bytes.len();
        bytes.resize(whole + 1000, 0);
        assert_eq!(verify(&bytes).map(|content| content.end), Ok(whole));
        bytes[starts[1]..starts[2]].fill(0);
        assert_eq!(verify(&bytes), Err(starts[1]));
    }
}
