//! Whole nodes that die and disks that fail, under writing clients: what was acknowledged is there at the end, and all nodes
//! hold the same. `CRASH_CYCLES` says how often nodes are killed (`./dev crash`).

#[path = "../../storage/faulty-disk/client.rs"]
mod faulty_disk;
#[allow(unreachable_pub, reason = "shared between test binaries")]
mod support;

use std::time::Duration;

use faulty_disk::FaultyDisk;
use support::Cluster;
use support::writer::{Writers, assert_all_there};

/// How often nodes are killed unless told otherwise.
const KILLS: u64 = 20;

fn kills() -> u64 {
    std::env::var("CRASH_CYCLES").map_or(KILLS, |text| text.parse().expect("a number"))
}

/// splitmix64.
fn below(seed: &mut u64, limit: u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % limit
}

/// Puts a node's data on a disk.
fn place(cluster: &mut Cluster, index: usize, disk: &FaultyDisk) {
    let folder = disk.folder().join("data").display().to_string();
    cluster.members[index].arguments = vec!["--data-dir".to_owned(), folder];
}

/// Kills random nodes under load, one, two or all three at once; with disks, what they had not synced is gone.
async fn kill_and_compare(mut disks: Vec<FaultyDisk>, mut cluster: Cluster) {
    for member in &mut cluster.members {
        member.start(true);
    }
    cluster.leader().await;
    let writers = Writers::start(&cluster, 4, 20);
    let (mut seed, mut dropped) = (1, 0);
    for round in 0..kills() {
        writers.wait_for(&cluster, 1 + below(&mut seed, 200)).await;
        let count = [1, 1, 1, 2, 3][below(&mut seed, 5) as usize];
        let first = below(&mut seed, 3) as usize;
        let victims: Vec<usize> = (0..count).map(|victim| (first + victim) % 3).collect();
        for victim in &victims {
            cluster.members[*victim].kill();
            if let Some(disk) = disks.get_mut(*victim) {
                let way = if below(&mut seed, 2) == 0 {
                    "all".to_owned()
                } else {
                    format!("tail {round}")
                };
                dropped += FaultyDisk::count(&disk.order(&format!("forget {way}")), "writes");
            }
        }
        // Some stay away for a while, some come back at once, perhaps before the others have noticed.
        tokio::time::sleep(Duration::from_millis(below(&mut seed, 3) * 200)).await;
        for victim in &victims {
            cluster.members[*victim].start(false);
        }
    }
    writers.wait_for(&cluster, 10).await;
    let acknowledged = writers.stop().await;
    let content = cluster.agreement().await;
    assert_all_there(&acknowledged, &content, &cluster.logs());
    println!(
        "{} kills, {} puts acknowledged, {} keys on every node, {dropped} unsynced writes dropped; lost: 0",
        kills(),
        acknowledged.len(),
        content.len()
    );
    assert!(disks.is_empty() || dropped > 0, "the disks forgot something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cluster_acknowledged_survives_kill_9_of_any_nodes() {
    kill_and_compare(Vec::new(), Cluster::prepare(3, "majority")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cluster_acknowledged_survives_power_cuts_of_any_nodes() {
    let mut cluster = Cluster::prepare(3, "majority");
    let mut disks = Vec::new();
    for index in 0..3 {
        let Some(disk) = FaultyDisk::mount(env!("CARGO"), None) else {
            return;
        };
        place(&mut cluster, index, &disk);
        disks.push(disk);
    }
    kill_and_compare(disks, cluster).await;
}

/// A5: whatever the disk refuses, the node ends at once, says why in its last line, and comes back once the disk is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_disk_ends_the_node_at_once_and_loses_nothing() {
    let Some(mut disk) = FaultyDisk::mount(env!("CARGO"), None) else {
        return;
    };
    let mut cluster = Cluster::prepare(3, "majority");
    place(&mut cluster, 0, &disk);
    for member in &mut cluster.members {
        member.start(true);
    }
    cluster.leader().await;
    // Large values, so that the state is flushed soon.
    let writers = Writers::start(&cluster, 4, 100_000);
    for (fault, failed) in [
        ("fail sync journal/0*.log 3 1 5", "the journal failed"),
        ("fail write journal/0*.log 3 1 5", "the journal failed"),
        ("fail write journal/0*.log 3 1 28", "the journal failed"),
        ("fail sync state/0*.sst 0 * 5", "the state"),
        ("fail write state/0*.sst 0 * 5", "the state"),
    ] {
        writers.wait_for(&cluster, 20).await;
        disk.order(fault);
        let (code, last) = cluster.members[0].ended().await;
        println!("{fault}: exit code {code:?}, \"{last}\"");
        assert_eq!(code, Some(1), "{fault}");
        assert!(
            last.starts_with("synod start: ") && last.contains(failed),
            "{fault}: {last}"
        );
        disk.order("heal");
        disk.order("forget all");
        cluster.members[0].start(false);
    }
    writers.wait_for(&cluster, 20).await;
    let acknowledged = writers.stop().await;
    let content = cluster.agreement().await;
    assert_all_there(&acknowledged, &content, &cluster.logs());
    println!("{} puts acknowledged and found on every node", acknowledged.len());
}

/// A put through one node; the code and the text of what it answers.
async fn put_through(cluster: &Cluster, index: usize, key: &str) -> Result<(), (tonic::Code, String)> {
    let mut client = cluster.members[index].client().await.expect("the node answers");
    let put = client.put(support::put(key, "x")).await;
    put.map(|_| ())
        .map_err(|status| (status.code(), status.message().to_owned()))
}

/// Waits until a page of the node says, or no longer says, some text.
async fn page_says(cluster: &Cluster, index: usize, page: &str, text: &str, says: bool) {
    let begin = std::time::Instant::now();
    loop {
        let body = cluster.members[index].get(page).await.unwrap_or_default();
        if !body.is_empty() && body.contains(text) == says {
            return;
        }
        assert!(begin.elapsed() < support::PATIENCE, "{page}: {body}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_runs_out_of_room_says_so_and_recovers_by_itself() {
    use node::proto::etcdserverpb::maintenance_client::MaintenanceClient;
    use node::proto::etcdserverpb::{AlarmRequest, AlarmType};

    let Some(mut disk) = FaultyDisk::mount(env!("CARGO"), None) else {
        return;
    };
    let mut cluster = Cluster::prepare(3, "majority");
    place(&mut cluster, 0, &disk);
    cluster.members[0]
        .arguments
        .extend(["--set".to_owned(), "storage.reserve_bytes=64MiB".to_owned()]);
    for member in &mut cluster.members {
        member.start(true);
    }
    cluster.leader().await;
    assert_eq!(put_through(&cluster, 0, "before").await, Ok(()));

    let used = FaultyDisk::count(&disk.order("count"), "used");
    disk.order(&format!("space {}", used + (32 << 20)));
    page_says(&cluster, 0, "/readyz", "alarm NOSPACE", true).await;
    page_says(&cluster, 0, "/metrics", "synod_alarm{alarm=\"NOSPACE\"} 1", true).await;
    page_says(&cluster, 0, "/v1/status", "\"enough\":false", true).await;
    let refused = (
        tonic::Code::ResourceExhausted,
        "etcdserver: mvcc: database space exceeded".to_owned(),
    );
    assert_eq!(put_through(&cluster, 0, "full").await, Err(refused));
    let endpoint = cluster.members[0].endpoint();
    let channel = tonic::transport::Channel::from_shared(endpoint.clone())
        .expect("a URL")
        .connect_lazy();
    let mut maintenance = MaintenanceClient::new(channel);
    let alarms = maintenance
        .alarm(AlarmRequest::default())
        .await
        .expect("a list")
        .into_inner()
        .alarms;
    let listed: Vec<_> = alarms.iter().map(|alarm| (alarm.member_id, alarm.alarm())).collect();
    assert_eq!(listed, [(1, AlarmType::Nospace)]);
    if let Ok(listed) = std::process::Command::new("etcdctl")
        .args(["--endpoints", &endpoint, "alarm", "list"])
        .output()
    {
        assert_eq!(
            String::from_utf8_lossy(&listed.stdout).trim(),
            "memberID:1 alarm:NOSPACE"
        );
    }
    // The others have room, and their clients notice nothing.
    assert_eq!(put_through(&cluster, 1, "others").await, Ok(()));

    disk.order("space 17179869184");
    page_says(&cluster, 0, "/readyz", "ok", true).await;
    page_says(&cluster, 0, "/metrics", "synod_alarm{alarm=\"NOSPACE\"} 0", true).await;
    assert_eq!(put_through(&cluster, 0, "after").await, Ok(()));
    let keys: Vec<_> = cluster.agreement().await.into_iter().map(|(key, _, _)| key).collect();
    assert_eq!(keys, [&b"after"[..], b"before", b"others"]);
}

/// A disk that hangs holds up its own node, not the cluster; what it held is done when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_go_on_while_the_leaders_disk_hangs() {
    let mut disks = Vec::new();
    let mut cluster = Cluster::prepare(3, "majority");
    for index in 0..3 {
        let Some(disk) = FaultyDisk::mount(env!("CARGO"), None) else {
            return;
        };
        place(&mut cluster, index, &disk);
        disks.push(disk);
    }
    for member in &mut cluster.members {
        member.start(true);
    }
    let leader = cluster.leader().await;
    let writers = Writers::start(&cluster, 4, 20);
    writers.wait_for(&cluster, 20).await;
    disks[leader].order("delay sync journal/ 600000");
    let hung = std::time::Instant::now();
    writers.wait_for(&cluster, 200).await;
    println!(
        "200 puts acknowledged within {:?} while the leader's disk hung",
        hung.elapsed()
    );
    disks[leader].order("heal");
    writers.wait_for(&cluster, 20).await;
    let acknowledged = writers.stop().await;
    let content = cluster.agreement().await;
    assert_all_there(&acknowledged, &content, &cluster.logs());
}
