//! From a file into the data folder of a member of a new cluster.

use std::path::Path;

use paxos::{ClusterId, Slot};
use storage::journal::Identity;
use storage::machine::{is_governance, is_session};
use storage::snapshot::{RocksSink, RocksSinkOptions, Staging};
use storage::tables::StateSettings;
use storage::{Found, Store};

use super::file::{Facts, read};

/// Makes the data folder `dir` of a node that begins with the state in the file: that state is applied, nothing is
/// promised, and the journal begins behind it. All nodes of the new cluster must be made from the same file.
///
/// The cluster must be a new one: nodes of the old one may still run, and know of more than the file does.
///
/// # Errors
/// A sentence; no node can be started on `dir` then, unless one could before.
pub fn restore(file: &Path, dir: &Path, identity: &Identity) -> Result<Facts, String> {
    if Store::found(dir) == Found::Something {
        return Err(format!(
            "{} is not empty: a state is restored only into a new folder",
            dir.display()
        ));
    }
    // All of the file is looked at before anything is made of it.
    let facts = read(file, &mut |_| Ok(()))?;
    if facts.cluster_id == identity.cluster_id.0 {
        return Err(format!(
            "the snapshot is of cluster \"{}\", and so are the settings: what is restored is another cluster, which must not be \
             taken for the old one by nodes or clients. Give it another name (cluster = \"{}-restored\")",
            facts.cluster, facts.cluster
        ));
    }
    // Within the folder, which may be a disk of its own. An interrupted restore leaves what no start accepts and the next one
    // makes again.
    let made = Store::create_with(dir, identity, |making| stage(file, making, identity, &facts));
    made.map_err(|error| format!("{}: {error}", dir.display()))?;
    Ok(facts)
}

/// Stages the state in the folder `making`, as if a peer had sent it.
fn stage(file: &Path, making: &Path, identity: &Identity, facts: &Facts) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let options = RocksSinkOptions::new(StateSettings::default());
    let sink = RocksSink::begin(making, identity, &options).map_err(|error| failed(&error))?;
    // The members of the old cluster are not those of the new one, which begins with its own settings.
    let sink = sink.without(|table_key| is_governance(table_key) || is_session(table_key));
    let mut staging = Staging::new(ClusterId(facts.cluster_id), Slot(facts.slot), sink);
    let again = read(file, &mut |piece| staging.take(piece).map(|_| ()))?;
    if again != *facts {
        return Err(format!("{} has changed while it was read", file.display()));
    }
    staging.finish().map_err(|error| failed(&error))?;
    Ok(())
}
