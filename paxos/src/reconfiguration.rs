//! Changing members and quorum system while the log goes on (rules R3 to R5 and R7; `retirement` has the rest).
//!
//! What makes it safe is in `configurations` (which configuration governs which slot) and in the leader's rule that it
//! proposes in a slot only under the promises of that slot's configuration (L3 ii). Here is when a change is proposed at all,
//! phase 1 with a new configuration under the ballot that leads already, and filling the window.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use quorum::{Configuration, Epoch, Member, NodeId, NodeSet, Phase, QuorumSystem};

use crate::ballot::Slot;
use crate::change::{Change, Objection, Waivers};
use crate::effect::{Event, Outcome, Output, Record, Refusal, RequestId, WriteId};
use crate::election::Role;
use crate::leader::Follower;
use crate::message::{Address, Message};
use crate::mutant::{Mutant, mutated};
use crate::phase_one::PhaseOne;
use crate::replica::{Replica, members};
use crate::value::Value;

/// What a node knows of the changes under way, whatever its role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reconfiguration {
    /// The newest configuration that the journal was told.
    recorded: u64,
    /// The newest configuration of which it was said that it is in force.
    in_force: u64,
    /// Writes that keep a chosen prefix and are not durable yet (R6).
    pub(crate) keeping: VecDeque<(WriteId, Slot)>,
    /// The chosen prefix that is on the disk as such.
    pub(crate) kept: Slot,
    /// R6: the configuration that does without this node, if it was told so.
    pub(crate) may_stop: Option<u64>,
}

impl Reconfiguration {
    /// For a process that finds on its disk the configuration of that epoch, and a chosen prefix.
    pub(crate) fn new(recorded: Epoch, in_force: Epoch, kept: Slot) -> Reconfiguration {
        Reconfiguration {
            recorded: recorded.0,
            in_force: in_force.0,
            kept,
            ..Reconfiguration::default()
        }
    }

    /// For [`Replica::fingerprint`]: of a write, how far it is from being durable.
    pub(crate) fn fingerprint(&self, persisted: WriteId, into: &mut impl Hasher) {
        let Reconfiguration {
            recorded,
            in_force,
            keeping,
            kept,
            may_stop,
        } = self;
        (recorded, in_force, kept, may_stop).hash(into);
        for (write, chosen) in keeping {
            (write.0.saturating_sub(persisted.0), chosen).hash(into);
        }
    }

    pub(crate) fn may_stop(&self) -> Option<Epoch> {
        self.may_stop.map(Epoch)
    }
}

impl Replica {
    // ---- what every node does ----

    /// R2: a change is chosen in `slot`, which the chosen prefix has just reached.
    pub(crate) fn on_change_chosen(&mut self, slot: Slot, change: &Change) {
        let verdict = self.take_change(slot, change);
        let epoch = change.configuration.epoch();
        match verdict {
            Ok(from) => {
                self.event(Event::ChangeChosen { epoch, slot, from });
                self.on_new_configuration();
            }
            // A process that starts plays what its disk knows of once more: that is no news.
            Err(_) if slot <= self.reconfiguration.kept => {}
            Err(objection) => self.event(Event::ChangeVoid { slot, objection }),
        }
        if change.id.origin == self.me().node && change.id.boot == self.options.boot {
            let outcome = match verdict {
                Ok(from) => Outcome::Reconfigured { epoch, slot, from },
                Err(objection) => Outcome::Refused(Refusal::Change(objection)),
            };
            if self.forget_outstanding(change.id.sequence) {
                self.output(Output::Answer(RequestId(change.id.sequence), outcome));
            }
        }
    }

    /// R1, R2: whether a change chosen in `slot` takes effect, and from which slot on.
    fn take_change(&mut self, slot: Slot, change: &Change) -> Result<Slot, Objection> {
        let newest = self.configurations.newest().epoch();
        if self.configurations.are_two() && mutated(Mutant::ChangeJudgedLocally) {
            return Err(Objection::Unsettled { newest });
        }
        let from = match self.configurations.consider(slot, change) {
            Ok(_) if mutated(Mutant::InForceAtOnce) => slot.next(),
            Err(Objection::Pending { .. }) if mutated(Mutant::PendingIgnored) => slot.plus(self.configurations.alpha()),
            verdict => verdict?,
        };
        self.configurations.put(from, change.configuration.clone());
        Ok(from)
    }

    /// There are new members to talk to, and perhaps to be led by.
    fn on_new_configuration(&mut self) {
        if self.configurations.knows_newest(self.me()) {
            self.reconfiguration.may_stop = None;
        }
        let (now, peers, from) = (self.now, self.peers(), self.configurations.newest_from());
        match &mut self.role {
            Role::Leading(leading) => {
                leading.followers.retain(|address, _| peers.contains(address));
                for peer in peers {
                    leading.followers.entry(peer).or_insert_with(|| Follower::new(now));
                }
                // R3: its slots are not open unless its members have promised as members of the old ones.
                leading.open_to = leading.open_to.min(Slot(from.0 - 1));
                self.open_configurations();
                self.ask_newcomers();
            }
            Role::Preparing(_) => self.prepare_newcomers(),
            Role::Follower | Role::Canvassing(_) => {}
        }
    }

    /// Records what must outlast a crash, and notes what the chosen prefix has brought about.
    pub(crate) fn settle_reconfiguration(&mut self) {
        let newest = self.configurations.newest().epoch();
        if self.reconfiguration.recorded < newest.0 && self.has_space() {
            self.reconfiguration.recorded = newest.0;
            self.write(
                Vec::from([Record::Configurations(self.configurations.clone())]),
                Vec::new(),
            );
        }
        let complete = self.is_complete();
        if complete && self.reconfiguration.in_force < newest.0 {
            self.reconfiguration.in_force = newest.0;
            self.event(Event::InForce { epoch: newest });
        }
        let unkept = self.learner.recorded().next() < self.configurations.newest_from();
        if complete && unkept && self.has_space() {
            // R6: this disk must know by itself that the old configuration's slots are chosen.
            let record = self.learner.chosen_record(self.log.chosen);
            self.write(record.into_iter().collect(), Vec::new());
        }
        self.settle_retirement();
    }

    /// Whether every slot before the first of the newest configuration is chosen.
    pub(crate) fn is_complete(&self) -> bool {
        self.log.chosen.next() >= self.configurations.newest_from()
    }

    /// Whether the journal has not been told yet of a change that was chosen. It must not forget its slot before (A7).
    pub(crate) fn awaits_record(&self) -> bool {
        self.reconfiguration.recorded < self.configurations.newest().epoch().0
    }

    /// Whether this node may stand for election: it is one that may lead in a configuration that governs an open slot, as far as it knows.
    pub(crate) fn may_stand(&self) -> bool {
        self.reconfiguration.may_stop.is_none() && self.configurations.may_lead(self.log.chosen, self.me())
    }

    /// Everybody with whom this node may have to talk, with where they are found: the members of all configurations that are
    /// not retired, as the newest describes them, and for a newcomer those of the one that it was told of.
    #[must_use]
    pub fn contacts(&self) -> Vec<Member> {
        let mut contacts: Vec<Member> = Vec::new();
        let known = self
            .configurations
            .entries()
            .iter()
            .rev()
            .map(|(_, configuration)| configuration);
        for member in self
            .newcomers_guide()
            .into_iter()
            .chain(known)
            .flat_map(Configuration::members)
        {
            let address = Address::of(member);
            if contacts.iter().all(|known| Address::of(known) != address) {
                contacts.push(member.clone());
            }
        }
        contacts
    }

    /// What a newcomer was told of, until it knows better.
    pub(crate) fn newcomers_guide(&self) -> Option<&Configuration> {
        let newest = self.configurations.newest().epoch();
        let introduced = self.options.introduced.as_ref();
        introduced.filter(|introduced| introduced.epoch() > newest)
    }

    // ---- what a leader does ----

    /// L3 ii: how far a leader with these promises may propose, and the newest configuration that is open then: each one's slots
    /// open on their own (R3). Those up to `opened` are open already.
    pub(crate) fn open_to(&self, phase_one: &PhaseOne, mut opened: Epoch) -> (Slot, Epoch) {
        let undecided = phase_one.decided <= self.log.chosen || mutated(Mutant::DecidedIgnored);
        for (first, configuration) in self.configurations.governing(self.log.chosen) {
            let epoch = configuration.epoch();
            let promised = || {
                self.has_promised(phase_one, configuration, first)
                    || (opened > Epoch(0) && mutated(Mutant::NewcomersUnasked))
            };
            if epoch > opened && !(undecided && promised()) {
                return (Slot(first.0 - 1), opened);
            }
            opened = opened.max(epoch);
        }
        (Slot(u64::MAX), opened)
    }

    /// Whether a phase-1 quorum of `configuration` has promised for the slots from `first` on.
    pub(crate) fn has_promised(&self, phase_one: &PhaseOne, configuration: &Configuration, first: Slot) -> bool {
        let phase = if mutated(Mutant::PhaseTwoTwice) {
            Phase::Two
        } else {
            Phase::One
        };
        configuration.is_quorum(phase, phase_one.promisers(configuration, first)) || mutated(Mutant::PhaseOneSkipped)
    }

    /// R3: asks the members of a configuration that has not opened for the ballot that leads already.
    pub(crate) fn ask_newcomers(&mut self) {
        let me = self.me();
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.all_open() || mutated(Mutant::NewcomersLeftAlone) {
            return;
        }
        let (ballot, release) = (leading.ballot, leading.phase_one.release);
        let mut asked = Vec::new();
        for (first, configuration) in self.configurations.governing(self.log.chosen) {
            if configuration.epoch() <= leading.opened {
                continue;
            }
            let addresses = configuration.members().iter().map(Address::of);
            let absent: Vec<Address> = addresses
                .filter(|address| !leading.phase_one.promised.contains(address))
                .collect();
            for address in &absent {
                leading.phase_one.ask_later(*address, first);
            }
            asked.extend(leading.phase_one.missing(absent));
        }
        for (to, from) in asked {
            if to == me {
                self.on_prepare(me, ballot, from, release);
            } else {
                self.send(to, Message::Prepare { ballot, from, release });
            }
        }
    }

    /// R3: whatever configurations a phase-1 quorum has promised for by now are open, once all that was reported as decided is
    /// known here (L7).
    pub(crate) fn open_configurations(&mut self) {
        let Role::Leading(leading) = &self.role else { return };
        if leading.all_open() {
            return;
        }
        let (open_to, epoch) = self.open_to(&leading.phase_one, leading.opened);
        if epoch <= leading.opened {
            return;
        }
        let Role::Leading(leading) = &mut self.role else { return };
        leading.opened = epoch;
        leading.adopt(open_to);
        let (ballot, horizon) = (leading.ballot, leading.horizon);
        self.election.horizon = Some((ballot, horizon));
        self.event(Event::ConfigurationOpened { epoch });
    }

    /// D2: whether all that may have been chosen before this reign is at or below the horizon. It is not as long as a change that
    /// phase 1 brought back may name members who were not asked.
    pub(crate) fn knows_horizon(&self) -> bool {
        let Role::Leading(leading) = &self.role else {
            return false;
        };
        leading.all_open() && leading.changes.first().is_none_or(|slot| *slot > leading.horizon)
    }

    /// The next change that waits to be proposed, for `slot`; those that cannot be made are refused.
    pub(crate) fn next_change(&mut self, slot: Slot) -> Option<Value> {
        loop {
            let (change, waivers) = self.next_queued_change()?;
            match self.object(slot, &change, waivers) {
                None => return Some(Value::Reconfigure(Box::new(change))),
                Some(objection) => self.refuse_change(&change, Refusal::Change(objection)),
            }
        }
    }

    /// R2, R5, R7: what there is to say against proposing a change in `slot`.
    fn object(&self, slot: Slot, change: &Change, waivers: Waivers) -> Option<Objection> {
        match self.configurations.consider(slot, change) {
            Err(Objection::Pending { .. }) if mutated(Mutant::PendingIgnored) => return None,
            Err(objection) => return Some(objection),
            Ok(_) => {}
        }
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let newest = self.configurations.newest();
        if self.configurations.are_two() || !leading.changes.is_empty() || !leading.all_open() {
            return Some(Objection::Unsettled { newest: newest.epoch() });
        }
        let next = &change.configuration;
        let behind = (!waivers.behind).then(|| self.behind(next)).flatten();
        let one_disk = || one_disk(next).filter(|_| !waivers.one_disk && one_disk(newest).is_none());
        let one_zone = || one_zone(next).filter(|_| !waivers.one_zone && one_zone(newest).is_none());
        if behind.is_none() && (one_disk().is_some() || one_zone().is_some()) && mutated(Mutant::FrailAccepted) {
            return None;
        }
        behind
            .or_else(|| one_disk().map(|node| Objection::OneDisk { node }))
            .or_else(|| one_zone().map(|node| Objection::OneZone { node }))
    }

    /// R5: whether those voters who have caught up to within a window, and are heard, are no phase-2 quorum.
    fn behind(&self, next: &Configuration) -> Option<Objection> {
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let (now, silence, chosen) = (self.now, self.silence(), self.log.chosen);
        let near = |follower: &Follower| {
            now.since(follower.heard) < silence && follower.chosen.plus(self.configurations.alpha()) >= chosen
        };
        let caught_up = leading.followers.iter().filter(|(_, follower)| near(follower));
        let caught_up = members(next, caught_up.map(|(address, _)| *address).chain([self.me()])) & next.universe();
        let behind = !next.is_quorum(Phase::Two, caught_up) && !mutated(Mutant::BehindAccepted);
        behind.then(|| Objection::Behind {
            caught_up: caught_up.len() as u8,
            voters: next.universe().len() as u8,
        })
    }

    /// R4: a no-op for `slot`, if a chosen change waits for the slots before its first to be chosen.
    pub(crate) fn next_filler(&self, slot: Slot) -> Option<(Slot, Value)> {
        let wanting = slot < self.configurations.newest_from() && !mutated(Mutant::WindowUnfilled);
        wanting.then_some((slot, Value::Noop))
    }

    /// Sees to what was lost: promises of a new configuration that are missing (R3), and farewells (R6).
    pub(crate) fn tick_reconfiguration(&mut self) {
        self.ask_newcomers();
        self.say_farewell();
        self.settle_retirement();
    }
}

/// R7: a member that would be a phase-2 quorum by itself.
fn one_disk(configuration: &Configuration) -> Option<NodeId> {
    let mut alone = configuration
        .universe()
        .iter()
        .filter(|index| configuration.is_quorum(Phase::Two, NodeSet::single(*index)));
    alone
        .next()
        .map(|index| configuration.members()[usize::from(index)].node)
}

/// R7: a member whose zone would hold a phase-2 quorum.
fn one_zone(configuration: &Configuration) -> Option<NodeId> {
    let members = configuration.members();
    let zone = |of: &Member| -> NodeSet {
        let same = |index: &u8| {
            let member = &members[usize::from(*index)];
            (&member.region, &member.zone) == (&of.region, &of.zone)
        };
        configuration.universe().iter().filter(same).collect()
    };
    let mut held = members
        .iter()
        .filter(|member| configuration.is_quorum(Phase::Two, zone(member)));
    held.next().map(|member| member.node)
}
