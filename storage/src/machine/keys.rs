//! How versions of keys are laid out in the tables.
//!
//! A version of a key is one table key: the letter `k`, the key with an end mark, and the revision of the change with
//! all bits turned over, so that the newest version comes first. Table keys then sort by key, and within a key from new
//! to old; the first table key at or after (key, revision) is the version that a reader at that revision sees.

use crate::tables::SUFFIX;

/// Where the state machine keeps its own numbers.
pub(crate) const META: &[u8] = b"m";
/// The configurations as of the applied slot; no row as long as there was no change of the first one.
pub(crate) const CONFIGURATIONS: &[u8] = b"c";
/// What is done of each node's commands: the letter `s`, and the node's number, the highest byte first.
pub(super) const SESSIONS: &[u8] = b"s";
/// Behind every session.
pub(super) const SESSIONS_END: &[u8] = b"t";
/// How far this node has swept: its own affair.
pub(super) const SWEPT: &[u8] = b"i/swept";

const VERSIONS: u8 = b'k';
/// Behind every version.
pub(super) const END: &[u8] = b"l";

/// A zero byte inside a key is followed by this, so that the end mark sorts below everything that goes on.
const ESCAPED_ZERO: u8 = 0xff;
const END_MARK: [u8; 2] = [0, 1];

/// The table key of a node's session.
pub(super) fn session(node: u64) -> [u8; 9] {
    let mut table_key = [SESSIONS[0]; 9];
    table_key[1..].copy_from_slice(&node.to_be_bytes());
    table_key
}

/// The node whose session has this table key; `None` if it is something else's.
pub(super) fn session_node(table_key: &[u8]) -> Option<u64> {
    let node = table_key.strip_prefix(SESSIONS)?;
    Some(u64::from_be_bytes(node.try_into().ok()?))
}

/// Appends the table keys' common part for all versions of `key`.
pub(super) fn push_group(table_key: &mut Vec<u8>, key: &[u8]) {
    push_escaped(table_key, key);
    table_key.extend_from_slice(&END_MARK);
}

fn push_escaped(table_key: &mut Vec<u8>, key: &[u8]) {
    table_key.push(VERSIONS);
    let mut rest = key;
    while let Some(zero) = rest.iter().position(|byte| *byte == 0) {
        table_key.extend_from_slice(&rest[..=zero]);
        table_key.push(ESCAPED_ZERO);
        rest = &rest[zero + 1..];
    }
    table_key.extend_from_slice(rest);
}

/// The table key of the version that `key` got in `revision`.
pub(super) fn version_key(table_key: &mut Vec<u8>, key: &[u8], revision: i64) {
    table_key.clear();
    push_group(table_key, key);
    push_revision(table_key, revision);
}

fn push_revision(table_key: &mut Vec<u8>, revision: i64) {
    let revision = u64::try_from(revision).expect("revisions count up from 1");
    table_key.extend_from_slice(&(!revision).to_be_bytes());
}

/// A table key at or below every version of every key from `key` on, and above every version of the keys before it.
pub(super) fn floor(key: &[u8]) -> Vec<u8> {
    let mut table_key = Vec::with_capacity(key.len() + 12);
    push_group(&mut table_key, key);
    table_key
}

/// A table key in the group of `table_key`, for the version seen at `revision`.
pub(super) fn at_revision(table_key: &[u8], revision: i64) -> Vec<u8> {
    let mut at = table_key[..table_key.len() - SUFFIX].to_vec();
    push_revision(&mut at, revision);
    at
}

/// A table key behind every version in the group of `table_key`, and before every other group behind it.
pub(super) fn behind_group(table_key: &[u8]) -> Vec<u8> {
    let mut behind = table_key[..table_key.len() - SUFFIX].to_vec();
    behind.extend_from_slice(&[0xff; SUFFIX + 1]);
    behind
}

/// The group and the revision of a version's table key; `None` if it is something else's.
pub(super) fn split(table_key: &[u8]) -> Option<(&[u8], i64)> {
    let (group, suffix) = table_key.split_at_checked(table_key.len().checked_sub(SUFFIX)?)?;
    if group.first() != Some(&VERSIONS) {
        return None;
    }
    Some((group, i64::try_from(!u64::from_be_bytes(suffix.try_into().ok()?)).ok()?))
}

/// A table key before every version.
pub(super) const BEGIN: &[u8] = &[VERSIONS];

/// Whether a table key is meant to be a version's.
#[cfg(feature = "rocks")]
pub(super) fn is_version(table_key: &[u8]) -> bool {
    table_key.first() == Some(&VERSIONS)
}

/// Takes a table key apart: writes the key to `key`, and returns the revision; `None` if it is not a version's.
pub(super) fn parse(table_key: &[u8], key: &mut Vec<u8>) -> Option<i64> {
    key.clear();
    let (group, revision) = split(table_key)?;
    let mut rest = group.strip_prefix(&[VERSIONS])?.strip_suffix(&END_MARK)?;
    while let Some(zero) = rest.iter().position(|byte| *byte == 0) {
        if rest.get(zero + 1) != Some(&ESCAPED_ZERO) {
            return None;
        }
        key.extend_from_slice(&rest[..=zero]);
        rest = &rest[zero + 2..];
    }
    key.extend_from_slice(rest);
    Some(revision)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table_key(key: &[u8], revision: i64) -> Vec<u8> {
        let mut table_key = Vec::new();
        version_key(&mut table_key, key, revision);
        table_key
    }

    /// Keys in which zeros, the escape byte and shared beginnings are common.
    fn keys() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 0xfe, 0xff]), 1..6)
    }

    proptest! {
        #[test]
        fn table_keys_sort_by_key_then_from_new_to_old(a in keys(), b in keys(), m in 1..i64::MAX, n in 1..i64::MAX) {
            prop_assert_eq!(table_key(&a, m).cmp(&table_key(&b, n)), a.cmp(&b).then(n.cmp(&m)));
            prop_assert!(floor(&a) <= table_key(&a, i64::MAX));
            prop_assert!(at_revision(&table_key(&a, m), n) == table_key(&a, n));
            prop_assert!(behind_group(&table_key(&a, m)) > table_key(&a, 1));
            if a < b {
                prop_assert!(floor(&b) > table_key(&a, 1));
                prop_assert!(behind_group(&table_key(&a, m)) < table_key(&b, i64::MAX));
            }
            prop_assert!(table_key(&a, m).as_slice() < END);
        }

        #[test]
        fn a_table_key_comes_apart_again(key in keys(), revision in 1..i64::MAX) {
            let mut parsed = Vec::new();
            prop_assert_eq!(parse(&table_key(&key, revision), &mut parsed), Some(revision));
            prop_assert_eq!(parsed, key);
        }

        #[test]
        fn rubbish_is_not_a_table_key_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut key = Vec::new();
            if let Some(revision) = parse(&bytes, &mut key) {
                prop_assert_eq!(table_key(&key, revision), bytes);
            }
        }
    }
}
