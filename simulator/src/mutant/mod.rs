//! Nodes made wrong on purpose: at the border that the simulator owns (disk, recovery, state machine, answers), and, if
//! it is built with the feature `mutants`, in the core itself.
//!
//! Each breaks one rule. A checker must kill every one of them, which is tested: checkers that cannot fail prove nothing.

mod book;
mod catalogue;
mod hunts;
mod matrix;

pub use book::{book, book_file};
pub use catalogue::{CATALOGUE, Chapter, Entry, Expected, MISSING, Missing, entries};
pub use matrix::{Kill, Recorded, Row, record, recorded};

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
    /// X1 broken: a command that is chosen again is done again.
    RepeatApplied,
    /// X1 broken: a command of an earlier process of its node begins a session anew.
    EarlierProcessApplied,
    /// A2, A3 broken: the disk loses synced writes in a crash.
    LoseSynced,
    /// A6 broken: a node that lost its disk starts on an empty one as if it were the same.
    Amnesia,
    /// C3 broken: a snapshot says that it is newer than the rows in it.
    SnapshotBehind,
    /// C3 broken: what a piece's checksum says is not heeded.
    PieceUnverified,
    /// A7 broken: with a snapshot the promise is reset.
    InstallResetsPromise,
    /// A7 broken: with a snapshot all votes go, those above it as well.
    InstallDropsVotes,
    /// D5 broken: a process that was frozen takes what arrived meanwhile by the clock that it had read before.
    ClockReadEarly,
    /// D5 broken: the clock is the wall clock, which is set back now and then.
    WallClock,
    /// D5 not quite kept: a read is served a good while after the lease was looked at.
    ReadServedLate,
    /// A rule of the core is broken.
    Core(paxos::mutant::Mutant),
}

/// The mutants at the border: name, mutant, and the rule that it breaks.
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
    ("repeat-applied", Mutant::RepeatApplied, "X1"),
    ("earlier-process-applied", Mutant::EarlierProcessApplied, "X1"),
    ("lose-synced", Mutant::LoseSynced, "A2"),
    ("amnesia", Mutant::Amnesia, "A6"),
    ("snapshot-behind", Mutant::SnapshotBehind, "C3"),
    ("piece-unverified", Mutant::PieceUnverified, "C3"),
    ("install-resets-promise", Mutant::InstallResetsPromise, "A7"),
    ("install-drops-votes", Mutant::InstallDropsVotes, "A7"),
    ("clock-read-early", Mutant::ClockReadEarly, "D5"),
    ("wall-clock", Mutant::WallClock, "D5"),
    ("read-served-late", Mutant::ReadServedLate, "D5"),
];

impl Mutant {
    /// The mutant of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Mutant> {
        Mutant::all().find(|mutant| mutant.name() == name)
    }

    /// Every mutant of this build.
    pub fn all() -> impl Iterator<Item = Mutant> {
        let core: &[paxos::mutant::Mutant] = if paxos::MUTABLE {
            paxos::mutant::Mutant::ALL
        } else {
            &[]
        };
        let border = MUTANTS.iter().map(|(_, mutant, _)| *mutant);
        border.chain(core.iter().copied().map(Mutant::Core))
    }

    /// Makes the core wrong in this way, or right, for every replica on this thread.
    pub(crate) fn set(mutant: Option<Mutant>) {
        #[cfg(feature = "mutants")]
        paxos::mutant::set(match mutant {
            Some(Mutant::Core(core)) => Some(core),
            _ => None,
        });
        #[cfg(not(feature = "mutants"))]
        assert!(
            !matches!(mutant, Some(Mutant::Core(_))),
            "build the simulator with `--features mutants` to make its core wrong"
        );
    }

    /// How often a replica on this thread asked whether it is wrong, and was, since the last [`set`](Mutant::set).
    pub(crate) fn asked() -> u64 {
        #[cfg(feature = "mutants")]
        let asked = paxos::mutant::hits();
        #[cfg(not(feature = "mutants"))]
        let asked = 0;
        asked
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mutant::Core(core) => core.name(),
            border => border.listed().map_or("?", |(name, ..)| name),
        }
    }

    /// Whether it does harm only where members and quorum system change.
    pub(crate) fn needs_changes(self) -> bool {
        use paxos::mutant::Mutant::{CanvassUntold, LeaseOfOldConfiguration};
        let besides = [CanvassUntold, LeaseOfOldConfiguration];
        matches!(self, Mutant::Core(core) if core.rule().starts_with('R') || besides.contains(&core))
    }

    /// The rule that it breaks.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Mutant::Core(core) => core.rule(),
            border => border.listed().map_or("?", |(.., rule)| rule),
        }
    }

    /// Its number in the list of mutants; empty if it came later.
    #[must_use]
    pub fn row(self) -> &'static str {
        match self {
            Mutant::Core(core) => core.row(),
            Mutant::AcknowledgeBeforeSync => "4, 32",
            Mutant::SyncOffByOne => "33",
            Mutant::ForgetPromise => "4, 5",
            Mutant::ForgetVotes => "37",
            Mutant::ClaimFlushed => "70",
            Mutant::ReadLocally => "40",
            Mutant::LoseSynced => "34, 35",
            Mutant::Amnesia => "36",
            Mutant::SnapshotBehind => "67",
            Mutant::InstallResetsPromise | Mutant::InstallDropsVotes => "69",
            Mutant::WallClock => "47",
            Mutant::ClockReadEarly => "48",
            Mutant::ReadServedLate => "49",
            Mutant::RepeatApplied => "62, 66",
            Mutant::EarlierProcessApplied => "64",
            Mutant::ApplyTwice | Mutant::SkipEntry | Mutant::UnknownIsRefused | Mutant::PieceUnverified => "",
        }
    }

    fn listed(self) -> Option<&'static (&'static str, Mutant, &'static str)> {
        MUTANTS.iter().find(|(_, mutant, _)| *mutant == self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for mutant in Mutant::all() {
            assert_eq!(Mutant::named(mutant.name()), Some(mutant), "{}", mutant.name());
        }
        assert_eq!(Mutant::named("none"), None);
    }
}
