//! I2, claims: whatever a node says or records as chosen is chosen, with that value (L5, C1, A9).
//! `Claims` in the model.

use paxos::{Logged, Message, Record, Slot, Value};

use crate::checker::{Verdict, ensure};
use crate::disk::Store;
use crate::ledger::{Ledger, same};
use crate::seat::Seat;

/// A process asks for a record.
pub(crate) fn on_record(ledger: &Ledger, seat: Seat, record: &Record) -> Verdict {
    match record {
        Record::Chosen(slot) => prefix(ledger, seat, *slot, "records that all is chosen"),
        Record::Learned { slot, value } => chosen(ledger, seat, *slot, value, "learned"),
        Record::Promised(_) | Record::Voted { .. } | Record::Configurations(_) => Ok(()),
    }
}

/// `Chosen(to)` has become durable where `Chosen(from)` was: what the log holds there is the chosen value.
pub(crate) fn on_durable_prefix(ledger: &Ledger, seat: Seat, store: &Store, from: Slot, to: Slot) -> Verdict {
    for slot in from.0 + 1..=to.0 {
        let slot = Slot(slot);
        if slot <= store.trimmed {
            continue;
        }
        let Some(value) = store.log.at(slot).map(Logged::value) else {
            ensure!(
                false,
                Claims,
                "{seat} has recorded that all is chosen up to {to}, but holds nothing in slot {slot}"
            );
            continue;
        };
        chosen(ledger, seat, slot, value, "holds below its recorded chosen prefix")?;
    }
    Ok(())
}

/// A message leaves a node.
pub(crate) fn on_send(ledger: &Ledger, seat: Seat, message: &Message) -> Verdict {
    match message {
        Message::Canvass { chosen, .. }
        | Message::CanvassReply { chosen, .. }
        | Message::Accept { chosen, .. }
        | Message::Decided { chosen, .. }
        | Message::Commit { chosen, .. }
        | Message::HandOver { chosen, .. }
        | Message::Heartbeat { chosen, .. }
        | Message::HeartbeatAck { chosen, .. } => prefix(ledger, seat, *chosen, "says that all is chosen"),
        Message::Promise { chosen, trimmed, .. } => prefix(
            ledger,
            seat,
            (*chosen).max(*trimmed),
            "promises and says that all is chosen",
        ),
        Message::Trimmed { trimmed } => prefix(ledger, seat, *trimmed, "has trimmed"),
        Message::Chosen {
            from,
            values,
            chosen: up_to,
        } => {
            prefix(ledger, seat, *up_to, "says that all is chosen")?;
            for (slot, value) in (from.0..).zip(values) {
                chosen(ledger, seat, Slot(slot), value, "tells a peer")?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn prefix(ledger: &Ledger, seat: Seat, slot: Slot, how: &str) -> Verdict {
    let known = ledger.chosen_prefix();
    ensure!(
        slot <= known,
        Claims,
        "{seat} {how} up to {slot}, but by the votes on disks that is so only up to {known}"
    );
    Ok(())
}

/// `value` is what is chosen in `slot`.
pub(crate) fn chosen(ledger: &Ledger, seat: Seat, slot: Slot, value: &Value, how: &str) -> Verdict {
    let fact = ledger.chosen(slot);
    ensure!(
        fact.is_some_and(|fact| same(fact, value)),
        Claims,
        "{seat} {how} {value:?} in slot {slot}, where by the votes on disks {fact:?} is chosen"
    );
    Ok(())
}
