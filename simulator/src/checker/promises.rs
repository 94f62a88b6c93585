//! I5, promises grow, across restarts too; and I6, no vote below a promise given earlier (A1, A2). `PromisesGrow`
//! and `NoVoteBelow` in the model.
//!
//! Judged in the order in which a process asks for its records, which is the order in which they become durable (A4). A
//! crash takes the order back to what was durable.

use paxos::{Ballot, Record};

use crate::checker::{Verdict, ensure};
use crate::seat::Seat;

#[derive(Clone, Copy, Default)]
struct Acceptor {
    /// The highest ballot that the process has asked to be recorded, in a promise or a vote.
    asked: Ballot,
    /// The same of what is durable.
    durable: Ballot,
}

pub(crate) struct Promises {
    acceptors: Vec<Acceptor>,
}

impl Promises {
    pub(crate) fn new(nodes: usize) -> Promises {
        Promises {
            acceptors: vec![Acceptor::default(); nodes],
        }
    }

    /// The highest promise that the process has asked to be recorded.
    pub(crate) fn asked(&self, seat: Seat) -> Ballot {
        self.acceptors[seat.index()].asked
    }

    /// The highest promise that is durable.
    pub(crate) fn durable(&self, seat: Seat) -> Ballot {
        self.acceptors[seat.index()].durable
    }

    /// A process asks for a record.
    pub(crate) fn on_record(&mut self, seat: Seat, record: &Record) -> Verdict {
        let asked = self.acceptors[seat.index()].asked;
        self.acceptors[seat.index()].asked = asked.max(ballot_of(record));
        match record {
            Record::Promised(ballot) => {
                ensure!(
                    *ballot >= asked,
                    PromisesGrow,
                    "{seat} promises {ballot} after it had promised {asked}"
                );
            }
            Record::Voted { slot, ballot, .. } => {
                ensure!(
                    *ballot >= asked,
                    NoVoteBelow,
                    "{seat} votes in {ballot}, slot {slot}, after it had promised {asked}"
                );
            }
            Record::Learned { .. } | Record::Chosen(_) | Record::Configurations(_) => {}
        }
        Ok(())
    }

    /// A record is durable.
    pub(crate) fn on_durable(&mut self, seat: Seat, record: &Record) {
        let acceptor = &mut self.acceptors[seat.index()];
        acceptor.durable = acceptor.durable.max(ballot_of(record));
    }

    /// A process has found this promise on its disk.
    pub(crate) fn on_found(&self, seat: Seat, promised: Ballot) -> Verdict {
        let durable = self.acceptors[seat.index()].durable;
        ensure!(
            promised >= durable,
            PromisesGrow,
            "{seat} starts with a promise of {promised} after {durable} was durable there"
        );
        Ok(())
    }

    /// A process starts from what is durable.
    pub(crate) fn on_start(&mut self, seat: Seat) {
        let acceptor = &mut self.acceptors[seat.index()];
        acceptor.asked = acceptor.durable;
    }
}

fn ballot_of(record: &Record) -> Ballot {
    match record {
        Record::Promised(ballot) | Record::Voted { ballot, .. } => *ballot,
        Record::Learned { .. } | Record::Chosen(_) | Record::Configurations(_) => Ballot::ZERO,
    }
}
