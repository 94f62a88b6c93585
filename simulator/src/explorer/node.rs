//! One node: the real replica, a disk, and a journal whose writes complete when the exploration says so.
//!
//! Every span in the replica's options is zero and its clock stands still. So each of its timers is due at any moment, and
//! whether one fires is for the exploration to choose; and no random number makes a difference.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use paxos::{
    Ballot, ClusterId, CommandId, Configurations, Entry, Envelope, Event, Input, Logged, Message, Options, Output,
    Record, Recovered, Replica, RequestId, Slot, Standing, Time, Waivers, Write,
};
use quorum::Configuration;

use crate::explorer::bounds::Bounds;
use crate::explorer::fingerprint::{Print, print};
use crate::seat::Seat;

/// The bytes of every command: what differs is whose it is.
pub(super) const PAYLOAD: &[u8] = b"x";

/// When everything happens. A process starts at zero, so that what it waits for before it has measured any round trip, and
/// found it to be nothing, is due.
const NOW: Time = Time(1_000_000_000);

/// What can be seen from outside when a node does something.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// A message left.
    Sent(Envelope),
    /// A record reached the disk.
    Durable(Record),
    /// An entry went to the state machine, which had everything below `.1`.
    Handed(Entry, Slot),
    /// A client gave a command.
    Given(CommandId),
    /// The replica says so.
    Noted(Event),
    /// It crashed, with so many records on their way to the disk.
    Crashed(usize),
}

/// What is durable.
#[derive(Clone, Hash, Default)]
struct Disk {
    promised: Ballot,
    chosen: Slot,
    log: BTreeMap<Slot, Logged>,
    configurations: Option<Configurations>,
}

impl Disk {
    fn take(&mut self, record: &Record) {
        match record {
            Record::Promised(ballot) => self.promised = *ballot,
            Record::Voted { slot, ballot, value } => {
                self.log.insert(*slot, Logged::Voted(*ballot, value.clone()));
            }
            Record::Learned { slot, value } => {
                self.log.insert(*slot, Logged::Learned(value.clone()));
            }
            Record::Chosen(slot) => self.chosen = *slot,
            Record::Configurations(configurations) => self.configurations = Some(configurations.clone()),
        }
    }
}

/// What stays the same for all processes of a node.
#[derive(Clone)]
struct Surroundings {
    slots: u64,
    /// Bytes of a page of a promise.
    page: usize,
    nodes: usize,
    configuration: Configuration,
    /// What it is asked for when it begins to lead.
    next: Option<Configuration>,
}

/// A node between two steps.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) seat: Seat,
    surroundings: Surroundings,
    replica: Replica,
    disk: Disk,
    /// Writes that are not durable yet, oldest first.
    journal: VecDeque<Write>,
    boot: u64,
    commands: u64,
    handed: Slot,
}

impl Node {
    /// A node that starts on an empty disk.
    pub(super) fn new(
        seat: Seat,
        (configuration, next): (&Configuration, Option<&Configuration>),
        bounds: &Bounds,
    ) -> Node {
        let surroundings = Surroundings {
            slots: bounds.slots,
            page: if bounds.pages { 1 } else { 1 << 20 },
            nodes: bounds.nodes,
            configuration: configuration.clone(),
            next: next.cloned(),
        };
        Node::start(seat, surroundings, (Disk::default(), 1), &mut Vec::new())
    }

    fn start(seat: Seat, surroundings: Surroundings, (disk, boot): (Disk, u64), facts: &mut Vec<Fact>) -> Node {
        let options = Options {
            cluster: ClusterId(1),
            address: seat.address(),
            boot,
            genesis: surroundings.configuration.clone(),
            introduced: None,
            heartbeat_interval: Duration::ZERO,
            election_timeout: Duration::ZERO,
            reluctance: 0,
            lease: None,
            hand_back: None,
            // One command to a slot.
            max_batch_bytes: 28 + PAYLOAD.len(),
            max_inflight_bytes: 1 << 20,
            batch_interval: Duration::ZERO,
            eager_slots: 1 << 10,
            max_queued: 1 << 10,
            max_queued_bytes: 1 << 20,
            cache_bytes: 1 << 20,
            keep_slots: 1 << 20,
            max_log_slots: u64::MAX,
            max_log_bytes: u64::MAX,
            trim_step: 1,
            page_bytes: surroundings.page,
        };
        // The state machine forgets everything in a crash, so the journal has all that was ever applied.
        let recovered = Recovered {
            promised: disk.promised,
            chosen: disk.chosen,
            log: disk.log.clone().into_iter().collect(),
            configurations: disk.configurations.clone(),
            ..Recovered::default()
        };
        let mut node = Node {
            seat,
            surroundings,
            replica: Replica::new(options, recovered, 0, Time::ZERO),
            disk,
            journal: VecDeque::new(),
            boot,
            commands: 0,
            handed: Slot::ZERO,
        };
        for peer in Seat::all(node.surroundings.nodes).filter(|peer| *peer != seat) {
            let (node_of, round_trip) = (peer.node(), Duration::ZERO);
            let input = Input::RoundTrip {
                node: node_of,
                round_trip,
            };
            node.step(input, facts);
        }
        node
    }

    /// The same for two nodes only if they do the same from now on.
    pub(super) fn print(&self) -> Print {
        print(|into| {
            self.replica.fingerprint(into);
            (&self.disk, self.boot, self.commands, self.handed).hash(into);
            for write in &self.journal {
                write.records.hash(into);
                for envelope in &write.then {
                    into.write(&envelope.encode());
                }
                into.write_u8(0);
            }
        })
    }

    /// The ballot under which it stands or leads, and whether it leads.
    pub(super) fn reign(&self) -> Option<(Ballot, bool)> {
        let status = self.replica.status();
        match status.standing {
            Standing::Preparing => Some((status.promised, false)),
            Standing::Leading => Some((status.promised, true)),
            Standing::Follower | Standing::Canvassing => None,
        }
    }

    /// The prefix that it says is chosen.
    pub(super) fn chosen(&self) -> Slot {
        self.replica.status().chosen
    }

    /// Whether it knows that it lacks chosen slots.
    pub(super) fn is_behind(&self) -> bool {
        let status = self.replica.status();
        status.known > status.chosen
    }

    /// What its disk has promised.
    pub(super) fn promised(&self) -> Ballot {
        self.disk.promised
    }

    pub(super) fn has_writes(&self) -> bool {
        !self.journal.is_empty()
    }

    /// A message arrives.
    pub(super) fn receive(&mut self, envelope: Envelope, facts: &mut Vec<Fact>) {
        self.step(Input::Receive(envelope), facts);
    }

    /// The oldest write completes: what it carries is durable, and what rests on it leaves (A3, A4).
    pub(super) fn sync(&mut self, facts: &mut Vec<Fact>) {
        let Some(write) = self.journal.pop_front() else { return };
        for record in write.records {
            self.disk.take(&record);
            facts.push(Fact::Durable(record));
        }
        facts.extend(write.then.into_iter().map(Fact::Sent));
        self.step(Input::Persisted(write.id), facts);
    }

    /// Its patience ends: it asks `peers` whether they miss a leader too, and stands if that is enough. A candidate gives
    /// up and stands again. Asking and being answered are one step here; what other peers would say is lost.
    pub(super) fn stand(&mut self, peers: &[&Node], facts: &mut Vec<Fact>) -> bool {
        for _ in 0..2 {
            let mut said = Vec::new();
            self.step(Input::Tick, &mut said);
            let mut canvass = Vec::new();
            for fact in said {
                match fact {
                    Fact::Sent(envelope) if matches!(envelope.message, Message::Canvass { .. }) => {
                        canvass.push(envelope)
                    }
                    Fact::Sent(envelope) if matches!(envelope.message, Message::Fetch { .. }) => {}
                    other => facts.push(other),
                }
            }
            for peer in peers {
                let asked = canvass.iter().find(|envelope| envelope.to == peer.seat.address());
                let mut answers = Vec::new();
                if let Some(envelope) = asked {
                    (*peer).clone().receive(envelope.clone(), &mut answers);
                }
                for answer in answers {
                    if let Fact::Sent(envelope) = answer {
                        self.step(Input::Receive(envelope), facts);
                    }
                }
            }
            if self.reign().is_some() {
                return true;
            }
        }
        false
    }

    /// A timer fires: a leader sends again, a node that is behind fetches.
    pub(super) fn tick(&mut self, facts: &mut Vec<Fact>) {
        self.step(Input::Tick, facts);
    }

    /// It crashes and starts again with what is durable.
    pub(super) fn crash(&mut self, facts: &mut Vec<Fact>) {
        facts.push(Fact::Crashed(
            self.journal.iter().map(|write| write.records.len()).sum(),
        ));
        let life = (self.disk.clone(), self.boot + 1);
        *self = Node::start(self.seat, self.surroundings.clone(), life, facts);
    }

    fn step(&mut self, input: Input, facts: &mut Vec<Fact>) {
        self.replica.step(NOW, input);
        if self.drain(facts) {
            self.ask_for_change(facts);
            // Its clients have waited for a leader: one command for every slot that is left.
            for _ in self.taken().0..self.surroundings.slots {
                let id = self.next_id();
                facts.push(Fact::Given(id));
                let input = Input::Propose {
                    id: RequestId(id.sequence),
                    payload: Bytes::from_static(PAYLOAD),
                    deadline: Time::NEVER,
                };
                self.replica.step(NOW, input);
            }
            self.drain(facts);
        }
    }

    /// Its operator has waited for a leader, too.
    fn ask_for_change(&mut self, facts: &mut Vec<Fact>) {
        let known = self.replica.status().configurations.newest().epoch();
        let next = self.surroundings.next.clone();
        let Some(configuration) = next.filter(|next| next.epoch() > known) else {
            return;
        };
        let id = self.next_id();
        facts.push(Fact::Given(id));
        let input = Input::Reconfigure {
            id: RequestId(id.sequence),
            configuration,
            waivers: Waivers {
                behind: true,
                one_disk: true,
                one_zone: true,
            },
            deadline: Time::NEVER,
        };
        self.replica.step(NOW, input);
        self.drain(facts);
    }

    fn next_id(&mut self) -> CommandId {
        self.commands += 1;
        CommandId {
            origin: self.seat.node(),
            boot: self.boot,
            sequence: self.commands,
        }
    }

    /// The last slot that is chosen, or holds a proposal of this reign.
    fn taken(&self) -> Slot {
        let ballot = self.replica.status().promised;
        let records = self.journal.iter().flat_map(|write| &write.records);
        let proposed = records.filter_map(|record| match record {
            Record::Voted { slot, ballot: of, .. } if *of == ballot => Some(*slot),
            _ => None,
        });
        proposed.fold(self.chosen(), Slot::max)
    }

    /// Performs what the replica says; whether a reign began.
    fn drain(&mut self, facts: &mut Vec<Fact>) -> bool {
        let mut leads = false;
        while let Some(output) = self.replica.next_output() {
            match output {
                Output::Write(write) => self.journal.push_back(write),
                Output::Send(envelope) => facts.push(Fact::Sent(envelope)),
                Output::Apply(entry) => {
                    let before = std::mem::replace(&mut self.handed, entry.slot);
                    facts.push(Fact::Handed(entry, before));
                }
                Output::Event(event) => {
                    leads |= matches!(event, Event::Leading(_));
                    facts.push(Fact::Noted(event));
                }
                // Clients believe nothing, and nothing is evicted or trimmed, so nobody needs a snapshot.
                Output::Answer(..)
                | Output::Load { .. }
                | Output::Trim(_)
                | Output::ReadSnapshot { .. }
                | Output::StageSnapshot { .. }
                | Output::InstallSnapshot { .. } => {}
            }
        }
        leads
    }
}
