//! The two phases: promise and vote, and which value a leader proposes.

use super::Expected::{Killed, Stuck, Survives};
use super::{Chapter, Entry};
use crate::checker::Property::{Acknowledged, Agreement, Evidence, NoPanic, NoVoteBelow, PromisesGrow};

pub(super) const VOTES: Chapter = Chapter {
    title: "Promise and vote",
    introduction: "An acceptor does two things. In phase 1 it promises a ballot, which means that it will vote in no lower one, and \
tells the candidate what it has voted for so far. In phase 2 it votes for what a leader proposes. Both rest on one comparison each, and \
both comparisons are easy to get wrong.",
    entries: &[
        Entry {
            name: "promise-lowered",
            title: "A promise that can be taken back",
            change: "An acceptor grants a late `Prepare` of a lower ballot, and from then on its promise is the lower one.",
            outcome: "The higher candidate was told that nobody in its quorum would vote below its ballot again. It sees no votes and \
proposes what it likes; the lower leader, let in again through the back door, gets its own value chosen beside it.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "rounds-only",
            title: "Ballots without their leader",
            change: "Two ballots of the same round count as equal, as if the number alone were the ballot.",
            outcome: "Two candidates stand in the same round, and an acceptor promises both and votes for both: neither outranks the \
other. This is why a ballot is a pair of round and leader, so that no two leaders ever share one.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "votes-unreported",
            title: "A promise that keeps silent about votes",
            change: "An acceptor promises, and does not say what it has voted for.",
            outcome: "The candidate believes the slot to be free, though a value is already chosen there. The promise alone only stops \
the past from going on; the report is what carries it into the future.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "only-last-reported",
            title: "A report of the highest slot only",
            change: "An acceptor reports its vote in the highest slot and leaves out the others.",
            outcome: "One promise speaks for all slots, so its report must too. The new leader takes the slot below for a hole and fills \
it with a no-op, over a value that was chosen there.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "accept-unchecked",
            title: "A vote below the promise",
            change: "An acceptor votes for whatever it is sent, whatever it has promised.",
            outcome: "The promise is worth nothing: an `Accept` that was under way for long completes a quorum of the old ballot after the \
new leader had found the slot free.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "vote-compared",
            title: "An `Accept` compared with the vote instead of the promise",
            change: "An acceptor refuses an `Accept` only if it has voted in a higher ballot in that slot; its promise is not looked at.",
            outcome: "An acceptor that has promised and not voted yet has nothing to compare with, so it votes below its promise, as in \
the mutant before.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "vote-unpromised",
            title: "A vote that promises nothing",
            change: "An acceptor that votes in a ballot higher than its promise keeps the old promise.",
            outcome: "It may then vote again in a lower ballot, and because it keeps one vote for each slot, the lower vote replaces the \
higher one. The next candidate reads the lower vote and revives a value that had lost.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "vote-kept",
            title: "A vote that promises nothing, but is not replaced by a lower one",
            change: "As before, a vote does not raise the promise; but an `Accept` below the vote in its slot is refused.",
            outcome: "This is safe: what matters is that no lower vote hides a higher one, and that promises given in phase 1 are kept. \
Raising the promise is the simpler way to the same end, and it lets one number stand for the whole acceptor. (The checkers that state the \
rule itself are not asked here.)",
            expected: Survives(&[NoVoteBelow, PromisesGrow, Evidence]),
        },
        Entry {
            name: "accept-strict",
            title: "The swapped comparison",
            change: "An acceptor votes only in ballots strictly higher than its promise.",
            outcome: "Nothing wrong can be chosen, because nothing can be: every acceptor that promised the leader's ballot refuses the \
leader's proposals. A model or a simulator that checks safety alone passes this with honours. That is why both must also show that \
something is chosen.",
            expected: Stuck,
        },
        Entry {
            name: "higher-ballot-ignored",
            title: "A leader that promises a higher ballot and goes on",
            change: "A node that promises another candidate's ballot does not give way, though it leads or stands itself.",
            outcome: "Its own acceptor would have to vote below its promise. The replica refuses to: it stops at an assertion before a \
wrong message leaves it.",
            expected: Killed(NoPanic),
        },
    ],
};

pub(super) const VALUES: Chapter = Chapter {
    title: "What a leader may propose",
    introduction: "When a phase-1 quorum has promised, the candidate leads. Its reports tell it what may have been chosen already, and \
rule L3 (iii) says what to do with them: propose the value of the highest ballot reported. It is the heart of Paxos, and each word of it \
has a mutant.",
    entries: &[
        Entry {
            name: "adopt-none",
            title: "Reports that nobody reads",
            change: "A new leader proposes its own commands from the first free slot on, whatever was reported.",
            outcome: "A value that a quorum had voted for is simply overwritten.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "adopt-any",
            title: "Any reported value",
            change: "A candidate takes the vote that arrived last, whatever its ballot.",
            outcome: "Two different values were voted for in different ballots, and only the higher can have been chosen after the lower \
failed. It takes three ballots to show: the model with two passes.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "adopt-first",
            title: "The first value that is reported",
            change: "A candidate takes the vote that arrived first and ignores later ones.",
            outcome: "Which report arrives first says nothing about which value may be chosen. Here it is the candidate's own: C voted x at 1.C, \
long before B voted y at 2.B.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "adopt-lowest",
            title: "The oldest value that is reported",
            change: "A candidate takes the vote of the lowest ballot.",
            outcome: "First come, first served is natural, and wrong: an old vote may be for a value that lost, while the newer ballot \
has chosen.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "adopt-confirmed",
            title: "Only what is surely chosen",
            change: "A candidate believes a vote only when a second acceptor of its quorum reports one for the slot as well.",
            outcome: "A phase-1 quorum need not contain the whole phase-2 quorum that chose; they meet in one acceptor, and its word must \
be enough.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "adopt-by-acceptor",
            title: "One ballot for all slots of an acceptor",
            change: "Of each promise the candidate takes only the votes of that acceptor's highest ballot.",
            outcome: "Each slot is an instance of Paxos of its own. A vote of a newer ballot in one slot says nothing about another slot, \
where the older vote is the one that counts.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "prepared-from-last",
            title: "Asking only about empty slots",
            change: "A candidate asks for the votes in slots above its own last vote.",
            outcome: "Its own vote in a slot is no knowledge of what is chosen there, and others may have voted in slots that it never \
heard of. It must ask about all slots above the prefix that it knows to be chosen.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "two-values",
            title: "Two values under one ballot",
            change: "A leader that sends an `Accept` again sends a no-op instead of the value that it sent first.",
            outcome: "Votes are counted by ballot and slot, because under one ballot there is one value. With two, the leader takes votes \
for the second as votes for the first, and tells a client that its command is done.",
            expected: Killed(Acknowledged),
        },
        Entry {
            name: "hole-filled",
            title: "Commands in holes",
            change: "A new leader fills a slot for which no vote was reported with a waiting command instead of a no-op.",
            outcome: "This is safe: where a whole phase-1 quorum reports no vote, nothing was chosen in a lower ballot, and any value is \
allowed. The no-op is a choice: it keeps commands in the order in which they were proposed.",
            expected: Survives(&[]),
        },
        Entry {
            name: "holes-left",
            title: "Holes that stay",
            change: "A new leader begins above every reported vote and leaves the slots below as they are.",
            outcome: "What is below may never be chosen, and entries are applied in order: the state machines of the whole cluster wait \
for ever. Filling holes is what L3 (iii) asks the leader for first.",
            expected: Stuck,
        },
        Entry {
            name: "window-ignored",
            title: "No window",
            change: "A leader proposes in any slot, however far above the chosen prefix.",
            outcome: "As long as all slots have the same members this is safe. The window bounds what a successor has to recover, and \
it is what makes it safe to change the members: in a slot above it, the leader cannot know yet who may vote. A checker therefore \
holds every proposal against the window.",
            expected: Killed(crate::checker::Property::Window),
        },
        Entry {
            name: "machine-outrun",
            title: "A leader that outruns its state machine",
            change: "A leader goes on proposing while its own state machine is many windows behind.",
            outcome: "Nothing wrong is chosen; what waits to be applied grows without bound. A golden script of the core holds this rule.",
            expected: Survives(&[]),
        },
    ],
};
