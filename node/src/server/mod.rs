//! A running node: the parts, put together and taken apart in order.
//!
//! Start: open the disk and recover, bind every port, then let the driver run; nothing is promised before everything
//! that can fail at start has not failed. Stop: clients first, then the driver, then the disk. A journal or a state
//! machine that fails ends the node at once and with a sentence (A5).
//!
//! A node that has fetched a peer's state (C3) stops like that and starts anew within the process: ports, connections and
//! files are let go and taken again, and opening the data folder installs the state. It is the way after a crash, so there
//! is no other.

mod canary;
mod compacting;
mod disk;
mod janitor;
mod options;
mod renewal;
mod space;
mod state;
mod stop;
mod sweeping;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use paxos::{Address, Configurations, Input, Replica};
use prometheus::Registry;
use storage::machine::{ApplyError, Limits, Reader};
use storage::snapshot::Origin;
use storage::tables::{RocksTables, StateSettings};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::{error, info};

use crate::api::{self, Api};
use crate::clock::Clock;
use crate::drain::{Drain, Signs, leave_to_another};
use crate::driver::{Applier, Contacts, Driver, Ending, Happening, Outbound, Publisher, Stopped};
use crate::guard::{JournalGuard, StateGuard};
use crate::http::{self, Pages};
use crate::metrics::{
    ApiMetrics, CanaryMetrics, ConsensusMetrics, NodeGauges, QuorumGauges, Quorums, Recent, RenewalMetrics,
    ScrubMetrics, SnapshotMetrics, SweepMetrics,
};
use crate::requests::{self, Requests};
use crate::scrub::{self, Scrub, ScrubProgress};
use crate::settings::Settings;
use crate::snapshots::{Pace, Parts, Progress, Snapshots};
use crate::status::Space;
use crate::transport::wire::Versions;
use crate::transport::{Credentials, Identity, Transport, TransportSettings};
use state::LocalState;

/// Most completions and batches of frames that wait for the driver; peers and threads wait when it is full.
const HAPPENINGS: usize = 4096;

/// How long a stopping node waits for its clients, and for its driver.
const GOODBYE: Duration = Duration::from_secs(2);

/// How a node is started, besides its settings.
#[derive(Copy, Clone, Debug, Default)]
pub struct Start {
    /// The node may create its data folder as a founding member.
    pub bootstrap: bool,
    /// The node stops when its standard input ends.
    pub exit_with_stdin: bool,
    /// The wire versions that the node speaks instead of this build's: a test aid, to play another build.
    pub speaks: Option<Versions>,
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
    let wish = stop::listen(start.exit_with_stdin).map_err(during("cannot listen for signals"))?;
    let mut bootstrap = start.bootstrap;
    loop {
        // Each round has a runtime of its own: with it ends whatever a client or a peer still keeps busy, and would keep the
        // data folder open.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("tokio")
            .build()
            .map_err(during("cannot start the runtime"))?;
        let ended = runtime.block_on(serve(&settings, bootstrap, start.speaks, wish.clone()));
        // Nothing is waited for that a disk that failed may hold up (A5).
        runtime.shutdown_timeout(if ended.is_ok() { GOODBYE } else { Duration::ZERO });
        match ended? {
            Ending::Stopped => return Ok(()),
            Ending::Install(slot) => info!(%slot, "a peer's state is staged: starting anew to install it"),
        }
        bootstrap = false;
    }
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
        clients: TcpListener::bind(clients)
            .await
            .map_err(during(format!("cannot listen for clients on {clients}")))?,
        http: TcpListener::bind(http)
            .await
            .map_err(during(format!("cannot listen for HTTP on {http}")))?,
    })
}

/// Serves until told to stop, until a fetched state is to be installed, or until something fails.
async fn serve(
    settings: &Settings,
    bootstrap: bool,
    speaks: Option<Versions>,
    wish: stop::Wish,
) -> Result<Ending, Failure> {
    let clock = Clock::wrong(settings.clock_rate_ppm);
    let me = options::address(settings)?;
    let registry = options::registry();
    let ports = bind(settings).await?;
    let (happenings, inbox) = mpsc::channel::<Happening>(HAPPENINGS);
    let transport = open_transport(settings, me, speaks, happenings.clone(), &registry).await?;
    let outbound = Outbound::new(transport.clone());
    let (failed, mut failures) = mpsc::channel::<String>(4);

    let hooks = disk::hooks(me, outbound.clone(), happenings.clone(), failed.clone());
    let disk = disk::open(settings, me, bootstrap, hooks, &registry)?;
    let boot = disk
        .begin_process(me.node, options::wall_clock())
        .map_err(during("cannot number this process"))?;
    let recovered = &disk.recovered;
    info!(promised = %recovered.promised, chosen = %recovered.chosen, applied = %recovered.applied, "the disk is read");
    let had = recovered.chosen;
    let newest = recovered.configurations.as_ref().map(Configurations::newest);
    let members = newest.unwrap_or(&settings.genesis).members().len();
    let replica = Replica::new(
        options::options(settings, me, boot),
        disk.recovered,
        options::draw(),
        clock.now(),
    );
    let (reader, flusher) = (disk.machine.reader(), disk.machine.flusher());
    let sweeper = disk.machine.sweeper().map_err(during("cannot sweep the state"))?;
    let fixed = options::fixed_status(settings);
    let (requests, desk) = requests::open(clock, settings.limits.max_waiting_requests, fixed.clone());
    let known = requests.clone();
    let has_peers = move || match known.status().configurations.last() {
        Some(newest) => newest.configuration.members.len() > 1,
        // Nothing is published yet.
        None => members > 1,
    };
    let guard = StateGuard::new(&settings.data_dir, has_peers, failed.clone());
    let journal_guard = JournalGuard::new(&settings.data_dir, failed.clone());
    let (applier_guard, applier_failed) = (guard.clone(), failed);
    let applier = Applier::start(
        disk.machine,
        me,
        boot,
        desk.waiters.clone(),
        happenings.clone(),
        move |stopped| match stopped {
            Stopped::Failed(ApplyError::Tables(error)) => applier_guard.met("the state machine cannot go on", &error),
            // Full means that another failure is being reported already.
            Stopped::Failed(error @ ApplyError::Newer { .. }) => _ = applier_failed.try_send(error.to_string()),
            Stopped::Superseded => _ = applier_failed.try_send(Stopped::SUPERSEDED.to_owned()),
        },
    )
    .map_err(during("cannot start the applier"))?;
    let janitor = janitor::start(me.node, reader.clone(), flusher, happenings.clone(), guard.clone())?;
    let (swept, sweeps) = watch::channel(reader.swept());
    let sweeping = sweeping::start(sweeper, swept, SweepMetrics::new(&registry), guard.clone())?;
    let journal = Arc::new(disk.journal);
    let scrub_progress = Arc::<ScrubProgress>::default();
    let scrub = Scrub::start(scrub::Parts {
        journal: journal.clone(),
        reader: reader.clone(),
        journal_guard: journal_guard.clone(),
        guard: guard.clone(),
        pace: settings.scrub,
        metrics: ScrubMetrics::new(&registry),
        progress: scrub_progress.clone(),
    })
    .map_err(during("cannot start the scrub"))?;
    let (sender, space) = watch::channel(Space::default());
    let core = happenings.clone();
    let told = move |room| core.blocking_send(Happening::Input(Input::Space(room))).is_ok();
    let (state_guard, state) = (guard.clone(), reader.clone());
    let sound = move || {
        let sound = state.sound();
        sound
            .as_ref()
            .inspect_err(|error| state_guard.met("the state is not on the disk", error))
            .is_ok()
    };
    let watchman = space::start(&settings.data_dir, settings.reserve_bytes, sender, told, sound)?;

    let (snapshots, progress) = start_snapshots(
        settings,
        me,
        boot,
        reader.clone(),
        happenings.clone(),
        &registry,
        guard.clone(),
    )?;

    let (stop, stopping) = watch::channel(false);
    let (drain, signs) = Drain::new();
    let state = Arc::new(LocalState {
        reader: reader.clone(),
        swept: sweeps,
        guard,
        had,
    });
    let (waiters, compacted, readers) = (desk.waiters.clone(), reader.clone(), reader.clone());
    let mut driver = Driver {
        contacts: Contacts::new(settings.dial.clone()),
        replica,
        journal,
        journal_guard,
        applier,
        outbound,
        transport: transport.clone(),
        happenings: inbox,
        loopback: happenings,
        requests: desk.inputs,
        waiters: waiters.clone(),
        publisher: Publisher {
            fixed,
            status: desk.status,
            clock,
            reader,
            waiters,
            progress,
            scrub: scrub_progress,
            space,
            draining: signs.begun.clone(),
        },
        metrics: ConsensusMetrics::new(&registry),
        clock,
        snapshots,
    };
    driver.contacts.follow(clock.now(), &driver.replica, &transport);
    let mut driver = tokio::spawn(driver.run(stopping.clone()));
    tokio::spawn(compacting::run(
        settings.compaction,
        clock,
        compacted,
        requests.clone(),
        settings.timing.request_timeout,
        stopping.clone(),
    ));
    let canary = CanaryMetrics::new(&registry);
    tokio::spawn(canary::run(
        settings.canary,
        settings.timing.request_timeout,
        settings.limits.ready_lag,
        requests.clone(),
        canary,
        stopping.clone(),
    ));
    tokio::spawn(renewal::run(
        settings.certificates.clone(),
        transport.clone(),
        RenewalMetrics::new(&registry),
        stopping.clone(),
    ));
    let departing = requests.clone();
    let edges = Edges {
        requests,
        state,
        registry,
        drain: drain.clone(),
        transport: transport.clone(),
    };
    let edges = edges.open(settings, ports, signs, &stopping);
    info!(
        node = %me.node,
        clients = %settings.listen.clients,
        http = %settings.listen.http,
        peers = %settings.listen.peers,
        "ready to serve client requests"
    );

    let ended = tokio::select! {
        reason = stop::wished(wish) => {
            info!(reason, "stopping");
            // Clients are served meanwhile. A disk that fails now is noticed behind this.
            leave_to_another(&departing).await;
            Ok(Ending::Stopped)
        }
        Some(reason) = failures.recv() => Err(Failure(reason)),
        ended = &mut driver => match ended {
            Ok(Ok(ending)) => Ok(ending),
            Ok(Err(reason)) => Err(Failure(failures.try_recv().unwrap_or(reason))),
            Err(panic) => Err(Failure(format!("the driver ended unexpectedly: {panic}"))),
        },
    };
    stop.send_replace(true);
    drain.shut();
    if ended.is_ok() {
        // Clients get their answers before the parts that give them are gone; those who dawdle are cut off. A node that
        // failed says no goodbye (A5).
        let _ = tokio::time::timeout(GOODBYE, edges).await;
        if !driver.is_finished() {
            let _ = tokio::time::timeout(GOODBYE, driver).await;
        }
    }
    transport.shutdown().await;
    tokio::task::block_in_place(|| {
        drop((janitor, sweeping, scrub, watchman));
        if ended.is_ok() {
            // Whoever still reads much for a client would keep the data folder open.
            readers.interrupt();
        }
    });
    ended
}

/// The threads that serve and fetch copies of the state, and how far the latter are.
fn start_snapshots(
    settings: &Settings,
    me: Address,
    boot: u64,
    reader: Reader<RocksTables>,
    driver: mpsc::Sender<Happening>,
    registry: &Registry,
    guard: StateGuard,
) -> Result<(Snapshots, Arc<Progress>), Failure> {
    let progress = Arc::<Progress>::default();
    let parts = Parts {
        guard,
        reader,
        dir: settings.data_dir.clone(),
        identity: disk::identity(settings, me),
        origin: Origin {
            cluster: settings.cluster.clone(),
            cluster_id: settings.cluster_id(),
            epoch: settings.genesis.epoch(),
        },
        boot,
        pace: Pace::new(settings.catch_up.max_bytes_per_second as u64),
        state: StateSettings::default(),
        driver,
        metrics: SnapshotMetrics::new(registry),
        progress: progress.clone(),
    };
    let snapshots =
        Snapshots::start(parts).map_err(during("cannot start the thread that takes copies of a peer's state"))?;
    Ok((snapshots, progress))
}

async fn open_transport(
    settings: &Settings,
    me: Address,
    speaks: Option<Versions>,
    inbound: mpsc::Sender<Happening>,
    registry: &Registry,
) -> Result<Transport, Failure> {
    let files = &settings.certificates;
    let credentials =
        Credentials::load(&files.authority, &files.certificate, &files.key).map_err(during("the certificates"))?;
    let member = settings.member();
    let region = member.map_or("", |member| member.region.as_str());
    let identity = Identity::new(&settings.cluster, me.node, region).map_err(during("this node's identity"))?;
    let mut told = TransportSettings::new(
        settings.listen.peers,
        identity,
        options::draw(),
        settings.cluster_id().0,
        credentials,
        // The core names them.
        Vec::new(),
    );
    told.speaks = speaks.unwrap_or(told.speaks);
    Transport::bind(told, inbound, registry)
        .await
        .map_err(during("cannot talk to peers"))
}

/// What clients and operators meet.
struct Edges {
    requests: Requests,
    state: Arc<LocalState>,
    registry: Registry,
    drain: Drain,
    transport: Transport,
}

impl Edges {
    /// Serves clients and pages; resolves when both have ended.
    fn open(
        self,
        settings: &Settings,
        ports: Ports,
        signs: Signs,
        stopping: &watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        let metrics = ApiMetrics::new(&self.registry);
        let identity = api::Identity {
            cluster: settings.cluster_id().0,
            member: settings.node.0,
        };
        let limits = Limits {
            max_txn_ops: settings.limits.max_txn_ops,
            max_request_bytes: settings.limits.max_request_bytes,
        };
        let api = Api::new(
            self.requests.clone(),
            self.state.clone(),
            identity,
            limits,
            settings.timing.request_timeout,
            metrics.clone(),
        );
        let pages = self.pages(settings, metrics);
        let Signs { shut, empty, .. } = signs;
        let clients = tokio::spawn(async move {
            api::serve(api, ports.clients, shut).await;
            empty.send_replace(true);
        });
        let mut stopping = stopping.clone();
        let stopped = async move {
            // A sender that is gone is a node that stops.
            let _ = stopping.wait_for(|stop| *stop).await;
        };
        let pages = tokio::spawn(http::serve(pages, ports.http, stopped));
        async move {
            if let Err(panic) = clients.await {
                error!(%panic, "the client API ended");
            }
            if let Ok(Err(error)) = pages.await {
                error!(%error, "the HTTP pages ended");
            }
        }
    }

    fn pages(self, settings: &Settings, metrics: ApiMetrics) -> Arc<Pages> {
        let transport = self.transport;
        let quorums = Arc::new(Quorums::new(Box::new(move |node| transport.round_trip(node))));
        Arc::new(Pages {
            requests: self.requests,
            gauges: NodeGauges::new(&self.registry),
            quorum_gauges: QuorumGauges::new(&self.registry, quorums.clone()),
            quorums,
            drain: self.drain,
            registry: self.registry,
            recent: Recent::new(metrics),
            ready_lag: settings.limits.ready_lag,
            request_timeout: settings.timing.request_timeout,
            operator_token: settings.operator_token.clone(),
        })
    }
}
