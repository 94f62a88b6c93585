//! Nodes with disks, clocks and clients, and the messages between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use paxos::{
    Address, Batch, ClusterId, CommandId, Configurations, Entry, Envelope, Event, Input, LeaseOptions, Logged, Options,
    Outcome, Output, Record, Recovered, Replica, RequestId, Slot, Time, Value, Waivers, Wake, Write,
};
use quorum::{Configuration, Epoch, Incarnation, Member, NodeId, Proposal, Role};

use super::judge::Judge;
use super::snapshots::Snapshots;
use super::words;

/// How long a client waits unless a test says otherwise.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);

/// Ticks without a pause after which a replica is found to spin.
const SPIN: usize = 50;

/// What is durable at a node.
#[derive(Debug, Default)]
pub struct Disk {
    found: Recovered,
    pub log: BTreeMap<Slot, Logged>,
}

/// What a client of a node waits for.
#[derive(Debug)]
struct Request {
    text: String,
    /// For a read: what had been reported done when it began.
    told: Option<Slot>,
}

/// A node: a replica with its surroundings.
#[derive(Debug)]
pub struct Node {
    pub address: Address,
    /// Nothing while it is crashed.
    pub replica: Option<Replica>,
    pub disk: Disk,
    pub now: Time,
    /// Writes that are not durable yet, while `holds` is set.
    writes: VecDeque<Write>,
    pub holds: bool,
    /// It was switched off for ever.
    pub gone: bool,
    /// A state machine that is asleep applies nothing.
    pub asleep: bool,
    to_apply: VecDeque<Entry>,
    pub applied: Slot,
    /// The configurations as of the applied slot, part of the state (C3).
    state: Configurations,
    /// What it was told of when it was added.
    introduced: Option<Configuration>,
    pub snapshots: Snapshots,
    starts: u64,
    requests: BTreeMap<u64, Request>,
    last_request: u64,
}

impl Node {
    fn boot(&self) -> u64 {
        self.address.node.0 * 1000 + self.starts
    }
}

/// The whole cluster.
#[derive(Debug)]
pub struct Cluster {
    pub configuration: Configuration,
    pub nodes: BTreeMap<u64, Node>,
    /// Sent and not delivered yet, oldest first.
    pub network: Vec<Envelope>,
    /// Held back by the test.
    pub delayed: Vec<Envelope>,
    /// The last of each kind on each link, so that it can be repeated.
    pub sent: Vec<Envelope>,
    /// Links that lose everything.
    pub cuts: BTreeSet<(u64, u64)>,
    pub judge: Judge,
    /// R6: these were said to be needed no more.
    pub dismissed: BTreeSet<Address>,
    /// What happened, a line each.
    pub trace: Vec<String>,
    pub seed: u64,
    /// The limit of every journal, in slots.
    max_log_slots: u64,
    /// What every node that is started from now on does about leases.
    pub lease: Option<LeaseOptions>,
    /// The same about handing over to less reluctant nodes; the reluctance of a node is its number less one then.
    pub hand_back: Option<Duration>,
}

impl Cluster {
    /// `size` nodes that have just been started on empty disks.
    pub fn new(size: u64, system: &str, alpha: u32, seed: u64, max_log_slots: u64) -> Cluster {
        let members = (1..=size)
            .map(|node| Member {
                node: NodeId(node),
                incarnation: Incarnation(1),
                name: format!("n{node}"),
                region: format!("r{node}"),
                zone: format!("z{node}"),
                address: format!("127.0.0.1:{}", 7000 + node),
                client_url: String::new(),
                role: Role::Voter,
            })
            .collect();
        let proposal = Proposal {
            epoch: Epoch(1),
            alpha,
            system: system.parse().expect("a quorum system"),
            members,
        };
        let configuration = Configuration::new(proposal).expect("a valid configuration");
        let mut cluster = Cluster {
            judge: Judge::new(configuration.clone()),
            configuration,
            nodes: BTreeMap::new(),
            network: Vec::new(),
            delayed: Vec::new(),
            sent: Vec::new(),
            cuts: BTreeSet::new(),
            dismissed: BTreeSet::new(),
            trace: Vec::new(),
            seed,
            max_log_slots,
            lease: None,
            hand_back: None,
        };
        for node in 1..=size {
            cluster.place(node, 1, None);
            cluster.start(node);
        }
        cluster
    }

    /// A node with an empty disk, which does not run yet. What was there before is gone.
    pub fn place(&mut self, node: u64, incarnation: u64, introduced: Option<Configuration>) {
        let address = Address {
            node: NodeId(node),
            incarnation: Incarnation(incarnation),
        };
        let before = self.nodes.get(&node);
        let placed = Node {
            address,
            replica: None,
            disk: Disk::default(),
            now: before.map_or(Time::ZERO, |before| before.now),
            writes: VecDeque::new(),
            holds: false,
            gone: false,
            asleep: false,
            to_apply: VecDeque::new(),
            applied: Slot::ZERO,
            state: Configurations::new(self.configuration.clone()),
            introduced,
            snapshots: Snapshots::default(),
            starts: before.map_or(0, |before| before.starts),
            requests: BTreeMap::new(),
            last_request: 0,
        };
        self.nodes.insert(node, placed);
    }

    /// The newest configuration with other members or another quorum system: `members` are nodes with the lives of their
    /// disks, and whether they vote.
    pub fn next_configuration(
        &self,
        newest: &Configuration,
        system: &str,
        members: &[(u64, u64, Role)],
    ) -> Option<Configuration> {
        let member = |(node, incarnation, role): &(u64, u64, Role)| Member {
            node: NodeId(*node),
            incarnation: Incarnation(*incarnation),
            name: format!("n{node}"),
            region: format!("r{node}"),
            zone: format!("z{node}"),
            address: format!("127.0.0.1:{}", 7000 + node),
            client_url: String::new(),
            role: *role,
        };
        let proposal = Proposal {
            epoch: Epoch(newest.epoch().0 + 1),
            alpha: newest.alpha() as u32,
            system: system.parse().ok()?,
            members: members.iter().map(member).collect(),
        };
        Configuration::new(proposal).ok()
    }

    /// An operator of a node wants another configuration.
    pub fn change(&mut self, name: u64, configuration: Configuration, waivers: Waivers) {
        let (id, deadline) = self.request(name, &format!("epoch {}", configuration.epoch()), None);
        self.step(
            name,
            Input::Reconfigure {
                id,
                configuration,
                waivers,
                deadline,
            },
        );
    }

    pub fn say(&mut self, line: String) {
        self.trace.push(line);
    }

    pub fn node(&mut self, node: u64) -> &mut Node {
        self.nodes
            .get_mut(&node)
            .unwrap_or_else(|| panic!("there is no node {node}"))
    }

    /// Starts a node from what its disk holds.
    pub fn start(&mut self, name: u64) {
        let (genesis, seed, max_log_slots) = (self.configuration.clone(), self.seed, self.max_log_slots);
        let (lease, hand_back) = (self.lease, self.hand_back);
        let reluctance = hand_back.map_or(0, |_| name as u32 - 1);
        let node = self.node(name);
        assert!(node.replica.is_none(), "node {name} runs already");
        node.starts += 1;
        let options = Options {
            cluster: ClusterId(1),
            address: node.address,
            boot: node.boot(),
            genesis,
            introduced: node.introduced.clone(),
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_secs(1),
            reluctance,
            lease,
            hand_back,
            max_batch_bytes: 1 << 20,
            max_inflight_bytes: 64 << 20,
            batch_interval: Duration::from_millis(1),
            eager_slots: 4,
            max_queued: 1000,
            max_queued_bytes: 16 << 20,
            cache_bytes: 1 << 20,
            keep_slots: 0,
            max_log_slots,
            max_log_bytes: 1 << 30,
            trim_step: max_log_slots.clamp(1, 4096),
            page_bytes: 1 << 20,
        };
        let (applied, trimmed) = (node.disk.found.applied, node.disk.found.trimmed);
        if let Some(slot) = node.snapshots.install(applied, trimmed) {
            node.disk.install(slot);
            let state = self.judge.as_of(slot);
            self.node(name).disk.know(state);
        }
        let node = self.node(name);
        let applied = node.disk.found.applied;
        let above = node.disk.log.range(applied.next()..);
        let log = above.map(|(slot, logged)| (*slot, logged.clone())).collect();
        let recovered = Recovered {
            log,
            ..node.disk.found.clone()
        };
        node.applied = applied;
        let state = self.judge.as_of(applied);
        let node = self.node(name);
        node.state = state;
        let seed = seed.wrapping_mul(1 << 16) + node.boot();
        node.replica = Some(Replica::new(options, recovered, seed, node.now));
        self.drain(name);
    }

    /// Stops a node at once: memory, unfinished writes and its clients' requests are gone.
    pub fn crash(&mut self, name: u64) {
        let node = self.node(name);
        node.replica = None;
        node.writes.clear();
        node.to_apply.clear();
        node.holds = false;
        node.requests.clear();
        node.snapshots.forget();
    }

    /// Gives a node an input, does what it says, and ticks it while it says that it is time.
    pub fn step(&mut self, name: u64, input: Input) {
        self.step_once(name, input);
        for _ in 0..SPIN {
            let node = self.node(name);
            let Some(replica) = &node.replica else { return };
            if replica.deadline().0 > node.now {
                return;
            }
            self.step_once(name, Input::Tick);
        }
        let wake = self.node(name).replica.as_ref().map(Replica::deadline);
        panic!("node {name} spins: it wants to be woken again and again without time passing ({wake:?})");
    }

    pub fn step_once(&mut self, name: u64, input: Input) {
        let node = self.node(name);
        let now = node.now;
        let Some(replica) = &mut node.replica else { return };
        replica.step(now, input);
        self.drain(name);
    }

    /// Does everything that a replica says, in order.
    fn drain(&mut self, name: u64) {
        let mut sends: Vec<Envelope> = Vec::new();
        loop {
            let output = self.node(name).replica.as_mut().and_then(Replica::next_output);
            match output {
                Some(Output::Send(envelope)) => {
                    sends.push(envelope);
                    continue;
                }
                other => {
                    self.send_all(name, std::mem::take(&mut sends));
                    match other {
                        Some(output) => self.obey(name, output),
                        None => break,
                    }
                }
            }
        }
        self.complete_writes(name);
        self.apply(name);
    }

    fn send_all(&mut self, name: u64, envelopes: Vec<Envelope>) {
        for line in words::envelopes(&envelopes) {
            self.say(format!("{name} sends {line}"));
        }
        for envelope in envelopes {
            self.post(envelope);
        }
    }

    /// Puts a message on its way.
    fn post(&mut self, envelope: Envelope) {
        let (from, to) = (envelope.from.node.0, envelope.to.node.0);
        // The codec stands between nodes, as it does on a wire.
        let envelope = Envelope::decode(envelope.encode()).expect("what is encoded decodes");
        let kind = words::kind(&envelope.message);
        self.sent
            .retain(|old| (old.from, old.to) != (envelope.from, envelope.to) || words::kind(&old.message) != kind);
        self.sent.push(envelope.clone());
        if !self.cuts.contains(&(from, to)) {
            self.network.push(envelope);
        }
    }

    fn obey(&mut self, name: u64, output: Output) {
        match output {
            Output::Send(_) => unreachable!("sends are gathered before"),
            Output::Write(write) => {
                self.say_write(name, &write);
                self.node(name).writes.push_back(write);
            }
            Output::Apply(entry) => self.node(name).to_apply.push_back(entry),
            Output::Answer(id, outcome) => self.answer(name, id, &outcome),
            Output::Load { peer, from, to, .. } => {
                self.say(format!("{name} reads s{from}..{to} from its journal for {}", peer.node));
                let log = &self.node(name).disk.log;
                let values = log.range(from..=to).map(|(_, logged)| logged.value().clone()).collect();
                self.step_once(name, Input::Loaded { peer, from, values });
            }
            Output::Trim(slot) => {
                self.say(format!("{name} trims up to {slot}"));
                let disk = &mut self.node(name).disk;
                disk.found.trimmed = slot;
                disk.log = disk.log.split_off(&slot.next());
            }
            Output::Event(Event::PhaseOne { .. } | Event::Rejected { .. }) => {}
            snapshot
            @ (Output::ReadSnapshot { .. } | Output::StageSnapshot { .. } | Output::InstallSnapshot { .. }) => {
                self.obey_snapshot(name, snapshot)
            }
            Output::Event(event) => {
                if let Event::ConfigurationRetired { left, .. } = &event {
                    self.dismissed.extend(left.iter().copied());
                }
                self.say(format!("{name} {}", words::event(&event)));
            }
        }
    }

    fn say_write(&mut self, name: u64, write: &Write) {
        let held = if self.node(name).holds {
            ", when its disk wakes"
        } else {
            ""
        };
        let records: Vec<String> = write.records.iter().map(words::record).collect();
        let then = words::envelopes(&write.then);
        let line = match (records.is_empty(), then.is_empty()) {
            (true, _) => format!("answers {}{held}", then.join(", ")),
            (false, true) => format!("writes {}{held}", records.join(", ")),
            (false, false) => format!("writes {}, then {}{held}", records.join(", "), then.join(", ")),
        };
        self.say(format!("{name} {line}"));
    }

    /// Finishes the writes of a node in order, unless its disk is held: records, then messages, then the news.
    pub fn complete_writes(&mut self, name: u64) {
        while !self.node(name).holds {
            let Some(write) = self.node(name).writes.pop_front() else {
                return;
            };
            let who = self.node(name).address;
            for record in write.records {
                if let Record::Voted { slot, ballot, value } = &record {
                    self.judge.vote(who, *slot, *ballot, value);
                }
                self.node(name).disk.keep(record);
            }
            let (own, others): (Vec<_>, Vec<_>) = write.then.into_iter().partition(|envelope| envelope.to == who);
            for envelope in others {
                self.post(envelope);
            }
            for envelope in own {
                self.step_once(name, Input::Receive(envelope));
            }
            self.step_once(name, Input::Persisted(write.id));
        }
    }

    /// Hands what is chosen to the state machine, unless it sleeps.
    pub fn apply(&mut self, name: u64) {
        while !self.node(name).asleep {
            let Some(Entry { slot, value }) = self.node(name).to_apply.pop_front() else {
                return;
            };
            let node = self.node(name);
            assert_eq!(slot, node.applied.next(), "node {name} applies out of order (C2)");
            node.applied = slot;
            let who = node.address;
            if let Value::Reconfigure(change) = &value {
                // Whether it takes effect is part of the state; both ways are good.
                let _ = node.state.take(slot, change);
                let state = node.state.clone();
                assert_eq!(
                    state,
                    self.judge.as_of(slot),
                    "{who:?} judges the change in slot {slot} (R2)"
                );
            }
            self.judge.apply(who, slot, &value);
            self.say(format!("{name} applies s{slot} {}", words::value(&value)));
            if let Value::Commands(batch) = &value {
                self.answer_done(name, slot, batch);
            }
            self.step_once(name, Input::Applied(slot));
        }
    }

    fn answer_done(&mut self, name: u64, slot: Slot, batch: &Batch) {
        let (me, boot) = (self.node(name).address.node, self.node(name).boot());
        for CommandId {
            origin,
            boot: of,
            sequence,
        } in batch.iter().map(|command| command.id)
        {
            if (origin, of) == (me, boot)
                && let Some(request) = self.node(name).requests.remove(&sequence)
            {
                self.judge.done(slot);
                self.say(format!("{name} tells its client: {} is done", request.text));
            }
        }
    }

    fn answer(&mut self, name: u64, id: RequestId, outcome: &Outcome) {
        let node = self.node(name);
        let command = CommandId {
            origin: node.address.node,
            boot: node.boot(),
            sequence: id.0,
        };
        let request = node.requests.remove(&id.0).expect("each request is answered once");
        match (request.told, outcome) {
            (Some(told), outcome) => self.judge.read(told, outcome),
            (None, Outcome::Refused(_)) => self.judge.refused(command),
            (None, _) => {}
        }
        self.say(format!(
            "{name} tells its client: {}: {}",
            request.text,
            words::outcome(outcome)
        ));
    }

    /// A client of a node wants a command done.
    pub fn propose(&mut self, name: u64, text: &str, payload: Bytes) {
        let (id, deadline) = self.request(name, text, None);
        self.step(name, Input::Propose { id, payload, deadline });
    }

    /// A client of a node wants to read.
    pub fn read(&mut self, name: u64) {
        let told = self.judge.told();
        let (id, deadline) = self.request(name, "", Some(told));
        self.step(name, Input::Read { id, deadline });
    }

    fn request(&mut self, name: u64, text: &str, told: Option<Slot>) -> (RequestId, Time) {
        let node = self.node(name);
        node.last_request += 1;
        let text = match told {
            None => text.to_string(),
            Some(_) => "read".to_string(),
        };
        node.requests.insert(node.last_request, Request { text, told });
        (RequestId(node.last_request), node.now + CLIENT_PATIENCE)
    }

    /// How many requests of running nodes' clients wait for an answer.
    pub fn unanswered(&self) -> usize {
        self.nodes.values().map(|node| node.requests.len()).sum()
    }

    /// Lets the state machine of a node make durable what it has applied.
    pub fn flush(&mut self, name: u64) {
        let node = self.node(name);
        let applied = node.applied;
        if node.replica.is_some() {
            node.disk.found.applied = applied;
            let state = node.state.clone();
            node.disk.know(state);
            self.step(name, Input::Flushed(applied));
        }
    }

    /// Delivers one message.
    pub fn hand(&mut self, envelope: Envelope) {
        // A message for an earlier life of a disk arrives where the next one is (A8).
        if self.nodes.contains_key(&envelope.to.node.0) {
            self.step(envelope.to.node.0, Input::Receive(envelope));
        }
    }

    /// Lets time pass at a node, and wakes it if it asked for that.
    pub fn pass(&mut self, name: u64, span: Duration) {
        let node = self.node(name);
        node.now = node.now + span;
        if node
            .replica
            .as_ref()
            .is_some_and(|replica| replica.deadline().0 <= node.now)
        {
            self.step(name, Input::Tick);
        }
    }

    /// Lets time pass at a node until it does something about leadership.
    pub fn pass_until_election(&mut self, name: u64) {
        for _ in 0..1000 {
            let node = self.node(name);
            let Some(replica) = &node.replica else { return };
            let (at, wake) = replica.deadline();
            assert!(wake != Wake::Never, "node {name} waits for nothing");
            node.now = node.now.max(at);
            self.step(name, Input::Tick);
            if wake == Wake::Election {
                return;
            }
        }
        panic!("node {name} never does anything about leadership");
    }
}

impl Disk {
    fn keep(&mut self, record: Record) {
        match record {
            Record::Promised(ballot) => {
                assert!(ballot > self.found.promised, "a promise is lowered to {ballot}");
                self.found.promised = ballot;
            }
            Record::Voted { slot, ballot, value } => {
                assert!(ballot >= self.found.promised, "a vote in {ballot} is below the promise");
                assert!(
                    slot > self.found.chosen,
                    "a vote in slot {slot} replaces what is chosen"
                );
                self.log.insert(slot, Logged::Voted(ballot, value));
            }
            Record::Learned { slot, value } => {
                assert!(slot > self.found.chosen, "slot {slot} is learned though it is known");
                self.log.insert(slot, Logged::Learned(value));
            }
            Record::Chosen(slot) => {
                assert!(slot > self.found.chosen, "the chosen prefix shrinks to {slot}");
                self.found.chosen = slot;
            }
            Record::Configurations(configurations) => self.found.configurations = Some(configurations),
        }
    }

    /// What a state knows of the configurations outlasts it as well.
    fn know(&mut self, state: Configurations) {
        let known = self.found.configurations.take();
        self.found.configurations = Some(known.map_or(state.clone(), |known| known.newer(state)));
    }

    /// A7: the state is as of `slot` now. Entries up to there are not needed any more; the promise and the votes above stay.
    fn install(&mut self, slot: Slot) {
        self.found.applied = slot;
        self.found.trimmed = self.found.trimmed.max(slot);
        self.found.chosen = self.found.chosen.max(slot);
        self.log = self.log.split_off(&slot.next());
    }

    /// The state machine is lost, and the journal is not.
    pub fn lose_state(&mut self) {
        self.found.applied = Slot::ZERO;
    }

    pub fn promised(&self) -> paxos::Ballot {
        self.found.promised
    }

    pub fn chosen(&self) -> Slot {
        self.found.chosen
    }
}
