//! A cluster that lost a phase-1 quorum for good, with real processes: what is left of it becomes another cluster.

#[allow(unreachable_pub, reason = "shared between test binaries")]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use node::proto::etcdserverpb::RangeRequest;
use support::{Cluster, Member, put};

fn synod(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_synod"))
        .args(arguments)
        .output()
        .expect("the binary runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

async fn keys(member: &Member) -> BTreeMap<String, String> {
    let mut client = member.client().await.expect("it listens");
    let everything = RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        ..RangeRequest::default()
    };
    let answer = client.range(everything).await.expect("a read").into_inner();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    answer.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect()
}

/// Every file of a folder with its content, but for RocksDB's own notes.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
            files.insert(path.clone(), std::fs::read(&path).expect("readable"));
        }
    }
    files
}

/// Starts another cluster from the file; returns it with its keys, which are the same on all its nodes.
async fn restored(file: &Path) -> (Cluster, BTreeMap<String, String>) {
    let mut other = Cluster::prepare_as("other", 3, "majority");
    for member in &mut other.members {
        let settings = member.settings().to_owned();
        let done = synod(&["snapshot", "restore", text(file), "--settings", text(&settings)]);
        assert!(done.status.success(), "{}", told(&done));
        member.start(false);
    }
    other.leader().await;
    let found = keys(&other.members[0]).await;
    for member in &other.members[1..] {
        assert_eq!(keys(member).await, found);
    }
    (other, found)
}

/// The last node of three: it is behind, and knows of votes that may or may not be chosen.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_disk_of_three_becomes_a_new_cluster_and_what_may_be_lost_is_written_down() {
    let mut cluster = Cluster::start(3, "majority").await;
    let leader = cluster.leader().await;
    let survivor = (leader + 1) % 3;
    let mut client = cluster.members[leader].client().await.expect("it listens");
    for number in 0..300 {
        client
            .put(put(&format!("early/{number}"), "1"))
            .await
            .expect("a leader");
    }
    cluster.agreement().await;
    // Acknowledged without the survivor: nobody will ever know of these.
    cluster.members[survivor].kill();
    for number in 0..20 {
        client
            .put(put(&format!("late/{number}"), "1"))
            .await
            .expect("two of three");
    }
    for member in 0..3 {
        if member != survivor {
            cluster.members[member].kill();
            std::fs::remove_dir_all(cluster.members[member].data()).expect("the folder");
        }
    }
    let (settings, data) = (
        cluster.members[survivor].settings().to_owned(),
        cluster.members[survivor].data(),
    );
    let before = content(&data);
    let file = cluster.folder.path().join("rescued.snap");
    let from = [
        "--settings",
        text(&settings),
        "--from",
        text(&data),
        "--to",
        text(&file),
    ];
    let refused = synod(&[&["recover"], &from[..]].concat());
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        told(&refused).contains("--unsafe") && !file.exists(),
        "{}",
        told(&refused)
    );

    let done = synod(&[&["recover", "--unsafe"], &from[..]].concat());
    println!("{}", told(&done));
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(content(&data), before, "no disk is changed");
    let report = std::fs::read_to_string(cluster.folder.path().join("rescued.snap.report")).expect("a report");
    for part in ["UNSAFE", "They hold no phase-1 quorum", "may be gone", "certain"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(told(&done).contains("UNSAFE") && told(&done).contains(&report));
    let again = synod(&[&["recover", "--unsafe"], &from[..]].concat());
    assert!(told(&again).contains("exists already"), "{}", told(&again));

    let (other, found) = restored(&file).await;
    let early = (0..300).map(|number| (format!("early/{number}"), "1".to_owned()));
    let early: BTreeMap<_, _> = early.collect();
    assert_eq!(found, early, "what the survivor knew, and nothing else");
    let mut client = other.members[1].client().await.expect("it listens");
    client.put(put("new", "1")).await.expect("the new cluster takes writes");
}

/// Two hundred acknowledged keys, and then every node is killed.
async fn write_and_die(cluster: &mut Cluster) -> BTreeMap<String, String> {
    let leader = cluster.leader().await;
    let mut client = cluster.members[leader].client().await.expect("it listens");
    let mut expected = BTreeMap::new();
    for number in 0..200 {
        let key = format!("key/{number}");
        client.put(put(&key, "1")).await.expect("a leader");
        expected.insert(key, "1".to_owned());
    }
    for member in &mut cluster.members {
        member.kill();
    }
    expected
}

/// With a phase-1 quorum of disks nothing that was acknowledged is lost, however old some of them are.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_phase_1_quorum_of_disks_loses_nothing_and_a_cluster_that_can_go_on_is_sent_away() {
    // Two of four elect, three of four choose.
    let mut cluster = Cluster::start(4, "counts 2/3").await;
    let expected = write_and_die(&mut cluster).await;
    let folders: Vec<PathBuf> = cluster.members.iter().map(Member::data).collect();
    let settings = cluster.members[0].settings().to_owned();
    let recover = |from: &[usize], to: &Path| {
        let mut arguments = vec!["recover", "--unsafe", "--settings", text(&settings), "--to", text(to)];
        for member in from {
            arguments.extend(["--from", text(&folders[*member])]);
        }
        synod(&arguments)
    };
    let file = cluster.folder.path().join("rescued.snap");
    let refused = recover(&[0, 1, 2], &file);
    assert!(
        told(&refused).contains("Start their nodes") && !file.exists(),
        "{}",
        told(&refused)
    );
    let refused = recover(&[0, 0], &file);
    assert!(told(&refused).contains("a second disk of node 1"), "{}", told(&refused));
    for pair in [[0, 1], [2, 3]] {
        let file = cluster.folder.path().join(format!("rescued-{}.snap", pair[0]));
        let done = recover(&pair, &file);
        assert!(done.status.success(), "{}", told(&done));
        assert!(told(&done).contains("They hold a phase-1 quorum"), "{}", told(&done));
        assert!(!told(&done).contains("LOST"), "{}", told(&done));
        let (_other, found) = restored(&file).await;
        assert_eq!(found, expected, "{}", told(&done));
    }
}

/// The settings tell what the cluster was founded with. Its quorums are those that the disks have recorded since.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_change_of_quorums_the_disks_are_judged_by_the_new_ones() {
    let mut cluster = Cluster::start(3, "majority").await;
    let endpoint = format!("127.0.0.1:{}", cluster.members[0].http);
    // One of three elects, all three choose.
    let changed = Command::new(env!("CARGO_BIN_EXE_synod"))
        .args(["quorum", "apply", "--system", "counts 1/3", "--patience", "60s"])
        .current_dir(cluster.folder.path())
        .env("SYNOD_ENDPOINTS", endpoint)
        .output()
        .expect("the binary runs");
    assert!(changed.status.success(), "{}\n{}", told(&changed), cluster.logs());
    let expected = write_and_die(&mut cluster).await;
    let folders: Vec<PathBuf> = cluster.members.iter().map(Member::data).collect();
    let settings = cluster.members[0].settings().to_owned();
    // Two of three are enough for the settings, and would choose nothing.
    for from in [&[1][..], &[0, 2]] {
        let file = cluster.folder.path().join(format!("rescued-{}.snap", from[0]));
        let mut arguments = vec![
            "recover",
            "--unsafe",
            "--settings",
            text(&settings),
            "--to",
            text(&file),
        ];
        for member in from {
            arguments.extend(["--from", text(&folders[*member])]);
        }
        let done = synod(&arguments);
        assert!(done.status.success(), "{}", told(&done));
        for part in [
            "Configurations, as the disks have them",
            "epoch 2",
            "They hold a phase-1 quorum",
        ] {
            assert!(told(&done).contains(part), "{part}: {}", told(&done));
        }
        assert!(!told(&done).contains("LOST"), "{}", told(&done));
        let (_other, found) = restored(&file).await;
        assert_eq!(found, expected, "{}", told(&done));
    }
}
