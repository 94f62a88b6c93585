//! What clients ask for: real commands and reads of the key-value store, drawn at random over a few keys, so that they meet.

use std::rc::Rc;

use bytes::{BufMut, Bytes, BytesMut};
use storage::machine::{
    Command, Compact, Compare, CompareResult, CompareTarget, DeleteRange, Op, Put, Range, RangeReply, Revision,
    SortOrder, SortTarget, Txn, TxnReply,
};

use crate::random::Random;

/// Names one operation of one client, never used twice in a run. 0 is no operation.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Default)]
pub(crate) struct OpId(pub(crate) u64);

impl OpId {
    /// Whose put wrote this value.
    pub(crate) fn of(value: &[u8]) -> OpId {
        OpId(value.first_chunk::<8>().copied().map_or(0, u64::from_le_bytes))
    }
}

/// What kinds of operations there are.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Kind {
    /// Each has one key, so that what clients see can be judged key by key: puts, gets, deletions, compare and put.
    ByKey,
    /// Everything: ranges, transactions over several keys, reads of the past.
    Wide,
    /// Puts and gets.
    Puts,
}

/// What operations are drawn from.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    pub(crate) kind: Kind,
    /// How many keys there are.
    pub(crate) keys: u64,
    /// Transactions in a thousand writes.
    pub(crate) txns: u32,
    /// Deletions in a thousand writes.
    pub(crate) deletes: u32,
    /// Reads of many keys, of the past, or by a transaction, in a thousand reads.
    pub(crate) wide: u32,
    /// Largest value in bytes.
    pub(crate) largest: u64,
    /// Values larger than a slot may be, in a thousand writes.
    pub(crate) oversized: u32,
}

/// A read.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Query {
    Range(Range),
    Txn(Txn),
}

/// What a read found, and the revision it saw; or why it was refused.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Found {
    Range(Result<(RangeReply, Revision), String>),
    Txn(Result<(TxnReply, Revision), String>),
}

/// What a client asks for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Request {
    /// A command in the state machine's encoding.
    Command(Bytes),
    Query(Rc<Query>),
}

/// The key of that number.
pub(crate) fn key(number: u64) -> Bytes {
    format!("k{number:02}").into()
}

/// What a put writes: the operation's number, so that no two writes have equal values, and as many bytes as wanted.
fn value(op: OpId, len: u64) -> Bytes {
    let len = len.max(8) as usize;
    let mut bytes = BytesMut::with_capacity(len);
    bytes.put_u64_le(op.0);
    bytes.resize(len, op.0 as u8);
    bytes.freeze()
}

impl Mix {
    /// Whether each operation has one key.
    pub(crate) fn by_key(&self) -> bool {
        self.kind != Kind::Wide
    }

    /// A write; with `too_large`, one that no slot takes.
    pub(crate) fn write(&self, random: &mut Random, op: OpId, too_large: u64) -> Request {
        let len = if random.chance(self.oversized) {
            too_large
        } else {
            self.len(op)
        };
        let plain = self.kind == Kind::Puts;
        let command = if let Some(compact) = self.compact(op) {
            Command::Compact(compact)
        } else if !plain && random.chance(self.txns) {
            match self.kind {
                Kind::ByKey => Command::Txn(self.compare_and_put(random, op, len)),
                _ => Command::Txn(self.txn(random, op, len)),
            }
        } else if !plain && random.chance(self.deletes) {
            Command::DeleteRange(self.delete(random))
        } else {
            Command::Put(self.put(random, op, len))
        };
        Request::Command(command.encode())
    }

    /// Now and then a compaction, at a revision that may be too old or too new; only where reads of the past meet it.
    fn compact(&self, op: OpId) -> Option<Compact> {
        let due = self.kind == Kind::Wide && op.0 % 23 == 22;
        due.then(|| Compact {
            revision: (op.0 / 2).wrapping_sub(op.0 % 5 * 10).cast_signed(),
        })
    }

    /// A read.
    pub(crate) fn read(&self, random: &mut Random) -> Request {
        let query = if self.kind != Kind::Wide || !random.chance(self.wide) {
            Query::Range(self.get(random))
        } else if random.chance(300) {
            let success = vec![Op::Range(self.get(random)), Op::Range(self.range(random))];
            let failure = vec![Op::Range(self.range(random))];
            Query::Txn(Txn {
                compare: vec![self.compare(random)],
                success,
                failure,
            })
        } else {
            Query::Range(self.range(random))
        };
        Request::Query(Rc::new(query))
    }

    /// How long the value of an operation is, so that others can guess it.
    fn len(&self, op: OpId) -> u64 {
        8 + (op.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % (self.largest - 7)
    }

    fn key(&self, random: &mut Random) -> Bytes {
        key(random.below(self.keys))
    }

    fn put(&self, random: &mut Random, op: OpId, len: u64) -> Put {
        Put {
            key: self.key(random),
            value: value(op, len),
            prev_kv: random.chance(200),
            ..Put::default()
        }
    }

    fn delete(&self, random: &mut Random) -> DeleteRange {
        let wide = self.kind == Kind::Wide && random.chance(200);
        let range = if wide { self.range(random) } else { self.get(random) };
        DeleteRange {
            key: range.key,
            range_end: range.range_end,
            prev_kv: random.chance(300),
        }
    }

    /// A read of one key, now.
    fn get(&self, random: &mut Random) -> Range {
        Range {
            key: self.key(random),
            ..Range::default()
        }
    }

    /// A read of several keys, or of the past.
    fn range(&self, random: &mut Random) -> Range {
        let range_end = match random.below(3) {
            0 => Bytes::from_static(b"\0"),
            _ => self.key(random),
        };
        Range {
            key: self.key(random),
            range_end,
            limit: if random.chance(300) {
                random.between(1, 3) as i64
            } else {
                0
            },
            revision: if random.chance(200) {
                random.between(1, 300) as i64
            } else {
                0
            },
            count_only: random.chance(100),
            keys_only: random.chance(100),
            sort_order: *random.pick(&[SortOrder::None, SortOrder::Ascend, SortOrder::Descend]),
            sort_target: *random.pick(&[SortTarget::Key, SortTarget::Mod]),
            ..Range::default()
        }
    }

    fn compare(&self, random: &mut Random) -> Compare {
        let number = random.below(4) as i64;
        let target = match random.below(4) {
            0 => CompareTarget::Version(number),
            1 => CompareTarget::Create(number * 20),
            2 => CompareTarget::Mod(number * 50),
            _ => {
                let op = OpId(random.below(300));
                CompareTarget::Value(value(op, self.len(op)))
            }
        };
        Compare {
            result: *random.pick(&[
                CompareResult::Equal,
                CompareResult::Greater,
                CompareResult::Less,
                CompareResult::NotEqual,
            ]),
            target,
            key: self.key(random),
            range_end: Bytes::new(),
        }
    }

    /// Puts a key if it has a version, or holds a value that was written shortly before.
    fn compare_and_put(&self, random: &mut Random, op: OpId, len: u64) -> Txn {
        let put = self.put(random, op, len);
        let target = if random.chance(500) {
            CompareTarget::Version(random.below(3) as i64)
        } else {
            let earlier = OpId(op.0.saturating_sub(random.between(1, 20)));
            CompareTarget::Value(value(earlier, self.len(earlier)))
        };
        Txn {
            compare: vec![Compare {
                result: CompareResult::Equal,
                target,
                key: put.key.clone(),
                range_end: Bytes::new(),
            }],
            success: vec![Op::Put(put)],
            failure: Vec::new(),
        }
    }

    /// Compares one or two keys, then writes two others or reads and deletes.
    fn txn(&self, random: &mut Random, op: OpId, len: u64) -> Txn {
        let compare = (0..random.between(1, 2)).map(|_| self.compare(random)).collect();
        let first = self.put(random, op, len);
        let mut success = vec![Op::Range(self.get(random)), Op::Put(first.clone())];
        let second = self.put(random, op, 8);
        if second.key != first.key {
            success.push(Op::Put(second));
        }
        success.push(Op::Range(self.range(random)));
        let mut failure = vec![Op::DeleteRange(self.delete(random)), Op::Range(self.get(random))];
        if random.chance(200) {
            failure.push(Op::Txn(Txn {
                compare: vec![self.compare(random)],
                success: vec![Op::Range(self.get(random))],
                failure: Vec::new(),
            }));
        }
        Txn {
            compare,
            success,
            failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use storage::machine::{Limits, validate, validate_range, validate_txn};

    use super::*;
    use crate::random::Concern;

    #[test]
    fn clients_ask_only_what_a_node_would_propose() {
        let mut random = Random::new(1, Concern::Workload);
        let mut seen = HashSet::new();
        for kind in [Kind::ByKey, Kind::Wide, Kind::Puts] {
            let mix = Mix {
                kind,
                keys: 5,
                txns: 300,
                deletes: 300,
                wide: 500,
                largest: 100,
                oversized: 0,
            };
            for number in 1..2000 {
                let Request::Command(payload) = mix.write(&mut random, OpId(number), 0) else {
                    panic!("a write is a command");
                };
                let command = Command::decode(&payload).expect("it was just encoded");
                assert_eq!(validate(&command, Limits::default()), Ok(()), "{command:?}");
                seen.insert(std::mem::discriminant(&command));
                let Request::Query(query) = mix.read(&mut random) else {
                    panic!("a read is a query");
                };
                match &*query {
                    Query::Range(range) => assert_eq!(validate_range(range), Ok(())),
                    Query::Txn(txn) => {
                        assert_eq!(validate_txn(txn, Limits::default()), Ok(()));
                        assert!(txn.is_read_only());
                    }
                }
            }
        }
        assert_eq!(seen.len(), 4, "puts, deletions, transactions and compactions");
    }
}
