//! Leases: linearizable reads at the leader without a round (rules D3, D4, D5, D7).
//!
//! A leader's heartbeat may ask for a lease. The acceptor that grants it promises, for that long on its own clock, to answer
//! no `Prepare` above the leader's ballot. While those who granted are a phase-2 quorum of every configuration that governs an
//! open slot, they meet every rival's phase-1 quorum: no rival leads, nothing is chosen behind the leader's back, and its
//! own chosen prefix is the newest there is.
//!
//! The leader counts from the moment at which it asked, by its own clock, and takes off what two clocks may differ in rate.
//! The acceptor's answer repeats that moment, so nobody keeps a list of what was asked when. A read takes its place in the
//! order of things when the lease is looked at: after it arrived, by a clock that was read after that. What the state shows
//! later is newer at most (D5).
//!
//! Nothing else rests on leases, or on clocks: whatever those do, no two values are chosen (D7).

use core::time::Duration;

use quorum::{Configuration, NodeSet, Phase, QuorumSystem};

use crate::ballot::{Ballot, Slot};
use crate::effect::Event;
use crate::election::Role;
use crate::leader::Follower;
use crate::mutant::{Mutant, mutated};
use crate::replica::{Replica, members};
use crate::time::Time;

/// What leases a node asks for and grants.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LeaseOptions {
    /// How long a lease lasts at those who grant it. A node grants none that is longer than its own setting, and promises
    /// nothing for so long after its process began (D4): longer than the election timeout delays elections.
    pub duration: Duration,
    /// ρ: by how many parts in a million a clock may run faster or slower than true time.
    pub drift_ppm: u32,
}

impl LeaseOptions {
    /// D3: how long the holder counts, from when it asked: `duration · (1 − 2ρ)`, at least 0.
    #[must_use]
    pub fn held(&self) -> Duration {
        if mutated(Mutant::DriftIgnored) {
            return self.duration;
        }
        let kept = 1_000_000_u64.saturating_sub(2 * u64::from(self.drift_ppm));
        let nanos = self.duration.as_nanos() * u128::from(kept) / 1_000_000;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A moment on the clock of one process.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Moment {
    /// The process: no other can make anything of the moment.
    pub boot: u64,
    /// The moment.
    pub at: Time,
}

/// What a heartbeat says about time. Nobody compares the clocks of two nodes: moments are only sent back.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pulse {
    /// The leader's clock when this was sent; the answer repeats it.
    pub sent: Time,
    /// D3: for how long, from its arrival on, the leader asks that no higher ballot be promised; zero: it does not ask.
    pub lease: Duration,
    /// How long before `sent` a phase-2 quorum is known to have followed this ballot, if ever: everything that was chosen
    /// by then is at or below the chosen prefix or the horizon.
    pub confirmed: Option<Duration>,
    /// The receiver's clock in its last answer that has arrived.
    pub heard: Option<Moment>,
}

/// What the answer to a heartbeat says about time, and about its sender.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Echo {
    /// [`Pulse::sent`] of the heartbeat that is answered.
    pub sent: Time,
    /// D3: the lease is granted.
    pub granted: bool,
    /// The clock of the process that answers.
    pub heard: Moment,
    /// How reluctantly the sender leads; `None`: it could not at all just now.
    pub fit: Option<u32>,
}

/// E4: a leader gives back the leases of its heartbeats up to `round`. Whoever shows this was chosen to succeed it.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Release {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// The last of its heartbeats whose lease it will not use again.
    pub round: u64,
}

/// D3: a lease that this acceptor has granted.
#[derive(Copy, Clone, Hash, Debug)]
struct Grant {
    ballot: Ballot,
    /// The newest heartbeat for which it was granted.
    round: u64,
    until: Time,
}

/// What a node knows of leases besides those that it holds.
#[derive(Clone, Hash, Debug, Default)]
pub(crate) struct Leases {
    grant: Option<Grant>,
    /// D4: what the processes before this one granted has passed by then.
    free_at: Time,
    /// This node's state is at least as new as everything was at that moment.
    fresh: Option<Time>,
    /// It will be as new as everything was at that moment once this prefix is applied.
    freshens: Option<(Slot, Time)>,
}

impl Leases {
    /// D4: at the start of a process. What it granted before, and to whom, is forgotten.
    pub(crate) fn new(options: Option<LeaseOptions>, now: Time) -> Leases {
        let wait = options.map_or(Duration::ZERO, |lease| lease.duration);
        let forgets = mutated(Mutant::GrantForgotten);
        Leases {
            free_at: if forgets { now } else { now + wait },
            ..Leases::default()
        }
    }
}

impl Replica {
    // ---- granting ----

    /// D3: grants the lease that a heartbeat asks for, unless it is for longer than this node can remember (D4).
    pub(crate) fn grant(&mut self, ballot: Ballot, round: u64, span: Duration) -> bool {
        let Some(own) = self.options.lease else { return false };
        let outbid = self.leases.grant.is_some_and(|grant| grant.ballot > ballot);
        if span.is_zero() || span > own.duration || outbid {
            return false;
        }
        let until = self.now + span;
        let grant = match self.leases.grant {
            Some(grant) if grant.ballot == ballot => Grant {
                ballot,
                round: grant.round.max(round),
                until: grant.until.max(until),
            },
            _ => Grant { ballot, round, until },
        };
        self.leases.grant = Some(grant);
        true
    }

    /// D3, D4: for how long this acceptor may not promise `ballot`, whatever its candidate shows.
    pub(crate) fn withholds(&self, ballot: Ballot, release: Option<Release>) -> Duration {
        let mut until = self.leases.free_at;
        if let Some(grant) = self.leases.grant
            && grant.ballot < ballot
            && !grant.is_released(release)
            && !mutated(Mutant::GrantIgnored)
        {
            until = until.max(grant.until);
        }
        until.since(self.now)
    }

    /// The same for whatever ballot this node may stand under next, or another that asks.
    pub(crate) fn withholds_any(&self) -> Duration {
        let above = self.highest.max(self.promised).next_for(self.me().node);
        self.withholds(above, None)
    }

    /// D3, D4: says that a `Prepare` is not answered yet. Its candidate asks again.
    pub(crate) fn withhold(&mut self, ballot: Ballot, wait: Duration) {
        self.event(Event::PrepareWithheld { ballot, wait });
    }

    // ---- holding ----

    /// D3, D5: whether this node leads and, at that moment of its clock, holds a lease: nothing can have been chosen then that it
    /// does not know of.
    #[must_use]
    pub fn holds_lease(&self, at: Time) -> bool {
        let (Role::Leading(leading), Some(lease)) = (&self.role, self.options.lease) else {
            return false;
        };
        let (span, me) = (lease.held(), self.me());
        let given_back = leading.given_back;
        let counts = |follower: &Follower| {
            let since = follower.contact.granted_after(given_back);
            since.is_some_and(|since| since + span > at)
        };
        let grantors = |configuration: &Configuration| {
            let granted = leading.followers.iter().filter(|(_, follower)| counts(follower));
            let members = members(configuration, granted.map(|(address, _)| *address).chain([me]));
            let voters = configuration.members().len();
            if members.len() > voters / 2 && mutated(Mutant::LeaseByHeads) {
                return NodeSet::first(voters as u8);
            }
            members
        };
        if mutated(Mutant::LeaseOfOldConfiguration) {
            let old = self.configurations.of(self.log.chosen.next());
            return old.is_quorum(Phase::Two, grantors(old));
        }
        // D3: a phase-2 quorum of each meets every phase-1 quorum of each, those of a pending configuration included.
        self.configurations
            .all_have_quorum(self.log.chosen, Phase::Two, grantors)
    }

    /// The lease that a leader's heartbeats ask for; zero for none. While it hands over, it wants none (E4).
    pub(crate) fn wanted_lease(&self) -> Duration {
        match (&self.role, self.options.lease) {
            (Role::Leading(leading), Some(lease)) if !leading.has_released() => lease.duration,
            _ => Duration::ZERO,
        }
    }

    /// How long the lease still lasts if nobody renews it; `None` without one.
    pub(crate) fn lease_left(&self) -> Option<Duration> {
        let (Role::Leading(leading), Some(lease)) = (&self.role, self.options.lease) else {
            return None;
        };
        let given_back = leading.given_back;
        let since = self.quorum_since(|follower| follower.contact.granted_after(given_back))?;
        let left = (since + lease.held()).since(self.now);
        (!left.is_zero()).then(|| left.min(lease.held()))
    }

    /// The last moment of which a phase-2 quorum of every governing configuration can say what `moment` tells, this leader
    /// included. [`Time::NEVER`] if it is a quorum by itself.
    fn quorum_since(&self, moment: impl Fn(&Follower) -> Option<Time>) -> Option<Time> {
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let me = self.me();
        let enough = |since: Time| {
            self.configurations
                .all_have_quorum(self.log.chosen, Phase::Two, |configuration| {
                    let there = leading
                        .followers
                        .iter()
                        .filter(|(_, follower)| moment(follower).is_some_and(|at| at >= since));
                    members(configuration, there.map(|(address, _)| *address).chain([me]))
                })
        };
        let moments = leading.followers.values().filter_map(&moment).filter(|at| enough(*at));
        let latest = moments.max();
        if enough(Time::NEVER) { Some(Time::NEVER) } else { latest }
    }

    /// How long ago a phase-2 quorum is known to have followed this leader (D1); `None`: never yet.
    pub(crate) fn confirmed(&self) -> Option<Duration> {
        let since = self.quorum_since(|follower| follower.contact.answered)?;
        Some(self.now.since(since))
    }

    // ---- how old the state is ----

    /// Everything that was chosen at the moment `at` is at or below `prefix`.
    pub(crate) fn note_fresh(&mut self, prefix: Slot, at: Time) {
        if prefix <= self.log.applied {
            self.leases.fresh = self.leases.fresh.max(Some(at));
        } else if self.leases.freshens.is_none() {
            // The first such prefix is kept until it is applied: later ones would put it off for ever.
            self.leases.freshens = Some((prefix, at));
        }
    }

    /// What a heartbeat says about this node's own clock: everything chosen by then is at or below `prefix`.
    pub(crate) fn note_pulse(&mut self, pulse: &Pulse, prefix: Slot) {
        if let (Some(heard), Some(confirmed)) = (pulse.heard, pulse.confirmed)
            && heard.boot == self.options.boot
        {
            // The heartbeat left after this node's answer had arrived, so no earlier than `heard.at`.
            let from_arrival = mutated(Mutant::FreshFromArrival);
            let at = if from_arrival {
                self.now
            } else {
                heard.at.before(confirmed)
            };
            self.note_fresh(prefix, at);
        }
    }

    /// More is applied.
    pub(crate) fn note_applied_fresh(&mut self) {
        if let Some((prefix, at)) = self.leases.freshens
            && prefix <= self.log.applied
        {
            self.leases.freshens = None;
            self.leases.fresh = self.leases.fresh.max(Some(at));
        }
    }

    /// D6: how old, at most, the applied state is at that moment of this node's clock: it has everything that was chosen so long
    /// ago. `None`: this process cannot tell yet.
    #[must_use]
    pub fn staleness(&self, at: Time) -> Option<Duration> {
        self.leases.fresh.map(|fresh| at.since(fresh))
    }

    /// The answer's part about time.
    pub(crate) fn echo(&self, sent: Time, granted: bool) -> Echo {
        let heard = Moment {
            boot: self.options.boot,
            at: self.now,
        };
        let fit = self.is_fit().then_some(self.options.reluctance);
        Echo {
            sent,
            granted,
            heard,
            fit,
        }
    }

    /// Whether this node could lead if it were asked to.
    fn is_fit(&self) -> bool {
        self.could_stand() && !self.is_stalled() && self.leases.free_at <= self.now
    }
}

/// What a leader knows of a member by the times in its answers.
#[derive(Copy, Clone, Hash, Debug, Default)]
pub(crate) struct Contact {
    /// D3: the newest heartbeat whose lease was granted, and when it was sent.
    granted: Option<(u64, Time)>,
    /// When the newest heartbeat that was answered had been sent (D1).
    answered: Option<Time>,
    /// Its clock, as it showed it last.
    pub(crate) heard: Option<Moment>,
    /// How reluctantly it would lead, if it could.
    pub(crate) fit: Option<u32>,
}

impl Contact {
    /// Takes the answer to heartbeat `round`, which arrives `now`.
    pub(crate) fn note(&mut self, round: u64, echo: &Echo, now: Time) {
        if self.answered <= Some(echo.sent) {
            // Of answers that overtake each other, the one to the newest heartbeat is the newest.
            self.answered = Some(echo.sent);
            self.heard = Some(echo.heard);
            self.fit = echo.fit;
        }
        if echo.granted {
            // D3: from when it was asked for; the answer may have been under way for long.
            let from_receipt = mutated(Mutant::LeaseFromReceipt);
            let since = if from_receipt { now } else { echo.sent };
            self.granted = self.granted.max(Some((round, since)));
        }
    }

    /// E4: since when the lease counts, if it was granted for a later heartbeat than the last that was given back.
    fn granted_after(&self, given_back: u64) -> Option<Time> {
        let (round, since) = self.granted?;
        (round > given_back || mutated(Mutant::LeaseKept)).then_some(since)
    }
}

impl Grant {
    /// E4: whether its holder has given it back. A lease granted later than that holds.
    fn is_released(&self, release: Option<Release>) -> bool {
        release.is_some_and(|release| {
            release.ballot == self.ballot && (release.round >= self.round || mutated(Mutant::ReleaseForEver))
        })
    }
}
