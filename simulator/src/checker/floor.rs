//! I17, the floor: a journal is trimmed only below what its own state machine holds durably, and a node that says what is
//! durable there, or everywhere, is right (C4, A7).

use paxos::{Message, Slot};

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

/// A message leaves a node; `flushed` is how far each state machine is durable, by seat.
pub(crate) fn on_send(seat: Seat, message: &Message, flushed: &[Slot]) -> Verdict {
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
            let least = flushed.iter().min().copied().unwrap_or_default();
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
