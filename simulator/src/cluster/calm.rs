//! Liveness: a core that holds a phase-1 and a phase-2 quorum is healed, everything else is switched off, nothing goes
//! wrong any more. Then a leader must come, every open operation must end, all must reach the same state, and a write and
//! a read must succeed through every node of the core.
//!
//! And its opposite: some runs first pass through a time in which only nodes without a phase-2 quorum run, in the same
//! quiet. Whatever is begun then must not get done.

use std::time::Duration;

use paxos::Slot;
use quorum::NodeSet;

use crate::adversary::Strike;
use crate::checker::{Verdict, ensure};
use crate::client::{Client, Op};
use crate::clock::Moment;
use crate::coverage::Sometimes;
use crate::linearizable;
use crate::seat::Seat;

use super::event::Event;
use super::{Cluster, Phase};

/// How long at most only a few nodes run.
const STARVED_TIMEOUTS: u32 = 20;
const STARVED_EVENTS: u64 = 2_000;
/// Most steps of the judgement from the outside, for each key.
const STEPS: u64 = 30_000;
/// Most events of the calm.
const EVENTS: u64 = 300_000;
/// Most of a cluster's election timeouts that the calm may take, after the longest fault and request.
const TIMEOUTS: u32 = 200;

impl Cluster {
    /// Heals a core and sees it through.
    pub(super) fn calm_down(&mut self) -> Verdict {
        let core = self.choose_core();
        if !self.serve(core) {
            // Faults stay within what a cluster survives; mutants that spoil disks do not.
            assert!(
                self.plan.mutant.is_some(),
                "too many disks are spoilt: only {core:?} are whole"
            );
            return self.oracle.audit(self.holders());
        }
        if core.len() < self.nodes.len() {
            self.tally.sometimes.hit(Sometimes::SmallCore);
        }
        self.quiet(Phase::Calm, core)?;
        let patience = self.plan.tuning.election_timeout * TIMEOUTS
            + self.plan.load.timeout * 4
            + self.plan.weather.straggle_mean * 32
            + self.copying()
            + Duration::from_secs(10);
        let limit = (self.now + patience, self.trace.events() + EVENTS);
        self.until(
            "every open operation has ended and all have the same state",
            limit,
            Cluster::is_settled,
        )?;
        for seat in self.core_members().collect::<Vec<_>>() {
            self.clients.push(Client::prober(seat));
            let client = self.clients.len() - 1;
            self.later(Duration::ZERO, Event::Think { client });
        }
        let limit = (self.now + patience, self.trace.events() + EVENTS);
        self.until(
            "every node has served a fresh write and a fresh read",
            limit,
            Cluster::is_settled,
        )?;
        self.oracle.audit(self.holders())?;
        let running = self.core_members();
        self.oracle
            .compare(running.filter_map(|seat| Some((seat, &self.nodes[seat.index()].process.as_ref()?.machine))))?;
        self.judge_history()
    }

    /// How long copies of the state may take: one for who lacks it, and one more, because the first was too old when it came.
    /// Everybody may have to wait for that, if a change was forced upon members that are behind.
    fn copying(&self) -> Duration {
        let states = self.nodes.iter().filter_map(|node| node.process.as_ref());
        let largest = states.map(|process| process.machine.tables().bytes()).max();
        let pieces = largest.unwrap_or_default() / self.plan.tuning.piece_bytes;
        let farthest = self.plan.delays.iter().flatten().max().copied().unwrap_or_default();
        farthest * 4 * pieces as u32
    }

    /// In some runs: for a while only nodes without a phase-2 quorum run.
    pub(super) fn starve(&mut self) -> Verdict {
        if self.plan.faults.every.contains_key(&Strike::Change) {
            // Which quorums there are would change meanwhile.
            return Ok(());
        }
        let mut few = self.those(|node| !node.is_spoilt());
        let mut order: Vec<u8> = (0..self.nodes.len() as u8).collect();
        self.random.faults.shuffle(&mut order);
        for seat in order {
            if self.oracle.ledger().genesis().is_phase2(few) {
                few = few.minus(NodeSet::single(seat));
            }
        }
        if few.is_empty() || !self.random.faults.chance(200) {
            return Ok(());
        }
        self.tally.sometimes.hit(Sometimes::Starved);
        // A process that wakes up now may still hear what was confirmed before.
        self.starved_from = u64::MAX;
        self.quiet(Phase::Starved, few)?;
        if let Some(lease) = self.plan.tenure.lease {
            // Nor do leases end at once: by the slowest clock it takes a little longer than they last.
            let over = self.now + lease.duration * 3 / 2;
            while self.now < over {
                self.next()?;
            }
        }
        self.starved_from = self.ops;
        let limit = (
            self.now + self.plan.tuning.election_timeout * STARVED_TIMEOUTS,
            self.trace.events() + STARVED_EVENTS,
        );
        while self.now < limit.0 && self.trace.events() < limit.1 {
            self.next()?;
        }
        Ok(())
    }

    /// What a client asked while there was no phase-2 quorum is not done then.
    pub(super) fn may_get_done(&self, op: &Op) -> Verdict {
        ensure!(
            self.phase != Phase::Starved || op.id.0 <= self.starved_from,
            Starved,
            "{:?} {} got done, though since before it was asked only {:?} run, which hold no phase-2 quorum",
            op.kind(),
            op.id.0,
            self.core
        );
        Ok(())
    }

    /// The storm is over: the nodes of the core run, the others do not.
    fn quiet(&mut self, phase: Phase, core: NodeSet) -> Verdict {
        (self.phase, self.core) = (phase, core);
        self.network.calm();
        let now = self.now;
        self.trace
            .line(|| format!("{now:?} {phase:?}: the core {core:?} goes on, nothing fails any more"));
        for seat in Seat::all(self.nodes.len()) {
            self.set_room(seat, true)?;
            let node = &mut self.nodes[seat.index()];
            (node.disk.slowness, node.disk.failing) = (0, false);
            if let Some(process) = &mut node.process {
                process.doom = None;
            }
            if core.contains(seat.0) {
                self.resume(seat)?;
                self.restart(seat)?;
            } else {
                self.crash(seat)?;
            }
        }
        Ok(())
    }

    /// Judges from the outside what clients saw.
    fn judge_history(&mut self) -> Verdict {
        let Some(history) = &self.history else { return Ok(()) };
        let report = linearizable::check(history, STEPS);
        let seen = match report.verdict {
            linearizable::Verdict::Linearizable => Sometimes::JudgedOutside,
            linearizable::Verdict::Undecided(_) => Sometimes::Undecided,
            linearizable::Verdict::NotLinearizable(..) => return self.oracle.judge(not_linearizable(&report)),
        };
        self.tally.sometimes.hit(seen);
        Ok(())
    }

    /// Everybody whose disk is whole, or a random part of them that still holds a quorum of each phase.
    fn choose_core(&mut self) -> NodeSet {
        // A node that needs a snapshot can get one, but only those that do not can give it.
        let whole = self.those(|node| !node.is_spoilt() && !node.off);
        let mut core = self.those(|node| !node.cannot_run() && !node.off);
        if !self.serve(whole) {
            return whole;
        }
        if self.random.faults.chance(500) {
            return core;
        }
        for _ in 0..self.nodes.len() {
            let without = core.minus(NodeSet::single(self.random.faults.index(self.nodes.len()) as u8));
            let kept = without & whole;
            if self.serve(kept) {
                core = without;
            }
        }
        core
    }

    /// Whether no operation is open and every node of the core has applied all that is chosen.
    fn is_settled(&self) -> bool {
        let chosen = self.oracle.ledger().chosen_prefix();
        // Who is removed meanwhile has no client that waits.
        let served = |client: &Client| client.is_done() || !self.oracle.ledger().is_wanted(client.seat);
        self.clients.iter().all(served)
            && self.core_applied().all(|(_, applied)| applied == Some(chosen))
            && self.is_unchanging()
    }

    fn core_applied(&self) -> impl Iterator<Item = (Seat, Option<Slot>)> {
        self.core_members().map(|seat| {
            let process = self.nodes[seat.index()].process.as_ref();
            (seat, process.map(|process| process.machine.applied()))
        })
    }

    fn until(&mut self, what: &str, limit: (Moment, u64), done: impl Fn(&Cluster) -> bool) -> Verdict {
        while !done(self) {
            if self.now > limit.0 || self.trace.events() > limit.1 {
                return self.oracle.judge(self.stuck(what));
            }
            for _ in 0..16 {
                self.next()?;
            }
        }
        Ok(())
    }

    fn stuck(&self, what: &str) -> Verdict {
        let open: Vec<_> = self.clients.iter().filter_map(|client| client.open.as_ref()).collect();
        let nodes: Vec<_> = self
            .core_applied()
            .map(|(seat, _)| {
                (
                    seat,
                    self.nodes[seat.index()]
                        .process
                        .as_ref()
                        .map(|process| process.replica.status()),
                )
            })
            .collect();
        ensure!(
            false,
            Liveness,
            "{what}: not so with the healed core {:?} of {} ({}) long into the calm; chosen on disks: {}; open: {open:?}; nodes: {nodes:?}",
            self.core,
            self.nodes.len(),
            self.plan.system(),
            self.oracle.ledger().chosen_prefix()
        );
        Ok(())
    }
}

fn not_linearizable(report: &linearizable::Report) -> Verdict {
    ensure!(false, Linearizable, "{report}");
    Ok(())
}
