//! Which sets of nodes may decide.
//!
//! Flexible Paxos elects a leader with a *phase 1* quorum and chooses a value with a *phase 2* quorum. It is safe if and
//! only if every phase 1 quorum meets every phase 2 quorum; two quorums of the same phase need not meet. That leaves an
//! operator free to trade: commits that wait for two near nodes, for elections that need four; a row of a grid against a
//! column; one zone against one node of every zone. This crate turns such a wish into something a protocol can ask
//! ([`QuorumSystem`]), and refuses it, with two disjoint quorums by name, if it would be unsafe.
//!
//! The way of a configuration: an operator writes a [`Proposal`] (TOML, JSON), which is plain data with a [`SystemSpec`]
//! in it. [`Configuration::new`] lays the members out, compiles the spec to a pair of [`Rule`]s (trees of thresholds, the
//! one form everything else works on), proves that they always meet ([`validity`]) and compiles them once more to bit
//! masks. There is no other way to get a [`Configuration`], decoding included, so nobody further up checks again.
//! [`resilience`] and [`latency`] tell the operator what a configuration buys and what it costs,
//! [`Configuration::slack`] what is left of that when some members do not answer, [`Fate`] and [`Obstacle`] what
//! it means to go from one to the next.
//!
//! What is not here: Paxos, ballots, slots, clocks, the network. Whom to ask first is not here either: which sets count is
//! safety, whom to contact first is speed. And no quorum system is ever reduced to the sizes of its quorums: "three of
//! these six" is not a row of a grid.

#![no_std]

extern crate alloc;

mod change;
mod compiled;
mod configuration;
mod fault;
mod fingerprint;
mod id;
pub mod latency;
mod layout;
mod member;
pub mod minimal;
mod node_set;
mod proposal;
pub mod resilience;
mod rule;
mod slack;
mod spec;
mod spec_text;
mod system;
pub mod validity;

pub use change::{Fate, Obstacle};
pub use configuration::Configuration;
pub use fault::{Fault, Faults, Place, Who};
pub use id::{Epoch, Incarnation, NodeId};
pub use member::{Member, Role};
pub use minimal::TooMany;
pub use node_set::{Indexes, NodeSet};
pub use proposal::Proposal;
pub use rule::{Rule, RuleFault};
pub use spec::{Layout, Line, SystemSpec, ZoneCount};
pub use spec_text::SpecError;
pub use system::{Phase, QuorumSystem, RuleSystem, Verdict};
