//! What follows from what: nodes, messages and pasts are kept once each, and what a node does with an input is computed
//! once. Most steps of an exploration are then a look into a table.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use paxos::{Ballot, Envelope, Message, Slot};
use quorum::Configuration;

use crate::checker::Violation;
use crate::coverage::Counts;
use crate::explorer::bounds::Bounds;
use crate::explorer::fingerprint::{ByPrint, Kept, Print, print};
use crate::explorer::judge::{Asked, Judge};
use crate::explorer::node::{Fact, Node};
use crate::explorer::reached::{self, Reach};
use crate::explorer::world::{Action, Budget, NODES, World};
use crate::run::caught;
use crate::seat::Seat;

/// What a node does with an input.
#[derive(Copy, Clone, Eq, PartialEq, Hash)]
enum Stimulus {
    Receive(u32),
    Sync,
    Stand([u32; NODES - 1]),
    Tick,
    Crash,
}

/// What a node becomes, and what is seen of it.
struct Turn {
    node: u32,
    facts: Vec<Fact>,
    /// Messages that are carried.
    sent: Vec<u32>,
}

/// What the exploration asks of a node often.
struct Standing {
    reign: Option<(Ballot, bool)>,
    promised: Ballot,
    chosen: Slot,
    is_behind: bool,
    has_writes: bool,
}

/// Everything that was met.
pub(super) struct Rules {
    pub(super) bounds: Bounds,
    pub(super) configuration: Configuration,
    next: Option<Configuration>,
    pub(super) nodes: Kept<Node>,
    standings: Vec<Standing>,
    pub(super) messages: Kept<Envelope>,
    pub(super) judges: Kept<Judge>,
    turns: HashMap<Print, Result<u32, Violation>, ByPrint>,
    kept_turns: Vec<Turn>,
    judged: HashMap<Print, Result<u32, Violation>, ByPrint>,
    /// How often each thing was seen, among the pairs of a past and what a node then did.
    pub(super) reached: Counts,
}

/// What a step leads to.
pub(super) enum Next {
    /// Nothing: the step was not possible.
    Nowhere,
    /// Another state.
    World(World),
    /// A violated property.
    Violated(Violation),
}

impl Rules {
    pub(super) fn new(bounds: &Bounds) -> Result<Rules, String> {
        Ok(Rules {
            configuration: bounds.configuration()?,
            next: bounds.next_configuration()?,
            bounds: bounds.clone(),
            nodes: Kept::default(),
            standings: Vec::new(),
            messages: Kept::default(),
            judges: Kept::default(),
            turns: HashMap::default(),
            kept_turns: Vec::new(),
            judged: HashMap::default(),
            reached: Counts::new(Reach::ALL.len()),
        })
    }

    /// Nodes that have just started on empty disks.
    pub(super) fn start(&mut self) -> World {
        let mut nodes = [u32::MAX; NODES];
        for seat in Seat::all(self.bounds.nodes) {
            nodes[seat.index()] = {
                let configurations = (&self.configuration, self.next.as_ref());
                self.keep(Node::new(seat, configurations, &self.bounds))
            };
        }
        let Bounds {
            ballots,
            crashes,
            duplicates,
            reminders,
            fetches,
            ..
        } = self.bounds;
        World {
            nodes,
            judge: self.judges.keep(Judge::new(self.bounds.nodes)),
            network: Vec::new(),
            budget: Budget {
                ballots,
                crashes,
                duplicates,
                reminders,
                fetches,
            },
        }
    }

    /// Everything that may happen in a state.
    pub(super) fn actions(&self, world: &World) -> Vec<Action> {
        let mut actions = Vec::new();
        let budget = world.budget;
        for (at, message) in world.network.iter().enumerate() {
            if at > 0 && world.network[at - 1] == *message {
                continue;
            }
            actions.push(Action::Deliver(*message));
            let envelope = &self.messages[*message];
            if budget.duplicates > 0 && envelope.from != envelope.to {
                actions.push(Action::Repeat(*message));
            }
        }
        for seat in Seat::all(self.bounds.nodes) {
            let standing = &self.standings[world.nodes[seat.index()] as usize];
            if standing.has_writes {
                actions.push(Action::Sync(seat));
            }
            let leads = matches!(standing.reign, Some((_, true)));
            if budget.ballots > 0 && seat.index() < self.bounds.proposers && !leads {
                let everybody = (1_u8 << self.bounds.nodes) - 1;
                let peers = everybody & !(1 << seat.index());
                actions.extend(
                    (1..=everybody)
                        .filter(|some| some & !peers == 0)
                        .map(|some| Action::Stand(seat, some)),
                );
            }
            if budget.reminders > 0 && leads {
                actions.push(Action::Remind(seat));
            }
            if budget.fetches > 0 && standing.is_behind && !leads {
                actions.push(Action::Fetch(seat));
            }
            if budget.crashes > 0 {
                actions.push(Action::Crash(seat));
            }
        }
        actions
    }

    /// The state after a step.
    pub(super) fn next(&mut self, world: &World, action: Action) -> Next {
        let mut after = world.clone();
        self.spend(&mut after, action);
        let (seat, stimulus) = self.stimulus(world, action);
        let turn = match self.turn(world.nodes[seat.index()], stimulus, self.is_safe(&after)) {
            Ok(turn) => turn,
            Err(violation) => return self.violated(violation),
        };
        if let Action::Stand(..) = action
            && self.standings[self.kept_turns[turn as usize].node as usize]
                .reign
                .is_none()
        {
            return Next::Nowhere;
        }
        if let Err(violation) = self.move_to(&mut after, seat, turn) {
            return self.violated(violation);
        }
        if matches!(action, Action::Crash(_)) && self.is_safe(&after) {
            // From now on nothing can be lost from a journal: what its writes hold back, the network can as well.
            for seat in Seat::all(self.bounds.nodes) {
                if self.standings[after.nodes[seat.index()] as usize].has_writes {
                    let flushed = match self.turn(after.nodes[seat.index()], Stimulus::Sync, true) {
                        Ok(flushed) => flushed,
                        Err(violation) => return self.violated(violation),
                    };
                    if let Err(violation) = self.move_to(&mut after, seat, flushed) {
                        return self.violated(violation);
                    }
                }
            }
        }
        if !self.bounds.plain {
            self.forget_dead(&mut after);
        }
        Next::World(after)
    }

    /// What the node that moves is given.
    fn stimulus(&self, world: &World, action: Action) -> (Seat, Stimulus) {
        match action {
            Action::Deliver(message) | Action::Repeat(message) => {
                (Seat::of(self.messages[message].to.node), Stimulus::Receive(message))
            }
            Action::Sync(seat) => (seat, Stimulus::Sync),
            Action::Stand(seat, peers) => {
                let mut asked = [u32::MAX; NODES - 1];
                let peers = Seat::all(self.bounds.nodes).filter(|peer| peers >> peer.0 & 1 == 1);
                for (place, peer) in asked.iter_mut().zip(peers) {
                    *place = world.nodes[peer.index()];
                }
                (seat, Stimulus::Stand(asked))
            }
            Action::Remind(seat) | Action::Fetch(seat) => (seat, Stimulus::Tick),
            Action::Crash(seat) => (seat, Stimulus::Crash),
        }
    }

    /// Takes from a state what a step uses up.
    fn spend(&self, world: &mut World, action: Action) {
        match action {
            Action::Deliver(message) => {
                let at = world.network.binary_search(&message).expect("it is on its way");
                world.network.remove(at);
            }
            Action::Repeat(_) => world.budget.duplicates -= 1,
            Action::Sync(_) => {}
            Action::Stand(..) => world.budget.ballots -= 1,
            Action::Remind(_) => world.budget.reminders -= 1,
            Action::Fetch(_) => world.budget.fetches -= 1,
            Action::Crash(seat) => {
                world.budget.crashes -= 1;
                // What a process has said to itself dies with it.
                world.network.retain(|message| {
                    let envelope = &self.messages[*message];
                    envelope.to != envelope.from || envelope.to != seat.address()
                });
            }
        }
    }

    /// What a step shows of the node that moves; nothing if it panics.
    pub(super) fn facts(&mut self, world: &World, action: Action) -> Vec<Fact> {
        let (seat, stimulus) = self.stimulus(world, action);
        let mut spent = world.clone();
        self.spend(&mut spent, action);
        let turn = self.turn(world.nodes[seat.index()], stimulus, self.is_safe(&spent));
        turn.map(|turn| self.kept_turns[turn as usize].facts.clone())
            .unwrap_or_default()
    }

    /// Whether no journal can lose anything any more.
    fn is_safe(&self, world: &World) -> bool {
        world.budget.crashes == 0 && !self.bounds.plain
    }

    fn violated(&self, violation: Violation) -> Next {
        // A step that ends in a panic is one that nobody takes, when only other properties are judged.
        match self.bounds.only {
            Some(only) if only != violation.property => Next::Nowhere,
            _ => Next::Violated(violation),
        }
    }

    fn move_to(&mut self, world: &mut World, seat: Seat, turn: u32) -> Result<(), Violation> {
        world.judge = self.judge(world.judge, seat, turn)?;
        let turn = &self.kept_turns[turn as usize];
        world.nodes[seat.index()] = turn.node;
        world.network.extend_from_slice(&turn.sent);
        world.network.sort_unstable();
        Ok(())
    }

    /// What a node does, computed once. `safe`: it crashes no more, so its writes complete at once.
    fn turn(&mut self, node: u32, stimulus: Stimulus, safe: bool) -> Result<u32, Violation> {
        let key = print(|into| (node, stimulus, safe).hash(into));
        if let Some(known) = self.turns.get(&key) {
            return known.clone();
        }
        let turn = self.compute(node, stimulus, safe);
        self.turns.insert(key, turn.clone());
        turn
    }

    fn compute(&mut self, node: u32, stimulus: Stimulus, safe: bool) -> Result<u32, Violation> {
        let (nodes, messages) = (&self.nodes, &self.messages);
        let (after, facts) = caught(|| {
            let mut after = nodes[node].clone();
            let mut facts = Vec::new();
            match stimulus {
                Stimulus::Receive(message) => after.receive(messages[message].clone(), &mut facts),
                Stimulus::Sync => after.sync(&mut facts),
                Stimulus::Stand(peers) => {
                    let peers: Vec<_> = peers
                        .into_iter()
                        .filter(|peer| *peer != u32::MAX)
                        .map(|peer| &nodes[peer])
                        .collect();
                    after.stand(&peers, &mut facts);
                }
                Stimulus::Tick => after.tick(&mut facts),
                Stimulus::Crash => after.crash(&mut facts),
            }
            while safe && after.has_writes() {
                after.sync(&mut facts);
            }
            (after, facts)
        })?;
        let carried = facts.iter().filter_map(|fact| match fact {
            Fact::Sent(envelope) if self.carries(&envelope.message) => Some(envelope.clone()),
            _ => None,
        });
        let carried: Vec<Envelope> = carried.collect();
        let sent = carried.into_iter().map(|envelope| {
            let name = print(|into| envelope.encode().hash(into));
            self.messages.number(name, envelope)
        });
        let sent = sent.collect();
        let node = self.keep(after);
        let number = u32::try_from(self.kept_turns.len()).expect("an exploration stops long before");
        self.kept_turns.push(Turn { node, facts, sent });
        Ok(number)
    }

    fn carries(&self, message: &Message) -> bool {
        match message {
            Message::Prepare { .. }
            | Message::Promise { .. }
            | Message::Accept { .. }
            | Message::Accepted { .. }
            | Message::Decided { .. }
            | Message::Commit { .. } => true,
            Message::Fetch { .. } | Message::Chosen { .. } | Message::Trimmed { .. } => self.bounds.fetches > 0,
            Message::Heartbeat { .. } | Message::HeartbeatAck { .. } | Message::Reject { .. } => self.bounds.courtesies,
            _ => false,
        }
    }

    /// Every way in which slots were chosen.
    pub(super) fn outcomes(&self) -> BTreeSet<String> {
        self.judges.all().map(|judge| format!("{:?}", judge.chosen())).collect()
    }

    fn keep(&mut self, node: Node) -> u32 {
        let print = node.print();
        let standing = Standing {
            reign: node.reign(),
            promised: node.promised(),
            chosen: node.chosen(),
            is_behind: node.is_behind(),
            has_writes: node.has_writes(),
        };
        let number = self.nodes.number(print, node);
        if number as usize == self.standings.len() {
            self.standings.push(standing);
        }
        number
    }

    /// The past after a turn, judged once.
    fn judge(&mut self, judge: u32, seat: Seat, turn: u32) -> Result<u32, Violation> {
        let facts = &self.kept_turns[turn as usize].facts;
        if facts.is_empty() {
            return Ok(judge);
        }
        let key = print(|into| (judge, turn).hash(into));
        if let Some(known) = self.judged.get(&key) {
            return known.clone();
        }
        let mut after = self.judges[judge].clone();
        let asked = Asked {
            first: &self.configuration,
            next: self.next.as_ref(),
        };
        let verdict = after.see(seat, facts, asked, self.bounds.only);
        reached::see(&mut self.reached, facts, asked, &self.judges[judge], &after);
        let verdict = verdict.map(|()| self.judges.keep(after));
        self.judged.insert(key, verdict.clone());
        verdict
    }

    /// Takes messages off the network that do nothing now and never will: replies to a ballot that their receiver has left
    /// for a higher one or can never stand for again, and requests of a ballot below what is durably promised. What they do
    /// now is tried, not assumed; that it stays so rests on used ballots not being begun again and promises growing, which are
    /// judged.
    fn forget_dead(&mut self, world: &mut World) {
        let mut network = std::mem::take(&mut world.network);
        network.retain(|message| !self.is_ignored_for_good(world, *message));
        world.network = network;
    }

    fn is_ignored_for_good(&mut self, world: &World, message: u32) -> bool {
        let envelope = &self.messages[message];
        let seat = Seat::of(envelope.to.node);
        let node = world.nodes[seat.index()];
        let standing = &self.standings[node as usize];
        let retired = world.budget.ballots == 0 || seat.index() >= self.bounds.proposers;
        let left = |ballot: Ballot, prepares: bool| match standing.reign {
            None => retired,
            Some((own, leads)) => ballot < own || (ballot == own && prepares && leads),
        };
        let dead = match &envelope.message {
            // R3: a leader may have use for a promise later.
            Message::Promise { ballot, .. } => left(*ballot, !self.bounds.change),
            Message::Accepted { ballot, slot } => left(*ballot, false) || *slot <= standing.chosen,
            Message::Prepare { ballot, .. } | Message::Accept { ballot, .. } => *ballot < standing.promised,
            _ => false,
        };
        if !dead {
            return false;
        }
        let turn = self.turn(node, Stimulus::Receive(message), self.is_safe(world));
        turn.is_ok_and(|turn| {
            let turn = &self.kept_turns[turn as usize];
            turn.node == node && turn.sent.is_empty()
        })
    }
}
