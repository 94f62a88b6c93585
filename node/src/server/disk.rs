//! The node's data folder: opened, or made on a first start.

use paxos::{Address, Input};
use prometheus::Registry;
use storage::journal::{Hooks, Identity};
use storage::{Found, Store, StoreSettings};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{Failure, during};
use crate::driver::{Happening, Outbound};
use crate::settings::Settings;

/// Whose the data folder is.
pub(super) fn identity(settings: &Settings, me: Address) -> Identity {
    Identity {
        cluster: settings.cluster.clone(),
        cluster_id: settings.cluster_id(),
        node: me.node,
        incarnation: me.incarnation,
    }
}

/// Opens what is there, or makes it if this is a first start.
pub(super) fn open(
    settings: &Settings,
    me: Address,
    bootstrap: bool,
    hooks: Hooks,
    registry: &Registry,
) -> Result<Store, Failure> {
    let dir = &settings.data_dir;
    let identity = identity(settings, me);
    let found = Store::found(dir);
    if let (Found::Something, Some(document)) = (found, &settings.invitation) {
        warn!(document = %document.display(), "this node has its data and needs the document of `join` no more: take it away, for on \
              another empty disk this node would begin the same life again and vote on what it has forgotten");
    }
    match (found, bootstrap || settings.introduced.is_some()) {
        (Found::Something, _) if bootstrap => {
            return Err(Failure(format!(
                "{} holds a node's data already: leave out --bootstrap to start that node again",
                dir.display()
            )));
        }
        (found @ (Found::Nothing | Found::HalfMade), true) => {
            if found == Found::HalfMade {
                info!(dir = %dir.display(), "the making of the data folder was interrupted: it is made again");
            }
            Store::create(dir, &identity).map_err(during("cannot make the data folder"))?;
        }
        (Found::Nothing, false) => {
            return Err(Failure(format!(
                "there is no data in {}. If this is a founder of a new cluster, start it with --bootstrap. If its disk was lost, \
                 it must not vote again under its old identity: it would have forgotten what it promised. Ask a running node to \
                 take it back in a new life, and start it with what you are given:\n  \
                 synod member replace {} --endpoint HOST:PORT --out join.toml\n  \
                 synod start --settings FILE --join join.toml",
                dir.display(),
                me.node
            )));
        }
        // What is half-made is refused there, with a sentence.
        (Found::Something, _) | (Found::HalfMade, false) => {}
    }
    let mut told = StoreSettings::default();
    told.journal.sync_delay = settings.sync_delay;
    let mut store =
        Store::open(dir, &identity, told, hooks, registry).map_err(during("cannot open the data folder"))?;
    store.machine.found(settings.genesis.clone());
    // Behind the making of the folder, so that what lies in it is a node's; before anything is promised.
    settings
        .keep_invitation()
        .map_err(during("cannot keep the document of `join` in the data folder"))?;
    Ok(store)
}

/// What the journal's thread does when something is durable: messages leave, the driver hears of it.
pub(super) fn hooks(
    me: Address,
    outbound: Outbound,
    driver: mpsc::Sender<Happening>,
    failed: mpsc::Sender<String>,
) -> Hooks {
    let loopback = driver.clone();
    Hooks {
        release: Box::new(move |envelopes| outbound.release(me, envelopes, &loopback)),
        persisted: Box::new(move |write| {
            // A closed channel is a node that stops.
            let _ = driver.blocking_send(Happening::Input(Input::Persisted(write)));
        }),
        failed: Box::new(move |error| {
            // Full means that another failure is being reported already.
            let _ = failed.try_send(format!(
                "the journal failed, so this node can promise nothing any more: {error}"
            ));
        }),
    }
}
