//! A node's place in the simulated cluster.

use std::fmt;

use paxos::Address;
use quorum::{Incarnation, NodeId, NodeSet};

/// A node's place, from 0; also its index in every [`NodeSet`], because node ids follow the seats.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) struct Seat(pub(crate) u8);

impl Seat {
    pub(crate) fn all(count: usize) -> impl Iterator<Item = Seat> {
        (0..count as u8).map(Seat)
    }

    pub(crate) fn of(node: NodeId) -> Seat {
        Seat(u8::try_from(node.0 - 1).expect("a simulated cluster has few nodes"))
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(crate) fn node(self) -> NodeId {
        NodeId(u64::from(self.0) + 1)
    }

    pub(crate) fn address(self) -> Address {
        Address {
            node: self.node(),
            incarnation: Incarnation(1),
        }
    }

    pub(crate) fn set(self) -> NodeSet {
        NodeSet::single(self.0)
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0 + 1)
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
