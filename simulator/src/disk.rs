//! A node's journal: writes queue up, are synced in groups first in first out (A4), and those that were not synced may be
//! lost in a crash.
//!
//! The crash falls between two writes: whatever the disk had of them, the journal's recovery keeps a prefix of whole
//! writes, because each is one checksummed batch.

use std::collections::VecDeque;
use std::time::Duration;

use paxos::{Ballot, Envelope, Logged, Record, Recovered, Slot, Value, Write};

use crate::random::Random;
use crate::slots::Slots;

/// What is durable.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) promised: Ballot,
    pub(crate) chosen: Slot,
    pub(crate) trimmed: Slot,
    pub(crate) log: Slots<Logged>,
}

impl Store {
    fn put(&mut self, record: &Record) {
        match record {
            Record::Promised(ballot) => self.promised = *ballot,
            Record::Voted { slot, ballot, value } => self.log.put(*slot, Logged::Voted(*ballot, value.clone())),
            Record::Learned { slot, value } => self.log.put(*slot, Logged::Learned(value.clone())),
            Record::Chosen(slot) => self.chosen = *slot,
        }
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
}

impl Disk {
    pub(crate) fn new(speed: DiskSpeed) -> Disk {
        let store = Store {
            promised: Ballot::ZERO,
            chosen: Slot::ZERO,
            trimmed: Slot::ZERO,
            log: Slots::new(),
        };
        Disk {
            store,
            queue: VecDeque::new(),
            syncing: 0,
            speed,
            slowness: 0,
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

    /// What a process finds when it starts on this disk beside a state machine that is durable up to `applied`.
    pub(crate) fn recover(&self, applied: Slot) -> Recovered {
        let store = &self.store;
        Recovered {
            promised: store.promised,
            chosen: store.chosen,
            applied,
            trimmed: store.trimmed,
            log: store
                .log
                .range(applied.next(), store.log.last())
                .map(|(slot, logged)| (slot, logged.clone()))
                .collect(),
        }
    }

    /// Reads consecutive values back, those that are still in the queue included.
    pub(crate) fn load(&self, from: Slot, to: Slot, max_bytes: usize) -> Vec<Value> {
        let mut values = Vec::new();
        let mut bytes = 0;
        let mut slot = from;
        while slot <= to {
            let Some(value) = self.value(slot) else { break };
            bytes += value.size();
            if bytes > max_bytes && !values.is_empty() {
                break;
            }
            values.push(value);
            slot = slot.next();
        }
        values
    }

    fn value(&self, wanted: Slot) -> Option<Value> {
        let written = self.queue.iter().rev().find_map(|job| match job {
            Job::Write(write) => write.records.iter().rev().find_map(|record| match record {
                Record::Voted { slot, value, .. } | Record::Learned { slot, value } if *slot == wanted => Some(value),
                _ => None,
            }),
            Job::Trim(_) => None,
        });
        written
            .or_else(|| self.store.log.at(wanted).map(Logged::value))
            .cloned()
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
        assert_eq!(
            disk.load(Slot(1), Slot(5), 100).len(),
            2,
            "what is queued can be read back"
        );
        assert_eq!(disk.recover(Slot::ZERO).log.len(), 1, "what is queued is not durable");
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
            let log = disk.recover(Slot::ZERO).log;
            assert!(log.iter().map(|(slot, _)| slot.0).eq(1..=kept.len() as u64));
            seen[kept.len()] = true;
        }
        assert_eq!(seen, [true; 4]);
    }
}
