//! The synced mark: how far the journal was durable when it last said so (A6).
//!
//! A log file that was cut exactly between two records looks like one that was never longer; so do a log file, a manifest
//! or a whole folder from yesterday. What the journal has acknowledged is therefore kept a second time, as one number: after
//! every sync, and before the messages that rest on it leave, the number of the last change goes into the file `SYNCED`. At
//! the next start the journal must reach at least as far.
//!
//! The number is written, not synced: when a process dies the system still has it, so the mark is exact; when the power
//! fails the disk has an earlier one, which is a lower bound still. Now and then, when nobody waits, the file is synced, so
//! that the bound is not much lower. It can never be too high, because it is written after the sync that it reports.
//!
//! Two cells, each at the beginning of a page of its own, are written in turn: whatever happens to one of them in the middle
//! of a write, the other holds the number before it.
//!
//! ```text
//! cell = magic "SYNCED" | layout u16 | owner u32 | number u64 | crc32c u32 of all before, little-endian
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::identity::Identity;

/// The file's name in the journal's folder.
pub(super) const FILE: &str = "SYNCED";

const MAGIC: &[u8; 6] = b"SYNCED";
const LAYOUT: u16 = 1;
const CELL: usize = 24;
/// Where the second cell begins: no disk tears two pages in one write.
const STRIDE: u64 = 4096;
const CELLS: u64 = 2;

/// How much the mark on the disk may lag behind after a loss of power, while the journal is written; one sync of some
/// milliseconds in this time is not felt. An idle system writes it back by itself.
const SETTLE_EVERY: Duration = Duration::from_secs(5);

/// The open file, which only the journal's thread writes.
pub(super) struct SyncedMark {
    file: File,
    owner: u32,
    /// The cell that is written next: the one that does not hold the latest number.
    next: u64,
    number: u64,
    settled: Instant,
    settled_number: u64,
}

/// What there is in a journal's folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// There is no such file.
    Missing,
    /// No cell can be read.
    Unreadable,
    /// The higher of the readable cells.
    Mark {
        /// Whose mark it is: [`owner`].
        owner: u32,
        /// Every change up to this one was durable.
        number: u64,
        /// Which cell holds it.
        cell: u64,
        /// The other cell cannot be read, so the mark may be one step too low.
        alone: bool,
    },
}

/// A short name for an identity: it tells a mark that was copied from another node.
pub(super) fn owner(identity: &Identity) -> u32 {
    let numbers = [identity.cluster_id.0, identity.node.0, identity.incarnation.0];
    numbers
        .iter()
        .fold(0, |sum, number| crc32c::crc32c_append(sum, &number.to_le_bytes()))
}

/// Reads the mark in the journal's folder `dir`, and changes nothing.
pub(super) fn read(dir: &Path) -> io::Result<Found> {
    let bytes = match fs::read(dir.join(FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
        Err(error) => return Err(error),
    };
    let cells = (0..CELLS).filter_map(|cell| {
        let at = usize::try_from(cell * STRIDE).ok()?;
        let (owner, number) = decode(bytes.get(at..at + CELL)?)?;
        Some((number, owner, cell))
    });
    let cells: Vec<_> = cells.collect();
    Ok(cells
        .iter()
        .max()
        .map_or(Found::Unreadable, |(number, owner, cell)| Found::Mark {
            owner: *owner,
            number: *number,
            cell: *cell,
            alone: cells.len() < 2,
        }))
}

fn encode(owner: u32, number: u64) -> [u8; CELL] {
    let mut cell = [0; CELL];
    cell[..6].copy_from_slice(MAGIC);
    cell[6..8].copy_from_slice(&LAYOUT.to_le_bytes());
    cell[8..12].copy_from_slice(&owner.to_le_bytes());
    cell[12..20].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32c::crc32c(&cell[..20]);
    cell[20..].copy_from_slice(&checksum.to_le_bytes());
    cell
}

fn decode(cell: &[u8]) -> Option<(u32, u64)> {
    let (checked, checksum) = cell.split_last_chunk::<4>()?;
    if crc32c::crc32c(checked) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let rest = checked.strip_prefix(MAGIC)?.strip_prefix(&LAYOUT.to_le_bytes())?;
    let (owner, number) = rest.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*owner), u64::from_le_bytes(number.try_into().ok()?)))
}

impl SyncedMark {
    /// Makes the file, durably and whole, in place of whatever has its name.
    pub(super) fn create(dir: &Path, owner: u32, number: u64) -> io::Result<SyncedMark> {
        let new = dir.join(format!("{FILE}.new"));
        let file = File::create(&new)?;
        for cell in 0..CELLS {
            file.write_all_at(&encode(owner, number), cell * STRIDE)?;
        }
        file.sync_all()?;
        fs::rename(&new, dir.join(FILE))?;
        File::open(dir)?.sync_all()?;
        Ok(SyncedMark::over(file, owner, number, 0))
    }

    /// Goes on with the mark that [`read`] found, for the journal's present end.
    pub(super) fn open(dir: &Path, owner: u32, found: u64, cell: u64, number: u64) -> io::Result<SyncedMark> {
        assert!(
            number >= found,
            "A6: the journal ends at change {number}, but was durable up to {found}"
        );
        let file = File::options().write(true).open(dir.join(FILE))?;
        let mut mark = SyncedMark::over(file, owner, found, (cell + 1) % CELLS);
        // What recovery found is on the disk as well, whether or not it was acknowledged.
        mark.raise(number)?;
        Ok(mark)
    }

    fn over(file: File, owner: u32, number: u64, next: u64) -> SyncedMark {
        SyncedMark {
            file,
            owner,
            next,
            number,
            settled: Instant::now(),
            settled_number: number,
        }
    }

    /// Every change up to `number` is durable. Costs a system call, no disk access.
    pub(super) fn raise(&mut self, number: u64) -> io::Result<()> {
        assert!(
            number >= self.number,
            "A6: the mark {} of what is durable was to be lowered to {number}",
            self.number
        );
        if number == self.number {
            return Ok(());
        }
        self.file
            .write_all_at(&encode(self.owner, number), self.next * STRIDE)?;
        self.next = (self.next + 1) % CELLS;
        self.number = number;
        Ok(())
    }

    /// Syncs the file if that is due, or in any case if nothing follows.
    pub(super) fn settle(&mut self, last: bool) -> io::Result<()> {
        let due = last || self.settled.elapsed() >= SETTLE_EVERY;
        if due && self.number > self.settled_number {
            self.file.sync_data()?;
            self.settled = Instant::now();
            self.settled_number = self.number;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(dir: &Path) -> Option<u64> {
        match read(dir).expect("a readable folder") {
            Found::Mark { number, owner: 7, .. } => Some(number),
            _ => None,
        }
    }

    #[test]
    fn the_last_number_raised_is_found_again() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(read(dir.path()).expect("a readable folder"), Found::Missing);
        let mut mark = SyncedMark::create(dir.path(), 7, 3).expect("a writable folder");
        assert_eq!(number(dir.path()), Some(3));
        for raised in [4, 4, 9, 100, u64::MAX] {
            mark.raise(raised).expect("a writable file");
            mark.settle(raised == 9).expect("a writable file");
            assert_eq!(number(dir.path()), Some(raised));
            let Found::Mark { number, cell, .. } = read(dir.path()).expect("a readable folder") else {
                panic!("it was there a moment ago")
            };
            mark = SyncedMark::open(dir.path(), 7, number, cell, number).expect("a writable file");
        }
    }

    #[test]
    fn a_spoilt_cell_leaves_the_number_before_it_and_two_leave_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut mark = SyncedMark::create(dir.path(), 7, 1).expect("a writable folder");
        mark.raise(2).expect("a writable file");
        mark.raise(3).expect("a writable file");
        let whole = fs::read(dir.path().join(FILE)).expect("the file");
        let cells = [0..CELL, STRIDE as usize..STRIDE as usize + CELL];
        let mut seen = Vec::new();
        for at in cells.iter().cloned().flatten() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                fs::write(dir.path().join(FILE), &flipped).expect("a writable file");
                seen.push(number(dir.path()).expect("the other cell is whole"));
                flipped[(at + STRIDE as usize) % (2 * STRIDE as usize)] ^= 1 << bit;
                fs::write(dir.path().join(FILE), &flipped).expect("a writable file");
                assert_eq!(read(dir.path()).expect("a readable folder"), Found::Unreadable);
            }
        }
        seen.sort_unstable();
        assert_eq!(
            (
                seen.len(),
                seen[0],
                seen[8 * CELL - 1],
                seen[8 * CELL],
                seen[16 * CELL - 1]
            ),
            (16 * CELL, 2, 2, 3, 3),
            "half of the cells are the later one"
        );
        for length in 0..whole.len() {
            fs::write(dir.path().join(FILE), &whole[..length]).expect("a writable file");
            let expected = if length < CELL { None } else { Some(3) };
            assert!(
                number(dir.path()).is_none_or(|found| Some(found) <= expected),
                "{length} bytes"
            );
        }
    }

    #[test]
    #[should_panic(expected = "A6")]
    fn it_never_goes_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut mark = SyncedMark::create(dir.path(), 7, 5).expect("a writable folder");
        let _ = mark.raise(4);
    }
}
