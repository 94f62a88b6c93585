//! What a node may say next: Flexible Multi-Paxos as a pure state machine.
//!
//! A [`Replica`] is one node's acceptor, learner and (at times) leader. It is told what happened ([`Input`]) and says
//! what must be done ([`Output`]): records to make durable, messages to send before or after that, chosen entries to
//! apply, clients to answer. Time and randomness are arguments. There is no clock, socket, disk, thread or `async` in
//! here, and with `no_std` none can creep in; so the simulator runs exactly this code, and one seed is one run.
//!
//! The rules that make it safe are numbered in `docs/protocol.md` (A1, L3, C1 …), and each number stands at the line
//! that implements the rule:
//!
//! | room | what is decided there |
//! |---|---|
//! | `acceptor` | promises and votes (A1–A3, A8, A9, L10) |
//! | `leader` | proposals, counting votes, announcing, health (L3–L5, L8, E3) |
//! | `election` | suspecting, canvassing, phase 1, giving way (E1, E2, L1, L2, L6, L7, L9) |
//! | `learner` | what is chosen, applying in order (C1, C2) |
//! | `catch_up` | fetching what was missed (C1) |
//! | `snapshot` | a copy of a peer's state, for whoever is behind every log (C3) |
//! | `trimming` | what the journal may forget (C4) |
//! | `space` | a disk that is full, or stalls (E5) |
//! | `hand_over` | leadership given to another on request (E4) |
//! | `reads` | linearizable reads (D1, D2, D6) |
//! | `lease` | reads without a round, and how old a state is (D3–D5, D7) |
//! | `configurations` | which configuration governs which slot, and whether a change takes effect (R1, R2) |
//! | `operator` | changes from operator to log, and what becomes of them (R2, X2) |
//! | `reconfiguration` | changing members and quorum system: what is refused, phase 1 of the new configuration, the window (R3–R5, R7) |
//! | `retirement` | the end of an old configuration, and of a leader or member that the new one does without (R6, R8) |
//! | `proposals` | commands from client to log, tried again when in doubt, and what becomes of them (L6, X1, X2) |
//!
//! `mutant` lists the ways in which tests make it wrong on purpose, which no build but a test's contains.
//!
//! What is not here yet: sessions.
#![no_std]

extern crate alloc;
#[cfg(feature = "mutants")]
extern crate std;

mod acceptor;
mod ballot;
mod catch_up;
mod change;
mod codec;
mod configurations;
mod effect;
mod election;
mod fingerprint;
mod hand_over;
mod leader;
mod learner;
mod lease;
mod log;
mod message;
pub mod mutant;
mod operator;
mod phase_one;
mod proposals;
mod reads;
mod reconfiguration;
mod replica;
mod retirement;
mod rng;
mod snapshot;
mod space;
mod status;
mod time;
mod trimming;
mod value;

pub use ballot::{Ballot, Slot};
pub use change::{Change, Objection, Waivers};
pub use codec::CodecError;
pub use configurations::Configurations;
pub use effect::{
    Abandoned, Doubt, Entry, Event, Input, LetGo, Logged, Options, Outcome, Output, Record, Recovered, Refusal,
    RequestId, Room, Write, WriteId,
};
pub use hand_over::Stays;
pub use lease::{Echo, LeaseOptions, Moment, Pulse, Release};
pub use message::{Address, ClusterId, Envelope, Message, SnapshotId, Urgency, Vote};
pub use replica::{Replica, Wake};
pub use status::{MemberProgress, Standing, Status};
pub use time::Time;
pub use value::{Batch, Command, CommandId, MalformedBatch, Value};

/// Whether this build can be made wrong: the feature `mutants` is on, which nothing that keeps data may have.
pub const MUTABLE: bool = cfg!(feature = "mutants");
