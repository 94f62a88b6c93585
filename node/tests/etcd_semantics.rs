//! The same requests to etcd and to Synod must get the same answers: results, revisions, error codes and error texts.
//!
//! The steps are in `semantics/steps.rs`. What etcd answers to them is recorded in `semantics/answers.txt`, so the
//! comparison runs everywhere; where etcd is installed, the record itself is checked against it. To record anew after
//! adding steps: `SYNOD_RECORD_ANSWERS=1 cargo test --release -p node --test etcd_semantics`.
//!
//! The API is asked twice: over the real state machine without consensus, so that a difference is the API's or the state
//! machine's fault; and at a node of a real cluster that does not lead.

#[path = "semantics/alone.rs"]
mod alone;
#[path = "semantics/compaction.rs"]
mod compaction;
#[path = "semantics/etcd.rs"]
mod etcd;
#[path = "semantics/steps.rs"]
mod steps;
#[allow(unreachable_pub, reason = "other tests share it")]
mod support;

use std::path::Path;

const ANSWERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/semantics/answers.txt");

/// Where Synod differs on purpose, and why.
const DIFFERENCES: [(&str, &str); 3] = [
    (
        "sorted by VERSION NONE",
        "without an order etcd limits before it sorts, so its first three are not the least",
    ),
    ("sorted by MOD NONE", "as above"),
    (
        "the alarms",
        "etcd 3.4 leaves the header out, later versions fill it in",
    ),
];

/// Where a cluster of three differs from one etcd.
const CLUSTER_DIFFERENCES: [(&str, &str); 2] = [
    ("the status", "a follower does not lead"),
    ("the members", "there are three of them"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn synod_answers_as_etcd_does() {
    let node = alone::Node::start().await;
    let answers = steps::run(&node.endpoint).await;
    node.stop().await;
    compare(
        "Synod",
        &DIFFERENCES,
        &answers,
        &std::fs::read_to_string(ANSWERS).expect("the recorded answers are in the repository"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_a_cluster_answers_as_etcd_does() {
    let cluster = support::Cluster::start(3, "majority").await;
    let leader = cluster.leader().await;
    let follower = &cluster.members[(leader + 1) % 3];
    let answers = steps::run(&follower.endpoint()).await;
    let differences = [&DIFFERENCES[..], &CLUSTER_DIFFERENCES].concat();
    compare(
        "a follower",
        &differences,
        &answers,
        &std::fs::read_to_string(ANSWERS).expect("the recorded answers are in the repository"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recorded_answers_are_etcds() {
    let Some(etcd) = etcd::Etcd::start().await else {
        eprintln!("etcd is not installed (Debian: etcd-server); the recorded answers are taken as they are");
        return;
    };
    let answers = steps::run(&etcd.endpoint).await;
    drop(etcd);
    if std::env::var_os("SYNOD_RECORD_ANSWERS").is_some() {
        std::fs::write(Path::new(ANSWERS), &answers).expect("the record can be written");
    }
    compare(
        "etcd",
        &[],
        &answers,
        &std::fs::read_to_string(ANSWERS).expect("the recorded answers are in the repository"),
    );
}

/// Fails with every step whose answer differs though it should not, or should differ and does not.
fn compare(who: &str, known: &[(&str, &str)], answers: &str, recorded: &str) {
    let blocks = |text: &str| {
        text.split("## ")
            .skip(1)
            .map(|block| block.trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    let (answers, recorded) = (blocks(answers), blocks(recorded));
    let mut differences = String::new();
    for (answer, record) in answers.iter().zip(&recorded) {
        let name = answer.lines().next().unwrap_or_default();
        let expected = known.iter().any(|(known, _why)| *known == name);
        if (answer != record) != expected {
            differences += &format!("--- recorded\n{record}\n--- {who}\n{answer}\n\n");
        }
    }
    assert!(
        differences.is_empty(),
        "{who} does not answer as it should:\n{differences}"
    );
    assert_eq!(
        answers.len(),
        recorded.len(),
        "steps were added or removed: record the answers anew"
    );
    assert!(answers.len() > 100, "only {} steps ran", answers.len());
}
