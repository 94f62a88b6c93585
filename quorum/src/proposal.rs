//! A configuration as proposed: data that nobody has checked yet.

use crate::spec_text::{SpecError, SpecText};
use crate::{Epoch, Member, SystemSpec};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What somebody would like the configuration to be. [`Configuration::new`](crate::Configuration::new) checks it.
///
/// A file for it has the keys `epoch` (default 1), `alpha` (default 256), `system` (default `"majority"`) and a
/// `[[member]]` table for each member:
///
/// ```toml
/// alpha = 256
/// system = "counts 4/2"
///
/// [[member]]
/// name = "a"
/// node = 1
/// region = "us-east-1"
/// zone = "us-east-1a"
/// address = "127.0.0.1:7400"
/// ```
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "ProposalText")]
pub struct Proposal {
    /// The number of the configuration, from 1.
    pub epoch: Epoch,
    /// The window: how many slots may be in flight, and how many slots after its own a change of configuration takes
    /// effect (section 6 of the protocol). 1 to 65536.
    pub alpha: u32,
    /// Which quorum system.
    pub system: SystemSpec,
    /// The members, in any order.
    #[serde(rename = "member", alias = "members")]
    pub members: Vec<Member>,
}

/// A proposal as written: the same fields in the same order, with defaults, and names in the grid.
#[derive(Deserialize)]
#[serde(rename = "Proposal", deny_unknown_fields)]
struct ProposalText {
    #[serde(default = "default_epoch")]
    epoch: Epoch,
    #[serde(default = "default_alpha")]
    alpha: u32,
    #[serde(default = "default_system")]
    system: SpecText,
    #[serde(rename = "member", alias = "members")]
    members: Vec<Member>,
}

fn default_epoch() -> Epoch {
    Epoch(1)
}

fn default_alpha() -> u32 {
    256
}

fn default_system() -> SpecText {
    SpecText::Ready(SystemSpec::Majority)
}

impl TryFrom<ProposalText> for Proposal {
    type Error = SpecError;

    fn try_from(text: ProposalText) -> Result<Proposal, SpecError> {
        let ProposalText {
            epoch,
            alpha,
            system,
            members,
        } = text;
        let system = system.resolve(&|name| {
            members
                .iter()
                .find(|member| member.name == name)
                .map(|member| member.node)
        })?;
        Ok(Proposal {
            epoch,
            alpha,
            system,
            members,
        })
    }
}
