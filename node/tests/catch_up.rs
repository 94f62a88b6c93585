//! Members that are behind every journal, or lost their state, fetch a copy of a peer's state (C3) and go on.

#[allow(unreachable_pub, reason = "shared between test binaries")]
mod support;

use std::time::{Duration, Instant};

use node::proto::etcdserverpb::RangeRequest;
use node::snapshots::CatchingUp;
use node::status::NodeStatus;
use support::{Cluster, PATIENCE, put, read_prefix};

/// Journals that keep next to nothing, and copies that take some seconds.
const SETTINGS: &str =
    "[limits]\nmax_log_bytes = \"1MiB\"\nkeep_slots = 0\n\n[catch_up]\nmax_bytes_per_second = \"8MiB\"\n";

/// Waits until `ready` says something; `what` is for the message if it never does.
macro_rules! eventually {
    ($cluster:expr, $what:expr, $ready:expr) => {{
        let begin = Instant::now();
        loop {
            if let Some(found) = $ready {
                break found;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "{} within {PATIENCE:?}: never; logs:\n{}",
                $what,
                $cluster.logs()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }};
}

/// Writes `mebibytes` of values that do not compress.
async fn fill(cluster: &Cluster, through: usize, mebibytes: u64) {
    const LENGTH: usize = 64 << 10;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let mut client = cluster.members[through].client().await.expect("the node answers");
        tasks.spawn(async move {
            let mut seed = 0x9e37_79b9_7f4a_7c15_u64 ^ task;
            for count in 0..mebibytes * 2 {
                let mut value = Vec::with_capacity(LENGTH);
                while value.len() < LENGTH {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    value.extend(seed.to_le_bytes());
                }
                let mut request = put(&format!("fill/{task}/{count:06}"), "");
                request.value = value.into();
                client.put(request).await.expect("a write");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
}

/// The status once nothing of the log that a new member would need is left, at any of these members.
async fn trimmed_everywhere(cluster: &Cluster, members: &[usize]) {
    for member in members {
        eventually!(cluster, format!("member {member} trims its journal"), {
            let status = cluster.members[*member].status().await;
            status.filter(|status| status.trimmed > 0)
        });
    }
}

/// A member in the middle of fetching a copy.
async fn halfway(cluster: &Cluster, member: usize) -> CatchingUp {
    eventually!(cluster, "a copy is on its way", {
        let status = cluster.members[member].status().await;
        let copy = status.and_then(|status| status.catching_up);
        copy.filter(|copy| (5..80).contains(&copy.percent))
    })
}

/// All members have applied the same, and have the same digest.
async fn alike(cluster: &Cluster) -> NodeStatus {
    eventually!(cluster, "all members are alike", {
        let mut found: Vec<NodeStatus> = Vec::new();
        for member in &cluster.members {
            found.extend(member.status().await);
        }
        let first = found.first().cloned();
        let same = |status: &NodeStatus, first: &NodeStatus| {
            status.catching_up.is_none()
                && status.digest_slot == first.digest_slot
                && status.digest_slot == status.known_chosen
                && status.applied == status.digest_slot
        };
        first
            .filter(|first| found.len() == cluster.members.len() && found.iter().all(|status| same(status, first)))
            .inspect(|first| {
                let digests: Vec<_> = found.iter().map(|status| &status.digest).collect();
                assert!(digests.iter().all(|digest| **digest == first.digest), "{digests:?}");
            })
    })
}

/// How many keys a member has of its own, without asking others.
async fn keys_at(cluster: &Cluster, member: usize) -> i64 {
    let mut client = cluster.members[member].client().await.expect("the node answers");
    let request = RangeRequest {
        key: "fill/".into(),
        range_end: "fill0".into(),
        count_only: true,
        serializable: true,
        ..RangeRequest::default()
    };
    client.range(request).await.expect("a read").into_inner().count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_member_gets_a_copy_whoever_is_killed_meanwhile() {
    let mut cluster = Cluster::prepare_with(4, "majority", &[4], SETTINGS);
    let (voters, learner) = ([0, 1, 2], 3);
    for voter in voters {
        cluster.members[voter].start(true);
    }
    let leader = cluster.leader().await;
    fill(&cluster, leader, 48).await;
    trimmed_everywhere(&cluster, &voters).await;

    // The one that fetches dies in the middle: what it had staged is of no use, the next life begins anew.
    cluster.members[learner].start(true);
    let copy = halfway(&cluster, learner).await;
    println!("the learner is killed: {copy:?}");
    cluster.members[learner].kill();
    cluster.members[learner].start(false);

    // The one that serves dies in the middle: another one serves.
    let copy = halfway(&cluster, learner).await;
    println!("its source is killed: {copy:?}");
    let server = copy.from as usize - 1;
    let page = cluster.members[learner]
        .get("/readyz")
        .await
        .expect("the learner answers");
    assert!(page.contains("catching up: snapshot"), "{page}");
    cluster.members[server].kill();
    let next = eventually!(cluster, "another member serves", {
        let status = cluster.members[learner].status().await;
        let copy = status.and_then(|status| status.catching_up);
        copy.filter(|next| next.from != server as u64 + 1)
    });
    println!("member {} serves", next.from);
    cluster.members[server].start(false);
    cluster.leader().await;
    let status = alike(&cluster).await;
    assert!(status.digest_slot > 0);
    assert_eq!(keys_at(&cluster, learner).await, 8 * 96);
    assert!(
        cluster.members[learner].is_alive(),
        "it started anew within its process"
    );

    // From there on it goes on with everybody.
    let mut client = cluster.members[learner].client().await.expect("the learner answers");
    client
        .put(put("after/1", "x"))
        .await
        .expect("a write through the learner");
    assert_eq!(read_prefix(&mut client, "after/").await.kvs.len(), 1);
    alike(&cluster).await;
    let page = cluster.members[learner]
        .get("/readyz")
        .await
        .expect("the learner answers");
    assert_eq!(page.trim(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_lost_its_state_fetches_it_and_keeps_its_vote() {
    let mut cluster = Cluster::prepare_with(3, "majority", &[], SETTINGS);
    for member in 0..3 {
        cluster.members[member].start(true);
    }
    let leader = cluster.leader().await;
    // The journal forgets in large steps, so it takes some to make it lack what the state had.
    fill(&cluster, leader, 100).await;
    trimmed_everywhere(&cluster, &[0, 1, 2]).await;
    let victim = (leader + 1) % 3;
    cluster.members[victim].kill();
    std::fs::remove_dir_all(cluster.members[victim].data().join("state")).expect("the folder");
    cluster.members[victim].start(false);
    // Its vote counts at once: with another member gone, writes need it.
    let third = (leader + 2) % 3;
    halfway(&cluster, victim).await;
    // To show nothing is not to show an old state: until it has back what it had, it says so.
    let mut client = cluster.members[victim].client().await.expect("the victim answers");
    let everything = RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        serializable: true,
        ..RangeRequest::default()
    };
    let refused = client.range(everything).await.expect_err("there is nothing to show");
    assert!(refused.message().contains("no state to show"), "{refused}");
    cluster.members[third].kill();
    let leader = cluster.leader().await;
    let mut client = cluster.members[leader].client().await.expect("the leader answers");
    client.put(put("meanwhile/1", "x")).await.expect("two of three vote");
    cluster.members[third].start(false);
    alike(&cluster).await;
    assert_eq!(keys_at(&cluster, victim).await, 8 * 200);
    let mut client = cluster.members[victim].client().await.expect("the victim answers");
    assert_eq!(read_prefix(&mut client, "meanwhile/").await.kvs.len(), 1);
}
