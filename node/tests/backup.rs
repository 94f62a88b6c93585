//! Backup and restore with real processes: saved under load, restored into another cluster.

#[allow(unreachable_pub, reason = "other tests share it")]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use node::proto::etcdserverpb::RangeRequest;
use support::{Cluster, Member, put};

const ETCDCTL: &str = "/usr/bin/etcdctl";

fn synod(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_synod"))
        .args(arguments)
        .output()
        .expect("the binary runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn facts(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", told(output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Every key with its value and its numbers, as they were at `revision`; 0: now.
async fn keys(member: &Member, revision: i64) -> BTreeMap<Vec<u8>, (Vec<u8>, i64, i64, i64)> {
    let mut client = member.client().await.expect("it listens");
    let everything = RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        revision,
        ..RangeRequest::default()
    };
    let answer = client.range(everything).await.expect("a read").into_inner();
    let numbers = answer.kvs.into_iter().map(|kv| {
        let facts = (kv.value.to_vec(), kv.create_revision, kv.mod_revision, kv.version);
        (kv.key.to_vec(), facts)
    });
    numbers.collect()
}

/// Writes until it is told to stop.
fn load(member: &Member, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    let (endpoint, stop) = (member.endpoint(), Arc::clone(stop));
    tokio::spawn(async move {
        let channel = tonic::transport::Channel::from_shared(endpoint).expect("a URL");
        let channel = channel.connect().await.expect("it listens");
        let mut client = node::proto::etcdserverpb::kv_client::KvClient::new(channel);
        let mut number = 0;
        while !stop.load(Ordering::SeqCst) {
            number += 1;
            let put = put(&format!("key {:03}", number % 500), &"x".repeat(number as usize % 3000));
            client.put(put).await.expect("a leader");
        }
        number
    })
}

async fn saved_under_load(cluster: &Cluster, file: &Path) -> (i64, u64) {
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = cluster.members.iter().map(|member| load(member, &stop)).collect();
    let follower = (cluster.leader().await + 1) % 3;
    // So that there is something to save, however fast the test gets here.
    while keys(&cluster.members[follower], 0).await.len() < 500 {
        tokio::task::yield_now().await;
    }
    let endpoints = format!("127.0.0.1:1,127.0.0.1:{}", cluster.members[follower].clients);
    let path = file.to_str().expect("a plain path");
    let save = ["snapshot", "save", path, "--endpoints", &endpoints, "-o", "json"];
    let saved = tokio::task::block_in_place(|| synod(&save));
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        assert!(writer.await.expect("no panic") > 0);
    }
    let saved = facts(&saved);
    let again = facts(&synod(&["snapshot", "status", path, "-o", "json"]));
    assert_eq!(saved, again);
    assert_eq!((&saved["cluster"], &saved["keys"]), (&"test".into(), &500.into()));
    let refused = synod(&save);
    assert!(
        !refused.status.success() && told(&refused).contains("exists already"),
        "{}",
        told(&refused)
    );
    (
        saved["revision"].as_i64().expect("a number"),
        saved["slot"].as_u64().expect("a number"),
    )
}

/// Files that are no snapshots, and folders that are not free.
fn refusals(cluster: &Cluster, file: &Path, restored: &Member, folder: &Path) {
    let bytes = std::fs::read(file).expect("it was saved");
    let settings = restored.settings().to_str().expect("a plain path");
    let bad = cluster.folder.path().join("bad.snap");
    let path = bad.to_str().expect("a plain path");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for (content, reason) in [
        (&bytes[..bytes.len() / 2], "is cut off"),
        (&flipped[..], "damaged"),
        (b"something else altogether", "is not a snapshot of a synod cluster"),
    ] {
        std::fs::write(&bad, content).expect("written");
        for arguments in [
            &["snapshot", "status", path][..],
            &["snapshot", "restore", path, "--settings", settings],
        ] {
            let refused = synod(arguments);
            assert!(
                !refused.status.success() && told(&refused).contains(reason),
                "{}",
                told(&refused)
            );
        }
    }
    assert!(!folder.exists(), "nothing was made of what is no snapshot");
    let path = file.to_str().expect("a plain path");
    let own = cluster.members[0].settings().to_str().expect("a plain path");
    let free = cluster.folder.path().join("free");
    let free = free.to_str().expect("a plain path");
    let refused = synod(&["snapshot", "restore", path, "--settings", own, "--data-dir", free]);
    assert!(told(&refused).contains("Give it another name"), "{}", told(&refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_saved_under_load_is_restored_into_another_cluster() {
    let cluster = Cluster::start(3, "majority").await;
    let file = cluster.folder.path().join("backup.snap");
    let (revision, slot) = saved_under_load(&cluster, &file).await;
    let expected = keys(&cluster.members[0], revision).await;
    assert_eq!(expected.len(), 500);

    let mut other = Cluster::prepare_as("other", 3, "majority");
    let folder = |other: &Cluster, node: u64| other.folder.path().join(format!("data-{node}"));
    refusals(&cluster, &file, &other.members[0], &folder(&other, 1));
    // A restore into the first folder was interrupted: no node starts on it, and the next one makes it.
    for left in ["making/incoming", "state"] {
        std::fs::create_dir_all(folder(&other, 1).join(left)).expect("a folder");
    }
    other.members[0].start(false);
    let (code, reason) = other.members[0].ended().await;
    assert!(
        code == Some(1) && reason.contains("was interrupted"),
        "{code:?} {reason}"
    );
    for member in &mut other.members {
        let settings = member.settings().to_str().expect("a plain path").to_owned();
        let path = file.to_str().expect("a plain path");
        let restore = ["snapshot", "restore", path, "--settings", &settings];
        let restored = synod(&restore);
        assert!(restored.status.success(), "{}", told(&restored));
        let refused = synod(&restore);
        assert!(told(&refused).contains("is not empty"), "{}", told(&refused));
        member.start(false);
    }
    other.leader().await;
    for member in &other.members {
        assert_eq!(keys(member, revision).await, expected);
        let status = member.status().await.expect("it serves");
        assert_eq!(
            (status.cluster.as_str(), status.trimmed >= slot),
            ("other", true),
            "{status:?}"
        );
    }
    let mut client = other.members[2].client().await.expect("it listens");
    let header = client.put(put("new", "1")).await.expect("a leader").into_inner().header;
    assert_eq!(
        header.map(|header| header.revision),
        Some(revision + 1),
        "it goes on where the file ends"
    );
}

/// etcd's tool saves it as well: it looks at the checksum at the end and at nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn etcds_tool_saves_a_snapshot() {
    if !Path::new(ETCDCTL).exists() {
        eprintln!("etcdctl is not installed (Debian: etcd-client)");
        return;
    }
    let cluster = Cluster::start(1, "majority").await;
    let mut client = cluster.members[0].client().await.expect("it listens");
    client.put(put("a", "1")).await.expect("a leader");
    let file = cluster.folder.path().join("by-etcdctl.snap");
    let path = file.to_str().expect("a plain path");
    let saved = Command::new(ETCDCTL)
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &format!("127.0.0.1:{}", cluster.members[0].clients)])
        .args(["snapshot", "save", path])
        .output()
        .expect("etcdctl runs");
    assert!(saved.status.success(), "{}", told(&saved));
    let facts = facts(&synod(&["snapshot", "status", path, "-o", "json"]));
    assert_eq!((&facts["keys"], &facts["revision"]), (&1.into(), &2.into()));
}
