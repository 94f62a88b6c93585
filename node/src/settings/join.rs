//! What a node is told that joins a running cluster: `synod member add` writes it down.
//!
//! Such a node founds nothing. It begins with an empty disk, in a life of its own, and learns everything from the log; until
//! then it knows how the log began, so that it judges changes as all others do (R2), and where to find them.

use std::path::Path;

use quorum::{Configuration, NodeId, Proposal};
use serde::{Deserialize, Serialize};

use super::keys::Keys;

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

impl Join {
    /// As a file that [`Join::parse`] reads.
    #[must_use]
    pub fn to_text(&self) -> String {
        let member = self.introduced.members.iter().find(|member| member.node == self.node);
        let name = member.map_or("", |member| member.name.as_str());
        let text = toml::to_string(self).expect("a document is plain data");
        format!(
            "# For node {} ({name}), which joins the running cluster {}. Written by `synod member`; keep it beside the node's\n\
             # settings and start the node with it: synod start --settings FILE --join THIS\n\n{text}",
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

/// The document that the settings name; `None` if it is faulty, which `keys` has noted.
pub(super) fn read(keys: &mut Keys) -> Option<Option<Joining>> {
    let Some(path) = keys.optional_path("join") else {
        return Some(None);
    };
    match load(&path) {
        Ok(joining) => Some(Some(joining)),
        Err(reason) => {
            keys.fault("join", &reason);
            None
        }
    }
}

fn load(path: &Path) -> Result<Joining, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
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
}
