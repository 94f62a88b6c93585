//! Which configurations govern the log, as of the applied slot: part of the replicated state (R2, C3).
//!
//! The state machine does nothing with them but keep them: whether a change takes effect is the core's one question to the
//! log before it, and what is kept here is what a node starts with, and what it takes over with a peer's state.

use paxos::{Change, Configurations, Slot};
use quorum::{Configuration, Epoch};

use super::keys;
use crate::tables::{Frozen, Step, TableBatch, Tables, TablesError};

/// The configurations, and whether the tables have them yet.
#[derive(Default)]
pub(super) struct Governance {
    /// The first configuration of the cluster, if the state machine was told.
    pub(super) genesis: Option<Configuration>,
    /// Nothing as long as there was no change.
    configurations: Option<Configurations>,
    unwritten: bool,
}

impl Governance {
    /// What the tables say.
    pub(super) fn load(tables: &impl Tables) -> Result<Governance, TablesError> {
        let bytes = tables.get(keys::CONFIGURATIONS)?;
        Ok(Governance {
            configurations: bytes.map(|bytes| decode(&bytes)).transpose()?,
            ..Governance::default()
        })
    }

    pub(super) fn configurations(&self) -> Option<&Configurations> {
        self.configurations.as_ref()
    }

    /// Judges a change that is chosen in `slot`; returns the number of the configuration if it takes effect.
    pub(super) fn take(&mut self, slot: Slot, change: &Change) -> Option<Epoch> {
        let mut configurations = self.configurations.clone().unwrap_or_else(|| {
            let genesis = self.genesis.clone();
            Configurations::new(genesis.unwrap_or_else(|| {
                panic!("R2: a change is chosen in slot {slot}, and nobody said which configuration the log began with")
            }))
        });
        // Why a change is void is for whoever asked for it; the core says so.
        configurations.take(slot, change).ok()?;
        self.configurations = Some(configurations);
        self.unwritten = true;
        Some(change.configuration.epoch())
    }

    /// Adds to a batch what the tables do not have yet.
    pub(super) fn drain_into(&mut self, batch: &mut impl TableBatch) {
        if let (true, Some(configurations)) = (self.unwritten, &self.configurations) {
            batch.put(keys::CONFIGURATIONS, &configurations.encode());
            self.unwritten = false;
        }
    }
}

/// The configurations of a frozen state, if there was a change.
pub(crate) fn frozen(tables: &impl Frozen) -> Result<Option<Configurations>, TablesError> {
    let mut found = Ok(None);
    let behind = [keys::CONFIGURATIONS, &[0]].concat();
    tables.scan(keys::CONFIGURATIONS, Some(&behind), &mut |_, bytes| {
        found = decode(bytes).map(Some);
        Step::Stop
    })?;
    found
}

/// Whether a row says which configurations govern: it has no meaning in another cluster.
#[must_use]
pub fn is_governance(table_key: &[u8]) -> bool {
    table_key == keys::CONFIGURATIONS
}

fn decode(bytes: &[u8]) -> Result<Configurations, TablesError> {
    let decoded = Configurations::decode(bytes.to_vec().into());
    decoded.map_err(|error| TablesError::Damaged {
        what: format!("the configurations cannot be read: {error}"),
    })
}
