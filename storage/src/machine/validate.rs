//! What is checked of a request before it is proposed or served, without looking at the store.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::command::{Command, DeleteRange, Op, Put, Range, SortOrder, SortTarget, Txn};
use super::error::KvError;
use super::span::Span;

/// How large a request may be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most comparisons, and most operations per branch, of a transaction; what a transaction uses is taken from what
    /// the transactions nested in it may use.
    pub max_txn_ops: usize,
    /// Most bytes of keys and values, about.
    pub max_request_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_txn_ops: 128,
            max_request_bytes: 3 << 19,
        }
    }
}

/// Checks a command before it is proposed, in etcd's order.
///
/// # Errors
/// The first fault found.
pub fn validate(command: &Command, limits: Limits) -> Result<(), KvError> {
    match command {
        Command::Put(put) => check_put(put)?,
        Command::DeleteRange(delete) => check_delete(delete)?,
        Command::Txn(txn) => validate_txn(txn, limits)?,
        // Which revisions exist, only the log's order can tell.
        Command::Compact(_) => {}
    }
    if command.size() > limits.max_request_bytes {
        Err(KvError::TooLarge)
    } else {
        Ok(())
    }
}

/// Checks a read before it is served.
///
/// # Errors
/// [`KvError::EmptyKey`].
pub fn validate_range(range: &Range) -> Result<(), KvError> {
    non_empty(&range.key)
}

/// Checks a transaction before it is proposed or, if it only reads, served. Its size is not checked.
///
/// # Errors
/// The first fault found.
pub fn validate_txn(txn: &Txn, limits: Limits) -> Result<(), KvError> {
    check_txn(txn, limits.max_txn_ops)?;
    Writes::of(&txn.success)?;
    Writes::of(&txn.failure)?;
    Ok(())
}

impl TryFrom<i32> for SortOrder {
    type Error = KvError;

    fn try_from(number: i32) -> Result<SortOrder, KvError> {
        Ok(match number {
            0 => SortOrder::None,
            1 => SortOrder::Ascend,
            2 => SortOrder::Descend,
            _ => return Err(KvError::InvalidSortOption),
        })
    }
}

impl TryFrom<i32> for SortTarget {
    type Error = KvError;

    fn try_from(number: i32) -> Result<SortTarget, KvError> {
        Ok(match number {
            0 => SortTarget::Key,
            1 => SortTarget::Version,
            2 => SortTarget::Create,
            3 => SortTarget::Mod,
            4 => SortTarget::Value,
            _ => return Err(KvError::InvalidSortOption),
        })
    }
}

fn non_empty(key: &Bytes) -> Result<(), KvError> {
    if key.is_empty() { Err(KvError::EmptyKey) } else { Ok(()) }
}

fn check_put(put: &Put) -> Result<(), KvError> {
    non_empty(&put.key)?;
    if put.ignore_value && !put.value.is_empty() {
        return Err(KvError::ValueProvided);
    }
    if put.ignore_lease && put.lease != 0 {
        return Err(KvError::LeaseProvided);
    }
    Ok(())
}

fn check_delete(delete: &DeleteRange) -> Result<(), KvError> {
    non_empty(&delete.key)
}

/// Checks sizes and keys. Each level takes at least one operation from the budget of the level below, so the budget
/// also bounds how deep this recursion goes.
fn check_txn(txn: &Txn, budget: usize) -> Result<(), KvError> {
    let used = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    let Some(left) = budget.checked_sub(used) else {
        return Err(KvError::TooManyOps);
    };
    for compare in &txn.compare {
        non_empty(&compare.key)?;
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            Op::Range(range) => validate_range(range)?,
            Op::Put(put) => check_put(put)?,
            Op::DeleteRange(delete) => check_delete(delete)?,
            Op::Txn(txn) => check_txn(txn, left)?,
        }
    }
    Ok(())
}

/// What one list of operations may write.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Vec<Span<'a>>,
}

impl<'a> Writes<'a> {
    /// Collects what `ops` may write.
    ///
    /// Refuses a key that may be put twice, or put and deleted, on one path. The branches of a nested transaction
    /// exclude each other, so they may put the same key; and deletions may overlap.
    fn of(ops: &'a [Op]) -> Result<Writes<'a>, KvError> {
        let mut all = Writes::default();
        for op in ops {
            match op {
                Op::Range(_) => {}
                Op::Put(put) => all.join(Writes {
                    puts: BTreeSet::from([&put.key[..]]),
                    deletes: Vec::new(),
                })?,
                Op::DeleteRange(delete) => all.join(Writes {
                    puts: BTreeSet::new(),
                    deletes: vec![Span::new(&delete.key, &delete.range_end)],
                })?,
                Op::Txn(txn) => {
                    let mut either = Writes::of(&txn.success)?;
                    let other = Writes::of(&txn.failure)?;
                    either.puts.extend(other.puts);
                    either.deletes.extend(other.deletes);
                    all.join(either)?;
                }
            }
        }
        Ok(all)
    }

    fn join(&mut self, other: Writes<'a>) -> Result<(), KvError> {
        let clash = other
            .puts
            .iter()
            .any(|key| self.puts.contains(key) || self.deletes(key))
            || self.puts.iter().any(|key| other.deletes(key));
        if clash {
            return Err(KvError::DuplicateKey);
        }
        self.puts.extend(other.puts);
        self.deletes.extend(other.deletes);
        Ok(())
    }

    fn deletes(&self, key: &[u8]) -> bool {
        self.deletes.iter().any(|span| span.contains(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str) -> Op {
        Op::Put(Put {
            key: key.to_owned().into(),
            ..Put::default()
        })
    }

    fn delete(key: &str, range_end: &str) -> Op {
        Op::DeleteRange(DeleteRange {
            key: key.to_owned().into(),
            range_end: range_end.to_owned().into(),
            prev_kv: false,
        })
    }

    fn nested(success: Vec<Op>, failure: Vec<Op>) -> Op {
        Op::Txn(Txn {
            compare: vec![],
            success,
            failure,
        })
    }

    fn verdict(success: Vec<Op>, failure: Vec<Op>) -> Result<(), KvError> {
        validate(
            &Command::Txn(Txn {
                compare: vec![],
                success,
                failure,
            }),
            Limits::default(),
        )
    }

    #[test]
    fn a_key_is_written_once_per_path() {
        let duplicate = Err(KvError::DuplicateKey);
        assert_eq!(verdict(vec![put("a"), put("b")], vec![put("a")]), Ok(()));
        assert_eq!(verdict(vec![put("a"), put("a")], vec![]), duplicate);
        assert_eq!(verdict(vec![], vec![put("a"), put("a")]), duplicate);
        assert_eq!(verdict(vec![put("b"), delete("a", "c")], vec![]), duplicate);
        assert_eq!(verdict(vec![delete("a", "c"), put("b")], vec![]), duplicate);
        assert_eq!(verdict(vec![delete("a", "c"), put("c")], vec![]), Ok(()));
        assert_eq!(verdict(vec![delete("a", "\0"), put("zz")], vec![]), duplicate);
        assert_eq!(
            verdict(vec![delete("c", "a"), put("b")], vec![]),
            Ok(()),
            "an empty range deletes nothing"
        );
        assert_eq!(verdict(vec![delete("a", "c"), delete("b", "d")], vec![]), Ok(()));
        assert_eq!(verdict(vec![nested(vec![put("a")], vec![put("a")])], vec![]), Ok(()));
        assert_eq!(
            verdict(vec![nested(vec![put("a")], vec![put("b")]), put("b")], vec![]),
            duplicate
        );
        assert_eq!(
            verdict(vec![nested(vec![put("a")], vec![]), delete("a", "")], vec![]),
            duplicate
        );
        assert_eq!(
            verdict(vec![nested(vec![put("a")], vec![delete("a", "b")])], vec![]),
            Ok(())
        );
        assert_eq!(
            verdict(
                vec![nested(vec![put("a")], vec![]), nested(vec![], vec![delete("a", "")])],
                vec![]
            ),
            duplicate
        );
    }

    #[test]
    fn nested_transactions_share_one_budget() {
        let puts = |count: usize, tag: &str| (0..count).map(|n| put(&format!("{tag}{n}"))).collect::<Vec<_>>();
        assert_eq!(verdict(puts(128, "a"), puts(128, "a")), Ok(()));
        assert_eq!(verdict(puts(129, "a"), vec![]), Err(KvError::TooManyOps));
        assert_eq!(verdict(vec![nested(puts(127, "a"), vec![])], vec![]), Ok(()));
        assert_eq!(
            verdict(vec![nested(puts(128, "a"), vec![])], vec![]),
            Err(KvError::TooManyOps)
        );
        let mut deep = vec![];
        for _ in 0..129 {
            deep = vec![nested(deep, vec![])];
        }
        assert_eq!(verdict(deep, vec![]), Err(KvError::TooManyOps));
    }

    #[test]
    fn puts_say_either_keep_or_what() {
        let check = |put| validate(&Command::Put(put), Limits::default());
        let put = Put {
            key: "k".into(),
            ..Put::default()
        };
        assert_eq!(
            check(Put {
                key: Bytes::new(),
                ignore_value: true,
                value: "v".into(),
                ..Put::default()
            }),
            Err(KvError::EmptyKey)
        );
        assert_eq!(
            check(Put {
                ignore_value: true,
                value: "v".into(),
                ..put.clone()
            }),
            Err(KvError::ValueProvided)
        );
        assert_eq!(
            check(Put {
                ignore_lease: true,
                lease: 1,
                ..put.clone()
            }),
            Err(KvError::LeaseProvided)
        );
        assert_eq!(
            check(Put {
                value: vec![0; 3 << 19].into(),
                ..put.clone()
            }),
            Err(KvError::TooLarge)
        );
        assert_eq!(
            check(Put {
                value: vec![0; 3 << 18].into(),
                ..put
            }),
            Ok(())
        );
    }

    #[test]
    fn enums_have_the_numbers_of_the_wire() {
        assert_eq!(SortOrder::try_from(2), Ok(SortOrder::Descend));
        assert_eq!(SortTarget::try_from(4), Ok(SortTarget::Value));
        assert_eq!(SortOrder::try_from(3), Err(KvError::InvalidSortOption));
        assert_eq!(SortTarget::try_from(-1), Err(KvError::InvalidSortOption));
        assert_eq!(SortTarget::try_from(99), Err(KvError::InvalidSortOption));
    }
}
