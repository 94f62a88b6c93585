//! The bytes on a stream: one hello, then frames.
//!
//! ```text
//! hello  = magic "SYND" | oldest u16 | kind u8 | more u8 | cluster id u64 | from node u64 | incarnation u64 | crc32c u32
//! frame  = length u32 | crc32c of payload u32 | payload
//! ```
//!
//! All numbers are little-endian. A node speaks the wire versions from `oldest` to `oldest + more`, and two nodes talk in the
//! newest that both speak: so a cluster is upgraded one node at a time. Magic and `oldest` keep their place in every future
//! version: a reader that meets one that is too new for it can still say so in a sentence. TLS already protects the bytes
//! from the network; the checksum protects them from our own memory and code, and travels with the payload as far as the
//! decoder.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorum::NodeId;

use super::Class;

/// First bytes of every stream.
pub const MAGIC: [u8; 4] = *b"SYND";
/// The wire versions this build speaks. Before version 4 a command that was chosen twice was done twice, so nodes that speak less
/// cannot be in one cluster with this build's, which have commands chosen twice (X1).
pub const VERSIONS: Versions = Versions { oldest: 4, newest: 4 };
/// Length of a hello in bytes.
pub const HELLO_LEN: usize = 36;
/// Length of a frame's header in bytes.
pub const HEADER_LEN: usize = 8;
/// The longest frame any node may send, in bytes of payload.
pub const MAX_FRAME: usize = 16 << 20;

/// Payloads up to this long are copied next to their header. QUIC keeps written pieces in a list it walks for every
/// packet it builds, so a few large pieces are far cheaper than many small ones.
const COPY_UP_TO: usize = 8 << 10;
/// How much room a decoder makes for one read.
const READ_ROOM: usize = 128 << 10;
/// A decoder with less room than this left makes more.
const READ_ROOM_MIN: usize = 16 << 10;
/// The `kind` of the acceptor's welcome; the classes use their index.
const WELCOME: u8 = 0xff;

/// Why bytes from a peer could not be understood. The connection they came over is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The stream does not begin like one of ours.
    #[error("the stream begins with {0:02x?} and not with {MAGIC:02x?}: the peer is not a synod node")]
    Magic([u8; 4]),
    /// The peer speaks no version that this node speaks.
    #[error("the peer speaks wire version {theirs} and this node speaks {ours}: {advice}", advice = version_advice(*.theirs, *.ours))]
    Version {
        /// What the peer speaks.
        theirs: Versions,
        /// What this node speaks.
        ours: Versions,
    },
    /// The hello's kind is none that exists, or not the one that belongs here.
    #[error("a stream of kind {0:#04x} has no place here")]
    Kind(u8),
    /// The bytes are not what the sender checksummed.
    #[error("checksum {computed:#010x} of {length} bytes is not the {sent:#010x} that was sent with them")]
    Checksum {
        /// Number of bytes the checksum covers.
        length: usize,
        /// The checksum that came with the bytes.
        sent: u32,
        /// The checksum of the bytes that came.
        computed: u32,
    },
    /// The frame is longer than any frame may be.
    #[error("a frame of {length} bytes is above the limit of {limit}")]
    Length {
        /// The length the header announces.
        length: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// The stream ended in the middle of a frame.
    #[error("the stream ended {0} bytes into a frame")]
    Truncated(usize),
}

impl WireError {
    /// All values of the label `reason`.
    pub const REASONS: [&'static str; 6] = ["magic", "version", "kind", "checksum", "length", "truncated"];

    /// The value of the label `reason` in `synod_peer_decode_errors_total`.
    pub const fn reason(&self) -> &'static str {
        match self {
            WireError::Magic(_) => "magic",
            WireError::Version { .. } => "version",
            WireError::Kind(_) => "kind",
            WireError::Checksum { .. } => "checksum",
            WireError::Length { .. } => "length",
            WireError::Truncated(_) => "truncated",
        }
    }
}

/// Wire versions that a node speaks, without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The first of them; at least 1.
    pub oldest: u16,
    /// The last of them; at most 255 more.
    pub newest: u16,
}

impl Versions {
    /// The newest version that both speak.
    #[must_use]
    pub fn shared_with(self, other: Versions) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oldest == self.newest {
            write!(f, "{}", self.oldest)
        } else {
            write!(f, "{} to {}", self.oldest, self.newest)
        }
    }
}

/// What the operator should do about the other version.
fn version_advice(theirs: Versions, ours: Versions) -> &'static str {
    if theirs.oldest > ours.newest {
        "upgrade this node"
    } else {
        "upgrade the peer"
    }
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Frames of this class follow, from the dialler.
    Frames(Class),
    /// The acceptor has let the dialler in; nothing follows.
    Welcome,
}

/// The first bytes of every stream: who speaks, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What the stream is for.
    pub kind: Kind,
    /// The cluster's number.
    pub cluster_id: u64,
    /// The sender.
    pub from: NodeId,
    /// Which life of the sender this is.
    pub incarnation: u64,
    /// What the sender speaks.
    pub speaks: Versions,
}

impl Hello {
    /// The hello's bytes.
    pub fn encode(&self) -> [u8; HELLO_LEN] {
        let kind = match self.kind {
            Kind::Frames(class) => class.index() as u8,
            Kind::Welcome => WELCOME,
        };
        let mut bytes = [0; HELLO_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        let Versions { oldest, newest } = self.speaks;
        bytes[4..6].copy_from_slice(&oldest.to_le_bytes());
        bytes[6] = kind;
        bytes[7] = u8::try_from(newest - oldest).expect("a build speaks few versions");
        bytes[8..16].copy_from_slice(&self.cluster_id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.from.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.incarnation.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..32]);
        bytes[32..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a hello, for a node that speaks `ours`; returns it with the version in which the two talk. Magic and versions
    /// are judged first, since nothing else has a fixed place across versions.
    pub fn decode(bytes: &[u8; HELLO_LEN], ours: Versions) -> Result<(Self, u16), WireError> {
        let mut rest = &bytes[..];
        let mut magic = [0; 4];
        rest.copy_to_slice(&mut magic);
        if magic != MAGIC {
            return Err(WireError::Magic(magic));
        }
        let oldest = rest.get_u16_le();
        let kind = rest.get_u8();
        let theirs = Versions {
            oldest,
            newest: oldest.saturating_add(u16::from(rest.get_u8())),
        };
        let Some(version) = ours.shared_with(theirs) else {
            return Err(WireError::Version { theirs, ours });
        };
        let hello = Self {
            kind: match kind {
                WELCOME => Kind::Welcome,
                index => Kind::Frames(*Class::ALL.get(usize::from(index)).ok_or(WireError::Kind(kind))?),
            },
            cluster_id: rest.get_u64_le(),
            from: NodeId(rest.get_u64_le()),
            incarnation: rest.get_u64_le(),
            speaks: theirs,
        };
        let (sent, computed) = (rest.get_u32_le(), crc32c::crc32c(&bytes[..32]));
        if sent != computed {
            return Err(WireError::Checksum {
                length: 32,
                sent,
                computed,
            });
        }
        Ok((hello, version))
    }
}

/// Turns frames into few large pieces of bytes, ready for one vectored write.
#[derive(Debug, Default)]
pub struct Encoder {
    buffer: BytesMut,
    pieces: Vec<Bytes>,
}

impl Encoder {
    /// Appends one frame. Its payload must be at most [`MAX_FRAME`] long.
    pub fn push(&mut self, payload: Bytes) {
        assert!(
            payload.len() <= MAX_FRAME,
            "a frame of {} bytes is above {MAX_FRAME}",
            payload.len()
        );
        let copied = if payload.len() <= COPY_UP_TO { payload.len() } else { 0 };
        if self.buffer.capacity() - self.buffer.len() < HEADER_LEN + copied {
            self.cut();
            self.buffer.reserve((64 << 10).max(HEADER_LEN + copied));
        }
        self.buffer.put_u32_le(payload.len() as u32);
        self.buffer.put_u32_le(crc32c::crc32c(&payload));
        if payload.len() <= COPY_UP_TO {
            self.buffer.put_slice(&payload);
        } else {
            self.cut();
            self.pieces.push(payload);
        }
    }

    /// The pieces of everything pushed since the last [`Encoder::clear`], in order.
    pub fn pieces(&mut self) -> &mut [Bytes] {
        self.cut();
        &mut self.pieces
    }

    /// Forgets the pieces, which have been written.
    pub fn clear(&mut self) {
        self.pieces.clear();
    }

    fn cut(&mut self) {
        if !self.buffer.is_empty() {
            self.pieces.push(self.buffer.split().freeze());
        }
    }
}

/// Cuts a stream of bytes into frames without copying them again.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    limit: usize,
}

impl Decoder {
    /// A decoder that refuses frames longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            limit,
        }
    }

    /// The buffer to append the next bytes of the stream to, with room for at least 16 KiB.
    pub fn room(&mut self) -> &mut BytesMut {
        // Room for the whole of the frame that has begun, so that a large one is moved at most once.
        let wanted = match self.announced() {
            Some(length) if length <= self.limit => (HEADER_LEN + length).saturating_sub(self.buffer.len()),
            _ => 0,
        };
        let left = self.buffer.capacity() - self.buffer.len();
        if left < wanted.max(READ_ROOM_MIN) {
            self.buffer.reserve(wanted.max(READ_ROOM));
        }
        &mut self.buffer
    }

    /// The next whole frame, or `None` until more bytes have come. After an error the stream is worthless.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, WireError> {
        let Some(length) = self.announced() else {
            return Ok(None);
        };
        if length > self.limit {
            return Err(WireError::Length {
                length,
                limit: self.limit,
            });
        }
        if self.buffer.len() < HEADER_LEN + length {
            return Ok(None);
        }
        let mut header = self.buffer.split_to(HEADER_LEN);
        header.advance(4);
        let sent = header.get_u32_le();
        let payload = self.buffer.split_to(length).freeze();
        let computed = crc32c::crc32c(&payload);
        if sent != computed {
            return Err(WireError::Checksum { length, sent, computed });
        }
        Ok(Some(payload))
    }

    /// Judges the end of the stream: between two frames it is none of our business, within one it is an error.
    pub fn finish(&self) -> Result<(), WireError> {
        if self.buffer.is_empty() {
            Ok(())
        } else {
            Err(WireError::Truncated(self.buffer.len()))
        }
    }

    fn announced(&self) -> Option<usize> {
        let length = self.buffer.first_chunk::<4>()?;
        (self.buffer.len() >= HEADER_LEN).then(|| u32::from_le_bytes(*length) as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn decode_all(decoder: &mut Decoder) -> Result<Vec<Bytes>, WireError> {
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
        Ok(frames)
    }

    fn encode_all(frames: &[Bytes]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        frames.iter().cloned().for_each(|frame| encoder.push(frame));
        encoder.pieces().concat()
    }

    fn frames() -> impl Strategy<Value = Vec<Bytes>> {
        let length = prop_oneof![4 => 0..400usize, 1 => COPY_UP_TO - 2..COPY_UP_TO + 3, 1 => 0..200_000usize];
        vec(
            (length, any::<u8>()).prop_map(|(length, byte)| Bytes::from(vec![byte; length])),
            0..20,
        )
    }

    fn hello() -> impl Strategy<Value = Hello> {
        let kind = prop_oneof![
            Just(Kind::Welcome),
            Just(Kind::Frames(Class::Control)),
            Just(Kind::Frames(Class::Replication)),
            Just(Kind::Frames(Class::Bulk))
        ];
        (kind, any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(kind, cluster_id, from, incarnation)| Hello {
            kind,
            cluster_id,
            from: NodeId(from),
            incarnation,
            speaks: VERSIONS,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn frames_survive_any_split_into_chunks(frames in frames(), cuts in vec(1..50_000usize, 1..40)) {
            let bytes = encode_all(&frames);
            let mut decoder = Decoder::new(MAX_FRAME);
            let mut decoded = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
                decoder.room().put_slice(chunk);
                decoded.extend(decode_all(&mut decoder)?);
                rest = tail;
            }
            prop_assert_eq!(decoded, frames);
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn random_bytes_never_panic_and_never_pass_the_limit(bytes in vec(any::<u8>(), 0..4000), limit in 1..3000usize) {
            let mut decoder = Decoder::new(limit);
            decoder.room().put_slice(&bytes);
            if let Ok(frames) = decode_all(&mut decoder) {
                prop_assert!(frames.iter().all(|frame| frame.len() <= limit));
            }
        }

        #[test]
        fn a_flipped_bit_never_yields_a_different_frame(
            payload in vec(any::<u8>(), 1..300), at in any::<prop::sample::Index>(), bit in 0..8u32,
        ) {
            let frame = Bytes::from(payload);
            let mut bytes = encode_all(std::slice::from_ref(&frame));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let mut decoder = Decoder::new(MAX_FRAME);
            decoder.room().put_slice(&bytes);
            let result = decode_all(&mut decoder);
            prop_assert!(result.is_err() || decoder.finish().is_err(), "accepted {result:?}");
        }

        #[test]
        fn a_hello_reads_back(hello in hello()) {
            prop_assert_eq!(Hello::decode(&hello.encode(), VERSIONS), Ok((hello, VERSIONS.newest)));
        }

        #[test]
        fn a_hello_of_random_bytes_is_refused(bytes in any::<[u8; HELLO_LEN]>()) {
            prop_assert!(Hello::decode(&bytes, VERSIONS).is_err());
        }

        #[test]
        fn a_hello_with_a_flipped_bit_is_refused(hello in hello(), at in 0..HELLO_LEN, bit in 0..8u32) {
            let mut bytes = hello.encode();
            bytes[at] ^= 1 << bit;
            prop_assert!(Hello::decode(&bytes, VERSIONS).is_err());
        }
    }

    fn spoken(oldest: u16, newest: u16) -> Versions {
        Versions { oldest, newest }
    }

    fn hello_of(speaks: Versions) -> [u8; HELLO_LEN] {
        let hello = Hello {
            kind: Kind::Welcome,
            cluster_id: 1,
            from: NodeId(1),
            incarnation: 1,
            speaks,
        };
        hello.encode()
    }

    #[test]
    fn two_nodes_talk_in_the_newest_version_that_both_speak() {
        for (theirs, ours, talked) in [
            (spoken(1, 1), spoken(1, 1), 1),
            (spoken(1, 1), spoken(1, 3), 1),
            (spoken(1, 3), spoken(1, 2), 2),
            (spoken(2, 4), spoken(1, 3), 3),
        ] {
            let read = Hello::decode(&hello_of(theirs), ours).map(|(hello, version)| (hello.speaks, version));
            assert_eq!(read, Ok((theirs, talked)));
        }
    }

    #[test]
    fn versions_too_far_apart_are_refused_with_advice() {
        for (theirs, ours, sentence) in [
            (
                spoken(2, 2),
                spoken(1, 1),
                "the peer speaks wire version 2 and this node speaks 1: upgrade this node",
            ),
            (
                spoken(1, 2),
                spoken(3, 4),
                "the peer speaks wire version 1 to 2 and this node speaks 3 to 4: upgrade the peer",
            ),
        ] {
            let error = Hello::decode(&hello_of(theirs), ours).expect_err("nothing in common");
            assert_eq!(error, WireError::Version { theirs, ours });
            assert_eq!(error.to_string(), sentence);
        }
    }

    /// Byte for byte what builds sent before versions were agreed on, so that theirs and ours understand each other.
    #[test]
    fn a_node_that_speaks_one_version_says_hello_as_ever() {
        let bytes = hello_of(spoken(1, 1));
        assert_eq!(bytes[..8], *b"SYND\x01\x00\xff\x00");
    }
}
