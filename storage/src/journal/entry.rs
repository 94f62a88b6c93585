//! The bytes of one slot.
//!
//! Entries carry a checksum of slot and content: a disk that returns another slot's block, or an old one, is noticed
//! when the entry is read, whatever the engine below checks.

use bytes::Bytes;
use paxos::{Logged, Slot};

const CHECKSUM: usize = 4;

/// What is stored for a slot.
pub(super) fn encode(slot: Slot, logged: &Logged) -> Vec<u8> {
    let content = logged.encode();
    let mut bytes = Vec::with_capacity(CHECKSUM + content.len());
    bytes.extend_from_slice(&checksum(slot, &content).to_le_bytes());
    bytes.extend_from_slice(&content);
    bytes
}

/// What was stored for a slot.
pub(super) fn decode(slot: Slot, bytes: &[u8]) -> Result<Logged, String> {
    let Some((stored, content)) = bytes.split_first_chunk::<CHECKSUM>() else {
        return Err(format!("it has {} bytes, fewer than its checksum", bytes.len()));
    };
    let stored = u32::from_le_bytes(*stored);
    let found = checksum(slot, content);
    if stored != found {
        return Err(format!("its checksum is {found:08x}, but {stored:08x} was stored"));
    }
    Logged::decode(Bytes::copy_from_slice(content)).map_err(|error| error.to_string())
}

fn checksum(slot: Slot, content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&slot.0.to_le_bytes()), content)
}

#[cfg(test)]
mod tests {
    use paxos::{Ballot, Batch, Value};
    use quorum::NodeId;

    use super::*;

    #[test]
    fn an_entry_of_another_slot_or_with_a_flipped_bit_is_refused() {
        let ballot = Ballot {
            round: 3,
            leader: NodeId(2),
        };
        let logged = Logged::Voted(ballot, Value::Commands(Batch::pack([])));
        let bytes = encode(Slot(7), &logged);
        assert_eq!(decode(Slot(7), &bytes), Ok(logged));
        assert!(decode(Slot(8), &bytes).is_err());
        assert!(decode(Slot(7), &bytes[..3]).is_err());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(decode(Slot(7), &flipped).is_err(), "byte {at}");
        }
    }
}
