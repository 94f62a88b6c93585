//! Takes the pieces of a snapshot in order, and believes nothing.

use super::error::SnapshotError;
use super::header::{Header, Summary, Sums};
use super::piece::{self, Parts};
use crate::machine::keys::META;
use crate::machine::{Leftovers, Progress};
use crate::tables::{LOCAL, TablesError};

/// Is given each row.
pub type TakeRow<'r> = dyn FnMut(&[u8], &[u8]) -> Result<(), TablesError> + 'r;

/// Verifies a snapshot while its pieces come in. Of a piece that is refused, rows may have been passed on; after an error
/// all is to be thrown away, and the verifier takes nothing more.
#[derive(Default)]
pub struct Verifier {
    next: u64,
    begun: Option<Begun>,
    summary: Option<Summary>,
    broken: Option<SnapshotError>,
}

struct Begun {
    header: Header,
    sums: Sums,
    last_key: Vec<u8>,
    leftovers: Leftovers,
    /// What the rows say about how far the state has come.
    progress: Progress,
}

/// A piece was taken.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Which.
    pub number: u64,
    /// It was the last, and the whole is as it was written.
    pub complete: bool,
}

impl Verifier {
    /// Takes nothing yet.
    #[must_use]
    pub fn new() -> Verifier {
        Verifier::default()
    }

    /// Takes the next piece and shows its rows in order.
    ///
    /// # Errors
    /// [`SnapshotError`], and the same at every later call.
    pub fn take(&mut self, payload: &[u8], row: &mut TakeRow<'_>) -> Result<Taken, SnapshotError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let taken = self.take_sound(payload, row);
        if let Err(error) = &taken {
            self.broken = Some(error.clone());
        }
        taken
    }

    /// What the snapshot says of itself, once the first piece is there.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.begun.as_ref().map(|begun| &begun.header)
    }

    /// Rows and bytes that were taken.
    #[must_use]
    pub fn taken(&self) -> (u64, u64) {
        self.begun
            .as_ref()
            .map_or((0, 0), |begun| (begun.sums.rows, begun.sums.bytes))
    }

    /// The whole, once the last piece was taken and everything fits.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    fn take_sound(&mut self, payload: &[u8], row: &mut TakeRow<'_>) -> Result<Taken, SnapshotError> {
        let number = self.next;
        let damaged = |what: String| SnapshotError::Damaged { number, what };
        let parts = piece::parse(payload, number)?;
        if self.summary.is_some() || parts.number != number {
            return Err(SnapshotError::Misplaced {
                expected: number,
                found: parts.number,
            });
        }
        if number == 0 {
            let header = Header::decode(parts.head).ok_or_else(|| damaged("its header makes no sense".to_owned()))?;
            self.begun = Some(Begun {
                sums: Sums::start(&header),
                last_key: Vec::new(),
                leftovers: Leftovers::new(header.progress.compacted),
                progress: Progress::START,
                header,
            });
        } else if !parts.head.is_empty() {
            return Err(damaged("it has a header, which only the first piece has".to_owned()));
        }
        let begun = self.begun.as_mut().expect("the first piece was taken");
        begun.take_rows(&parts, number, row)?;
        if parts.last {
            self.summary = Some(begun.finish(&parts).map_err(damaged)?);
        } else if !parts.tail.is_empty() {
            return Err(damaged("it has sums, which only the last piece has".to_owned()));
        }
        self.next += 1;
        Ok(Taken {
            number,
            complete: parts.last,
        })
    }
}

impl Begun {
    fn take_rows(&mut self, parts: &Parts<'_>, number: u64, row: &mut TakeRow<'_>) -> Result<(), SnapshotError> {
        let slot = self.header.progress.applied;
        if parts.slot != slot.0 {
            return Err(SnapshotError::Foreign {
                what: format!(
                    "piece {number} is of slot {}, and the snapshot of slot {slot}",
                    parts.slot
                ),
            });
        }
        let damaged = |what: String| SnapshotError::Damaged { number, what };
        for (key, value) in &parts.rows {
            if self.sums.rows > 0 && *key <= self.last_key.as_slice() {
                return Err(damaged(format!("the row {key:?} is not in order")));
            }
            if key.first() == Some(&LOCAL) {
                return Err(damaged(format!("the row {key:?} is another node's own affair")));
            }
            if self.leftovers.drops(key, value) {
                return Err(damaged(format!("the row {key:?} is none that compaction keeps")));
            }
            if *key == META {
                self.progress = Progress::decode(value)?;
            }
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
            self.sums.add(key, value);
            row(key, value)?;
        }
        Ok(())
    }

    /// The whole, if what it says at the end and at the beginning is what came between.
    fn finish(&self, parts: &Parts<'_>) -> Result<Summary, String> {
        let said = Sums::decode(parts.tail).ok_or("its sums make no sense")?;
        if said != self.sums {
            return Err(format!(
                "the sums at the end are {said:?}, but those of the pieces are {:?}",
                self.sums
            ));
        }
        if self.progress != self.header.progress {
            return Err(format!(
                "the header speaks of {:?}, but the rows of {:?}",
                self.header.progress, self.progress
            ));
        }
        Ok(Summary {
            header: self.header.clone(),
            rows: said.rows,
            bytes: said.bytes,
            checksum: said.checksum,
        })
    }
}
