//! Which request comes next.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::arguments::{Plan, Work};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{PutRequest, RangeRequest, RequestOp, TxnRequest};

/// Bytes from which values are cut: large enough that a store cannot compress equal values away.
const POOL_BYTES: usize = 1 << 20;

/// Whether a request changes the store; the two kinds are measured apart.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// A request ready to be sent.
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) path: &'static str,
    /// The request in gRPC's framing.
    pub(super) frame: Bytes,
}

/// The requests of one client, drawn from its own sequence of random numbers.
pub(super) struct Workload {
    work: Work,
    random: Random,
    pool: Bytes,
    key_space: u64,
    key_size: usize,
    value_size: usize,
}

/// Random bytes shared by all clients.
pub(super) fn pool(plan: &Plan) -> Bytes {
    let mut random = Random(plan.seed);
    let bytes = POOL_BYTES + plan.value_size;
    let mut pool = BytesMut::with_capacity(bytes + 8);
    while pool.len() < bytes {
        pool.put_u64_le(random.next());
    }
    pool.freeze()
}

impl Workload {
    pub(super) fn new(plan: &Plan, pool: Bytes, client: usize) -> Workload {
        // Spread by a large odd number: neighbouring clients share no stretch of the sequence.
        let seed = plan
            .seed
            .wrapping_add((client as u64 + 1).wrapping_mul(0xD134_2543_DE82_EF95));
        Workload {
            work: plan.work,
            random: Random(seed),
            pool,
            key_space: plan.key_space,
            key_size: plan.key_size,
            value_size: plan.value_size,
        }
    }

    pub(super) fn next(&mut self) -> Call {
        match self.work {
            Work::Put => self.put(),
            Work::Range { serializable } => self.range(serializable),
            Work::TxnPut { ops } => {
                // Consecutive keys from a random one: distinct, as a transaction demands.
                let first = self.random.below(self.key_space);
                self.txn((0..ops as u64).map(|step| (first + step) % self.key_space).collect())
            }
            Work::Mixed { serializable, reads } => {
                if self.random.unit() < reads {
                    self.range(serializable)
                } else {
                    self.put()
                }
            }
        }
    }

    /// A transaction that sets these keys.
    pub(super) fn txn(&mut self, numbers: Vec<u64>) -> Call {
        let success = numbers
            .into_iter()
            .map(|number| RequestOp {
                request: Some(Request::RequestPut(self.put_of(number))),
            })
            .collect();
        let request = TxnRequest {
            success,
            ..TxnRequest::default()
        };
        Call {
            kind: Kind::Write,
            path: "/etcdserverpb.KV/Txn",
            frame: frame(&request),
        }
    }

    fn put(&mut self) -> Call {
        let number = self.random.below(self.key_space);
        let request = self.put_of(number);
        Call {
            kind: Kind::Write,
            path: "/etcdserverpb.KV/Put",
            frame: frame(&request),
        }
    }

    fn range(&mut self, serializable: bool) -> Call {
        let number = self.random.below(self.key_space);
        let request = RangeRequest {
            key: self.key(number),
            serializable,
            ..RangeRequest::default()
        };
        Call {
            kind: Kind::Read,
            path: "/etcdserverpb.KV/Range",
            frame: frame(&request),
        }
    }

    fn put_of(&mut self, number: u64) -> PutRequest {
        let start = self.random.below(POOL_BYTES as u64) as usize;
        let value = self.pool.slice(start..start + self.value_size);
        PutRequest {
            key: self.key(number),
            value,
            ..PutRequest::default()
        }
    }

    /// The key with this number: `k` repeated, then the number in base 36, in as many bytes as asked for.
    fn key(&self, number: u64) -> Bytes {
        let mut key = vec![b'k'; self.key_size];
        let mut rest = number;
        for byte in key.iter_mut().rev().take(8) {
            *byte = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
            rest /= 36;
        }
        Bytes::from(key)
    }
}

/// A message with gRPC's prefix: one byte "not compressed", four bytes of length.
pub(super) fn frame(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + len);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(len).expect("a request of the generator is far below 4 GiB"));
    message.encode(&mut frame).expect("the buffer grows as needed");
    frame.freeze()
}

/// SplitMix64: enough randomness to choose keys, at a nanosecond a number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
