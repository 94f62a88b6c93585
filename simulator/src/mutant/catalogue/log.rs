//! Taking over a log.

use super::Expected::Killed;
use super::{Chapter, Entry};
use crate::checker::Property::Agreement;

pub(super) const RECOVERY: Chapter = Chapter {
    title: "Taking over a log",
    introduction: "A candidate asks once for all slots above the prefix that it knows to be chosen, and promises may be large and may leave \
out what is decided. Each shortcut in the report needs its counterpart at the candidate.",
    entries: &[
        Entry {
            name: "prefix-unreported",
            title: "Decided, and not reported",
            change: "A promise does not say up to which slot its sender knows everything to be chosen, nor what it has trimmed.",
            outcome: "Votes in decided slots are left out of a promise. Without the prefix that explains the gap, they look like slots in \
which nobody voted, and the candidate fills them.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "decided-ignored",
            title: "Decided, reported, and not learned",
            change: "A candidate leads before it has fetched the slots that a promise reports as decided.",
            outcome: "The same, from the other end: it knows that something was chosen there, and proposes a no-op all the same.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "partial-promise",
            title: "The first page for the whole",
            change: "A promise that comes in pages counts when its first page is there.",
            outcome: "A page that is missing is not an empty page: the vote on it may be for a chosen value.",
            expected: Killed(Agreement),
        },
        Entry {
            name: "learned-outranked",
            title: "A chosen value, reported as if it were an old vote",
            change: "A value that was learned as chosen above a gap is reported in the lowest ballot instead of the promised one.",
            outcome: "Learning a value replaces the acceptor's vote for it, so the report is the last trace of that vote. Reported too low, \
it loses against a vote that came to nothing. This takes five nodes, a slow disk and a crash: it is the longest story in this book.",
            expected: Killed(Agreement),
        },
    ],
};
