//! What happened: faults by kind, and the "sometimes" that every longer run must have seen. A run in which nothing
//! happened proves nothing.

/// A closed set of things that are counted, each with the name that reports show.
macro_rules! counted {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every kind, in the order of reports.
            pub const ALL: &[$name] = &[$($name::$variant,)+];

            /// The name that reports show.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }

        impl From<$name> for usize {
            fn from(kind: $name) -> usize { kind as usize }
        }
    };
}
pub(crate) use counted;

counted! {
    /// A fault that the simulator injects.
    Fault {
        /// A message was lost.
        Lost = "messages lost",
        /// A message was delivered twice.
        Repeated = "messages repeated",
        /// A message was held back far longer than its successors.
        Straggled = "messages straggled",
        /// A message ran into a cut link.
        Cut = "messages cut off",
        /// A message reached a node that was down.
        Unheard = "messages to nobody",
        /// A process died between two events.
        Crash = "crashes",
        /// A process died between two outputs of one step.
        CrashInStep = "crashes in mid-step",
        /// A process started again.
        Restart = "restarts",
        /// A crash lost writes that were not synced.
        WritesLost = "unsynced writes lost",
        /// A process was frozen and later went on.
        Pause = "pauses",
        /// One node was cut off in both directions.
        Isolation = "isolations",
        /// One direction of one node's links was cut.
        OneWay = "one-way cuts",
        /// The cluster was split in two.
        Split = "splits",
        /// One region was cut off.
        RegionCut = "region cuts",
        /// Every link was cut or not at random.
        Scramble = "scrambled links",
        /// The cluster was split, but for one node that heard both sides.
        Bridge = "bridges",
        /// Every node heard a majority, no two the same.
        Ring = "majority rings",
        /// A link went down and up many times.
        Flap = "flapping links",
        /// Links were clogged and unclogged one by one.
        Swizzle = "swizzles",
        /// Everything under way between two nodes was lost.
        Reset = "connections reset",
        /// A message was damaged, noticed by its checksum, and its connection reset.
        Damaged = "messages damaged",
        /// A node's links became slow and lossy.
        Degraded = "degraded links",
        /// A disk became slow.
        SlowDisk = "slow disks",
        /// A disk had no room.
        FullDisk = "full disks",
        /// A disk had little room, and its node was told.
        LowDisk = "disks with little room",
        /// A sync failed, and its process ended (A5).
        SyncFailed = "failed syncs",
        /// Something on a disk decayed.
        BitRot = "rotten records",
        /// A disk was replaced by an empty one.
        Wiped = "wiped disks",
        /// A state was restored from a backup.
        OldState = "states restored from backups",
        /// A state was lost, and its journal was not.
        LostState = "states lost",
        /// An operator asked for another configuration.
        Change = "changes of configuration asked for",
        /// A piece of a snapshot was damaged, as its checksum shows.
        PieceDamaged = "snapshot pieces damaged",
        /// A process died soon after its start, several times.
        CrashLoop = "crash loops",
        /// A clock jumped forward.
        ClockJump = "clock jumps",
        /// A clock changed its rate.
        ClockRate = "clock rates changed",
        /// A client did not wait for its answer.
        Abandoned = "abandoned requests",
    }
}

counted! {
    /// Something that good runs have sometimes seen.
    Sometimes {
        /// A node began to lead.
        Elected = "a leader was elected",
        /// A node began phase 1 while another was in it.
        Duel = "two candidates duelled",
        /// A leader or candidate gave way to a higher ballot.
        SteppedDown = "a leader or candidate stepped down",
        /// The leader's process died.
        LeaderCrashed = "a leader crashed",
        /// The leader's process was paused.
        LeaderPaused = "a leader was paused",
        /// A new leader proposed again what an old one had proposed.
        Recovered = "a value was recovered",
        /// The same, where votes for different values existed.
        ConflictRecovered = "a conflicting value was recovered",
        /// A value that an old leader proposed lost its slot to another.
        Superseded = "a proposal lost its slot to another value",
        /// A hole was filled with a no-op.
        HoleFilled = "a hole was filled with a no-op",
        /// A vote was refused for a higher promise.
        Refused = "a vote or promise was refused",
        /// A leader lost its quorum and said so.
        QuorumLost = "a leader missed its quorum",
        /// And found it again.
        QuorumRegained = "a leader found its quorum again",
        /// A promise did not fit one page.
        PagedPromise = "a promise took several pages",
        /// A promise held nothing but decided slots for a lagging candidate.
        AheadPromise = "a promise was ahead of its candidate",
        /// An acceptor answered that a slot was decided long ago.
        Decided = "an accept met a decided slot",
        /// A node fetched chosen slots.
        CaughtUp = "a node caught up from a peer",
        /// Slots were read back from a journal for a peer.
        LoadedFromJournal = "a peer was served from the journal",
        /// A journal was trimmed.
        JournalTrimmed = "a journal was trimmed",
        /// A crash kept some unsynced writes and lost others.
        SyncTorn = "a crash cut a group of writes in two",
        /// A node recovered votes that it had not known to be chosen.
        OpenVotesRecovered = "a node restarted with open votes",
        /// A state machine restarted behind what it had applied.
        StateReplayed = "a state machine replayed entries",
        /// A write sent to a follower was done.
        WriteForwarded = "a forwarded write was done",
        /// A read was served by the leader.
        LeaderRead = "a leader served a read",
        /// A read was served by a node that does not lead.
        FollowerRead = "a follower served a read",
        /// A client was told that its write may or may not be done.
        Unknown = "a write ended unknown",
        /// A write with unknown outcome was chosen after all.
        UnknownDone = "an unknown write was done",
        /// A command was chosen in a second slot.
        ChosenAgain = "a command was chosen again and did nothing",
        /// A journal that could not show itself to be whole was not opened (A6).
        StartRefused = "a damaged journal was not opened",
        /// A rotten entry was noticed when a peer asked for it.
        RotNoticed = "a rotten entry was noticed when read",
        /// A process could not start because its disk was full.
        NoRoom = "a start found no room",
        /// A node with an empty disk came back as a new incarnation, which nobody knows.
        NewLife = "a wiped node came back as another incarnation",
        /// A client asked again what was not done, or perhaps not.
        Retried = "a request was retried",
        /// The store refused a command that was chosen.
        Faulty = "a chosen command was faulty",
        /// A state machine took out some of what compaction had left over.
        Swept = "what compaction left over was swept",
        /// What clients saw was judged from the outside, key by key.
        JudgedOutside = "a history was judged from the outside",
        /// And could not be judged within the limit of steps.
        Undecided = "a history from the outside was undecided",
        /// A client was refused.
        RefusedRequest = "a request was refused",
        /// A node needed slots that no peer it knows has.
        OutOfReach = "a node fell out of reach",
        /// A node ignored a message meant for another or another life of it.
        Misaddressed = "a misaddressed message was ignored",
        /// Several commands shared a slot.
        Batched = "commands shared a slot",
        /// Nodes without a phase-2 quorum were left to themselves, and got nothing done.
        Starved = "too few nodes went on, in vain",
        /// A journal was trimmed past what some member had durably applied.
        TrimmedPastMember = "a journal was trimmed past a member",
        /// A node started with a peer's state.
        SnapshotInstalled = "a snapshot was installed",
        /// A candidate had to end for a snapshot.
        InstalledInPhase1 = "a snapshot was installed in mid-phase-1",
        /// Pieces were asked for again, and not from the first on.
        SnapshotResumed = "a snapshot was resumed after a cut",
        /// A node without a state got one.
        StateRebuilt = "a lost state was rebuilt",
        /// A leader gave way because its own disk stalled.
        Stalled = "a leader's disk stalled",
        /// The liveness phase ran with a core smaller than the cluster.
        SmallCore = "a core smaller than the cluster went on",
        /// An operator was told that his change is made.
        ChangeDone = "a change of configuration was made",
        /// Or refused.
        ChangeRefused = "a change of configuration was refused",
        /// Or in doubt.
        ChangeUnknown = "a change of configuration ended unknown",
        /// A leader had the promises of a new configuration (R3).
        OpenedLater = "a leader opened a new configuration's slots",
        /// A configuration was retired.
        Retired = "a configuration was retired",
        /// A node that was needed no more was switched off.
        SwitchedOff = "a removed node was switched off",
        /// A removed node was told that it may stop.
        MayStop = "a removed node was told that it may stop",
        /// A leader was no voter any more.
        LeftOut = "a leader was left out of the new configuration",
        /// A leader served a read of its client while it held a lease.
        LeaseRead = "a read was served under a lease",
        /// With leases on, a leader without one served a read by a round.
        ReadWithoutLease = "a leader without a lease asked around",
        /// A node said how old its state is, and clocks could be trusted to judge it.
        StalenessJudged = "a node said how old its state is",
        /// A leader that held a lease was frozen until it had passed.
        LeaseRanOut = "a lease ran out in a pause",
        /// An acceptor did not answer a candidate for the sake of a lease.
        PrepareWithheld = "a lease held back a candidate",
        /// A leader handed over to the node it meant to.
        HandedOver = "leadership was handed over",
        /// A successor did not take over in time, or another was faster.
        HandOverFailed = "a hand-over came to nothing",
        /// A hand-over was not even begun.
        HandOverRefused = "a hand-over was refused",
    }
}

counted! {
    /// A step at which a process can die.
    Step {
        /// It has started on what its disk holds, and done nothing yet.
        Started = "started, nothing done",
        /// A write waits for the disk.
        Queued = "a write queued",
        /// A message that rests on nothing new has left.
        Sent = "a message sent",
        /// Writes are durable, and none of their messages has left.
        Synced = "writes synced, nothing released",
        /// Some messages of a sync have left.
        Released = "some messages released",
        /// An entry was handed to the applier.
        Handed = "an entry handed over",
        /// Entries are applied, and nobody was told.
        Applied = "entries applied, nothing answered",
        /// The first of several clients was told.
        Answered = "a client answered",
        /// The state is durable, and the replica does not know.
        Flushed = "the state flushed, not reported",
        /// The journal was told to forget.
        Trimmed = "a trim queued",
        /// A piece of a snapshot is staged, and the replica does not know.
        Staged = "a piece staged, not reported",
        /// A snapshot is whole and durable, and the replica does not know.
        SnapshotComplete = "a snapshot staged, not installed",
        /// The state is a peer's, and the journal has not forgotten what came with it.
        Installed = "a snapshot installed, the journal not trimmed",
    }
}

/// How often each kind was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    counts: Vec<u64>,
}

impl Counts {
    /// All zero, for `kinds` kinds.
    pub(crate) fn new(kinds: usize) -> Counts {
        Counts { counts: vec![0; kinds] }
    }

    /// Counts one.
    pub(crate) fn hit(&mut self, kind: impl Into<usize>) {
        self.counts[kind.into()] += 1;
    }

    /// Counts several at once.
    pub(crate) fn add(&mut self, kind: impl Into<usize>, times: u64) {
        self.counts[kind.into()] += times;
    }

    /// How often one kind was seen.
    #[must_use]
    pub fn of(&self, kind: impl Into<usize>) -> u64 {
        self.counts[kind.into()]
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Counts) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }
}

/// Everything that is counted in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// By [`Fault`].
    pub faults: Counts,
    /// Processes that died, by [`Step`].
    pub steps: Counts,
    /// By [`Sometimes`].
    pub sometimes: Counts,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            faults: Counts::new(Fault::ALL.len()),
            steps: Counts::new(Step::ALL.len()),
            sometimes: Counts::new(Sometimes::ALL.len()),
        }
    }
}

impl Tally {
    /// Adds what another run saw.
    pub fn merge(&mut self, other: &Tally) {
        self.faults.merge(&other.faults);
        self.steps.merge(&other.steps);
        self.sometimes.merge(&other.sometimes);
    }
}
