//! `simulate`: runs seeds and reports what was seen.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use simulator::{Fault, MUTANTS, Mutant, Plan, Property, Sometimes, Summary, Tally, run, tell};

/// Runs simulated clusters of the real replica under faults, one per seed, with every checker on.
#[derive(Parser)]
#[command(name = "simulate", version)]
struct Arguments {
    /// Run this seed only.
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "minutes"])]
    seed: Option<u64>,
    /// Run the seeds from A up to, not including, B.
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: Option<std::ops::Range<u64>>,
    /// Run seed after seed for so many minutes, from the first of --seeds or from a seed taken from the clock.
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Make every node wrong in this way; without a name of a mutant, lists them.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    mutant: Option<String>,
    /// Go on after a failure, up to so many.
    #[arg(long, value_name = "N", default_value_t = 1)]
    failures: u64,
    /// Judge only the property whose name begins so (for example I1).
    #[arg(long, value_name = "PROPERTY")]
    only: Option<String>,
    /// Do not judge the property whose name begins so; may be given several times.
    #[arg(long, value_name = "PROPERTY")]
    ignore: Vec<String>,
    /// Print every event from this one on (with --seed).
    #[arg(long, value_name = "EVENT", requires = "seed")]
    tell: Option<u64>,
    /// Run each seed twice and compare the fingerprints.
    #[arg(long)]
    twice: bool,
}

fn range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("write it as A..B, for example 0..100")?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let range = number(from)?..number(to)?;
    if range.is_empty() {
        Err(format!("{} is not below {}", range.start, range.end))
    } else {
        Ok(range)
    }
}

/// The property whose name begins so.
fn property(name: &String) -> Result<Property, String> {
    let known = Property::ALL
        .iter()
        .find(|known| known.name().starts_with(name.as_str()));
    known.copied().ok_or_else(|| {
        let names: Vec<_> = Property::ALL.iter().map(|known| known.name()).collect();
        format!("no property begins with {name:?}; there are: {}", names.join(", "))
    })
}

/// What all runs so far amounted to.
#[derive(Default)]
struct Total {
    seeds: u64,
    events: u64,
    chosen: u64,
    ops: (u64, u64),
    simulated: Duration,
    systems: std::collections::BTreeMap<String, u64>,
    tally: Tally,
}

impl Total {
    fn add(&mut self, summary: &Summary) {
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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mutant = match arguments.mutant.as_deref() {
        None => None,
        Some(name) => match Mutant::named(name) {
            Some(mutant) => Some(mutant),
            None => {
                eprintln!("Mutants:");
                for (name, _, rule) in MUTANTS {
                    eprintln!("  {name:<26} breaks {rule}");
                }
                return if name.is_empty() {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::from(2)
                };
            }
        },
    };
    let (only, ignored) = match (
        arguments.only.iter().map(property).collect(),
        arguments.ignore.iter().map(property).collect(),
    ) {
        (Ok(only), Ok(ignored)) => (only, ignored),
        (Err(unknown), _) | (_, Err(unknown)) => {
            eprintln!("{unknown}");
            return ExitCode::from(2);
        }
    };
    let (only, ignored): (Vec<Property>, Vec<Property>) = (only, ignored);
    let plan = |seed| {
        let plan = Plan::new(seed).with(mutant);
        let plan = only.iter().fold(plan, |plan, only| plan.judging_only(*only));
        ignored.iter().fold(plan, |plan, ignored| plan.ignoring(*ignored))
    };
    if let (Some(seed), Some(from)) = (arguments.seed, arguments.tell) {
        let plan = plan(seed);
        println!("{plan:?}");
        let (result, story) = tell(&plan, from);
        story.iter().for_each(|line| println!("{line}"));
        return match result {
            Ok(_) => ExitCode::SUCCESS,
            Err(violation) => {
                println!("{violation}");
                ExitCode::FAILURE
            }
        };
    }
    simulate(&arguments, plan)
}

/// Runs what the arguments ask for.
fn simulate(arguments: &Arguments, plan: impl Fn(u64) -> Plan) -> ExitCode {
    let seeds = match (arguments.seed, &arguments.seeds, arguments.minutes) {
        (Some(seed), ..) => seed..seed + 1,
        (_, Some(seeds), None) => seeds.clone(),
        (_, Some(seeds), Some(_)) => seeds.start..u64::MAX,
        (_, None, Some(_)) => clock_seed()..u64::MAX,
        (_, None, None) => 0..100,
    };
    let begun = Instant::now();
    let cpu_before = cpu_time();
    let limit = arguments
        .minutes
        .map(|minutes| Duration::from_secs_f64(minutes.max(0.0) * 60.0));
    let mut progress = Progress::new();
    let mut total = Total::default();
    let mut failures = 0;
    for seed in seeds {
        if limit.is_some_and(|limit| begun.elapsed() >= limit) || failures >= arguments.failures {
            break;
        }
        let plan = plan(seed);
        let result = run(&plan).and_then(|summary| {
            if arguments.twice {
                run(&plan).map(|again| (summary, Some(again)))
            } else {
                Ok((summary, None))
            }
        });
        match result {
            Ok((summary, again)) => {
                if again.as_ref().is_some_and(|again| *again != summary) {
                    progress.clear();
                    println!(
                        "seed {seed} does not repeat itself: fingerprint {:016x} and {again:?}",
                        summary.hash
                    );
                    failures += 1;
                }
                if arguments.seed.is_some() {
                    println!("seed {seed}: {}, fingerprint {:016x}", summary.system, summary.hash);
                }
                total.add(&summary);
            }
            Err(failure) => {
                progress.clear();
                println!("{failure}");
                println!("  revision {}; repeat it with:", revision());
                println!(
                    "  cargo run --release -p simulator -- --seed {seed}{}\n",
                    extra(&plan, arguments)
                );
                failures += 1;
            }
        }
        progress.show(&total, seed, failures, begun.elapsed());
    }
    progress.clear();
    report(&total, failures, cpu_time().saturating_sub(cpu_before));
    if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn extra(plan: &Plan, arguments: &Arguments) -> String {
    let mutant = plan
        .mutant
        .map(|mutant| format!(" --mutant {}", mutant.name()))
        .unwrap_or_default();
    let only = arguments.only.iter().map(|only| format!(" --only '{only}'"));
    let ignored = arguments.ignore.iter().map(|ignored| format!(" --ignore '{ignored}'"));
    mutant + &only.chain(ignored).collect::<String>()
}

/// A seed that differs from run to run: this is the only place where the real clock decides anything.
fn clock_seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    now.as_secs() * 1_000_000
}

/// CPU time of this process so far, as Linux counts it.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    let ticks: u64 = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn revision() -> String {
    let output = std::process::Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output();
    let text = output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_default();
    if text.trim().is_empty() {
        "unknown".to_owned()
    } else {
        text.trim().to_owned()
    }
}

fn report(total: &Total, failures: u64, cpu: Duration) {
    let rate = total.events as f64 / cpu.as_secs_f64().max(0.01);
    println!(
        "{} seeds, {} events, {:.0} events per CPU second, {:.1} h simulated, {failures} failed",
        total.seeds,
        total.events,
        rate,
        total.simulated.as_secs_f64() / 3600.0
    );
    println!(
        "{} slots chosen; {} operations, {} of them done",
        total.chosen, total.ops.0, total.ops.1
    );
    let systems: Vec<_> = total
        .systems
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    println!("quorum systems: {}", systems.join(", "));
    println!("faults:");
    for fault in Fault::ALL {
        println!("  {:>10}  {}", total.tally.faults.of(*fault), fault.name());
    }
    println!("sometimes:");
    for seen in Sometimes::ALL {
        println!("  {:>10}  {}", total.tally.sometimes.of(*seen), seen.name());
    }
}

/// One line on a terminal that says how far things are.
struct Progress {
    shown: bool,
    last: Option<Instant>,
}

impl Progress {
    fn new() -> Progress {
        Progress {
            shown: false,
            last: None,
        }
    }

    fn show(&mut self, total: &Total, seed: u64, failures: u64, elapsed: Duration) {
        let mut out = std::io::stderr();
        if !out.is_terminal()
            || self
                .last
                .is_some_and(|last| last.elapsed() < Duration::from_millis(200))
        {
            return;
        }
        self.last = Some(Instant::now());
        self.shown = true;
        let seconds = elapsed.as_secs_f64().max(0.001);
        let (events, rate) = (total.events, total.events as f64 / seconds);
        // A progress line that cannot be written is no reason to stop.
        let _ = write!(
            out,
            "\r{seconds:7.0} s  seed {seed}  {} runs  {events} events  {rate:.0}/s  {failures} failed ",
            total.seeds
        );
        let _ = out.flush();
    }

    fn clear(&mut self) {
        if self.shown {
            let mut out = std::io::stderr();
            let _ = write!(out, "\r{:78}\r", "");
            let _ = out.flush();
            self.shown = false;
        }
    }
}
