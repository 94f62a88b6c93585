//! I13, the window: a leader proposes only in slots up to the chosen prefix it announces plus `α` (L3 i). While members
//! cannot change this is a bound; when they can, safety rests on it.

use paxos::Message;

use crate::checker::{Verdict, ensure};
use crate::seat::Seat;

/// A message leaves a node of a cluster with window `alpha`.
pub(crate) fn on_send(seat: Seat, message: &Message, alpha: u64) -> Verdict {
    if let Message::Accept {
        ballot, slot, chosen, ..
    } = message
    {
        ensure!(
            *slot <= chosen.plus(alpha),
            Window,
            "{seat} proposes in slot {slot} under {ballot}, more than {alpha} above its chosen prefix {chosen}"
        );
    }
    Ok(())
}
