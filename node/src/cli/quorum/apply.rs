//! `synod quorum apply`: from the configuration that a cluster has to another one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use quorum::resilience::Domain;
use quorum::{Configuration, Obstacle};
use serde_json::json;

use super::comparison::{Comparison, risk_name};
use super::live::{Endpoints, Live};
use super::show::standing;
use super::steps::{Way, is_same};
use super::target::target;
use crate::cli::Format;
use crate::cli::get::Operator;
use crate::http::reconfigure::Risk;
use crate::settings::parse_duration;

#[derive(Debug, Args)]
#[command(after_help = "\
The file is TOML with `system` and a [[member]] table for each node; whatever it leaves out stays as it is, so a file of one
line may change the quorum system alone. Epochs and incarnations are counted by the cluster. New voters join as learners and
are made voters once they have caught up.

What could lose acknowledged writes with one disk or one zone is refused unless you say that you accept it: --accept-risk
one-zone. The cluster works all the time. Ctrl-C leaves the change as it is; the same command goes on from there.

Examples:
  synod quorum apply --system 'counts 4/2' --dry-run
  synod quorum apply --system 'counts 4/2' --accept-risk one-zone
  synod quorum apply cluster.toml -o json

Exit codes: 0 the change is done (with --dry-run: possible); 1 it is refused, or nobody answers; 2 the file cannot be read.")]
pub(super) struct Apply {
    /// The file to go by
    #[arg(required_unless_present = "system")]
    file: Option<PathBuf>,
    /// The quorum system to go to, in the place of a file
    #[arg(long, value_name = "SYSTEM", conflicts_with = "file")]
    system: Option<String>,
    /// Shows what the change means, and changes nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    going: Going,
    /// How to print the result; JSON is one object for what the change means, and one a line for each step
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

/// How to go from one configuration to another; `synod member` goes the same way.
#[derive(Debug, Args)]
pub(in crate::cli) struct Going {
    #[command(flatten)]
    pub(in crate::cli) whom: Endpoints,
    #[command(flatten)]
    pub(in crate::cli) operator: Operator,
    /// Says that a risk is accepted; may be repeated
    #[arg(long = "accept-risk", value_name = "RISK", value_enum)]
    pub(in crate::cli) accept: Vec<Risk>,
    /// How long to wait for the end of the change before giving up with it as it then is
    #[arg(long, value_parser = parse_duration, default_value = "1h")]
    pub(in crate::cli) patience: Duration,
}

pub(super) fn run(apply: &Apply) -> ExitCode {
    let (name, text) = match read(apply) {
        Ok(read) => read,
        Err(reason) => {
            eprintln!("synod quorum apply: {reason}");
            return ExitCode::from(2);
        }
    };
    let done = Live::ask(&apply.going.whom).and_then(|live| {
        let after = target(&name, &text, live.newest()).map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
            format!("{name} cannot be used:{}", faults.concat())
        })?;
        walk(&live, &after, &apply.going, apply.dry_run, apply.output)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("synod quorum apply: {reason}");
            if apply.output == Format::Json {
                println!("{}", json!({ "step": "failed", "text": reason }));
            }
            ExitCode::FAILURE
        }
    }
}

/// Shows what `after` means for the cluster, and goes there unless it is only to be shown. The error is a sentence.
pub(in crate::cli) fn walk(
    live: &Live,
    after: &Configuration,
    going: &Going,
    dry_run: bool,
    output: Format,
) -> Result<(), String> {
    let before = live.newest();
    if is_same(before, after) {
        if output == Format::Table {
            println!(
                "epoch {} is that configuration already: {}",
                before.epoch(),
                standing(live)
            );
        }
    } else {
        let round_trips = live.round_trips();
        let comparison = Comparison {
            before,
            after,
            round_trips: &round_trips,
        };
        match output {
            Format::Table => print!("{}", comparison.table()),
            Format::Json if dry_run => println!("{:#}", comparison.json()),
            Format::Json => println!("{}", comparison.json()),
        }
        object(before, after, &going.accept, dry_run)?;
    }
    if dry_run {
        return Ok(());
    }
    let way = Way {
        whom: &going.whom,
        operator: &going.operator,
        accept: &going.accept,
        patience: going.patience,
        output,
    };
    way.go(before, after)
}

/// What stands against the change and is not accepted. New voters are no obstacle: they join as learners first.
fn object(before: &Configuration, after: &Configuration, accept: &[Risk], dry_run: bool) -> Result<(), String> {
    for obstacle in after.obstacles(before) {
        match &obstacle {
            Obstacle::Risk { domain, .. } => {
                let accepted = match domain {
                    Domain::Node => accept.contains(&Risk::OneDisk),
                    Domain::Zone | Domain::Region => accept.contains(&Risk::OneZone) || accept.contains(&Risk::OneDisk),
                };
                if !accepted && !dry_run {
                    return Err(format!(
                        "refused, because acknowledged writes would be at risk, as shown above. If that is accepted, say so: \
                         --accept-risk {}",
                        risk_name(*domain)
                    ));
                }
            }
            Obstacle::Unready { .. } => {}
            _ => return Err(format!("refused: {obstacle}")),
        }
    }
    Ok(())
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
