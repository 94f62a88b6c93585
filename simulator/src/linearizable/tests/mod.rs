//! The checker against a second one that is too simple to be wrong, on thousands of small histories; and the checker made
//! wrong, which must show.

mod brute;
mod by_hand;
mod generate;
mod random;
mod speed;

use bytes::Bytes;

use crate::linearizable::History;
use crate::linearizable::history::Operation;
use crate::linearizable::model::Model;

/// One operation, written short. An `end` of `None` is an unknown outcome.
fn op<M: Model>(key: u8, client: u64, op: M::Op, called: u64, answered: Option<(u64, M::Reply)>) -> Operation<M> {
    Operation {
        client,
        key: Bytes::copy_from_slice(&[b'a' + key]),
        op,
        called,
        answered,
    }
}

fn history<M: Model>(operations: &[Operation<M>]) -> History<M> {
    operations.iter().cloned().collect()
}
