//! A change of configuration as an operator asks for it, and what can be said against it (rules R2, R5, R7).

use core::fmt;

use quorum::{Configuration, Epoch, NodeId};

use crate::ballot::Slot;
use crate::value::CommandId;

/// What `Value::Reconfigure` carries: who asked, and the configuration that is to follow the newest one.
///
/// R2: the epoch of the configuration says which one it is to follow, the one before. So a change is done at most once,
/// however often it is asked for, and of two operators who change the same configuration one is told that he was too late.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// Who asked. The node named here answers its operator.
    pub id: CommandId,
    /// The configuration that is to be in force from `α` slots later on.
    pub configuration: Configuration,
}

/// What the operator accepts in so many words; whatever is not named here is refused (R5, R7).
///
/// It concerns only the leader that is asked to propose the change, and is not part of what is chosen.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Waivers {
    /// R5: no phase-2 quorum of the new configuration has caught up, so commands may have to wait until one has.
    pub behind: bool,
    /// R7: the loss of one disk may lose acknowledged writes.
    pub one_disk: bool,
    /// R7: the loss of one failure domain may lose acknowledged writes.
    pub one_zone: bool,
}

impl Waivers {
    /// Nothing is accepted.
    pub const NONE: Waivers = Waivers {
        behind: false,
        one_disk: false,
        one_zone: false,
    };
}

/// Why a change is not made. The first five follow from the log alone, so all nodes agree on them (R2).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Objection {
    /// It does not follow the newest configuration: another change was made meanwhile, or this very one.
    Epoch {
        /// The newest configuration, in force or pending; the change must bear the number after it.
        newest: Epoch,
    },
    /// Another change is chosen and not yet in force.
    Pending {
        /// The slot from which that one is in force.
        from: Slot,
    },
    /// The window `α` is fixed at genesis.
    Alpha {
        /// What it must be, in slots.
        alpha: u64,
    },
    /// A node would come back as an earlier life of its disk.
    EarlierLife {
        /// The node.
        node: NodeId,
    },
    /// R6: the configuration before the newest one is not retired yet, or another change is being proposed. Try again.
    Unsettled {
        /// The newest configuration.
        newest: Epoch,
    },
    /// R5: too few of its voters have caught up to be a phase-2 quorum.
    Behind {
        /// How many have.
        caught_up: u8,
        /// Of how many.
        voters: u8,
    },
    /// R7: this member alone would be a phase-2 quorum, so its disk alone could hold an acknowledged write.
    OneDisk {
        /// The member.
        node: NodeId,
    },
    /// R7: the voters in the zone of this member alone would be a phase-2 quorum.
    OneZone {
        /// The member.
        node: NodeId,
    },
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Objection::Epoch { newest } => write!(
                f,
                "the newest configuration has epoch {newest}: a change of it must have epoch {}",
                newest.0 + 1
            ),
            Objection::Pending { from } => {
                write!(f, "another change is pending, which is in force from slot {from} on")
            }
            Objection::Alpha { alpha } => write!(
                f,
                "the window is fixed when a cluster is founded: alpha must be {alpha}"
            ),
            Objection::EarlierLife { node } => {
                write!(
                    f,
                    "node {node} would come back as an earlier life (incarnation) of its disk"
                )
            }
            Objection::Unsettled { newest } => {
                write!(
                    f,
                    "epoch {newest} is not settled, or another change of it is under way: try again soon"
                )
            }
            Objection::Behind { caught_up, voters } => write!(
                f,
                "only {caught_up} of its {voters} voters have caught up, which is no phase-2 quorum: nothing could be chosen"
            ),
            Objection::OneDisk { node } => write!(
                f,
                "node {node} alone would be a phase-2 quorum: if its disk is lost, acknowledged writes are lost"
            ),
            Objection::OneZone { node } => write!(
                f,
                "the voters in the zone of node {node} would be a phase-2 quorum: if that zone is lost, acknowledged writes \
                 are lost"
            ),
        }
    }
}
