//! The simulated cluster: one thread, one queue of events, true time that jumps from event to event.
//!
//! [`Cluster::run`] is a run. What happens at a node is in [`perform`], what clients do in [`requests`], what goes wrong
//! in [`strikes`], and the end, when a healed core must go on, in [`calm`].

mod calm;
pub(crate) mod event;
mod notes;
mod perform;
mod requests;
mod strikes;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use paxos::{Ballot, Input, Options, Replica, Slot, Time, Wake};
use quorum::NodeSet;

use crate::checker::{Verdict, ensure};
use crate::client::Client;
use crate::clock::{Clock, Moment};
use crate::coverage::{Fault, Sometimes, Tally};
use crate::disk::Disk;
use crate::linearizable::History;
use crate::linearizable::register::Register;
use crate::machine::Machine;
use crate::mutant::Mutant;
use crate::network::Network;
use crate::node::{Node, Process};
use crate::oracle::Oracle;
use crate::random::{Concern, Random};
use crate::schedule::Schedule;
use crate::seat::Seat;
use crate::swarm::{CLUSTER, Plan};
use crate::tables::DiskTables;
use crate::trace::Trace;

use event::{Event, Happening};

/// One random stream for each concern.
struct Streams {
    disk: Random,
    clock: Random,
    workload: Random,
    faults: Random,
    process: Random,
}

/// Everything in a run.
pub(crate) struct Cluster {
    plan: Plan,
    now: Moment,
    schedule: Schedule<Event>,
    network: Network,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    oracle: Oracle,
    random: Streams,
    /// Nothing goes wrong any more, and the random clients stop.
    is_calm: bool,
    /// The nodes that are to go on in the calm.
    core: NodeSet,
    /// What clients saw, in runs whose operations can be judged key by key.
    history: Option<History<Register>>,
    /// Operations begun.
    ops: u64,
    /// Operations that ended as done.
    done: u64,
    pub(crate) tally: Tally,
    pub(crate) trace: Trace,
}

/// What a run amounted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The fingerprint: equal for equal runs.
    pub hash: u64,
    /// Events that happened.
    pub events: u64,
    /// True time that passed in the simulation.
    pub simulated: Duration,
    /// Slots that were chosen.
    pub chosen: u64,
    /// Operations that clients began, and how many ended as done.
    pub ops: (u64, u64),
    /// The quorum system.
    pub system: String,
    /// What went wrong and what was seen.
    pub tally: Tally,
}

impl Cluster {
    /// The cluster of a plan, whose trace keeps lines from that event on.
    pub(crate) fn new(plan: Plan, lines_from: u64) -> Cluster {
        let stream = |concern| Random::new(plan.seed, concern);
        let tables = |plan: &Plan| match plan.mutant {
            Some(Mutant::ApplyTwice) => DiskTables::with_late_progress(),
            _ => DiskTables::default(),
        };
        let node = |_| Node {
            disk: Disk::new(plan.disk),
            tables: tables(&plan),
            flushed: Slot::ZERO,
            process: None,
            paused: false,
            waiting: VecDeque::new(),
            old_store: None,
        };
        Cluster {
            now: Moment::START,
            schedule: Schedule::new(),
            network: Network::new(plan.delays.clone(), plan.weather.clone(), stream(Concern::Network)),
            nodes: (0..plan.nodes()).map(node).collect(),
            clients: Vec::new(),
            oracle: Oracle::new(&plan),
            random: Streams {
                disk: stream(Concern::Disk),
                clock: stream(Concern::Clock),
                workload: stream(Concern::Workload),
                faults: stream(Concern::Faults),
                process: stream(Concern::Process),
            },
            is_calm: false,
            core: NodeSet::EMPTY,
            history: plan.load.mix.by_key().then(History::default),
            ops: 0,
            done: 0,
            tally: Tally::default(),
            trace: Trace::new(lines_from),
            plan,
        }
    }

    /// The whole run: a phase in which anything may go wrong, then a calm in which a core must go on.
    pub(crate) fn run(&mut self) -> Result<Summary, crate::checker::Violation> {
        for seat in Seat::all(self.plan.nodes()) {
            self.start(seat)?;
        }
        for client in 0..self.plan.load.clients {
            let seat = self.any_seat();
            self.clients.push(Client::wanderer(seat));
            self.think_later(client);
        }
        self.begin_strikes();
        while self.trace.events() < self.plan.events {
            self.next()?;
        }
        self.calm_down()?;
        Ok(Summary {
            hash: self.trace.hash(),
            events: self.trace.events(),
            simulated: self.now.since(Moment::START),
            chosen: self.oracle.ledger().chosen_prefix().0,
            ops: (self.ops, self.done),
            system: self.plan.system(),
            tally: self.tally.clone(),
        })
    }

    /// Lets the next event happen.
    fn next(&mut self) -> Verdict {
        let Some((at, event)) = self.schedule.pop() else {
            return self.oracle.judge(nothing_left());
        };
        assert!(at >= self.now, "the schedule goes back from {:?} to {at:?}", self.now);
        self.now = at;
        self.trace.event();
        self.trace.mix(at.0);
        match event {
            Event::At { seat, boot, what } => self.on_happening(seat, boot, what),
            Event::Think { client } => {
                self.think(client);
                Ok(())
            }
            Event::GiveUp { client, op, abandons } => self.give_up(client, op, abandons),
            Event::Strike(strike) => self.strike(strike),
            Event::Restart { seat } => self.restart(seat),
            Event::Resume { seat } => self.resume(seat),
            Event::Heal { links } => {
                self.heal(&links);
                Ok(())
            }
            Event::Quicken { seat } => {
                self.nodes[seat.index()].disk.slowness = 0;
                Ok(())
            }
        }
    }

    fn later(&mut self, span: Duration, event: Event) {
        self.schedule.push(self.now + span, event);
    }

    /// Something will happen to the process that runs at `seat` now, if it still lives then.
    fn later_at(&mut self, span: Duration, seat: Seat, what: Happening) {
        let boot = self.nodes[seat.index()].boot();
        self.later(span, Event::At { seat, boot, what });
    }

    fn any_seat(&mut self) -> Seat {
        Seat(self.random.workload.index(self.plan.nodes()) as u8)
    }

    /// The process at a seat, if one runs there.
    fn process(&mut self, seat: Seat) -> Option<&mut Process> {
        self.nodes[seat.index()].process.as_mut()
    }

    /// Whose disks hold the chosen value of a slot, in the journal or in the state.
    fn holders(&self) -> impl Fn(Slot) -> NodeSet + '_ {
        |slot| holders(&self.nodes, &self.oracle, slot)
    }

    // ---- processes ----

    /// Starts a process on what the disk holds.
    fn start(&mut self, seat: Seat) -> Verdict {
        let node = &self.nodes[seat.index()];
        let machine = Machine::open(node.tables.clone());
        let mut recovered = node.disk.recover(machine.applied());
        if recovered
            .log
            .iter()
            .any(|(slot, logged)| *slot > recovered.chosen && is_vote(logged))
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
        self.nodes[seat.index()].process = Some(Process {
            boot,
            replica,
            clock,
            machine,
            to_apply: VecDeque::new(),
            pending: BTreeMap::new(),
            wake: Moment(u64::MAX),
            deadline: (Time::NEVER, Wake::Never),
            idle_wakes: 0,
            doom: None,
            resumed: self.now,
            leads: None,
            prepares: false,
            has_applied: false,
        });
        let flush = self.random.disk.exponential(self.plan.tuning.flush);
        self.later_at(flush, seat, Happening::Flush);
        if self.plan.tuning.measures {
            self.later_at(self.plan.tuning.heartbeat_interval, seat, Happening::Measure);
        }
        self.drain(seat)
    }

    fn options(&self, seat: Seat, boot: u64) -> Options {
        let tuning = &self.plan.tuning;
        Options {
            cluster: CLUSTER,
            address: seat.address(),
            boot,
            genesis: self.plan.configuration.clone(),
            heartbeat_interval: tuning.heartbeat_interval,
            election_timeout: tuning.election_timeout,
            reluctance: if tuning.reluctant { u32::from(seat.0) } else { 0 },
            max_batch_bytes: tuning.max_batch_bytes,
            max_inflight_bytes: tuning.max_inflight_bytes,
            batch_interval: tuning.batch_interval,
            eager_slots: tuning.eager_slots,
            max_queued: tuning.max_queued,
            max_queued_bytes: tuning.max_queued.saturating_mul(tuning.max_batch_bytes),
            cache_bytes: tuning.cache_bytes,
            keep_slots: tuning.keep_slots,
            trim_step: tuning.trim_step,
            page_bytes: tuning.page_bytes,
        }
    }

    /// The process at a seat dies, and with it what was not synced, except what the disk has by chance.
    fn crash(&mut self, seat: Seat) -> Verdict {
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
        for job in &kept {
            self.harden(seat, job)?;
        }
        let node = &mut self.nodes[seat.index()];
        if let Some(old) = node.old_store.take() {
            node.disk.restore(old);
        }
        self.lose_requests(seat, &process, &waiting);
        Ok(())
    }

    /// Gives a process an input. What follows from it comes out in [`Cluster::drain`].
    fn step(&mut self, seat: Seat, input: Input) {
        let now = self.now;
        if let Some(process) = self.process(seat) {
            process.replica.step(process.clock.read(now), input);
        }
    }
}

fn is_vote(logged: &paxos::Logged) -> bool {
    matches!(logged, paxos::Logged::Voted(..))
}

fn nothing_left() -> Verdict {
    ensure!(false, Liveness, "nothing is left to happen");
    Ok(())
}

fn holders(nodes: &[Node], oracle: &Oracle, slot: Slot) -> NodeSet {
    let Some(value) = oracle.ledger().chosen(slot) else {
        return NodeSet::EMPTY;
    };
    Seat::all(nodes.len())
        .filter(|seat| {
            let node = &nodes[seat.index()];
            let logged = node.disk.store().log.at(slot);
            node.flushed >= slot || logged.is_some_and(|logged| crate::ledger::same(logged.value(), value))
        })
        .map(|seat| seat.0)
        .collect()
}
