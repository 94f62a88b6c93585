//! Compaction in a cluster of real processes: asked for with etcd's own tool, or left to the leader.

#[allow(unreachable_pub, reason = "other tests share it")]
mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use node::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use node::proto::etcdserverpb::{CompactionRequest, HashKvRequest, HashKvResponse, RangeRequest};
use support::{Cluster, Member, PATIENCE, put, read_prefix};
use tonic::transport::Channel;

const ETCDCTL: &str = "/usr/bin/etcdctl";

/// What etcd's tool prints; `None` if it is not installed.
fn etcdctl(cluster: &Cluster, arguments: &[&str]) -> Option<String> {
    if !Path::new(ETCDCTL).exists() {
        eprintln!("etcdctl is not installed (Debian: etcd-client); its part of the test is left out");
        return None;
    }
    // Without a scheme: some versions put what stands here into requests as the host that they are for.
    let endpoint = |member: &Member| format!("127.0.0.1:{}", member.clients);
    let endpoints: Vec<String> = cluster.members.iter().map(endpoint).collect();
    let output = Command::new(ETCDCTL)
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &endpoints.join(","), "--command-timeout", "30s"])
        .args(arguments)
        .output()
        .expect("etcdctl runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(text(&output.stdout) + &text(&output.stderr))
}

/// Asks until there is an answer that `accept` takes.
async fn until<T>(cluster: &Cluster, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}; logs:\n{}",
            cluster.logs()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The hash of what a member keeps, once it has applied this revision and this compaction.
async fn hash(cluster: &Cluster, member: &Member, revision: i64, compacted: i64) -> HashKvResponse {
    until(cluster, "the hash of a node that has caught up", async || {
        let channel = Channel::from_shared(member.endpoint())
            .expect("a URL")
            .connect()
            .await
            .ok()?;
        let mut client = MaintenanceClient::new(channel);
        let hash = client.hash_kv(HashKvRequest { revision }).await.ok()?.into_inner();
        (hash.compact_revision == compacted).then_some(hash)
    })
    .await
}

async fn write(cluster: &Cluster, rounds: u64) -> i64 {
    let mut client = cluster.members[0].client().await.expect("it listens");
    let mut revision = 0;
    for number in 0..rounds {
        let put = put(&format!("key {:02}", number % 10), &number.to_string());
        // A busy machine may change its leader; to put a key twice does no harm here.
        let answer = loop {
            match client.put(put.clone()).await {
                Ok(answer) => break answer.into_inner(),
                Err(status) => assert_eq!(status.code(), tonic::Code::Unavailable, "{status}"),
            }
        };
        revision = answer.header.expect("every answer has one").revision;
    }
    revision
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_reaches_every_node_and_survives_a_kill() {
    let mut cluster = Cluster::start(3, "majority").await;
    let last = write(&cluster, 300).await;
    assert!(last >= 301, "{last}");
    let mut client = cluster.members[1].client().await.expect("it listens");
    let compact = CompactionRequest {
        revision: 200,
        physical: false,
    };
    client.compact(compact).await.expect("the revision exists");
    if let Some(told) = etcdctl(&cluster, &["compaction", "200"]) {
        assert!(told.contains("required revision has been compacted"), "{told}");
        let told = etcdctl(&cluster, &["compaction", "999"]).expect("it is installed");
        assert!(told.contains("required revision is a future revision"), "{told}");
        let told = etcdctl(&cluster, &["compaction", "--physical", "250"]).expect("it is installed");
        assert!(told.contains("compacted revision 250"), "{told}");
        let told = etcdctl(&cluster, &["get", "key 00", "--rev", "249"]).expect("it is installed");
        assert!(told.contains("required revision has been compacted"), "{told}");
        let told = etcdctl(&cluster, &["get", "key 00", "--rev", "250"]).expect("it is installed");
        assert!(told.starts_with("key 00\n2"), "{told}");
        let told = etcdctl(&cluster, &["defrag"]).expect("it is installed");
        assert_eq!(told.matches("Finished defragmenting etcd member").count(), 3, "{told}");
        let told = etcdctl(&cluster, &["endpoint", "hashkv", "--rev", "300"]).expect("it is installed");
        let hashes: Vec<&str> = told.lines().filter_map(|line| line.split(", ").nth(1)).collect();
        assert!(
            hashes.len() == 3 && hashes.iter().all(|hash| *hash == hashes[0]),
            "{told}"
        );
    } else {
        let compact = CompactionRequest {
            revision: 250,
            physical: true,
        };
        client.compact(compact).await.expect("the revision exists");
    }
    let mut hashes = Vec::new();
    for member in &cluster.members {
        hashes.push(hash(&cluster, member, last, 250).await.hash);
    }
    assert_eq!(hashes, [hashes[0]; 3], "wherever, and whatever is swept already");

    // What was compacted stays compacted on a node that was killed, and gets what it missed.
    let leader = cluster.leader().await;
    let killed = if leader == 2 { 1 } else { 2 };
    cluster.members[killed].kill();
    let last = write(&cluster, 50).await;
    cluster.members[killed].start(false);
    cluster.leader().await;
    let there = hash(&cluster, &cluster.members[killed], last, 250).await.hash;
    assert_eq!(there, hash(&cluster, &cluster.members[0], last, 250).await.hash);
    let swept = until(&cluster, "the killed node sweeps", async || {
        let status = cluster.members[killed].status().await?;
        (status.swept == 250).then_some(status)
    });
    assert_eq!(swept.await.compacted, 250);
    let mut client = cluster.members[killed].client().await.expect("it listens");
    let past = RangeRequest {
        key: "key 00".into(),
        revision: 200,
        ..RangeRequest::default()
    };
    let refused = client.range(past).await.expect_err("it is compacted");
    assert_eq!(
        refused.message(),
        "etcdserver: mvcc: required revision has been compacted"
    );
    assert_eq!(read_prefix(&mut client, "key").await.count, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_compacts_what_the_settings_do_not_keep() {
    let mut cluster = Cluster::prepare(3, "majority");
    for member in &mut cluster.members {
        member.configure("[compaction]\nmode = \"revisions\"\nkeep = 20\ninterval = \"1s\"\n");
        member.start(true);
    }
    cluster.leader().await;
    let last = write(&cluster, 100).await;
    for member in &cluster.members {
        let status = until(&cluster, "the leader compacts, and the node sweeps", async || {
            let status = member.status().await?;
            (status.swept == last - 20).then_some(status)
        });
        assert_eq!(status.await.compacted, last - 20);
        let page = member.get("/metrics").await.expect("the page");
        for line in [
            format!("synod_compacted_revision {}\n", last - 20),
            format!("synod_swept_revision {}\n", last - 20),
        ] {
            assert!(page.contains(&line), "{line} is missing in\n{page}");
        }
    }
}
