//! A writing client, and a leader that is killed again and again: writes go on, and every acknowledged one is there.

#[allow(unreachable_pub, reason = "shared between test binaries")]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::{Cluster, put, read_prefix};

/// How often the leader is killed.
const KILLS: usize = 20;

/// What a user is promised: writes succeed again within this time.
const PROMISED: Duration = Duration::from_secs(3);

/// Writes one key after another through any node that answers, until told to stop; returns what was acknowledged.
async fn write_steadily(
    endpoints: Vec<String>,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
) -> BTreeMap<String, String> {
    let mut clients = Vec::new();
    for endpoint in &endpoints {
        let channel = tonic::transport::Channel::from_shared(endpoint.clone())
            .expect("a URL")
            .connect_lazy();
        clients.push(node::proto::etcdserverpb::kv_client::KvClient::new(channel));
    }
    let mut acknowledged = BTreeMap::new();
    let mut at = 0;
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let (key, value) = (format!("w/{count:08}"), format!("v{count}"));
        let mut request = tonic::Request::new(put(&key, &value));
        request.set_timeout(Duration::from_millis(800));
        match clients[at].put(request).await {
            Ok(_) => {
                acknowledged.insert(key, value);
                written.fetch_add(1, Ordering::Relaxed);
            }
            // Refused or in doubt: the key may or may not be there, and another node may do better.
            Err(_) => {
                at = (at + 1) % clients.len();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_survive_the_death_of_twenty_leaders() {
    let mut cluster = Cluster::start(3, "majority").await;
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicUsize::new(0));
    let endpoints = cluster.members.iter().map(support::Member::endpoint).collect();
    let writer = tokio::spawn(write_steadily(endpoints, stop.clone(), written.clone()));
    let mut gaps = Vec::new();
    for round in 0..KILLS {
        let leader = cluster.leader().await;
        // The client is writing before the leader dies.
        wait_for_writes(&cluster, &written, 5).await;
        cluster.members[leader].kill();
        let killed = Instant::now();
        wait_for_writes(&cluster, &written, 2).await;
        gaps.push(killed.elapsed());
        println!(
            "round {round}: node {} killed, writes again after {:?}",
            leader + 1,
            killed.elapsed()
        );
        cluster.members[leader].start(false);
    }
    let leader = cluster.leader().await;
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writer.await.expect("the writer does not panic");
    let mut client = cluster.members[leader].client().await.expect("the leader answers");
    let found: BTreeMap<String, String> = read_prefix(&mut client, "w/")
        .await
        .kvs
        .into_iter()
        .map(|kv| {
            (
                String::from_utf8_lossy(&kv.key).into_owned(),
                String::from_utf8_lossy(&kv.value).into_owned(),
            )
        })
        .collect();
    for (key, value) in &acknowledged {
        assert_eq!(
            found.get(key),
            Some(value),
            "acknowledged, and not there: {key}\n{}",
            cluster.logs()
        );
    }
    gaps.sort();
    let late = gaps.iter().filter(|gap| **gap > PROMISED).count();
    println!(
        "{KILLS} leaders killed, {} writes acknowledged and found; writes again after {:?} (median), {:?} (worst)",
        acknowledged.len(),
        gaps[gaps.len() / 2],
        gaps[gaps.len() - 1]
    );
    // A machine that stands still for seconds proves nothing about the protocol; most rounds must keep the promise.
    assert!(
        late <= KILLS / 4,
        "{late} of {KILLS} times it took more than {PROMISED:?}: {gaps:?}"
    );
}

async fn wait_for_writes(cluster: &Cluster, written: &AtomicUsize, count: usize) {
    let target = written.load(Ordering::Relaxed) + count;
    let begin = Instant::now();
    while written.load(Ordering::Relaxed) < target {
        assert!(
            begin.elapsed() < support::PATIENCE,
            "no writes for {:?}\n{}",
            support::PATIENCE,
            cluster.logs()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
