//! A cluster on the table: real replicas, and everything around them that a test wants to hold in its hands.
//!
//! - `cluster`: nodes with disks, clocks and clients, and the messages between them; nothing moves unless it is told to.
//! - `judge`: what must hold whatever happens; it looks at disks and clients, never at what a replica says of itself.
//! - `snapshots`: copies of a state machine that is nothing but a number.
//! - `words`: one line for each thing a replica says.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

pub mod cluster;
pub mod judge;
pub mod snapshots;
pub mod words;
