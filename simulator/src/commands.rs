//! Every command that a client ever gave to a process, and what became of it.

use paxos::{CommandId, Slot};
use storage::machine::Applied;

use crate::seat::Seat;
use crate::workload::OpId;

/// What a client was told.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Fate {
    /// Nothing yet.
    Open,
    /// Certainly not done.
    Refused,
    /// May or may not be done.
    Unknown,
    /// Done.
    Done,
}

/// One command.
#[derive(Clone, Debug)]
pub(crate) struct CommandFacts {
    pub(crate) op: OpId,
    /// Digest of its bytes.
    pub(crate) payload: u64,
    pub(crate) fate: Fate,
    /// Where it is chosen.
    pub(crate) chosen: Option<Slot>,
    /// What its client should be told, once every slot up to it is chosen.
    pub(crate) reply: Option<Applied>,
}

struct Boot {
    seat: Seat,
    /// By sequence number; reads leave holes.
    commands: Vec<Option<CommandFacts>>,
}

/// By process and sequence number. Processes are numbered in the order of their starts, from 1.
#[derive(Default)]
pub(crate) struct Commands {
    boots: Vec<Boot>,
}

impl Commands {
    /// A process starts; its number.
    pub(crate) fn boot(&mut self, seat: Seat) -> u64 {
        self.boots.push(Boot {
            seat,
            commands: Vec::new(),
        });
        self.boots.len() as u64
    }

    /// The next request of a process: a command, or nothing for a read. Its number, from 1.
    pub(crate) fn request(&mut self, boot: u64, command: Option<CommandFacts>) -> u64 {
        let commands = &mut self.boots[boot as usize - 1].commands;
        commands.push(command);
        commands.len() as u64
    }

    fn place(&self, id: CommandId) -> Option<(usize, usize)> {
        let boot = usize::try_from(id.boot.checked_sub(1)?).ok()?;
        let sequence = usize::try_from(id.sequence.checked_sub(1)?).ok()?;
        (self.boots.get(boot)?.seat.node() == id.origin).then_some((boot, sequence))
    }

    pub(crate) fn of(&self, id: CommandId) -> Option<&CommandFacts> {
        let (boot, sequence) = self.place(id)?;
        self.boots[boot].commands.get(sequence)?.as_ref()
    }

    pub(crate) fn of_mut(&mut self, id: CommandId) -> Option<&mut CommandFacts> {
        let (boot, sequence) = self.place(id)?;
        self.boots[boot].commands.get_mut(sequence)?.as_mut()
    }
}
