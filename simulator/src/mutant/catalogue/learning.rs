//! Learning what is chosen, and forgetting it again.

use super::Expected::{Killed, Stuck, Survives};
use super::{Chapter, Entry};
use crate::checker::Property::{Applied, Floor};

pub(super) const LEARNING: Chapter = Chapter {
    title: "Learning what is chosen",
    introduction: "That a value is chosen is a fact about many disks; that a node knows it is a matter of its own. What a node takes for \
chosen it applies, tells its clients and serves to its peers, so a mistake here is as bad as two chosen values.",
    entries: &[
        Entry {
            name: "any-vote-blessed",
            title: "A vote of another ballot, taken for the chosen value",
            change: "When a leader announces a prefix, a follower takes its own votes there for the chosen values, whatever ballot they are \
of.",
            outcome: "A vote of an older ballot may be for a value that lost. Only a vote of exactly the announcing ballot is for the \
announced value, because a ballot has one value in a slot.",
            expected: Killed(Applied),
        },
        Entry {
            name: "votes-served",
            title: "Votes, served as chosen values",
            change: "A peer that is asked for chosen values sends its votes as well.",
            outcome: "The one who asked cannot tell the difference.",
            expected: Killed(Applied),
        },
        Entry {
            name: "hole-skipped",
            title: "A slot passed over",
            change: "A follower that lacks the value of a slot in the announced prefix goes on with the next.",
            outcome: "Its state lacks a command for ever, and nothing tells it.",
            expected: Killed(Applied),
        },
        Entry {
            name: "applied-before-durable",
            title: "Applied, and not in the journal",
            change: "An entry is applied before this node's own copy of it is durable.",
            outcome: "The state machine survives the crash, the journal's copy does not, and an old vote comes to light in its place. The \
node knows that slot to be applied, so it serves the old vote to a peer as the chosen value.",
            expected: Killed(Applied),
        },
        Entry {
            name: "apply-twice",
            title: "Applied twice",
            change: "The state machine makes its effects durable without the slot that they belong to.",
            outcome: "After a crash it asks for the entry again.",
            expected: Killed(Applied),
        },
        Entry {
            name: "skip-entry",
            title: "Taken for applied",
            change: "After a restart the first entry is taken for applied already.",
            outcome: "The effects of one entry are missing at one node.",
            expected: Killed(Applied),
        },
        Entry {
            name: "chosen-overwritten",
            title: "A vote over what is known as chosen",
            change: "An acceptor votes in slots that it knows to be chosen, and the vote replaces the value there.",
            outcome: "A leader that was deposed by a ballot which this acceptor was not asked to promise still sends its old proposals. \
They are below no promise here, and wrong all the same.",
            expected: Killed(Applied),
        },
        Entry {
            name: "learned-contradicted",
            title: "Yes to a value that is known to be wrong",
            change: "An acceptor that has learned another value above a gap answers `Accepted`, and keeps what it has learned.",
            outcome: "This is safe, though only just. A quorum that this answer completes would have to meet the phase-1 quorum of the \
ballot that superseded the proposer: either in an acceptor that voted for the old value in time, and then the new leader would have \
adopted it; or in this one, and then it would have refused. Not to answer is easier to trust.",
            expected: Survives(&[]),
        },
        Entry {
            name: "overtaken-unnoticed",
            title: "A deposed leader that has not noticed",
            change: "A leader that learns another value than its own in a slot goes on as if nothing had happened.",
            outcome: "It announces the slot as chosen, which is true, under its own ballot; and followers that voted for its value there \
take that value for the chosen one, by the rule on announcements above.",
            expected: Killed(Applied),
        },
    ],
};

pub(super) const TRIMMING: Chapter = Chapter {
    title: "Forgetting again",
    introduction: "Journals do not grow for ever: what the state machine holds durably everywhere may go, and what it holds durably here \
must go once the log has reached its limits.",
    entries: &[
        Entry {
            name: "trimmed-unflushed",
            title: "Trimmed before the state is durable",
            change: "A node lets go of entries that its state machine has applied, durable or not.",
            outcome: "A crash takes the state machine back, and the entries that it needs to go on are gone.",
            expected: Killed(Floor),
        },
        Entry {
            name: "claim-flushed",
            title: "A state machine that only says that it is durable",
            change: "The state machine reports a flush that did not happen.",
            outcome: "The same from outside the core: the core believes what it is told about the disk.",
            expected: Killed(Floor),
        },
        Entry {
            name: "trimmed-alone",
            title: "Trimmed without asking the others",
            change: "A node trims its journal behind its own state machine, whether or not every member has got that far.",
            outcome: "Nothing wrong is said, and nobody is left behind, because who comes too late gets a copy of the state (C3). But a member \
that is merely slow then fetches all of it for want of a few entries. The wait is for the sake of the links, and its limits for the sake of the disks.",
            expected: Survives(&[]),
        },
        Entry {
            name: "trimmed-untold",
            title: "No word about what is gone",
            change: "A node that is asked for trimmed slots does not answer.",
            outcome: "Nothing wrong is said, but a member that is behind every log never learns that it needs a snapshot, and stays behind.",
            expected: Stuck,
        },
    ],
};
