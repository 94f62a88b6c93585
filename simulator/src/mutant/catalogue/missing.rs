//! Rows of the list whose rules are not there to be broken yet, and rows that the real protocol answers for.

/// A row without a mutant of its own.
#[derive(Debug)]
pub struct Missing {
    /// Its number.
    pub row: &'static str,
    /// What would be wrong.
    pub what: &'static str,
    /// Why it has none.
    pub why: &'static str,
}

const AS_BUILT: &str = "what the protocol does: every run without a mutant shows it";

const fn missing(row: &'static str, what: &'static str, why: &'static str) -> Missing {
    Missing { row, what, why }
}

/// All of them.
pub const MISSING: &[Missing] = &[
    missing("3", "the same ballot may ask again and is promised again", AS_BUILT),
    missing("5", "only votes survive a restart", "as `forget-promise`"),
    missing("27", "columns of a grid in both phases", "as `phase-2-twice`"),
    missing("28", "phase-2 quorums that miss each other", AS_BUILT),
    missing("29", "phase-1 quorums that miss each other", AS_BUILT),
    missing(
        "34",
        "a failed sync is ignored or retried",
        "as `lose-synced`; the journal's own behaviour: tests of `storage`",
    ),
    missing(
        "35",
        "recovery cuts off at the first bad record",
        "as `forget-votes`; the journal's own behaviour: tests of `storage`",
    ),
    missing("38", "a torn tail that was never acknowledged is cut off", AS_BUILT),
    missing(
        "61",
        "sessions that are not in the snapshot",
        "rows of the state like any other: tests of `storage` repeat a command behind a copy",
    ),
    missing("63", "sessions that expire by the local clock", "nothing expires"),
    missing("65", "replies kept before they are chosen", "no reply is kept"),
    missing(
        "68",
        "an old snapshot over a newer state",
        "safe, for a start trusts nothing but the disk: a golden script of the core shows it refused",
    ),
    missing("78", "no phase 1 for each slot under a stable ballot", AS_BUILT),
    missing(
        "83",
        "a value damaged on its way",
        "frames and records carry checksums: tests of `node` and `storage`",
    ),
];
