//! A quorum system as an operator writes it, before there are members to apply it to.

use crate::NodeId;
use alloc::vec::Vec;

/// Which quorum system a configuration uses.
///
/// As text (`FromStr`, `Display`, serde in every format): `majority`, `counts 4/2`, `zones 2x1/2x2`,
/// `grid 3x3 columns/rows`, `grid regions each-row/rows`, `grid [1 2 3 | 4 5 6 | 7 - 9] columns/rows`; what stands before
/// the `/` is for phase 1. TOML and JSON may also hold a table, as in
/// `{ grid = { rows = [["a", "b"], ["c", ""]], phase1 = "column", phase2 = "row" } }`. Names of members can be used
/// for cells where the members are at hand, that is in a [`Proposal`](crate::Proposal).
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub enum SystemSpec {
    /// More than half of the voters, in both phases.
    Majority,
    /// So many voters, whichever they are.
    Counts {
        /// Voters in a phase 1 quorum.
        phase1: u32,
        /// Voters in a phase 2 quorum.
        phase2: u32,
    },
    /// Lines of a grid whose cells are named one by one.
    Grid {
        /// Rows of cells. `None` is a dead cell: a hole in the grid, not a node that is down. A row may be shorter than
        /// others, which is a hole in the columns only.
        cells: Vec<Vec<Option<NodeId>>>,
        /// What a phase 1 quorum is.
        phase1: Line,
        /// What a phase 2 quorum is.
        phase2: Line,
    },
    /// Lines of a grid that the voters fill row by row in the order of their node numbers.
    GridOf {
        /// How the voters are laid out.
        layout: Layout,
        /// What a phase 1 quorum is.
        phase1: Line,
        /// What a phase 2 quorum is.
        phase2: Line,
    },
    /// So many voters in each of so many zones.
    Zones {
        /// What a phase 1 quorum is.
        phase1: ZoneCount,
        /// What a phase 2 quorum is.
        phase2: ZoneCount,
    },
}

/// What a quorum of a grid is.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Line {
    /// Every cell of one row; rows with a dead cell do not qualify.
    Row,
    /// One cell of every row, all in one column; columns with a dead cell, or that end before the last row, do not
    /// qualify.
    Column,
    /// Any live cell of each row: the least that meets every full row.
    EachRow,
    /// Any live cell of each column: the least that meets every full column.
    EachColumn,
}

/// How voters are laid out in a grid.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Layout {
    /// So many rows and columns, which the voters must fill exactly.
    Size {
        /// Rows.
        rows: u32,
        /// Columns.
        columns: u32,
    },
    /// A row for each region.
    Regions,
    /// A row for each zone.
    Zones,
}

/// So many members in each of so many zones.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneCount {
    /// Zones, from 1.
    pub zones: u32,
    /// Voters in each of those zones, from 1.
    pub members: u32,
}
