//! Rules broken on purpose, one at a time: how we know that the checkers see it, and how to learn what a rule is for.
//!
//! Every rule of the protocol has at least one line that keeps it, and a [`Mutant`] that lets go of that line. Where
//! it does, the code asks `mutated(…)`. With the feature `mutants`, which is for tests, the answer depends on what this
//! thread was told with `set`; without it the answer is a constant `false`, and nothing of this is left in a
//! build. [`MUTABLE`](crate::MUTABLE) says which it is, and the node does not compile unless it is the latter.
//!
//! What each mutant is expected to do, and the messages that show it, are in `docs/paxos-made-wrong.md`.

/// Declares the mutants with name, number in the list of mutants, and the rule that is broken.
macro_rules! mutants {
    ($($(#[$meta:meta])* $mutant:ident = $name:literal, $row:literal, $rule:literal;)+) => {
        /// A way in which the core can be wrong.
        #[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
        pub enum Mutant {
            $($(#[$meta])* $mutant,)+
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &'static [Mutant] = &[$(Mutant::$mutant),+];

            /// Its name, for people and command lines.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Mutant::$mutant => $name,)+ }
            }

            /// Its number in the list of mutants; empty if it came later.
            #[must_use]
            pub const fn row(self) -> &'static str {
                match self { $(Mutant::$mutant => $row,)+ }
            }

            /// The rule that it breaks.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self { $(Mutant::$mutant => $rule,)+ }
            }
        }
    };
}

mutants! {
    /// A `Prepare` below the promise is granted, and lowers it.
    PromiseLowered = "promise-lowered", "1", "A1";
    /// An `Accept` below the promise is voted for.
    AcceptUnchecked = "accept-unchecked", "7", "A2";
    /// A vote does not raise the promise, so a lower ballot may overwrite it.
    VoteUnpromised = "vote-unpromised", "9", "A2";
    /// A restarted node stands under the ballot that it finds on its disk.
    BallotReused = "ballot-reused", "31", "L1";
    /// A candidate leads without waiting for a phase-1 quorum.
    PhaseOneSkipped = "phase-1-skipped", "", "L3 ii";
    /// A candidate takes the last vote that it hears of, whatever its ballot.
    AdoptAny = "adopt-any", "11", "L3 iii";
    /// A candidate ignores the votes that are reported to it.
    AdoptNone = "adopt-none", "13", "L3 iii";
    /// A leader that sends an `Accept` again sends another value.
    TwoValues = "two-values", "30", "L4";
    /// A leader counts `Accepted`s, not the members that sent them.
    DuplicatesCounted = "duplicates-counted", "20", "L5";
    /// A leader takes a slot for chosen at the first vote.
    ChosenByOne = "chosen-by-one", "", "L5";
    /// A follower takes its vote for the chosen value, whatever ballot it was given in.
    AnyVoteBlessed = "any-vote-blessed", "74", "C1";
    /// A follower passes over a slot whose value it lacks.
    HoleSkipped = "hole-skipped", "75", "C2";
}

#[cfg(feature = "mutants")]
mod switch {
    use core::cell::Cell;

    use super::Mutant;

    std::thread_local! {
        static NOW: Cell<Option<Mutant>> = const { Cell::new(None) };
        static HITS: Cell<u64> = const { Cell::new(0) };
    }

    /// Makes every replica on this thread wrong in this way, or right again.
    pub fn set(mutant: Option<Mutant>) {
        NOW.set(mutant);
        HITS.set(0);
    }

    /// How often a replica on this thread has gone the wrong way since [`set`]: one that survives without having been
    /// asked shows nothing.
    #[must_use]
    pub fn hits() -> u64 {
        HITS.get()
    }

    /// Whether this rule is broken now. To be asked where it makes a difference, and only there.
    pub(crate) fn mutated(mutant: Mutant) -> bool {
        let yes = NOW.get() == Some(mutant);
        HITS.set(HITS.get() + u64::from(yes));
        yes
    }
}

#[cfg(feature = "mutants")]
pub(crate) use switch::mutated;
#[cfg(feature = "mutants")]
pub use switch::{hits, set};

/// Whether this rule is broken: never, in this build.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn mutated(_: Mutant) -> bool {
    false
}
