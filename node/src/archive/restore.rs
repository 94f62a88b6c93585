//! From a file into the data folder of a member of a new cluster.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use paxos::{ClusterId, Slot};
use storage::journal::Identity;
use storage::machine::is_governance;
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
/// A sentence; `dir` is not there then, or is as it was.
pub fn restore(file: &Path, dir: &Path, identity: &Identity) -> Result<Facts, String> {
    if Store::found(dir) != Found::Nothing {
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
    let building = beside(dir);
    let named = |error: std::io::Error| format!("{}: {error}", building.display());
    if building.exists() {
        fs::remove_dir_all(&building).map_err(named)?;
    }
    build(file, &building, identity, &facts)?;
    // An empty folder may be in the way.
    if dir.exists() {
        fs::remove_dir(dir).map_err(named)?;
    }
    fs::rename(&building, dir).map_err(named)?;
    let parent = dir.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))
        .and_then(|parent| parent.sync_all())
        .map_err(named)?;
    Ok(facts)
}

fn beside(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".restoring");
    name.into()
}

/// An empty store with the state staged beside it, as if a peer had sent it: the first start installs it.
fn build(file: &Path, building: &Path, identity: &Identity, facts: &Facts) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", building.display());
    Store::create(building, identity).map_err(|error| failed(&error))?;
    let options = RocksSinkOptions::new(StateSettings::default());
    let sink = RocksSink::begin(building, identity, &options).map_err(|error| failed(&error))?;
    // The members of the old cluster are not those of the new one, which begins with its own settings.
    let sink = sink.without(is_governance);
    let mut staging = Staging::new(ClusterId(facts.cluster_id), Slot(facts.slot), sink);
    let again = read(file, &mut |piece| staging.take(piece).map(|_| ()))?;
    if again != *facts {
        return Err(format!("{} has changed while it was read", file.display()));
    }
    staging.finish().map_err(|error| failed(&error))?;
    Ok(())
}
