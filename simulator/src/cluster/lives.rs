//! The lives of a node's processes: starting on what the disk holds, dying, and dying at a step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use paxos::{Ballot, Logged, Options, Recovered, Replica, Time, Wake};
use quorum::Incarnation;

use crate::checker::{Verdict, Violation};
use crate::clock::{Clock, Moment};
use crate::coverage::{Fault, Sometimes, Step};
use crate::disk::{Job, Store};
use crate::machine::Machine;
use crate::mutant::Mutant;
use crate::node::Process;
use crate::seat::Seat;
use crate::spec::SpecTrace;
use crate::swarm::CLUSTER;

use super::event::{Event, Happening};
use super::snapshots::Transfers;
use super::{Cluster, Phase};

impl Cluster {
    /// Starts a process, if the disk can show that it is whole; otherwise its operator leaves it down (A6).
    pub(super) fn start(&mut self, seat: Seat) -> Verdict {
        let now = self.now;
        self.install(seat);
        let installed = self.installed(seat);
        let node = &mut self.nodes[seat.index()];
        let machine = Machine::open(node.tables.clone(), &self.plan.configuration).wrong(self.plan.mutant);
        let recovered = node.disk.recover(machine.applied(), installed);
        if node.disk.full && recovered.is_ok() {
            self.tally.sometimes.hit(Sometimes::NoRoom);
            self.restart_later(seat);
            return Ok(());
        }
        if recovered.is_ok() && installed > node.disk.trim_ahead() {
            // A7: the journal forgets what the new state stands for.
            if self.random.disk.chance(50) && self.phase == Phase::Storm {
                self.tally.steps.hit(Step::Installed);
                self.restart_later(seat);
                return Ok(());
            }
            self.oracle.on_trim(seat, installed, node.flushed)?;
            node.disk.submit(Job::Trim(installed));
        }
        match recovered {
            Ok(recovered) => self.begin(seat, machine, recovered),
            Err(why) => {
                node.lost = true;
                self.tally.sometimes.hit(Sometimes::StartRefused);
                self.trace.line(|| format!("{now:?} {seat} does not start: {why}"));
                Ok(())
            }
        }
    }

    fn begin(&mut self, seat: Seat, machine: Machine, mut recovered: Recovered) -> Verdict {
        if recovered
            .log
            .iter()
            .any(|(slot, logged)| *slot > recovered.chosen && matches!(logged, Logged::Voted(..)))
        {
            self.tally.sometimes.hit(Sometimes::OpenVotesRecovered);
        }
        if recovered.chosen > machine.applied() {
            self.tally.sometimes.hit(Sometimes::StateReplayed);
        }
        if self.plan.is(Mutant::ForgetPromise) {
            recovered.promised = Ballot::ZERO;
        }
        if self.plan.is(Mutant::ForgetVotes) {
            let (random, chosen) = (&mut self.random.process, recovered.chosen);
            recovered.log.retain(|(slot, _)| *slot <= chosen || !random.chance(500));
        }
        // What came with the state knows the configurations as well (C3).
        recovered.configurations = match (recovered.configurations.take(), machine.configurations()) {
            (Some(journal), Some(state)) => Some(journal.newer(state)),
            (journal, state) => journal.or(state),
        };
        let chosen = recovered.chosen.max(machine.applied());
        self.for_spec(|spec| spec.on_start(seat, recovered.promised, chosen));
        if self.nodes[seat.index()].incarnation == Incarnation(1) {
            self.oracle.on_found(seat, recovered.promised)?;
        }
        let boot = self.oracle.on_start(seat, &machine)?;
        let drift = self.random.clock.below(2 * self.plan.drift + 1) as i64 - self.plan.drift as i64;
        let origin = Time(self.random.clock.below(1 << 50));
        let clock = Clock {
            started: self.now,
            origin,
            drift,
        };
        self.trace
            .line(|| format!("{:?} {seat} starts as process {boot}: {recovered:?}", self.now));
        let options = self.options(seat, boot);
        let replica = Replica::new(options, recovered, self.random.process.word(), origin);
        let node = &mut self.nodes[seat.index()];
        let doom = (node.crash_loop > 0).then(|| {
            node.crash_loop -= 1;
            (
                *self.random.process.pick(Step::ALL),
                self.random.process.below(4) as u32,
            )
        });
        node.process = Some(Process {
            boot,
            replica,
            clock,
            machine,
            to_apply: VecDeque::new(),
            pending: BTreeMap::new(),
            changes: BTreeSet::new(),
            transfers: Transfers::default(),
            may_write: true,
            wake: Moment(u64::MAX),
            deadline: (Time::NEVER, Wake::Never),
            idle_wakes: 0,
            doom: doom.filter(|_| self.phase == Phase::Storm),
            resumed: self.now,
            leads: None,
            prepares: false,
            has_applied: false,
            set_back: false,
        });
        let flush = self.random.disk.exponential(self.plan.tuning.flush);
        self.later_at(flush, seat, Happening::Flush);
        if self.plan.tuning.measures {
            self.later_at(self.plan.tuning.heartbeat_interval, seat, Happening::Measure);
        }
        if self.nodes[seat.index()].disk.low {
            self.later_at(Duration::ZERO, seat, Happening::Room { enough: false });
        }
        if self.dies_at(seat, Step::Started)? {
            return Ok(());
        }
        self.drain(seat)
    }

    fn options(&self, seat: Seat, boot: u64) -> Options {
        let tuning = &self.plan.tuning;
        Options {
            cluster: CLUSTER,
            address: self.address(seat),
            boot,
            genesis: self.plan.configuration.clone(),
            introduced: None,
            heartbeat_interval: tuning.heartbeat_interval,
            election_timeout: tuning.election_timeout,
            reluctance: if tuning.reluctant { u32::from(seat.0) } else { 0 },
            lease: self.plan.tenure.lease,
            hand_back: self.plan.tenure.hand_back,
            max_batch_bytes: tuning.max_batch_bytes,
            max_inflight_bytes: tuning.max_inflight_bytes,
            batch_interval: tuning.batch_interval,
            eager_slots: tuning.eager_slots,
            max_queued: tuning.max_queued,
            max_queued_bytes: tuning.max_queued.saturating_mul(tuning.max_batch_bytes),
            cache_bytes: tuning.cache_bytes,
            keep_slots: tuning.keep_slots,
            max_log_slots: tuning.max_log_slots,
            max_log_bytes: tuning.max_log_bytes,
            trim_step: tuning.trim_step,
            page_bytes: tuning.page_bytes,
        }
    }

    /// The process at a seat dies, and with it what was not synced, except what the disk has by chance.
    pub(super) fn crash(&mut self, seat: Seat) -> Verdict {
        let Some(process) = self.nodes[seat.index()].process.take() else {
            return Ok(());
        };
        if process.leads.is_some() {
            self.tally.sometimes.hit(Sometimes::LeaderCrashed);
        }
        let node = &mut self.nodes[seat.index()];
        let (kept, lost) = node.disk.crash(&mut self.random.disk);
        let waiting = std::mem::take(&mut node.waiting);
        node.paused = false;
        // What the state machine wrote since its last flush is lost, or happens to be on the disk.
        if self.random.disk.chance(300) && !self.plan.is(Mutant::ClaimFlushed) {
            process.machine.flush();
            node.flushed = process.machine.applied();
            self.oracle.on_flushed(seat, node.flushed);
            if let Some(spec) = &mut self.spec {
                spec.on_flushed(seat, node.flushed);
            }
        } else {
            node.tables.lose_unflushed();
        }
        self.trace.line(|| {
            format!(
                "{:?} {seat} crashes: {} unsynced writes kept, {lost} lost",
                self.now,
                kept.len()
            )
        });
        self.trace.mix(u64::from(seat.0) << 32 | kept.len() as u64);
        self.tally.faults.add(Fault::WritesLost, lost as u64);
        if lost > 0 && !kept.is_empty() {
            self.tally.sometimes.hit(Sometimes::SyncTorn);
        }
        self.for_spec(SpecTrace::on_death);
        for job in &kept {
            self.harden(seat, job)?;
        }
        self.for_spec(|spec| spec.on_dead(seat));
        let node = &mut self.nodes[seat.index()];
        if let Some(old) = node.old_store.take() {
            node.disk.restore(old);
        }
        if self.plan.is(Mutant::Amnesia) && self.random.disk.chance(500) {
            self.nodes[seat.index()].disk.restore(Store::empty());
        }
        self.lose_requests(seat, &process, &waiting);
        Ok(())
    }

    /// A process comes past a step: true if it died there.
    pub(super) fn dies_at(&mut self, seat: Seat, step: Step) -> Result<bool, Violation> {
        let now = self.now;
        let Some(process) = self.process(seat) else {
            return Ok(true);
        };
        match &mut process.doom {
            Some((doom, left)) if *doom == step && *left > 0 => *left -= 1,
            Some((doom, _)) if *doom == step => {
                self.trace
                    .line(|| format!("{now:?} fault: {seat} dies at a step: {}", step.name()));
                self.tally.faults.hit(Fault::CrashInStep);
                self.tally.steps.hit(step);
                self.crash(seat)?;
                self.restart_later(seat);
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    pub(super) fn restart_later(&mut self, seat: Seat) {
        let span = self.random.process.exponential(self.plan.faults.lasting);
        self.later(span, Event::Restart { seat });
    }

    /// A process starts again, if none runs there, its disk is not lost, and it is not left out after the storm.
    pub(super) fn restart(&mut self, seat: Seat) -> Verdict {
        let node = &self.nodes[seat.index()];
        let left_out = self.phase != Phase::Storm && !self.core.contains(seat.0);
        if node.process.is_some() || node.lost || node.off || left_out {
            return Ok(());
        }
        self.tally.faults.hit(Fault::Restart);
        self.start(seat)
    }

    /// An operator gives a node whose disk is empty a new life, which no configuration knows.
    pub(super) fn begin_new_life(&mut self, seat: Seat) -> Verdict {
        let node = &mut self.nodes[seat.index()];
        node.disk.create();
        node.incarnation = Incarnation(node.incarnation.0 + 1);
        self.tally.sometimes.hit(Sometimes::NewLife);
        self.start(seat)
    }
}
