//! From a quorum system in an operator's words, and the members, to the two rules.

use crate::{Fault, Layout, Line, Member, NodeId, NodeSet, Phase, Rule, SystemSpec, Who, ZoneCount};
use alloc::vec::Vec;

/// The voters of a proposal in the order of their node numbers, with what faults need to name them.
pub(crate) struct Members<'a> {
    /// Sorted by node number; with each its place in the proposal as given.
    sorted: &'a [(usize, Member)],
}

/// A grid of member indexes.
type Cells = Vec<Vec<Option<u8>>>;

impl<'a> Members<'a> {
    /// `sorted` has at most 64 members, in the order of their node numbers, no number twice.
    pub(crate) fn new(sorted: &'a [(usize, Member)]) -> Members<'a> {
        Members { sorted }
    }

    pub(crate) fn who(&self, index: u8) -> Who {
        let (position, member) = &self.sorted[usize::from(index)];
        Who::new(*position, member)
    }

    fn voters(&self) -> impl Iterator<Item = (u8, &'a Member)> + use<'a> {
        let voters = self
            .sorted
            .iter()
            .enumerate()
            .filter(|(_, (_, member))| member.role.votes());
        voters.map(|(index, (_, member))| (index as u8, member))
    }

    /// The voters, grouped by what `key` says of them, groups in the order of their first voter.
    fn groups<K: PartialEq>(&self, key: impl Fn(&'a Member) -> K) -> Vec<Vec<u8>> {
        let mut groups: Vec<(K, Vec<u8>)> = Vec::new();
        for (index, member) in self.voters() {
            let key = key(member);
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, group)) => group.push(index),
                None => groups.push((key, [index].into())),
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    fn zones(&self) -> Vec<Vec<u8>> {
        self.groups(|member| (member.region.as_str(), member.zone.as_str()))
    }

    /// The rules of both phases. There must be a voter.
    pub(crate) fn rules(&self, spec: &SystemSpec) -> Result<[Rule; 2], Vec<Fault>> {
        let voters = self.voters().count();
        match spec {
            SystemSpec::Majority => {
                let k = (voters / 2 + 1) as u32;
                both(self.count(Phase::One, k), self.count(Phase::Two, k))
            }
            SystemSpec::Counts { phase1, phase2 } => {
                both(self.count(Phase::One, *phase1), self.count(Phase::Two, *phase2))
            }
            SystemSpec::Zones { phase1, phase2 } => both(
                self.zone_count(Phase::One, *phase1),
                self.zone_count(Phase::Two, *phase2),
            ),
            SystemSpec::Grid { phase1, phase2, .. } | SystemSpec::GridOf { phase1, phase2, .. } => {
                let cells = self.cells(spec)?;
                both(lines(Phase::One, *phase1, &cells), lines(Phase::Two, *phase2, &cells))
            }
        }
    }

    fn count(&self, phase: Phase, wanted: u32) -> Result<Rule, Fault> {
        let voters = self.voters().count();
        if wanted == 0 {
            return Err(Fault::ZeroCount { phase, of: "voters" });
        }
        if wanted as usize > voters {
            return Err(Fault::TooFewVoters { phase, wanted, voters });
        }
        Ok(Rule::at_least(
            wanted,
            self.voters().map(|(index, _)| Rule::Node(index)),
        ))
    }

    fn zone_count(&self, phase: Phase, wanted: ZoneCount) -> Result<Rule, Fault> {
        let ZoneCount { zones, members } = wanted;
        if zones == 0 {
            return Err(Fault::ZeroCount { phase, of: "zones" });
        }
        if members == 0 {
            return Err(Fault::ZeroCount {
                phase,
                of: "voters in each zone",
            });
        }
        // A zone with fewer voters can never count.
        let large: Vec<_> = self
            .zones()
            .into_iter()
            .filter(|zone| zone.len() >= members as usize)
            .collect();
        if (zones as usize) > large.len() {
            return Err(Fault::TooFewZones {
                phase,
                zones,
                members,
                found: large.len(),
            });
        }
        let zone_rule = |zone: Vec<u8>| Rule::at_least(members, zone.into_iter().map(Rule::Node));
        Ok(Rule::at_least(zones, large.into_iter().map(zone_rule)))
    }

    /// The cells of the grid that `spec` describes, checked: every voter in one cell, no row or column without members.
    fn cells(&self, spec: &SystemSpec) -> Result<Cells, Vec<Fault>> {
        let filled = |rows: Vec<Vec<u8>>| {
            rows.into_iter()
                .map(|row| row.into_iter().map(Some).collect())
                .collect()
        };
        let (cells, mut faults): (Cells, _) = match spec {
            // Every row and column of a valid grid has a member. What is larger is not looked at cell by cell.
            SystemSpec::Grid { cells, .. } if cells.len().max(width(cells)) > NodeSet::CAPACITY => {
                return Err([Fault::GridTooLarge {
                    rows: cells.len(),
                    columns: width(cells),
                }]
                .into());
            }
            SystemSpec::Grid { cells, .. } => self.placed(cells),
            SystemSpec::GridOf {
                layout: Layout::Regions,
                ..
            } => (filled(self.groups(|member| member.region.as_str())), Vec::new()),
            SystemSpec::GridOf {
                layout: Layout::Zones, ..
            } => (filled(self.zones()), Vec::new()),
            SystemSpec::GridOf {
                layout: Layout::Size { rows, columns },
                ..
            } => {
                let voters: Vec<u8> = self.voters().map(|(index, _)| index).collect();
                if u64::from(*rows) * u64::from(*columns) != voters.len() as u64 {
                    return Err([Fault::GridSize {
                        rows: *rows,
                        columns: *columns,
                        voters: voters.len(),
                    }]
                    .into());
                }
                (
                    filled(voters.chunks(*columns as usize).map(Vec::from).collect()),
                    Vec::new(),
                )
            }
            SystemSpec::Majority | SystemSpec::Counts { .. } | SystemSpec::Zones { .. } => (Vec::new(), Vec::new()),
        };
        let hollow = |kind, index| Fault::GridHollow {
            kind,
            number: index + 1,
        };
        for (index, row) in cells.iter().enumerate() {
            if row.iter().all(Option::is_none) {
                faults.push(hollow("row", index));
            }
        }
        for index in 0..width(&cells) {
            if column(&cells, index).all(|cell| cell.is_none()) {
                faults.push(hollow("column", index));
            }
        }
        if faults.is_empty() { Ok(cells) } else { Err(faults) }
    }

    /// Cells by member index, and the faults of cells and voters that do not belong to each other one to one.
    fn placed(&self, cells: &[Vec<Option<NodeId>>]) -> (Cells, Vec<Fault>) {
        let mut faults = Vec::new();
        let mut cells_of = [0_u32; NodeSet::CAPACITY];
        let mut place = |row: usize, column: usize, node: NodeId| {
            let Ok(index) = self.sorted.binary_search_by_key(&node, |(_, member)| member.node) else {
                faults.push(Fault::GridStranger {
                    node,
                    row: row + 1,
                    column: column + 1,
                });
                return None;
            };
            cells_of[index] += 1;
            Some(index as u8)
        };
        let mut placed_row = |(number, row): (usize, &Vec<Option<NodeId>>)| {
            row.iter()
                .enumerate()
                .map(|(column, cell)| cell.and_then(|node| place(number, column, node)))
                .collect()
        };
        let placed = cells.iter().enumerate().map(&mut placed_row).collect();
        for (index, (_, member)) in self.sorted.iter().enumerate() {
            let who = || self.who(index as u8);
            match (cells_of[index], member.role.votes()) {
                (0, true) => faults.push(Fault::GridMisses { member: who() }),
                (0, false) | (1, true) => {}
                (_, false) => faults.push(Fault::GridLearner { member: who() }),
                (_, true) => faults.push(Fault::GridRepeats { member: who() }),
            }
        }
        (placed, faults)
    }
}

fn both(phase1: Result<Rule, Fault>, phase2: Result<Rule, Fault>) -> Result<[Rule; 2], Vec<Fault>> {
    match (phase1, phase2) {
        (Ok(phase1), Ok(phase2)) => Ok([phase1, phase2]),
        (phase1, phase2) => Err(phase1.err().into_iter().chain(phase2.err()).collect()),
    }
}

fn width<T>(cells: &[Vec<T>]) -> usize {
    cells.iter().map(Vec::len).max().unwrap_or(0)
}

/// One cell for each row, dead where the row has ended.
fn column(cells: &Cells, index: usize) -> impl Iterator<Item = Option<u8>> {
    cells.iter().map(move |row| row.get(index).copied().flatten())
}

/// What the quorums of one phase are, in a grid in which no row and no column is without members.
fn lines(phase: Phase, line: Line, cells: &Cells) -> Result<Rule, Fault> {
    let columns = || (0..width(cells)).map(|index| column(cells, index).collect::<Vec<_>>());
    // Dead cells are holes, not members that are down: a line with a hole misses the lines that cross it there.
    let full = |line: &[Option<u8>]| line.iter().copied().collect::<Option<Vec<u8>>>();
    let live = |line: &[Option<u8>]| Rule::any(line.iter().copied().flatten().map(Rule::Node));
    let full_lines: Vec<Vec<u8>> = match line {
        Line::EachRow => return Ok(Rule::all(cells.iter().map(|row| live(row)))),
        Line::EachColumn => return Ok(Rule::all(columns().map(|column| live(&column)))),
        Line::Row => cells.iter().filter_map(|row| full(row)).collect(),
        Line::Column => columns().filter_map(|column| full(&column)).collect(),
    };
    if full_lines.is_empty() {
        return Err(Fault::GridNoFullLine { phase, line });
    }
    Ok(Rule::any(
        full_lines
            .into_iter()
            .map(|line| Rule::all(line.into_iter().map(Rule::Node))),
    ))
}
