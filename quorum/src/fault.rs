//! What is wrong with a proposal, said so that an operator can mend it.

use crate::{Configuration, Line, Member, NodeId, Phase};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// A member a fault is about.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Who {
    /// Its place in the proposal as given, from 0.
    pub position: usize,
    /// Its node number.
    pub node: NodeId,
    /// Its name, which may be empty.
    pub name: String,
    /// Its region, which may be empty.
    pub region: String,
}

impl Who {
    pub(crate) fn new(position: usize, member: &Member) -> Who {
        Who {
            position,
            node: member.node,
            name: member.name.clone(),
            region: member.region.clone(),
        }
    }
}

/// Where in a proposal a fault is, for a reader who knows the lines of the file.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Place {
    /// A key of the proposal itself: `epoch`, `alpha`, `system` or `member`.
    Key(&'static str),
    /// A key of the member at this position, from 0.
    Member {
        /// The place of the member in the proposal as given.
        position: usize,
        /// The key.
        key: &'static str,
    },
}

/// One thing that is wrong with a proposal.
#[derive(Clone, Eq, PartialEq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// No member is a voter.
    NoVoters,
    /// More members than a set can hold.
    TooManyMembers {
        /// How many there are.
        members: usize,
    },
    /// `alpha` is not within 1 to 65536.
    AlphaOutOfRange {
        /// What was given.
        alpha: u32,
    },
    /// Epochs count from 1.
    EpochZero,
    /// A number of the member that counts from 1 is 0.
    ZeroNumber {
        /// The member.
        member: Who,
        /// `node` or `incarnation`.
        key: &'static str,
    },
    /// A text of the member that must not be empty is empty.
    Empty {
        /// The member.
        member: Who,
        /// `name`, `region`, `zone` or `address`.
        key: &'static str,
    },
    /// A text of the member that is too long to be meant, or has control characters, which would garble a terminal.
    Unprintable {
        /// The member.
        member: Who,
        /// `name`, `region`, `zone`, `address` or `client_url`.
        key: &'static str,
    },
    /// A name with characters that a name may not have, or of digits only.
    BadName {
        /// The member.
        member: Who,
    },
    /// An address that is not `host:port`.
    BadAddress {
        /// The member.
        member: Who,
        /// The address.
        address: String,
    },
    /// Several members have the same node number, name or address.
    Shared {
        /// `node`, `name` or `address`.
        key: &'static str,
        /// What they share.
        value: String,
        /// The members.
        members: Vec<Who>,
    },
    /// A quorum of nobody.
    ZeroCount {
        /// The phase.
        phase: Phase,
        /// What is zero: `voters`, `zones` or `voters in each zone`.
        of: &'static str,
    },
    /// More voters wanted than there are.
    TooFewVoters {
        /// The phase.
        phase: Phase,
        /// Voters in a quorum.
        wanted: u32,
        /// Voters there are.
        voters: usize,
    },
    /// Not enough zones have enough voters.
    TooFewZones {
        /// The phase.
        phase: Phase,
        /// Zones in a quorum.
        zones: u32,
        /// Voters in each of those zones.
        members: u32,
        /// Zones that have so many voters.
        found: usize,
    },
    /// The voters do not fill the grid.
    GridSize {
        /// Rows of the grid.
        rows: u32,
        /// Columns of the grid.
        columns: u32,
        /// Voters there are.
        voters: usize,
    },
    /// A grid with more rows or columns than a configuration may have members.
    GridTooLarge {
        /// Its rows.
        rows: usize,
        /// The cells of its longest row.
        columns: usize,
    },
    /// A cell holds a node that is not a member.
    GridStranger {
        /// The node.
        node: NodeId,
        /// Its row, from 1.
        row: usize,
        /// Its column, from 1.
        column: usize,
    },
    /// A cell holds a learner, which is never counted.
    GridLearner {
        /// The learner.
        member: Who,
    },
    /// A voter is in more than one cell.
    GridRepeats {
        /// The voter.
        member: Who,
    },
    /// A voter is in no cell.
    GridMisses {
        /// The voter.
        member: Who,
    },
    /// A row or a column has dead cells only.
    GridHollow {
        /// `row` or `column`.
        kind: &'static str,
        /// Which one, from 1.
        number: usize,
    },
    /// Every row (or column) has a dead cell, so none is a quorum.
    GridNoFullLine {
        /// The phase that needs one.
        phase: Phase,
        /// The kind of line.
        line: Line,
    },
    /// A phase 1 quorum and a phase 2 quorum without a common member: the configuration is unsafe.
    Disjoint {
        /// The members of the phase 1 quorum.
        phase1: Vec<Who>,
        /// The members of the phase 2 quorum.
        phase2: Vec<Who>,
    },
    /// Whether the quorums meet could not be decided within the limits.
    Unproven {
        /// How many cases were looked at.
        examined: u64,
    },
}

impl Fault {
    /// Where in the proposal to look; the first place is the best one.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        match self {
            Fault::NoVoters | Fault::TooManyMembers { .. } => vec![Place::Key("member")],
            Fault::AlphaOutOfRange { .. } => vec![Place::Key("alpha")],
            Fault::EpochZero => vec![Place::Key("epoch")],
            Fault::ZeroNumber { member, key } | Fault::Empty { member, key } | Fault::Unprintable { member, key } => {
                vec![member.place(key)]
            }
            Fault::BadName { member } => vec![member.place("name")],
            Fault::BadAddress { member, .. } => vec![member.place("address")],
            Fault::Shared { key, members, .. } => members.iter().map(|member| member.place(key)).collect(),
            Fault::GridLearner { member } | Fault::GridRepeats { member } | Fault::GridMisses { member } => {
                vec![Place::Key("system"), member.place("node")]
            }
            Fault::ZeroCount { .. }
            | Fault::TooFewVoters { .. }
            | Fault::TooFewZones { .. }
            | Fault::GridSize { .. }
            | Fault::GridTooLarge { .. }
            | Fault::GridStranger { .. }
            | Fault::GridHollow { .. }
            | Fault::GridNoFullLine { .. }
            | Fault::Disjoint { .. }
            | Fault::Unproven { .. } => vec![Place::Key("system")],
        }
    }
}

impl Who {
    fn place(&self, key: &'static str) -> Place {
        Place::Member {
            position: self.position,
            key,
        }
    }
}

impl fmt::Display for Who {
    /// The name, or the node number where there is no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            write!(f, "node {}", self.node)
        } else {
            f.write_str(&self.name)
        }
    }
}

/// Members with their regions, as a set: `{a (us-east-1), b (eu-west-1)}`.
struct Quorum<'a>(&'a [Who]);

impl fmt::Display for Quorum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (position, member) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{member} ({})", member.region)?;
        }
        f.write_str("}")
    }
}

/// Members one after the other: `a, b and c`.
struct List<'a>(&'a [Who]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, member) in self.0.iter().enumerate() {
            let glue = match position {
                0 => "",
                _ if position + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{glue}{member}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NoVoters => f.write_str("no member is a voter: there is nobody to lead and decide"),
            Fault::TooManyMembers { members } => write!(f, "there are {members} members, the most is 64"),
            Fault::AlphaOutOfRange { alpha } => write!(f, "alpha is {alpha}, it must be from 1 to 65536"),
            Fault::EpochZero => f.write_str("the epoch is 0, epochs count from 1"),
            Fault::ZeroNumber { member, key } => write!(f, "{member}: {key} is 0, it must be 1 or more"),
            Fault::Empty { member, key } => write!(f, "{member}: {key} is empty"),
            Fault::Unprintable { member, key } => write!(
                f,
                "node {}: {key} has control characters or is longer than {} bytes",
                member.node,
                Configuration::MAX_TEXT
            ),
            Fault::BadName { member } => write!(
                f,
                "\"{}\" is not a name for a member: use letters, digits, \"-\", \"_\" and \".\", start with a letter or \
                 digit, and do not use digits only",
                member.name.escape_debug()
            ),
            Fault::BadAddress { member, address } => {
                write!(
                    f,
                    "{member}: the address \"{}\" is not of the form host:port",
                    address.escape_debug()
                )
            }
            Fault::Shared { key, value, members } => {
                write!(
                    f,
                    "{} members have the {key} {}: {}",
                    members.len(),
                    value.escape_debug(),
                    List(members)
                )
            }
            Fault::ZeroCount { phase, of } => {
                write!(f, "a {phase} quorum of 0 {of}: the empty set must not be a quorum")
            }
            Fault::TooFewVoters { phase, wanted, voters } => {
                write!(f, "a {phase} quorum needs {wanted} voters, but there are only {voters}")
            }
            Fault::TooFewZones {
                phase,
                zones,
                members,
                found,
            } => write!(
                f,
                "a {phase} quorum needs {zones} zones with {members} voters each, but only {found} zones have so many"
            ),
            Fault::GridSize { rows, columns, voters } => write!(
                f,
                "a grid of {rows} rows and {columns} columns does not hold {voters} voters exactly; to leave cells \
                 empty, write the cells out and \"-\" for each dead one"
            ),
            Fault::GridTooLarge { rows, columns } => {
                write!(
                    f,
                    "the grid has {rows} rows and {columns} columns, the most is 64 of each"
                )
            }
            Fault::GridStranger { node, row, column } => {
                write!(
                    f,
                    "row {row}, column {column} of the grid holds node {node}, which is not a member"
                )
            }
            Fault::GridLearner { member } => {
                write!(
                    f,
                    "{member} is in the grid but is a learner, which is never counted in a quorum"
                )
            }
            Fault::GridRepeats { member } => write!(f, "{member} is in more than one cell of the grid"),
            Fault::GridMisses { member } => write!(f, "{member} is a voter but is in no cell of the grid"),
            Fault::GridHollow { kind, number } => write!(f, "{kind} {number} of the grid has no member"),
            Fault::GridNoFullLine { phase, line } => write!(
                f,
                "{phase} quorums are full {line} of the grid, but each of the {line} has a dead cell: there is no quorum"
            ),
            Fault::Disjoint { phase1, phase2 } => write!(
                f,
                "phase 1 quorum {} and phase 2 quorum {} are disjoint: a leader elected by the first can miss a value \
                 chosen by the second",
                Quorum(phase1),
                Quorum(phase2)
            ),
            Fault::Unproven { examined } => write!(
                f,
                "it could not be shown within {examined} cases that every phase 1 quorum meets every phase 2 quorum, \
                 and what is not shown safe is not used; choose a simpler quorum system"
            ),
        }
    }
}

/// Everything that is wrong with a proposal; never empty.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn new(faults: Vec<Fault>) -> Faults {
        assert!(!faults.is_empty(), "a refusal names at least one fault");
        Faults(faults)
    }

    /// The faults: members first, then the quorum system.
    #[must_use]
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }

    /// The faults one by one.
    pub fn iter(&self) -> core::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl IntoIterator for Faults {
    type Item = Fault;
    type IntoIter = vec::IntoIter<Fault>;

    fn into_iter(self) -> vec::IntoIter<Fault> {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = core::slice::Iter<'a, Fault>;

    fn into_iter(self) -> core::slice::Iter<'a, Fault> {
        self.iter()
    }
}

impl fmt::Display for Faults {
    /// One fault per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, fault) in self.0.iter().enumerate() {
            if line > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Fault {}
impl core::error::Error for Faults {}
