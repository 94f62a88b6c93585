//! Clients that write steadily and remember what was acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use node::proto::etcdserverpb::kv_client::KvClient;
use tokio::task::JoinHandle;

use super::{Cluster, progress, put};

/// Clients that run.
pub struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<BTreeMap<String, String>>>,
}

impl Writers {
    /// Starts so many clients; each writes one new key after another, with `padding` bytes in its value, through any node
    /// that answers.
    pub fn start(cluster: &Cluster, count: usize, padding: usize) -> Writers {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let endpoints: Vec<String> = cluster.members.iter().map(super::Member::endpoint).collect();
        let tasks = (0..count)
            .map(|client| {
                let (stop, written) = (stop.clone(), written.clone());
                tokio::spawn(write(endpoints.clone(), client, padding, stop, written))
            })
            .collect();
        Writers { stop, written, tasks }
    }

    /// Waits until so many more writes are acknowledged.
    pub async fn wait_for(&self, cluster: &Cluster, count: u64) {
        progress::wait_for(&self.written, count, cluster).await;
    }

    /// Ends them; returns everything that was acknowledged.
    pub async fn stop(self) -> BTreeMap<String, String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = BTreeMap::new();
        for task in self.tasks {
            acknowledged.extend(task.await.expect("the writer does not panic"));
        }
        acknowledged
    }
}

async fn write(
    endpoints: Vec<String>,
    client: usize,
    padding: usize,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
) -> BTreeMap<String, String> {
    let mut clients = Vec::new();
    for endpoint in &endpoints {
        let channel = tonic::transport::Channel::from_shared(endpoint.clone())
            .expect("a URL")
            .connect_lazy();
        clients.push(KvClient::new(channel));
    }
    let mut acknowledged = BTreeMap::new();
    let mut at = client % clients.len();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let (key, value) = (
            format!("w/{client}/{count:08}"),
            format!("v{count}{}", "-".repeat(padding)),
        );
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

/// Every acknowledged write is among what is there.
pub fn assert_all_there(acknowledged: &BTreeMap<String, String>, content: &[(Vec<u8>, Vec<u8>, i64)], logs: &str) {
    let found: BTreeMap<&[u8], &[u8]> = content.iter().map(|(key, value, _)| (&key[..], &value[..])).collect();
    for (key, value) in acknowledged {
        assert_eq!(
            found.get(key.as_bytes()),
            Some(&value.as_bytes()),
            "acknowledged, and not there: {key}\n{logs}"
        );
    }
}
