//! A writing client, and a leader that is killed again and again: writes go on, and every acknowledged one is there.

#[allow(unreachable_pub, reason = "shared between test binaries")]
mod support;

use std::time::{Duration, Instant};

use support::writer::{Writers, assert_all_there};
use support::{Cluster, read_prefix};

/// How often the leader is killed.
const KILLS: usize = 20;

/// What a user is promised: writes succeed again within this time.
const PROMISED: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_survive_the_death_of_twenty_leaders() {
    let mut cluster = Cluster::start(3, "majority").await;
    let writer = Writers::start(&cluster, 1, 0);
    let mut gaps = Vec::new();
    for round in 0..KILLS {
        let leader = cluster.leader().await;
        // The client is writing before the leader dies.
        writer.wait_for(&cluster, 5).await;
        cluster.members[leader].kill();
        let killed = Instant::now();
        writer.wait_for(&cluster, 2).await;
        gaps.push(killed.elapsed());
        println!(
            "round {round}: node {} killed, writes again after {:?}",
            leader + 1,
            killed.elapsed()
        );
        cluster.members[leader].start(false);
    }
    let leader = cluster.leader().await;
    let acknowledged = writer.stop().await;
    let mut client = cluster.members[leader].client().await.expect("the leader answers");
    let read = read_prefix(&mut client, "w/").await.kvs.into_iter();
    let found: Vec<_> = read
        .map(|kv| (kv.key.to_vec(), kv.value.to_vec(), kv.mod_revision))
        .collect();
    assert_all_there(&acknowledged, &found, &cluster.logs());
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
