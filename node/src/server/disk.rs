//! The node's data folder: `journal/` and `state/`, opened together.

use paxos::{Address, Input, Recovered};
use storage::journal::{Callbacks, Identity, Journal, JournalError, JournalSettings, Opened};
use storage::machine::{HEAD_CACHE_BYTES, Machine};
use storage::tables::{RocksTables, StateSettings};
use tokio::sync::mpsc;

use super::{Failure, during};
use crate::driver::{Happening, Outbound};
use crate::settings::Settings;

/// A disk that was read and is not written yet.
pub(super) struct Disk {
    pub(super) journal: Opened,
    pub(super) machine: Machine<RocksTables>,
    pub(super) recovered: Recovered,
}

/// Opens what is there, or makes it if this is a first start.
pub(super) fn open(settings: &Settings, me: Address, bootstrap: bool) -> Result<Disk, Failure> {
    let dir = &settings.data_dir;
    let (journal_dir, state_dir) = (dir.join("journal"), dir.join("state"));
    let identity = Identity {
        cluster: settings.cluster.clone(),
        cluster_id: settings.cluster_id().0,
        node: me.node.0,
        incarnation: me.incarnation.0,
        format: storage::journal::FORMAT,
    };
    let journal_settings = JournalSettings { sync_delay: settings.sync_delay, ..JournalSettings::default() };
    if bootstrap {
        std::fs::create_dir_all(dir).map_err(during(format!("cannot make the data folder {}", dir.display())))?;
    }
    let journal = if bootstrap {
        Journal::create(&journal_dir, &identity, journal_settings)
    } else {
        Journal::open(&journal_dir, &identity, journal_settings)
    };
    let journal = journal.map_err(plain)?;
    let tables = RocksTables::open(&state_dir, bootstrap, StateSettings::default())
        .map_err(during(format!("cannot open the state in {}", state_dir.display())))?;
    let machine = Machine::open(tables, HEAD_CACHE_BYTES).map_err(during("cannot read the state"))?;
    let recovered = journal.recover(machine.progress().applied).map_err(plain)?;
    Ok(Disk { journal, machine, recovered })
}

fn plain(error: JournalError) -> Failure {
    Failure(error.to_string())
}

/// What the journal's thread does when something is durable: messages leave, the driver hears of it.
pub(super) fn callbacks(
    me: Address,
    outbound: Outbound,
    driver: mpsc::Sender<Happening>,
    failed: mpsc::Sender<String>,
) -> Callbacks {
    let loopback = driver.clone();
    Callbacks {
        release: Box::new(move |envelopes| outbound.release(me, envelopes, &loopback)),
        persisted: Box::new(move |write| {
            // A closed channel is a node that stops.
            let _ = driver.blocking_send(Happening::Input(Input::Persisted(write)));
        }),
        failed: Box::new(move |error| {
            let _ = failed.try_send(format!("the journal failed, so this node can promise nothing any more: {error}"));
        }),
    }
}
