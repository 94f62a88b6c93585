//! Runs a plan: threads, connections, clients; warm-up, measurement, end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::LocalSet;

use super::arguments::{End, Plan};
use super::connection::{CallError, Client, Connection};
use super::report::{Report, Sample};
use super::series::Series;
use super::workload::{Kind, Workload, frame, pool};
use crate::proto::etcdserverpb::{StatusRequest, StatusResponse};

/// Keys that one transaction of the prefill sets; etcd accepts 128.
const PREFILL_OPS: u64 = 100;

/// What all threads share.
struct Shared {
    plan: Plan,
    pool: Bytes,
    /// Released when every thread has its connections.
    start: Barrier,
    /// Requests begun since the warm-up.
    begun: AtomicU64,
    /// Next key of the prefill.
    prefilled: AtomicU64,
    series: Option<Arc<Series>>,
}

/// Runs the plan to its end.
///
/// # Errors
/// A sentence if no endpoint can be reached, or none leads when the leader is wanted.
pub(super) fn run(plan: &Plan) -> Result<Report, String> {
    let mut plan = plan.clone();
    plan.endpoints = runtime()?.block_on(LocalSet::new().run_until(reachable(&plan)))?;
    // The scribe writes its last row when this function ends.
    let (series, _scribe) = plan.series.as_deref().map(Series::begin).transpose()?.unzip();
    let shared = Arc::new(Shared {
        pool: pool(&plan),
        start: Barrier::new(plan.threads),
        begun: AtomicU64::new(0),
        prefilled: AtomicU64::new(0),
        series,
        plan,
    });
    let cpu_before = process_cpu();
    let threads: Vec<_> = (0..shared.plan.threads)
        .map(|thread| {
            let shared = shared.clone();
            std::thread::spawn(move || runtime()?.block_on(LocalSet::new().run_until(drive(&shared, thread))))
        })
        .collect();
    let mut total = Tally::default();
    for thread in threads {
        total.merge(
            thread
                .join()
                .map_err(|_panic| "a thread of the generator panicked".to_owned())??,
        );
    }
    let generator_cpu = process_cpu().saturating_sub(cpu_before);
    let plan = &shared.plan;
    Ok(Report {
        operation: plan.work.name(),
        keys_per_request: plan.work.keys_per_request(),
        endpoints: plan.endpoints.clone(),
        clients: plan.clients,
        connections: plan.connections,
        key_size: plan.key_size,
        value_size: plan.value_size,
        elapsed: total.last.saturating_duration_since(total.measured_from),
        reads: total.reads,
        writes: total.writes,
        errors: total.errors,
        rejections: total.rejections,
        generator_cpu,
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))
}

/// The endpoints that answer; only the leader's if that is wanted.
async fn reachable(plan: &Plan) -> Result<Vec<String>, String> {
    let mut answering = Vec::new();
    let mut faults = Vec::new();
    for endpoint in &plan.endpoints {
        match status(endpoint).await {
            Ok(status) => {
                let leads = status
                    .header
                    .as_ref()
                    .is_some_and(|header| header.member_id == status.leader);
                answering.push((endpoint.clone(), leads));
            }
            Err(error) => faults.push(format!("{endpoint}: {}", error.label())),
        }
    }
    if answering.is_empty() {
        return Err(format!("no endpoint answers ({})", faults.join("; ")));
    }
    if plan.target_leader {
        answering.retain(|(_, leads)| *leads);
        if answering.is_empty() {
            return Err("none of the endpoints leads; drop --target-leader or name the leader's endpoint".to_owned());
        }
    }
    Ok(answering.into_iter().map(|(endpoint, _)| endpoint).collect())
}

async fn status(endpoint: &str) -> Result<StatusResponse, CallError> {
    let limit = Duration::from_secs(5);
    let opened = tokio::time::timeout(limit, Connection::open(endpoint))
        .await
        .unwrap_or(Err(CallError::TimedOut))?;
    opened
        .client()
        .ask("/etcdserverpb.Maintenance/Status", frame(&StatusRequest {}), limit)
        .await
}

/// One thread: its share of the connections, its share of the clients on them.
async fn drive(shared: &Arc<Shared>, thread: usize) -> Result<Tally, String> {
    let plan = &shared.plan;
    let share = |count: usize| (thread..count).step_by(plan.threads);
    let mut connections = Vec::new();
    for index in share(plan.connections) {
        let endpoint = &plan.endpoints[index % plan.endpoints.len()];
        let opened = Connection::open(endpoint).await.map_err(|error| error.label())?;
        connections.push(Rc::new(opened));
    }
    if plan.prefill {
        let clients: Vec<_> = share(plan.clients).collect();
        let fills = clients.iter().enumerate().map(|(order, client)| {
            let (shared, connection) = (shared.clone(), connections[order % connections.len()].clone());
            let client = *client;
            tokio::task::spawn_local(async move { prefill(&shared, &connection, client).await })
        });
        for fill in fills.collect::<Vec<_>>() {
            fill.await.map_err(|error| error.to_string())??;
        }
    }
    // Nothing else runs on this thread yet, so it may block.
    shared.start.wait();
    let clock = Clock::new(plan);
    let tally = Rc::new(RefCell::new(Tally {
        measured_from: Some(clock.measure),
        ..Tally::default()
    }));
    let mut tasks = Vec::new();
    for (order, client) in share(plan.clients).enumerate() {
        let (shared, tally) = (shared.clone(), tally.clone());
        let (connection, clock) = (connections[order % connections.len()].clone(), clock.clone());
        tasks.push(tokio::task::spawn_local(async move {
            repeat(&shared, &connection, client, &clock, &tally).await
        }));
    }
    for task in tasks {
        task.await.map_err(|error| error.to_string())?;
    }
    Ok(tally.take())
}

async fn prefill(shared: &Shared, connection: &Connection, client: usize) -> Result<(), String> {
    let plan = &shared.plan;
    let mut workload = Workload::new(plan, shared.pool.clone(), client);
    let mut connected = connection.client();
    loop {
        let first = shared.prefilled.fetch_add(PREFILL_OPS, Ordering::Relaxed);
        if first >= plan.key_space {
            return Ok(());
        }
        let call = workload.txn((first..plan.key_space.min(first + PREFILL_OPS)).collect());
        if let Err(error) = connected.call(call.path, call.frame, plan.timeout).await {
            return Err(format!("the prefill failed: {}", error.label()));
        }
    }
}

/// When the phases of a run begin and end.
#[derive(Clone)]
struct Clock {
    start: Instant,
    measure: Instant,
    end: Option<Instant>,
    warm: Rc<Cell<bool>>,
}

impl Clock {
    fn new(plan: &Plan) -> Clock {
        let start = Instant::now();
        let measure = start + plan.warm_up;
        let end = match plan.end {
            End::After(duration) => Some(measure + duration),
            End::Requests(_) => None,
        };
        Clock {
            start,
            measure,
            end,
            warm: Rc::new(Cell::new(false)),
        }
    }

    /// Whether a request that begins now is measured.
    fn is_warm(&self, now: Instant) -> bool {
        if !self.warm.get() && now >= self.measure {
            self.warm.set(true);
        }
        self.warm.get()
    }
}

/// One client: request after request until the end.
async fn repeat(shared: &Shared, connection: &Connection, client: usize, clock: &Clock, tally: &RefCell<Tally>) {
    let plan = &shared.plan;
    let mut workload = Workload::new(plan, shared.pool.clone(), client);
    let mut connected: Client<'_> = connection.client();
    let pace = plan
        .rate
        .map(|rate| Duration::from_secs_f64(plan.clients as f64 / rate));
    let mut due = pace.map(|pace| clock.start + pace.mul_f64(client as f64 / plan.clients as f64));
    loop {
        let call = workload.next();
        let mut begin = Instant::now();
        if let (Some(pace), Some(at)) = (pace, due.as_mut()) {
            if *at > begin {
                tokio::time::sleep_until((*at).into()).await;
                // The timer's lateness is the generator's own.
                begin = Instant::now();
            } else {
                begin = *at;
            }
            *at += pace;
        }
        if clock.end.is_some_and(|end| begin >= end) {
            return;
        }
        let measured = clock.is_warm(begin);
        if measured
            && let End::Requests(total) = plan.end
            && shared.begun.fetch_add(1, Ordering::Relaxed) >= total
        {
            return;
        }
        let result = connected.call(call.path, call.frame, plan.timeout).await;
        if let Some(series) = &shared.series {
            series.note(result.is_ok());
        }
        if measured {
            tally.borrow_mut().record(call.kind, begin, &result);
        }
    }
}

/// What one thread measured.
#[derive(Default)]
struct Tally {
    measured_from: Option<Instant>,
    last: Last,
    reads: Sample,
    writes: Sample,
    errors: BTreeMap<String, u64>,
    rejections: u64,
}

impl Tally {
    fn record(&mut self, kind: Kind, begin: Instant, result: &Result<Bytes, CallError>) {
        let now = Instant::now();
        self.last.note(now);
        let sample = match kind {
            Kind::Read => &mut self.reads,
            Kind::Write => &mut self.writes,
        };
        match result {
            Ok(_) => sample.record(now - begin),
            Err(error) => {
                self.rejections += u64::from(error.is_rejection());
                *self.errors.entry(error.label()).or_default() += 1;
            }
        }
    }

    fn merge(&mut self, other: Tally) {
        self.measured_from = match (self.measured_from, other.measured_from) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if let Last(Some(at)) = other.last {
            self.last.note(at);
        }
        self.reads.merge(&other.reads);
        self.writes.merge(&other.writes);
        for (label, count) in other.errors {
            *self.errors.entry(label).or_default() += count;
        }
        self.rejections += other.rejections;
    }
}

/// When the last answer came.
#[derive(Copy, Clone, Default)]
struct Last(Option<Instant>);

impl Last {
    fn note(&mut self, at: Instant) {
        self.0 = Some(self.0.map_or(at, |last| last.max(at)));
    }

    fn saturating_duration_since(self, from: Option<Instant>) -> Duration {
        match (self.0, from) {
            (Some(last), Some(from)) => last.saturating_duration_since(from),
            _ => Duration::ZERO,
        }
    }
}

/// CPU time of this process so far, user and system; zero where the system does not tell.
fn process_cpu() -> Duration {
    // Fields 14 and 15 of /proc/self/stat, in hundredths of a second; the second field may hold spaces, but ends in ')'.
    let ticks = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    });
    Duration::from_millis(ticks.unwrap_or(0) * 10)
}
