//! The child: a node that is alone in its cluster, driven as a node drives its parts. It says on its standard output what
//! it does, a line each, and never ends by itself.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use paxos::{
    Address, Ballot, ClusterId, Entry, Input, Message, Options, Output, Record, Replica, RequestId, Slot, Standing,
    Time, Value,
};
use prometheus::Registry;
use quorum::{Configuration, Epoch, Incarnation, Member, NodeId, Proposal, Role};
use storage::journal::{Hooks, Identity, JournalSettings};
use storage::machine::{Command, Machine, Put, Range, Reader};
use storage::snapshot::{Origin, RocksSink, RocksSinkOptions, SnapshotError, Source, Staging, installed};
use storage::step::{self, Step};
use storage::tables::{RocksTables, StateSettings};
use storage::{Found, Store, StoreSettings};

/// Where the child keeps its data; without it the child does nothing.
pub(crate) const FOLDER: &str = "SYNOD_TEST_CRASH_FOLDER";
/// A number that no other child of the run has.
pub(crate) const BOOT: &str = "SYNOD_TEST_CRASH_BOOT";
/// At which step the child dies, and at which of its occasions: `Commit 17`.
pub(crate) const STEP: &str = "SYNOD_TEST_CRASH_STEP";

/// Whether the child builds a copy of its state, which the next start installs: something.
pub(crate) const STAGE: &str = "SYNOD_TEST_CRASH_STAGE";

/// How many slots are applied before a copy of the state is built.
const BEFORE_STAGING: u64 = 200;
/// How many keys there are.
const KEYS: u64 = 200;
/// Puts in flight.
const WINDOW: usize = 64;
const ME: Address = Address {
    node: NodeId(1),
    incarnation: Incarnation(1),
};

fn identity() -> Identity {
    Identity {
        cluster: "crash".to_owned(),
        cluster_id: ClusterId(0xc4a5),
        node: ME.node,
        incarnation: ME.incarnation,
    }
}

fn genesis() -> Configuration {
    Configuration::new(Proposal {
        epoch: Epoch(1),
        alpha: 1024,
        system: "majority".parse().expect("a quorum system"),
        members: vec![Member {
            node: ME.node,
            incarnation: ME.incarnation,
            name: "n1".to_owned(),
            region: "r1".to_owned(),
            zone: "z1".to_owned(),
            address: "127.0.0.1:7001".to_owned(),
            client_url: String::new(),
            role: Role::Voter,
        }],
    })
    .expect("a valid configuration")
}

/// One command to a slot, so that there are many slots, and short times.
fn options(boot: u64) -> Options {
    Options {
        cluster: ClusterId(0xc4a5),
        address: ME,
        boot,
        genesis: genesis(),
        introduced: None,
        heartbeat_interval: Duration::from_millis(20),
        election_timeout: Duration::from_millis(10),
        reluctance: 0,
        lease: None,
        hand_back: None,
        max_batch_bytes: 96,
        max_inflight_bytes: 1 << 20,
        batch_interval: Duration::ZERO,
        eager_slots: 1024,
        max_queued: 1024,
        max_queued_bytes: 1 << 20,
        cache_bytes: 1 << 20,
        keep_slots: 100,
        max_log_bytes: 1 << 30,
        max_log_slots: 1 << 30,
        trim_step: 64,
        page_bytes: 1 << 20,
    }
}

fn settings() -> StoreSettings {
    StoreSettings {
        journal: JournalSettings {
            memtable_bytes: 1 << 20,
            ..JournalSettings::default()
        },
        state: StateSettings {
            memtable_bytes: 1 << 20,
            ..StateSettings::default()
        },
        ..StoreSettings::default()
    }
}

/// One write to the pipe: what is killed in the middle of it has said it or not.
fn say(lines: &str) {
    let mut out = std::io::stdout().lock();
    // A parent that is gone has heard enough.
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
}

static DEADLY: OnceLock<(Step, AtomicI64)> = OnceLock::new();

/// Ends the process with nothing unwound or flushed, like a kill.
fn die_at_step(step: Step) {
    if let Some((deadly, occasions)) = DEADLY.get()
        && *deadly == step
        && occasions.fetch_sub(1, Ordering::Relaxed) <= 1
    {
        std::process::abort();
    }
}

/// Says why, and ends.
fn give_up(what: &str) -> ! {
    say(&format!("\nended {what}\n"));
    std::process::exit(3)
}

pub(crate) fn run_if_told() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let boot = std::env::var(BOOT).expect("a boot").parse().expect("a number");
    if let Ok(text) = std::env::var(STEP) {
        let (name, occasion) = text.split_once(' ').expect("a step and its occasion");
        let found = Step::ALL.into_iter().find(|step| format!("{step:?}") == name);
        let occasion = AtomicI64::new(occasion.parse().expect("a number"));
        let _ = DEADLY.set((found.expect("a step"), occasion));
        step::watch(die_at_step);
    }
    Lone::open(&PathBuf::from(folder), boot).run();
}

type Votes = Arc<Mutex<HashMap<(Ballot, Slot), u64>>>;

/// A hash of a value, the same in all processes.
fn fingerprint(value: &Value) -> u64 {
    let text = format!("{value:?}");
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The journal's hooks: what it says becomes inputs, and lines.
fn hooks(votes: Votes, inputs: SyncSender<Input>) -> Hooks {
    let persisted = inputs.clone();
    Hooks {
        release: Box::new(move |envelopes| {
            let mut lines = String::new();
            let mut known = votes.lock().expect("no other thread panicked");
            for envelope in &envelopes {
                let _ = match envelope.message {
                    Message::Accepted { ballot, slot } => {
                        let hash = known.remove(&(ballot, slot)).expect("it was written");
                        writeln!(lines, "vote {} {slot} {hash}", ballot.round)
                    }
                    Message::Promise { ballot, .. } => writeln!(lines, "promise {}", ballot.round),
                    _ => Ok(()),
                };
            }
            drop(known);
            say(&lines);
            for envelope in envelopes {
                let _ = inputs.send(Input::Receive(envelope));
            }
        }),
        persisted: Box::new(move |write| drop(persisted.send(Input::Persisted(write)))),
        failed: Box::new(|error| give_up(&error.to_string())),
    }
}

/// The thread that applies, as the node's applier does.
fn apply(
    mut machine: Machine<RocksTables>,
    boot: u64,
    entries: &Receiver<Entry>,
    inputs: &SyncSender<Input>,
    in_flight: &AtomicUsize,
) {
    while let Ok(first) = entries.recv() {
        let mut batch = vec![first];
        batch.extend(entries.try_iter().take(63));
        let mut lines = String::new();
        let applied = machine.apply(
            &batch,
            |id| id.boot == boot,
            |id, applied| {
                applied.result.as_ref().expect("a plain put");
                let _ = writeln!(lines, "ack {}", id.sequence);
                in_flight.fetch_sub(1, Ordering::Relaxed);
            },
        );
        if let Err(error) = applied {
            give_up(&error.to_string());
        }
        let progress = machine.progress();
        let _ = writeln!(lines, "applied {} {}", progress.applied, progress.digest);
        say(&lines);
        let _ = inputs.send(Input::Applied(progress.applied));
    }
}

/// Builds a copy of the state beside it, as if a peer had sent it. Nothing is flushed from `frozen` on, so that the present
/// state, as a crash leaves it, is older.
fn stage(reader: &Reader<RocksTables>, folder: &Path, found: Slot, frozen: &AtomicBool) {
    while reader.applied().0 < found.0 + BEFORE_STAGING {
        thread::sleep(Duration::from_millis(1));
    }
    frozen.store(true, Ordering::SeqCst);
    let staged = copy(reader, folder).unwrap_or_else(|error| give_up(&error.to_string()));
    say(&format!("staged {staged}\n"));
}

fn copy(reader: &Reader<RocksTables>, folder: &Path) -> Result<Slot, SnapshotError> {
    let cluster = ClusterId(0xc4a5);
    let origin = Origin {
        cluster: "crash".to_owned(),
        cluster_id: cluster,
        epoch: Epoch(1),
    };
    let mut source = Source::new(reader.freeze(), origin, reader.rows(), 64 << 10)?;
    let options = RocksSinkOptions::new(settings().state);
    let sink = RocksSink::begin(folder, &identity(), &options)?;
    let mut staging = Staging::new(cluster, source.header().progress.applied, sink);
    let mut number = 0;
    while let Some(piece) = source.piece(number)? {
        staging.take(&piece.payload)?;
        number += 1;
    }
    staging.finish().map(|(slot, _)| slot)
}

struct Lone {
    journal: storage::journal::Journal,
    replica: Replica,
    boot: u64,
    begun: Instant,
    inputs: Receiver<Input>,
    entries: SyncSender<Entry>,
    reader: Reader<RocksTables>,
    votes: Votes,
    /// The last slot that was found: until it is applied, the past is being repeated.
    found: Slot,
    last_request: u64,
    /// Puts that are not answered.
    in_flight: Arc<AtomicUsize>,
}

impl Lone {
    fn open(folder: &Path, boot: u64) -> Lone {
        let folder = &folder.join("store");
        if Store::found(folder) != Found::Something {
            Store::create(folder, &identity()).unwrap_or_else(|error| give_up(&error.to_string()));
        }
        let votes = Votes::default();
        let (sender, inputs) = sync_channel(1 << 16);
        let hooks = hooks(Arc::clone(&votes), sender.clone());
        let store = Store::open(folder, &identity(), settings(), hooks, &Registry::new());
        let store = store.unwrap_or_else(|error| give_up(&format!("refused: {error}")));
        let recovered = store.recovered;
        let found = recovered.log.last().map_or(recovered.applied, |(slot, _)| *slot);
        let from_peer = installed(store.machine.tables()).unwrap_or_else(|error| give_up(&error.to_string()));
        say(&format!(
            "\nopen {} {} {}\ninstalled {from_peer}\n",
            recovered.promised.round, recovered.applied, found
        ));
        let (entries, to_apply) = sync_channel(1 << 16);
        let (reader, flusher) = (store.machine.reader(), store.machine.flusher());
        let (machine, applied) = (store.machine, sender.clone());
        let in_flight = Arc::new(AtomicUsize::new(0));
        let answered = Arc::clone(&in_flight);
        thread::spawn(move || apply(machine, boot, &to_apply, &applied, &answered));
        let frozen = Arc::new(AtomicBool::new(false));
        if std::env::var_os(STAGE).is_some() {
            let (reader, folder, frozen) = (reader.clone(), folder.clone(), Arc::clone(&frozen));
            thread::spawn(move || stage(&reader, &folder, found, &frozen));
        }
        thread::spawn(move || {
            while !frozen.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(25));
                let slot = flusher.flush().unwrap_or_else(|error| give_up(&error.to_string()));
                say(&format!("flushed {slot}\n"));
                let _ = sender.send(Input::Flushed(slot));
            }
        });
        Lone {
            journal: store.journal,
            replica: Replica::new(options(boot), recovered, boot, Time(0)),
            boot,
            begun: Instant::now(),
            inputs,
            entries,
            reader,
            votes,
            found,
            last_request: 0,
            in_flight,
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.begun.elapsed().as_nanos()).expect("it was not long ago"))
    }

    fn run(mut self) {
        let mut told = false;
        loop {
            self.drain();
            let status = self.replica.status();
            if !told && status.standing == Standing::Leading && status.applied >= self.found {
                self.tell_all();
                told = true;
            }
            if told {
                self.put();
                self.drain();
            }
            let now = self.now();
            let wait = self.replica.deadline().0.0.saturating_sub(now.0).min(5_000_000);
            match self.inputs.recv_timeout(Duration::from_nanos(wait)) {
                Ok(input) => self.replica.step(self.now(), input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => give_up("a thread is gone"),
            }
            while let Ok(input) = self.inputs.try_recv() {
                self.replica.step(self.now(), input);
            }
            if self.replica.deadline().0 <= self.now() {
                self.replica.step(self.now(), Input::Tick);
            }
        }
    }

    /// New puts, as many as are in flight.
    fn put(&mut self) {
        let mut lines = String::new();
        let mut proposals = Vec::new();
        while self.in_flight.load(Ordering::Relaxed) < WINDOW {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            self.last_request += 1;
            let (request, key) = (self.last_request, (self.last_request * 7919 + self.boot) % KEYS);
            let value = format!("{}.{request}", self.boot);
            let _ = writeln!(lines, "put {request} {key} {value}");
            let put = Put {
                key: format!("k{key}").into(),
                value: value.into(),
                ..Put::default()
            };
            proposals.push((RequestId(request), Command::Put(put).encode()));
        }
        say(&lines);
        let now = self.now();
        for (id, payload) in proposals {
            let deadline = Time(now.0 + 60_000_000_000);
            self.replica.step(now, Input::Propose { id, payload, deadline });
        }
    }

    fn drain(&mut self) {
        let mut writes = Vec::new();
        while let Some(output) = self.replica.next_output() {
            match output {
                Output::Write(write) => {
                    let mut votes = self.votes.lock().expect("no other thread panicked");
                    for record in &write.records {
                        if let Record::Voted { slot, ballot, value } = record {
                            votes.insert((*ballot, *slot), fingerprint(value));
                        }
                    }
                    drop(votes);
                    writes.push(write);
                }
                Output::Apply(entry) => drop(self.entries.send(entry)),
                Output::Trim(slot) => self.journal.trim(slot),
                Output::Answer(id, outcome) => give_up(&format!("request {} was answered with {outcome:?}", id.0)),
                _ => {}
            }
        }
        if !writes.is_empty() {
            // A journal that failed says so itself.
            let _ = self.journal.submit(writes);
        }
    }

    /// Everything that is there, once the past is repeated.
    fn tell_all(&self) {
        let range = Range {
            key: "k".into(),
            range_end: "l".into(),
            ..Range::default()
        };
        let (reply, _) = self
            .reader
            .range(&range)
            .unwrap_or_else(|error| give_up(&error.to_string()));
        let mut lines = String::new();
        for kv in reply.kvs {
            let (key, value) = (
                String::from_utf8_lossy(&kv.key[1..]),
                String::from_utf8_lossy(&kv.value),
            );
            let _ = writeln!(lines, "kv {key} {value}");
        }
        lines.push_str("told\n");
        say(&lines);
    }
}
