//! [`SystemSpec`] as text and back.
//!
//! ```text
//! majority
//! counts 4/2                               four voters / two voters
//! zones 2x1/2x2                            one voter in each of two zones / two in each of two zones
//! grid 3x3 columns/rows                    the voters in order, row by row
//! grid regions each-row/rows               a row for each region (or each zone: `grid zones ...`)
//! grid [a b c | d e -] columns/rows        cell by cell: names or node numbers, `-` is a dead cell
//! ```
//! What stands before the `/` is for phase 1. `Display` writes node numbers, never names, so that the text means the same
//! without the members. In TOML or JSON a table does as well: `{ grid = { rows = [["a", "b"], ["c", ""]], phase1 =
//! "column", phase2 = "row" } }`, `{ counts = { phase1 = 4, phase2 = 2 } }`, `{ zones = { phase1 = { zones = 2, members =
//! 1 }, phase2 = { zones = 2, members = 2 } } }`.

use crate::{Layout, Line, NodeId, SystemSpec, ZoneCount};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// Why a text is not a quorum system.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct SpecError(String);

impl SpecError {
    fn new(reason: impl Into<String>) -> SpecError {
        SpecError(reason.into())
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for SpecError {}

/// A quorum system in which the cells of a grid may still be names.
#[derive(Debug)]
pub(crate) enum SpecText {
    Ready(SystemSpec),
    Named {
        cells: Vec<Vec<CellText>>,
        phase1: Line,
        phase2: Line,
    },
}

/// One cell of a grid as written.
#[derive(Debug)]
pub(crate) enum CellText {
    Dead,
    Node(NodeId),
    Name(String),
}

impl CellText {
    fn parse(text: &str) -> CellText {
        match text.trim() {
            "" | "-" | "_" => CellText::Dead,
            text => match text.parse() {
                Ok(number) if is_number(text) => CellText::Node(NodeId(number)),
                _ => CellText::Name(text.to_owned()),
            },
        }
    }
}

/// Whether a text reads as a node number: names may not, or the text of a grid would be ambiguous.
pub(crate) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl SpecText {
    /// The system, with every name looked up.
    pub(crate) fn resolve(self, lookup: &dyn Fn(&str) -> Option<NodeId>) -> Result<SystemSpec, SpecError> {
        let (cells, phase1, phase2) = match self {
            SpecText::Ready(spec) => return Ok(spec),
            SpecText::Named { cells, phase1, phase2 } => (cells, phase1, phase2),
        };
        let mut unknown: Vec<String> = Vec::new();
        let mut resolve_cell = |cell| match cell {
            CellText::Dead => None,
            CellText::Node(node) => Some(node),
            CellText::Name(name) => {
                let node = lookup(&name);
                if node.is_none() {
                    unknown.push(format!("\"{name}\""));
                }
                node
            }
        };
        let cells = cells
            .into_iter()
            .map(|row| row.into_iter().map(&mut resolve_cell).collect())
            .collect();
        if unknown.is_empty() {
            return Ok(SystemSpec::Grid { cells, phase1, phase2 });
        }
        Err(SpecError::new(format!(
            "the grid names {}, but no member has that name",
            unknown.join(", ")
        )))
    }

    fn parse(text: &str) -> Result<SpecText, SpecError> {
        let text = text.trim();
        let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let spec = match kind {
            "majority" if rest.is_empty() => SystemSpec::Majority,
            "counts" => {
                let (phase1, phase2) = halves(rest)?;
                SystemSpec::Counts {
                    phase1: number(phase1)?,
                    phase2: number(phase2)?,
                }
            }
            "zones" => {
                let (phase1, phase2) = halves(rest)?;
                SystemSpec::Zones {
                    phase1: zone_count(phase1)?,
                    phase2: zone_count(phase2)?,
                }
            }
            "grid" => return parse_grid(rest),
            _ => {
                return Err(SpecError::new(format!(
                    "\"{text}\" is not a quorum system; write for example \"majority\", \"counts 4/2\", \
                     \"zones 2x1/2x2\" or \"grid 3x3 columns/rows\" (phase 1 / phase 2)"
                )));
            }
        };
        Ok(SpecText::Ready(spec))
    }
}

fn parse_grid(text: &str) -> Result<SpecText, SpecError> {
    if let Some(text) = text.strip_prefix('[') {
        let Some((cells, lines)) = text.split_once(']') else {
            return Err(SpecError::new("the cells of the grid have no closing \"]\""));
        };
        let cells = cells
            .split('|')
            .map(|row| row.split_whitespace().map(CellText::parse).collect())
            .collect();
        let (phase1, phase2) = lines_of_phases(lines)?;
        return Ok(SpecText::Named { cells, phase1, phase2 });
    }
    let Some((layout, lines)) = text.split_once(char::is_whitespace) else {
        return Err(SpecError::new(format!(
            "\"grid {text}\" does not say which lines are quorums; write for example \"grid 3x3 columns/rows\""
        )));
    };
    let layout = match layout {
        "regions" => Layout::Regions,
        "zones" => Layout::Zones,
        size => {
            let (rows, columns) = times(size)?;
            Layout::Size { rows, columns }
        }
    };
    let (phase1, phase2) = lines_of_phases(lines)?;
    Ok(SpecText::Ready(SystemSpec::GridOf { layout, phase1, phase2 }))
}

fn lines_of_phases(text: &str) -> Result<(Line, Line), SpecError> {
    let (phase1, phase2) = halves(text)?;
    Ok((line(phase1)?, line(phase2)?))
}

fn line(text: &str) -> Result<Line, SpecError> {
    match text.trim() {
        "row" | "rows" => Ok(Line::Row),
        "column" | "columns" => Ok(Line::Column),
        "each-row" => Ok(Line::EachRow),
        "each-column" => Ok(Line::EachColumn),
        other => Err(SpecError::new(format!(
            "\"{other}\" is not a kind of grid quorum; there are \"row\", \"column\", \"each-row\" and \"each-column\""
        ))),
    }
}

fn halves(text: &str) -> Result<(&str, &str), SpecError> {
    text.split_once('/')
        .ok_or_else(|| SpecError::new(format!("\"{text}\" is not of the form \"phase 1/phase 2\"")))
}

fn zone_count(text: &str) -> Result<ZoneCount, SpecError> {
    let (zones, members) = times(text)?;
    Ok(ZoneCount { zones, members })
}

fn times(text: &str) -> Result<(u32, u32), SpecError> {
    let Some((a, b)) = text.split_once('x') else {
        return Err(SpecError::new(format!(
            "\"{}\" is not of the form \"2x3\"",
            text.trim()
        )));
    };
    Ok((number(a)?, number(b)?))
}

fn number(text: &str) -> Result<u32, SpecError> {
    let text = text.trim();
    match text.parse() {
        Ok(number) if is_number(text) => Ok(number),
        _ => Err(SpecError::new(format!(
            "\"{text}\" is not a number from 1 to {}",
            u32::MAX
        ))),
    }
}

impl FromStr for SystemSpec {
    type Err = SpecError;

    /// Reads a system in which grids hold node numbers; names need a proposal, which has the members.
    fn from_str(text: &str) -> Result<SystemSpec, SpecError> {
        SpecText::parse(text)?.resolve(&|_| None)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Line::Row => "rows",
            Line::Column => "columns",
            Line::EachRow => "each-row",
            Line::EachColumn => "each-column",
        })
    }
}

impl fmt::Display for ZoneCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.zones, self.members)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layout::Size { rows, columns } => write!(f, "{rows}x{columns}"),
            Layout::Regions => f.write_str("regions"),
            Layout::Zones => f.write_str("zones"),
        }
    }
}

impl fmt::Display for SystemSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SystemSpec::Majority => f.write_str("majority"),
            SystemSpec::Counts { phase1, phase2 } => write!(f, "counts {phase1}/{phase2}"),
            SystemSpec::Zones { phase1, phase2 } => write!(f, "zones {phase1}/{phase2}"),
            SystemSpec::GridOf { layout, phase1, phase2 } => write!(f, "grid {layout} {phase1}/{phase2}"),
            SystemSpec::Grid { cells, phase1, phase2 } => {
                f.write_str("grid [")?;
                for (row, cells) in cells.iter().enumerate() {
                    f.write_str(if row == 0 { "" } else { " | " })?;
                    for (column, cell) in cells.iter().enumerate() {
                        f.write_str(if column == 0 { "" } else { " " })?;
                        match cell {
                            Some(node) => write!(f, "{node}")?,
                            None => f.write_str("-")?,
                        }
                    }
                }
                write!(f, "] {phase1}/{phase2}")
            }
        }
    }
}

impl Serialize for SystemSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SystemSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SystemSpec, D::Error> {
        SpecText::deserialize(deserializer)?
            .resolve(&|_| None)
            .map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SpecText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SpecText, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(SpecVisitor)
        } else {
            deserializer.deserialize_str(SpecVisitor)
        }
    }
}

struct SpecVisitor;

impl<'de> Visitor<'de> for SpecVisitor {
    type Value = SpecText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quorum system such as \"counts 4/2\", or a table for a grid, counts or zones")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SpecText, E> {
        SpecText::parse(text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SpecText, A::Error> {
        Ok(match SpecTable::deserialize(MapAccessDeserializer::new(map))? {
            SpecTable::Counts { phase1, phase2 } => SpecText::Ready(SystemSpec::Counts { phase1, phase2 }),
            SpecTable::Zones { phase1, phase2 } => SpecText::Ready(SystemSpec::Zones { phase1, phase2 }),
            SpecTable::Grid { rows, phase1, phase2 } => SpecText::Named {
                cells: rows,
                phase1,
                phase2,
            },
        })
    }
}

/// The table form.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum SpecTable {
    Counts {
        phase1: u32,
        phase2: u32,
    },
    Zones {
        phase1: ZoneCount,
        phase2: ZoneCount,
    },
    Grid {
        rows: Vec<Vec<CellText>>,
        phase1: Line,
        phase2: Line,
    },
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Line, D::Error> {
        line(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for CellText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CellText, D::Error> {
        struct CellVisitor;
        impl Visitor<'_> for CellVisitor {
            type Value = CellText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name or number of a member, or \"\" for a dead cell")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<CellText, E> {
                Ok(CellText::parse(text))
            }

            fn visit_u64<E: Error>(self, node: u64) -> Result<CellText, E> {
                Ok(CellText::Node(NodeId(node)))
            }

            fn visit_i64<E: Error>(self, node: i64) -> Result<CellText, E> {
                let number = u64::try_from(node);
                let number = number.map_err(|_| E::custom(format_args!("{node} is not the number of a node")))?;
                Ok(CellText::Node(NodeId(number)))
            }
        }
        deserializer.deserialize_any(CellVisitor)
    }
}
