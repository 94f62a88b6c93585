//! Copies of the state on their way between nodes (C3): the hands of what the core decides about snapshots.
//!
//! The core says which piece to read for whom, which to put aside, and when to start anew with what was put aside. Reading and
//! writing block, so each is done on a thread of its own and never delays the driver, the journal or the applier:
//!
//! | room | what it does |
//! |---|---|
//! | `sources` | one thread for each copy that is being served, with the state frozen as it was; forgotten when nobody asks |
//! | `sink` | one thread that verifies pieces and builds the new state beside the present one |
//! | `pace` | how fast copies leave this node, all together |
//! | `progress` | how far the copy is that this node is fetching, for the status, the probes and the log |
//!
//! Pieces travel on the bulk stream, a few at a time, so votes and heartbeats never wait behind them.
//!
//! Not here: who is asked, what is asked again, whether a copy is new enough (`paxos`); what a piece means (`storage`).

mod pace;
mod progress;
mod sink;
mod sources;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use paxos::{Address, Input, SnapshotId};
use quorum::NodeId;
use storage::journal::Identity;
use storage::machine::Reader;
use storage::snapshot::Origin;
use storage::tables::{RocksTables, StateSettings};
use tokio::sync::mpsc;

use crate::driver::Happening;
use crate::guard::StateGuard;
use crate::metrics::SnapshotMetrics;

pub use pace::Pace;
pub use progress::{CatchingUp, Progress};
use sink::Sink;
use sources::Sources;

/// What the threads work with.
pub struct Parts {
    /// The state that is served.
    pub reader: Reader<RocksTables>,
    /// The data folder, where a fetched state is built.
    pub dir: PathBuf,
    /// Whose it will be.
    pub identity: Identity,
    /// What a served copy says of where it comes from.
    pub origin: Origin,
    /// Names this process.
    pub boot: u64,
    /// How fast copies leave.
    pub pace: Pace,
    /// The memory of a state that is being built.
    pub state: StateSettings,
    /// Where answers go.
    pub driver: mpsc::Sender<Happening>,
    /// Counts.
    pub metrics: SnapshotMetrics,
    /// Hears of a state that cannot be read.
    pub guard: StateGuard,
    /// Shown elsewhere.
    pub progress: Arc<Progress>,
}

/// The driver's end. Dropping it ends the threads and waits for them.
pub struct Snapshots {
    sources: Sources,
    sink: Sink,
    progress: Arc<Progress>,
    driver: mpsc::Sender<Happening>,
}

impl Snapshots {
    /// Starts the thread that takes pieces; those that serve start when somebody asks.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(parts: Parts) -> std::io::Result<Snapshots> {
        let (progress, driver) = (parts.progress.clone(), parts.driver.clone());
        let sink = Sink::start(&parts)?;
        Ok(Snapshots {
            sources: Sources::new(parts),
            sink,
            progress,
            driver,
        })
    }

    /// [`paxos::Output::ReadSnapshot`]. Must be called within the runtime, as all that follow.
    pub fn read(&mut self, peer: Address, snapshot: Option<SnapshotId>, from: u64, count: u64) {
        if !self.sources.read(peer, snapshot, from, count) {
            self.answer(Input::SnapshotGone { peer, snapshot });
        }
    }

    /// [`paxos::Output::StageSnapshot`].
    pub fn stage(&self, snapshot: SnapshotId, number: u64, last: bool, payload: Bytes) {
        if !self.sink.stage(snapshot, number, last, payload) {
            self.answer(Input::SnapshotRefused { snapshot });
        }
    }

    /// The first piece came from this node.
    pub fn begin(&self, peer: NodeId) {
        self.progress.comes_from(peer);
    }

    /// The core has given up the copy that was being fetched.
    pub fn abandon(&self) {
        self.progress.clear();
        self.sink.abandon();
    }

    /// The core must not be called from within its own outputs, so it hears on the usual way.
    fn answer(&self, input: Input) {
        let driver = self.driver.clone();
        // A closed channel is a node that stops.
        tokio::spawn(async move { drop(driver.send(Happening::Input(input)).await) });
    }
}
