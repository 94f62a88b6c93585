//! `simulate run`: seeds under faults, with every checker on.

use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use simulator::{run, tell};

use super::choice::Choice;
use super::host::{clock_seed, cpu_time, revision};
use super::progress::Progress;
use super::report::Total;

#[derive(Args)]
pub(super) struct Arguments {
    /// Run this seed only.
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "minutes"])]
    seed: Option<u64>,
    /// Run the seeds from A up to, not including, B.
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: Option<Range<u64>>,
    /// Run seed after seed for so many minutes, from the first of --seeds or from a seed taken from the clock.
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    #[command(flatten)]
    choice: Choice,
    /// Go on after a failure, up to so many.
    #[arg(long, value_name = "N", default_value_t = 1)]
    failures: u64,
    /// Print every event from this one on (with --seed).
    #[arg(long, value_name = "EVENT", requires = "seed")]
    tell: Option<u64>,
    /// Run each seed twice and compare the fingerprints.
    #[arg(long)]
    twice: bool,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("write it as A..B, for example 0..100")?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let range = number(from)?..number(to)?;
    if range.is_empty() {
        Err(format!("{} is not below {}", range.start, range.end))
    } else {
        Ok(range)
    }
}

pub(super) fn execute(arguments: &Arguments) -> ExitCode {
    let ok = match (arguments.seed, arguments.tell) {
        (Some(seed), Some(from)) => tell_seed(arguments, seed, from),
        _ => run_seeds(arguments),
    };
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell_seed(arguments: &Arguments, seed: u64, from: u64) -> bool {
    let plan = arguments.choice.plan(seed);
    println!("{plan:?}");
    let (result, story) = tell(&plan, from);
    story.iter().for_each(|line| println!("{line}"));
    if let Err(violation) = &result {
        println!("{violation}");
    }
    result.is_ok()
}

fn run_seeds(arguments: &Arguments) -> bool {
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
        let plan = arguments.choice.plan(seed);
        let result = run(&plan).and_then(|summary| {
            let again = if arguments.twice { Some(run(&plan)?) } else { None };
            Ok((summary, again))
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
                    arguments.choice.arguments()
                );
                failures += 1;
            }
        }
        progress.show(&total, seed, failures, begun.elapsed());
    }
    progress.clear();
    total.print(failures, cpu_time().saturating_sub(cpu_before));
    failures == 0
}
