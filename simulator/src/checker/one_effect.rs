//! I12, one effect: however often a command is chosen it takes effect once, and a refused command is chosen nowhere; nor does a
//! leader refuse what it proposes (X1, X2).

use paxos::{Ballot, CommandId, Slot, Value};
use storage::machine::Revision;

use crate::checker::{Verdict, ensure};
use crate::commands::{CommandFacts, Commands, Fate};

/// A slot has just been chosen.
pub(crate) fn on_chosen(commands: &mut Commands, slot: Slot, value: &Value) -> Verdict {
    let Value::Commands(batch) = value else { return Ok(()) };
    for command in batch.iter() {
        let Some(known) = commands.of_mut(command.id) else {
            continue;
        };
        known.chosen.get_or_insert(slot);
        ensure!(
            known.fate != Fate::Refused,
            OneEffect,
            "command {:?} was refused, yet slot {slot} has it",
            command.id
        );
    }
    Ok(())
}

/// A ballot's leader has a value proposed for the first time anywhere. What it has refused it does not propose.
pub(crate) fn on_proposal(commands: &mut Commands, ballot: Ballot, value: &Value) -> Verdict {
    let Value::Commands(batch) = value else { return Ok(()) };
    for command in batch.iter() {
        let Some(known) = commands.of_mut(command.id) else {
            continue;
        };
        let first = known.proposed.is_none_or(|lowest| ballot < lowest);
        if first {
            known.proposed = Some(ballot);
        }
        returned(known, command.id)?;
    }
    Ok(())
}

/// The leader of a ballot sends commands back to the node that forwarded them: it did certainly not propose them.
pub(crate) fn on_returned(commands: &mut Commands, ballot: Ballot, ids: impl Iterator<Item = CommandId>) -> Verdict {
    for id in ids {
        if let Some(known) = commands.of_mut(id) {
            known.returned.push(ballot);
            returned(known, id)?;
        }
    }
    Ok(())
}

/// Who asked under a later ballot knows that an earlier one may have proposed it.
fn returned(known: &CommandFacts, id: CommandId) -> Verdict {
    ensure!(
        known.proposed.is_none_or(|lowest| !known.returned.contains(&lowest)),
        OneEffect,
        "the leader of {:?} has proposed command {id:?} and refused it",
        known.proposed
    );
    Ok(())
}

/// The chosen prefix reaches `slot`, and gives this revision: as the naive store counts effects, and as the state machine does.
pub(crate) fn on_prefix(slot: Slot, expected: Revision, found: Revision) -> Verdict {
    ensure!(
        expected == found,
        OneEffect,
        "commands up to slot {slot} give revision {expected:?} if each is done once, but the state machine is at {found:?}"
    );
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
