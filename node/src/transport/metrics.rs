//! What this room tells Prometheus. Registered on a registry that is passed in; every label value that can be known
//! beforehand exists from the start, so a rate over it is defined before the first event.

use prometheus::{
    GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, GenericGauge},
};
use quorum::NodeId;

use super::{Class, refusal::Rejection, wire::WireError};

/// Why a frame was dropped instead of sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drop {
    /// The queue is full: the peer, or the way to it, is slower than we send.
    Full,
    /// There is no connection.
    Disconnected,
    /// The frame is longer than any frame may be.
    TooLong,
}

impl Drop {
    const ALL: [Drop; 3] = [Drop::Full, Drop::Disconnected, Drop::TooLong];

    const fn reason(self) -> &'static str {
        match self {
            Drop::Full => "full",
            Drop::Disconnected => "disconnected",
            Drop::TooLong => "too_long",
        }
    }
}

/// The transport's metrics, all peers together.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    up: IntGaugeVec,
    rtt: GaugeVec,
    mtu: IntGaugeVec,
    lost: IntCounterVec,
    sent: IntCounterVec,
    received: IntCounterVec,
    dropped: IntCounterVec,
    reconnects: IntCounterVec,
    rejections: IntCounterVec,
    decode_errors: IntCounterVec,
    expiry: IntGaugeVec,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            up: gauge(
                registry,
                "synod_peer_up",
                "1 while this node can send to the peer.",
                &["peer"],
            )?,
            rtt: {
                let opts = Opts::new(
                    "synod_peer_rtt_seconds",
                    "Smoothed round trip to the peer; 0 while unknown.",
                );
                register(registry, GaugeVec::new(opts, &["peer"])?)?
            },
            mtu: gauge(
                registry,
                "synod_peer_mtu_bytes",
                "Largest UDP payload that reaches the peer.",
                &["peer"],
            )?,
            lost: counter(
                registry,
                "synod_peer_lost_packets_total",
                "Packets to the peer that were lost.",
                &["peer"],
            )?,
            sent: counter(
                registry,
                "synod_peer_sent_bytes_total",
                "Bytes handed to QUIC for the peer, frame headers included.",
                &["peer", "class"],
            )?,
            received: counter(
                registry,
                "synod_peer_received_bytes_total",
                "Bytes received from the peer, frame headers included.",
                &["peer", "class"],
            )?,
            dropped: counter(
                registry,
                "synod_peer_dropped_frames_total",
                "Frames for the peer that were dropped instead of sent.",
                &["peer", "class", "reason"],
            )?,
            reconnects: counter(
                registry,
                "synod_peer_reconnects_total",
                "Connections made to the peer after the first.",
                &["peer"],
            )?,
            rejections: counter(
                registry,
                "synod_peer_rejections_total",
                "Connections refused, by this node or to it.",
                &["reason"],
            )?,
            decode_errors: counter(
                registry,
                "synod_peer_decode_errors_total",
                "Connections closed because an authenticated peer sent bytes that make no sense.",
                &["reason"],
            )?,
            expiry: gauge(
                registry,
                "synod_tls_certificate_expiry_timestamp_seconds",
                "When the certificate ends, in seconds since 1970.",
                &["cert"],
            )?,
        };
        for reason in Rejection::REASONS {
            metrics.rejections.with_label_values(&[reason]);
        }
        for reason in WireError::REASONS {
            metrics.decode_errors.with_label_values(&[reason]);
        }
        Ok(metrics)
    }

    pub(super) fn rejected(&self, rejection: &Rejection) {
        self.rejections.with_label_values(&[rejection.reason()]).inc();
    }

    pub(super) fn decode_error(&self, error: &WireError) {
        self.decode_errors.with_label_values(&[error.reason()]).inc();
    }

    pub(super) fn expiry(&self, expiry: super::tls::Expiry) {
        self.expiry.with_label_values(&["node"]).set(expiry.node);
        self.expiry.with_label_values(&["ca"]).set(expiry.ca);
    }

    pub(super) fn peer(&self, peer: NodeId) -> PeerMetrics {
        let peer = peer.0.to_string();
        let of_class = |vec: &IntCounterVec| Class::ALL.map(|class| vec.with_label_values(&[&*peer, class.name()]));
        PeerMetrics {
            up: self.up.with_label_values(&[&peer]),
            rtt: self.rtt.with_label_values(&[&peer]),
            mtu: self.mtu.with_label_values(&[&peer]),
            lost: self.lost.with_label_values(&[&peer]),
            sent: of_class(&self.sent),
            received: of_class(&self.received),
            dropped: Class::ALL.map(|class| {
                Drop::ALL.map(|drop| self.dropped.with_label_values(&[&*peer, class.name(), drop.reason()]))
            }),
            reconnects: self.reconnects.with_label_values(&[&peer]),
        }
    }
}

/// One peer's metrics, resolved once so that the hot path only adds.
#[derive(Clone, Debug)]
pub(super) struct PeerMetrics {
    pub(super) up: IntGauge,
    pub(super) rtt: GenericGauge<prometheus::core::AtomicF64>,
    pub(super) mtu: IntGauge,
    pub(super) lost: IntCounter,
    sent: [IntCounter; 3],
    received: [IntCounter; 3],
    dropped: [[IntCounter; 3]; 3],
    pub(super) reconnects: IntCounter,
}

impl PeerMetrics {
    pub(super) fn sent(&self, class: Class, bytes: u64) {
        self.sent[class.index()].inc_by(bytes);
    }

    pub(super) fn received(&self, class: Class, bytes: u64) {
        self.received[class.index()].inc_by(bytes);
    }

    pub(super) fn dropped(&self, class: Class, drop: Drop, frames: u64) {
        self.dropped[class.index()][drop as usize].inc_by(frames);
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}
