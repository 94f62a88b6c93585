//! What the user may ask of the generator.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::Format;
use crate::settings::parse_duration;

/// Measures how fast a cluster serves etcd requests.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  synod bench put --endpoints 127.0.0.1:2379 --target-leader --clients 64 --duration 10s
  synod bench range --endpoints a:2379,b:2379,c:2379 --clients 256 --consistency serializable
  synod bench txn-put --ops 100 --clients 32 --total 10000 -o json
  synod bench mixed --reads 0.9 --rate 2000 --duration 30s

Exit codes: 0 measured, 1 no request succeeded, 2 wrong arguments or no endpoint reachable.")]
pub struct Arguments {
    #[command(subcommand)]
    operation: Operation,
}

#[derive(Debug, Subcommand)]
enum Operation {
    /// One key per request
    Put(Common),
    /// Reads one key per request
    Range {
        #[command(flatten)]
        common: Common,
        /// Whether a read must see every write that was acknowledged before it
        #[arg(long, value_enum, default_value = "linearizable")]
        consistency: Consistency,
    },
    /// Many keys per request, in one transaction
    TxnPut {
        #[command(flatten)]
        common: Common,
        /// Puts in each transaction (etcd accepts up to 128)
        #[arg(long, default_value_t = 100)]
        ops: usize,
    },
    /// Reads and puts of one key per request
    Mixed {
        #[command(flatten)]
        common: Common,
        /// Whether a read must see every write that was acknowledged before it
        #[arg(long, value_enum, default_value = "linearizable")]
        consistency: Consistency,
        /// Share of reads, 0 to 1
        #[arg(long, default_value_t = 0.8)]
        reads: f64,
    },
}

/// How fresh a read must be.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Consistency {
    /// Sees every write acknowledged before the read began.
    Linearizable,
    /// Whatever the member that is asked has.
    Serializable,
}

#[derive(Clone, Debug, Args)]
struct Common {
    /// Where the members listen for clients: host:port, separated by commas
    #[arg(
        long,
        env = "SYNOD_BENCH_ENDPOINTS",
        default_value = "127.0.0.1:2379",
        value_delimiter = ','
    )]
    endpoints: Vec<String>,
    /// Sends everything to the endpoint that leads
    #[arg(long)]
    target_leader: bool,
    /// Requests in flight at any time
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// HTTP/2 connections that the clients share [default: one for every ten clients]
    #[arg(long)]
    connections: Option<usize>,
    /// Stops after this many measured requests
    #[arg(long, conflicts_with = "duration")]
    total: Option<u64>,
    /// Stops after this long, warm-up not counted [default: 10s]
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// How long to run before measuring
    #[arg(long, value_parser = parse_duration, default_value = "1s")]
    warm_up: Duration,
    /// Number of distinct keys
    #[arg(long, default_value_t = 100_000)]
    key_space: u64,
    /// Bytes of a key, at least 8
    #[arg(long, default_value_t = 16)]
    key_size: usize,
    /// Bytes of a value
    #[arg(long, default_value_t = 256)]
    value_size: usize,
    /// Requests per second over all clients [default: as fast as answers come]
    #[arg(long)]
    rate: Option<f64>,
    /// Gives up on a request after this long
    #[arg(long, value_parser = parse_duration, default_value = "10s")]
    timeout: Duration,
    /// Threads of the generator, each with its share of clients and connections
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seed of the sequence of keys
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes every key once before the measurement
    #[arg(long)]
    prefill: bool,
    /// Writes a CSV row for each second, warm-up included: answers, errors, longest time without any answer
    #[arg(long, value_name = "FILE")]
    series: Option<PathBuf>,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

/// What each request does.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) enum Work {
    Put,
    Range { serializable: bool },
    TxnPut { ops: usize },
    Mixed { serializable: bool, reads: f64 },
}

impl Work {
    pub(super) fn name(self) -> &'static str {
        match self {
            Work::Put => "put",
            Work::Range { serializable: false } => "range (linearizable)",
            Work::Range { serializable: true } => "range (serializable)",
            Work::TxnPut { .. } => "txn-put",
            Work::Mixed { .. } => "mixed",
        }
    }

    /// Keys that one successful request of this work touches.
    pub(super) fn keys_per_request(self) -> u64 {
        match self {
            Work::TxnPut { ops } => ops as u64,
            _ => 1,
        }
    }
}

/// When the measurement ends.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) enum End {
    After(Duration),
    Requests(u64),
}

/// Checked arguments.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) work: Work,
    pub(super) endpoints: Vec<String>,
    pub(super) target_leader: bool,
    pub(super) clients: usize,
    pub(super) connections: usize,
    pub(super) threads: usize,
    pub(super) end: End,
    pub(super) warm_up: Duration,
    pub(super) key_space: u64,
    pub(super) key_size: usize,
    pub(super) value_size: usize,
    pub(super) rate: Option<f64>,
    pub(super) timeout: Duration,
    pub(super) seed: u64,
    pub(super) prefill: bool,
    pub(super) series: Option<PathBuf>,
}

impl Arguments {
    fn common(&self) -> &Common {
        match &self.operation {
            Operation::Put(common)
            | Operation::Range { common, .. }
            | Operation::TxnPut { common, .. }
            | Operation::Mixed { common, .. } => common,
        }
    }

    pub(super) fn output(&self) -> Format {
        self.common().output
    }

    /// Checks the arguments against each other.
    ///
    /// # Errors
    /// A sentence that says which argument makes no sense.
    pub(super) fn plan(&self) -> Result<Plan, String> {
        let serializable = |consistency: Consistency| consistency == Consistency::Serializable;
        let work = match self.operation {
            Operation::Put(_) => Work::Put,
            Operation::Range { consistency, .. } => Work::Range {
                serializable: serializable(consistency),
            },
            Operation::TxnPut { ops, .. } => Work::TxnPut { ops },
            Operation::Mixed { consistency, reads, .. } => Work::Mixed {
                serializable: serializable(consistency),
                reads,
            },
        };
        let common = self.common();
        let endpoints = common
            .endpoints
            .iter()
            .map(|text| endpoint(text))
            .collect::<Result<Vec<_>, _>>()?;
        let positive = |value: usize, name: &str| {
            if value == 0 {
                Err(format!("--{name} is 0; at least 1 is needed"))
            } else {
                Ok(value)
            }
        };
        let clients = positive(common.clients, "clients")?;
        let threads = positive(common.threads, "threads")?.min(clients);
        let connections = positive(common.connections.unwrap_or(clients.div_ceil(10)), "connections")?;
        if common.key_size < 8 {
            return Err(format!(
                "--key-size {} is too small: keys are at least 8 bytes",
                common.key_size
            ));
        }
        if common.key_space == 0 {
            return Err("--key-space is 0; at least 1 is needed".to_owned());
        }
        if let Work::TxnPut { ops } = work
            && (ops == 0 || ops as u64 > common.key_space)
        {
            let space = common.key_space;
            return Err(format!(
                "--ops {ops} is not between 1 and --key-space {space}: a transaction sets a key once"
            ));
        }
        if let Work::Mixed { reads, .. } = work
            && !(0.0..=1.0).contains(&reads)
        {
            return Err(format!("--reads {reads} is not between 0 and 1"));
        }
        if let Some(rate) = common.rate
            && !(rate.is_finite() && rate > 0.0)
        {
            return Err(format!("--rate {rate} is not a positive number"));
        }
        let end = match (common.total, common.duration) {
            (Some(total), _) => End::Requests(total),
            (None, duration) => End::After(duration.unwrap_or(Duration::from_secs(10))),
        };
        Ok(Plan {
            work,
            endpoints,
            target_leader: common.target_leader,
            clients,
            connections: connections.clamp(threads, clients),
            threads,
            end,
            warm_up: common.warm_up,
            key_space: common.key_space,
            key_size: common.key_size,
            value_size: common.value_size,
            rate: common.rate,
            timeout: common.timeout,
            seed: common.seed,
            prefill: common.prefill,
            series: common.series.clone(),
        })
    }
}

/// `host:port` of an endpoint that may be written as a URL.
fn endpoint(text: &str) -> Result<String, String> {
    let bare = text.trim().trim_end_matches('/');
    if bare.starts_with("https://") {
        return Err(format!("endpoint {text}: the generator speaks plain HTTP/2 only"));
    }
    let bare = bare.strip_prefix("http://").unwrap_or(bare);
    match bare.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(bare.to_owned()),
        _ => Err(format!("endpoint \"{text}\" is not host:port")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn plan(line: &str) -> Result<Plan, String> {
        Line::try_parse_from(line.split(' '))
            .map_err(|error| error.to_string())?
            .arguments
            .plan()
    }

    #[test]
    fn ten_clients_share_a_connection_unless_told_otherwise() {
        assert_eq!(plan("bench put --clients 64").expect("valid").connections, 7);
        assert_eq!(
            plan("bench put --clients 64 --connections 64")
                .expect("valid")
                .connections,
            64
        );
        assert_eq!(
            plan("bench put --clients 2 --connections 64")
                .expect("valid")
                .connections,
            2
        );
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (line, part) in [
            ("bench put --endpoints nowhere", "not host:port"),
            ("bench put --endpoints https://a:1", "plain HTTP/2"),
            ("bench put --clients 0", "--clients is 0"),
            ("bench put --key-size 4", "at least 8"),
            ("bench txn-put --ops 10 --key-space 5", "sets a key once"),
            ("bench mixed --reads 2", "between 0 and 1"),
            ("bench put --rate 0", "positive"),
            ("bench put --total 5 --duration 5s", "cannot be used with"),
        ] {
            let fault = plan(line).expect_err(line);
            assert!(fault.contains(part), "{line}: {fault}");
        }
    }
}
