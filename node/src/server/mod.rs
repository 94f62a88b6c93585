//! A running node: the parts, put together and taken apart in order.
//!
//! Start: open the disk and recover, bind every port, then let the driver run; nothing is promised before everything
//! that can fail at start has not failed. Stop: clients first, then the driver, then the disk. A journal or a state
//! machine that fails ends the node at once and with a sentence (A5).

mod janitor;
mod options;

use std::fmt;
use std::sync::Arc;

use paxos::{Address, Replica};
use prometheus::Registry;
use storage::machine::Revision;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::api::{self, Api};
use crate::clock::Clock;
use crate::driver::{Applier, Driver, Happening, Outbound, Publisher};
use crate::metrics::{ApiMetrics, ConsensusMetrics, NodeGauges, Recent};
use crate::requests;
use crate::settings::Settings;
use crate::status::NodeStatus;
use crate::transport::{Credentials, Identity, PeerAddress, Transport, TransportSettings};

/// Most completions and batches of frames that wait for the driver; peers and threads wait when it is full.
const HAPPENINGS: usize = 4096;

/// How a node is started, besides its settings.
#[derive(Copy, Clone, Debug, Default)]
pub struct Start {
    /// The node may create its data folder as a founding member.
    pub bootstrap: bool,
    /// The node stops when its standard input ends.
    pub exit_with_stdin: bool,
}

/// Why a node did not start, or ended.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Adds what was being done to an error's sentence.
fn during<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure(format!("{what}: {error}"))
}

/// Runs a node until it is told to stop.
///
/// # Errors
/// [`Failure`] if it cannot start, or if its disk fails.
pub fn run(settings: Settings, start: Start) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("tokio")
        .build()
        .map_err(during("cannot start the runtime"))?;
    runtime.block_on(serve(settings, start))
}

/// The ports of a node, bound before it says anything.
struct Ports {
    clients: TcpListener,
    http: TcpListener,
}

async fn bind(settings: &Settings) -> Result<Ports, Failure> {
    let clients = settings.listen.clients;
    let http = settings.listen.http;
    Ok(Ports {
        clients: TcpListener::bind(clients).await.map_err(during(format!("cannot listen for clients on {clients}")))?,
        http: TcpListener::bind(http).await.map_err(during(format!("cannot listen for HTTP on {http}")))?,
    })
}

async fn serve(settings: Settings, start: Start) -> Result<(), Failure> {
    let registry = Registry::new();
    let clock = Clock::start();
    let boot = options::draw_boot();
    let me = options::address(&settings)?;
    let ports = bind(&settings).await?;
    let (happenings, inbox) = mpsc::channel::<Happening>(HAPPENINGS);
    let transport = open_transport(&settings, boot, happenings.clone(), &registry).await?;
    let outbound = Outbound::new(transport.clone());
    let (failed, mut failure) = mpsc::channel::<String>(4);

    let journal_callbacks = disk::callbacks(me, outbound.clone(), happenings.clone(), failed.clone());
    let opened = disk::open(&settings, start.bootstrap, journal_callbacks, &registry)?;
    info!(
        promised = %opened.recovered.promised,
        chosen = %opened.recovered.chosen,
        applied = %opened.recovered.applied,
        "recovered"
    );
    let replica = Replica::new(
        options::options(&settings, me, boot),
        opened.recovered,
        options::draw_boot(),
        clock.now(),
    );
    let fixed = options::fixed_status(&settings);
    let (requests, desk) = requests::open(clock, settings.limits.max_waiting_requests, fixed.clone());
    let (stop, stopping) = watch::channel(false);
    let applier_failed = failed.clone();
    let reader = opened.machine.reader();
    let applier = Applier::start(opened.machine, me, boot, desk.waiters.clone(), happenings.clone(), move |reason| {
        let _ = applier_failed.try_send(reason);
    })
    .map_err(during("cannot start the applier"))?;
    let janitor = janitor::start(reader.clone(), happenings.clone(), failed, stopping.clone())?;
    let driver = Driver {
        replica,
        journal: opened.journal,
        applier,
        outbound,
        transport: transport.clone(),
        happenings: inbox,
        loopback: happenings,
        requests: desk.inputs,
        waiters: desk.waiters.clone(),
        publisher: Publisher { fixed, status: desk.status, clock },
        metrics: ConsensusMetrics::new(&registry),
        clock,
    };
    let driver = tokio::spawn(driver.run(stopping.clone()));
    todo!()
}
