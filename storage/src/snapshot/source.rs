//! A frozen state, read piece by piece.

use super::header::{Header, Origin, Sums};
use super::piece::{Piece, Writer};
use crate::machine::{Leftovers, Progress, governance};
use crate::tables::{Frozen, LOCAL, Step, TablesError};

/// About how long a piece is, in bytes. One row is sent even if it is longer.
pub const PIECE_BYTES: usize = 1 << 20;

/// Serves the pieces of one state. It remembers where each begins, so any piece can be had again.
pub struct Source<F> {
    frozen: F,
    header: Header,
    piece_bytes: usize,
    /// Where pieces begin: all that were reached, and the next one.
    starts: Vec<Start>,
    /// How many pieces there are, once that is known.
    pieces: Option<u64>,
}

/// Where a piece begins.
struct Start {
    key: Vec<u8>,
    /// Over all rows before.
    sums: Sums,
}

impl<F: Frozen> Source<F> {
    /// The epoch of `origin` is that of the first configuration; if there were changes, the state itself says which one was in
    /// force.
    ///
    /// Reads `frozen`, which holds about `estimated_rows` rows, in pieces of about `piece_bytes` (see [`PIECE_BYTES`]; all
    /// nodes must agree about it to give equal pieces).
    ///
    /// # Errors
    /// [`TablesError`] if it cannot be read.
    pub fn new(
        frozen: F,
        mut origin: Origin,
        estimated_rows: u64,
        piece_bytes: usize,
    ) -> Result<Source<F>, TablesError> {
        let progress = Progress::frozen(&frozen)?;
        if let Some(configurations) = governance::frozen(&frozen)? {
            origin.epoch = configurations.of(progress.applied).epoch();
        }
        let header = Header {
            origin,
            progress,
            estimated_rows,
        };
        let first = Start {
            key: Vec::new(),
            sums: Sums::start(&header),
        };
        Ok(Source {
            frozen,
            header,
            piece_bytes,
            starts: vec![first],
            pieces: None,
        })
    }

    /// What the snapshot says of itself; its slot is in there.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The piece of this number; `None` if there are fewer. A piece far behind those that were asked for so far is reached
    /// by reading all between.
    ///
    /// # Errors
    /// [`TablesError`] if the state cannot be read.
    pub fn piece(&mut self, number: u64) -> Result<Option<Piece>, TablesError> {
        let reached = |starts: &[Start]| starts.len() as u64 - 1;
        while self.pieces.is_none() && number > reached(&self.starts) {
            self.read(reached(&self.starts))?;
        }
        if self.pieces.is_some_and(|pieces| number >= pieces) {
            return Ok(None);
        }
        self.read(number).map(Some)
    }

    /// Reads a piece whose beginning is known, and notes where the next one begins.
    fn read(&mut self, number: u64) -> Result<Piece, TablesError> {
        let head = if number == 0 { self.header.encode() } else { Vec::new() };
        let at = usize::try_from(number).expect("its start is in memory");
        let start = &self.starts[at];
        let mut sums = start.sums;
        let mut writer = Writer::new(number, self.header.progress.applied.0, &head, self.piece_bytes);
        let mut next = None;
        let limit = self.piece_bytes;
        // A piece begins with a row that is kept, so no version before it matters here: all of its key are newer than that.
        let mut leftovers = Leftovers::new(self.header.progress.compacted);
        self.frozen.scan(&start.key, None, &mut |key, value| {
            if key.first() == Some(&LOCAL) {
                return Step::Seek(vec![LOCAL + 1]);
            }
            // Nodes sweep when they like; a snapshot shows nothing of that.
            if leftovers.drops(key, value) {
                return Step::Next;
            }
            if writer.rows > 0 && writer.len() + key.len() + value.len() > limit {
                next = Some(key.to_vec());
                return Step::Stop;
            }
            writer.push(key, value);
            sums.add(key, value);
            Step::Next
        })?;
        let Some(key) = next else {
            self.pieces = Some(number + 1);
            return Ok(writer.finish(Some(&sums.encode())));
        };
        if self.starts.len() == at + 1 {
            self.starts.push(Start { key, sums });
        }
        Ok(writer.finish(None))
    }
}
