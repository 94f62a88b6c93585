//! Quorums, and counting to one.

use super::Expected::Killed;
use super::{Chapter, Entry};
use crate::checker::Property::{Acknowledged, Agreement, Applied, Claims};

pub(super) const COUNTING: Chapter = Chapter {
    title: "Quorums, and counting to one",
    introduction: "Every phase-1 quorum meets every phase-2 quorum; that one acceptor carries what was chosen from the old leader to the \
new. Majorities do this, and so do 3 and 2 of 4, or the rows and columns of a grid: two quorums of the same phase need not meet. All of it \
is lost if a quorum is counted wrongly.",
    entries: &[
        Entry {
            name: "phase-1-skipped",
            title: "No phase 1",
            change: "A candidate leads without waiting for promises.",
            outcome: "It has stopped nobody and asked nobody.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "phase-2-twice",
            title: "Quorums that miss each other",
            change: "A candidate takes a phase-2 quorum for a phase-1 quorum; here two of four, where three must promise.",
            outcome: "Two of four promise, and the two others had chosen. The sizes in a configuration are no preference: 2 and 3 of 4 \
meet, 2 and 2 do not.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "promise-counted-twice",
            title: "One promise, counted twice",
            change: "A candidate counts promises instead of the members that gave them, and the network delivers one of them twice.",
            outcome: "Two of five pass for three. Every message may come again, so quorums are sets of members.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "old-promise-counted",
            title: "A promise of another ballot",
            change: "A candidate counts a promise that answers its earlier candidacy.",
            outcome: "The acceptor promised less than the candidate believes, and votes in the ballots between.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "chosen-by-one",
            title: "Chosen at the first vote",
            change: "A leader takes a slot for chosen when the first vote is in, its own included.",
            outcome: "It tells its client that the command is done, and no other disk has it.",
            expected: Killed(Acknowledged),
        },
        Entry {
            name: "duplicates-counted",
            title: "One vote, counted twice",
            change: "A leader counts `Accepted` messages instead of the members that sent them, and the network delivers one twice.",
            outcome: "Two votes of five pass for three. The client is told that its command is done; the three others elect a leader and \
choose something else.",
            expected: Killed(Acknowledged),
        },
        Entry {
            name: "ballots-summed",
            title: "Votes of two ballots added up",
            change: "A leader counts an `Accepted` of an earlier ballot for the one under which it leads now.",
            outcome: "One vote in ballot 1 and one in ballot 3 are no quorum, even for the same value: a candidate that sees a vote of \
ballot 2 beside that of ballot 1 takes the former, and rightly.",
            expected: Killed(Applied),
        },
        Entry {
            name: "prefix-over-gaps",
            title: "A prefix with gaps",
            change: "A leader announces everything up to its last chosen slot as chosen.",
            outcome: "Slots are chosen in any order. A prefix that reaches over a gap declares chosen what is still being voted on.",
            expected: Killed(Claims),
        },
    ],
};
