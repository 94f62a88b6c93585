//! What a disk must remember.

use super::Expected::Killed;
use super::{Chapter, Entry};
use crate::checker::Property::{Acknowledged, Agreement, Ballots};

pub(super) const DISKS: Chapter = Chapter {
    title: "What a disk must remember",
    introduction: "Nodes crash and come back. The argument for agreement talks of what acceptors said, so an acceptor that comes back must \
know what it said: whatever leaves a node rests on something that is on its disk. Answers ride on writes for that reason. In the diagrams \
a disk may be slow: what was written then is not durable yet, and a crash forgets it.",
    entries: &[
        Entry {
            name: "promise-before-write",
            title: "A promise that is not durable yet",
            change: "An acceptor sends its promise while its disk is still writing it.",
            outcome: "It crashes, has promised nothing when it comes back, and votes in the lower ballot that it had promised to refuse.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "vote-before-write",
            title: "A vote that is not durable yet",
            change: "An acceptor answers `Accepted` while its disk is still writing the vote.",
            outcome: "The leader counts the vote and a client is told that its command is done. After the crash nobody but the leader \
remembers it.",
            expected: Killed(Acknowledged),
        },
        Entry {
            name: "own-vote-early",
            title: "The leader's own vote is not durable yet",
            change: "A leader counts itself as soon as it proposes.",
            outcome: "A leader may send its proposals while its own disk works, and it need not be part of the quorum. But as long as its \
vote is not durable it is not a vote.",
            expected: Killed(Acknowledged),
        },
        Entry {
            name: "answer-overtakes",
            title: "A repeated answer that overtakes the first",
            change: "An answer that changes nothing is sent at once instead of queueing behind earlier writes.",
            outcome: "The second `Prepare` of a ballot changes nothing, so its answer needs no write. It does need the first one: the \
promise that it repeats is not on the disk yet.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "acknowledge-before-sync",
            title: "No waiting for the disk at all",
            change: "The driver around the core sends every message when its write is queued.",
            outcome: "All of the above at once, at the border of the core: this is what a driver that ignores the order of `Write::then` \
does.",
            expected: Killed(Acknowledged),
        },
        Entry {
            name: "sync-off-by-one",
            title: "A sync that vouches for one write too many",
            change: "When a group of writes is durable, the messages of the next write, which came too late for the group, leave as well.",
            outcome: "Group commit makes many writes durable with one sync. Whoever joins the group after the sync has begun is not part \
of it.",
            expected: Killed(Acknowledged),
        },
        Entry {
            name: "lose-synced",
            title: "A disk that forgets what it synced",
            change: "After a crash the disk holds an older state: a sync that failed and was retried, or a cache that lied.",
            outcome: "A later sync that succeeds proves nothing about an earlier one that failed. The first failure must be the last, and a \
disk that lies beyond the number of nodes that may be lost cannot be survived.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "forget-promise",
            title: "Recovery that forgets the promise",
            change: "A restarting node takes the highest ballot among its votes for its promise; the promise itself is not read back.",
            outcome: "A promise given without a vote is forgotten.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "forget-votes",
            title: "A damaged vote reported as none",
            change: "Recovery drops votes that it cannot read, and the node goes on voting.",
            outcome: "\"I do not know\" is not \"nothing\". A node whose journal is damaged must not take part until it is whole again; \
only a torn tail, which was never acknowledged, may be cut off.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "amnesia",
            title: "A node that lost its disk and does not say so",
            change: "A node starts on an empty disk under its old name.",
            outcome: "It is a stranger with a member's voice: it has forgotten every promise and every vote.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "earlier-lives-counted",
            title: "A member's second life, taken for the first",
            change: "Members are told apart by node id alone, so that a node with a new disk counts as the old member.",
            outcome: "The incarnation in every address exists for this: a new disk is a new member, who must be admitted first.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "ballot-reused",
            title: "A ballot used by two processes",
            change: "A restarted node stands under the ballot that it finds on its disk instead of a larger one.",
            outcome: "It no longer knows what it proposed under that ballot, and proposes something else. Messages of both lives look the \
same, so both values find their quorum.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "prepare-before-write",
            title: "A candidacy that is not durable yet",
            change: "A `Prepare` leaves before the candidate's own promise is on its disk.",
            outcome: "After a crash the candidate may choose the same ballot again, as in the mutant before. The canvass (E1) hides most \
of it, because it asks the others for the highest ballot they promised before it picks one; so there is no short story to tell here, and \
the checker of L1 in the simulated cluster is the one that sees it.",
            expected: Killed(Ballots),
        },
    ],
};
