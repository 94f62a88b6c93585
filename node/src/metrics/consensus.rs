//! What the core reports in its events.

use std::sync::Mutex;

use paxos::{Ballot, Event, Time};
use prometheus::{Histogram, IntCounter, IntCounterVec, Registry};

use super::{counters, geo_histograms, registered};

/// Counts the core's events. The driver passes them on.
pub struct ConsensusMetrics {
    phase1: Histogram,
    phase2: Histogram,
    quorum_wait: prometheus::CounterVec,
    elections: IntCounter,
    events: IntCounterVec,
    /// The ballot whose leader this node last heard of.
    ballot: Mutex<Ballot>,
}

impl ConsensusMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(registry: &Registry) -> ConsensusMetrics {
        let phases = geo_histograms(
            registry,
            "synod_phase_duration_seconds",
            "Time to collect a quorum, by phase.",
            &["phase"],
        );
        let changes = counters(
            registry,
            "synod_leader_changes_total",
            "New leaders that this node has seen, by cause.",
            &["cause"],
        );
        changes.with_label_values(&["handoff"]);
        let wait = prometheus::Opts::new(
            "synod_quorum_wait_seconds_total",
            "Time spent waiting for the vote that completed a quorum, by that vote's region.",
        );
        ConsensusMetrics {
            phase1: phases.with_label_values(&["1"]),
            phase2: phases.with_label_values(&["2"]),
            quorum_wait: registered(registry, prometheus::CounterVec::new(wait, &["phase", "last_region"])),
            elections: changes.with_label_values(&["election"]),
            events: counters(
                registry,
                "synod_consensus_events_total",
                "What the core reported: canvasses, candidacies, step-downs, quorums lost, messages for somebody else.",
                &["event"],
            ),
            ballot: Mutex::new(Ballot::ZERO),
        }
    }

    /// Counts a frame of a peer that was no message.
    pub fn garbage(&self) {
        self.events.with_label_values(&["garbage"]).inc();
    }

    /// Counts one event. `region` tells where a node is.
    pub fn record<'a>(&self, event: &Event, now: Time, region: impl Fn(quorum::NodeId) -> &'a str) {
        let name = match event {
            Event::ChosenAt { proposed, last, .. } => {
                let seconds = now.since(*proposed).as_secs_f64();
                self.phase2.observe(seconds);
                self.quorum_wait
                    .with_label_values(&["2", region(*last)])
                    .inc_by(seconds);
                return;
            }
            Event::PhaseOne { took } => {
                self.phase1.observe(took.as_secs_f64());
                return;
            }
            Event::Leading(ballot) | Event::Following(ballot) => {
                let mut last = self.ballot.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if *ballot > *last {
                    *last = *ballot;
                    self.elections.inc();
                }
                return;
            }
            Event::Canvassing => "canvass",
            Event::Preparing(_) => "candidacy",
            Event::SteppedDown { .. } => "step_down",
            Event::HandingOver { .. } => "hand_over_begun",
            Event::HandedOver { .. } => "handed_over",
            Event::HandOverFailed { .. } => "hand_over_failed",
            Event::PrepareWithheld { .. } => "prepare_withheld",
            Event::QuorumLost => "quorum_lost",
            Event::QuorumRegained => "quorum_regained",
            Event::Misaddressed(_) => "misaddressed",
            Event::Rejected { .. } => "rejected",
            Event::Overtaken { .. } => "overtaken",
            Event::OutOfReach { .. } => "out_of_reach",
            Event::SpaceExhausted => "space_exhausted",
            Event::SpaceRegained => "space_regained",
            Event::ReaderLetGo { .. } => "reader_let_go",
            Event::Stalled { .. } => "stalled",
            Event::SnapshotBegun { .. } => "snapshot_begun",
            Event::SnapshotAbandoned { .. } => "snapshot_abandoned",
            Event::ChangeChosen { .. } => "change_chosen",
            Event::ChangeVoid { .. } => "change_void",
            Event::ConfigurationOpened { .. } => "configuration_opened",
            Event::InForce { .. } => "configuration_in_force",
            Event::ConfigurationRetired { .. } => "configuration_retired",
            Event::MayStop { .. } => "may_stop",
            Event::LeftOut { .. } => "left_out",
        };
        self.events.with_label_values(&[name]).inc();
    }
}
