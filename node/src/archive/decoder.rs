//! From the bytes of a file to pieces, however the bytes come in.

use ring::digest::{Context, SHA256};
use storage::snapshot::{Header, SnapshotError, Summary, TakeRow, Verifier};
use thiserror::Error;

use super::{BLOCK, CHECKSUM, LONGEST, MAGIC};

/// What is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Fault {
    /// It begins with something else.
    #[error("it is not a snapshot of a synod cluster")]
    Stranger,
    /// Another build wrote it.
    #[error("its format is '{found}', and this build reads format '{}': use a build that is as new as the one that wrote it", char::from(MAGIC[15]))]
    Newer {
        /// The version in it.
        found: char,
    },
    /// It ends too early.
    #[error("it is cut off after {bytes} bytes: save it again")]
    Truncated {
        /// How many there are.
        bytes: u64,
    },
    /// It goes on after its end.
    #[error("it goes on after its end at byte {end}: something was appended to it")]
    Longer {
        /// Where it should end.
        end: u64,
    },
    /// What is between the pieces is not what was written.
    #[error("it is damaged: {what}")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// A piece is not what was written.
    #[error(transparent)]
    Piece(#[from] SnapshotError),
}

/// What comes next.
enum Expect {
    Magic,
    Length,
    Piece(usize),
    Padding(usize),
    Checksum,
    Nothing,
}

/// Checks everything that can be checked: order, checksums, sums, and that nothing is missing at the end.
pub struct Decoder {
    expect: Expect,
    held: Vec<u8>,
    sum: Context,
    /// Bytes that were understood.
    len: u64,
    verifier: Verifier,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder {
            expect: Expect::Magic,
            held: Vec::new(),
            sum: Context::new(&SHA256),
            len: 0,
            verifier: Verifier::new(),
        }
    }
}

impl Decoder {
    /// Takes the next bytes; shows the bytes of each whole piece, and every row.
    ///
    /// # Errors
    /// [`Fault`]: whatever was shown is to be thrown away.
    pub fn take(
        &mut self,
        bytes: &[u8],
        piece: &mut dyn FnMut(&[u8]) -> Result<(), SnapshotError>,
        row: &mut TakeRow<'_>,
    ) -> Result<(), Fault> {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut rest = &held[..];
        while let Some((now, later)) = self.wanted().and_then(|wanted| rest.split_at_checked(wanted)) {
            rest = later;
            if !matches!(self.expect, Expect::Checksum) {
                self.sum.update(now);
            }
            self.len += now.len() as u64;
            self.expect = self.understand(now, piece, row)?;
        }
        if matches!(self.expect, Expect::Nothing) && !rest.is_empty() {
            return Err(Fault::Longer { end: self.len });
        }
        self.held = rest.to_vec();
        Ok(())
    }

    /// What the file says of itself, once its first piece is there.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.verifier.header()
    }

    /// The whole file is there, and as it was written.
    ///
    /// # Errors
    /// [`Fault::Truncated`].
    pub fn finish(self) -> Result<Summary, Fault> {
        match (self.expect, self.verifier.summary()) {
            (Expect::Nothing, Some(summary)) => Ok(summary.clone()),
            _ => Err(Fault::Truncated {
                bytes: self.len + self.held.len() as u64,
            }),
        }
    }

    /// How many bytes are understood together next.
    fn wanted(&self) -> Option<usize> {
        match self.expect {
            Expect::Magic => Some(MAGIC.len()),
            Expect::Length => Some(4),
            Expect::Piece(len) | Expect::Padding(len) => Some(len),
            Expect::Checksum => Some(CHECKSUM),
            Expect::Nothing => None,
        }
    }

    fn understand(
        &mut self,
        bytes: &[u8],
        piece: &mut dyn FnMut(&[u8]) -> Result<(), SnapshotError>,
        row: &mut TakeRow<'_>,
    ) -> Result<Expect, Fault> {
        let damaged = |what: String| Fault::Damaged { what };
        Ok(match self.expect {
            Expect::Magic => {
                let (name, version) = bytes.split_at(MAGIC.len() - 1);
                if name != &MAGIC[..MAGIC.len() - 1] {
                    return Err(Fault::Stranger);
                }
                if version[0] != MAGIC[MAGIC.len() - 1] {
                    return Err(Fault::Newer {
                        found: char::from(version[0]),
                    });
                }
                Expect::Length
            }
            Expect::Length => {
                let len = u32::from_le_bytes(bytes.try_into().expect("it asked for four")) as usize;
                let ended = self.verifier.summary().is_some();
                match (len, ended) {
                    (0, true) => Expect::Padding((self.len.next_multiple_of(BLOCK) - self.len) as usize),
                    (0, false) => return Err(damaged("pieces are missing at its end".to_owned())),
                    (_, true) => return Err(damaged("there is a piece behind the last one".to_owned())),
                    (1..=LONGEST, false) => Expect::Piece(len),
                    _ => return Err(damaged(format!("a piece of {len} bytes"))),
                }
            }
            Expect::Piece(_) => {
                self.verifier.take(bytes, row)?;
                piece(bytes)?;
                Expect::Length
            }
            Expect::Padding(_) => {
                if bytes.iter().any(|byte| *byte != 0) {
                    return Err(damaged("there should be zeros at its end".to_owned()));
                }
                Expect::Checksum
            }
            Expect::Checksum => {
                if self.sum.clone().finish().as_ref() != bytes {
                    return Err(damaged("its checksum is not that of its bytes".to_owned()));
                }
                Expect::Nothing
            }
            Expect::Nothing => unreachable!("nothing more is wanted"),
        })
    }
}
