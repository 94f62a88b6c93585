//! A block that rots: whoever meets it first, the node ends. If it is one of the state, the next start fetches a peer's state; if it
//! is one of the journal, there is no next start.

#[allow(unreachable_pub, reason = "shared between test binaries")]
mod support;

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use node::proto::etcdserverpb::RangeRequest;
use support::{Cluster, put};

const KEYS: u64 = 400;

/// The scrub would find it too, by and by.
const SETTINGS: &str = "[scrub]\nbytes_per_second = 0";

fn key(number: u64) -> String {
    format!("key {number:04}")
}

/// Text that does not compress to nothing.
fn value(number: u64, round: u64) -> String {
    let mut word = number << 8 | round;
    let mut text = String::new();
    while text.len() < 500 {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text += &format!("{word:x}");
    }
    text
}

async fn write_all(cluster: &Cluster, through: usize, round: u64) {
    let mut client = cluster.members[through].client().await.expect("it answers");
    for number in 0..KEYS {
        client
            .put(put(&key(number), &value(number, round)))
            .await
            .expect("a leader");
    }
}

/// Spoils every block of rows but the first of each file, and leaves what is read when the folder is opened.
fn rot(folder: &Path) {
    let mut spoilt = 0;
    for file in std::fs::read_dir(folder).expect("the folder") {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "sst") {
            let file = std::fs::File::options().write(true).open(&path).expect("a file");
            let length = file.metadata().expect("a file").len();
            if length < 16 << 10 {
                // Whose folder it is, which is read when it is opened.
                continue;
            }
            for at in (length / 8..length * 3 / 4).step_by(2048) {
                file.write_all_at(&[0x5a; 64], at).expect("writable");
                spoilt += 1;
            }
        }
    }
    assert!(spoilt > 10, "{spoilt} blocks in {}", folder.display());
}

/// Three nodes with the same state, one of which is stopped and spoilt.
async fn spoilt() -> (Cluster, usize) {
    let mut cluster = Cluster::prepare_with(3, "majority", &[], SETTINGS);
    for member in &mut cluster.members {
        member.start(true);
    }
    let leader = cluster.leader().await;
    write_all(&cluster, leader, 1).await;
    cluster.agreement().await;
    let victim = (leader + 1) % 3;
    cluster.members[victim].stop();
    rot(&cluster.members[victim].data().join("state"));
    cluster.members[victim].start(false);
    (cluster, victim)
}

/// It ends with the reason, and comes back with a peer's state.
async fn recovers(mut cluster: Cluster, victim: usize, met: &str) {
    let (code, line) = cluster.members[victim].ended().await;
    assert_eq!(code, Some(1), "{line}");
    assert!(
        line.contains(met) && line.contains("is damaged") && line.contains("fetches a peer's"),
        "{line}"
    );
    cluster.members[victim].start(false);
    let keys = cluster.agreement().await;
    assert_eq!(keys.len() as u64, KEYS);
    assert!(cluster.members[victim].data().join("state.damaged").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_a_spoilt_block_gets_no_answer_and_the_node_gets_a_new_state() {
    let (cluster, victim) = spoilt().await;
    let everything = RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        serializable: true,
        ..RangeRequest::default()
    };
    loop {
        let Some(mut client) = cluster.members[victim].client().await else {
            continue;
        };
        match client.range(everything.clone()).await {
            Ok(answer) => panic!("{} keys were read from a spoilt disk", answer.into_inner().kvs.len()),
            // It has not applied what it had, or this was the read that met it.
            Err(status) if status.message().contains("no state to show") => {}
            Err(status) => break println!("{}", status.message()),
        }
    }
    recovers(cluster, victim, "read for a client").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_needs_a_spoilt_block_ends_the_node_and_it_gets_a_new_state() {
    let (cluster, victim) = spoilt().await;
    write_all(&cluster, (victim + 1) % 3, 2).await;
    recovers(cluster, victim, "the state machine cannot go on").await;
}

/// A6: what a peer's question brings to light is no smaller than what the scrub finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_needs_a_spoilt_slot_ends_the_node_and_no_start_takes_its_journal_for_whole() {
    let mut cluster = Cluster::prepare_with(3, "majority", &[], SETTINGS);
    for member in &mut cluster.members {
        member.start(true);
    }
    let leader = cluster.leader().await;
    let behind = (leader + 1) % 3;
    cluster.members[behind].stop();
    write_all(&cluster, leader, 1).await;
    // Started anew, they hold in memory none of what they have applied.
    let others = [leader, (leader + 2) % 3];
    for other in others {
        cluster.members[other].stop();
    }
    for other in others {
        cluster.members[other].start(false);
    }
    cluster.leader().await;
    for other in others {
        rot(&cluster.members[other].data().join("journal"));
    }
    cluster.members[behind].start(false);
    let begin = std::time::Instant::now();
    let asked = loop {
        assert!(begin.elapsed() < support::PATIENCE, "nobody met it: {}", cluster.logs());
        if let Some(ended) = others.into_iter().find(|other| !cluster.members[*other].is_alive()) {
            break ended;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let (code, line) = cluster.members[asked].ended().await;
    assert_eq!(code, Some(1), "{line}");
    assert!(
        line.contains("read for a peer that is behind") && line.contains("must not vote any more"),
        "{line}"
    );
    cluster.members[asked].start(false);
    let (code, line) = cluster.members[asked].ended().await;
    assert_eq!(code, Some(1), "{line}");
    assert!(line.contains("must not vote"), "{line}");
}
