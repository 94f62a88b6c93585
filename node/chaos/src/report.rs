//! What a run amounted to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::book::{Tally, Violation};
use crate::lane::Tries;
use crate::plan::Plan;

/// Lines of a violation that are printed; the history file has the rest.
const LINES: usize = 30;

/// One cluster's life.
pub(crate) struct Round {
    pub(crate) plan: Plan,
    pub(crate) tally: Tally,
    pub(crate) violations: Vec<Violation>,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) changes: BTreeMap<&'static str, Tries>,
    /// Datagrams between nodes: passed on, and dropped.
    pub(crate) traffic: (u64, u64),
    pub(crate) length: Duration,
    pub(crate) interrupted: bool,
}

/// All rounds.
#[derive(Default)]
pub(crate) struct Report {
    seeds: Vec<u64>,
    leases: u64,
    tally: Tally,
    faults: BTreeMap<&'static str, u64>,
    changes: BTreeMap<&'static str, Tries>,
    traffic: (u64, u64),
    length: Duration,
    interrupted: bool,
    violations: Vec<Violation>,
    /// The round that failed: its seed, and where its history and logs are.
    failed: Option<(u64, PathBuf)>,
}

impl Report {
    pub(crate) fn add(&mut self, round: Round, kept: Option<PathBuf>) {
        self.seeds.push(round.plan.seed);
        self.leases += u64::from(round.plan.lease.is_some());
        self.tally.merge(&round.tally);
        for (kind, count) in round.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (kind, tries) in round.changes {
            let sum = self.changes.entry(kind).or_default();
            sum.done += tries.done;
            sum.failed += tries.failed;
        }
        self.traffic.0 += round.traffic.0;
        self.traffic.1 += round.traffic.1;
        self.length += round.length;
        self.interrupted |= round.interrupted;
        self.violations.extend(round.violations);
        if let Some(folder) = kept {
            self.failed = Some((round.plan.seed, folder));
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    pub(crate) fn operations(&self) -> u64 {
        self.tally.done()
    }

    pub(crate) fn to_json(&self) -> Value {
        let failed = self
            .failed
            .as_ref()
            .map(|(seed, folder)| json!({ "seed": seed, "folder": folder, "history": folder.join("history.jsonl") }));
        json!({
            "seeds": self.seeds,
            "rounds_with_leases": self.leases,
            "seconds": self.length.as_secs_f64(),
            "interrupted": self.interrupted,
            "operations": self.tally.operations,
            "operations_done": self.tally.done(),
            "keys_judged": self.tally.keys,
            "keys_undecided": self.tally.undecided,
            "longest_outage_ms": self.tally.longest_pause.as_secs_f64() * 1e3,
            "faults": self.faults,
            "changes": self.changes,
            "datagrams": { "passed": self.traffic.0, "dropped": self.traffic.1 },
            "violations": self.violations,
            "failed": failed,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.values().sum();
        writeln!(
            f,
            "{} rounds, {} of them with leases, {:.0} s; {} operations done, {faults} faults, {} violations{}",
            self.seeds.len(),
            self.leases,
            self.length.as_secs_f64(),
            self.tally.done(),
            self.violations.len(),
            if self.interrupted { "; interrupted" } else { "" }
        )?;
        writeln!(f, "\n{:>10} {:>9} {:>9}  operation", "done", "refused", "unknown")?;
        for (kind, ends) in &self.tally.operations {
            writeln!(f, "{:>10} {:>9} {:>9}  {kind}", ends.done, ends.refused, ends.unknown)?;
        }
        writeln!(f, "\n{:>10}  fault", "times")?;
        for (kind, count) in &self.faults {
            writeln!(f, "{count:>10}  {kind}")?;
        }
        writeln!(f, "\n{:>10} {:>9}  change", "done", "given up")?;
        for (kind, tries) in &self.changes {
            writeln!(f, "{:>10} {:>9}  {kind}", tries.done, tries.failed)?;
        }
        let total = self.traffic.0 + self.traffic.1;
        writeln!(
            f,
            "\n{} keys judged, {} of them undecided; the longest time without any answer was {:.1} s; {} of {total} datagrams \
             dropped",
            self.tally.keys,
            self.tally.undecided,
            self.tally.longest_pause.as_secs_f64(),
            self.traffic.1,
        )?;
        for violation in &self.violations {
            let text = violation.to_string();
            let lines: Vec<&str> = text.lines().collect();
            writeln!(f, "\nVIOLATION  {}", lines[..lines.len().min(LINES)].join("\n"))?;
            if lines.len() > LINES {
                writeln!(f, "  … {} more", lines.len() - LINES)?;
            }
        }
        if let Some((seed, folder)) = &self.failed {
            writeln!(
                f,
                "\nseed {seed}: history, settings and logs are in {}\nthe same plan again: synod-chaos --seed {seed} --rounds 1",
                folder.display()
            )?;
        }
        Ok(())
    }
}
