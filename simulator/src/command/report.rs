//! What all runs so far amounted to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Counts, Failure, Fault, Shrunk, Sometimes, Step, Summary, Tally};

use super::host::cpu_time;

/// A failure, and how to repeat it.
pub(super) struct Failed {
    pub(super) failure: Box<Failure>,
    pub(super) command: String,
    /// The same made smaller, and how to repeat that.
    pub(super) shrunk: Option<(String, Shrunk)>,
    pub(super) revision: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed {
            failure,
            command,
            shrunk,
            revision,
        } = self;
        match shrunk {
            None => writeln!(f, "{failure}")?,
            Some((command, shrunk)) => {
                writeln!(f, "{}", shrunk.failure)?;
                writeln!(
                    f,
                    "  This is what is left after {} runs of what failed first:",
                    shrunk.runs
                )?;
                writeln!(
                    f,
                    "  seed {} after {} events: {}",
                    failure.seed, failure.events, failure.violation
                )?;
                writeln!(f, "  repeat what is left with:\n  {command}")?;
            }
        }
        write!(f, "  revision {revision}; repeat it with:\n  {command}")
    }
}

/// So many seeds should have seen everything.
const MANY: u64 = 200;

/// Everything so far.
pub(super) struct Total {
    revision: String,
    cpu_before: Duration,
    seeds: u64,
    pub(super) events: u64,
    chosen: u64,
    ops: (u64, u64),
    simulated: Duration,
    systems: BTreeMap<String, u64>,
    tally: Tally,
    failed: Vec<Failed>,
    /// Seeds that did not repeat themselves.
    unrepeatable: Vec<(u64, u64)>,
    /// The quorum system and the fingerprint of a run that was asked for by name.
    named: Option<(String, u64)>,
}

impl Total {
    pub(super) fn new(revision: String) -> Total {
        Total {
            revision,
            cpu_before: cpu_time(),
            seeds: 0,
            events: 0,
            chosen: 0,
            ops: (0, 0),
            simulated: Duration::ZERO,
            systems: BTreeMap::new(),
            tally: Tally::default(),
            failed: Vec::new(),
            unrepeatable: Vec::new(),
            named: None,
        }
    }

    pub(super) fn add(&mut self, summary: &Summary) {
        self.seeds += 1;
        self.events += summary.events;
        self.chosen += summary.chosen;
        self.ops.0 += summary.ops.0;
        self.ops.1 += summary.ops.1;
        self.simulated += summary.simulated;
        let kind = summary.system.split(' ').next().unwrap_or_default().to_owned();
        *self.systems.entry(kind).or_default() += 1;
        self.tally.merge(&summary.tally);
    }

    pub(super) fn add_failure(&mut self, failed: Failed) {
        self.events += failed.failure.events;
        self.failed.push(failed);
    }

    pub(super) fn add_unrepeatable(&mut self, seed: u64, hash: u64) {
        self.unrepeatable.push((seed, hash));
    }

    pub(super) fn name(&mut self, summary: &Summary) {
        self.named = Some((summary.system.clone(), summary.hash));
    }

    pub(super) fn failures(&self) -> u64 {
        (self.failed.len() + self.unrepeatable.len()) as u64
    }

    /// Events per second of CPU time, the shrinking of failures included.
    fn rate(&self) -> f64 {
        let cpu = cpu_time().saturating_sub(self.cpu_before);
        self.events as f64 / cpu.as_secs_f64().max(0.01)
    }

    fn hours(&self) -> f64 {
        self.simulated.as_secs_f64() / 3600.0
    }

    pub(super) fn to_json(&self) -> Value {
        let failed = |failed: &Failed| {
            json!({
                "seed": failed.failure.seed,
                "property": failed.failure.violation.property.name(),
                "detail": failed.failure.violation.detail,
                "events": failed.failure.events,
                "story": failed.failure.story,
                "command": failed.command,
                "shrunk": failed.shrunk.as_ref().map(|(command, shrunk)| json!({
                    "command": command,
                    "events": shrunk.failure.events,
                    "detail": shrunk.failure.violation.detail,
                    "story": shrunk.failure.story,
                })),
            })
        };
        let unrepeatable: Vec<u64> = self.unrepeatable.iter().map(|(seed, _)| *seed).collect();
        json!({
            "revision": self.revision,
            "seeds": self.seeds,
            "events": self.events,
            "events_per_cpu_second": self.rate().round(),
            "simulated_hours": self.hours(),
            "slots_chosen": self.chosen,
            "operations": { "begun": self.ops.0, "done": self.ops.1 },
            "quorum_systems": self.systems,
            "faults": table(Fault::ALL, Fault::name, &self.tally.faults),
            "died_at": table(Step::ALL, Step::name, &self.tally.steps),
            "sometimes": table(Sometimes::ALL, Sometimes::name, &self.tally.sometimes),
            "failures": self.failed.iter().map(failed).collect::<Vec<_>>(),
            "unrepeatable": unrepeatable,
        })
    }
}

/// Counts by name.
fn table<K: Copy + Into<usize>>(kinds: &[K], name: impl Fn(K) -> &'static str, counts: &Counts) -> Value {
    let rows = kinds
        .iter()
        .map(|kind| (name(*kind).to_owned(), counts.of(*kind).into()));
    Value::Object(rows.collect())
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((system, hash)) = &self.named {
            writeln!(f, "{system}, fingerprint {hash:016x}")?;
        }
        for (seed, hash) in &self.unrepeatable {
            writeln!(
                f,
                "seed {seed} does not repeat itself: fingerprint {hash:016x} and another"
            )?;
        }
        writeln!(
            f,
            "revision {}: {} seeds held and {} failed; {} events, {:.0} per CPU second, {:.1} h simulated",
            self.revision,
            self.seeds,
            self.failures(),
            self.events,
            self.rate(),
            self.hours()
        )?;
        writeln!(
            f,
            "{} slots chosen; {} operations, {} of them done",
            self.chosen, self.ops.0, self.ops.1
        )?;
        let systems: Vec<_> = self
            .systems
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        writeln!(f, "quorum systems: {}", systems.join(", "))?;
        writeln!(f, "faults:")?;
        for fault in Fault::ALL {
            writeln!(f, "  {:>10}  {}", self.tally.faults.of(*fault), fault.name())?;
        }
        writeln!(f, "processes that died at a step:")?;
        for step in Step::ALL {
            writeln!(f, "  {:>10}  {}", self.tally.steps.of(*step), step.name())?;
        }
        writeln!(f, "sometimes:")?;
        for seen in Sometimes::ALL {
            writeln!(f, "  {:>10}  {}", self.tally.sometimes.of(*seen), seen.name())?;
        }
        let never: Vec<_> = Sometimes::ALL
            .iter()
            .filter(|seen| self.tally.sometimes.of(**seen) == 0)
            .map(|seen| seen.name())
            .collect();
        if !never.is_empty() && self.seeds >= MANY {
            writeln!(f, "never seen: {}", never.join("; "))?;
        }
        Ok(())
    }
}
