//! Copies of the state.

use super::Expected::{Killed, Stuck};
use super::{Chapter, Entry};
use crate::checker::Property::{Evidence, PromisesGrow, SameBits};

pub(super) const SNAPSHOTS: Chapter = Chapter {
    title: "Copies of the state",
    introduction: "Whoever is behind every log gets a copy of a peer's state. It replaces the state machine and nothing else: what an \
acceptor has promised and voted for is not in it.",
    entries: &[
        Entry {
            name: "no-snapshot",
            title: "No way back",
            change: "A node that is behind every log does not ask for a snapshot.",
            outcome: "Nothing wrong is said, but logs have limits, so a member that was away for long stays behind for ever.",
            expected: Stuck,
        },
        Entry {
            name: "snapshot-behind",
            title: "A snapshot that is older than it says",
            change: "The rows of a snapshot are read before the applied slot is, and entries are applied between the two.",
            outcome: "Its reader never applies those entries: it believes that it has.",
            expected: Killed(SameBits),
        },
        Entry {
            name: "piece-unverified",
            title: "A damaged piece, taken as it is",
            change: "What a piece's checksum says is not heeded.",
            outcome: "One state differs from all others, and serves what nobody wrote.",
            expected: Killed(SameBits),
        },
        Entry {
            name: "install-resets-promise",
            title: "A snapshot that resets the promise",
            change: "With the new state the acceptor begins anew: its promise is forgotten.",
            outcome: "The same as a promise that was never durable: an older ballot gets past it.",
            expected: Killed(PromisesGrow),
        },
        Entry {
            name: "install-drops-votes",
            title: "A snapshot that clears the log",
            change: "With the new state the whole journal is dropped, votes above the snapshot among it.",
            outcome: "Those votes may have been what made a value chosen. The next candidate does not hear of them.",
            expected: Killed(Evidence),
        },
    ],
};
