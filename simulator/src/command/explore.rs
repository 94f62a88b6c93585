//! `simulate explore`: every path through a small cluster, up to a bound.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use quorum::SystemSpec;
use serde_json::json;
use simulator::explorer::{Bounds, Ending, Exploration, Hunted, Reach, explore, hunt};
use simulator::{Mutant, Property};

use super::choice;

#[derive(Args)]
pub(super) struct Arguments {
    /// Nodes: 2 or 3.
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: usize,
    /// Which nodes are quorums, for example 'majority' or 'counts 3/1'.
    #[arg(long, value_name = "SYSTEM", default_value = "majority")]
    system: SystemSpec,
    /// How many of the nodes may stand for election.
    #[arg(long, value_name = "N", default_value_t = 2)]
    proposers: usize,
    /// Candidacies of all nodes together.
    #[arg(long, value_name = "N", default_value_t = 2)]
    ballots: u8,
    /// Slots of the log.
    #[arg(long, value_name = "N", default_value_t = 1)]
    slots: u64,
    /// Ask whoever begins to lead to do without the first node: the last of three, a learner before, votes in its place.
    #[arg(long)]
    change: bool,
    /// Crashes of all nodes together; each loses what is not durable, and the node starts again.
    #[arg(long, value_name = "N", default_value_t = 0)]
    crashes: u8,
    /// Messages that arrive twice. Any message may be lost, without a bound.
    #[arg(long, value_name = "N", default_value_t = 0)]
    duplicates: u8,
    /// Times that a leader sends again what was not answered.
    #[arg(long, value_name = "N", default_value_t = 0)]
    reminders: u8,
    /// Times that a node fetches what it missed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    fetches: u8,
    /// Give a page of a promise room for one vote only.
    #[arg(long)]
    pages: bool,
    /// Carry heartbeats and rejections as well.
    #[arg(long)]
    courtesies: bool,
    /// Leave out every reduction: slow, to test the reductions.
    #[arg(long)]
    plain: bool,
    /// Go so many steps from the start and no further.
    #[arg(long, value_name = "N")]
    depth: Option<u32>,
    /// Stop at so many distinct states; the default takes about 4 GiB.
    #[arg(long, value_name = "N", default_value_t = 30_000_000)]
    states: u32,
    /// Stop after so many minutes.
    #[arg(long, value_name = "M", default_value_t = 10.0)]
    minutes: f64,
    /// Make every node wrong in this way.
    #[arg(long, value_name = "NAME", value_parser = choice::core_mutant)]
    mutant: Option<Mutant>,
    /// Hunt every mutant of the core through small instances, with at most 600,000 states in each, and print a table.
    #[arg(long, conflicts_with_all = ["mutant", "output"])]
    mutants: bool,
    /// Judge only the property whose name begins so (for example I1).
    #[arg(long, value_name = "PROPERTY", value_parser = choice::property)]
    only: Option<Property>,
    /// How the result is printed.
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Copy, Clone, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Arguments {
    fn bounds(&self) -> Bounds {
        Bounds {
            nodes: self.nodes,
            system: self.system.clone(),
            proposers: self.proposers,
            ballots: self.ballots,
            slots: self.slots,
            change: self.change,
            crashes: self.crashes,
            duplicates: self.duplicates,
            reminders: self.reminders,
            fetches: self.fetches,
            pages: self.pages,
            courtesies: self.courtesies,
            plain: self.plain,
            depth: self.depth,
            states: self.states,
            mutant: self.mutant,
            only: self.only,
        }
    }
}

/// Most states of an instance in which a mutant is hunted.
const HUNTED_STATES: u32 = 600_000;

pub(super) fn execute(arguments: &Arguments) -> ExitCode {
    if arguments.mutants {
        return hunt_all(arguments.only);
    }
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(arguments.minutes.max(0.0) * 60.0);
    let exploration = match explore(&arguments.bounds(), |_, _| begun.elapsed() < limit) {
        Ok(exploration) => exploration,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::from(2);
        }
    };
    match arguments.output {
        Format::Text => print_text(arguments, &exploration, begun.elapsed()),
        Format::Json => print_json(arguments, &exploration, begun.elapsed()),
    }
    if matches!(exploration.ending, Ending::Violated(..)) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Prints what becomes of each mutant, as a table in Markdown.
fn hunt_all(only: Option<Property>) -> ExitCode {
    println!("| mutant | breaks | instance | states | steps | found by |");
    println!("|---|---|---|---|---|---|");
    for mutant in Mutant::all().filter(|mutant| matches!(mutant, Mutant::Core(_))) {
        let (name, rule) = (mutant.name(), mutant.rule());
        match hunt(mutant, HUNTED_STATES, only) {
            Ok(Hunted::Killed {
                instance,
                states,
                path,
                violation,
            }) => {
                let (steps, by) = (path.len(), violation.property.name());
                println!("| {name} | {rule} | `{instance}` | {states} | {steps} | {by} |");
            }
            Ok(Hunted::Survived { asked: 0, .. }) => println!("| {name} | {rule} | – | | | never asked |"),
            Ok(Hunted::Survived { exhausted, .. }) => {
                let (seen, of) = exhausted;
                println!("| {name} | {rule} | – | | | survives; {seen} of {of} exhausted |");
            }
            Err(fault) => {
                eprintln!("{fault}");
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}

/// How it ended, in words.
fn verdict(ending: &Ending) -> String {
    match ending {
        Ending::Exhausted => "exhausted: every state within the bounds was seen, and none violates anything".to_owned(),
        Ending::Violated(violation, path) => format!("violated after {} steps: {violation}", path.len()),
        Ending::TooDeep => "not exhausted: there is more beyond this depth".to_owned(),
        Ending::TooMany => "not exhausted: there are more states than the limit".to_owned(),
        Ending::Stopped => "not exhausted: the time was up".to_owned(),
    }
}

fn print_text(arguments: &Arguments, exploration: &Exploration, took: Duration) {
    let Arguments {
        nodes,
        system,
        proposers,
        ballots,
        slots,
        crashes,
        duplicates,
        reminders,
        fetches,
        ..
    } = arguments;
    let Exploration {
        states,
        steps,
        depth,
        node_states,
        messages,
        reached,
        ending,
        ..
    } = exploration;
    println!(
        "{nodes} nodes ({system}), {proposers} proposers, {ballots} ballots, {slots} slots, {crashes} crashes, \
         {duplicates} duplicates, {reminders} reminders, {fetches} fetches"
    );
    let seconds = took.as_secs_f64();
    println!(
        "{states} states, {steps} steps, depth {depth}, {node_states} states of single nodes, {messages} messages, \
         {seconds:.1} s, {:.0} states/s",
        *states as f64 / seconds.max(0.001)
    );
    println!("reached:");
    for reach in Reach::ALL {
        println!("  {:>10}  {}", reached.of(*reach), reach.name());
    }
    if let Ending::Violated(_, path) = ending {
        path.iter().for_each(|line| println!("{line}"));
    }
    println!("{}", verdict(ending));
}

fn print_json(arguments: &Arguments, exploration: &Exploration, took: Duration) {
    let reached = Reach::ALL
        .iter()
        .map(|reach| (reach.name(), exploration.reached.of(*reach)));
    let (violation, path) = match &exploration.ending {
        Ending::Violated(violation, path) => (Some(violation.to_string()), Some(path)),
        _ => (None, None),
    };
    let report = json!({
        "bounds": {
            "nodes": arguments.nodes,
            "system": arguments.system.to_string(),
            "proposers": arguments.proposers,
            "ballots": arguments.ballots,
            "slots": arguments.slots,
            "change": arguments.change,
            "crashes": arguments.crashes,
            "duplicates": arguments.duplicates,
            "reminders": arguments.reminders,
            "fetches": arguments.fetches,
            "pages": arguments.pages,
            "courtesies": arguments.courtesies,
            "depth": arguments.depth,
            "states": arguments.states,
            "mutant": arguments.mutant.map(Mutant::name),
            "only": arguments.only.map(Property::name),
        },
        "states": exploration.states,
        "steps": exploration.steps,
        "depth": exploration.depth,
        "node_states": exploration.node_states,
        "messages": exploration.messages,
        "seconds": took.as_secs_f64(),
        "reached": reached.collect::<std::collections::BTreeMap<_, _>>(),
        "exhausted": matches!(exploration.ending, Ending::Exhausted),
        "verdict": verdict(&exploration.ending),
        "violation": violation,
        "path": path,
    });
    println!("{report:#}");
}
