//! # `node`: how it talks
//!
//! The top floor of the house: everything that touches a socket, a clock, a signal or a terminal. The rooms below it
//! decide what may be said ([`quorum`], `paxos`) and remember it (`storage`); this one carries it.

pub mod api;
pub mod archive;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod drain;
pub mod driver;
pub mod guard;
pub mod http;
pub mod metrics;
pub mod proto;
pub mod recover;
pub mod relay;
pub mod requests;
pub mod scrub;
pub mod server;
pub mod settings;
pub mod snapshots;
pub mod status;
pub mod transport;
mod worker;

// Whatever features cargo unifies, no node is built with a core that can be made wrong.
const _: () = assert!(
    !paxos::MUTABLE,
    "the feature `mutants` of `paxos` is for tests: build the node without it"
);
