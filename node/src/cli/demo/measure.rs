//! How long clients of each region wait, measured through the etcd API of the node beside them.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic::transport::Endpoint;

use super::plan::{Plan, PlannedNode, PlannedSystem};
use crate::proto::etcdserverpb::{PutRequest, RangeRequest, kv_client::KvClient};

/// Requests before the measured ones, for connections and caches.
const WARM_UP: usize = 3;
const VALUE_BYTES: usize = 256;

/// What clients of one region see.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Whether the node beside them leads.
    pub(super) leads: bool,
    /// Median of the measured writes.
    pub(super) write: Duration,
    /// Median of the measured linearizable reads.
    pub(super) read: Duration,
    /// What the quorum system and the round trips predict for both: a request travels to the leader and back, and there
    /// waits for one round of a phase 2 quorum.
    pub(super) predicted: Duration,
}

/// Measures all regions at once; `done` is called after every request.
pub(super) async fn measure(
    plan: &Plan,
    system: &PlannedSystem,
    leader: &PlannedNode,
    samples: usize,
    done: impl Fn() + Clone + Send + 'static,
) -> Result<Vec<Sample>, String> {
    let commit = plan.commit_cost(system, leader);
    let mut running = JoinSet::new();
    for (position, region) in plan.regions.iter().cloned().enumerate() {
        let node = plan.nearest(&region, leader).clone();
        let predicted = plan.round_trip(&node, leader) + commit;
        let (leads, done) = (node.node == leader.node, done.clone());
        running.spawn(async move {
            let measured = measure_node(&node, samples, done).await;
            let (write, read) = measured.map_err(|reason| format!("node {} ({region}): {reason}", node.node))?;
            Ok::<_, String>((
                position,
                Sample {
                    leads,
                    write,
                    read,
                    predicted,
                },
            ))
        });
    }
    let mut found = Vec::new();
    while let Some(result) = running.join_next().await {
        found.push(result.map_err(|error| format!("a measurement broke off: {error}"))??);
    }
    found.sort_by_key(|(position, _)| *position);
    Ok(found.into_iter().map(|(_, sample)| sample).collect())
}

/// The number of times `done` is called for one region.
pub(super) fn requests_per_region(samples: usize) -> usize {
    2 * (samples + WARM_UP)
}

async fn measure_node(node: &PlannedNode, samples: usize, done: impl Fn()) -> Result<(Duration, Duration), String> {
    let endpoint = format!("http://127.0.0.1:{}", node.clients);
    let sentence = |error: tonic::transport::Error| format!("cannot connect to {endpoint}: {error}");
    let channel = Endpoint::from_shared(endpoint.clone())
        .map_err(sentence)?
        .connect()
        .await
        .map_err(sentence)?;
    let mut client = KvClient::new(channel);
    let key = format!("demo/{}", node.region);
    let mut writes = Vec::new();
    for _ in 0..samples + WARM_UP {
        let put = PutRequest {
            key: key.clone().into(),
            value: vec![b'x'; VALUE_BYTES].into(),
            ..PutRequest::default()
        };
        let start = Instant::now();
        client
            .put(put)
            .await
            .map_err(|status| format!("a write failed: {}", status.message()))?;
        writes.push(start.elapsed());
        done();
    }
    let mut reads = Vec::new();
    for _ in 0..samples + WARM_UP {
        let range = RangeRequest {
            key: key.clone().into(),
            ..RangeRequest::default()
        };
        let start = Instant::now();
        let answer = client
            .range(range)
            .await
            .map_err(|status| format!("a read failed: {}", status.message()))?;
        reads.push(start.elapsed());
        done();
        if answer
            .get_ref()
            .kvs
            .first()
            .is_none_or(|kv| kv.value.len() != VALUE_BYTES)
        {
            return Err(format!("a read did not see the value written to {key}"));
        }
    }
    Ok((median(&mut writes[WARM_UP..]), median(&mut reads[WARM_UP..])))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let ms = Duration::from_millis;
        assert_eq!(median(&mut [ms(9), ms(1), ms(5)]), ms(5));
        assert_eq!(median(&mut []), Duration::ZERO);
    }
}
