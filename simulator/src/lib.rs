//! How it breaks: a deterministic cluster of real replicas, faults, and checkers that see everything.
//!
//! One seed is one run, bit for bit: one thread, one queue of events ordered by (moment, sequence), random numbers in one
//! stream per concern, no map with a random order, no clock but the simulated one. A [`Plan`] is what a seed decides: the
//! cluster and its quorum system, options, weather, faults and load (swarm testing, [`swarm`]). [`run()`] plays it: first a
//! phase in which anything may go wrong, then a calm in which a healed core must go on.
//!
//! Simulated are the network, the disks, the clocks, the processes' lives and the clients; real are the `Replica` with
//! its recovery, the codec of messages, which every message goes through, and the key-value store with its commands.
//!
//! | room | what is there |
//! |---|---|
//! | [`swarm`], `electorate`, `favour`, `adversary` | what a seed decides: members and quorums, options, load; runs full of one thing; when strikes fall |
//! | `cluster` | the event loop; the driver's contract; clients' requests; faults; the calm at the end |
//! | `network`, `disk`, `clock`, `client` | what is simulated around the replica |
//! | `machine`, `tables` | the real state machine, and what it is kept in |
//! | `workload` | what clients ask for |
//! | `ledger`, `commands`, `reference` | the facts that no node can know: durable votes, what is chosen, every command and its answer |
//! | `oracle`, `checker` | what must hold, one property to a file, checked at every event |
//! | [`linearizable`], `history` | what clients saw, judged from the outside |
//! | [`explorer`] | every path through a small cluster, up to a bound |
//! | [`random`] | random numbers that a seed repeats |
//! | `coverage` | what a run has seen; a run in which nothing happened proves nothing |
//! | `mutant` | nodes made wrong on purpose, which the checkers must kill: the catalogue, the matrix and the book |
//! | `stage` | a few replicas and one move after another: the shortest way to the harm that a mutant does |
//! | `trace`, `run` | the fingerprint of a run, and the story of a failed one |
//! | `spec` | a run in the words of the TLA+ model, which must be able to explain it |
//! | `reduction`, `shrink` | a failed run made smaller |
//!
//! What is not here: time limits, threads, real sockets or files (the node's tests have those), and any knowledge of how
//! the replica works inside. Checkers judge records, messages and answers against the rules of the protocol.

mod adversary;
mod checker;
mod client;
mod clock;
mod cluster;
mod commands;
mod coverage;
mod disk;
mod electorate;
pub mod explorer;
mod favour;
mod history;
mod ledger;
pub mod linearizable;
mod machine;
mod mutant;
mod network;
mod node;
mod oracle;
pub mod random;
mod reduction;
mod reference;
mod run;
mod schedule;
mod seat;
mod shrink;
mod slots;
mod spec;
mod stage;
mod swarm;
mod tables;
mod tenure;
mod trace;
mod workload;

pub use checker::{Property, Violation};
pub use cluster::Summary;
pub use coverage::{Counts, Fault, Sometimes, Step, Tally};
pub use mutant::{
    CATALOGUE, Chapter, Entry, Expected, Kill, MISSING, MUTANTS, Missing, Mutant, Recorded, Row, book, book_file,
    entries, record, recorded,
};
pub use paxos::MUTABLE;
pub use reduction::Reduction;
pub use run::{Failure, run, tell, transcribe};
pub use shrink::{Shrunk, shrink};
pub use stage::{Played, Scene, Story, play};
pub use swarm::Plan;
