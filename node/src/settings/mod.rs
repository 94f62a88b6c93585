//! What an operator tells a node, resolved once into typed values.
//!
//! Later layers win: the defaults, the TOML file, the environment (`SYNOD_LISTEN_CLIENTS` is `listen.clients`), the
//! flags (`--set listen.clients=…`). Every value remembers where it came from, down to the line, and *all* faults are
//! reported together: an unknown key is a fault (with the nearest known one), so a misspelt key is never silently a
//! default. `deploy/synod.toml` documents every key, and a test reads it.
//!
//! The quorum system and the members (`system`, `alpha`, `[[member]]`) are the configuration of the cluster's first slot.
//! They are read at the first start only; from then on the log says who the members are.
//!
//! * [`document`]: TOML with line numbers
//! * [`layers`]: file, environment and flags, merged by the `config` crate
//! * [`keys`]: takes typed values out, collects faults
//! * [`compaction`]: how much history is kept
//! * [`genesis`]: members and quorum system
//! * [`join`]: what a node is told that joins a running cluster
//! * [`token`]: the word that operators know
//! * [`units`]: `100ms`, `64MiB`

mod compaction;
pub(crate) mod document;
mod fault;
pub(crate) mod genesis;
pub mod join;
mod keys;
mod layers;
pub mod token;
mod units;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use paxos::LeaseOptions;
use quorum::{Configuration, NodeId};

use crate::clock::MAX_RATE_PPM;

pub use compaction::{Compaction, Keep};
pub use fault::{Fault, Faults};
pub use layers::Layers;
pub use units::{parse_bytes, parse_duration};

use crate::scrub::Pace;
use keys::Keys;

/// Room for what a node has begun when it stops taking writes: memtables of journal and state that are being written, the
/// log files behind them, and a compaction.
const RESERVE_BYTES: usize = 512 << 20;

/// Everything a node is told, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster's name; nodes of different names ignore each other.
    pub cluster: String,
    /// Which member this node is.
    pub node: NodeId,
    /// Where the journal and the store live.
    pub data_dir: PathBuf,
    /// Where the node listens.
    pub listen: Listen,
    /// Holds the word that operators know who change something; `None`: who comes from this machine may.
    pub operator_token: Option<PathBuf>,
    /// Who the node is towards its peers.
    pub certificates: Certificates,
    /// The members and the quorum system of the first slot.
    pub genesis: Configuration,
    /// For a node that has joined later: the configuration in which it was introduced.
    pub introduced: Option<Configuration>,
    /// The document that an operator gave it to join with, if it is still there.
    pub invitation: Option<PathBuf>,
    /// Where to reach a peer instead of at its member's address, `host:port`.
    pub dial: BTreeMap<NodeId, String>,
    /// How long things take.
    pub timing: Timing,
    /// How much longer than others this node waits before it stands for election: 0 stands first.
    pub reluctance: u32,
    /// For how long a less reluctant node must be fit to lead before this one hands over to it; `None`: it never does.
    pub hand_back: Option<Duration>,
    /// Leases for reads; `None`: each is confirmed by a round.
    pub lease: Option<LeaseOptions>,
    /// How much of everything.
    pub limits: Limits,
    /// When the store is compacted by itself.
    pub compaction: Compaction,
    /// How a node that is far behind is helped.
    pub catch_up: CatchUp,
    /// How fast the disk is read in the background, and how often.
    pub scrub: Pace,
    /// Bytes that must be free on the disk of the data folder for the node to take writes.
    pub reserve_bytes: u64,
    /// How often the node makes a write that changes nothing, to see whether writes succeed; zero: never.
    pub canary: Duration,
    /// What is logged, and how.
    pub log: Log,
    /// Added to every sync of the journal: a test aid that stands for a slow disk.
    pub sync_delay: Duration,
    /// By how many parts in a million the node's clock runs too fast, or too slowly: a test aid.
    pub clock_rate_ppm: i32,
}

/// Where a node listens.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// QUIC for peers, UDP.
    pub peers: SocketAddr,
    /// The etcd API for clients, TCP.
    pub clients: SocketAddr,
    /// Metrics, probes and status, TCP.
    pub http: SocketAddr,
}

/// The files with which a node proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// PEM: the authorities whose certificates are accepted from peers.
    pub authority: PathBuf,
    /// PEM: this node's certificate, which carries its identity.
    pub certificate: PathBuf,
    /// PEM: the certificate's private key.
    pub key: PathBuf,
}

/// How long things take.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader says that it is alive.
    pub heartbeat_interval: Duration,
    /// Shortest silence after which a leader is suspected.
    pub election_timeout: Duration,
    /// How long a client's request may take if the client sets no deadline.
    pub request_timeout: Duration,
    /// Shortest time between slots of a leader that has several in flight.
    pub batch_interval: Duration,
}

/// How much of everything. Sizes are bytes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request of a client.
    pub max_request_bytes: usize,
    /// Most operations in one list of a transaction.
    pub max_txn_ops: usize,
    /// Most client requests that wait for the core.
    pub max_waiting_requests: usize,
    /// Most bytes of commands in one slot.
    pub max_batch_bytes: usize,
    /// Most bytes of commands proposed and not yet chosen.
    pub max_inflight_bytes: usize,
    /// Slots in flight up to which a leader does not wait for a batch to fill.
    pub eager_slots: usize,
    /// Most commands that wait to be proposed or forwarded.
    pub max_queued: usize,
    /// Most bytes of commands that wait to be proposed or forwarded.
    pub max_queued_bytes: usize,
    /// Bytes of applied entries kept in memory for peers that are slightly behind.
    pub cache_bytes: usize,
    /// Applied slots kept in the journal for peers that are slightly behind.
    pub keep_slots: u64,
    /// Bytes of the journal beyond which it is trimmed although a member still needs it.
    pub max_log_bytes: usize,
    /// Slots of the journal beyond which it is trimmed although a member still needs it.
    pub max_log_slots: u64,
    /// Slots that a node may lag behind and still be ready for clients.
    pub ready_lag: u64,
}

/// How a node that is far behind is helped.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CatchUp {
    /// Bytes a second, at most, of copies of the state that this node sends to peers, all together.
    pub max_bytes_per_second: usize,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// A level, or directives as `info,synod::transport=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// Merges the layers and checks everything.
    ///
    /// # Errors
    /// Every fault there is, each with its key and where the value came from.
    pub fn resolve(layers: &Layers) -> Result<Settings, Faults> {
        let (values, mut faults) = layers.merge();
        let mut keys = Keys::new(values, layers.folder());
        let read = Settings::read(&mut keys);
        faults.extend(keys.finish());
        match read {
            Some(settings) if faults.is_empty() => Ok(settings),
            _ => {
                faults.sort();
                Err(Faults(faults))
            }
        }
    }

    /// Takes every key; `None` if one that is needed is missing or faulty, which `keys` has noted.
    fn read(keys: &mut Keys) -> Option<Settings> {
        // Every `take` happens, whatever earlier ones gave, so that all faults are seen.
        let data_dir = keys.path("data_dir");
        let invited = join::read(keys, data_dir.as_deref());
        let (join, invitation) = match invited.clone().flatten() {
            Some(join::Invitation { joining, given }) => (Some(joining), given),
            None => (None, None),
        };
        let cluster = match &join {
            Some(join) => keys.or("cluster", join.cluster.clone(), keys::cluster),
            None => keys.required("cluster", keys::cluster),
        };
        let listen = Listen::read(keys);
        let operator_token = read_operator_token(keys);
        let certificates = Certificates::read(keys);
        let timing = Timing::read(keys);
        let reluctance = keys.or("reluctance", 0, |text| keys::integer(text, 0..=1000));
        let hand_back = keys.or("hand_back", Duration::from_secs(30), units::duration);
        let lease = read_lease(keys);
        let limits = Limits::read(keys);
        let compaction = Compaction::read(keys);
        let catch_up = CatchUp::read(keys);
        let scrub = read_scrub(keys);
        let reserve_bytes = keys.or("storage.reserve_bytes", RESERVE_BYTES, units::bytes);
        let canary = keys.or("canary.interval", Duration::ZERO, units::duration);
        let log = Log::read(keys);
        let sync_delay = keys.or("sync_delay", Duration::ZERO, units::duration);
        let clock_rate_ppm = keys.or("clock_rate_ppm", 0, clock_rate);
        let node = match &join {
            Some(join) => keys.or("node", join.node.to_string(), |text| Ok(text.to_owned())),
            None => keys.required("node", |text| Ok(text.to_owned())),
        };
        let genesis = genesis::read_beside(keys, join.as_ref());
        let introduced = join.as_ref().map(|join| join.introduced.clone());
        // A node that joins is a member of the newest configuration, and perhaps not of the first.
        let members = introduced.as_ref().or(genesis.as_ref());
        let dial = genesis::read_dial(keys);
        let node = genesis::this_node(keys, node, members);
        if let (Some(join), Some(cluster), Some(node)) = (&join, &cluster, &node)
            && (&join.cluster, join.node) != (cluster, *node)
        {
            keys.fault(
                "join",
                &format!(
                    "is for node {} of cluster {}, not for this one",
                    join.node, join.cluster
                ),
            );
        }
        invited?;
        Some(Settings {
            cluster: cluster?,
            node: node?,
            data_dir: data_dir?,
            listen: listen?,
            operator_token: operator_token?,
            certificates: certificates?,
            genesis: genesis?,
            introduced,
            invitation,
            dial,
            timing: timing?,
            reluctance: u32::try_from(reluctance?).ok()?,
            hand_back: hand_back.map(|span| (!span.is_zero()).then_some(span))?,
            lease: lease?,
            limits: limits?,
            compaction: compaction?,
            catch_up: catch_up?,
            scrub: scrub?,
            reserve_bytes: reserve_bytes? as u64,
            canary: canary?,
            log: log?,
            sync_delay: sync_delay?,
            clock_rate_ppm: clock_rate_ppm?,
        })
    }

    /// Keeps what the node was told to join with in its data folder, so that the operator's document is needed once only.
    ///
    /// # Errors
    /// The data folder cannot be written.
    pub fn keep_invitation(&self) -> std::io::Result<()> {
        let Some(introduced) = &self.introduced else {
            return Ok(());
        };
        let joining = join::Joining {
            cluster: self.cluster.clone(),
            node: self.node,
            genesis: self.genesis.clone(),
            introduced: introduced.clone(),
        };
        joining.keep(&self.data_dir)
    }

    /// This node as the newest configuration describes it that its settings know.
    #[must_use]
    pub fn member(&self) -> Option<&quorum::Member> {
        self.introduced.as_ref().unwrap_or(&self.genesis).member(self.node)
    }

    /// The cluster's number on the wire: its name, hashed (FNV-1a), never 0.
    #[must_use]
    pub fn cluster_id(&self) -> paxos::ClusterId {
        let hash = self.cluster.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        paxos::ClusterId(hash.max(1))
    }
}

/// Read once, so that a node does not start with a file that nobody could use; then at every change, for it may be renewed.
fn read_operator_token(keys: &mut Keys) -> Option<Option<PathBuf>> {
    let Some(path) = keys.optional_path("operators.token_file") else {
        return Some(None);
    };
    match token::read(&path) {
        Ok(_) => Some(Some(path)),
        Err(reason) => {
            keys.fault("operators.token_file", &reason);
            None
        }
    }
}

/// A clock's error of rate.
fn clock_rate(text: &str) -> Result<i32, String> {
    let rate: Option<i32> = text.trim().parse().ok();
    rate.filter(|rate| rate.unsigned_abs() <= MAX_RATE_PPM)
        .ok_or_else(|| format!("\"{text}\" is not a whole number between -{MAX_RATE_PPM} and {MAX_RATE_PPM}"))
}

/// Leases are off unless their length is set: they rest on clocks.
fn read_lease(keys: &mut Keys) -> Option<Option<LeaseOptions>> {
    let duration = keys.or("reads.lease", Duration::ZERO, units::duration);
    let drift = keys.or("reads.clock_drift_ppm", 1_000, |text| keys::integer(text, 0..=200_000));
    let lease = LeaseOptions {
        duration: duration?,
        drift_ppm: u32::try_from(drift?).ok()?,
    };
    Some((!lease.duration.is_zero()).then_some(lease))
}

impl Listen {
    fn read(keys: &mut Keys) -> Option<Listen> {
        let peers = keys.or("listen.peers", SocketAddr::from(([0, 0, 0, 0], 7400)), keys::socket);
        let clients = keys.or("listen.clients", SocketAddr::from(([127, 0, 0, 1], 2379)), keys::socket);
        let http = keys.or("listen.http", SocketAddr::from(([127, 0, 0, 1], 7480)), keys::socket);
        let listen = Listen {
            peers: peers?,
            clients: clients?,
            http: http?,
        };
        // Peers listen on UDP, so only the other two can collide.
        if listen.clients == listen.http && listen.http.port() != 0 {
            keys.fault("listen.http", &format!("{} is taken by listen.clients", listen.http));
        }
        Some(listen)
    }
}

impl Certificates {
    fn read(keys: &mut Keys) -> Option<Certificates> {
        let authority = keys.path("certificates.authority");
        let certificate = keys.path("certificates.certificate");
        let key = keys.path("certificates.key");
        Some(Certificates {
            authority: authority?,
            certificate: certificate?,
            key: key?,
        })
    }
}

impl Timing {
    fn read(keys: &mut Keys) -> Option<Timing> {
        let millis = Duration::from_millis;
        let heartbeat_interval = keys.or("timing.heartbeat_interval", millis(100), units::positive_duration);
        let election_timeout = keys.or("timing.election_timeout", millis(1000), units::positive_duration);
        let request_timeout = keys.or("timing.request_timeout", millis(7000), units::positive_duration);
        let batch_interval = keys.or("timing.batch_interval", Duration::from_millis(1), units::duration);
        let timing = Timing {
            heartbeat_interval: heartbeat_interval?,
            election_timeout: election_timeout?,
            request_timeout: request_timeout?,
            batch_interval: batch_interval?,
        };
        if timing.election_timeout < 3 * timing.heartbeat_interval {
            let interval = timing.heartbeat_interval;
            keys.fault(
                "timing.election_timeout",
                &format!("is shorter than three heartbeats (heartbeat_interval is {interval:?}): a single lost one would depose the leader"),
            );
        }
        Some(timing)
    }
}

impl Limits {
    fn read(keys: &mut Keys) -> Option<Limits> {
        let mut bytes = |key: &'static str, default: usize| keys.or(key, default, units::bytes);
        let max_request_bytes = bytes("limits.max_request_bytes", 3 << 19);
        let max_batch_bytes = bytes("limits.max_batch_bytes", 2 << 20);
        let max_inflight_bytes = bytes("limits.max_inflight_bytes", 64 << 20);
        let max_queued_bytes = bytes("limits.max_queued_bytes", 64 << 20);
        let max_log_bytes = bytes("limits.max_log_bytes", 1 << 30);
        let cache_bytes = bytes("limits.cache_bytes", 32 << 20);
        let mut count = |key: &'static str, default: u64, least: u64| {
            keys.or(key, default, move |text| {
                keys::integer(text, least..=u64::from(u32::MAX))
            })
        };
        let max_txn_ops = count("limits.max_txn_ops", 128, 1);
        let max_waiting_requests = count("limits.max_waiting_requests", 16_384, 1);
        let eager_slots = count("limits.eager_slots", 1, 1);
        let max_queued = count("limits.max_queued", 16_384, 1);
        let keep_slots = count("limits.keep_slots", 1_000, 0);
        let max_log_slots = count("limits.max_log_slots", 10_000_000, 1_000);
        let ready_lag = count("limits.ready_lag", 10_000, 0);
        let limits = Limits {
            max_request_bytes: max_request_bytes?,
            max_txn_ops: max_txn_ops? as usize,
            max_waiting_requests: max_waiting_requests? as usize,
            max_batch_bytes: max_batch_bytes?,
            max_inflight_bytes: max_inflight_bytes?,
            eager_slots: eager_slots? as usize,
            max_queued: max_queued? as usize,
            max_queued_bytes: max_queued_bytes?,
            cache_bytes: cache_bytes?,
            keep_slots: keep_slots?,
            max_log_bytes: max_log_bytes?,
            max_log_slots: max_log_slots?,
            ready_lag: ready_lag?,
        };
        for (key, value) in [
            ("limits.max_batch_bytes", limits.max_batch_bytes),
            ("limits.max_inflight_bytes", limits.max_inflight_bytes),
            ("limits.max_queued_bytes", limits.max_queued_bytes),
        ] {
            // A request becomes one command with a header and its keys' lengths; a quarter on top is ample.
            let least = limits.max_request_bytes + limits.max_request_bytes / 4;
            if value < least {
                keys.fault(
                    key,
                    &format!("is {value} bytes; a request of limits.max_request_bytes needs {least}"),
                );
            }
        }
        Some(limits)
    }
}

impl CatchUp {
    fn read(keys: &mut Keys) -> Option<CatchUp> {
        let max_bytes_per_second = keys.or("catch_up.max_bytes_per_second", 64 << 20, |text| {
            // A piece of a copy has about 1 MiB, and its receiver's patience ends after some seconds.
            units::bytes(text).and_then(|bytes| match bytes {
                0..0x10_0000 => Err("is below 1MiB: a peer would lose its patience".to_owned()),
                _ => Ok(bytes),
            })
        });
        Some(CatchUp {
            max_bytes_per_second: max_bytes_per_second?,
        })
    }
}

fn read_scrub(keys: &mut Keys) -> Option<Pace> {
    let bytes_per_second = keys.or("scrub.bytes_per_second", 4 << 20, |text| match text.trim() {
        "0" => Ok(0),
        text => units::bytes(text),
    });
    let rest = keys.or("scrub.rest", Duration::from_secs(24 * 3600), units::positive_duration);
    Some(Pace {
        bytes_per_second: bytes_per_second? as u64,
        rest: rest?,
    })
}

impl Log {
    fn read(keys: &mut Keys) -> Option<Log> {
        let format = keys.or("log.format", LogFormat::Text, |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("is neither \"text\" nor \"json\"".to_owned()),
        });
        let level = keys.or("log.level", "info".to_owned(), |text| {
            let filter: Result<tracing_subscriber::EnvFilter, _> = text.parse();
            filter
                .map(|_| text.to_owned())
                .map_err(|error| format!("is not a log filter: {error}"))
        });
        Some(Log {
            format: format?,
            level: level?,
        })
    }
}

#[cfg(test)]
mod tests;
