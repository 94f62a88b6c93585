//! `synod quorum show`: what a running cluster decides with.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use quorum::latency::predict;
use serde_json::{Value, json};
use tabled::builder::Builder;
use tabled::settings::Style;

use super::comparison::{millis, predictions_json};
use super::describe;
use super::live::{Endpoints, Live};
use crate::cli::Format;

#[derive(Debug, Args)]
#[command(after_help = "\
Commit and election latency are predicted from the round trips that the asked nodes measure now: name one endpoint in each
region to know them all. Disks come on top, and before an election the silence that it takes to miss a leader.

Examples:
  synod quorum show
  synod quorum show --endpoint 10.1.0.1:7480 --endpoint 10.2.0.1:7480 -o json

Exit codes: 0 a node answered; 1 nobody did.")]
pub(super) struct Show {
    #[command(flatten)]
    whom: Endpoints,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

pub(super) fn run(show: &Show) -> ExitCode {
    let live = match Live::ask(&show.whom) {
        Ok(live) => live,
        Err(reason) => {
            eprintln!("synod quorum show: {reason}");
            return ExitCode::FAILURE;
        }
    };
    match show.output {
        Format::Table => print!("{}", table(&live)),
        Format::Json => println!("{:#}", to_json(&live)),
    }
    for reason in &live.silent {
        eprintln!("synod quorum show: {reason}");
    }
    ExitCode::SUCCESS
}

fn table(live: &Live) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(live, &mut text);
    text
}

fn write(live: &Live, out: &mut String) -> std::fmt::Result {
    let newest = live.newest();
    writeln!(out, "epoch {}: {}", newest.epoch(), standing(live))?;
    let mut members = Builder::default();
    members.push_record(["member", "region", "zone", "role", "incarnation", "peers reach it at"]);
    for member in newest.members() {
        members.push_record([
            format!("{} ({})", member.name, member.node),
            member.region.clone(),
            member.zone.clone(),
            member.role.to_string(),
            member.incarnation.to_string(),
            member.address.clone(),
        ]);
    }
    writeln!(out, "{}\n", members.build().with(Style::sharp()))?;
    write!(out, "{}", describe::describe(newest))?;
    let mut times = Builder::default();
    times.push_record(["if the leader is in", "a commit takes", "an election takes"]);
    for prediction in predict(newest, &live.round_trips()) {
        let time = |micros: Option<u64>| micros.map_or_else(|| "not known".to_owned(), millis);
        times.push_record([prediction.region, time(prediction.commit), time(prediction.election)]);
    }
    writeln!(
        out,
        "\npredicted from the round trips that {} nodes measure now:",
        live.nodes.len()
    )?;
    writeln!(out, "{}", times.build().with(Style::sharp()))
}

/// Whether the newest configuration is in force, in words.
pub(super) fn standing(live: &Live) -> String {
    let (from, chosen) = (live.newest_from(), live.chosen());
    if chosen + 1 >= from {
        format!("in force since slot {from}")
    } else {
        format!(
            "chosen, in force from slot {from} on, which is {} slots away",
            from - chosen - 1
        )
    }
}

fn to_json(live: &Live) -> Value {
    let newest = live.newest();
    let mut told = describe::to_json(newest);
    told["epoch"] = json!(newest.epoch());
    told["from_slot"] = json!(live.newest_from());
    told["in_force"] = json!(live.chosen() + 1 >= live.newest_from());
    told["leader"] = json!(live.leader().map(|status| status.node));
    told["predictions"] = predictions_json(&predict(newest, &live.round_trips()));
    told
}
