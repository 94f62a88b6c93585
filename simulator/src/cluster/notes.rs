//! What is seen in passing: who leads, for aiming faults, and what only some runs see, for coverage.

use paxos::{Ballot, Event as Note, Message};

use crate::coverage::Sometimes;
use crate::seat::Seat;

use super::Cluster;

impl Cluster {
    /// Counts messages that only some runs see.
    pub(super) fn note_message(&mut self, message: &Message) {
        let seen = match message {
            Message::Promise { to: Some(_), .. } => Sometimes::PagedPromise,
            Message::Promise { from, chosen, .. } if chosen >= from => Sometimes::AheadPromise,
            Message::Reject { .. } => Sometimes::Refused,
            Message::Decided { .. } => Sometimes::Decided,
            Message::Chosen { values, .. } if !values.is_empty() => Sometimes::CaughtUp,
            _ => return,
        };
        self.tally.sometimes.hit(seen);
    }

    /// Keeps count of who leads, for aiming faults and for coverage.
    pub(super) fn on_note(&mut self, seat: Seat, note: &Note) {
        if self.spec.is_some() {
            let chosen = self.process(seat).map(|process| process.replica.status().chosen);
            self.for_spec(|spec| spec.on_note(seat, note, chosen.unwrap_or_default()));
        }
        let duel = matches!(note, Note::Preparing(_))
            && self
                .nodes
                .iter()
                .any(|node| node.process.as_ref().is_some_and(|process| process.prepares));
        if let Note::ConfigurationRetired { epoch, left } = note {
            self.oracle.on_retired(*epoch);
            self.switch_off(left);
        }
        if let Note::ChangeChosen { .. } = note {
            self.switch_on();
        }
        let Some(process) = self.process(seat) else { return };
        let seen = match note {
            Note::LeftOut { .. } => {
                (process.prepares, process.leads) = (false, None);
                Some(Sometimes::LeftOut)
            }
            Note::ConfigurationRetired { .. } => Some(Sometimes::Retired),
            Note::ConfigurationOpened { .. } => Some(Sometimes::OpenedLater),
            Note::MayStop { .. } => Some(Sometimes::MayStop),
            Note::Preparing(_) => {
                process.prepares = true;
                duel.then_some(Sometimes::Duel)
            }
            Note::Leading(ballot) => {
                (process.prepares, process.leads) = (false, Some(*ballot));
                Some(Sometimes::Elected)
            }
            Note::Stalled { .. } => {
                (process.prepares, process.leads) = (false, None);
                Some(Sometimes::Stalled)
            }
            Note::SteppedDown { .. } => {
                (process.prepares, process.leads) = (false, None::<Ballot>);
                Some(Sometimes::SteppedDown)
            }
            Note::Following(_) => {
                (process.prepares, process.leads) = (false, None);
                None
            }
            Note::QuorumLost => Some(Sometimes::QuorumLost),
            Note::QuorumRegained => Some(Sometimes::QuorumRegained),
            Note::OutOfReach { .. } => Some(Sometimes::OutOfReach),
            Note::Misaddressed(_) => Some(Sometimes::Misaddressed),
            note => return self.note_tenure(note),
        };
        if let Some(seen) = seen {
            self.tally.sometimes.hit(seen);
        }
    }
}
