//! I12, one effect: a command is chosen in at most one slot, and a refused command in none (X2; X1 once sessions exist).

use paxos::{CommandId, Slot, Value};

use crate::checker::{Verdict, ensure};
use crate::commands::{Commands, Fate};

/// A slot has just been chosen.
pub(crate) fn on_chosen(commands: &mut Commands, slot: Slot, value: &Value) -> Verdict {
    let Value::Commands(batch) = value else { return Ok(()) };
    for command in batch.iter() {
        let Some(known) = commands.of_mut(command.id) else {
            continue;
        };
        let earlier = known.chosen.replace(slot);
        ensure!(
            earlier.is_none(),
            OneEffect,
            "command {:?} is chosen in slots {earlier:?} and {slot}",
            command.id
        );
        ensure!(
            known.fate != Fate::Refused,
            OneEffect,
            "command {:?} was refused, yet slot {slot} has it",
            command.id
        );
    }
    Ok(())
}

/// A client is told that its command was certainly not done.
pub(crate) fn on_refused(commands: &mut Commands, id: CommandId) -> Verdict {
    let Some(known) = commands.of_mut(id) else {
        return Ok(());
    };
    known.fate = Fate::Refused;
    ensure!(
        known.chosen.is_none(),
        OneEffect,
        "command {id:?} is refused, yet slot {:?} has it",
        known.chosen
    );
    Ok(())
}
