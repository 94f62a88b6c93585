//! Elections: suspecting, canvassing, phase 1, and giving way (rules E1, E2, L1, L2, L6, L7, L9, L10).
//!
//! Safety needs only the rules with an L; who stands when is a matter of being quick and quiet.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use quorum::{NodeId, Phase};

use crate::ballot::{Ballot, Slot};
use crate::effect::{Event, Record};
use crate::hand_over::HandedOver;
use crate::leader::Leading;
use crate::lease::Release;
use crate::message::{Address, Message, Vote};
use crate::mutant::{Mutant, mutated};
use crate::phase_one::PhaseOne;
use crate::replica::{Replica, members};
use crate::time::Time;

/// E2: after this many attempts in vain the time that a candidacy gets is doubled no more.
const MOST_WIDENED: u32 = 2;

/// The longest pause before a candidate asks again, in units of the first.
const LONGEST_PAUSE: u32 = 8;

/// What a node is doing about leadership.
#[derive(Clone, Hash, Debug)]
pub(crate) enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether others miss the leader too (E1).
    Canvassing(Canvass),
    /// Is in phase 1.
    Preparing(Candidacy),
    /// Leads.
    Leading(Box<Leading>),
}

/// A canvass under way.
#[derive(Clone, Hash, Debug)]
pub(crate) struct Canvass {
    /// Who misses the leader too.
    granted: Vec<Address>,
    /// Who answered at all.
    answered: Vec<Address>,
}

/// A phase 1 under way.
#[derive(Clone, Hash, Debug)]
pub(crate) struct Candidacy {
    pub(crate) phase_one: PhaseOne,
    started: Time,
    /// L1: this node's own promise is durable, so the first `Prepare`s have left.
    begun: bool,
    resend_at: Time,
    /// How long to wait before asking the next time.
    pause: Duration,
    /// How long phase 1 took, once it is done.
    done: Option<Duration>,
}

/// What a node knows of leadership, whatever its role.
#[derive(Clone, Hash, Debug, Default)]
pub(crate) struct Election {
    /// The ballot that is followed.
    pub(crate) leader: Option<Ballot>,
    /// D2: phase 1 of that ballot showed that slots up to here might be chosen.
    pub(crate) horizon: Option<(Ballot, Slot)>,
    /// The highest ballot whose leader was asked and leads no more.
    over: Ballot,
    /// What this node had promised when its process began: ballots of its own up to here are of earlier processes.
    inherited: Ballot,
    /// E3: the ballot whose leader says that it hears no phase-2 quorum.
    ailing: Option<Ballot>,
    /// When a leader that can do something was last heard.
    heard: Option<Time>,
    /// When a candidate was last heard under the ballot that is promised.
    prepared: Option<Time>,
    /// When patience ends: a follower's with its leader, a canvass's or a candidacy's with itself.
    timeout_at: Time,
    /// Counts attempts in vain since a leader was last followed; widens the back-off and the next candidacy (E2).
    failures: u32,
    /// Counts canvasses.
    attempt: u64,
    /// E4: the leader asks this node to take its place, when it has everything up to that slot.
    pub(crate) called: Option<(Release, Slot)>,
    /// E4: this node led, and asked another to take its place.
    pub(crate) handed_over: Option<HandedOver>,
}

impl Election {
    /// At the start of a process whose node has promised `inherited`.
    pub(crate) fn new(inherited: Ballot) -> Election {
        Election {
            inherited,
            ..Election::default()
        }
    }
}

impl Replica {
    /// Whether a ballot of this node is of this process (L1: later ones are larger).
    pub(crate) fn began(&self, ballot: Ballot) -> bool {
        ballot > self.election.inherited
    }

    /// E1: shortest silence that means anything on these links.
    pub(crate) fn silence(&self) -> Duration {
        self.options.election_timeout.max(self.longest_round_trip() * 4)
    }

    /// E1, E2: waits a randomised while for a leader; longer after failures, and when others are preferred.
    pub(crate) fn await_leader(&mut self) {
        let silence = self.silence();
        let mut jitter = self.rng.up_to(silence * (1 << self.election.failures.min(4)));
        if mutated(Mutant::NoBackOff) {
            jitter = Duration::ZERO;
        }
        let reluctance = silence * self.options.reluctance.min(16) / 2;
        self.election.timeout_at = self.now + silence + reluctance + jitter;
    }

    /// E2: somebody prepares, or goes on to another page: give it time.
    pub(crate) fn grant_time(&mut self) {
        self.election.prepared = Some(self.now);
        if matches!(self.role, Role::Follower | Role::Canvassing(_)) {
            self.role = Role::Follower;
            self.await_leader();
        }
    }

    /// Whether this node could stand now: it votes, has its state (C3), and room for records (E5).
    pub(crate) fn could_stand(&self) -> bool {
        self.may_stand() && !self.lacks_state() && self.has_space()
    }

    pub(crate) fn election_deadline(&self) -> Time {
        match &self.role {
            Role::Leading(_) => Time::NEVER,
            // C3: without its state it could not lead.
            _ if self.lacks_state() => Time::NEVER,
            _ if self.only_asks() => self.election.timeout_at,
            _ if !self.may_stand() => Time::NEVER,
            // E5
            _ if !self.has_space() => Time::NEVER,
            Role::Preparing(candidacy) => self.election.timeout_at.min(candidacy.resend_at),
            _ => self.election.timeout_at,
        }
    }

    pub(crate) fn tick_election(&mut self) {
        if self.now < self.election_deadline() {
            return;
        }
        match &self.role {
            Role::Leading(_) => {}
            _ if self.only_asks() => self.ask_around(),
            // E5: a node whose disk stalls leaves it to others.
            Role::Follower if self.is_stalled() => self.await_leader(),
            // D3, D4: it may not promise its own ballot either.
            Role::Follower if !self.withholds_any().is_zero() => {
                self.election.timeout_at = self.now + self.withholds_any() + self.rng.up_to(self.patience());
            }
            Role::Follower => self.canvass(),
            Role::Preparing(_) if self.now < self.election.timeout_at => self.resend_prepares(),
            Role::Canvassing(_) | Role::Preparing(_) => {
                self.election.failures += 1;
                self.role = Role::Follower;
                self.await_leader();
            }
        }
    }

    /// Whether this node does no more than ask when it misses a leader: it may not stand, as far as it knows.
    fn only_asks(&self) -> bool {
        let told = self.reconfiguration.may_stop.is_some();
        self.is_leaving() || !self.may_stand() && !told && self.configurations.knows_newest(self.me())
    }

    /// Asks what others know to be chosen. Who is left out may be told that it can stop (R6). And a learner may find that it is
    /// a voter by now, whom the others cannot do without: who led until the change was chosen may lead no more (R1).
    fn ask_around(&mut self) {
        let (attempt, chosen) = (0, self.log.chosen);
        self.await_leader();
        for peer in self.peers() {
            self.send(peer, Message::Canvass { attempt, chosen });
        }
    }

    /// E1: before raising its ballot a node asks whether a phase-1 quorum misses the leader as well.
    fn canvass(&mut self) {
        self.note_successor(None);
        self.election.leader = None;
        if mutated(Mutant::CanvassSkipped) {
            return self.stand(None);
        }
        self.election.attempt += 1;
        self.election.timeout_at = self.now + self.patience() * 2;
        let (attempt, chosen) = (self.election.attempt, self.log.chosen);
        self.role = Role::Canvassing(Canvass {
            granted: alloc::vec![self.me()],
            answered: alloc::vec![self.me()],
        });
        self.event(Event::Canvassing);
        for peer in self.peers() {
            self.send(peer, Message::Canvass { attempt, chosen });
        }
        self.stand_if_granted();
    }

    pub(crate) fn on_canvass(&mut self, from: Address, attempt: u64, chosen: Slot) {
        // Whoever asks knows that much: a node that is behind finds out here if it does not hear a leader.
        if !mutated(Mutant::CanvassUntold) {
            self.log.known = self.log.known.max(chosen);
        }
        if !self.has_space() {
            // E5: it could not promise.
            return;
        }
        let busy = match &self.role {
            Role::Leading(leading) => leading.healthy,
            Role::Preparing(_) => self.now < self.election.timeout_at,
            Role::Follower | Role::Canvassing(_) => false,
        };
        let hears = [self.election.heard, self.election.prepared]
            .into_iter()
            .flatten()
            .any(|heard| self.now.since(heard) < self.options.election_timeout);
        let in_reach = chosen >= self.log.trimmed;
        // D3, D4: it could not promise yet.
        let free = self.withholds_any().is_zero();
        let granted = (!busy && !hears && in_reach && free) || mutated(Mutant::CanvassGranted);
        let (promised, mut chosen) = (self.promised, self.log.chosen);
        if mutated(Mutant::CanvassUntold) {
            chosen = Slot::ZERO;
        }
        self.send(
            from,
            Message::CanvassReply {
                attempt,
                granted,
                promised,
                chosen,
            },
        );
    }

    pub(crate) fn on_canvass_reply(
        &mut self,
        from: Address,
        attempt: u64,
        granted: bool,
        promised: Ballot,
        chosen: Slot,
    ) {
        self.highest = self.highest.max(promised);
        // Those who are asked may know more, and the last of it may be the configuration in which one can be elected again:
        // of the one before it too many may be gone by then (R6).
        self.log.known = self.log.known.max(chosen);
        if let Role::Canvassing(canvass) = &mut self.role
            && attempt == self.election.attempt
            && !canvass.answered.contains(&from)
        {
            canvass.answered.push(from);
            if granted {
                canvass.granted.push(from);
            }
            self.stand_if_granted();
        }
    }

    /// Stands if a phase-1 quorum would have it, and a phase-2 quorum is there to be led: without one a new leader could do
    /// no more than the old.
    fn stand_if_granted(&mut self) {
        if let Role::Canvassing(canvass) = &self.role
            && self.have_quorum(Phase::One, &canvass.granted)
            && self.have_quorum(Phase::Two, &canvass.answered)
        {
            self.stand(None);
        }
    }

    /// Whether `addresses` are a quorum of every configuration that governs an open slot.
    pub(crate) fn have_quorum(&self, phase: Phase, addresses: &[Address]) -> bool {
        self.configurations
            .all_have_quorum(self.log.chosen, phase, |configuration| {
                members(configuration, addresses.iter().copied())
            })
    }

    /// L1: takes a larger round than any seen, and asks for promises once its own is durable. With a release, as successor of
    /// the leader that gave its leases back (E4).
    pub(crate) fn stand(&mut self, release: Option<Release>) {
        let mut ballot = self.highest.max(self.promised).next_for(self.me().node);
        if self.promised.leader == self.me().node && !self.began(self.promised) && mutated(Mutant::BallotReused) {
            ballot = self.promised;
        }
        let wait = self.withholds(ballot, release);
        if !wait.is_zero() {
            // D3, D4: a candidate promises too.
            self.role = Role::Follower;
            self.await_leader();
            return self.withhold(ballot, wait);
        }
        self.promised = ballot;
        self.highest = ballot;
        let from = if mutated(Mutant::PreparedFromLast) {
            self.log.last().next()
        } else {
            self.log.chosen.next()
        };
        let mut phase_one = PhaseOne::new(ballot, from, self.log.chosen);
        phase_one.release = release;
        self.role = Role::Preparing(Candidacy {
            phase_one,
            started: self.now,
            begun: false,
            resend_at: self.now + self.patience(),
            pause: self.patience(),
            done: None,
        });
        self.await_promises();
        self.event(Event::Preparing(ballot));
        // L2: one Prepare covers every slot above the chosen prefix. It goes to this node's own acceptor as well.
        let mut everybody = self.peers();
        everybody.push(self.me());
        let prepares = everybody
            .into_iter()
            .map(|to| self.envelope(to, Message::Prepare { ballot, from, release }))
            .collect::<Vec<_>>();
        self.write(alloc::vec![Record::Promised(ballot)], prepares);
    }

    /// E2: a candidacy that has failed before gets more time for each page that it waits for: disks may be slow.
    fn await_promises(&mut self) {
        self.election.timeout_at = self.now + self.silence() * (2 << self.election.failures.min(MOST_WIDENED));
    }

    /// L1: the write that this candidate's first `Prepare`s waited for is done.
    pub(crate) fn note_begun(&mut self, ballot: Ballot) {
        if let Role::Preparing(candidacy) = &mut self.role
            && candidacy.phase_one.ballot == ballot
        {
            candidacy.begun = true;
        }
    }

    /// L9: asks again those peers whose promise is not complete, for the page that is missing, and waits longer each time:
    /// what keeps them may be their disks, and every answer takes a turn there (A3).
    fn resend_prepares(&mut self) {
        let (now, peers, longest) = (self.now, self.peers(), self.patience() * LONGEST_PAUSE);
        let Role::Preparing(candidacy) = &mut self.role else {
            return;
        };
        candidacy.pause = (candidacy.pause * 2).min(longest);
        candidacy.resend_at = now + candidacy.pause;
        if !candidacy.begun {
            // L1: the first ones have not left.
            return;
        }
        let (ballot, release) = (candidacy.phase_one.ballot, candidacy.phase_one.release);
        for (to, from) in candidacy.phase_one.missing(peers) {
            self.send(to, Message::Prepare { ballot, from, release });
        }
    }

    /// L3 ii, L9: takes one page of a promise; the promise counts when its last page is here.
    #[expect(clippy::too_many_arguments, reason = "one argument for each field of the message")]
    pub(crate) fn on_promise(
        &mut self,
        from: Address,
        ballot: Ballot,
        first: Slot,
        to: Option<Slot>,
        votes: Vec<Vote>,
        chosen: Slot,
        trimmed: Slot,
    ) {
        let members = self.configurations.newest().members();
        let phase_one = match &mut self.role {
            Role::Preparing(candidacy) => &mut candidacy.phase_one,
            // R3: a leader asks the members of a new configuration.
            Role::Leading(leading) if !leading.all_open() => &mut leading.phase_one,
            _ => return,
        };
        if phase_one.promised.contains(&from) && mutated(Mutant::PromiseCountedTwice) {
            let mut members = members.iter().map(Address::of);
            let absent = members.find(|other| !phase_one.promised.contains(other));
            phase_one.promised.extend(absent);
        }
        let Some(missing) = phase_one.take(from, ballot, (first, to), votes, chosen.max(trimmed)) else {
            return;
        };
        let (decided, release) = (phase_one.decided, phase_one.release);
        if let Some(next) = missing {
            // L1: this ballot has been asked for, so this node's own promise of it is durable.
            if from == self.me() {
                self.on_prepare(from, ballot, next, release);
            } else {
                let prepare = Message::Prepare {
                    ballot,
                    from: next,
                    release,
                };
                self.send(from, prepare);
            }
        }
        self.log.known = self.log.known.max(decided);
        if matches!(self.role, Role::Preparing(_)) {
            self.await_promises();
            self.settle_candidacy();
        } else {
            self.open_configurations();
        }
    }

    /// L3 ii, R3: whether the promises are a phase-1 quorum of the configuration of the first open slot. Those that govern later
    /// slots of the window may follow when it leads: each opens on its own.
    fn is_promised(&self) -> bool {
        let Role::Preparing(candidacy) = &self.role else {
            return false;
        };
        let first = self.log.chosen.next();
        self.has_promised(&candidacy.phase_one, self.configurations.of(first), first)
    }

    /// Leads once a phase-1 quorum has promised and everything it reported as decided is known here (L7). What is learned
    /// meanwhile may bring a newer configuration, whose members are then to promise.
    pub(crate) fn settle_candidacy(&mut self) {
        if !self.is_promised() {
            return;
        }
        let (now, chosen) = (self.now, self.log.chosen);
        let Role::Preparing(candidacy) = &mut self.role else {
            return;
        };
        if candidacy.done.is_none() {
            let took = now.since(candidacy.started);
            candidacy.done = Some(took);
            self.event(Event::PhaseOne { took });
        }
        let Role::Preparing(candidacy) = &mut self.role else {
            return;
        };
        if candidacy.phase_one.decided > chosen && !mutated(Mutant::DecidedIgnored) {
            return;
        }
        let phase_one = core::mem::replace(&mut candidacy.phase_one, PhaseOne::new(Ballot::ZERO, chosen, chosen));
        self.lead(phase_one);
    }

    /// A candidate learns of a newer configuration: its members are asked as well (L2), if the first `Prepare`s have left (L1).
    pub(crate) fn prepare_newcomers(&mut self) {
        let peers = self.peers();
        let Role::Preparing(candidacy) = &self.role else {
            return;
        };
        if !candidacy.begun {
            return;
        }
        let (ballot, release) = (candidacy.phase_one.ballot, candidacy.phase_one.release);
        for (to, from) in candidacy.phase_one.missing(peers) {
            self.send(to, Message::Prepare { ballot, from, release });
        }
    }

    /// Notes a ballot seen anywhere, and gives way to it if it is above this node's own (L6).
    pub(crate) fn observe(&mut self, ballot: Ballot) {
        self.highest = self.highest.max(ballot);
        if self.own_ballot().is_some_and(|own| own < ballot) && !mutated(Mutant::HigherBallotIgnored) {
            self.step_down(ballot);
        } else if self.election.leader.is_some_and(|leader| leader < ballot) {
            self.election.leader = None;
        }
    }

    /// The ballot under which this node leads or stands.
    pub(crate) fn own_ballot(&self) -> Option<Ballot> {
        match &self.role {
            Role::Preparing(candidacy) => Some(candidacy.phase_one.ballot),
            Role::Leading(leading) => Some(leading.ballot),
            Role::Follower | Role::Canvassing(_) => None,
        }
    }

    /// L6: gives way to a higher ballot at once.
    fn step_down(&mut self, to: Ballot) {
        if let Some(from) = self.own_ballot() {
            self.event(Event::SteppedDown { from, to });
            self.give_way();
        }
    }

    /// L6: another value than this leader's was chosen in `slot`. Only a higher ballot can have done that, whichever it is.
    pub(crate) fn give_way_unseen(&mut self, slot: Slot) {
        if let Some(from) = self.own_ballot()
            && !mutated(Mutant::OvertakenUnnoticed)
        {
            self.event(Event::Overtaken { from, slot });
            self.give_way();
        }
    }

    pub(crate) fn give_way(&mut self) {
        if let Role::Leading(leading) = core::mem::replace(&mut self.role, Role::Follower) {
            self.abandon(*leading);
        } else {
            self.election.failures += 1;
        }
        self.election.leader = None;
        self.await_leader();
    }

    pub(crate) fn clear_failures(&mut self) {
        self.election.failures = 0;
    }

    /// Follows the leader of `ballot`, which is at least what this node has promised.
    pub(crate) fn follow(&mut self, from: Address, ballot: Ballot) {
        if from == self.me() {
            return;
        }
        self.observe(ballot);
        self.note_successor(Some(ballot));
        if self.election.leader != Some(ballot) {
            self.election.leader = Some(ballot);
            self.event(Event::Following(ballot));
        }
        if self.election.ailing == Some(ballot) && !mutated(Mutant::AilingFollowed) {
            // E3: a leader that hears no quorum can do nothing for its followers: they do not wait for it.
            return;
        }
        self.role = Role::Follower;
        self.election.failures = 0;
        self.election.heard = Some(self.now);
        self.await_leader();
    }

    /// E3: notes what the leader of `ballot` says of itself.
    pub(crate) fn note_health(&mut self, ballot: Ballot, healthy: bool) {
        if !healthy {
            self.election.ailing = Some(ballot);
        } else if self.election.ailing == Some(ballot) {
            self.election.ailing = None;
        }
    }

    /// E3: whether there is a leader, and it hears a phase-2 quorum as far as this node knows.
    pub(crate) fn leader_is_healthy(&self) -> bool {
        self.election.leader.is_some() && self.election.leader != self.election.ailing
    }

    /// An acceptor has promised more than this node asked for.
    pub(crate) fn on_reject(&mut self, ballot: Ballot, promised: Ballot) {
        if mutated(Mutant::RejectIgnored) {
            return;
        }
        if self.own_ballot() == Some(ballot) {
            self.event(Event::Rejected { ballot, promised });
        }
        let stood = matches!(self.role, Role::Preparing(_));
        self.observe(promised);
        if stood && matches!(self.role, Role::Follower) && mutated(Mutant::NoBackOff) {
            self.stand(None);
        }
    }

    /// The leader refuses what only a leader would take: it no longer is one.
    pub(crate) fn forget_leader(&mut self, ballot: Ballot) {
        // Nothing is forwarded under that ballot again, should its late heartbeats be followed for a while.
        self.election.over = self.election.over.max(ballot);
        if self.election.leader == Some(ballot) {
            self.election.leader = None;
        }
    }

    /// Where the leader that is followed can be reached.
    pub(crate) fn leader_address(&self) -> Option<(Ballot, Address)> {
        let ballot = self.election.leader.filter(|ballot| *ballot > self.election.over)?;
        self.address_of(ballot.leader).map(|address| (ballot, address))
    }

    fn address_of(&self, node: NodeId) -> Option<Address> {
        let newest_first = self.configurations.entries().iter().rev();
        let mut members = newest_first.filter_map(|(_, configuration)| configuration.member(node));
        members.next().map(Address::of)
    }
}
