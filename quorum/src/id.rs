//! Numbers with a meaning. Each is its own type, so that swapped arguments do not compile.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// Names a member for as long as the cluster exists. From 1: a valid configuration has no node 0, which is what the
    /// etcd API and a ballot that nobody owns use for "none".
    NodeId
}

number! {
    /// One life of a node's disk, from 1. A node whose disk was wiped or restored from a backup has forgotten what it
    /// promised; it comes back under the same [`NodeId`] as a larger incarnation, which is another member (A6, A8).
    Incarnation
}

number! {
    /// The number of a configuration, from 1. Each change of members or quorum system that takes effect adds one.
    Epoch
}
