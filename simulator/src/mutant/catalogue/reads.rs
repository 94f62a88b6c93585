//! Reads.

use super::Expected::Killed;
use super::{Chapter, Entry};
use crate::checker::Property::RealTime;

pub(super) const READS: Chapter = Chapter {
    title: "Reads",
    introduction: "A read must see every write of which anybody was told before the read began. A leader cannot know from its own state \
that it still leads, so it asks.",
    entries: &[
        Entry {
            name: "read-unconfirmed",
            title: "A leader that trusts itself",
            change: "A leader serves reads from its own state at once.",
            outcome: "It was deposed a moment ago and has not heard of it; the new leader has already answered a write.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "read-locally",
            title: "Any node, at once",
            change: "Every node serves reads from its own state at once.",
            outcome: "Followers are behind most of the time.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "round-before-read",
            title: "An answer to an older question",
            change: "A read is confirmed by answers to a round of heartbeats that began before the read arrived.",
            outcome: "The answer was true when it was given. Between it and the read, another leader was elected and a write was done.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "heartbeat-always-answered",
            title: "Confirmed by somebody who has promised more",
            change: "An acceptor that has promised a higher ballot still answers the old leader's heartbeats.",
            outcome: "The answer means \"I have promised nothing above you\"; given all the same, it confirms a leader that is none.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "heads-counted",
            title: "A majority of heads",
            change: "A round is confirmed when more than half of the nodes have answered, whatever the quorum system is.",
            outcome: "In this grid of seven, phase 2 needs a full row and phase 1 one node of each row. Four nodes of the long row are a \
majority, and a rival was elected and has chosen a value without any of them. The round must be answered by a phase-2 quorum, which every \
rival's phase-1 quorum meets.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "horizon-ignored",
            title: "A new leader that reads too early",
            change: "A new leader serves confirmed reads before it has applied what phase 1 brought back.",
            outcome: "What was chosen under the old leader, and told to clients, lies in its journal as a vote; its state does not have it \
yet.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "prefix-not-awaited",
            title: "A follower that does not wait",
            change: "A follower asks the leader for the confirmed prefix, and serves the read before it has applied it.",
            outcome: "The question was right and the answer is not used.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "read-before-applied",
            title: "Chosen is not applied",
            change: "A read is served when its prefix is known to be chosen here, though the state machine has not got that far.",
            outcome: "Reads see the state machine, not the log.",
            expected: Killed(RealTime),
        },
    ],
};
