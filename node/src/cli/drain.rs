//! `synod drain`: sends a node's clients elsewhere before it is stopped.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::get::{Operator, post};
use crate::drain::Drained;
use crate::http::drain::Wish;
use crate::settings::parse_duration;

/// How much longer than the node this command waits for its answer.
const GRACE: Duration = Duration::from_secs(5);

/// Has a node hand leadership over, call itself not ready, serve on while that news travels, and then let its clients go when
/// what they asked is done. The node votes on until it is stopped; only a restart lets clients in again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  synod drain
  synod drain --endpoint 10.1.0.1:7480 --linger 10s --timeout 1m && systemctl stop synod

Exit codes: 0 no client is left and another node leads; 1 not within the time, or the node did not answer.")]
pub(super) struct Arguments {
    /// The node's HTTP address (listen.http), host:port
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "SYNOD_ENDPOINT",
        default_value = "127.0.0.1:7480"
    )]
    endpoint: String,
    /// How long to serve on while balancers and clients learn that the node is not ready
    #[arg(long, value_parser = parse_duration, default_value = "5s")]
    linger: Duration,
    /// How long all of it may take
    #[arg(long, value_parser = parse_duration, default_value = "20s")]
    timeout: Duration,
    #[command(flatten)]
    operator: Operator,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match drain(arguments) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("synod drain: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn drain(arguments: &Arguments) -> Result<&'static str, String> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let wish = Wish {
        linger_ms: millis(arguments.linger),
        timeout_ms: millis(arguments.timeout),
    };
    let json = serde_json::to_string(&wish).map_err(|error| error.to_string())?;
    let patience = arguments.timeout + GRACE;
    let (code, body) = post(&arguments.endpoint, "/v1/drain", &json, &arguments.operator, patience)?;
    if code != 200 {
        return Err(format!("{}: HTTP status {code}: {}", arguments.endpoint, body.trim()));
    }
    let drained: Drained = serde_json::from_str(&body)
        .map_err(|error| format!("{}: the answer makes no sense: {error}", arguments.endpoint))?;
    match drained {
        Drained {
            done: false, waiting, ..
        } => Err(format!(
            "the time is over and clients are left; {waiting} requests wait for their answer"
        )),
        Drained { leads: true, .. } => {
            Err("no client is left, but no other node could take over: this one leads".to_owned())
        }
        Drained { .. } => Ok("drained: no client is left; the node votes on until it is stopped"),
    }
}
