//! The state machine that the simulated nodes apply chosen entries to, and the commands that the clients write.
//!
//! A table of registers and a chain of hashes over everything applied, so that two nodes that ever applied different
//! things, or the same in another order or number, differ for ever.

use bytes::{BufMut, Bytes, BytesMut};
use paxos::{Entry, Slot, Value};

use crate::trace::digest;

/// How many keys there are.
pub(crate) const KEYS: usize = 16;

/// Names one operation of one client, never used twice in a run. 0 is no operation: what an unwritten key holds.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Default)]
pub(crate) struct OpId(pub(crate) u64);

/// The command that writes `op` to `key`, `len` bytes long or as long as it must be.
pub(crate) fn put(op: OpId, key: u8, len: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(len.max(9));
    bytes.put_u64_le(op.0);
    bytes.put_u8(key);
    bytes.resize(len.max(9), op.0 as u8);
    bytes.freeze()
}

/// What a command writes, and to which key.
fn parse(payload: &[u8]) -> Option<(OpId, usize)> {
    let (op, rest) = payload.split_first_chunk::<8>()?;
    let key = usize::from(*rest.first()?);
    (key < KEYS).then_some((OpId(u64::from_le_bytes(*op)), key))
}

/// The state of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    applied: Slot,
    chain: u64,
    registers: [OpId; KEYS],
}

impl Machine {
    pub(crate) fn new() -> Machine {
        Machine {
            applied: Slot::ZERO,
            chain: 0,
            registers: [OpId::default(); KEYS],
        }
    }

    /// The last slot whose effects are in the state.
    pub(crate) fn applied(&self) -> Slot {
        self.applied
    }

    /// The same for two machines only if they have applied the same entries in the same order.
    pub(crate) fn digest(&self) -> u64 {
        self.chain
    }

    /// The operation that last wrote `key`.
    pub(crate) fn read(&self, key: u8) -> OpId {
        self.registers[usize::from(key)]
    }

    pub(crate) fn apply(&mut self, entry: &Entry) {
        self.applied = entry.slot;
        match &entry.value {
            Value::Noop => self.link(1),
            Value::Reconfigure(configuration) => self.link(configuration.fingerprint()),
            Value::Commands(batch) => {
                self.link(2);
                for command in batch.iter() {
                    self.link(digest(&command.payload));
                    if let Some((op, key)) = parse(&command.payload) {
                        self.registers[key] = op;
                    }
                }
            }
        }
    }

    /// A mutant's state machine: takes the slot for granted without its effects.
    pub(crate) fn skip(&mut self, entry: &Entry) {
        self.applied = entry.slot;
    }

    /// A mutant's flush: the effects are there, the applied slot is the one before.
    pub(crate) fn misdate(&mut self) {
        self.applied = Slot(self.applied.0.saturating_sub(1));
    }

    fn link(&mut self, word: u64) {
        self.chain = (self.chain ^ word).wrapping_mul(0xD6E8_FEB8_6659_FD93).rotate_left(27);
    }
}
