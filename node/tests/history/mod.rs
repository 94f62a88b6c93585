//! Clients whose every answer is remembered: whether one order explains them all, and how long writes took and when.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use node::proto::etcdserverpb::RangeRequest;
use node::proto::etcdserverpb::kv_client::KvClient;
use simulator::linearizable::register::{Content, Held, Op, Register, Reply};
use simulator::linearizable::{History, Verdict, check};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::support::{Cluster, Member, progress, put};

/// Operations on one key before the next one is taken, so that no search is long.
const OPERATIONS: u64 = 300;
/// Keys in use at a time.
const KEYS: u64 = 3;
const STEPS: u64 = 5_000_000;
/// How long a client waits.
const ANSWER: Duration = Duration::from_millis(1500);

/// Clients that run.
pub struct Witnesses {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

/// How the writes of some time went.
pub struct Writes {
    pub p50: Duration,
    pub p99: Duration,
    /// Those that were acknowledged.
    pub count: usize,
    /// Those that were not, whose client went on with the next node.
    pub failed: usize,
}

struct Shared {
    start: Instant,
    stop: AtomicBool,
    written: AtomicU64,
    next: AtomicU64,
    history: Mutex<History<Register>>,
    /// When each write was asked for, and how long it took if it was acknowledged at once.
    writes: Mutex<Vec<(Instant, Option<Duration>)>>,
}

impl Witnesses {
    /// Starts so many clients; each writes and reads the same few keys through any node that answers.
    pub fn start(cluster: &Cluster, count: u64) -> Witnesses {
        let shared = Arc::new(Shared {
            start: Instant::now(),
            stop: AtomicBool::new(false),
            written: AtomicU64::new(0),
            next: AtomicU64::new(1),
            history: Mutex::default(),
            writes: Mutex::default(),
        });
        let endpoints: Vec<String> = cluster.members.iter().map(Member::endpoint).collect();
        let tasks = (0..count).map(|client| tokio::spawn(work(shared.clone(), client, endpoints.clone())));
        Witnesses {
            tasks: tasks.collect(),
            shared,
        }
    }

    /// Waits until so many more writes are acknowledged.
    pub async fn wait_for(&self, cluster: &Cluster, more: u64) {
        progress::wait_for(&self.shared.written, more, cluster).await;
    }

    /// The writes asked for in this time.
    pub fn writes_between(&self, from: Instant, to: Instant) -> Writes {
        let writes = self.shared.writes.lock().expect("no client panics");
        let within = writes.iter().filter(|(asked, _)| (from..to).contains(asked));
        let (answered, not): (Vec<_>, Vec<_>) = within.partition(|(_, took)| took.is_some());
        let mut took: Vec<Duration> = answered.into_iter().filter_map(|(_, took)| took).collect();
        took.sort_unstable();
        let at = |per_cent: usize| took.get(took.len() * per_cent / 100).copied().unwrap_or_default();
        Writes {
            p50: at(50),
            p99: at(99),
            count: took.len(),
            failed: not.len(),
        }
    }

    /// Ends the clients, and demands that one order explains everything that they were told.
    pub async fn judge(self) -> String {
        self.shared.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a client does not panic");
        }
        let history = std::mem::take(&mut *self.shared.history.lock().expect("no client panics"));
        let report = check(&history, STEPS);
        assert_eq!(report.verdict, Verdict::Linearizable, "{report}");
        report.to_string()
    }
}

async fn work(shared: Arc<Shared>, client: u64, endpoints: Vec<String>) {
    let connect = |endpoint: &String| Channel::from_shared(endpoint.clone()).expect("a URL").connect_lazy();
    let mut clients: Vec<_> = endpoints.iter().map(|one| KvClient::new(connect(one))).collect();
    let mut at = client as usize % clients.len();
    while !shared.stop.load(Ordering::Relaxed) {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let key = format!("h/{}/{}", number / (OPERATIONS * KEYS), number % KEYS);
        let answered = if number.is_multiple_of(2) {
            shared.write(&mut clients[at], client, key, number).await
        } else {
            shared.read(&mut clients[at], client, key).await
        };
        if !answered {
            at = (at + 1) % clients.len();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).expect("a test is short")
    }

    /// Writes; whether it was acknowledged. Otherwise it counts as perhaps done.
    async fn write(&self, node: &mut KvClient<Channel>, client: u64, key: String, value: u64) -> bool {
        let called = self.now();
        let call =
            self.history
                .lock()
                .expect("no client panics")
                .call(client, key.clone().into(), Op::Put(value), called);
        let asked = Instant::now();
        let request = put(&key, &value.to_string());
        let answer = tokio::time::timeout(ANSWER, node.put(request)).await;
        let answered = matches!(answer, Ok(Ok(_)));
        let took = answered.then(|| asked.elapsed());
        self.writes.lock().expect("no client panics").push((asked, took));
        if answered {
            let mut history = self.history.lock().expect("no client panics");
            history.answer(call, Reply::Done, self.now());
            self.written.fetch_add(1, Ordering::Relaxed);
        }
        answered
    }

    async fn read(&self, node: &mut KvClient<Channel>, client: u64, key: String) -> bool {
        let called = self.now();
        let call = self
            .history
            .lock()
            .expect("no client panics")
            .call(client, key.clone().into(), Op::Get, called);
        let request = RangeRequest {
            key: key.into(),
            ..RangeRequest::default()
        };
        let Ok(Ok(answer)) = tokio::time::timeout(ANSWER, node.range(request)).await else {
            return false;
        };
        let held = answer.into_inner().kvs.first().map(|kv| Held {
            value: String::from_utf8_lossy(&kv.value).parse().unwrap_or(0),
            version: kv.version.unsigned_abs(),
        });
        let mut history = self.history.lock().expect("no client panics");
        history.answer(call, Reply::Got(Content(held)), self.now());
        true
    }
}
