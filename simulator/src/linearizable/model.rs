//! What operations on one key mean.

use std::fmt::Display;
use std::hash::Hash;

/// A sequential data type: what one copy of the data, used by one client at a time, would do.
pub trait Model {
    /// What a key holds; the default is what it holds before anything was done.
    type State: Clone + Default + Eq + Hash + Display;
    /// What a client asks.
    type Op: Clone + Display;
    /// What a client is told.
    type Reply: Clone + Display;

    /// The state after `op` was done in `state` and answered with `reply`; nothing if it would have been answered otherwise.
    /// Without a reply, whatever it would have been is right.
    fn step(state: &Self::State, op: &Self::Op, reply: Option<&Self::Reply>) -> Option<Self::State>;

    /// Whether `op` changes nothing in any state.
    fn is_read(op: &Self::Op) -> bool;
}
