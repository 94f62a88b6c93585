//! What a node is told that joins a running cluster: `synod member add` writes it down.
//!
//! Such a node founds nothing. It begins with an empty disk, in a life of its own, and learns everything from the log; until
//! then it knows how the log began, so that it judges changes as all others do (R2), and where to find them.
//!
//! The document is an invitation for one empty disk. Its node keeps a copy in its data folder and needs the original never
//! again; on another empty disk the same document would let the same life begin a second time, without what it promised (A6).

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use quorum::{Configuration, Epoch, Incarnation, NodeId, Proposal};
use serde::{Deserialize, Serialize};

use super::keys::Keys;

/// The copy's name in the data folder.
pub const KEPT: &str = "join.toml";

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The cluster's name.
    pub cluster: String,
    /// Which node it is for.
    pub node: NodeId,
    /// The configuration that the log began with.
    pub genesis: Proposal,
    /// The one in which the node is a member.
    pub introduced: Proposal,
}

/// The document, checked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Joining {
    pub(super) cluster: String,
    pub(super) node: NodeId,
    pub(super) genesis: Configuration,
    pub(super) introduced: Configuration,
}

/// What a node goes by that did not found its cluster.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Invitation {
    pub(super) joining: Joining,
    /// Where the operator's document is, if there is one.
    pub(super) given: Option<PathBuf>,
}

impl Join {
    /// As a file that [`Join::parse`] reads.
    #[must_use]
    pub fn to_text(&self) -> String {
        let member = self.introduced.members.iter().find(|member| member.node == self.node);
        let name = member.map_or("", |member| member.name.as_str());
        let text = toml::to_string(self).expect("a document is plain data");
        format!(
            "# For node {} ({name}), which joins the running cluster {}. Written by `synod member` for one empty disk: start\n\
             # the node with it, synod start --settings FILE --join THIS, and take it away when the node runs.\n\n{text}",
            self.node, self.cluster
        )
    }

    /// Reads a document.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(text: &str) -> Result<Join, String> {
        toml::from_str(text).map_err(|error| format!("is not a document of `synod member`: {}", error.message()))
    }

    fn check(self) -> Result<Joining, String> {
        let checked = |what: &str, proposal: Proposal| {
            Configuration::new(proposal)
                .map_err(|faults| format!("holds a {what} configuration that cannot be used: {faults}"))
        };
        let joining = Joining {
            cluster: self.cluster,
            node: self.node,
            genesis: checked("first", self.genesis)?,
            introduced: checked("newest", self.introduced)?,
        };
        match joining.introduced.member(joining.node) {
            Some(_) => Ok(joining),
            None => Err(format!("is for node {}, which is not among its members", joining.node)),
        }
    }
}

impl Joining {
    /// Which life of the node's disk it is for, and how new it is.
    fn age(&self) -> (Incarnation, Epoch) {
        let life = self.introduced.member(self.node).map(|member| member.incarnation);
        (life.unwrap_or(Incarnation(0)), self.introduced.epoch())
    }

    fn document(&self) -> Join {
        Join {
            cluster: self.cluster.clone(),
            node: self.node,
            genesis: self.genesis.proposal().clone(),
            introduced: self.introduced.proposal().clone(),
        }
    }

    /// Keeps a copy in the data folder, durably, unless the same lies there.
    pub(super) fn keep(&self, data_dir: &Path) -> std::io::Result<()> {
        let (path, text) = (data_dir.join(KEPT), self.document().to_text());
        if fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
            return Ok(());
        }
        let fresh = data_dir.join(format!("{KEPT}.new"));
        let mut file = File::create(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(data_dir)?.sync_all()
    }
}

/// The document to go by: the one that the settings name, or the one that was kept in the data folder. Of two, the one for
/// the later life of the disk, or else the newer one: what does not fit the data is refused when they are opened. `None` if one
/// is faulty, which `keys` has noted.
pub(super) fn read(keys: &mut Keys, data_dir: Option<&Path>) -> Option<Option<Invitation>> {
    let named = keys
        .optional_path("join")
        .map(|path| in_folder(path, keys.peek("node")));
    let given = match named.transpose() {
        Ok(path) => path.flatten(),
        Err(reason) => {
            keys.fault("join", &reason);
            return None;
        }
    };
    let kept = data_dir.map(|dir| dir.join(KEPT)).filter(|path| path.exists());
    let mut load = |path: Option<&PathBuf>| match path.map(|path| load(path)).transpose() {
        Ok(joining) => Some(joining),
        Err(reason) => {
            keys.fault("join", &reason);
            None
        }
    };
    let (invited, kept) = (load(given.as_ref()), load(kept.as_ref()));
    let latest = [kept?, invited?].into_iter().flatten().max_by_key(Joining::age);
    Some(latest.map(|joining| Invitation { joining, given }))
}

/// The document of a node in a folder of documents, `NODE.toml` as `node` in the settings says it; `None` if there is none for
/// it. What is no folder is the document itself.
fn in_folder(path: PathBuf, node: Option<String>) -> Result<Option<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(Some(path));
    }
    let node = node.ok_or("is a folder, so `node` has to say whose document in it is meant")?;
    Ok(Some(path.join(format!("{node}.toml"))).filter(|path| path.exists()))
}

fn load(path: &Path) -> Result<Joining, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let checked = Join::parse(&text).and_then(Join::check);
    checked.map_err(|reason| format!("{shown} {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(epoch: u64, nodes: u64) -> Proposal {
        let mut text = format!("epoch = {epoch}\n");
        for node in 1..=nodes {
            text += &format!("[[member]]\nnode = {node}\nname = \"n{node}\"\nregion = \"r\"\naddress = \"h:{node}\"\n");
        }
        toml::from_str(&text).expect("a proposal")
    }

    #[test]
    fn what_is_written_is_read_and_must_name_the_node() {
        let join = Join {
            cluster: "c".to_owned(),
            node: NodeId(4),
            genesis: proposal(1, 3),
            introduced: proposal(2, 4),
        };
        assert_eq!(Join::parse(&join.to_text()), Ok(join.clone()));
        assert!(join.clone().check().is_ok());
        let stranger = Join {
            node: NodeId(9),
            ..join
        };
        assert_eq!(
            stranger.check().expect_err("no member"),
            "is for node 9, which is not among its members"
        );
        assert!(Join::parse("cluster = 1").is_err());
    }

    fn told(life: u64, epoch: u64) -> Joining {
        let mut introduced = proposal(epoch, 4);
        introduced.members[3].incarnation = Incarnation(life);
        let join = Join {
            cluster: "c".to_owned(),
            node: NodeId(4),
            genesis: proposal(1, 3),
            introduced,
        };
        join.check().expect("sound")
    }

    fn keys(join: Option<&Path>) -> Keys {
        let mut values = config::Map::new();
        let mut put = |key: &str, value: String| values.insert(key.to_owned(), config::Value::new(None, value));
        put("node", "n4".to_owned());
        if let Some(path) = join {
            put("join", path.display().to_string());
        }
        Keys::new(values, None)
    }

    #[test]
    fn a_disk_goes_by_what_it_was_told_at_first_and_by_what_is_for_a_later_life() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("made");
        let given = folder.path().join("given.toml");
        let effective = |document: Option<&Joining>| {
            if let Some(document) = document {
                fs::write(&given, document.document().to_text()).expect("written");
            }
            let read = read(&mut keys(document.map(|_| given.as_path())), Some(&data)).expect("no faults");
            read.map(|invitation| (invitation.joining.age(), invitation.given.is_some()))
        };
        assert_eq!(effective(None), None, "a founder");
        assert_eq!(effective(Some(&told(2, 2))), Some(((Incarnation(2), Epoch(2)), true)));
        told(2, 2).keep(&data).expect("kept");
        assert_eq!(
            effective(None),
            Some(((Incarnation(2), Epoch(2)), false)),
            "the document is gone"
        );
        assert_eq!(
            effective(Some(&told(1, 1))),
            Some(((Incarnation(2), Epoch(2)), true)),
            "an old one was forgotten there"
        );
        assert_eq!(
            effective(Some(&told(5, 5))),
            Some(((Incarnation(5), Epoch(5)), true)),
            "the data must refuse it"
        );
        fs::write(data.join(KEPT), "rot").expect("written");
        assert!(read(&mut keys(None), Some(&data)).is_none());
    }

    #[test]
    fn a_folder_holds_documents_for_many_and_perhaps_none_for_this_node() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = || read(&mut keys(Some(folder.path())), None).expect("no faults");
        assert_eq!(read(), None);
        fs::write(folder.path().join("n3.toml"), "for somebody else").expect("written");
        assert_eq!(read(), None);
        fs::write(folder.path().join("n4.toml"), told(2, 2).document().to_text()).expect("written");
        assert_eq!(
            read().and_then(|invitation| invitation.given),
            Some(folder.path().join("n4.toml"))
        );
        let nameless = in_folder(folder.path().to_owned(), None);
        assert!(nameless.expect_err("whose?").starts_with("is a folder"));
    }
}
