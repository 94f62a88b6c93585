//! Handing leadership over on request (rule E4).
//!
//! The leader goes on until its successor is near, then proposes nothing more, waits until all that it has proposed is chosen,
//! gives its leases back and asks the successor to stand at once. The successor does not canvass, and shows the acceptors
//! that the leases they granted are given back. Commands that arrive meanwhile wait in the queue and go to whoever leads
//! next. If the successor does not take over in time, the leader goes on as before: it never gave up its ballot.
//!
//! Safety does not rest on any of it. The successor's ballot goes through phase 1 like any other.

use core::cmp::Reverse;
use core::fmt;
use core::time::Duration;

use quorum::NodeId;

use crate::ballot::{Ballot, Slot};
use crate::configurations::may_lead;
use crate::effect::Event;
use crate::election::Role;
use crate::leader::{Follower, Leading};
use crate::lease::Release;
use crate::message::{Address, Message};
use crate::replica::Replica;
use crate::time::Time;

/// After so many hand-overs in vain, the time until the next that a leader begins by itself is doubled no more.
const MOST_WIDENED: u32 = 6;

/// Why leadership stays where it is.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Stays {
    /// The node that was asked does not lead.
    NotLeader,
    /// Another hand-over is under way.
    Busy,
    /// No member has that name.
    NoSuchMember,
    /// It leads already.
    AlreadyLeads,
    /// Learners and acceptors never lead.
    CannotLead,
    /// The leader does not hear it.
    Unheard,
    /// It says that it could not lead just now: its disk is full or stalls, its state is missing, or it has just started.
    Unfit,
    /// It lacks slots that its peers have trimmed, or did not come near in time.
    Behind,
    /// No member but the leader could lead.
    NobodyFit,
    /// It did not take over in time.
    TimedOut,
    /// Another node leads by now.
    Overtaken,
}

impl fmt::Display for Stays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stays::NotLeader => "the node that was asked does not lead",
            Stays::Busy => "another hand-over is under way",
            Stays::NoSuchMember => "there is no such member",
            Stays::AlreadyLeads => "it leads already",
            Stays::CannotLead => "it is no voter, so it cannot lead",
            Stays::Unheard => "the leader does not hear it",
            Stays::Unfit => {
                "it could not lead just now (its disk is full or stalls, its state is missing, or it has just started)"
            }
            Stays::Behind => "it is too far behind",
            Stays::NobodyFit => "no other member could lead just now",
            Stays::TimedOut => "it did not take over in time",
            Stays::Overtaken => "another node leads by now",
        })
    }
}

/// A hand-over under way, at the leader.
#[derive(Clone, Hash, Debug)]
pub(crate) struct HandOver {
    to: Address,
    began: Time,
    until: Time,
    stage: Stage,
}

#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
enum Stage {
    /// The successor is behind: the leader goes on.
    Nearing,
    /// The leader proposes nothing more, and waits for what it has proposed.
    Draining,
    /// The successor was asked to stand.
    Released(Release),
}

/// A hand-over whose old leader has given way.
#[derive(Copy, Clone, Hash, Debug)]
pub(crate) struct HandedOver {
    to: NodeId,
    began: Time,
}

/// A member that had better lead, and since when it could.
#[derive(Copy, Clone, Hash, Debug, Default)]
pub(crate) struct Preferred {
    whom: Option<(Address, Time)>,
    failures: u32,
}

impl Leading {
    /// E4: whether it proposes nothing new any more.
    pub(crate) fn has_drained(&self) -> bool {
        self.handing
            .as_ref()
            .is_some_and(|handing| handing.stage != Stage::Nearing)
    }

    /// E4: whether it has given its leases back and has not taken up its reign again.
    pub(crate) fn has_released(&self) -> bool {
        let stage = self.handing.as_ref().map(|handing| handing.stage);
        matches!(stage, Some(Stage::Released(_)))
    }
}

impl Replica {
    /// Somebody wants another node to lead: a certain one, or whichever is best.
    pub(crate) fn on_wish(&mut self, to: Option<NodeId>) {
        let chosen = match to {
            Some(node) => self.may_succeed(node),
            None => self.best_successor(u32::MAX).ok_or(Stays::NobodyFit),
        };
        let verdict = match &self.role {
            Role::Leading(leading) if leading.handing.is_some() => Err(Stays::Busy),
            Role::Leading(_) => chosen,
            _ => Err(Stays::NotLeader),
        };
        match verdict {
            Ok(successor) => self.begin_hand_over(successor),
            Err(reason) => self.event(Event::HandOverFailed { to, reason }),
        }
    }

    /// Whether a node may be asked to lead.
    fn may_succeed(&self, node: NodeId) -> Result<Address, Stays> {
        let Role::Leading(leading) = &self.role else {
            return Err(Stays::NotLeader);
        };
        let member = self.configurations.newest().member(node);
        let address = Address::of(member.ok_or(Stays::NoSuchMember)?);
        if address == self.me() {
            return Err(Stays::AlreadyLeads);
        }
        if !may_lead(self.configurations.newest(), address) {
            return Err(Stays::CannotLead);
        }
        let follower = leading.followers.get(&address).ok_or(Stays::Unheard)?;
        if self.now.since(follower.heard) >= self.silence() {
            return Err(Stays::Unheard);
        }
        follower.contact.fit.ok_or(Stays::Unfit)?;
        if follower.chosen < self.log.trimmed {
            return Err(Stays::Behind);
        }
        Ok(address)
    }

    /// The best successor among those that lead less reluctantly than `below`: the least reluctant, then the one that lacks
    /// least, then the nearest.
    pub(crate) fn best_successor(&self, below: u32) -> Option<Address> {
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let able = leading.followers.iter().filter_map(|(address, follower)| {
            let reluctance = follower.contact.fit.filter(|fit| *fit < below)?;
            let near = self.is_near(follower);
            self.may_succeed(address.node)
                .ok()
                .map(|address| (reluctance, Reverse(near), self.round_trip(address.node), address))
        });
        able.min().map(|(.., address)| address)
    }

    /// Whether a member lacks so little that it would lead without delay.
    fn is_near(&self, follower: &Follower) -> bool {
        self.log.chosen.0 - follower.chosen.0.min(self.log.chosen.0) <= self.configurations.alpha()
    }

    pub(crate) fn begin_hand_over(&mut self, to: Address) {
        let (now, until) = (self.now, self.now + self.silence());
        let Role::Leading(leading) = &mut self.role else { return };
        leading.handing = Some(HandOver {
            to,
            began: now,
            until,
            stage: Stage::Nearing,
        });
        self.event(Event::HandingOver { to: to.node });
        // Its answer says how far it is.
        self.send_heartbeats();
        self.settle_hand_over();
    }

    /// E4: goes on with a hand-over as soon as the next step can be done.
    pub(crate) fn settle_hand_over(&mut self) {
        let Role::Leading(leading) = &self.role else { return };
        let Some(handing) = &leading.handing else { return };
        let (to, stage) = (handing.to, handing.stage);
        let Some(follower) = leading.followers.get(&to) else {
            return self.stay(Stays::NoSuchMember);
        };
        if follower.contact.fit.is_none() {
            return self.stay(Stays::Unfit);
        }
        match stage {
            Stage::Nearing if self.is_near(follower) => self.stop_proposing(),
            Stage::Draining if leading.is_idle() => self.release(),
            _ => {}
        }
    }

    fn stop_proposing(&mut self) {
        let until = self.now + self.silence();
        let Role::Leading(leading) = &mut self.role else { return };
        let idle = leading.is_idle();
        if let Some(handing) = &mut leading.handing {
            handing.until = until;
            handing.stage = Stage::Draining;
        }
        if idle {
            self.release();
        }
    }

    /// E4: gives the leases back, and asks the successor to stand. From here on nothing is read under a lease of an earlier
    /// heartbeat, whatever becomes of the hand-over: acceptors may promise the successor's ballot at any time (mutant 50).
    fn release(&mut self) {
        let until = self.now + self.silence();
        let Role::Leading(leading) = &mut self.role else { return };
        let (ballot, round) = (leading.ballot, leading.round);
        leading.given_back = round;
        let Some(handing) = &mut leading.handing else { return };
        handing.until = until;
        handing.stage = Stage::Released(Release { ballot, round });
        self.ask_successor();
    }

    /// Asks the successor to stand, again if need be.
    fn ask_successor(&mut self) {
        let chosen = self.log.chosen;
        if let Role::Leading(leading) = &self.role
            && let Some(handing) = &leading.handing
            && let Stage::Released(release) = handing.stage
        {
            self.send(handing.to, Message::HandOver { release, chosen });
        }
    }

    /// A hand-over comes to nothing: the leader goes on.
    fn stay(&mut self, reason: Stays) {
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(handing) = leading.handing.take() else { return };
        leading.preferred.whom = None;
        leading.preferred.failures += 1;
        let to = Some(handing.to.node);
        self.event(Event::HandOverFailed { to, reason });
        // Leases are asked for again.
        self.send_heartbeats();
    }

    /// With the leader's own beat: gives up, asks again, or begins by itself.
    pub(crate) fn tick_hand_over(&mut self) {
        let Role::Leading(leading) = &self.role else { return };
        match &leading.handing {
            Some(handing) if handing.until <= self.now => {
                let nearing = handing.stage == Stage::Nearing;
                self.stay(if nearing { Stays::Behind } else { Stays::TimedOut });
            }
            Some(_) => self.ask_successor(),
            None => self.consider_handing_back(),
        }
    }

    /// E2, E4: hands over to a less reluctant node that has been fit, and near, for long enough.
    fn consider_handing_back(&mut self) {
        let Some(rest) = self.options.hand_back else { return };
        if self.options.reluctance == 0 {
            return;
        }
        let best = self
            .best_successor(self.options.reluctance)
            .filter(|address| self.leads_near(*address));
        let now = self.now;
        let Role::Leading(leading) = &mut self.role else { return };
        let preferred = &mut leading.preferred;
        match (best, preferred.whom) {
            (None, _) => preferred.whom = None,
            (Some(best), Some((whom, since))) if best == whom => {
                if now.since(since) >= rest * (1 << preferred.failures.min(MOST_WIDENED)) {
                    self.begin_hand_over(best);
                }
            }
            (Some(best), _) => preferred.whom = Some((best, now)),
        }
    }

    fn leads_near(&self, address: Address) -> bool {
        matches!(&self.role, Role::Leading(leading)
            if leading.followers.get(&address).is_some_and(|follower| self.is_near(follower)))
    }

    /// The leader asks this node to take its place.
    pub(crate) fn on_hand_over(&mut self, from: Address, release: Release, chosen: Slot) {
        let ballot = release.ballot;
        if ballot < self.promised {
            let promised = self.promised;
            self.answer(from, Message::Reject { ballot, promised });
            return;
        }
        self.follow(from, ballot);
        self.note_commit(ballot, chosen);
        self.election.called = Some((release, chosen));
        self.settle_call();
    }

    /// Stands as successor once everything is here that the leader has seen chosen: until then that one can go on.
    pub(crate) fn settle_call(&mut self) {
        let Some((release, chosen)) = self.election.called else {
            return;
        };
        if self.election.leader != Some(release.ballot) {
            self.election.called = None;
        } else if self.log.chosen >= chosen
            && matches!(self.role, Role::Follower)
            && self.could_stand()
            && !self.is_stalled()
        {
            self.election.called = None;
            // Without canvassing: the leader itself wants it.
            self.stand(Some(release));
        }
    }

    /// This node has led and gives way: what becomes of its hand-over is seen when another leads.
    pub(crate) fn note_gone(&mut self, leading: &Leading) {
        self.election.handed_over = leading.handing.as_ref().map(|handing| HandedOver {
            to: handing.to.node,
            began: handing.began,
        });
    }

    /// Another node leads, or, with no ballot, nobody was heard of for long.
    pub(crate) fn note_successor(&mut self, ballot: Option<Ballot>) {
        let Some(HandedOver { to, began }) = self.election.handed_over.take() else {
            return;
        };
        let took: Duration = self.now.since(began);
        let event = match ballot {
            Some(ballot) if ballot.leader == to => Event::HandedOver { to, took },
            ballot => Event::HandOverFailed {
                to: Some(to),
                reason: if ballot.is_some() {
                    Stays::Overtaken
                } else {
                    Stays::TimedOut
                },
            },
        };
        self.event(event);
    }

    /// Who is to lead next, if this node hands over.
    pub(crate) fn handing_over_to(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leading(leading) => leading.handing.as_ref().map(|handing| handing.to.node),
            _ => self.election.handed_over.map(|handed| handed.to),
        }
    }
}
