//! The simulated cluster: one thread, one queue of events, true time that jumps from event to event.
//!
//! [`Cluster::run`] is a run. What happens at a node is in [`perform`], its messages in [`post`], its processes' starts and deaths in [`lives`], what
//! clients do in [`requests`], what goes wrong in [`strikes`], [`network`] and [`disks`], leases and hand-overs in [`tenure`], and the end, when a healed core
//! must go on, in [`calm`].

mod calm;
mod disks;
pub(crate) mod event;
mod lives;
mod network;
mod notes;
mod operator;
mod perform;
mod post;
mod requests;
pub(crate) mod snapshots;
mod strikes;
mod tenure;

use std::collections::VecDeque;
use std::time::Duration;

use paxos::{Address, Input, Slot};
use quorum::{Incarnation, NodeSet};

use crate::adversary::Adversary;
use crate::checker::{Verdict, ensure};
use crate::client::Client;
use crate::clock::Moment;
use crate::coverage::Tally;
use crate::disk::Disk;
use crate::ledger::same;
use crate::linearizable::History;
use crate::linearizable::register::Register;
use crate::mutant::Mutant;
use crate::network::Network;
use crate::node::{Node, Process};
use crate::oracle::Oracle;
use crate::random::{Concern, Random};
use crate::schedule::Schedule;
use crate::seat::Seat;
use crate::spec::SpecTrace;
use crate::swarm::Plan;
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

/// What a run goes through.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum Phase {
    /// Anything may go wrong.
    Storm,
    /// Nothing goes wrong any more, but only nodes without a phase-2 quorum run.
    Starved,
    /// Nothing goes wrong any more, and the random clients stop.
    Calm,
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
    adversary: Adversary,
    phase: Phase,
    /// After the storm, the nodes that run.
    core: NodeSet,
    /// What clients saw, in runs whose operations can be judged key by key.
    history: Option<History<Register>>,
    /// Operations begun.
    ops: u64,
    /// Operations that had begun when too few nodes were left.
    starved_from: u64,
    /// Operations that ended as done.
    done: u64,
    pub(crate) tally: Tally,
    pub(crate) trace: Trace,
    /// What is noted for the model, if it is wanted.
    pub(crate) spec: Option<SpecTrace>,
    /// What clients had seen, and since when, in runs whose clocks keep to a bound.
    seen: VecDeque<(Moment, Slot)>,
    /// Only for a mutant: when a process that wakes up read its clock last.
    read_early: Option<Moment>,
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
            frozen: Moment::START,
            incarnation: Incarnation(1),
            once_kept: Slot::ZERO,
            lost: false,
            off: false,
            incoming: None,
            crash_loop: 0,
            backup: None,
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
            adversary: Adversary::new(plan.seed, plan.omitted.clone()),
            phase: Phase::Storm,
            core: NodeSet::EMPTY,
            history: plan.load.mix.by_key().then(History::default),
            ops: 0,
            starved_from: 0,
            done: 0,
            tally: Tally::default(),
            trace: Trace::new(lines_from),
            spec: None,
            seen: VecDeque::new(),
            read_early: None,
            plan,
        }
    }

    /// The whole run: a phase in which anything may go wrong, then a calm in which a core must go on.
    pub(crate) fn run(&mut self) -> Result<Summary, crate::checker::Violation> {
        self.oracle.on_begin_run()?;
        for seat in Seat::all(self.plan.nodes()) {
            self.start(seat)?;
        }
        for client in 0..self.plan.load.clients {
            let seat = self.any_seat();
            self.clients.push(Client::wanderer(seat));
            self.think_later(client);
        }
        self.begin_strikes();
        while self.trace.events() < self.plan.events && !self.spec.as_ref().is_some_and(SpecTrace::is_full) {
            self.next()?;
        }
        self.starve()?;
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

    /// Notes something for the model, if that is wanted.
    fn for_spec(&mut self, note: impl FnOnce(&mut SpecTrace)) {
        if let Some(spec) = &mut self.spec {
            note(spec);
        }
    }

    /// How many strikes fell, or would have.
    pub(crate) fn strikes(&self) -> u64 {
        self.adversary.fallen()
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
            Event::Weather(change) => {
                self.change_weather(&change);
                Ok(())
            }
            Event::Quicken { seat } => {
                self.nodes[seat.index()].disk.slowness = 0;
                Ok(())
            }
            Event::MakeRoom { seat } => self.set_room(seat, true),
            Event::SwitchOff { seat } if self.nodes[seat.index()].off => self.crash(seat),
            Event::SwitchOff { .. } => Ok(()),
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

    /// What a node is called in the present life of its disk.
    fn address(&self, seat: Seat) -> Address {
        Address {
            incarnation: self.nodes[seat.index()].incarnation,
            ..seat.address()
        }
    }

    /// The nodes for which this holds.
    fn those(&self, which: impl Fn(&Node) -> bool) -> NodeSet {
        Seat::all(self.nodes.len())
            .filter(|seat| which(&self.nodes[seat.index()]))
            .map(|seat| seat.0)
            .collect()
    }

    /// Whose disks hold the chosen value of a slot, in the journal or in the state; or held it and are spoilt, which is within
    /// what the cluster is built to survive.
    fn holders(&self) -> impl Fn(Slot) -> NodeSet + '_ {
        |slot| holders(&self.nodes, &self.oracle, slot)
    }

    /// Gives a process an input. What follows from it comes out in [`Cluster::drain`].
    fn step(&mut self, seat: Seat, input: Input) {
        let now = self.now;
        if let (Some(spec), Input::Receive(envelope)) = (&mut self.spec, &input) {
            spec.on_receive(seat, Seat::of(envelope.from.node), &envelope.message);
        }
        let early = self.read_early.filter(|_| self.plan.is(Mutant::ClockReadEarly));
        if let Some(process) = self.process(seat) {
            process.replica.step(process.clock.read(early.unwrap_or(now)), input);
        }
    }
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
            let spoilt = || node.is_spoilt() && oracle.ledger().ever_voted(*seat, slot, value);
            node.flushed >= slot || logged.is_some_and(|logged| same(logged.value(), value)) || spoilt()
        })
        .map(|seat| seat.0)
        .collect()
}
