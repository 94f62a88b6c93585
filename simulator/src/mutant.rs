//! Nodes made wrong on purpose, at the border that the simulator owns: disk, recovery, state machine, answers.
//!
//! Each breaks one rule that the code around the core must keep. A checker must kill every one of them, which is tested:
//! checkers that cannot fail prove nothing.

/// One way in which every node of a run is wrong.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Mutant {
    /// A3 broken: messages leave when their write is queued, not when it is durable.
    AcknowledgeBeforeSync,
    /// A3 broken: a sync releases the messages of one write more than it covers.
    SyncOffByOne,
    /// A1 broken by recovery: the promise is forgotten, votes are kept.
    ForgetPromise,
    /// A2 broken by recovery: some votes are forgotten (a damaged entry reported as none).
    ForgetVotes,
    /// C4 broken: the state machine says that its effects are durable when they are not.
    ClaimFlushed,
    /// C2 broken: the applied slot is not written with its effects, so the last entry before a flush is applied again.
    ApplyTwice,
    /// C2 broken: a restarted state machine takes its first entry for applied.
    SkipEntry,
    /// D1 broken: reads are served from local state at once.
    ReadLocally,
    /// X2 broken: what is unknown is told to clients as refused.
    UnknownIsRefused,
    /// A2, A3 broken: the disk loses synced writes in a crash.
    LoseSynced,
}

/// Name, mutant, and the rule that it breaks.
pub const MUTANTS: &[(&str, Mutant, &str)] = &[
    ("acknowledge-before-sync", Mutant::AcknowledgeBeforeSync, "A3"),
    ("sync-off-by-one", Mutant::SyncOffByOne, "A3"),
    ("forget-promise", Mutant::ForgetPromise, "A1"),
    ("forget-votes", Mutant::ForgetVotes, "A2"),
    ("claim-flushed", Mutant::ClaimFlushed, "C4"),
    ("apply-twice", Mutant::ApplyTwice, "C2"),
    ("skip-entry", Mutant::SkipEntry, "C2"),
    ("read-locally", Mutant::ReadLocally, "D1"),
    ("unknown-is-refused", Mutant::UnknownIsRefused, "X2"),
    ("lose-synced", Mutant::LoseSynced, "A2"),
];

impl Mutant {
    /// The mutant of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Mutant> {
        MUTANTS
            .iter()
            .find(|(known, ..)| *known == name)
            .map(|(_, mutant, _)| *mutant)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        MUTANTS
            .iter()
            .find(|(_, mutant, _)| *mutant == self)
            .map_or("?", |(name, ..)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (name, mutant, _) in MUTANTS {
            assert_eq!((Mutant::named(name), mutant.name()), (Some(*mutant), *name));
        }
        assert_eq!(Mutant::named("none"), None);
    }
}
