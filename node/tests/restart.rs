//! How soon a node with many keys is back after `kill -9`, by the wall clock: run by `./dev restart`, and no part of the gate.
//!
//! Three nodes hold `RESTART_KEYS` keys (a million). A follower is killed as soon as the last one is written, with all that it has
//! not flushed; then the leader; then all three at once. The clock runs from the start of the process to the first answer of that
//! very node, which must have the right value: a serializable read, which shows its own state and no less than it had applied, and a
//! linearizable one, which takes a leader as well. `RESTART_SECONDS` says what the follower's reads and every serializable one
//! may take (2). Processor time is told beside it: on a machine that others use as well, the clock says little.

#[allow(unreachable_pub, reason = "shared between test binaries")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use node::proto::etcdserverpb::kv_client::KvClient;
use node::proto::etcdserverpb::{RangeRequest, RequestOp, TxnRequest, request_op};
use support::{Cluster, Member, put};
use tonic::transport::Channel;

/// Keys in one transaction, and transactions in flight.
const TOGETHER: u64 = 100;
const CLIENTS: u64 = 16;

fn told(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn key(number: u64) -> String {
    format!("restart/{number:012}")
}

/// A hundred bytes that do not compress to nothing.
fn value(number: u64) -> String {
    let mut word = number;
    let mut text = String::new();
    while text.len() < 100 {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text += &format!("{word:016x}");
    }
    text
}

/// Puts the keys from `from` on, many at once.
async fn put_many(client: &mut KvClient<Channel>, from: u64, count: u64) {
    let puts = (from..from + count).map(|number| RequestOp {
        request: Some(request_op::Request::RequestPut(put(&key(number), &value(number)))),
    });
    let txn = TxnRequest {
        success: puts.collect(),
        ..TxnRequest::default()
    };
    client.txn(txn).await.expect("a leader");
}

async fn fill(member: &Member, keys: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let mut writers = Vec::new();
    for _ in 0..CLIENTS {
        let (mut client, next) = (member.client().await.expect("it answers"), next.clone());
        writers.push(tokio::spawn(async move {
            loop {
                let from = next.fetch_add(TOGETHER, Ordering::Relaxed);
                if from >= keys {
                    return;
                }
                put_many(&mut client, from, TOGETHER.min(keys - from)).await;
            }
        }));
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
}

/// Asks the node for a key until it answers with the right value; how long that took since `begin`.
async fn first_read(member: &Member, number: u64, serializable: bool, begin: Instant) -> Duration {
    let request = RangeRequest {
        key: key(number).into(),
        serializable,
        ..RangeRequest::default()
    };
    loop {
        if let Some(mut client) = member.client().await
            && let Ok(answer) = client.range(request.clone()).await
        {
            let took = begin.elapsed();
            let answer = answer.into_inner();
            assert_eq!(answer.kvs.len(), 1, "key {number} is there");
            assert_eq!(answer.kvs[0].value, value(number), "key {number}");
            return took;
        }
        assert!(
            begin.elapsed() < support::PATIENCE,
            "node {} does not answer",
            member.node
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What a process has used of processors so far, in the system's hundredths of a second.
fn processor_time(member: &Member) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", member.pid())).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Kills these nodes, starts them at once, and returns how long the slower one took to each kind of read.
async fn restart(cluster: &mut Cluster, what: &str, victims: &[usize], number: u64) -> [Duration; 2] {
    for victim in victims {
        cluster.members[*victim].kill();
    }
    let begin = Instant::now();
    for victim in victims {
        cluster.members[*victim].start(false);
    }
    let mut slowest = [Duration::ZERO; 2];
    for (slowest, serializable) in slowest.iter_mut().zip([true, false]) {
        let mut reads = Vec::new();
        for victim in victims {
            reads.push(first_read(&cluster.members[*victim], number, serializable, begin));
        }
        for read in reads {
            *slowest = read.await.max(*slowest);
        }
    }
    let used = victims.iter().map(|victim| processor_time(&cluster.members[*victim]));
    println!(
        "{what}: serializable after {:?}, linearizable after {:?}; processor time {:?}",
        slowest[0],
        slowest[1],
        used.collect::<Vec<_>>()
    );
    slowest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures time, for some minutes: ./dev restart"]
async fn a_node_with_many_keys_reads_again_soon_after_kill_9() {
    let keys = told("RESTART_KEYS", 1_000_000);
    let allowed = Duration::from_secs(told("RESTART_SECONDS", 2));
    let mut cluster = Cluster::prepare(3, "majority");
    for member in &mut cluster.members {
        member.start(true);
    }
    let leader = cluster.leader().await;
    let begin = Instant::now();
    fill(&cluster.members[leader], keys).await;
    println!("{keys} keys written in {:?}", begin.elapsed());

    let [serializable, linearizable] = restart(&mut cluster, "a follower", &[(leader + 1) % 3], keys / 3).await;
    let mut judged = vec![serializable, linearizable];
    let all = RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        count_only: true,
        ..RangeRequest::default()
    };
    let mut client = cluster.members[leader].client().await.expect("it answers");
    let count = client.range(all).await.expect("a leader").into_inner().count;
    assert_eq!(count, i64::try_from(keys).expect("a small number"));

    let leader = cluster.leader().await;
    let [serializable, _] = restart(&mut cluster, "the leader", &[leader], keys / 2).await;
    judged.push(serializable);
    cluster.leader().await;
    let [serializable, _] = restart(&mut cluster, "all three", &[0, 1, 2], keys - 1).await;
    judged.push(serializable);
    let worst = judged.into_iter().max().unwrap_or_default();
    assert!(worst <= allowed, "{worst:?}, and {allowed:?} were allowed");
}
