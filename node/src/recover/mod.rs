//! A new cluster from what a lost one has left: the last resort, when a quorum of disks is gone for good.
//!
//! A cluster that lost a phase-1 quorum can never again be sure of what it had chosen: a value may have been chosen on disks
//! that nobody has any more. So nothing here is part of the protocol, and no running node takes part. All disks that are left
//! are read, none is changed, and three things are made of them:
//!
//! * the best state that there is, with everything applied that is known to be chosen, and then with the votes that are left
//!   (`decide`), as phase 1 would have it;
//! * a file with that state, as `synod snapshot save` makes one, from which `synod snapshot restore` makes another cluster: of
//!   another name and number, so that a node of the old one that comes back after all is refused;
//! * a report of what is certain, what is a guess, and what is lost, slot by slot ([`Report`]).
//!
//! | room | what it knows |
//! |---|---|
//! | `governing` | which configuration governs which slot |
//! | `decide` | what becomes of one slot |
//! | `rebuild` | copies the best state, applies the slots, writes the file |
//! | `report` | the words |

mod decide;
mod governing;
mod rebuild;
mod report;

use std::path::{Path, PathBuf};

use paxos::Slot;
use quorum::{Configuration, NodeId, Phase};
use storage::journal::Identity;
use storage::{Looked, Survivor};

use crate::archive::Facts;
use governing::Governing;
pub use report::Report;

/// Which cluster it was, and where the rest of it is.
pub struct Wreck<'w> {
    /// Its name.
    pub cluster: &'w str,
    /// Its number.
    pub cluster_id: u64,
    /// The members and the quorum system that it was founded with. Changes since are read from the disks.
    pub genesis: &'w Configuration,
    /// The data folders that are left.
    pub folders: &'w [PathBuf],
}

/// What came of it.
pub struct Recovered {
    /// What is in the file.
    pub facts: Facts,
    /// What is certain, and what is not.
    pub report: Report,
}

/// Writes the state that can be had to the file `to`, which must not exist; and beside it, while it works, to `to.recovering`.
///
/// # Errors
/// A sentence. No data folder is changed in any case, and there is no file `to` then.
pub fn recover(wreck: &Wreck<'_>, to: &Path, looked: &mut dyn FnMut(&Path, Looked)) -> Result<Recovered, String> {
    if to.exists() {
        return Err(format!("{} exists already", to.display()));
    }
    let survivors = open_all(wreck, looked)?;
    let mut governing = Governing::founded(wreck.genesis);
    for survivor in &survivors {
        let known = survivor.configurations().map_err(|error| error.to_string())?;
        known.iter().for_each(|known| governing.learn(known));
    }
    let chosen = survivors.iter().map(Survivor::chosen).max().unwrap_or_default();
    let whole = survivors.iter().filter(|survivor| survivor.is_whole());
    let hold = |governing: &Governing, phase| governing.have_quorum(phase, chosen.next(), whole.clone());
    if hold(&governing, Phase::One) && hold(&governing, Phase::Two) {
        return Err(
            "these disks hold a phase-1 quorum and a phase-2 quorum, and their journals are whole: nothing is lost. Start their \
             nodes; the cluster goes on by itself"
                .to_owned(),
        );
    }
    let mut report = Report::begin(wreck, &survivors, &governing, chosen);
    let facts = rebuild::rebuild(wreck, &survivors, &mut governing, to, &mut report)?;
    // A change that is among the votes counts too: it may have been made.
    report.end(&facts, hold(&governing, Phase::One), to);
    Ok(Recovered { facts, report })
}

fn open_all(wreck: &Wreck<'_>, looked: &mut dyn FnMut(&Path, Looked)) -> Result<Vec<Survivor>, String> {
    let mut survivors: Vec<Survivor> = Vec::new();
    for folder in wreck.folders {
        let survivor =
            Survivor::open(folder, &mut |so_far| looked(folder, so_far)).map_err(|error| error.to_string())?;
        let identity = survivor.identity();
        belongs(wreck, identity).map_err(|what| format!("{} is of no use here: {what}", folder.display()))?;
        let whose = (identity.node, identity.incarnation);
        let same = |other: &Survivor| (other.identity().node, other.identity().incarnation) == whose;
        if survivors.iter().any(same) {
            return Err(format!(
                "{} is a second disk of node {} (incarnation {}): name the one that ran last",
                folder.display(),
                identity.node,
                identity.incarnation
            ));
        }
        survivors.push(survivor);
    }
    Ok(survivors)
}

/// Whether a disk is one of the cluster's.
fn belongs(wreck: &Wreck<'_>, identity: &Identity) -> Result<(), String> {
    if (identity.cluster.as_str(), identity.cluster_id.0) != (wreck.cluster, wreck.cluster_id) {
        return Err(format!(
            "it belongs to cluster \"{}\" ({:016x}), and the settings are of \"{}\" ({:016x})",
            identity.cluster, identity.cluster_id.0, wreck.cluster, wreck.cluster_id
        ));
    }
    Ok(())
}

/// Where the owner of a disk stands among the members. One that was a member once, or not yet, has no place: what it knows to
/// be chosen is as good as any.
fn place(configuration: &Configuration, identity: &Identity) -> Option<u8> {
    configuration.index_of(identity.node, identity.incarnation)
}

/// What each disk says of a slot.
fn witnesses(configuration: Option<&Configuration>, survivors: &[Survivor], slot: Slot) -> Vec<decide::Witness> {
    let say = |survivor: &Survivor| decide::Witness {
        node: survivor.identity().node,
        index: configuration.and_then(|configuration| place(configuration, survivor.identity())),
        knows_chosen: slot <= survivor.chosen(),
        logged: survivor.entry(slot),
    };
    survivors.iter().map(say).collect()
}

/// Nodes in words.
fn names(nodes: impl IntoIterator<Item = NodeId>) -> String {
    let names: Vec<String> = nodes.into_iter().map(|node| node.to_string()).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
