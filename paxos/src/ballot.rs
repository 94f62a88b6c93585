//! Ballots and slots, the two coordinates of every vote.

use core::fmt;

use quorum::NodeId;

/// The number of a leader's reign: rounds grow, the leader's id breaks ties, so no two leaders ever share a ballot.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Ballot {
    /// Grows with every candidacy anywhere; 0 only in [`Ballot::ZERO`].
    pub round: u64,
    /// Who leads under this ballot.
    pub leader: NodeId,
}

impl Ballot {
    /// Below every ballot that a leader ever uses: what an acceptor that promised nothing has promised.
    pub const ZERO: Ballot = Ballot {
        round: 0,
        leader: NodeId(0),
    };

    /// The smallest ballot of `leader` that is above this one.
    #[must_use]
    pub fn next_for(self, leader: NodeId) -> Ballot {
        Ballot {
            round: self.round + 1,
            leader,
        }
    }
}

impl Default for Ballot {
    fn default() -> Ballot {
        Ballot::ZERO
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.leader)
    }
}

impl fmt::Debug for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A position of the log, from 1; each slot is one instance of Paxos. Slot 0 stands for "nothing yet" in prefixes.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Default, Hash)]
pub struct Slot(pub u64);

impl Slot {
    /// Before the first slot: the prefix that contains nothing.
    pub const ZERO: Slot = Slot(0);

    /// The slot after this one.
    #[must_use]
    pub fn next(self) -> Slot {
        self.plus(1)
    }

    /// The slot `count` further on; the last one there is, if that would be beyond it.
    #[must_use]
    pub fn plus(self, count: u64) -> Slot {
        Slot(self.0.saturating_add(count))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}
