//! `simulate run`: seeds under faults, with every checker on.

use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use simulator::{Failure, MUTABLE, Plan, Reduction, run, shrink, tell};

use super::choice::Choice;
use super::host::{clock_seed, revision};
use super::progress::Progress;
use super::report::{Failed, Total};

/// How to report.
#[derive(Copy, Clone, Eq, PartialEq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One object, at the end.
    Json,
}

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
    /// Make each failure smaller for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    shrink: u64,
    /// How to report.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
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
    let limit = arguments
        .minutes
        .map(|minutes| Duration::from_secs_f64(minutes.max(0.0) * 60.0));
    let begun = Instant::now();
    let mut total = Total::new(revision());
    let progress = Progress::new(&seeds, limit);
    for seed in seeds {
        if limit.is_some_and(|limit| begun.elapsed() >= limit) || total.failures() >= arguments.failures {
            break;
        }
        let plan = arguments.choice.plan(seed);
        let result = run(&plan).and_then(|summary| {
            let again = if arguments.twice { Some(run(&plan)?) } else { None };
            Ok((summary, again))
        });
        match result {
            Ok((summary, again)) => {
                if again.is_some_and(|again| again != summary) {
                    total.add_unrepeatable(seed, summary.hash);
                }
                if arguments.seed.is_some() {
                    total.name(&summary);
                }
                total.add(&summary);
            }
            Err(failure) => {
                progress.say("shrinking a failure");
                let failed = shrink_failure(arguments, &plan, failure);
                if arguments.output == Output::Text {
                    progress.suspend(|| println!("{failed}\n"));
                }
                total.add_failure(failed);
            }
        }
        progress.show(&total, seed, begun.elapsed());
    }
    progress.clear();
    match arguments.output {
        Output::Text => print!("{total}"),
        Output::Json => println!("{:#}", total.to_json()),
    }
    total.failures() == 0
}

/// Makes a failure smaller for as long as allowed, and says how to repeat it.
fn shrink_failure(arguments: &Arguments, plan: &Plan, failure: Box<Failure>) -> Failed {
    let begun = Instant::now();
    let allowed = Duration::from_secs(arguments.shrink);
    let shrunk = shrink(plan, &failure, || begun.elapsed() < allowed);
    let command = |reduction: &Reduction| {
        let features = if MUTABLE { " --features mutants" } else { "" };
        format!(
            "cargo run --release -p simulator{features} --bin simulate -- --seed {}{}",
            failure.seed,
            arguments.choice.arguments(reduction)
        )
    };
    Failed {
        command: command(&Reduction::default()),
        shrunk: shrunk.map(|shrunk| (command(&shrunk.reduction), shrunk)),
        revision: revision(),
        failure,
    }
}
