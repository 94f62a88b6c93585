//! What a slot may hold.
//!
//! A batch of commands is one run of bytes from the leader's queue through sockets and journals to the applier: it is
//! built once, checked once when it enters a node, and walked lazily where it is applied.

use alloc::boxed::Box;
use core::fmt;
use core::hash::{Hash, Hasher};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorum::NodeId;

use crate::change::Change;

/// What a slot holds once it is chosen.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Nothing: fills a gap that a deposed leader left (L3 iii).
    Noop,
    /// Client commands, in the order in which they are applied.
    Commands(Batch),
    /// A change of members or of the quorum system, in force from the slot `α` later if it takes effect (R2).
    Reconfigure(Box<Change>),
}

impl Value {
    /// Bytes of commands in this value, for limits; small values count as a few bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Value::Noop => 1,
            Value::Commands(batch) => batch.bytes.len(),
            Value::Reconfigure(_) => 1024,
        }
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, into: &mut H) {
        match self {
            Value::Noop => 0_u8.hash(into),
            Value::Commands(batch) => (1_u8, batch).hash(into),
            Value::Reconfigure(change) => (2_u8, change.id, change.configuration.fingerprint()).hash(into),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Noop => f.write_str("noop"),
            Value::Commands(batch) => batch.fmt(f),
            Value::Reconfigure(change) => write!(
                f,
                "reconfigure({}:{} epoch {})",
                change.id.origin,
                change.id.sequence,
                change.configuration.epoch()
            ),
        }
    }
}

/// Names one command for ever: the node that took it from its client, that node's process, and a number.
///
/// The node named here answers the client when it applies the command.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct CommandId {
    /// The node whose client sent the command.
    pub origin: NodeId,
    /// Which process of that node: a number drawn at each start, so that no later process takes the answer for its own.
    pub boot: u64,
    /// Counts the commands of that process, from 1.
    pub sequence: u64,
}

/// One command of a batch.
#[derive(Clone, PartialEq, Hash, Debug)]
pub struct Command {
    /// Whose it is.
    pub id: CommandId,
    /// What the state machine is to do, in the state machine's own encoding.
    pub payload: Bytes,
}

const COMMAND_HEADER: usize = 8 + 8 + 8 + 4;

impl Command {
    /// Bytes this command takes in a batch.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        COMMAND_HEADER + self.payload.len()
    }
}

/// One or more commands in one run of bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Batch {
    count: u32,
    bytes: Bytes,
}

impl Batch {
    /// Packs `commands`, which are applied in this order.
    #[must_use]
    pub fn pack<'a>(commands: impl IntoIterator<Item = &'a Command>) -> Batch {
        let mut bytes = BytesMut::new();
        let mut count = 0;
        for command in commands {
            bytes.put_u64_le(command.id.origin.0);
            bytes.put_u64_le(command.id.boot);
            bytes.put_u64_le(command.id.sequence);
            let len = u32::try_from(command.payload.len()).expect("a command is limited to far less than 4 GiB");
            bytes.put_u32_le(len);
            bytes.put_slice(&command.payload);
            count += 1;
        }
        Batch {
            count,
            bytes: bytes.freeze(),
        }
    }

    /// Takes bytes that [`Batch::as_bytes`] gave elsewhere, and checks that they are whole.
    ///
    /// # Errors
    /// [`MalformedBatch`] if they do not divide into commands.
    pub fn from_bytes(bytes: Bytes) -> Result<Batch, MalformedBatch> {
        let mut rest: &[u8] = &bytes;
        let mut count = 0;
        while !rest.is_empty() {
            if rest.len() < COMMAND_HEADER {
                return Err(MalformedBatch);
            }
            rest.advance(COMMAND_HEADER - 4);
            let len = rest.get_u32_le() as usize;
            if rest.len() < len {
                return Err(MalformedBatch);
            }
            rest.advance(len);
            count += 1;
        }
        Ok(Batch { count, bytes })
    }

    /// The whole batch as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many commands it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it holds no command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The commands in order; payloads share the batch's memory.
    pub fn iter(&self) -> impl Iterator<Item = Command> + '_ {
        let mut at = 0;
        core::iter::from_fn(move || {
            if at == self.bytes.len() {
                return None;
            }
            let mut header = &self.bytes[at..at + COMMAND_HEADER];
            let id = CommandId {
                origin: NodeId(header.get_u64_le()),
                boot: header.get_u64_le(),
                sequence: header.get_u64_le(),
            };
            let len = header.get_u32_le() as usize;
            let start = at + COMMAND_HEADER;
            at = start + len;
            Some(Command {
                id,
                payload: self.bytes.slice(start..at),
            })
        })
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, command) in self.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{}:{}", command.id.origin, command.id.sequence)?;
        }
        f.write_str("]")
    }
}

/// Bytes that are not a batch of commands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MalformedBatch;

impl fmt::Display for MalformedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes do not divide into commands")
    }
}

impl core::error::Error for MalformedBatch {}
