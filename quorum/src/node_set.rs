//! A set of members, as one machine word.

use core::fmt;
use core::iter::FusedIterator;
use core::ops::{BitAnd, BitOr, BitOrAssign};

/// A set of members of one configuration: bit `i` stands for the `i`-th member, members sorted by `NodeId`.
///
/// The bits mean nothing without the configuration they were made for. At most [`NodeSet::CAPACITY`] members.
#[derive(Copy, Clone, Eq, PartialEq, Default, Hash)]
pub struct NodeSet(u64);

impl NodeSet {
    /// The set without members.
    pub const EMPTY: NodeSet = NodeSet(0);

    /// How many members a configuration may have.
    pub const CAPACITY: usize = 64;

    /// The first `n` members.
    ///
    /// # Panics
    /// If `n` is more than 64.
    #[must_use]
    pub const fn first(n: u8) -> NodeSet {
        assert!(n as usize <= NodeSet::CAPACITY, "a set has at most 64 members");
        if n == 64 {
            NodeSet(u64::MAX)
        } else {
            NodeSet((1 << n) - 1)
        }
    }

    /// The set of member `index` alone.
    ///
    /// # Panics
    /// If `index` is 64 or more.
    #[must_use]
    pub const fn single(index: u8) -> NodeSet {
        assert!(
            (index as usize) < NodeSet::CAPACITY,
            "the index of a member is below 64"
        );
        NodeSet(1 << index)
    }

    /// The set whose members are the one bits of `bits`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> NodeSet {
        NodeSet(bits)
    }

    /// The set as a word: bit `i` is member `i`.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// How many members the set has, 0 to 64.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the set has no member.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether member `index` is in the set. No set holds an index of 64 or more.
    #[must_use]
    pub const fn contains(self, index: u8) -> bool {
        (index as usize) < NodeSet::CAPACITY && self.0 >> index & 1 == 1
    }

    /// Adds member `index`; says whether it is new.
    ///
    /// # Panics
    /// If `index` is 64 or more.
    pub const fn insert(&mut self, index: u8) -> bool {
        let new = !self.contains(index);
        self.0 |= NodeSet::single(index).0;
        new
    }

    /// Takes member `index` out; says whether it was there.
    pub const fn remove(&mut self, index: u8) -> bool {
        let there = self.contains(index);
        if there {
            self.0 &= !(1 << index);
        }
        there
    }

    /// Whether every member of this set is also in `other`.
    #[must_use]
    pub const fn is_subset(self, other: NodeSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether the two sets share no member.
    #[must_use]
    pub const fn is_disjoint(self, other: NodeSet) -> bool {
        self.0 & other.0 == 0
    }

    /// The members of this set that are not in `other`. `universe.minus(set)` is the complement of `set`: there is no
    /// complement without a universe.
    #[must_use]
    pub const fn minus(self, other: NodeSet) -> NodeSet {
        NodeSet(self.0 & !other.0)
    }

    /// The members, ascending.
    #[must_use]
    pub const fn iter(self) -> Indexes {
        Indexes(self.0)
    }
}

/// The members of a [`NodeSet`], ascending.
#[derive(Clone, Debug)]
pub struct Indexes(u64);

impl Iterator for Indexes {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.0 == 0 {
            return None;
        }
        let index = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(index as u8)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.count_ones() as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Indexes {}
impl FusedIterator for Indexes {}

impl IntoIterator for NodeSet {
    type Item = u8;
    type IntoIter = Indexes;

    fn into_iter(self) -> Indexes {
        self.iter()
    }
}

impl FromIterator<u8> for NodeSet {
    fn from_iter<I: IntoIterator<Item = u8>>(members: I) -> NodeSet {
        let mut set = NodeSet::EMPTY;
        set.extend(members);
        set
    }
}

impl Extend<u8> for NodeSet {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, members: I) {
        for index in members {
            self.insert(index);
        }
    }
}

impl BitAnd for NodeSet {
    type Output = NodeSet;

    fn bitand(self, other: NodeSet) -> NodeSet {
        NodeSet(self.0 & other.0)
    }
}

impl BitOr for NodeSet {
    type Output = NodeSet;

    fn bitor(self, other: NodeSet) -> NodeSet {
        NodeSet(self.0 | other.0)
    }
}

impl BitOrAssign for NodeSet {
    fn bitor_assign(&mut self, other: NodeSet) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
