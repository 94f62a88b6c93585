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
    /// Two ballots of one round count as the same, as if ballots did not contain their leader.
    RoundsOnly = "rounds-only", "2", "A1";
    /// A promise reports no votes.
    VotesUnreported = "votes-unreported", "", "A1";
    /// A promise reports the vote in the highest slot only.
    OnlyLastReported = "only-last-reported", "16", "A1";
    /// A value learned above a gap is reported as if it had been voted for in the lowest ballot.
    LearnedOutranked = "learned-outranked", "", "A1";
    /// An `Accept` in the very ballot that was promised is refused.
    AcceptStrict = "accept-strict", "6", "A2";
    /// An `Accept` below the promise is voted for.
    AcceptUnchecked = "accept-unchecked", "7", "A2";
    /// An `Accept` is compared with the vote in its slot, not with the promise.
    VoteCompared = "vote-compared", "8", "A2";
    /// A vote does not raise the promise, so a lower ballot may overwrite it.
    VoteUnpromised = "vote-unpromised", "9", "A2";
    /// A vote does not raise the promise, but no lower ballot may overwrite it.
    VoteKept = "vote-kept", "10", "A2";
    /// A promise leaves before it is durable.
    PromiseBeforeWrite = "promise-before-write", "4", "A3";
    /// An `Accepted` leaves before the vote is durable.
    VoteBeforeWrite = "vote-before-write", "32", "A3";
    /// An answer that changes nothing overtakes the writes that it rests on.
    AnswerOvertakes = "answer-overtakes", "", "A3";
    /// A leader counts its own vote before it is durable.
    OwnVoteEarly = "own-vote-early", "24", "A3";
    /// Members are told apart by their node id alone, whichever life of its disk it is.
    EarlierLivesCounted = "earlier-lives-counted", "23, 59", "A8";
    /// An `Accept` in the chosen prefix is voted for.
    ChosenOverwritten = "chosen-overwritten", "", "A9";
    /// An `Accept` for another value than the one learned is answered as if it had been voted for.
    LearnedContradicted = "learned-contradicted", "", "A9";
    /// A restarted node stands under the ballot that it finds on its disk.
    BallotReused = "ballot-reused", "31", "L1";
    /// A `Prepare` leaves before the candidate's own promise is durable.
    PrepareBeforeWrite = "prepare-before-write", "", "L1";
    /// A candidate asks only about the slots in which it holds nothing.
    PreparedFromLast = "prepared-from-last", "", "L2";
    /// A leader does not keep to the window.
    WindowIgnored = "window-ignored", "53", "L3 i";
    /// A candidate leads without waiting for a phase-1 quorum.
    PhaseOneSkipped = "phase-1-skipped", "", "L3 ii";
    /// A phase-1 quorum is judged by the rule for phase 2.
    PhaseTwoTwice = "phase-2-twice", "25, 26", "L3 ii";
    /// A promise that arrives twice counts as two.
    PromiseCountedTwice = "promise-counted-twice", "", "L3 ii";
    /// A promise of an older candidacy counts for this one.
    OldPromiseCounted = "old-promise-counted", "21", "L3 ii";
    /// A candidate takes the last vote that it hears of, whatever its ballot.
    AdoptAny = "adopt-any", "11", "L3 iii";
    /// A candidate takes the first vote that it hears of.
    AdoptFirst = "adopt-first", "12", "L3 iii";
    /// A candidate takes the vote of the lowest ballot.
    AdoptLowest = "adopt-lowest", "12", "L3 iii";
    /// A candidate ignores the votes that are reported to it.
    AdoptNone = "adopt-none", "13", "L3 iii";
    /// A candidate believes in a vote only when a second acceptor reports one for the slot.
    AdoptConfirmed = "adopt-confirmed", "14", "L3 iii";
    /// A candidate takes of each promise only the votes of its highest ballot.
    AdoptByAcceptor = "adopt-by-acceptor", "15", "L3 iii";
    /// A new leader begins above all reported votes and leaves what is below as it is.
    HolesLeft = "holes-left", "17", "L3 iii";
    /// A slot for which no vote was reported is filled with a command, not with a no-op.
    HoleFilled = "hole-filled", "18", "L3 iii";
    /// A leader that sends an `Accept` again sends another value.
    TwoValues = "two-values", "30", "L4";
    /// A leader counts `Accepted`s, not the members that sent them.
    DuplicatesCounted = "duplicates-counted", "20", "L5";
    /// A leader takes a slot for chosen at the first vote.
    ChosenByOne = "chosen-by-one", "", "L5";
    /// An `Accepted` of an older ballot counts for this one.
    BallotsSummed = "ballots-summed", "22", "L5";
    /// The chosen prefix reaches to the last chosen slot, over gaps.
    PrefixOverGaps = "prefix-over-gaps", "76", "L5";
    /// Nobody gives way because of a higher ballot that it is asked to promise or that is heard of.
    HigherBallotIgnored = "higher-ballot-ignored", "", "L6";
    /// A rejection is not heeded.
    RejectIgnored = "reject-ignored", "80", "L6";
    /// A leader that learns another value than its own goes on.
    OvertakenUnnoticed = "overtaken-unnoticed", "", "L6";
    /// A candidate leads before it has learned what is decided.
    DecidedIgnored = "decided-ignored", "", "L7";
    /// A leader goes on while its state machine is far behind.
    MachineOutrun = "machine-outrun", "", "L8";
    /// An `Accept` goes to one phase-2 quorum first, and to others when that does not answer.
    Thrifty = "thrifty", "77", "L8";
    /// The first page of a promise passes for the whole.
    PartialPromise = "partial-promise", "19", "L9";
    /// A promise does not say up to where slots are chosen or trimmed.
    PrefixUnreported = "prefix-unreported", "71", "L10";
    /// A follower takes its vote for the chosen value, whatever ballot it was given in.
    AnyVoteBlessed = "any-vote-blessed", "74", "C1";
    /// A peer that fetches is served votes as well as chosen values.
    VotesServed = "votes-served", "73", "C1";
    /// A follower passes over a slot whose value it lacks.
    HoleSkipped = "hole-skipped", "75", "C2";
    /// Entries are applied before this node's own copy is durable.
    AppliedBeforeDurable = "applied-before-durable", "", "C2";
    /// Whoever fetches what is trimmed gets no answer.
    TrimmedUntold = "trimmed-untold", "", "C3";
    /// Nobody asks for a snapshot.
    NoSnapshot = "no-snapshot", "72", "C3";
    /// A journal is trimmed behind its own state machine alone.
    TrimmedAlone = "trimmed-alone", "", "C4";
    /// A journal is trimmed behind what is applied, durable or not.
    TrimmedUnflushed = "trimmed-unflushed", "70", "C4";
    /// A node that misses its leader stands without asking whether others do.
    CanvassSkipped = "canvass-skipped", "", "E1";
    /// A node that hears a working leader grants a canvass.
    CanvassGranted = "canvass-granted", "", "E1";
    /// A candidate that is refused stands again at once, and nobody waits at random.
    NoBackOff = "no-back-off", "81", "E2";
    /// Who is asked whether it misses the leader too does not say how much is chosen.
    CanvassUntold = "canvass-untold", "", "E1";
    /// A leader that hears no phase-2 quorum does not notice.
    AilingUnnoticed = "ailing-unnoticed", "", "E3";
    /// A follower waits for a leader that says it hears no phase-2 quorum.
    AilingFollowed = "ailing-followed", "", "E3";
    /// A node without room on its disk goes on as if it had some.
    SpaceIgnored = "space-ignored", "", "E5";
    /// A configuration is in force from the slot on that follows the one it was chosen in.
    InForceAtOnce = "in-force-at-once", "52", "R1";
    /// An acceptor that votes for a change takes it for made.
    InForceWhenVoted = "in-force-when-voted", "51", "R1";
    /// A change is made while another one is pending.
    PendingIgnored = "pending-ignored", "55", "R2";
    /// A node that knows of an old configuration not retired yet takes the next change for void.
    ChangeJudgedLocally = "change-judged-locally", "56", "R2";
    /// A leader proposes in the slots of a new configuration without asking its members for its ballot.
    NewcomersUnasked = "newcomers-unasked", "54", "R3";
    /// A leader waits for promises of a new configuration's members and does not ask for them.
    NewcomersLeftAlone = "newcomers-left-alone", "", "R3";
    /// A leader does not fill the window before a new configuration.
    WindowUnfilled = "window-unfilled", "", "R4";
    /// A learner counts in quorums like a voter.
    LearnerCounted = "learner-counted", "58", "R5";
    /// A change is proposed whoever has caught up.
    BehindAccepted = "behind-accepted", "", "R5";
    /// An old configuration is retired as soon as the new one is chosen.
    RetiredWhenChosen = "retired-when-chosen", "57", "R6";
    /// An old configuration is retired when a phase-2 quorum of the new one knows all its slots, kept on disks or not.
    RetiredUnkept = "retired-unkept", "", "R6";
    /// A change is proposed though the loss of one disk or one zone may then lose what was acknowledged.
    FrailAccepted = "frail-accepted", "", "R7";
    /// A leader that is no voter of the configuration in force leads on.
    LeftOutLeads = "left-out-leads", "", "R8";
    /// A leader serves reads without a round.
    ReadUnconfirmed = "read-unconfirmed", "40", "D1";
    /// Reads are confirmed by a round that began before they arrived.
    RoundBeforeRead = "round-before-read", "42", "D1";
    /// A round is confirmed by a majority of heads, whatever the quorum system.
    HeadsCounted = "heads-counted", "41", "D1";
    /// An acceptor that has promised a higher ballot answers heartbeats as before.
    HeartbeatAlwaysAnswered = "heartbeat-always-answered", "82", "D1";
    /// A new leader confirms reads up to its own chosen prefix, not to its horizon.
    HorizonIgnored = "horizon-ignored", "39", "D2";
    /// A leader counts its lease from when the answer arrives.
    LeaseFromReceipt = "lease-from-receipt", "43", "D3";
    /// A lease holds if a majority of heads granted it, whatever the quorum system.
    LeaseByHeads = "lease-by-heads", "44", "D3";
    /// An acceptor that has granted a lease promises a higher ballot all the same.
    GrantIgnored = "grant-ignored", "", "D3";
    /// A holder counts its lease as if all clocks ran alike.
    DriftIgnored = "drift-ignored", "46", "D3";
    /// A lease holds if it is granted by a quorum of the configuration of the next slot.
    LeaseOfOldConfiguration = "lease-of-old-configuration", "60", "D3";
    /// A restarted acceptor promises at once.
    GrantForgotten = "grant-forgotten", "45", "D4";
    /// A leader that hands over reads on under the leases that its successor may pass over.
    LeaseKept = "lease-kept", "50", "E4";
    /// A leader that has once given its leases back is passed over for ever.
    ReleaseForEver = "release-for-ever", "", "E4";
    /// A follower serves a read at once when the leader answers.
    PrefixNotAwaited = "prefix-not-awaited", "", "D6";
    /// A read is served when its prefix is chosen, not when it is applied.
    ReadBeforeApplied = "read-before-applied", "79", "D6";
    /// A node takes its state for as new as the heartbeat's arrival.
    FreshFromArrival = "fresh-from-arrival", "", "D6";
    /// A `Forward` that arrives twice is taken twice.
    ForwardTakenTwice = "forward-taken-twice", "", "X2";
    /// A `Forward` that arrives twice is refused the second time.
    RepeatRefused = "repeat-refused", "", "X2";
    /// A restarted node refuses what was forwarded to its earlier process.
    EarlierProcessRefuses = "earlier-process-refuses", "", "X2";
    /// Commands in doubt after a change of leader are refused.
    DoubtRefused = "doubt-refused", "", "X2";
    /// A command that is tried again because it was in doubt is refused like one that never was.
    DoubtForgotten = "doubt-forgotten", "", "X2";
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
