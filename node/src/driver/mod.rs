//! # The driver: the core's hands
//!
//! One task owns the [`Replica`]. It feeds it whatever happened (frames from peers, requests of clients, completions of
//! the journal and the applier, time) and does what it says, in the order in which it says it. It decides nothing: a
//! driver that needs an `if` about ballots is in the wrong room.
//!
//! ```text
//! peers ─▶ frames ─┐                        ┌─▶ Write ─▶ journal thread ─▶ releases messages, Persisted
//! clients ─▶ desk ─┼─▶ step … step ─ drain ─┼─▶ Send  ─▶ transport
//! journal, applier ┘                        ├─▶ Apply ─▶ applier thread ─▶ answers clients, Applied
//! snapshots' threads                        ├─▶ ReadSnapshot, StageSnapshot ─▶ snapshots' threads ─▶ SnapshotRead, SnapshotStaged
//!                                           └─▶ Answer, Load, Trim, InstallSnapshot (the node starts anew), Event
//! ```
//!
//! Everything at hand is stepped before anything is drained: commands, acknowledgements and reads that arrived together
//! leave together, so batches grow with the load by themselves.
//!
//! Not here: fsync and applying, which block and so have threads of their own; retries; anything about the protocol.

mod applier;
mod contacts;
mod happening;
mod old;
mod outbound;
mod publish;

use std::sync::Arc;
use std::time::Duration;

use paxos::{Event, Input, Output, Replica, Slot, Time, Write};
use storage::journal::Journal;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{debug, info, warn};

pub use applier::{Applier, Stopped};
pub use contacts::Contacts;
pub use happening::Happening;
pub use outbound::Outbound;
pub use publish::Publisher;

use crate::clock::Clock;
use crate::guard::JournalGuard;
use crate::metrics::ConsensusMetrics;
use crate::requests::Waiters;
use crate::snapshots::Snapshots;
use crate::transport::Transport;

/// Most inputs stepped before the outputs are drained: bounds how long anything waits for the drain.
const MAX_STEPS: usize = 2048;

/// How often round trips are passed on and the status is published without a special reason.
const ROUTINE: Duration = Duration::from_millis(250);

/// The parts that a driver moves.
pub struct Driver {
    /// The core.
    pub replica: Replica,
    /// Makes records durable.
    pub journal: Arc<Journal>,
    /// Hears of a journal that is not whole.
    pub journal_guard: JournalGuard,
    /// Applies chosen entries.
    pub applier: Applier,
    /// Takes messages to peers.
    pub outbound: Outbound,
    /// The same transport, for its round trips.
    pub transport: Transport,
    /// Whom the transport talks to.
    pub contacts: Contacts,
    /// What happened elsewhere in the node.
    pub happenings: mpsc::Receiver<Happening>,
    /// Where completions go that this driver causes.
    pub loopback: mpsc::Sender<Happening>,
    /// What clients want.
    pub requests: mpsc::Receiver<Input>,
    /// Who waits for answers.
    pub waiters: Arc<Waiters>,
    /// Tells the rest of the node how things are.
    pub publisher: Publisher,
    /// Counts what the core reports.
    pub metrics: ConsensusMetrics,
    /// The node's clock.
    pub clock: Clock,
    /// Serves and fetches copies of the state. Comes behind `happenings`: its threads end when nobody listens any more.
    pub snapshots: Snapshots,
}

/// Why a driver ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It was told to.
    Stopped,
    /// A peer's state of this slot is staged and takes the place of this node's when the data folder is opened again.
    Install(Slot),
}

impl Driver {
    /// Runs until `stop` turns true.
    ///
    /// # Errors
    /// A sentence, if the journal failed: the node must stop, because it can promise nothing any more (A5).
    pub async fn run(mut self, stop: watch::Receiver<bool>) -> Result<Ending, String> {
        let ended = self.turn(stop).await;
        tokio::task::block_in_place(|| self.end());
        ended
    }

    /// Ends the threads that hold the state: nothing else may hold the data folder when it is opened again.
    fn end(self) {
        drop(self.happenings);
        drop(self.snapshots);
        self.applier.finish();
    }

    async fn turn(&mut self, mut stop: watch::Receiver<bool>) -> Result<Ending, String> {
        let mut routine = interval(ROUTINE);
        routine.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut happenings = Vec::with_capacity(MAX_STEPS);
        let mut requests = Vec::with_capacity(MAX_STEPS);
        if let Some(slot) = self.drain()? {
            return Ok(Ending::Install(slot));
        }
        loop {
            let wake = self.wake();
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(Ending::Stopped),
                count = self.happenings.recv_many(&mut happenings, MAX_STEPS) => {
                    if count == 0 {
                        return Ok(Ending::Stopped);
                    }
                }
                count = self.requests.recv_many(&mut requests, MAX_STEPS) => {
                    if count == 0 {
                        return Ok(Ending::Stopped);
                    }
                }
                _ = routine.tick() => self.routine(),
                () = sleep_until(wake) => {}
            }
            // Whatever else is at hand goes into the same batch.
            while happenings.len() < MAX_STEPS
                && let Ok(happening) = self.happenings.try_recv()
            {
                happenings.push(happening);
            }
            while requests.len() < MAX_STEPS
                && let Ok(request) = self.requests.try_recv()
            {
                requests.push(request);
            }
            let now = self.clock.now();
            for happening in happenings.drain(..) {
                self.happened(now, happening);
            }
            for request in requests.drain(..) {
                self.replica.step(now, request);
            }
            if self.replica.deadline().0 <= now {
                self.replica.step(now, Input::Tick);
            }
            if let Some(slot) = self.drain()? {
                return Ok(Ending::Install(slot));
            }
        }
    }

    /// When to wake although nothing happens.
    fn wake(&self) -> Instant {
        let (at, _) = self.replica.deadline();
        self.clock
            .instant(at)
            .map_or_else(|| Instant::now() + Duration::from_secs(3600), Instant::from_std)
    }

    fn happened(&mut self, now: Time, happening: Happening) {
        match happening {
            Happening::Input(input) => self.replica.step(now, input),
            Happening::Frames(inbound) => {
                for frame in inbound.frames {
                    match happening::decode(inbound.from, frame) {
                        Ok(envelope) => self.replica.step(now, Input::Receive(envelope)),
                        Err(garbage) => {
                            self.metrics.garbage();
                            warn!(peer = %inbound.from, reason = %garbage, "a peer sent a frame that is no message");
                        }
                    }
                }
            }
        }
    }

    /// Does what the core says until it says nothing more; returns the slot of a staged state that is to be installed.
    fn drain(&mut self) -> Result<Option<Slot>, String> {
        let mut install = None;
        let mut writes: Vec<Write> = Vec::new();
        while let Some(output) = self.replica.next_output() {
            match output {
                Output::Write(write) => writes.push(write),
                Output::Send(envelope) => self.outbound.send(&envelope),
                Output::Apply(entry) => self.applier.apply(entry)?,
                Output::Answer(id, outcome) => self.waiters.outcome(id, outcome),
                Output::Load {
                    peer,
                    from,
                    to,
                    max_bytes,
                } => self.load(peer, from, to, max_bytes),
                Output::ReadSnapshot {
                    peer,
                    snapshot,
                    from,
                    count,
                } => self.snapshots.read(peer, snapshot, from, count),
                Output::StageSnapshot {
                    snapshot,
                    number,
                    last,
                    payload,
                } => self.snapshots.stage(snapshot, number, last, payload),
                Output::InstallSnapshot { slot } => install = Some(slot),
                Output::Trim(slot) => self.journal.trim(slot),
                Output::Event(event) => self.tell(event),
            }
        }
        if !writes.is_empty() {
            self.journal.submit(writes).map_err(|error| error.to_string())?;
        }
        Ok(install)
    }

    /// Reads old slots for a peer, off the loop.
    fn load(&self, peer: paxos::Address, from: Slot, to: Slot, max_bytes: usize) {
        let (journal, guard, loopback) = (self.journal.clone(), self.journal_guard.clone(), self.loopback.clone());
        tokio::task::spawn_blocking(move || {
            if let Some(values) = old::load(&journal, &guard, from, to, max_bytes) {
                // A closed channel is a node that stops.
                let _ = loopback.blocking_send(Happening::Input(Input::Loaded { peer, from, values }));
            }
        });
    }

    /// Now and then: passes on what the transport measured, and says how things are.
    fn routine(&mut self) {
        let now = self.clock.now();
        let nodes: Vec<_> = self
            .replica
            .configuration()
            .members()
            .iter()
            .map(|member| member.node)
            .collect();
        for node in nodes {
            if let Some(round_trip) = self.transport.round_trip(node) {
                self.replica.step(now, Input::RoundTrip { node, round_trip });
            }
        }
        self.contacts.follow(now, &self.replica, &self.transport);
        self.publish();
    }

    fn publish(&self) {
        let unwritten = self.journal.queued_bytes();
        self.publisher.publish(&self.replica, &self.transport, unwritten);
    }

    fn tell(&mut self, event: Event) {
        let configuration = self.replica.configuration();
        let region = |node| configuration.member(node).map_or("", |member| member.region.as_str());
        self.metrics.record(&event, self.clock.now(), region);
        self.waiters.hand_overs.tell(&event);
        match &event {
            Event::ChosenAt { .. } | Event::PhaseOne { .. } => return,
            Event::Misaddressed(from) => debug!(from = %from.node, "a message was not for this node as it is now"),
            Event::Canvassing => info!("asking the others whether they miss the leader too"),
            Event::Preparing(ballot) => info!(%ballot, "phase 1 begins"),
            Event::Leading(ballot) => info!(%ballot, "this node leads"),
            Event::Following(ballot) => info!(%ballot, "following"),
            Event::SteppedDown { from, to } => info!(%from, %to, "stepping down for a higher ballot"),
            Event::Overtaken { from, slot } => {
                info!(%from, %slot, "stepping down: a higher ballot has chosen another value than this leader's");
            }
            Event::HandingOver { to } => info!(%to, "handing leadership over"),
            Event::HandedOver { to, took } => info!(%to, ?took, "another node leads, as was wanted"),
            Event::HandOverFailed { to, reason } => match to {
                Some(to) => warn!(%to, %reason, "leadership was not handed over"),
                None => warn!(%reason, "leadership was not handed over"),
            },
            Event::PrepareWithheld { ballot, wait } => {
                debug!(%ballot, ?wait, "a candidate has to wait: a lease is granted, or may have been before this node started");
            }
            Event::Rejected { ballot, promised } => {
                info!(%ballot, %promised, "an acceptor has promised a higher ballot")
            }
            Event::QuorumLost => {
                warn!("the leader hears no phase-2 quorum: nothing can be chosen, proposals are refused");
            }
            Event::QuorumRegained => info!("the leader hears a phase-2 quorum again"),
            Event::OutOfReach { trimmed } => {
                info!(%trimmed, "every peer that answers has trimmed what this node misses: it asks for a copy of a peer's state");
            }
            Event::ReaderLetGo { peer, reason } => {
                info!(%peer, ?reason, "the log above a copy of the state is no longer kept for the peer that fetched it");
            }
            Event::SpaceExhausted => {
                warn!("the disk has no room: this node takes no writes, does not vote and does not lead until it has");
            }
            Event::SpaceRegained => info!("the disk has room again"),
            Event::Stalled { since } => {
                warn!(
                    ?since,
                    "stepping down: this node's own disk has not finished a write for that long"
                );
            }
            Event::SnapshotBegun { peer, snapshot } => {
                info!(%peer, slot = %snapshot.slot, "fetching a copy of a peer's state");
                self.snapshots.begin(*peer);
            }
            Event::SnapshotAbandoned { peer, reason } => {
                warn!(%peer, ?reason, "the copy of a peer's state came to nothing; another attempt follows if it is needed");
                self.snapshots.abandon();
            }
            Event::ChangeChosen { epoch, slot, from } => {
                self.contacts.follow(self.clock.now(), &self.replica, &self.transport);
                info!(%epoch, %slot, %from, "a change of configuration is chosen, and in force from a later slot on");
            }
            Event::ChangeVoid { slot, objection } => {
                warn!(%slot, %objection, "a change of configuration is chosen and takes no effect");
            }
            Event::ConfigurationOpened { epoch } => {
                info!(%epoch, "the new configuration has promised this leader's ballot")
            }
            Event::InForce { epoch } => info!(%epoch, "the configuration is in force"),
            Event::ConfigurationRetired { epoch, left } => {
                info!(%epoch, ?left, "the configuration before is retired: who left may be switched off");
            }
            Event::MayStop { epoch } => warn!(%epoch, "this node is no member any more and may be switched off"),
            Event::LeftOut { epoch } => {
                info!(%epoch, "stepping down: this node is not one to lead in the configuration in force")
            }
        }
        self.publish();
    }
}
