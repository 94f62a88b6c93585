//! What must hold, one property to a file. Each file is headed by the property, its number in the test plan and the rules
//! of the protocol that it watches.
//!
//! Checkers see everything: what a process wants written, what reaches its disk, every message that leaves, what is
//! applied, what clients are told. They never ask a node what it believes, except to hold it against the facts in the
//! [`ledger`](crate::ledger). Each looks only at what the event changed, so all of them are always on.

pub(crate) mod acknowledged;
pub(crate) mod adoption;
pub(crate) mod agreement;
pub(crate) mod applied;
pub(crate) mod ballots;
pub(crate) mod bounds;
pub(crate) mod chosen_stays;
pub(crate) mod claims;
pub(crate) mod configurations;
pub(crate) mod evidence;
pub(crate) mod floor;
pub(crate) mod lease;
pub(crate) mod membership;
pub(crate) mod one_effect;
pub(crate) mod one_value;
pub(crate) mod pieces;
pub(crate) mod promises;
pub(crate) mod quorums_meet;
pub(crate) mod real_time;
pub(crate) mod same_bits;
pub(crate) mod validity;
pub(crate) mod window;
pub(crate) mod witness;

use std::fmt;

use crate::coverage::counted;

counted! {
    /// A property that is checked. The names begin with the numbers of the test plan.
    Property {
        /// I1
        Agreement = "I1 agreement",
        /// I2
        Claims = "I2 claims of what is chosen",
        /// I3
        Validity = "I3 validity",
        /// I4
        OneValue = "I4 one value per ballot and slot",
        /// I5
        PromisesGrow = "I5 promises grow",
        /// I6
        NoVoteBelow = "I6 no vote below a promise",
        /// I7
        Evidence = "I7 what is sent is durable",
        /// I8
        Adoption = "I8 proposals rest on a phase-1 quorum",
        /// I9
        ChosenStays = "I9 later ballots propose what was chosen",
        /// I10
        Applied = "I10 applied is the chosen prefix",
        /// I11
        Acknowledged = "I11 acknowledged is durable",
        /// I12
        OneEffect = "I12 one effect per command",
        /// I13
        Window = "I13 proposals keep to the window",
        /// L1
        Ballots = "L1 a ballot is durable before use and never resumed",
        /// I16
        RealTime = "I16 reads and writes in real-time order",
        /// Replies and reads are those of the log, played to a naive store.
        Witness = "witness: answers are the log's",
        /// Histories judged from the outside.
        Linearizable = "linearizable from the outside",
        /// I17
        Floor = "I17 trimmed is durable elsewhere",
        /// I19
        Bounds = "I19 queues are bounded",
        /// I20
        NoPanic = "I20 no panic",
        /// I14
        QuorumsMeet = "I14 quorums of the two phases meet",
        /// I21
        SameBits = "I21 equal states are equal to the byte",
        /// What is asked where there is no phase-2 quorum is not done.
        Starved = "no progress without a quorum",
        /// I18
        Membership = "I18 only members vote",
        /// I13
        Configurations = "I13 configurations follow from the log",
        /// Every request is answered, and a healed core goes on.
        Liveness = "liveness",
        /// I15
        Lease = "I15 nobody leads beside a lease",
        /// What a node says of how old its state is.
        Stale = "a state is no older than its node says",
    }
}

/// A property that does not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// The numbers.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property.name(), self.detail)
    }
}

/// What a checker says.
pub(crate) type Verdict = Result<(), Violation>;

/// Returns a violation unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $property:ident, $($words:tt)+) => {
        if !$holds {
            return Err($crate::checker::Violation {
                property: $crate::checker::Property::$property,
                detail: format!($($words)+),
            });
        }
    };
}
pub(crate) use ensure;
