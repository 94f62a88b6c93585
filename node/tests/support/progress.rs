//! Waiting until something has gone on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Cluster, PATIENCE};

/// Waits until a count of acknowledged writes has grown by so much.
pub async fn wait_for(written: &AtomicU64, more: u64, cluster: &Cluster) {
    let target = written.load(Ordering::Relaxed) + more;
    let begin = Instant::now();
    while written.load(Ordering::Relaxed) < target {
        assert!(
            begin.elapsed() < PATIENCE,
            "no writes for {PATIENCE:?}\n{}",
            cluster.logs()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
