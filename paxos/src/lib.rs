//! What a node may say next: Flexible Multi-Paxos as a pure state machine.
#![no_std]

extern crate alloc;

mod ballot;
mod effect;
mod message;
mod time;
mod value;

pub use ballot::{Ballot, Slot};
pub use effect::{
    Doubt, Entry, Event, Input, Logged, Options, Outcome, Output, Record, Recovered, Refusal, RequestId, Write, WriteId,
};
pub use message::{Address, ClusterId, Envelope, Message, Urgency, Vote};
pub use time::Time;
pub use value::{Batch, Command, CommandId, MalformedBatch, Value};
