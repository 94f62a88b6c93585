//! I3, validity: what is proposed is a no-op, a configuration, or commands that clients asked for, to the byte.
//! `Validity` in the model.

use paxos::{Slot, Value};

use crate::checker::{Verdict, ensure};
use crate::commands::Commands;
use crate::ledger::Ledger;
use crate::trace::digest;

/// A value is proposed that no earlier ballot proposed in this slot.
pub(crate) fn check(commands: &Commands, ledger: &Ledger, slot: Slot, value: &Value) -> Verdict {
    if let Value::Reconfigure(change) = value {
        ensure!(
            ledger.was_asked(&change.configuration),
            Validity,
            "slot {slot} is proposed a configuration that no operator asked for: {:?}",
            change.configuration.proposal()
        );
    }
    let Value::Commands(batch) = value else { return Ok(()) };
    ensure!(!batch.is_empty(), Validity, "slot {slot} is proposed an empty batch");
    for command in batch.iter() {
        let known = commands.of(command.id);
        ensure!(
            known.is_some_and(|known| known.payload == digest(&command.payload)),
            Validity,
            "slot {slot} is proposed command {:?}, which no client gave to that process in these bytes",
            command.id
        );
    }
    Ok(())
}
