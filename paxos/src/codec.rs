//! The bytes of envelopes and of journal entries.
//!
//! Fixed little-endian fields, written out by hand: a batch of commands is copied once on its way out and never on its
//! way in (it shares the frame's memory). Checksums and versions belong to the frame around these bytes. Whatever does
//! not decode is an error, never a panic, and allocates no more than the bytes at hand justify.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorum::{Configuration, Epoch, Incarnation, NodeId};

use crate::ballot::{Ballot, Slot};
use crate::change::{Change, Objection, Waivers};
use crate::configurations::Configurations;
use crate::effect::{Logged, Refusal};
use crate::lease::{Echo, Moment, Pulse, Release};
use crate::message::{Address, ClusterId, Envelope, Message, SnapshotId, Vote};
use crate::time::Time;
use crate::value::{Batch, Command, CommandId, Value};

/// Why bytes are not what they should be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CodecError {
    /// They end too early.
    Short,
    /// They go on after the end.
    Long,
    /// A tag has no meaning in this version.
    UnknownTag {
        /// What was to be decoded.
        of: &'static str,
        /// The tag.
        tag: u8,
    },
    /// A batch does not divide into commands.
    Batch,
    /// A configuration does not decode, or is not valid.
    Configuration,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Short => f.write_str("the bytes end too early"),
            CodecError::Long => f.write_str("bytes are left over at the end"),
            CodecError::UnknownTag { of, tag } => write!(f, "{tag} names no {of} of this version"),
            CodecError::Batch => f.write_str("a batch does not divide into commands"),
            CodecError::Configuration => f.write_str("a configuration does not decode or is not valid"),
        }
    }
}

impl core::error::Error for CodecError {}

/// Something with a place in an encoding.
trait Field: Sized {
    fn put(&self, out: &mut BytesMut);
    fn read(input: &mut Bytes) -> Result<Self, CodecError>;
}

macro_rules! number {
    ($($type:ty: $put:ident $take:ident),*) => {$(
        impl Field for $type {
            fn put(&self, out: &mut BytesMut) {
                out.$put(*self);
            }
            fn read(input: &mut Bytes) -> Result<Self, CodecError> {
                if input.remaining() < size_of::<$type>() {
                    return Err(CodecError::Short);
                }
                Ok(input.$take())
            }
        }
    )*};
}
number!(u8: put_u8 get_u8, u32: put_u32_le get_u32_le, u64: put_u64_le get_u64_le);

macro_rules! newtype {
    ($($type:ident),*) => {$(
        impl Field for $type {
            fn put(&self, out: &mut BytesMut) {
                self.0.put(out);
            }
            fn read(input: &mut Bytes) -> Result<Self, CodecError> {
                Ok($type(u64::read(input)?))
            }
        }
    )*};
}
newtype!(NodeId, Incarnation, Epoch, ClusterId, Slot, Time);

macro_rules! record {
    ($($type:ident { $($field:ident),* })*) => {$(
        impl Field for $type {
            fn put(&self, out: &mut BytesMut) {
                $(self.$field.put(out);)*
            }
            fn read(input: &mut Bytes) -> Result<Self, CodecError> {
                Ok($type { $($field: Field::read(input)?),* })
            }
        }
    )*};
}
record! {
    Ballot { round, leader }
    Address { node, incarnation }
    CommandId { origin, boot, sequence }
    Command { id, payload }
    Vote { slot, ballot, value }
    SnapshotId { slot, serial }
    Change { id, configuration }
    Waivers { behind, one_disk, one_zone }
    Moment { boot, at }
    Pulse { sent, lease, confirmed, heard }
    Echo { sent, granted, heard, fit }
    Release { ballot, round }
}

/// Nanoseconds; 584 years at most.
impl Field for Duration {
    fn put(&self, out: &mut BytesMut) {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX).put(out);
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        Ok(Duration::from_nanos(u64::read(input)?))
    }
}

impl Field for bool {
    fn put(&self, out: &mut BytesMut) {
        u8::from(*self).put(out);
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        match u8::read(input)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(CodecError::UnknownTag { of: "truth value", tag }),
        }
    }
}

impl Field for Bytes {
    fn put(&self, out: &mut BytesMut) {
        u32::try_from(self.len())
            .expect("a value is limited to far less than 4 GiB")
            .put(out);
        out.put_slice(self);
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        let len = u32::read(input)? as usize;
        if input.remaining() < len {
            return Err(CodecError::Short);
        }
        Ok(input.split_to(len))
    }
}

impl<T: Field> Field for Vec<T> {
    fn put(&self, out: &mut BytesMut) {
        u32::try_from(self.len())
            .expect("a list is limited to far less than 2^32 items")
            .put(out);
        for item in self {
            item.put(out);
        }
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        let len = u32::read(input)? as usize;
        // Every item takes a byte at least: a lying length cannot make this allocate more than the frame is long.
        if len > input.remaining() {
            return Err(CodecError::Short);
        }
        (0..len).map(|_| T::read(input)).collect()
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut BytesMut) {
        self.is_some().put(out);
        if let Some(item) = self {
            item.put(out);
        }
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        Ok(if bool::read(input)? {
            Some(T::read(input)?)
        } else {
            None
        })
    }
}

impl<T: Field> Field for Result<T, Refusal> {
    fn put(&self, out: &mut BytesMut) {
        self.is_ok().put(out);
        match self {
            Ok(item) => item.put(out),
            Err(refusal) => refusal.put(out),
        }
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        Ok(if bool::read(input)? {
            Ok(T::read(input)?)
        } else {
            Err(Refusal::read(input)?)
        })
    }
}

impl Field for Refusal {
    fn put(&self, out: &mut BytesMut) {
        let tag: u8 = match self {
            Refusal::NoLeader => 0,
            Refusal::NoQuorum => 1,
            Refusal::NotLeader => 2,
            Refusal::Overloaded => 3,
            Refusal::TooLarge => 4,
            Refusal::NoSpace => 5,
            Refusal::Change(_) => 6,
        };
        tag.put(out);
        if let Refusal::Change(objection) = self {
            objection.put(out);
        }
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        Ok(match u8::read(input)? {
            0 => Refusal::NoLeader,
            1 => Refusal::NoQuorum,
            2 => Refusal::NotLeader,
            3 => Refusal::Overloaded,
            4 => Refusal::TooLarge,
            5 => Refusal::NoSpace,
            6 => Refusal::Change(Objection::read(input)?),
            tag => return Err(CodecError::UnknownTag { of: "refusal", tag }),
        })
    }
}

impl Field for Objection {
    fn put(&self, out: &mut BytesMut) {
        let tagged = |out: &mut BytesMut, tag: u8, number: u64| {
            tag.put(out);
            number.put(out);
        };
        match self {
            Objection::Epoch { newest } => tagged(out, 0, newest.0),
            Objection::Pending { from } => tagged(out, 1, from.0),
            Objection::Alpha { alpha } => tagged(out, 2, *alpha),
            Objection::EarlierLife { node } => tagged(out, 3, node.0),
            Objection::Unsettled { newest } => tagged(out, 4, newest.0),
            Objection::Behind { caught_up, voters } => {
                5_u8.put(out);
                caught_up.put(out);
                voters.put(out);
            }
            Objection::OneDisk { node } => tagged(out, 6, node.0),
            Objection::OneZone { node } => tagged(out, 7, node.0),
        }
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        Ok(match u8::read(input)? {
            0 => Objection::Epoch {
                newest: Field::read(input)?,
            },
            1 => Objection::Pending {
                from: Field::read(input)?,
            },
            2 => Objection::Alpha {
                alpha: Field::read(input)?,
            },
            3 => Objection::EarlierLife {
                node: Field::read(input)?,
            },
            4 => Objection::Unsettled {
                newest: Field::read(input)?,
            },
            5 => Objection::Behind {
                caught_up: Field::read(input)?,
                voters: Field::read(input)?,
            },
            6 => Objection::OneDisk {
                node: Field::read(input)?,
            },
            7 => Objection::OneZone {
                node: Field::read(input)?,
            },
            tag => return Err(CodecError::UnknownTag { of: "objection", tag }),
        })
    }
}

impl Field for Configuration {
    fn put(&self, out: &mut BytesMut) {
        let bytes = postcard::to_allocvec(self).expect("a configuration is plain data");
        Bytes::from(bytes).put(out);
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        let bytes = Bytes::read(input)?;
        let (configuration, rest) =
            postcard::take_from_bytes::<Configuration>(&bytes).map_err(|_| CodecError::Configuration)?;
        if rest.is_empty() {
            Ok(configuration)
        } else {
            Err(CodecError::Long)
        }
    }
}

impl Field for (Slot, Configuration) {
    fn put(&self, out: &mut BytesMut) {
        self.0.put(out);
        self.1.put(out);
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        Ok((Field::read(input)?, Field::read(input)?))
    }
}

impl Field for Configurations {
    fn put(&self, out: &mut BytesMut) {
        self.entries().to_vec().put(out);
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        Configurations::from_entries(Field::read(input)?).ok_or(CodecError::Configuration)
    }
}

impl Field for Value {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Value::Noop => out.put_u8(0),
            Value::Commands(batch) => {
                out.put_u8(1);
                batch.as_bytes().put(out);
            }
            Value::Reconfigure(change) => {
                out.put_u8(2);
                change.put(out);
            }
        }
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        Ok(match u8::read(input)? {
            0 => Value::Noop,
            1 => Value::Commands(Batch::from_bytes(Bytes::read(input)?).map_err(|_| CodecError::Batch)?),
            2 => Value::Reconfigure(Box::new(Change::read(input)?)),
            tag => return Err(CodecError::UnknownTag { of: "value", tag }),
        })
    }
}

impl Field for Logged {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Logged::Voted(ballot, value) => {
                out.put_u8(0);
                ballot.put(out);
                value.put(out);
            }
            Logged::Learned(value) => {
                out.put_u8(1);
                value.put(out);
            }
        }
    }
    fn read(input: &mut Bytes) -> Result<Self, CodecError> {
        Ok(match u8::read(input)? {
            0 => Logged::Voted(Field::read(input)?, Field::read(input)?),
            1 => Logged::Learned(Field::read(input)?),
            tag => return Err(CodecError::UnknownTag { of: "log entry", tag }),
        })
    }
}

/// Each message with its tag and its fields in order: the one place that says what is on the wire.
macro_rules! messages {
    ($($tag:literal $name:ident { $($field:ident),* })*) => {
        impl Field for Message {
            fn put(&self, out: &mut BytesMut) {
                match self {
                    $(Message::$name { $($field),* } => {
                        out.put_u8($tag);
                        $($field.put(out);)*
                    })*
                }
            }
            fn read(input: &mut Bytes) -> Result<Self, CodecError> {
                Ok(match u8::read(input)? {
                    $($tag => Message::$name { $($field: Field::read(input)?),* },)*
                    tag => return Err(CodecError::UnknownTag { of: "message", tag }),
                })
            }
        }
    };
}
messages! {
    1 Canvass { attempt, chosen }
    2 CanvassReply { attempt, granted, promised, chosen }
    3 Prepare { ballot, from, release }
    4 Promise { ballot, from, to, votes, chosen, trimmed }
    5 Accept { ballot, slot, value, chosen }
    6 Accepted { ballot, slot }
    7 Reject { ballot, promised }
    8 Decided { ballot, chosen }
    9 Commit { ballot, chosen }
    10 Heartbeat { ballot, round, chosen, horizon, everywhere, healthy, oldest, pulse }
    11 HeartbeatAck { ballot, round, chosen, flushed, kept, echo }
    12 Forward { ballot, number, commands }
    13 ForwardRefused { ballot, boot, reason, sequences }
    14 ReadIndex { boot, batch }
    15 ReadIndexReply { boot, batch, result }
    16 Fetch { from, to }
    17 Chosen { from, values, chosen }
    18 Trimmed { trimmed }
    19 AskSnapshot { least, snapshot, from, count }
    20 SnapshotPiece { snapshot, number, last, payload }
    21 SnapshotGone { snapshot }
    22 HandOver { release, chosen }
    30 ForwardChange { ballot, number, change, waivers }
    31 Retired { epoch }
}
record! { Envelope { cluster, from, to, epoch, message } }

fn whole<T: Field>(mut input: Bytes) -> Result<T, CodecError> {
    let item = T::read(&mut input)?;
    if input.has_remaining() {
        Err(CodecError::Long)
    } else {
        Ok(item)
    }
}

impl Envelope {
    /// The envelope as bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let hint = match &self.message {
            Message::Accept { value, .. } => value.size(),
            Message::SnapshotPiece { payload, .. } => payload.len(),
            Message::Forward { commands, .. } => commands.iter().map(Command::encoded_len).sum(),
            _ => 0,
        };
        let mut out = BytesMut::with_capacity(hint + 128);
        self.put(&mut out);
        out.freeze()
    }

    /// An envelope from bytes; batches share their memory.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not exactly one envelope.
    pub fn decode(bytes: Bytes) -> Result<Envelope, CodecError> {
        whole(bytes)
    }
}

impl Configurations {
    /// The configurations as bytes, for state and journal.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.put(&mut out);
        out.freeze()
    }

    /// Configurations from bytes.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not exactly that.
    pub fn decode(bytes: Bytes) -> Result<Configurations, CodecError> {
        whole(bytes)
    }
}

impl Logged {
    /// The journal entry as bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.value().size() + 64);
        self.put(&mut out);
        out.freeze()
    }

    /// A journal entry from bytes.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not exactly one entry.
    pub fn decode(bytes: Bytes) -> Result<Logged, CodecError> {
        whole(bytes)
    }
}
