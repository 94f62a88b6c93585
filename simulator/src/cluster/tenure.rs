//! Leases and hand-overs: what the operator wants, and what is seen of them.

use paxos::{Event as Note, Input, Replica, Slot, Stays};
use quorum::Epoch;

use crate::checker::lease::Holder;
use crate::checker::{Verdict, lease};
use crate::clock::Moment;
use crate::coverage::Sometimes;
use crate::random::{Random, nanos};
use crate::seat::Seat;

use super::Cluster;

/// How many of the moments are kept at which clients saw something new.
const SEEN: usize = 4096;

impl Cluster {
    /// An operator wants another node to lead: the best, or any.
    pub(super) fn wish(&mut self, target: Seat, random: &mut Random) -> Verdict {
        let mut seats = Seat::all(self.nodes.len());
        let leader = seats.find(|seat| self.nodes[seat.index()].leads()).unwrap_or(target);
        let to = random
            .chance(600)
            .then(|| Seat(random.index(self.nodes.len()) as u8).node());
        let node = &self.nodes[leader.index()];
        if node.process.is_none() || node.paused {
            return Ok(());
        }
        self.step(leader, Input::HandOver { to });
        self.drain(leader)
    }

    /// Who would serve a read under a lease at this moment.
    fn holders_of_leases(&self, now: Moment) -> Vec<Holder> {
        let held = Seat::all(self.nodes.len()).filter_map(|seat| {
            let process = self.nodes[seat.index()].process.as_ref()?;
            let ballot = process.leads?;
            let holds = process.replica.holds_lease(process.clock.read(now));
            holds.then(|| Holder {
                seat,
                ballot,
                open: first_open(&process.replica),
            })
        });
        held.collect()
    }

    /// I15: somebody begins to lead, or may propose in the slots of another configuration (R3).
    pub(super) fn judge_lease(&mut self, seat: Seat, note: &Note) -> Verdict {
        let Some(process) = &self.nodes[seat.index()].process else {
            return Ok(());
        };
        let (ballot, opened) = match (note, process.leads) {
            (Note::Leading(ballot), _) => (*ballot, first_open(&process.replica)),
            (Note::ConfigurationOpened { epoch }, Some(ballot)) => (ballot, *epoch),
            _ => return Ok(()),
        };
        if self.plan.tenure.lease.is_none() {
            return Ok(());
        }
        let holders = self.holders_of_leases(self.now);
        self.oracle.judge(lease::on_leading(seat, ballot, opened, &holders))
    }

    /// Whether a node would serve a read under a lease at a moment.
    pub(super) fn holds_lease(&self, seat: Seat, at: Moment) -> bool {
        let process = self.nodes[seat.index()].process.as_ref();
        process.is_some_and(|process| process.replica.holds_lease(process.clock.read(at)))
    }

    /// A read of this node's client is served now.
    pub(super) fn note_read(&mut self, seat: Seat) {
        if self.plan.tenure.lease.is_some() {
            let leased = self.holds_lease(seat, self.now);
            let seen = if leased {
                Sometimes::LeaseRead
            } else {
                Sometimes::ReadWithoutLease
            };
            self.tally.sometimes.hit(seen);
        }
    }

    /// Something was answered.
    pub(super) fn note_seen(&mut self) {
        let seen = self.oracle.on_begin();
        let news = self.seen.back().is_none_or(|(_, slot)| *slot < seen);
        if news && self.plan.tenure.bound().is_some() {
            self.seen.push_back((self.now, seen));
            if self.seen.len() > SEEN {
                self.seen.pop_front();
            }
        }
    }

    /// D6: how old a node's state is, as it says itself.
    pub(super) fn judge_staleness(&mut self, seat: Seat) -> Verdict {
        let (Some(bound), Some(process)) = (self.plan.tenure.bound(), self.nodes[seat.index()].process.as_ref()) else {
            return Ok(());
        };
        let Some(stale) = process.replica.staleness(process.clock.read(self.now)) else {
            return Ok(());
        };
        // By the slowest clock a little more has passed than is said.
        let slack = nanos(stale) / 1_000_000 * (2 * bound + 1) + 1_000;
        let then = Moment(self.now.0.saturating_sub(nanos(stale).saturating_add(slack)));
        let seen = self.seen.iter().rev().find(|(at, _)| *at <= then);
        let seen = seen.map_or(Slot::ZERO, |(_, slot)| *slot);
        self.tally.sometimes.hit(Sometimes::StalenessJudged);
        let applied = process.machine.applied();
        self.oracle.judge(lease::on_stale(seat, applied, stale, seen))
    }

    /// What a replica says of leases and hand-overs.
    pub(super) fn note_tenure(&mut self, note: &Note) {
        let seen = match note {
            Note::PrepareWithheld { .. } => Sometimes::PrepareWithheld,
            Note::HandedOver { .. } => Sometimes::HandedOver,
            Note::HandOverFailed { reason, .. } => match reason {
                Stays::TimedOut | Stays::Overtaken => Sometimes::HandOverFailed,
                _ => Sometimes::HandOverRefused,
            },
            _ => return,
        };
        self.tally.sometimes.hit(seen);
    }
}

/// The configuration that governs the first slot of which a replica does not know what is chosen.
fn first_open(replica: &Replica) -> Epoch {
    let status = replica.status();
    let entries = status.configurations.entries();
    let governing = entries.iter().rev().find(|(from, _)| *from <= status.chosen.next());
    governing.unwrap_or(&entries[0]).1.epoch()
}
