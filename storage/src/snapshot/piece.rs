//! The bytes of a piece.
//!
//! ```text
//! magic 4 | format 2 | number 8 | slot 8 | last 1 | head 4+n | rows 4, each key length 4, value length 4, key, value | tail 4+n | checksum 4
//! ```
//!
//! Numbers are little-endian. The head is the snapshot's header in the first piece and empty in all others, the tail the
//! sums in the last one. The checksum is the CRC-32C of everything before it, and is looked at before anything but magic
//! and format, so nothing in a piece has any meaning until the piece is whole.

use bytes::Bytes;

use super::error::SnapshotError;

/// The layout of snapshots that this build writes, and the newest it reads.
pub const FORMAT: u16 = 1;

const MAGIC: [u8; 4] = *b"syns";
const CHECKSUM: usize = 4;

/// A piece as it travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Its place, from 0.
    pub number: u64,
    /// No piece comes after it.
    pub last: bool,
    /// Its bytes; what stands above is in them as well.
    pub payload: Bytes,
}

/// A piece that is being written.
pub(super) struct Writer {
    number: u64,
    bytes: Vec<u8>,
    /// Where the number of rows belongs.
    count_at: usize,
    pub(super) rows: u32,
}

/// Where `last` stands.
const LAST_AT: usize = 4 + 2 + 8 + 8;

impl Writer {
    pub(super) fn new(number: u64, slot: u64, head: &[u8], capacity: usize) -> Writer {
        let mut bytes = Vec::with_capacity(capacity + 256);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&slot.to_le_bytes());
        bytes.push(0);
        push_sized(&mut bytes, head);
        let count_at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        Writer {
            number,
            bytes,
            count_at,
            rows: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(&size(key));
        self.bytes.extend_from_slice(&size(value));
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.rows += 1;
    }

    /// The whole piece; the last one has a tail.
    pub(super) fn finish(mut self, tail: Option<&[u8]>) -> Piece {
        self.bytes[LAST_AT] = u8::from(tail.is_some());
        self.bytes[self.count_at..self.count_at + 4].copy_from_slice(&self.rows.to_le_bytes());
        push_sized(&mut self.bytes, tail.unwrap_or_default());
        let checksum = crc32c::crc32c(&self.bytes);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        Piece {
            number: self.number,
            last: tail.is_some(),
            payload: self.bytes.into(),
        }
    }
}

fn size(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len())
        .expect("keys and values are far below 4 GiB")
        .to_le_bytes()
}

fn push_sized(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend_from_slice(&size(bytes));
    into.extend_from_slice(bytes);
}

/// A piece whose checksum is right, taken apart.
pub(super) struct Parts<'p> {
    pub(super) number: u64,
    pub(super) slot: u64,
    pub(super) last: bool,
    pub(super) head: &'p [u8],
    pub(super) rows: Vec<(&'p [u8], &'p [u8])>,
    pub(super) tail: &'p [u8],
}

/// Takes a piece apart; `expected` is its number, for the error.
pub(super) fn parse(payload: &[u8], expected: u64) -> Result<Parts<'_>, SnapshotError> {
    let damaged = |what: &str| SnapshotError::Damaged {
        number: expected,
        what: what.to_owned(),
    };
    let mut start = payload;
    if take::<4>(&mut start) != Some(MAGIC) {
        return Err(damaged("it does not begin like a piece of a snapshot"));
    }
    let format = take(&mut start).map(u16::from_le_bytes);
    match format {
        Some(FORMAT) => {}
        Some(found) if found > FORMAT => return Err(SnapshotError::Newer { found }),
        Some(_) | None => return Err(damaged("it names no format that ever was")),
    }
    let Some((checked, checksum)) = payload.split_last_chunk::<CHECKSUM>() else {
        return Err(damaged("it ends in its first bytes"));
    };
    if crc32c::crc32c(checked) != u32::from_le_bytes(*checksum) {
        return Err(damaged("its checksum is wrong"));
    }
    parse_checked(checked).ok_or_else(|| damaged("its checksum is right, but its fields make no sense"))
}

fn parse_checked(checked: &[u8]) -> Option<Parts<'_>> {
    let mut rest = checked.get(MAGIC.len() + 2..)?;
    let number = u64::from_le_bytes(take(&mut rest)?);
    let slot = u64::from_le_bytes(take(&mut rest)?);
    let last = match take(&mut rest)? {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    let head = take_sized(&mut rest)?;
    let count = u32::from_le_bytes(take(&mut rest)?) as usize;
    // A row takes 8 bytes at least, so a made-up count reserves no memory to speak of.
    let mut rows = Vec::with_capacity(count.min(rest.len() / 8));
    for _ in 0..count {
        let key = u32::from_le_bytes(take(&mut rest)?);
        let value = u32::from_le_bytes(take(&mut rest)?);
        rows.push((take_slice(&mut rest, key)?, take_slice(&mut rest, value)?));
    }
    let tail = take_sized(&mut rest)?;
    rest.is_empty().then_some(Parts {
        number,
        slot,
        last,
        head,
        rows,
        tail,
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn take_slice<'p>(bytes: &mut &'p [u8], length: u32) -> Option<&'p [u8]> {
    let (taken, rest) = bytes.split_at_checked(length as usize)?;
    *bytes = rest;
    Some(taken)
}

fn take_sized<'p>(bytes: &mut &'p [u8]) -> Option<&'p [u8]> {
    let length = u32::from_le_bytes(take(bytes)?);
    take_slice(bytes, length)
}
