//! A node's journal: writes queue up, are synced in groups first in first out (A4), and those that were not synced may be
//! lost in a crash.
//!
//! The crash falls between two writes: whatever the disk had of them, a torn last one included, the journal's recovery keeps
//! a prefix of whole writes, because each is one checksummed batch. What decays is noticed by its checksum when it is
//! read, and a journal that cannot show itself to be whole is not opened (A6); how is what `storage::journal` does.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use paxos::{Ballot, Configurations, Envelope, Logged, Record, Recovered, Slot, Value, Write};

use crate::random::Random;
use crate::slots::Slots;

/// What is durable.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) promised: Ballot,
    pub(crate) chosen: Slot,
    pub(crate) trimmed: Slot,
    pub(crate) log: Slots<Logged>,
    pub(crate) configurations: Option<Configurations>,
    /// Entries whose bytes are no longer what was written.
    rotten: BTreeSet<Slot>,
    /// Something that every start reads is no longer what was written.
    broken: bool,
    /// There is no journal any more.
    gone: bool,
}

impl Store {
    pub(crate) fn empty() -> Store {
        Store {
            promised: Ballot::ZERO,
            chosen: Slot::ZERO,
            trimmed: Slot::ZERO,
            log: Slots::new(),
            configurations: None,
            rotten: BTreeSet::new(),
            broken: false,
            gone: false,
        }
    }

    fn put(&mut self, record: &Record) {
        match record {
            Record::Promised(ballot) => self.promised = *ballot,
            Record::Voted { slot, ballot, value } => self.enter(*slot, Logged::Voted(*ballot, value.clone())),
            Record::Learned { slot, value } => self.enter(*slot, Logged::Learned(value.clone())),
            Record::Chosen(slot) => self.chosen = *slot,
            Record::Configurations(configurations) => self.configurations = Some(configurations.clone()),
        }
    }

    fn enter(&mut self, slot: Slot, logged: Logged) {
        self.rotten.remove(&slot);
        self.log.put(slot, logged);
    }

    /// The entry of a slot, if its checksum is right.
    fn read(&self, slot: Slot) -> Result<Option<&Logged>, Slot> {
        if self.rotten.contains(&slot) {
            return Err(slot);
        }
        Ok(self.log.at(slot))
    }
}

/// Something that waits for the disk.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    Write(Write),
    Trim(Slot),
}

/// How fast a disk is.
#[derive(Copy, Clone, Debug)]
pub(crate) struct DiskSpeed {
    /// Shortest sync.
    pub(crate) least: Duration,
    /// What comes on top, on average.
    pub(crate) mean: Duration,
}

/// The journal's disk of one node. It outlives the node's processes.
pub(crate) struct Disk {
    store: Store,
    queue: VecDeque<Job>,
    /// How many jobs at the head of the queue the running sync covers; 0: no sync is running.
    syncing: usize,
    speed: DiskSpeed,
    /// While positive, syncs take this many times as long.
    pub(crate) slowness: u32,
    /// There is no room: every sync fails, and no journal is opened.
    pub(crate) full: bool,
    /// There is little room: the node is told to write no records.
    pub(crate) low: bool,
    /// The next sync fails.
    pub(crate) failing: bool,
}

impl Disk {
    pub(crate) fn new(speed: DiskSpeed) -> Disk {
        Disk {
            store: Store::empty(),
            queue: VecDeque::new(),
            syncing: 0,
            speed,
            slowness: 0,
            full: false,
            low: false,
            failing: false,
        }
    }

    /// What is durable.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// How many jobs wait.
    pub(crate) fn backlog(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn submit(&mut self, job: Job) {
        self.queue.push_back(job);
    }

    /// Starts to sync all that waits, if no sync is running; says how long it takes.
    pub(crate) fn start_sync(&mut self, random: &mut Random) -> Option<Duration> {
        if self.syncing > 0 || self.queue.is_empty() {
            return None;
        }
        self.syncing = self.queue.len();
        let span = self.speed.least + random.exponential(self.speed.mean);
        Some(span * self.slowness.max(1))
    }

    /// Whether the running sync fails (A5): for lack of room, or for an error that comes once.
    pub(crate) fn sync_fails(&mut self) -> bool {
        std::mem::take(&mut self.failing) || self.full
    }

    /// The running sync is done: takes the jobs that it covers out of the queue. [`Disk::settle`] makes them durable.
    pub(crate) fn finish_sync(&mut self) -> Vec<Job> {
        let covered = std::mem::take(&mut self.syncing);
        self.queue.drain(..covered).collect()
    }

    /// The process dies: takes what the disk has of the queue by chance, a prefix of whole jobs, and forgets the rest.
    /// Says how many writes are forgotten.
    pub(crate) fn crash(&mut self, random: &mut Random) -> (Vec<Job>, usize) {
        self.syncing = 0;
        let kept = random.index(self.queue.len() + 1);
        let kept: Vec<Job> = self.queue.drain(..kept).collect();
        let lost = self.queue.iter().filter(|job| matches!(job, Job::Write(_))).count();
        self.queue.clear();
        (kept, lost)
    }

    /// Makes a job durable.
    pub(crate) fn settle(&mut self, job: &Job) {
        match job {
            Job::Write(write) => write.records.iter().for_each(|record| self.store.put(record)),
            Job::Trim(slot) => {
                self.store.trimmed = self.store.trimmed.max(*slot);
                self.store.log.forget(*slot);
                self.store.rotten = self.store.rotten.split_off(&slot.next());
            }
        }
    }

    /// A mutant's sync: the messages of the first write that it does not cover.
    pub(crate) fn take_next_messages(&mut self) -> Option<Vec<Envelope>> {
        self.queue.iter_mut().find_map(|job| match job {
            Job::Write(write) => Some(std::mem::take(&mut write.then)),
            Job::Trim(_) => None,
        })
    }

    /// A mutant's disk: goes back to an older content.
    pub(crate) fn restore(&mut self, old: Store) {
        self.store = old;
    }

    /// A mutant's installation: the promise is reset.
    pub(crate) fn forget_promise(&mut self) {
        self.store.promised = Ballot::ZERO;
    }

    /// A mutant's installation: all votes are gone.
    pub(crate) fn forget_votes(&mut self) {
        let last = self.store.log.last();
        self.store.log.forget(last);
    }

    /// How far the journal will be trimmed once all that waits is done.
    pub(crate) fn trim_ahead(&self) -> Slot {
        let trims = self.queue.iter().filter_map(|job| match job {
            Job::Trim(slot) => Some(*slot),
            Job::Write(_) => None,
        });
        trims.fold(self.store.trimmed, Slot::max)
    }

    /// An entry decays, or what every start reads.
    pub(crate) fn rot(&mut self, random: &mut Random) {
        let (first, last) = (self.store.trimmed.0 + 1, self.store.log.last().0);
        if last < first || random.chance(100) {
            self.store.broken = true;
            return;
        }
        // Rather what was written last than what will soon be trimmed.
        let slot = Slot(last.saturating_sub(random.magnitude(1, 64) - 1).max(first));
        if self.store.log.at(slot).is_some() {
            self.store.rotten.insert(slot);
        }
    }

    /// The disk is replaced by an empty one.
    pub(crate) fn wipe(&mut self) {
        self.store = Store {
            gone: true,
            ..Store::empty()
        };
    }

    /// An empty journal is made on an empty disk, for a new life.
    pub(crate) fn create(&mut self) {
        self.store = Store::empty();
    }

    /// Whether something on it is not what was written.
    pub(crate) fn is_spoilt(&self) -> bool {
        self.store.gone || self.store.broken || !self.store.rotten.is_empty()
    }

    /// What a process finds when it starts on this disk beside a state machine that is durable up to `applied`, and came from a
    /// peer at `installed`; or why the journal is not opened (A6).
    pub(crate) fn recover(&self, applied: Slot, installed: Slot) -> Result<Recovered, String> {
        let store = &self.store;
        if store.gone {
            return Err("there is no journal".to_owned());
        }
        if store.broken {
            return Err("a bad record, which is not a torn end".to_owned());
        }
        // What came with the state was never here as it was chosen (C3).
        let trimmed = store.trimmed.max(installed);
        let chosen = store.chosen.max(applied);
        let mut log = Vec::new();
        let mut log_bytes = 0;
        for slot in (trimmed.0 + 1..=store.log.last().0.max(chosen.0)).map(Slot) {
            match store.read(slot) {
                Err(slot) if slot > applied => return Err(format!("slot {slot} cannot be read")),
                Ok(None) if slot <= chosen => return Err(format!("slot {slot} is missing")),
                Ok(Some(logged)) if slot > applied => log.push((slot, logged.clone())),
                Ok(Some(logged)) => log_bytes += logged.value().size() as u64,
                _ => {}
            }
        }
        Ok(Recovered {
            promised: store.promised,
            chosen,
            applied,
            trimmed,
            log_bytes,
            log,
            configurations: store.configurations.clone(),
        })
    }

    /// Reads consecutive values back; nothing if one is missing or does not read.
    pub(crate) fn load(&self, from: Slot, to: Slot, max_bytes: usize) -> Result<Vec<Value>, Slot> {
        let mut values = Vec::new();
        let mut bytes = 0;
        let mut slot = from;
        while slot <= to && (bytes < max_bytes || values.is_empty()) {
            let value = self.store.read(slot)?.ok_or(slot)?.value().clone();
            bytes += value.size();
            values.push(value);
            slot = slot.next();
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Concern;
    use paxos::WriteId;
    use quorum::NodeId;

    fn vote(id: u64) -> Job {
        let ballot = Ballot {
            round: 1,
            leader: NodeId(1),
        };
        let records = vec![Record::Voted {
            slot: Slot(id),
            ballot,
            value: Value::Noop,
        }];
        Job::Write(Write {
            id: WriteId(id),
            records,
            then: Vec::new(),
        })
    }

    fn disk() -> Disk {
        Disk::new(DiskSpeed {
            least: Duration::from_micros(10),
            mean: Duration::from_micros(10),
        })
    }

    #[test]
    fn a_sync_covers_what_was_there_when_it_began() {
        let mut random = Random::new(1, Concern::Disk);
        let mut disk = disk();
        disk.submit(vote(1));
        assert!(disk.start_sync(&mut random).is_some());
        disk.submit(vote(2));
        assert!(disk.start_sync(&mut random).is_none(), "one sync at a time");
        for job in disk.finish_sync() {
            disk.settle(&job);
        }
        assert!(disk.store().log.at(Slot(1)).is_some() && disk.store().log.at(Slot(2)).is_none());
        assert_eq!(disk.load(Slot(1), Slot(1), 100).map(|values| values.len()), Ok(1));
        assert_eq!(
            disk.load(Slot(1), Slot(2), 100),
            Err(Slot(2)),
            "what is queued is not read"
        );
        let recovered = disk.recover(Slot::ZERO, Slot::ZERO).expect("it is whole");
        assert_eq!(recovered.log.len(), 1, "what is queued is not durable");
    }

    #[test]
    fn what_decays_is_noticed_when_it_is_read() {
        let mut disk = disk();
        (1..=3).for_each(|id| disk.settle(&vote(id)));
        disk.store.rotten.insert(Slot(2));
        assert!(disk.is_spoilt() && disk.recover(Slot(1), Slot::ZERO).is_err());
        assert!(
            disk.recover(Slot(2), Slot::ZERO).is_ok(),
            "nobody reads what is applied"
        );
        assert_eq!(disk.load(Slot(1), Slot(3), 1000), Err(Slot(2)));
        disk.settle(&vote(2));
        assert!(disk.recover(Slot::ZERO, Slot::ZERO).is_ok(), "it was written anew");
        disk.store.rotten.insert(Slot(1));
        disk.settle(&Job::Trim(Slot(1)));
        assert!(!disk.is_spoilt() && disk.recover(Slot(1), Slot::ZERO).is_ok());
        let behind = disk
            .recover(Slot::ZERO, Slot::ZERO)
            .expect("promises cannot be fetched again, a state can");
        assert_eq!((behind.applied, behind.trimmed), (Slot::ZERO, Slot(1)));
        let beside = disk
            .recover(Slot(3), Slot(2))
            .expect("what came with the state need not be here");
        assert_eq!((beside.trimmed, beside.chosen), (Slot(2), Slot(3)));
        disk.wipe();
        assert!(disk.recover(Slot(1), Slot::ZERO).is_err());
    }

    #[test]
    fn a_crash_keeps_a_prefix_and_every_length_of_it() {
        let mut random = Random::new(2, Concern::Disk);
        let mut seen = [false; 4];
        for _ in 0..100 {
            let mut disk = disk();
            (1..=3).for_each(|id| disk.submit(vote(id)));
            let (kept, lost) = disk.crash(&mut random);
            kept.iter().for_each(|job| disk.settle(job));
            assert_eq!(kept.len() + lost, 3);
            let log = disk.recover(Slot::ZERO, Slot::ZERO).expect("it is whole").log;
            assert!(log.iter().map(|(slot, _)| slot.0).eq(1..=kept.len() as u64));
            seen[kept.len()] = true;
        }
        assert_eq!(seen, [true; 4]);
    }
}
