//! `synod status`: what nodes say about themselves.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tabled::settings::Style;
use tabled::{Table, Tabled};

use super::Format;
use super::get::get;
use crate::settings::parse_duration;
use crate::status::NodeStatus;

/// Asks every endpoint for its status; a node that does not answer is shown as such.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  synod status
  synod status --endpoint 10.1.0.1:7480 --endpoint 10.2.0.1:7480 -o json

Exit codes: 0 at least one node answered; 1 nobody did.")]
pub(super) struct Arguments {
    /// A node's HTTP address (listen.http), host:port; may be repeated
    #[arg(
        long = "endpoint",
        value_name = "HOST:PORT",
        env = "SYNOD_ENDPOINTS",
        value_delimiter = ',',
        default_value = "127.0.0.1:7480"
    )]
    endpoints: Vec<String>,
    /// How long to wait for each node
    #[arg(long, value_parser = parse_duration, default_value = "3s")]
    timeout: Duration,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let asked: Vec<_> = std::thread::scope(|scope| {
        let threads = arguments
            .endpoints
            .iter()
            .map(|endpoint| scope.spawn(move || (endpoint.as_str(), get(endpoint, "/v1/status", arguments.timeout))));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let answered = asked.iter().filter(|(_, answer)| answer.is_ok()).count();
    match arguments.output {
        Format::Table => {
            let rows = asked.iter().map(|(endpoint, answer)| Row::new(endpoint, answer));
            println!("{}", Table::new(rows).with(Style::sharp()));
            for (_, answer) in &asked {
                if let Err(reason) = answer {
                    eprintln!("synod status: {reason}");
                }
            }
        }
        Format::Json => {
            let nodes: Vec<_> = asked
                .iter()
                .map(|(endpoint, answer)| to_json(endpoint, answer))
                .collect();
            println!("{:#}", serde_json::Value::Array(nodes));
        }
    }
    if answered == 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The node's own JSON, whole, beside the endpoint.
fn to_json(endpoint: &str, answer: &Result<String, String>) -> serde_json::Value {
    let parsed = answer.clone().and_then(|text| {
        serde_json::from_str::<serde_json::Value>(&text).map_err(|error| format!("the answer is not JSON: {error}"))
    });
    match parsed {
        Ok(status) => serde_json::json!({ "endpoint": endpoint, "status": status }),
        Err(reason) => serde_json::json!({ "endpoint": endpoint, "error": reason }),
    }
}

#[derive(Tabled)]
#[tabled(rename_all = "lowercase")]
struct Row {
    endpoint: String,
    node: String,
    region: String,
    role: String,
    leader: String,
    ballot: String,
    epoch: String,
    chosen: String,
    applied: String,
    lag: String,
    health: String,
}

impl Row {
    fn new(endpoint: &str, answer: &Result<String, String>) -> Row {
        let status = match answer.as_deref().map(serde_json::from_str::<NodeStatus>) {
            Ok(Ok(status)) => status,
            Ok(Err(_)) => return Row::without(endpoint, "not a synod node"),
            Err(_) => return Row::without(endpoint, "unreachable"),
        };
        let leader = status.leader.map_or_else(
            || "none".to_owned(),
            |leader| {
                status
                    .member(leader)
                    .map_or_else(|| leader.to_string(), |member| member.name.clone())
            },
        );
        let health = match status.errors().first() {
            Some(error) => error.trim_start_matches("etcdserver: ").to_owned(),
            None if !status.recovered => "starting".to_owned(),
            None => "ok".to_owned(),
        };
        let health = match status.may_stop {
            Some(epoch) => format!("left out since epoch {epoch}: may be switched off"),
            None => health,
        };
        let health = if status.draining { "draining".to_owned() } else { health };
        let health = match &status.catching_up {
            Some(copy) => format!("catching up: snapshot {} %", copy.percent),
            None => health,
        };
        Row {
            endpoint: endpoint.to_owned(),
            node: format!("{} ({})", status.name, status.node),
            region: status.region.clone(),
            role: status.role.name().to_owned(),
            leader,
            ballot: status.ballot.clone(),
            epoch: epoch(&status),
            chosen: status.chosen.to_string(),
            applied: status.applied.to_string(),
            lag: status.lag().to_string(),
            health,
        }
    }

    fn without(endpoint: &str, health: &str) -> Row {
        let dash = || "-".to_owned();
        Row {
            endpoint: endpoint.to_owned(),
            node: dash(),
            region: dash(),
            role: dash(),
            leader: dash(),
            ballot: dash(),
            epoch: dash(),
            chosen: dash(),
            applied: dash(),
            lag: dash(),
            health: health.to_owned(),
        }
    }
}

/// The number of the configuration in force; while a change is under way, those of the one before and the one after.
fn epoch(status: &NodeStatus) -> String {
    match status.configurations.as_slice() {
        [before, after] => format!("{} > {}", before.configuration.epoch, after.configuration.epoch),
        _ => status.epoch.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_who_leads_and_what_is_wrong() {
        let status = NodeStatus {
            node: 2,
            name: "b".to_owned(),
            leader: Some(1),
            healthy: false,
            chosen: 9,
            applied: 7,
            ..NodeStatus::default()
        };
        let row = Row::new("e", &serde_json::to_string(&status).map_err(|error| error.to_string()));
        assert_eq!(
            (row.node.as_str(), row.leader.as_str(), row.lag.as_str()),
            ("b (2)", "1", "2")
        );
        assert_eq!(row.health, "no quorum");
        assert_eq!(Row::new("e", &Err("refused".to_owned())).health, "unreachable");
        assert_eq!(Row::new("e", &Ok("{}".to_owned())).health, "not a synod node");
    }
}
