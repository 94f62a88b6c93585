//! Every command that a client ever gave to a process, and what became of it.

use paxos::{Ballot, CommandId, RequestId, Slot};
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
    /// The lowest ballot in which it was proposed.
    pub(crate) proposed: Option<Ballot>,
    /// The ballots whose leader has refused it to the node that forwarded it.
    pub(crate) returned: Vec<Ballot>,
    /// A slot in which it is chosen.
    pub(crate) chosen: Option<Slot>,
    /// The slot in which it takes effect, once every slot up to it is chosen (X1).
    pub(crate) effect: Option<Slot>,
    /// What its client should be told, once every slot up to it is chosen.
    pub(crate) reply: Option<Applied>,
}

struct Boot {
    seat: Seat,
    /// By sequence number.
    commands: Vec<CommandFacts>,
    /// Requests that are no commands.
    apart: u64,
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
            apart: 0,
        });
        self.boots.len() as u64
    }

    /// The next request of a process: a command, or nothing for a read.
    pub(crate) fn request(&mut self, boot: u64, command: Option<CommandFacts>) -> RequestId {
        let boot = &mut self.boots[boot as usize - 1];
        match command {
            Some(command) => {
                boot.commands.push(command);
                RequestId(boot.commands.len() as u64)
            }
            None => {
                boot.apart += 1;
                RequestId::apart(boot.apart)
            }
        }
    }

    fn place(&self, id: CommandId) -> Option<(usize, usize)> {
        let boot = usize::try_from(id.boot.checked_sub(1)?).ok()?;
        let sequence = usize::try_from(id.sequence.checked_sub(1)?).ok()?;
        (self.boots.get(boot)?.seat.node() == id.origin).then_some((boot, sequence))
    }

    pub(crate) fn of(&self, id: CommandId) -> Option<&CommandFacts> {
        let (boot, sequence) = self.place(id)?;
        self.boots[boot].commands.get(sequence)
    }

    pub(crate) fn of_mut(&mut self, id: CommandId) -> Option<&mut CommandFacts> {
        let (boot, sequence) = self.place(id)?;
        self.boots[boot].commands.get_mut(sequence)
    }
}
