//! Certificates that were renewed while the node ran.

use prometheus::{IntCounter, IntGauge, Registry};

use super::{counters, gauge};

/// Counts changes of the certificate's files.
pub struct RenewalMetrics {
    ok: IntCounter,
    failed: IntCounter,
    stale: IntGauge,
}

impl RenewalMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(registry: &Registry) -> RenewalMetrics {
        let renewals = counters(
            registry,
            "synod_tls_renewals_total",
            "Changes of the certificate's files while the node ran: taken up, or of no use, so that the old certificate stays.",
            &["result"],
        );
        RenewalMetrics {
            ok: renewals.with_label_values(&["ok"]),
            failed: renewals.with_label_values(&["fail"]),
            stale: gauge(
                registry,
                "synod_tls_certificate_stale",
                "Whether the certificate's files have changed and cannot be used: a restart would fail.",
            ),
        }
    }

    /// The files have changed, and are in use now or of no use.
    pub fn changed(&self, usable: bool) {
        if usable { &self.ok } else { &self.failed }.inc();
        self.stale.set(i64::from(!usable));
    }
}
