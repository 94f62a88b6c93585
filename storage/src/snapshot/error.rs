//! Why a piece of a snapshot is not taken.

use thiserror::Error;

use super::piece::FORMAT;
use crate::tables::TablesError;

/// A snapshot cannot be read or taken. Nothing that was built from it may be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SnapshotError {
    /// A newer build wrote it.
    #[error("the snapshot is in format {found}, and this build reads formats up to {FORMAT}: upgrade this node first")]
    Newer {
        /// Its format.
        found: u16,
    },
    /// It is not what was written.
    #[error("piece {number} of the snapshot is damaged: {what}")]
    Damaged {
        /// The piece that should have come next.
        number: u64,
        /// What was found.
        what: String,
    },
    /// Pieces are taken in order, each once.
    #[error("piece {found} of the snapshot came where piece {expected} belongs")]
    Misplaced {
        /// Which should have come.
        expected: u64,
        /// Which came.
        found: u64,
    },
    /// It is of another cluster, or of another slot than was said.
    #[error("this is not the snapshot that was asked for: {what}")]
    Foreign {
        /// In what it differs.
        what: String,
    },
    /// The new state cannot be written, or the old one not read.
    #[error(transparent)]
    Tables(#[from] TablesError),
}
