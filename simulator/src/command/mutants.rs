//! `simulate mutants`: what becomes of every mutant, as a table.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use simulator::{Entry, Expected, MISSING, Mutant, Row, entries, record, recorded};

#[derive(Args)]
pub(super) struct Arguments {
    /// Judge this mutant only.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Look for shorter scenes on the stage first, and keep them in simulator/scenes/.
    #[arg(long)]
    search: bool,
    /// Look for killing seeds from seed 0 on, and write them to simulator/mutants.csv.
    #[arg(long, conflicts_with = "only")]
    record: bool,
    /// After so many events without a violation a mutant has survived in the simulated cluster.
    #[arg(long, value_name = "N", default_value_t = 3_000_000)]
    events: u64,
    /// How to print what was found.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

#[derive(Copy, Clone, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Json,
}

pub(super) fn execute(arguments: &Arguments) -> ExitCode {
    if !paxos_is_mutable() {
        eprintln!("The core of this build cannot be made wrong. Build it so:");
        eprintln!("  cargo run --release -p simulator --features mutants -- mutants");
        return ExitCode::from(2);
    }
    match judge(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Whether the mutants of the core are in this build.
pub(super) fn paxos_is_mutable() -> bool {
    Mutant::all().any(|mutant| matches!(mutant, Mutant::Core(_)))
}

fn judge(arguments: &Arguments) -> Result<bool, String> {
    let begun = Instant::now();
    let chosen: Vec<&'static Entry> = match &arguments.only {
        None => entries().collect(),
        Some(name) => vec![Entry::named(name).ok_or_else(|| format!("there is no mutant {name}"))?],
    };
    let seeds = if arguments.record {
        Default::default()
    } else {
        recorded()?
    };
    let mut rows = Vec::new();
    for entry in chosen {
        if arguments.search {
            entry.find_scene()?;
        }
        let row = entry.judge(
            seeds.get(entry.name).map(|known| known.seed),
            arguments.events,
            arguments.record,
        )?;
        if arguments.output == Form::Table {
            if rows.is_empty() {
                head();
            }
            show(&row);
        }
        rows.push(row);
    }
    if arguments.record {
        record(&rows)?;
    }
    match arguments.output {
        Form::Table => conclude(&rows, arguments, begun.elapsed()),
        Form::Json => json(&rows),
    }
    Ok(rows.iter().all(|row| row.wrong.is_none()))
}

fn head() {
    println!(
        "{:<7} {:<26} {:<7} {:<9} {:<9} {:>5}  {:<42} {:>6} {:>9} {:>7}",
        "row", "mutant", "rule", "expected", "verdict", "moves", "seen by", "seed", "events", "ms"
    );
}

fn show(row: &Row) {
    let mutant = row.entry.mutant();
    let dash = || "-".to_owned();
    println!(
        "{:<7} {:<26} {:<7} {:<9} {:<9} {:>5}  {:<42} {:>6} {:>9} {:>7}",
        mutant.map_or("", Mutant::row),
        row.entry.name,
        mutant.map_or("", Mutant::rule),
        row.expected(),
        row.verdict(),
        row.scene.as_ref().map_or_else(dash, |(moves, _)| moves.to_string()),
        row.kill.map_or("-", |kill| kill.property.name()),
        row.kill.map_or_else(dash, |kill| kill.seed.to_string()),
        row.kill.map_or(row.survived, |kill| kill.events),
        row.took.as_millis(),
    );
    if let Some(wrong) = &row.wrong {
        println!("        WRONG: {wrong}");
    }
}

fn conclude(rows: &[Row], arguments: &Arguments, took: Duration) {
    if arguments.only.is_none() {
        println!("\nRows without a mutant of their own:");
        for row in MISSING {
            println!("{:<7} {}: {}", row.row, row.what, row.why);
        }
    }
    let survivors = rows
        .iter()
        .filter(|row| matches!(row.entry.expected, Expected::Survives(_)))
        .count();
    let wrong = rows.iter().filter(|row| row.wrong.is_some()).count();
    println!(
        "\n{} mutants, {} to be killed and {survivors} to survive: {wrong} not as expected; {:.1} s",
        rows.len(),
        rows.len() - survivors,
        took.as_secs_f64()
    );
}

/// Names and sentences here are plain ASCII, so Rust's quoting is JSON's.
fn json(rows: &[Row]) {
    let line = |row: &Row| {
        let mutant = row.entry.mutant();
        let kill = row.kill.map_or("null".to_owned(), |kill| {
            format!(
                "{{\"property\": {:?}, \"seed\": {}, \"events\": {}}}",
                kill.property.name(),
                kill.seed,
                kill.events
            )
        });
        let scene = row.scene.as_ref().map_or("null".to_owned(), |(moves, harm)| {
            format!("{{\"moves\": {moves}, \"harm\": {harm:?}}}")
        });
        format!(
            "  {{\"row\": {:?}, \"mutant\": {:?}, \"rule\": {:?}, \"expected\": {:?}, \"verdict\": {:?}, \"kill\": {kill}, \"scene\": {scene}, \"survived\": {}, \"hits\": {}, \"milliseconds\": {}, \"wrong\": {}}}",
            mutant.map_or("", Mutant::row),
            row.entry.name,
            mutant.map_or("", Mutant::rule),
            row.expected(),
            row.verdict(),
            row.survived,
            row.hits,
            row.took.as_millis(),
            row.wrong
                .as_ref()
                .map_or("null".to_owned(), |wrong| format!("{wrong:?}"))
        )
    };
    println!("[\n{}\n]", rows.iter().map(line).collect::<Vec<_>>().join(",\n"));
}
