//! `synod quorum apply`: from the configuration that a cluster has to another one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use quorum::{Configuration, Obstacle};
use serde_json::{Value, json};

use super::comparison::Comparison;
use super::live::{Endpoints, Live};
use super::target::target;
use crate::cli::Format;

#[derive(Debug, Args)]
#[command(after_help = "\
The file is TOML with `system` and a [[member]] table for each node; whatever it leaves out stays as it is, so a file of one
line may change the quorum system alone. Epochs and incarnations are counted by the cluster.

Examples:
  synod quorum apply --system 'counts 4/2' --dry-run
  synod quorum apply cluster.toml --dry-run -o json

Exit codes: 0 the change is possible; 1 it is refused, or nobody answers; 2 the file cannot be read.")]
pub(super) struct Apply {
    /// The file to go by
    #[arg(required_unless_present = "system")]
    file: Option<PathBuf>,
    /// The quorum system to go to, in the place of a file
    #[arg(long, value_name = "SYSTEM", conflicts_with = "file")]
    system: Option<String>,
    /// Shows what the change means, and changes nothing
    #[arg(long, required = true)]
    dry_run: bool,
    #[command(flatten)]
    whom: Endpoints,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

pub(super) fn run(apply: &Apply) -> ExitCode {
    let (name, text) = match read(apply) {
        Ok(read) => read,
        Err(reason) => {
            eprintln!("synod quorum apply: {reason}");
            return ExitCode::from(2);
        }
    };
    let live = match Live::ask(&apply.whom) {
        Ok(live) => live,
        Err(reason) => {
            eprintln!("synod quorum apply: {reason}");
            return ExitCode::FAILURE;
        }
    };
    let after = match target(&name, &text, live.newest()) {
        Ok(after) => after,
        Err(faults) => {
            eprintln!("synod quorum apply: {name} cannot be used:");
            for fault in &faults {
                eprintln!("  {fault}");
            }
            if apply.output == Format::Json {
                let faults: Vec<Value> = faults.iter().map(|fault| json!(fault.to_string())).collect();
                println!("{:#}", json!({ "valid": false, "faults": faults }));
            }
            return ExitCode::FAILURE;
        }
    };
    let round_trips = live.round_trips();
    let comparison = Comparison {
        before: live.newest(),
        after: &after,
        round_trips: &round_trips,
    };
    match apply.output {
        Format::Table => print!("{}", comparison.table()),
        Format::Json => println!("{:#}", comparison.json()),
    }
    if is_possible(&comparison) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether nothing stands against the change but what can be accepted.
fn is_possible(comparison: &Comparison<'_>) -> bool {
    let (before, after): (&Configuration, &Configuration) = (comparison.before, comparison.after);
    let obstacles = after.obstacles(before);
    obstacles
        .iter()
        .all(|obstacle| matches!(obstacle, Obstacle::Risk { .. }))
}

/// What the operator wants as text, and what to call it.
fn read(apply: &Apply) -> Result<(String, String), String> {
    match (&apply.file, &apply.system) {
        (_, Some(system)) => Ok((
            "--system".to_owned(),
            format!("system = {}\n", toml::Value::from(system.as_str())),
        )),
        (Some(file), None) => {
            let text =
                std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            Ok((file.display().to_string(), text))
        }
        (None, None) => Err("name a file, or a quorum system with --system".to_owned()),
    }
}
