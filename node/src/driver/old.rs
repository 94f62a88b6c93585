//! Old slots, which have left the core's memory and are read from the journal for a peer that is behind.
//!
//! The core asks for slots that are chosen in the journal as well and not trimmed. So what is missing was trimmed since, or is
//! damage; and damage that a peer's question brings to light is no smaller than what the scrub finds (A6).

use paxos::{Slot, Value};
use storage::journal::{Journal, LoadError};
use tracing::debug;

use crate::guard::JournalGuard;

/// What the guard is told was being done.
const WHAT: &str = "read for a peer that is behind";

/// Values of consecutive slots from `from` on; nothing if there is nothing to answer.
pub(super) fn load(
    journal: &Journal,
    guard: &JournalGuard,
    from: Slot,
    to: Slot,
    max_bytes: usize,
) -> Option<Vec<Value>> {
    match journal.load(from, to, max_bytes) {
        Ok(values) => return Some(values),
        Err(LoadError::Missing { slot }) => match journal.trimmed() {
            Ok(trimmed) if slot <= trimmed => debug!(%slot, %trimmed, "a peer wants what was just trimmed"),
            Ok(_) => guard.damaged(WHAT, &format!("slot {slot} is missing from the journal")),
            Err(error) => guard.unreadable(WHAT, &error.to_string()),
        },
        Err(error @ LoadError::Damaged { .. }) => guard.damaged(WHAT, &error.to_string()),
        Err(error @ LoadError::Engine(_)) => guard.unreadable(WHAT, &error.to_string()),
    }
    None
}
