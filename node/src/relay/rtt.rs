//! Round trips between regions, as a table.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// How many known regions an error suggests.
const SUGGESTIONS: usize = 3;

/// Round trips between regions; every pair of its regions is there, in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RttTable {
    regions: BTreeSet<String>,
    round_trips: BTreeMap<(String, String), Duration>,
}

/// Why a table cannot be used, or has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RttError {
    /// The file cannot be read.
    #[error("cannot read the round trips in {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("round trips, line {line}: {reason}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The table is empty, or a pair is missing.
    #[error("round trips: {0}")]
    Incomplete(String),
    /// The table has no such region.
    #[error("there is no region {region:?} in the table of round trips; {hint}")]
    UnknownRegion {
        /// The region asked for.
        region: String,
        /// Regions with similar names, or all.
        hint: String,
    },
}

impl RttTable {
    /// 19 regions of AWS, ping averages of 2020.
    pub fn aws() -> Self {
        Self::parse(include_str!("../../../deploy/rtt/rtt_aws.csv")).expect("a test parses the table that is built in")
    }

    /// 20 regions of Google Cloud, ping averages of 2020.
    pub fn gcp() -> Self {
        Self::parse(include_str!("../../../deploy/rtt/rtt_gcp.csv")).expect("a test parses the table that is built in")
    }

    /// The built-in table of that name (`aws`, `gcp`), or else the file at that path.
    pub fn named(name: &str) -> Result<Self, RttError> {
        match name {
            "aws" => Ok(Self::aws()),
            "gcp" => Ok(Self::gcp()),
            path => Self::load(Path::new(path)),
        }
    }

    /// Reads a table from a file.
    pub fn load(path: &Path) -> Result<Self, RttError> {
        let text = fs::read_to_string(path).map_err(|source| RttError::File {
            path: path.into(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Reads a table: a line `from,to,median_ms`, then one for every ordered pair of regions, in milliseconds.
    ///
    /// One direction of a pair is enough, and stands for both; the round trip within a region may be left out, and is 0.
    pub fn parse(text: &str) -> Result<Self, RttError> {
        let mut given = BTreeMap::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if line == 1 && content == "from,to,median_ms" || content.is_empty() {
                continue;
            }
            let fault = |reason: String| RttError::Line { line, reason };
            let (pair, round_trip) = parse_line(content).map_err(fault)?;
            if given.contains_key(&pair) {
                return Err(fault(format!("{} to {} is there twice", pair.0, pair.1)));
            }
            given.insert(pair, round_trip);
        }
        let regions: BTreeSet<String> = given.keys().flat_map(|(from, to)| [from.clone(), to.clone()]).collect();
        if regions.is_empty() {
            return Err(RttError::Incomplete("there is not one line".to_owned()));
        }
        let mut round_trips = BTreeMap::new();
        for from in &regions {
            for to in &regions {
                let pair = (from.clone(), to.clone());
                let reverse = (to.clone(), from.clone());
                let within = (from == to).then_some(Duration::ZERO);
                let found = given.get(&pair).or(given.get(&reverse)).copied().or(within);
                let missing = || RttError::Incomplete(format!("there is no line for {from} and {to}"));
                round_trips.insert(pair, found.ok_or_else(missing)?);
            }
        }
        Ok(Self { regions, round_trips })
    }

    /// The round trip between two regions.
    pub fn round_trip(&self, from: &str, to: &str) -> Result<Duration, RttError> {
        for region in [from, to] {
            self.check(region)?;
        }
        let pair = (from.to_owned(), to.to_owned());
        Ok(*self.round_trips.get(&pair).expect("parsing makes the table complete"))
    }

    /// Says which regions are meant if there is none of this name.
    pub fn check(&self, region: &str) -> Result<(), RttError> {
        if self.regions.contains(region) {
            return Ok(());
        }
        let mut near: Vec<(usize, &String)> = self
            .regions
            .iter()
            .map(|known| (distance(region, known), known))
            .collect();
        near.sort();
        let limit = region.len() / 3 + 1;
        let near: Vec<&str> = near
            .iter()
            .filter(|(away, _)| *away <= limit)
            .take(SUGGESTIONS)
            .map(|(_, known)| known.as_str())
            .collect();
        let hint = if near.is_empty() {
            let all: Vec<&str> = self.regions.iter().map(String::as_str).collect();
            format!("there are: {}", all.join(", "))
        } else {
            format!("did you mean {}?", near.join(" or "))
        };
        Err(RttError::UnknownRegion {
            region: region.to_owned(),
            hint,
        })
    }

    /// The regions of the table, sorted.
    pub fn regions(&self) -> impl Iterator<Item = &str> {
        self.regions.iter().map(String::as_str)
    }
}

fn parse_line(content: &str) -> Result<((String, String), Duration), String> {
    let fields: Vec<&str> = content.split(',').map(str::trim).collect();
    let [from, to, round_trip] = fields[..] else {
        return Err(format!("{content:?} is not of the form from,to,milliseconds"));
    };
    if from.is_empty() || to.is_empty() {
        return Err(format!("{content:?} lacks the name of a region"));
    }
    let milliseconds: f64 = round_trip
        .parse()
        .map_err(|_| format!("{round_trip:?} is not a number of milliseconds"))?;
    if !(0.0..=60_000.0).contains(&milliseconds) {
        return Err(format!("a round trip of {round_trip} ms is not between 0 and 60000"));
    }
    Ok((
        (from.to_owned(), to.to_owned()),
        Duration::from_secs_f64(milliseconds / 1e3),
    ))
}

/// How many insertions, removals and replacements turn one name into the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_tables_are_complete() {
        for (table, regions) in [(RttTable::aws(), 19), (RttTable::gcp(), 20)] {
            assert_eq!(table.regions().count(), regions);
            for from in table.regions() {
                for to in table.regions() {
                    let round_trip = table.round_trip(from, to).expect("complete");
                    assert!(
                        round_trip < Duration::from_millis(500),
                        "{from} to {to}: {round_trip:?}"
                    );
                    assert!(
                        from == to || round_trip > Duration::from_millis(1),
                        "{from} to {to}: {round_trip:?}"
                    );
                }
            }
        }
        let within = RttTable::aws().round_trip("af-south-1", "af-south-1").expect("there");
        assert_eq!(within, Duration::from_micros(79));
    }

    #[test]
    fn faults_name_their_line() {
        for (text, expected) in [
            ("from,to,median_ms\na,b,1\na,c", "line 3: \"a,c\" is not of the form"),
            ("a,b,1\n\na,c,fast", "line 3: \"fast\" is not a number"),
            ("a,b,-1", "line 1: a round trip of -1 ms"),
            ("a,b,NaN", "line 1: a round trip of NaN ms"),
            ("a,,1", "line 1: \"a,,1\" lacks"),
            ("a,b,1\na,b,2", "line 2: a to b is there twice"),
            ("a,b,1\nb,c,2", "no line for a and c"),
            ("", "not one line"),
        ] {
            let error = RttTable::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn one_direction_stands_for_both() {
        let table = RttTable::parse("a,b,1.5\n").expect("good");
        for (from, to, micros) in [("a", "b", 1500), ("b", "a", 1500), ("a", "a", 0)] {
            assert_eq!(
                table.round_trip(from, to).expect("there"),
                Duration::from_micros(micros)
            );
        }
    }

    #[test]
    fn an_unknown_region_suggests_known_ones() {
        let table = RttTable::aws();
        let error = table
            .round_trip("us-east-1", "eu-wets-1")
            .expect_err("unknown")
            .to_string();
        assert!(error.contains("did you mean eu-west-1"), "{error}");
        let error = table.check("mars").expect_err("unknown").to_string();
        assert!(error.contains("there are: af-south-1, ap-east-1"), "{error}");
    }
}
