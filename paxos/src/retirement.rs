//! The end of an old configuration, and of a leader or member that the new one does without (rules R6 and R8).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use quorum::{Configuration, Epoch, Phase, QuorumSystem};

use crate::ballot::Slot;
use crate::configurations::may_lead;
use crate::effect::{Event, WriteId};
use crate::election::Role;
use crate::leader::Follower;
use crate::message::{Address, Message};
use crate::mutant::{Mutant, mutated};
use crate::replica::{Replica, members};

/// How often a leader tells a node that it is not needed any more, once for each of its heartbeats. Who misses all of them
/// asks.
const FAREWELLS: u32 = 8;

/// What a leader knows of those who leave.
#[derive(Clone, Hash, Debug, Default)]
pub(crate) struct Leaving {
    /// Whom to tell that they may stop, and how many times more.
    farewells: BTreeMap<Address, u32>,
    /// R8: this leader has tried to hand over because it is left out.
    offered: bool,
}

impl Replica {
    // ---- what every node does ----

    /// A write is made that keeps this chosen prefix.
    pub(crate) fn note_keeping(&mut self, write: WriteId, chosen: Slot) {
        self.reconfiguration.keeping.push_back((write, chosen));
    }

    /// Every write up to this one is durable.
    pub(crate) fn note_kept(&mut self, persisted: WriteId) {
        while let Some((write, chosen)) = self.reconfiguration.keeping.front().copied() {
            if write > persisted {
                return;
            }
            self.reconfiguration.kept = chosen;
            self.reconfiguration.keeping.pop_front();
        }
    }

    /// R6: the chosen prefix that this node's disk holds as such.
    pub(crate) fn kept(&self) -> Slot {
        self.reconfiguration.kept.max(self.log.flushed)
    }

    /// R6: the leader says that everything before `oldest` is retired.
    pub(crate) fn note_oldest(&mut self, oldest: Epoch) {
        if self.configurations.are_two() && self.configurations.newest().epoch() <= oldest {
            self.retire();
        }
    }

    /// R6: nothing before the newest configuration is needed any more. Who left.
    fn retire(&mut self) -> Vec<Address> {
        let mut left = self.configurations.addresses();
        self.configurations.retire();
        left.retain(|address| !self.configurations.knows(*address));
        let epoch = self.configurations.newest().epoch();
        self.event(Event::ConfigurationRetired {
            epoch,
            left: left.clone(),
        });
        left
    }

    /// R6: this node is told that a configuration without it has taken over.
    pub(crate) fn on_retired(&mut self, epoch: Epoch) {
        let newest = self.configurations.newest().epoch();
        let introduced = self.options.introduced.as_ref().map(Configuration::epoch);
        let needed = if newest < epoch {
            introduced.is_some_and(|introduced| introduced > epoch)
        } else {
            newest > epoch || self.configurations.knows_newest(self.me())
        };
        if needed || self.reconfiguration.may_stop >= Some(epoch.0) {
            return;
        }
        self.reconfiguration.may_stop = Some(epoch.0);
        self.event(Event::MayStop { epoch });
    }

    /// A8, R6: somebody who is no member says something. If its configuration is known to be retired, it is told so.
    pub(crate) fn answer_stranger(&mut self, from: Address, epoch: Epoch) {
        let newest = self.configurations.newest().epoch();
        let retired = !self.configurations.are_two()
            && self.is_complete()
            && epoch <= newest
            && newest > self.options.genesis.epoch();
        if retired && from.node != self.me().node {
            self.send(from, Message::Retired { epoch: newest });
        }
    }

    /// Whether this node has been left out and was not told yet that it may stop.
    pub(crate) fn is_leaving(&self) -> bool {
        let me = self.me();
        self.is_complete()
            && self.reconfiguration.may_stop.is_none()
            && !self.configurations.knows_newest(me)
            && self.configurations.newest().epoch() > self.options.genesis.epoch()
            && self
                .options
                .introduced
                .as_ref()
                .is_none_or(|introduced| introduced.epoch() <= self.configurations.newest().epoch())
    }

    // ---- what a leader does ----

    /// R6: retires the old configuration when every slot of it is chosen, and a phase-2 quorum of the new one has them on its
    /// disks as such. R8: a leader that is left out leaves this to its successor, if there is one.
    pub(crate) fn settle_retirement(&mut self) {
        let me = self.me();
        let (complete, kept) = (self.is_complete(), self.kept());
        let early = || self.configurations.are_two() && mutated(Mutant::RetiredWhenChosen);
        if !complete && !early() || self.gives_way() {
            return;
        }
        let Role::Leading(leading) = &self.role else { return };
        let (from, newest) = (self.configurations.newest_from(), self.configurations.newest());
        if !self.configurations.are_two() {
            return self.leave_if_left_out();
        }
        let holds = |prefix: Slot| prefix.next() >= from;
        let kept_by = |follower: &Follower| {
            if mutated(Mutant::RetiredUnkept) {
                follower.chosen
            } else {
                follower.kept
            }
        };
        let keepers = leading
            .followers
            .iter()
            .filter(|(_, follower)| holds(kept_by(follower)));
        let own = holds(kept).then_some(me);
        let keepers = members(newest, keepers.map(|(address, _)| *address).chain(own));
        if newest.is_quorum(Phase::Two, keepers) || mutated(Mutant::RetiredWhenChosen) {
            self.retire_as_leader();
        }
        self.leave_if_left_out();
    }

    fn retire_as_leader(&mut self) {
        let me = self.me();
        let left = self.retire();
        let epoch = self.configurations.newest().epoch();
        if left.contains(&me) {
            self.on_retired(epoch);
        }
        let Role::Leading(leading) = &mut self.role else { return };
        leading.followers.retain(|address, _| !left.contains(address));
        let others: Vec<Address> = left.into_iter().filter(|address| *address != me).collect();
        leading
            .leaving
            .farewells
            .extend(others.iter().map(|address| (*address, FAREWELLS)));
        for address in others {
            self.send(address, Message::Retired { epoch });
        }
        self.send_heartbeats();
    }

    /// R8: whether this node leads, which the newest configuration does not have it do.
    fn leads_left_out(&self) -> bool {
        matches!(self.role, Role::Leading(_))
            && !may_lead(self.configurations.newest(), self.me())
            && !mutated(Mutant::LeftOutLeads)
    }

    /// R8: hands over, once, if this leader is left out and anybody could lead. Whether that is under way.
    fn gives_way(&mut self) -> bool {
        if !self.leads_left_out() {
            return false;
        }
        let successor = self.best_successor(u32::MAX);
        let Role::Leading(leading) = &mut self.role else {
            return false;
        };
        if leading.handing.is_some() {
            return true;
        }
        let tried = core::mem::replace(&mut leading.leaving.offered, true);
        match successor {
            Some(successor) if !tried => {
                self.begin_hand_over(successor);
                true
            }
            _ => false,
        }
    }

    /// R8: a leader that is left out, and could not hand over, leaves the others to elect.
    fn leave_if_left_out(&mut self) {
        if !self.leads_left_out() {
            return;
        }
        let epoch = self.configurations.newest().epoch();
        self.event(Event::LeftOut { epoch });
        self.hand_in();
    }

    /// R6: tells those who left once more that they may stop.
    pub(crate) fn say_farewell(&mut self) {
        let epoch = self.configurations.newest().epoch();
        let Role::Leading(leading) = &mut self.role else { return };
        let farewells = &mut leading.leaving.farewells;
        farewells.retain(|_, left| {
            *left -= 1;
            *left > 0
        });
        for address in farewells.keys().copied().collect::<Vec<_>>() {
            self.send(address, Message::Retired { epoch });
        }
    }
}
