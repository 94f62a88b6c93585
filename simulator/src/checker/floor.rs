//! I17, the floor: a journal is trimmed only below what its own state machine holds durably, and a node that says what is
//! durable there, or everywhere, is right (C4, A7).

use paxos::{Message, Slot};
use quorum::NodeSet;

use crate::checker::{Verdict, ensure};
use crate::seat::Seat;

/// A journal is told to forget everything up to `trimmed`.
pub(crate) fn on_trim(seat: Seat, trimmed: Slot, flushed: Slot) -> Verdict {
    ensure!(
        trimmed <= flushed,
        Floor,
        "{seat} trims its journal to {trimmed}, but its state machine is durable only up to {flushed}"
    );
    Ok(())
}

/// A message leaves a node; `flushed` is how far each state machine is durable, by seat. Who was not a member all the time may
/// be unknown to whoever speaks of every member.
pub(crate) fn on_send(seat: Seat, message: &Message, flushed: &[Slot], always: NodeSet) -> Verdict {
    match message {
        Message::HeartbeatAck { flushed: said, .. } => {
            let fact = flushed[seat.index()];
            ensure!(
                *said <= fact,
                Floor,
                "{seat} says that its state is durable up to {said}, but it is up to {fact}"
            );
        }
        Message::Heartbeat { everywhere, .. } => {
            let members = always.iter().map(|member| flushed[usize::from(member)]);
            let least = members.min().unwrap_or(*everywhere);
            ensure!(
                *everywhere <= least,
                Floor,
                "{seat} says that every member's state is durable up to {everywhere}, but one is only up to {least}"
            );
        }
        _ => {}
    }
    Ok(())
}
