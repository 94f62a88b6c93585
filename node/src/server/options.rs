//! From settings to what the core is told.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use paxos::{Address, Options};

use super::Failure;
use crate::settings::Settings;
use crate::status::NodeStatus;

/// A number that nobody else draws, for all practical purposes.
pub(super) fn draw() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Microseconds since 1970, by a clock that may be wrong.
pub(super) fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX / 2)
}

/// A registry that already holds what the process itself says: memory, CPU time, open files.
pub(super) fn registry() -> prometheus::Registry {
    let registry = prometheus::Registry::new();
    let process = prometheus::process_collector::ProcessCollector::for_self();
    registry
        .register(Box::new(process))
        .expect("an empty registry takes it");
    registry
}

/// This node in this life of its disk.
pub(super) fn address(settings: &Settings) -> Result<Address, Failure> {
    let member = settings.member().ok_or_else(|| {
        Failure(format!(
            "node {} is not among the members of the configuration",
            settings.node
        ))
    })?;
    Ok(Address {
        node: member.node,
        incarnation: member.incarnation,
    })
}

pub(super) fn options(settings: &Settings, address: Address, boot: u64) -> Options {
    let (timing, limits) = (&settings.timing, &settings.limits);
    Options {
        cluster: settings.cluster_id(),
        address,
        boot,
        genesis: settings.genesis.clone(),
        introduced: settings.introduced.clone(),
        heartbeat_interval: timing.heartbeat_interval,
        election_timeout: timing.election_timeout,
        reluctance: settings.reluctance,
        lease: settings.lease,
        hand_back: settings.hand_back,
        max_batch_bytes: limits.max_batch_bytes,
        max_inflight_bytes: limits.max_inflight_bytes,
        batch_interval: timing.batch_interval,
        eager_slots: limits.eager_slots,
        max_queued: limits.max_queued,
        max_queued_bytes: limits.max_queued_bytes,
        cache_bytes: limits.cache_bytes,
        keep_slots: limits.keep_slots,
        max_log_slots: limits.max_log_slots,
        max_log_bytes: limits.max_log_bytes as u64,
        trim_step: 512,
        page_bytes: 1 << 20,
    }
}

/// What the status says from start to end.
pub(super) fn fixed_status(settings: &Settings) -> NodeStatus {
    let member = settings.member();
    NodeStatus {
        genesis: Some(settings.genesis.proposal().clone()),
        cluster: settings.cluster.clone(),
        cluster_id: settings.cluster_id().0,
        node: settings.node.0,
        name: member.map(|member| member.name.clone()).unwrap_or_default(),
        region: member.map(|member| member.region.clone()).unwrap_or_default(),
        zone: member.map(|member| member.zone.clone()).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..NodeStatus::default()
    }
}
