//! The records of RocksDB's own logs: its write-ahead log and its `MANIFEST` are written alike.
//!
//! Blocks of 32 KiB; records of checksum (4 bytes, masked CRC-32C of type and data), length (2), type (1) and data, all
//! little-endian; a record does not cross blocks; fewer than 7 bytes at the end of a block are filler. What is written at once is
//! one record ([`FULL`]), or a [`FIRST`], [`MIDDLE`] and [`LAST`] one.
//!
//! RocksDB has more types, most of them for log files that are written again from the beginning, or compressed. It uses neither
//! here.

pub(crate) const FULL: u8 = 1;
pub(crate) const FIRST: u8 = 2;
pub(crate) const MIDDLE: u8 = 3;
pub(crate) const LAST: u8 = 4;

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

/// What is at some place of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At<'b> {
    /// A whole record.
    Record {
        /// Its type.
        kind: u8,
        /// What it carries.
        data: &'b [u8],
        /// Where the next begins.
        next: usize,
    },
    /// The end of a block; the next record begins here.
    Filler(usize),
    /// The file ends here, or within a record that was never finished, or in space that was reserved.
    End,
    /// Neither: at this place is not what was written.
    Bad,
}

/// What is at `at`, where a record is to begin. The file's end is one only if nothing that can be read follows it.
pub(crate) fn at(bytes: &[u8], at: usize) -> At<'_> {
    match look(bytes, at) {
        // Space that was reserved for records which were never written reads as zeros.
        Look::Cut | Look::Bad if bytes.iter().skip(at).all(|byte| *byte == 0) => At::End,
        Look::Cut if (at + 1..bytes.len()).all(|later| !is_record(bytes, later)) => At::End,
        Look::Cut | Look::Bad => At::Bad,
        Look::Filler(next) => At::Filler(next),
        Look::Record(kind, data) => At::Record {
            kind,
            data,
            next: at + HEADER + data.len(),
        },
    }
}

enum Look<'b> {
    Record(u8, &'b [u8]),
    Filler(usize),
    Cut,
    Bad,
}

fn look(bytes: &[u8], at: usize) -> Look<'_> {
    let block_end = (at / BLOCK + 1) * BLOCK;
    if block_end - at < HEADER && at < bytes.len() {
        return Look::Filler(block_end);
    }
    let Some(header) = bytes.get(at..).and_then(|rest| rest.first_chunk::<HEADER>()) else {
        return Look::Cut;
    };
    let [a, b, c, d, low, high, kind] = *header;
    let end = at + HEADER + usize::from(u16::from_le_bytes([low, high]));
    if kind == 0 || end > block_end {
        return Look::Bad;
    }
    let Some(checked) = bytes.get(at + HEADER - 1..end) else {
        return Look::Cut;
    };
    if mask(crc32c::crc32c(checked)) == u32::from_le_bytes([a, b, c, d]) {
        Look::Record(kind, &checked[1..])
    } else {
        Look::Bad
    }
}

/// Whether a record that carries data begins here.
fn is_record(bytes: &[u8], at: usize) -> bool {
    let kind = bytes.get(at + HEADER - 1).copied().unwrap_or(0);
    (FULL..=LAST).contains(&kind) && matches!(look(bytes, at), Look::Record(..))
}

/// Checksums are stored like this because the checksum of data that contains checksums is weak.
fn mask(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A file with these records, each of a type and so many bytes, and where each begins: for tests.
#[cfg(test)]
pub(crate) fn written(records: &[(u8, usize)]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    let mut starts = Vec::new();
    for (number, (kind, length)) in records.iter().enumerate() {
        let left = BLOCK - bytes.len() % BLOCK;
        if left < HEADER + length {
            bytes.resize(bytes.len() + left, 0);
        }
        starts.push(bytes.len());
        let mut checked = vec![*kind];
        checked.resize(1 + length, number as u8 + 1);
        bytes.extend(mask(crc32c::crc32c(&checked)).to_le_bytes());
        bytes.extend((*length as u16).to_le_bytes());
        bytes.extend(checked);
    }
    (bytes, starts)
}

/// `verify` says of these records, whatever bit of them is flipped, that the damage is in the record that holds it; for tests.
#[cfg(test)]
pub(crate) fn every_flip_is_noticed(records: &[(u8, usize)], verify: impl Fn(&[u8]) -> Result<(), usize>) {
    let (bytes, starts) = written(records);
    for at in 0..bytes.len() {
        let start = starts.iter().rfind(|start| **start <= at);
        let start = *start.expect("the first begins at 0");
        if starts.last() == Some(&start) && (4..6).contains(&(at - start)) {
            // By its length the last record may then look cut off; whether it was ever whole cannot be seen here.
            continue;
        }
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(verify(&flipped), Err(start), "bit {bit} of byte {at}");
        }
    }
}
