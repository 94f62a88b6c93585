//! What becomes of each mutant: on the stage, where its scene does the named harm, and in the simulated cluster, where a
//! checker sees it under random faults.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Mutant;
use super::catalogue::{Entry, Expected};
use super::hunts::hunt;
use crate::checker::Property;
use crate::run::run;
use crate::stage::{Played, Scene, play, shrink};
use crate::swarm::Plan;

/// How often a search on the stage tries before it gives up.
const ATTEMPTS: u64 = 20_000;
/// A search on the stage takes the shortest of so many scenes.
const ENOUGH: usize = 20;
/// How many times as long a mutant that was not asked may go on: what it breaks may come up in few runs only.
const UNASKED: u64 = 20;

/// A death in the simulated cluster.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Kill {
    /// The seed of the run.
    pub seed: u64,
    /// What did not hold.
    pub property: Property,
    /// After how many events.
    pub events: u64,
}

/// What became of one mutant.
#[derive(Debug)]
pub struct Row {
    /// The mutant.
    pub entry: &'static Entry,
    /// Its scene: how many moves, and what did not hold.
    pub scene: Option<(usize, String)>,
    /// Its death in the simulated cluster.
    pub kill: Option<Kill>,
    /// Events that it survived there.
    pub survived: u64,
    /// How often its rule was broken in those.
    pub hits: u64,
    /// What is not as it must be.
    pub wrong: Option<String>,
    /// How long that took.
    pub took: Duration,
}

/// Where the seeds and the scenes are kept.
fn kept(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A death as it was written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// The seed.
    pub seed: u64,
    /// The name of the property that did not hold.
    pub by: String,
}

/// The recorded deaths by mutant.
///
/// # Errors
/// What is wrong with the file.
pub fn recorded() -> Result<BTreeMap<String, Recorded>, String> {
    let text =
        std::fs::read_to_string(kept("mutants.csv")).map_err(|error| format!("simulator/mutants.csv: {error}"))?;
    let lines = text.lines().skip(1).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut fields = line.split(',');
            let (name, seed) = (fields.next(), fields.next().and_then(|seed| seed.parse().ok()));
            match (name, seed, fields.next()) {
                (Some(name), Some(seed), Some(by)) => {
                    let by = by.to_owned();
                    Ok((name.to_owned(), Recorded { seed, by }))
                }
                _ => Err(format!("simulator/mutants.csv: {line:?} is not name,seed,…")),
            }
        })
        .collect()
}

/// Writes down seeds, with what is to be expected of them.
///
/// # Errors
/// That the file cannot be written.
pub fn record(rows: &[Row]) -> Result<(), String> {
    let mut text = "mutant,seed,killed by,after events\n".to_owned();
    for row in rows {
        if let Some(kill) = row.kill {
            let (name, property) = (row.entry.name, kill.property.name());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name},{},{property},{}", kill.seed, kill.events);
        }
    }
    std::fs::write(kept("mutants.csv"), text).map_err(|error| format!("simulator/mutants.csv: {error}"))
}

impl Entry {
    /// The scene in which it does its harm, if one is kept.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn scene(&self) -> Result<Option<Scene>, String> {
        let name = format!("scenes/{}.scene", self.name);
        match std::fs::read_to_string(kept(&name)) {
            Ok(text) => text
                .parse()
                .map(Some)
                .map_err(|error| format!("simulator/{name}: {error}")),
            Err(_) => Ok(None),
        }
    }

    /// Keeps a scene.
    fn keep(&self, scene: &Scene) -> Result<(), String> {
        let name = format!("scenes/{}.scene", self.name);
        std::fs::write(kept(&name), scene.to_string()).map_err(|error| format!("simulator/{name}: {error}"))
    }

    /// Looks for a scene that is shorter than the one that is kept, and keeps it.
    ///
    /// # Errors
    /// That it cannot be kept.
    pub fn find_scene(&self) -> Result<(), String> {
        let (Some(mutant), Expected::Killed(property)) = (self.mutant(), self.expected) else {
            return Ok(());
        };
        let length = |scene: &Scene| play(scene, Some(mutant), Some(property)).story.len();
        let known = self.scene()?.map(|scene| shrink(scene, mutant, property));
        let found = hunt(self.name).search(mutant, property, ATTEMPTS, ENOUGH);
        let best = known.into_iter().chain(found).min_by_key(length);
        best.map_or(Ok(()), |scene| self.keep(&scene))
    }

    /// Plays its scene with the rule broken.
    ///
    /// # Errors
    /// That there is none, or what is wrong with it.
    pub fn play(&self) -> Result<Played, String> {
        let scene = self.scene()?.ok_or_else(|| format!("{} has no scene", self.name))?;
        let mutant = self
            .mutant()
            .ok_or_else(|| format!("{} breaks the core: build with `--features mutants`", self.name))?;
        Ok(play(&scene, Some(mutant), self.harm()))
    }

    fn plan(&self, seed: u64, mutant: Mutant) -> Plan {
        let plan = Plan::new(seed).with(Some(mutant));
        match self.expected {
            // A node whose clock is set back is also slow to answer, which says nothing about leases.
            Expected::Killed(_) if mutant == Mutant::WallClock => plan.ignoring(Property::Liveness),
            Expected::Killed(_) => plan,
            Expected::Stuck => plan.judging_only(Property::Liveness),
            Expected::Survives(rules) => rules.iter().fold(plan, |plan, rule| plan.ignoring(*rule)),
        }
    }

    /// What becomes of it: on the stage; then in the simulated cluster, first with the recorded seed, and with others for
    /// so many events if it no longer dies there. One without a recorded seed is hunted there only if that is `thorough`
    /// or it has no scene.
    ///
    /// # Errors
    /// That its scene cannot be read, or that this build does not have it.
    pub fn judge(&'static self, seed: Option<u64>, events: u64, thorough: bool) -> Result<Row, String> {
        let begun = Instant::now();
        let mutant = self
            .mutant()
            .ok_or_else(|| format!("{} breaks the core: build with `--features mutants`", self.name))?;
        let mut row = Row {
            entry: self,
            scene: None,
            kill: None,
            survived: 0,
            hits: 0,
            wrong: None,
            took: Duration::ZERO,
        };
        if let Some(scene) = self.scene()? {
            row.on_stage(&scene, mutant);
        }
        let enough = row.scene.is_some() && seed.is_none() && self.harm().is_some() && !thorough;
        let events = if enough { 0 } else { events };
        for seed in seed.into_iter().chain(0..) {
            // What was never asked has not survived anything.
            let enough = row.hits > 0 || !paxos::MUTABLE || row.survived >= events * UNASKED;
            if row.kill.is_some() || (row.survived >= events && enough) {
                break;
            }
            match run(&self.plan(seed, mutant)) {
                Ok(summary) => row.survived += summary.events,
                Err(failure) => {
                    row.kill = Some(Kill {
                        seed,
                        property: failure.violation.property,
                        events: failure.events,
                    });
                }
            }
            row.hits += hits();
            if self.harm().is_none() && !matches!(mutant, Mutant::Core(_)) {
                // What the simulator does wrong by itself it does in every run, and nobody asks.
                row.hits += 1;
            }
        }
        row.conclude();
        row.took = begun.elapsed();
        Ok(row)
    }
}

impl Row {
    /// With the rule broken the scene does the harm; with the rule kept it does none.
    fn on_stage(&mut self, scene: &Scene, mutant: Mutant) {
        let (name, harm) = (self.entry.name, self.entry.harm());
        let violation = play(scene, Some(mutant), harm).violation;
        self.hits += hits();
        match (harm, violation) {
            (Some(_), Some(violation)) => self.scene = Some((scene.len(), violation.detail)),
            (Some(_), None) => self.wrong = Some(format!("the scene of {name} does no harm any more")),
            (None, Some(violation)) => self.wrong = Some(format!("{name} must survive its scene, but: {violation}")),
            (None, None) => self.scene = Some((scene.len(), String::new())),
        }
        if let Some(violation) = play(scene, None, None).violation {
            self.wrong = Some(format!("the scene of {name} does harm with the rule kept: {violation}"));
        }
    }

    fn conclude(&mut self) {
        let name = self.entry.name;
        let wrong = match (self.entry.expected, self.kill) {
            (Expected::Survives(_), Some(kill)) => Some(format!(
                "{name} must survive, but dies by {} at seed {}",
                kill.property.name(),
                kill.seed
            )),
            (Expected::Survives(_), None) if paxos::MUTABLE && self.hits == 0 => {
                Some(format!("{name} was never asked in {} events", self.survived))
            }
            (Expected::Survives(_), None) => None,
            (_, None) if self.scene.is_none() => Some(format!(
                "{name} survives {} events and has no scene: `simulate mutants --search --only {name}`",
                self.survived
            )),
            (..) => None,
        };
        self.wrong = self.wrong.take().or(wrong);
    }

    /// In a word: killed, stuck or survives.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match (self.entry.expected, self.kill, &self.scene) {
            (Expected::Stuck, Some(_), _) => "stuck",
            (_, Some(_), _) | (Expected::Killed(_), _, Some(_)) => "killed",
            _ => "survives",
        }
    }

    /// In a word, what was expected.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        match self.entry.expected {
            Expected::Killed(_) => "killed",
            Expected::Stuck => "stuck",
            Expected::Survives(_) => "survives",
        }
    }
}

/// How often the rule was broken in the run or the scene that has just ended on this thread.
fn hits() -> u64 {
    #[cfg(feature = "mutants")]
    return paxos::mutant::hits();
    #[cfg(not(feature = "mutants"))]
    0
}
