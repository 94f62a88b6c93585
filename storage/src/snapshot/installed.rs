//! The mark of a state that came from a peer.
//!
//! Slots up to the mark were never in this node's journal, or not as they were chosen; the journal must not be expected to
//! hold them (C3). The mark is a local key: it goes with the folder, and becomes true together with it.

use paxos::Slot;

use crate::tables::{TableBatch, Tables, TablesError};

/// Where it stands.
const INSTALLED: &[u8] = b"i/installed";

/// Adds the mark.
pub(crate) fn mark(batch: &mut impl TableBatch, slot: Slot) {
    batch.put(INSTALLED, &slot.0.to_be_bytes());
}

/// The slot at which these tables came from a peer; 0 if they never did.
///
/// # Errors
/// [`TablesError`] if they cannot be read.
pub fn installed(tables: &impl Tables) -> Result<Slot, TablesError> {
    match tables.get(INSTALLED)? {
        None => Ok(Slot::ZERO),
        Some(bytes) => match <[u8; 8]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ok(Slot(u64::from_be_bytes(bytes))),
            Err(_) => Err(TablesError::Damaged {
                what: format!("{bytes:?} does not say at which slot it came from a peer"),
            }),
        },
    }
}
