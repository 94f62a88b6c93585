//! An operator who changes members and quorum system in the middle of everything (R1 to R8), and believes what he is told:
//! who is said to be needed no more is switched off at once, until he adds it again.
//!
//! He asks for nothing that too many spoilt disks would make hopeless, which is what an operator can see.

use std::time::Duration;

use paxos::{Event as Note, Input, Outcome, RequestId, Slot, Waivers};
use quorum::{Configuration, Epoch, Member, NodeSet, Proposal, Role};

use crate::checker::{Verdict, configurations};
use crate::coverage::{Fault, Sometimes};
use crate::electorate;
use crate::random::Random;
use crate::seat::Seat;

use super::Cluster;
use super::event::Event;

impl Cluster {
    /// The operator of a node asks for another configuration than the newest that the node knows.
    pub(super) fn ask_for_change(&mut self, seat: Seat, random: &mut Random) -> Verdict {
        let (now, timeout) = (self.now, self.plan.load.timeout);
        let Some(process) = self.process(seat) else {
            return Ok(());
        };
        let (boot, newest) = (process.boot, process.replica.configuration().clone());
        let deadline = process.clock.read(now) + timeout;
        let Some(configuration) = self.another(&newest, random) else {
            return Ok(());
        };
        let whole = self.those(|node| !node.is_spoilt() && !node.off);
        if !self.oracle.ledger().would_serve(&configuration, whole) {
            return Ok(());
        }
        self.tally.faults.hit(Fault::Change);
        let id = self.oracle.on_request(boot, None);
        self.oracle.on_asked(&configuration);
        self.trace
            .line(|| format!("{now:?} {seat} is asked for {:?}", configuration.proposal()));
        if let Some(process) = self.process(seat) {
            process.changes.insert(id.0);
        }
        let accepts = random.chance(700);
        let waivers = Waivers {
            behind: random.chance(300),
            one_disk: accepts,
            one_zone: accepts,
        };
        self.step(
            seat,
            Input::Reconfigure {
                id,
                configuration,
                waivers,
                deadline,
            },
        );
        self.drain(seat)
    }

    /// A configuration drawn at random that may follow `newest`.
    fn another(&self, newest: &Configuration, random: &mut Random) -> Option<Configuration> {
        let mut members: Vec<Member> = newest.members().to_vec();
        let at = random.index(members.len());
        match random.below(7) {
            0 | 1 => {
                let everybody = self.plan.configuration.members();
                let absent = everybody.iter().find(|member| newest.member(member.node).is_none())?;
                let role = *random.pick(&[Role::Learner, Role::Voter, Role::Acceptor]);
                members.push(Member { role, ..absent.clone() });
            }
            2 => members[at].role = Role::Voter,
            3 => members[at].role = Role::Learner,
            4 => members[at].role = Role::Acceptor,
            5 if members.len() > 2 => drop(members.remove(at)),
            _ => {}
        }
        let voters = members.iter().filter(|member| member.role.votes()).count();
        if !members.iter().any(|member| member.role.leads()) {
            return None;
        }
        let system = if random.chance(300) {
            newest.spec().clone()
        } else {
            electorate::system(random, voters as u32)
        };
        let proposal = Proposal {
            epoch: Epoch(newest.epoch().0 + 1),
            alpha: newest.alpha() as u32,
            system,
            members,
        };
        Configuration::new(proposal).ok()
    }

    /// Whether an answer is for an operator, who is told then.
    pub(super) fn is_for_operator(&mut self, seat: Seat, id: RequestId, outcome: &Outcome) -> bool {
        let asked = self.process(seat).is_some_and(|process| process.changes.remove(&id.0));
        if asked {
            self.tally.sometimes.hit(match outcome {
                Outcome::Reconfigured { .. } => Sometimes::ChangeDone,
                Outcome::Unknown(_) => Sometimes::ChangeUnknown,
                _ => Sometimes::ChangeRefused,
            });
        }
        asked
    }

    /// R6: a leader that finds the old configuration retired is held to what is, or was, on the disks.
    pub(super) fn may_retire(&self, seat: Seat, note: &Note) -> Verdict {
        match note {
            Note::ConfigurationRetired { epoch, .. } if self.nodes[seat.index()].leads() => {
                let keepers = |from: Slot| self.those(|node| node.ever_kept().next() >= from);
                configurations::on_retired(self.oracle.ledger(), seat, *epoch, keepers)
            }
            _ => Ok(()),
        }
    }

    /// R6: these are said to be needed no more.
    pub(super) fn switch_off(&mut self, left: &[paxos::Address]) {
        for address in left {
            let seat = Seat::of(address.node);
            // Whoever is asked for again meanwhile is left running, and so is who may be needed by what is asked for.
            let wanted = self.oracle.ledger().is_wanted(seat) || !self.can_spare(seat);
            if !self.nodes[seat.index()].off && !wanted {
                self.nodes[seat.index()].off = true;
                self.tally.sometimes.hit(Sometimes::SwitchedOff);
                // At once, or when somebody comes by.
                let at_once = self.random.faults.chance(500);
                let span = self.random.faults.exponential(self.plan.faults.lasting);
                let span = if at_once { Duration::ZERO } else { span };
                self.later(span, Event::SwitchOff { seat });
            }
        }
    }

    /// A node that was switched off is a member again.
    pub(super) fn switch_on(&mut self) {
        for seat in Seat::all(self.nodes.len()) {
            if self.nodes[seat.index()].off && self.oracle.ledger().is_wanted(seat) {
                self.nodes[seat.index()].off = false;
                self.restart_later(seat);
            }
        }
    }

    /// Whether these can do all that is or may come into force.
    pub(super) fn serve(&self, seats: NodeSet) -> bool {
        self.oracle.ledger().serve(seats)
    }

    /// Whether no change is under way any more, as far as the members of the core can tell.
    pub(super) fn is_unchanging(&self) -> bool {
        let newest = self.oracle.ledger().newest();
        self.core_members().all(|seat| {
            let process = self.nodes[seat.index()].process.as_ref();
            process.is_some_and(|process| {
                let status = process.replica.status();
                status.configurations.entries().len() == 1 && status.configurations.newest() == newest
            })
        })
    }

    /// Those of the core that are members of the newest configuration.
    pub(super) fn core_members(&self) -> impl Iterator<Item = Seat> {
        Seat::all(self.nodes.len()).filter(|seat| self.core.contains(seat.0) && self.oracle.ledger().is_wanted(*seat))
    }
}
