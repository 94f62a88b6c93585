//! What a client may ask for, and how commands travel through the log.

use std::cell::Cell;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

/// A request that changes the state, and so goes through the log.
///
/// The order of the variants is part of the encoding: new ones are added at the end, and with a new [`FORMAT`]
/// of their own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Sets one key.
    Put(Put),
    /// Deletes a key or a range of keys.
    DeleteRange(DeleteRange),
    /// Compares, then does one of two lists of operations, all or nothing.
    Txn(Txn),
    /// Forgets the history below a revision. Since format 2.
    Compact(Compact),
}

/// Sets one key; creates it or replaces its value, and detaches it from an earlier lease.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Put {
    /// The key; not empty.
    pub key: Bytes,
    /// Its new value; empty if `ignore_value`.
    pub value: Bytes,
    /// The lease to attach the key to; 0: none.
    pub lease: i64,
    /// Whether the reply holds what was there before.
    pub prev_kv: bool,
    /// Keep the present value; the key must exist.
    pub ignore_value: bool,
    /// Keep the present lease; the key must exist.
    pub ignore_lease: bool,
}

/// Deletes the keys of a range.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DeleteRange {
    /// The key, or the first key of the range; not empty.
    pub key: Bytes,
    /// Empty: one key. A zero byte: every key from `key` on. Otherwise the first key beyond the range.
    pub range_end: Bytes,
    /// Whether the reply holds what was deleted.
    pub prev_kv: bool,
}

/// Compares, then does `success` if every comparison holds, and `failure` otherwise. All or nothing, in one revision.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Txn {
    /// What must hold; the comparisons of nested transactions see the same state as these.
    pub compare: Vec<Compare>,
    /// Done in this order if all of `compare` holds.
    pub success: Vec<Op>,
    /// Done in this order if not.
    pub failure: Vec<Op>,
}

/// Forgets every version that no reader at `revision` or later sees.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Compact {
    /// The oldest revision that can still be read; above the one of the last compaction, and not in the future.
    pub revision: i64,
}

/// One operation of a transaction. Each sees what the operations before it did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Reads.
    Range(Range),
    /// Sets a key.
    Put(Put),
    /// Deletes keys.
    DeleteRange(DeleteRange),
    /// A transaction of its own.
    Txn(#[serde(deserialize_with = "nested")] Txn),
}

/// Reads a key or the keys of a range, now or at a past revision.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Range {
    /// The key, or the first key of the range; not empty.
    pub key: Bytes,
    /// Empty: one key. A zero byte: every key from `key` on. Otherwise the first key beyond the range.
    pub range_end: Bytes,
    /// Most keys to return, after filters and sorting; 0 or less: all.
    pub limit: i64,
    /// The revision to read at; 0 or less: now.
    pub revision: i64,
    /// In which order.
    pub sort_order: SortOrder,
    /// By what.
    pub sort_target: SortTarget,
    /// Leave the values out.
    pub keys_only: bool,
    /// Return only the number of keys.
    pub count_only: bool,
    /// Leave out keys last changed before this revision; 0: none.
    pub min_mod_revision: i64,
    /// Leave out keys last changed after this revision; 0: none.
    pub max_mod_revision: i64,
    /// Leave out keys created before this revision; 0: none.
    pub min_create_revision: i64,
    /// Leave out keys created after this revision; 0: none.
    pub max_create_revision: i64,
}

/// The order in which a range is returned.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum SortOrder {
    /// Ascending.
    #[default]
    None,
    /// Ascending.
    Ascend,
    /// Descending.
    Descend,
}

/// What a range is sorted by. Keys that are equal there are returned in the order of the keys.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The version.
    Version,
    /// The create revision.
    Create,
    /// The modification revision.
    Mod,
    /// The value.
    Value,
}

/// A comparison of every key of a range with one number or value.
///
/// If there is no key in the range, a key that does not exist is compared: its numbers are 0, and a comparison with
/// its value never holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Compare {
    /// How what is stored must relate to what is given.
    pub result: CompareResult,
    /// What is compared, and the operand.
    pub target: CompareTarget,
    /// The key, or the first key of the range; not empty.
    pub key: Bytes,
    /// Empty: one key. A zero byte: every key from `key` on. Otherwise the first key beyond the range.
    pub range_end: Bytes,
}

/// How what is stored must relate to the operand.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CompareResult {
    /// Equal to it.
    Equal,
    /// Greater than it.
    Greater,
    /// Less than it.
    Less,
    /// Different from it.
    NotEqual,
}

/// What is compared, with the operand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CompareTarget {
    /// The version.
    Version(i64),
    /// The create revision.
    Create(i64),
    /// The modification revision.
    Mod(i64),
    /// The value, byte by byte.
    Value(Bytes),
    /// The lease.
    Lease(i64),
}

/// The newest encoding of commands that this build writes and reads. The first byte of every payload is the oldest format
/// that has the command, so that builds which are older stop only at what they do not know.
pub const FORMAT: u8 = 2;

/// The format of what every build knows: puts, deletions, transactions.
const FORMAT_1: u8 = 1;

/// Transactions nest no deeper than this in a command that is decoded. The check before proposing is stricter: each
/// level takes at least one operation of its parent's budget.
pub const MAX_DEPTH: usize = 256;

impl Command {
    /// The command as the payload of a log entry.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut payload = Vec::with_capacity(self.size() + 16);
        payload.push(self.format());
        postcard::to_extend(self, payload)
            .expect("writing to a vector does not fail")
            .into()
    }

    /// Reads what [`Command::encode`] wrote.
    ///
    /// # Errors
    /// [`Undecodable::Newer`] if a newer build wrote it, [`Undecodable::Malformed`] if none did.
    pub fn decode(payload: &Bytes) -> Result<Command, Undecodable> {
        match Put::slice(payload) {
            Some(put) => Ok(Command::Put(put)),
            None => Command::decode_any(payload),
        }
    }

    fn decode_any(payload: &[u8]) -> Result<Command, Undecodable> {
        match payload {
            [format @ FORMAT_1..=FORMAT, rest @ ..] => match postcard::take_from_bytes::<Command>(rest) {
                Ok((command, [])) if command.format() == *format => Ok(command),
                _ => Err(Undecodable::Malformed),
            },
            [0, ..] | [] => Err(Undecodable::Malformed),
            [newer, ..] => Err(Undecodable::Newer(*newer)),
        }
    }

    /// The oldest format that has this command.
    fn format(&self) -> u8 {
        match self {
            Command::Put(_) | Command::DeleteRange(_) | Command::Txn(_) => FORMAT_1,
            Command::Compact(_) => 2,
        }
    }

    /// Bytes of keys and values in the command, and a few for each operation; for limits.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Command::Put(put) => put.size(),
            Command::DeleteRange(delete) => delete.size(),
            Command::Txn(txn) => txn.size(),
            Command::Compact(_) => OVERHEAD,
        }
    }
}

/// What each operation or comparison costs beyond its keys and values, about.
const OVERHEAD: usize = 16;

impl Put {
    /// A put as most are, small and without a lease, whose key and value stay where they are: what the decoder for
    /// everything copies. `None` if it is anything else, malformed or not.
    fn slice(payload: &Bytes) -> Option<Put> {
        let mut at = 2;
        let mut bytes = || {
            let mut len = 0;
            for shift in [0, 7, 14] {
                let byte = *payload.get(at)?;
                at += 1;
                len |= usize::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    if shift > 0 && byte == 0 {
                        return None;
                    }
                    let from = at;
                    at = from + len;
                    return (at <= payload.len()).then(|| payload.slice(from..at));
                }
            }
            None
        };
        if payload.get(..2)? != [FORMAT_1, 0] {
            return None;
        }
        let (key, value) = (bytes()?, bytes()?);
        let [0, flags @ ..] = &payload[at..] else { return None };
        let [prev_kv @ 0..=1, ignore_value @ 0..=1, ignore_lease @ 0..=1] = *flags else {
            return None;
        };
        Some(Put {
            key,
            value,
            lease: 0,
            prev_kv: prev_kv == 1,
            ignore_value: ignore_value == 1,
            ignore_lease: ignore_lease == 1,
        })
    }

    fn size(&self) -> usize {
        OVERHEAD + self.key.len() + self.value.len()
    }
}

impl DeleteRange {
    fn size(&self) -> usize {
        OVERHEAD + self.key.len() + self.range_end.len()
    }
}

impl Txn {
    /// Whether neither branch could change anything, so that the transaction need not go through the log.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.success.iter().chain(&self.failure).all(|op| match op {
            Op::Range(_) => true,
            Op::Put(_) | Op::DeleteRange(_) => false,
            Op::Txn(txn) => txn.is_read_only(),
        })
    }

    fn size(&self) -> usize {
        let compares = self.compare.iter().map(|compare| {
            let operand = if let CompareTarget::Value(value) = &compare.target {
                value.len()
            } else {
                0
            };
            OVERHEAD + compare.key.len() + compare.range_end.len() + operand
        });
        let ops = self.success.iter().chain(&self.failure).map(|op| match op {
            Op::Range(range) => OVERHEAD + range.key.len() + range.range_end.len(),
            Op::Put(put) => put.size(),
            Op::DeleteRange(delete) => delete.size(),
            Op::Txn(txn) => txn.size(),
        });
        OVERHEAD + compares.sum::<usize>() + ops.sum::<usize>()
    }
}

/// Why a payload is not a command of this build.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Undecodable {
    /// A newer build wrote it: to skip it would make this node's state differ from its peers', so it must stop.
    #[error("the command is in format {0}, and this build reads formats up to {FORMAT}: a newer build proposed it")]
    Newer(u8),
    /// No build wrote it; every node comes to the same verdict.
    #[error("the bytes are not a command")]
    Malformed,
}

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Decodes a nested transaction, but refuses nesting that would exhaust the stack.
fn nested<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Txn, D::Error> {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _leave = Leave;
    if DEPTH.get() > MAX_DEPTH {
        return Err(serde::de::Error::custom("transactions are nested too deeply"));
    }
    Txn::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(payload: &[u8]) -> Result<Command, Undecodable> {
        Command::decode(&Bytes::copy_from_slice(payload))
    }

    proptest! {
        /// The short way never says anything else than the long one, and ordinary puts go it.
        #[test]
        fn both_ways_of_decoding_agree(
            key: Vec<u8>,
            value in prop::collection::vec(any::<u8>(), 0..300),
            lease in prop::sample::select(vec![0i64, 0, 1, -7]),
            flags: (bool, bool, bool),
            damage: Option<(prop::sample::Index, u8)>,
        ) {
            let (prev_kv, ignore_value, ignore_lease) = flags;
            let put = Put { key: key.into(), value: value.into(), lease, prev_kv, ignore_value, ignore_lease };
            let mut payload = Command::Put(put).encode().to_vec();
            prop_assert_eq!(Put::slice(&payload.clone().into()).is_some(), lease == 0);
            if let Some((at, byte)) = damage {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            prop_assert_eq!(decode(&payload), Command::decode_any(&payload));
        }
    }

    fn nest(depth: usize) -> Command {
        let mut txn = Txn::default();
        for _ in 0..depth {
            txn = Txn {
                success: vec![Op::Txn(txn)],
                ..Txn::default()
            };
        }
        Command::Txn(txn)
    }

    #[test]
    fn what_is_encoded_decodes() {
        let txn = Txn {
            compare: vec![Compare {
                result: CompareResult::NotEqual,
                target: CompareTarget::Value("v".into()),
                key: "k".into(),
                range_end: "\0".into(),
            }],
            success: vec![
                Op::Put(Put {
                    key: "k".into(),
                    lease: -3,
                    ..Put::default()
                }),
                Op::Range(Range {
                    key: "a".into(),
                    limit: i64::MIN,
                    ..Range::default()
                }),
            ],
            failure: vec![Op::DeleteRange(DeleteRange {
                key: "x".into(),
                ..DeleteRange::default()
            })],
        };
        let compact = Command::Compact(Compact { revision: i64::MAX });
        for command in [
            Command::Txn(txn),
            nest(MAX_DEPTH),
            Command::Put(Put::default()),
            compact,
        ] {
            assert_eq!(Command::decode(&command.encode()), Ok(command));
        }
    }

    #[test]
    fn what_is_not_a_command_is_told_from_what_a_newer_build_wrote() {
        assert_eq!(decode(b""), Err(Undecodable::Malformed));
        assert_eq!(decode(&[0, 0, 0]), Err(Undecodable::Malformed));
        assert_eq!(decode(&[FORMAT_1, 99]), Err(Undecodable::Malformed));
        assert_eq!(decode(&[FORMAT + 1, 0]), Err(Undecodable::Newer(FORMAT + 1)));
        // A build of format 1 stops at a compaction, and so nobody may pass one off as format 1.
        let mut compact = Command::Compact(Compact { revision: 5 }).encode().to_vec();
        assert_eq!(compact, [2, 3, 10]);
        compact[0] = 1;
        assert_eq!(decode(&compact), Err(Undecodable::Malformed));
        assert_eq!(decode(&[2, 0, 0, 0, 0, 0, 0, 0]), Err(Undecodable::Malformed));
        let mut long = Command::Put(Put::default()).encode().to_vec();
        long.push(0);
        assert_eq!(decode(&long), Err(Undecodable::Malformed), "bytes are left over");
    }

    #[test]
    fn deep_nesting_is_refused_before_the_stack_ends() {
        assert_eq!(
            Command::decode(&nest(MAX_DEPTH + 1).encode()),
            Err(Undecodable::Malformed)
        );
        assert!(
            Command::decode(&nest(MAX_DEPTH).encode()).is_ok(),
            "a refusal leaves no trace"
        );
        // Two megabytes of nesting, written by hand: building it as a value would itself exhaust the stack.
        let mut hostile = vec![FORMAT_1, 2];
        for _ in 0..500_000 {
            hostile.extend([0, 1, 3]);
        }
        assert_eq!(decode(&hostile), Err(Undecodable::Malformed));
    }
}
