//! The nodes on the stage: real replicas, and around each a disk, a state machine, a clock and clients that do nothing
//! unless a move says so.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use paxos::{
    Address, Ballot, CommandId, Envelope, Input, Message, Options, Outcome, Record, Recovered, Replica, RequestId,
    Slot, Standing, Time, Wake,
};
use quorum::{Configuration, Incarnation};

use super::actor::{Actor, Machine, Store};
use super::judge::Judge;
use super::moves::{Move, Turn};
use super::scene::Scene;
use super::story::{Line, Story};
use super::words;
use crate::checker::{Property, Violation};
use crate::mutant::Mutant;
use crate::seat::Seat;
use crate::swarm::CLUSTER;

/// Longer than any election timeout: after it nobody remembers having heard a leader.
const LONG: Duration = Duration::from_secs(10);
/// How long clients wait: longer than any scene.
const PATIENCE: Duration = Duration::from_secs(1_000_000);
/// Ticks after which a node that should lose patience does not.
const TICKS: usize = 40;

/// A scene while it is played.
pub(super) struct World {
    scene: Scene,
    configuration: Configuration,
    mutant: Option<Mutant>,
    actors: Vec<Actor>,
    /// Sent and not delivered: late or lost.
    pub(super) network: Vec<Envelope>,
    pub(super) judge: Judge,
    pub(super) story: Story,
    boots: u64,
    written: u8,
}

impl World {
    pub(super) fn new(scene: &Scene, mutant: Option<Mutant>, judged: Option<Property>) -> World {
        let configuration = scene.configuration();
        let nodes = configuration.members().len();
        let actor = |_| Actor {
            incarnation: Incarnation(1),
            replica: None,
            now: Time::ZERO,
            boot: 0,
            store: Store::default(),
            before: Store::default(),
            writes: VecDeque::new(),
            holds: false,
            to_apply: VecDeque::new(),
            asleep: false,
            machine: Machine::default(),
            flushed: Machine::default(),
            requests: BTreeMap::new(),
            last_request: 0,
            starts: 0,
        };
        let mut world = World {
            scene: scene.clone(),
            judge: Judge::new(configuration.clone(), judged, mutant == Some(Mutant::RepeatApplied)),
            configuration,
            mutant,
            actors: (0..nodes).map(actor).collect(),
            network: Vec::new(),
            story: Story {
                nodes: nodes as u8,
                lines: Vec::new(),
            },
            boots: 0,
            written: 0,
        };
        Seat::all(nodes).for_each(|seat| world.start(seat));
        world
    }

    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(super) fn seats(&self) -> impl Iterator<Item = Seat> + use<> {
        Seat::all(self.actors.len())
    }

    pub(super) fn actor(&mut self, seat: Seat) -> &mut Actor {
        &mut self.actors[seat.index()]
    }

    pub(super) fn runs(&self, seat: Seat) -> bool {
        self.actors[seat.index()].replica.is_some()
    }

    pub(super) fn standing(&self, seat: Seat) -> Option<Standing> {
        let replica = self.actors[seat.index()].replica.as_ref()?;
        Some(replica.status().standing)
    }

    pub(super) fn holds(&self, seat: Seat) -> bool {
        self.actors[seat.index()].holds
    }

    pub(super) fn sleeps(&self, seat: Seat) -> bool {
        self.actors[seat.index()].asleep
    }

    /// Does a move; false if there was nothing to do.
    pub(super) fn play(&mut self, step: &Move) -> bool {
        match step {
            Move::Stand(who, asked) => self.stand(who.0, asked.0),
            Move::Write(who) => self.write(who.0),
            Move::Read(who) => self.read(who.0),
            Move::Deliver { from, to, what, again } => match self.find(from.0, to.0, what) {
                Some(at) => self.deliver(at, *again),
                None => false,
            },
            Move::Turn(turn, who) => self.turn(*turn, who.0),
        }
    }

    /// The message that is meant: of that ballot and slot, or else the oldest of that kind.
    pub(super) fn find(&self, from: Seat, to: Seat, what: &str) -> Option<usize> {
        let kind = what.split(' ').next().unwrap_or_default();
        let on_link = |envelope: &Envelope| Seat::of(envelope.from.node) == from && Seat::of(envelope.to.node) == to;
        let matching = |exact: bool| {
            self.network.iter().position(|envelope| {
                let key = words::key(&envelope.message);
                on_link(envelope)
                    && if exact {
                        key == what
                    } else {
                        key.split(' ').next() == Some(kind)
                    }
            })
        };
        matching(true).or_else(|| matching(false))
    }

    pub(super) fn deliver(&mut self, at: usize, again: bool) -> bool {
        let envelope = if again {
            self.network[at].clone()
        } else {
            self.network.remove(at)
        };
        let (from, to) = (Seat::of(envelope.from.node), Seat::of(envelope.to.node));
        if !self.runs(to) {
            return false;
        }
        let text = words::message(&envelope.message);
        self.story.lines.push(Line::Arrow { from, to, text });
        self.step(to, Input::Receive(envelope));
        true
    }

    fn turn(&mut self, turn: Turn, seat: Seat) -> bool {
        let runs = self.runs(seat);
        let actor = self.actor(seat);
        let possible = match turn {
            Turn::Hold => runs && !actor.holds,
            Turn::Sync => runs && actor.holds,
            Turn::Stall => runs && !actor.asleep,
            Turn::Go => runs && actor.asleep,
            Turn::Crash | Turn::Wake => runs,
            Turn::Flush => runs && actor.flushed.applied < actor.machine.applied,
            Turn::Restart => !runs,
            Turn::Wipe => true,
        };
        if !possible {
            return false;
        }
        match turn {
            Turn::Hold => {
                actor.holds = true;
                self.note(seat, "has a slow disk: what it writes now is not durable yet");
            }
            Turn::Sync => {
                actor.holds = false;
                self.note(seat, "has a disk that has caught up");
                self.settle(seat);
            }
            Turn::Stall => {
                actor.asleep = true;
                self.note(seat, "applies nothing for a while");
            }
            Turn::Go => {
                actor.asleep = false;
                self.note(seat, "applies what waited");
                self.settle(seat);
            }
            Turn::Crash => self.crash(seat),
            Turn::Restart => self.start(seat),
            Turn::Wake => self.wake(seat),
            Turn::Flush => self.flush(seat),
            Turn::Wipe => self.wipe(seat),
        }
        true
    }

    pub(super) fn note(&mut self, seat: Seat, text: impl Into<String>) {
        self.story.note(seat, text.into());
    }

    // ---- lives ----

    fn start(&mut self, seat: Seat) {
        self.boots += 1;
        let boot = self.boots;
        let (forget_promise, forget_votes) = (self.is(Mutant::ForgetPromise), self.is(Mutant::ForgetVotes));
        let (genesis, scene) = (self.configuration.clone(), self.scene.clone());
        let actor = self.actor(seat);
        actor.boot = boot;
        actor.starts += 1;
        let again = actor.starts > 1;
        let incarnation = actor.incarnation;
        let store = &actor.store;
        let applied = actor.flushed.applied;
        let mut recovered = Recovered {
            promised: store.promised,
            chosen: store.chosen,
            applied,
            trimmed: store.trimmed,
            log_bytes: 0,
            log: store
                .log
                .range(applied.next()..)
                .map(|(slot, logged)| (*slot, logged.clone()))
                .collect(),
            configurations: store.configurations.clone(),
        };
        if forget_promise {
            recovered.promised = Ballot::ZERO;
        }
        if forget_votes {
            recovered.log.retain(|(slot, _)| *slot <= recovered.chosen);
        }
        let mut found: Vec<String> = Vec::new();
        if recovered.promised > Ballot::ZERO {
            found.push(format!("promised {}", words::ballot(recovered.promised)));
        }
        found.extend(recovered.log.iter().map(|(slot, logged)| words::logged(*slot, logged)));
        let options = Options {
            cluster: CLUSTER,
            address: Address {
                node: seat.node(),
                incarnation,
            },
            boot,
            genesis,
            introduced: None,
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_secs(1),
            reluctance: 0,
            lease: None,
            hand_back: None,
            max_batch_bytes: 1 << 10,
            max_inflight_bytes: 1 << 20,
            batch_interval: Duration::from_millis(1),
            eager_slots: 100,
            max_queued: 100,
            max_queued_bytes: 1 << 20,
            cache_bytes: scene.cache_bytes,
            keep_slots: 0,
            max_log_slots: u64::MAX,
            max_log_bytes: u64::MAX,
            trim_step: 1,
            page_bytes: scene.page_bytes,
        };
        actor.machine = actor.flushed.clone();
        let (machine, now) = (actor.machine.clone(), actor.now);
        actor.replica = Some(Replica::new(options, recovered, boot, now));
        if again {
            let found = words::list(&found);
            let found = found.replace("nobody", "nothing");
            self.note(seat, format!("starts again and finds on its disk: {found}"));
        }
        self.judge.on_state(seat, machine.applied, &machine.values);
        self.settle(seat);
    }

    fn crash(&mut self, seat: Seat) {
        let loses = self.is(Mutant::LoseSynced);
        let actor = self.actor(seat);
        actor.replica = None;
        let lost: Vec<String> = actor
            .writes
            .drain(..)
            .flat_map(|write| write.records)
            .filter_map(|record| match record {
                Record::Promised(ballot) => Some(format!("its promise of {}", words::ballot(ballot))),
                Record::Voted { slot, ballot, value } => Some(format!(
                    "its vote for {} at {} in slot {slot}",
                    words::value(&value),
                    words::ballot(ballot)
                )),
                Record::Learned { .. } | Record::Chosen(_) | Record::Configurations(_) => None,
            })
            .collect();
        actor.to_apply.clear();
        actor.requests.clear();
        (actor.holds, actor.asleep) = (false, false);
        if loses {
            actor.store = actor.before.clone();
        }
        let lost = match lost.as_slice() {
            [] => String::new(),
            lost => format!(", and {} is lost", words::list(lost)),
        };
        self.note(seat, format!("crashes{lost}"));
    }

    fn wipe(&mut self, seat: Seat) {
        let same = self.is(Mutant::Amnesia);
        let actor = self.actor(seat);
        (actor.store, actor.before) = (Store::default(), Store::default());
        (actor.machine, actor.flushed) = (Machine::default(), Machine::default());
        actor.writes.clear();
        actor.to_apply.clear();
        actor.requests.clear();
        (actor.holds, actor.asleep) = (false, false);
        actor.starts = 0;
        if same {
            self.note(
                seat,
                "loses its disk, and starts on an empty one as if it were the same",
            );
        } else {
            actor.incarnation.0 += 1;
            self.note(seat, "loses its disk, and starts on an empty one in a second life");
        }
        self.start(seat);
    }

    fn flush(&mut self, seat: Seat) {
        let (claims, twice) = (self.is(Mutant::ClaimFlushed), self.is(Mutant::ApplyTwice));
        let actor = self.actor(seat);
        let applied = actor.machine.applied;
        if !claims {
            actor.flushed = actor.machine.clone();
            if twice {
                actor.flushed.applied = Slot(applied.0 - 1);
            }
        }
        self.note(seat, format!("says that its state is durable up to slot {applied}"));
        self.step(seat, Input::Flushed(applied));
    }

    /// Time passes until there is something to do besides looking for requests that have expired.
    fn wake(&mut self, seat: Seat) {
        for _ in 0..TICKS {
            let actor = self.actor(seat);
            let Some((at, why)) = actor.replica.as_ref().map(Replica::deadline) else {
                return;
            };
            if why == Wake::Never {
                return;
            }
            actor.now = actor.now.max(at);
            self.step(seat, Input::Tick);
            if why != Wake::Expiry {
                return;
            }
        }
    }

    // ---- elections and clients ----

    /// Time passes everywhere; the node asks the others whether they miss the leader, and stands if they do.
    fn stand(&mut self, seat: Seat, asked: quorum::NodeSet) -> bool {
        if matches!(self.standing(seat), None | Some(Standing::Leading)) {
            return false;
        }
        let before = self
            .actor(seat)
            .replica
            .as_ref()
            .map(|replica| replica.status().promised);
        for other in self.seats() {
            let actor = self.actor(other);
            actor.now = actor.now + LONG;
        }
        let mark = self.network.len();
        for _ in 0..TICKS {
            let actor = self.actor(seat);
            let Some((at, why)) = actor.replica.as_ref().map(Replica::deadline) else {
                return false;
            };
            if why == Wake::Never {
                return false;
            }
            actor.now = actor.now.max(at);
            self.step(seat, Input::Tick);
            if why == Wake::Election && self.standing(seat) != Some(Standing::Follower) {
                break;
            }
        }
        self.canvass(seat, asked, mark);
        let after = self
            .actor(seat)
            .replica
            .as_ref()
            .map(|replica| replica.status().promised);
        after != before
    }

    /// The canvass goes round at once: no scene is about it.
    fn canvass(&mut self, seat: Seat, asked: quorum::NodeSet, mark: usize) {
        while let Some(at) = (mark.min(self.network.len())..self.network.len()).find(|at| {
            let envelope = &self.network[*at];
            matches!(envelope.message, Message::Canvass { .. } | Message::CanvassReply { .. })
        }) {
            let envelope = self.network.remove(at);
            let to = Seat::of(envelope.to.node);
            let other = if to == seat { Seat::of(envelope.from.node) } else { to };
            if asked.contains(other.0) && self.runs(to) {
                self.step(to, Input::Receive(envelope));
            }
        }
    }

    fn request(&mut self, seat: Seat, what: Result<String, Slot>) -> (RequestId, Time) {
        let actor = self.actor(seat);
        actor.last_request += 1;
        actor.requests.insert(actor.last_request, what);
        (RequestId(actor.last_request), actor.now + PATIENCE)
    }

    fn write(&mut self, seat: Seat) -> bool {
        if !self.runs(seat) {
            return false;
        }
        let letters = b"xyzuvwpqrst";
        let text = char::from(letters[usize::from(self.written) % letters.len()]).to_string();
        self.written += 1;
        self.note(seat, format!("is asked by a client to write {text}"));
        let payload = Bytes::from(text.clone().into_bytes());
        let (id, deadline) = self.request(seat, Ok(text));
        self.step(seat, Input::Propose { id, payload, deadline });
        true
    }

    fn read(&mut self, seat: Seat) -> bool {
        if !self.runs(seat) {
            return false;
        }
        let shown = self.judge.shown();
        self.note(seat, "is asked by a client to read");
        let (id, deadline) = self.request(seat, Err(shown));
        if self.is(Mutant::ReadLocally) {
            let applied = self.actor(seat).machine.applied;
            self.answer(seat, id, &Outcome::Read(applied));
        } else {
            self.step(seat, Input::Read { id, deadline });
        }
        true
    }

    pub(super) fn answer(&mut self, seat: Seat, id: RequestId, outcome: &Outcome) {
        let doubt_refused = self.is(Mutant::UnknownIsRefused);
        let actor = self.actor(seat);
        let boot = actor.boot;
        let Some(request) = actor.requests.remove(&id.0) else {
            return;
        };
        let command = CommandId {
            origin: seat.node(),
            boot,
            sequence: id.0,
        };
        match (request, outcome) {
            (Err(shown), Outcome::Read(slot)) => {
                let slot = self.actor(seat).machine.applied.min(*slot);
                self.note(seat, format!("lets its client read the state after slot {slot}"));
                self.judge.on_read(seat, shown, slot);
            }
            (Ok(text), Outcome::Unknown(_)) if !doubt_refused => {
                self.note(seat, format!("tells its client that {text} may or may not be done"));
            }
            (Ok(text), _) => {
                self.note(seat, format!("tells its client that {text} was refused"));
                self.judge.on_refused(command, &text);
            }
            (Err(_), _) => self.note(seat, "refuses the read"),
        }
    }

    /// Notes that a replica failed one of its own assertions, in which file, but not at which line: a story stays the same
    /// when something is written above it.
    pub(super) fn panicked(&mut self, words: &str) {
        let (place, words) = words.split_once(": ").unwrap_or((words, ""));
        let file = place.rsplitn(3, ':').last().unwrap_or(place);
        self.judge.broken(Property::NoPanic, format!("{file}: {words}"));
    }

    pub(super) fn violation(&self) -> Option<&Violation> {
        self.judge.violation.as_ref()
    }
}
