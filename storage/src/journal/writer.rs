//! The journal's thread.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use paxos::{Logged, Record, Slot, Write, WriteId};

use super::Hooks;
use super::alarm::Alarm;
use super::engine::{Changes, Engine, Marks};
use super::entry;
use super::error::JournalError;
use super::metrics::Metrics;
use super::queue::{Queue, Work};
use crate::step::{Step, reached};

/// Forgetting a range costs about the same whatever its length, so it is done for at least so many slots …
const TRIM_SLOTS: u64 = 10_000;
/// … or when so many bytes were written since the last time.
const TRIM_BYTES: usize = 64 << 20;
/// Asking the engine for its size takes a lock, so it is done once in so many commits.
const SIZE_EVERY: u64 = 256;

struct Writer {
    engine: Arc<dyn Engine>,
    queue: Arc<Queue>,
    metrics: Metrics,
    sync_delay: Duration,
    marks: Marks,
    last_write: WriteId,
    last_slot: Slot,
    bytes_since_trim: usize,
    commits: u64,
}

pub(super) fn spawn(
    engine: Arc<dyn Engine>,
    queue: Arc<Queue>,
    marks: Marks,
    sync_delay: Duration,
    hooks: Hooks,
    metrics: Metrics,
) -> std::io::Result<(JoinHandle<()>, Arc<Alarm>)> {
    let Hooks {
        release,
        persisted,
        failed,
    } = hooks;
    let alarm = Arc::new(Alarm::new(Arc::clone(&queue), failed));
    let raised = Arc::clone(&alarm);
    let writer = Writer {
        engine,
        queue,
        metrics,
        sync_delay,
        last_slot: marks.trimmed,
        marks,
        last_write: WriteId::default(),
        bytes_since_trim: 0,
        commits: 0,
    };
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || writer.run(release, persisted, raised))
        .map(|thread| (thread, alarm))
}

/// Reports the end of the thread if nothing else did.
struct Guard(Arc<Alarm>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.raise(JournalError::Panicked);
        }
    }
}

impl Writer {
    fn run(
        mut self,
        mut release: Box<dyn FnMut(Vec<paxos::Envelope>) + Send>,
        mut persisted: Box<dyn FnMut(WriteId) + Send>,
        alarm: Arc<Alarm>,
    ) {
        let _guard = Guard(Arc::clone(&alarm));
        let mut asked = Slot::ZERO;
        loop {
            let Work {
                writes,
                bytes,
                trim,
                at_once,
                last,
            } = self.queue.take(asked);
            asked = trim;
            let (changes, messages, newest) = self.gather(writes, trim, at_once);
            if let Err(reason) = self.commit(&changes, bytes) {
                return alarm.raise(JournalError::Write(reason));
            }
            // A3: only now. The messages go first, so that whoever hears of the write may rely on them.
            let said = alarm.unless_raised(|| {
                if !messages.is_empty() {
                    release(messages);
                    reached(Step::Released);
                }
                if let Some(newest) = newest {
                    persisted(newest);
                    reached(Step::Persisted);
                }
            });
            if !said {
                return;
            }
            if let Err(reason) = self.tidy(&changes, last) {
                return alarm.raise(JournalError::Write(reason));
            }
            self.metrics.queue_bytes.set(self.queue.bytes() as i64);
            if last {
                return;
            }
        }
    }

    /// Work that nobody waits for.
    fn tidy(&self, changes: &Changes, last: bool) -> Result<(), String> {
        if changes.trimmed.is_some() {
            reached(Step::Reclaim);
            self.engine.reclaim(self.marks.trimmed)?;
            reached(Step::Reclaimed);
        }
        self.engine.settle(last)
    }

    /// Turns the records of many writes into one set of changes, and puts their messages in one row.
    fn gather(
        &mut self,
        writes: Vec<Write>,
        trim: Slot,
        at_once: bool,
    ) -> (Changes, Vec<paxos::Envelope>, Option<WriteId>) {
        if !writes.is_empty() {
            self.metrics.batch_writes.observe(writes.len() as f64);
        }
        let mut changes = Changes::default();
        let mut messages = Vec::new();
        let mut newest = None;
        for write in writes {
            assert!(
                write.id > self.last_write,
                "A4: writes are numbered in the order of the queue: {} came after {}",
                write.id.0,
                self.last_write.0
            );
            self.last_write = write.id;
            newest = Some(write.id);
            for record in write.records {
                self.gather_record(record, &mut changes);
            }
            messages.extend(write.then);
        }
        self.bytes_since_trim += changes.entries.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let slots = trim.0.saturating_sub(self.marks.trimmed.0);
        if slots >= TRIM_SLOTS || (slots > 0 && (at_once || self.bytes_since_trim >= TRIM_BYTES)) {
            // A7: only chosen slots are trimmed, whether or not the mark has caught up.
            if trim > self.marks.chosen {
                self.marks.chosen = trim;
                changes.chosen = Some(trim);
            }
            self.marks.trimmed = trim;
            changes.trimmed = Some(trim);
            self.bytes_since_trim = 0;
        }
        (changes, messages, newest)
    }

    fn gather_record(&mut self, record: Record, changes: &mut Changes) {
        match record {
            Record::Promised(ballot) => {
                assert!(
                    ballot >= self.marks.promised,
                    "A1: a promise of ballot {ballot} was to replace one of ballot {}",
                    self.marks.promised
                );
                self.promise(ballot, changes);
            }
            Record::Voted { slot, ballot, value } => {
                // A2: a vote raises the promise, and must still do so when the vote itself is trimmed.
                if ballot > self.marks.promised {
                    self.promise(ballot, changes);
                }
                self.enter(slot, &Logged::Voted(ballot, value), changes);
            }
            Record::Learned { slot, value } => self.enter(slot, &Logged::Learned(value), changes),
            Record::Chosen(slot) => {
                if slot > self.marks.chosen {
                    self.marks.chosen = slot;
                    changes.chosen = Some(slot);
                }
            }
            Record::Configurations(configurations) => changes.configurations = Some(configurations),
        }
    }

    fn promise(&mut self, ballot: paxos::Ballot, changes: &mut Changes) {
        self.marks.promised = ballot;
        changes.promised = Some(ballot);
    }

    fn enter(&mut self, slot: Slot, logged: &Logged, changes: &mut Changes) {
        assert!(
            slot > self.marks.trimmed,
            "A7: slot {slot} was to be written, but everything up to {} is trimmed",
            self.marks.trimmed
        );
        self.last_slot = self.last_slot.max(slot);
        changes.entries.push((slot, entry::encode(slot, logged)));
    }

    /// One durable write for everything that was drained; none if there is nothing to make durable.
    fn commit(&mut self, changes: &Changes, bytes: usize) -> Result<(), String> {
        if *changes == Changes::default() {
            return Ok(());
        }
        let begun = Instant::now();
        reached(Step::Commit);
        self.engine.commit(changes)?;
        reached(Step::Synced);
        if changes.trimmed.is_some() {
            reached(Step::Trimmed);
        }
        if !self.sync_delay.is_zero() {
            std::thread::sleep(self.sync_delay);
        }
        self.metrics.sync_seconds.observe(begun.elapsed().as_secs_f64());
        self.metrics.batch_bytes.observe(bytes as f64);
        self.metrics
            .log_entries
            .set(self.last_slot.0.saturating_sub(self.marks.trimmed.0) as i64);
        if self.commits.is_multiple_of(SIZE_EVERY) {
            self.metrics.log_bytes.set(self.engine.size() as i64);
        }
        self.commits += 1;
        self.metrics.trimmed.set(self.marks.trimmed.0 as i64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::Mutex;
    use std::sync::mpsc::sync_channel;

    use paxos::{Address, Ballot, ClusterId, Envelope, Message, Value};
    use prometheus::Registry;
    use quorum::{Epoch, Incarnation, NodeId};

    use super::*;

    /// An engine whose disk is full from some commit on.
    #[derive(Default)]
    struct FullDisk {
        commits_left: Mutex<usize>,
        committed: Mutex<Vec<Changes>>,
    }

    impl Engine for FullDisk {
        fn marks(&self) -> Result<Marks, String> {
            Ok(Marks::default())
        }

        fn scan(&self, _: Slot, _: Slot, _: &mut dyn FnMut(Slot, &[u8]) -> ControlFlow<()>) -> Result<(), String> {
            Ok(())
        }

        fn commit(&self, changes: &Changes) -> Result<(), String> {
            let mut left = self.commits_left.lock().expect("no other thread");
            *left = left.checked_sub(1).ok_or("no space left on device")?;
            self.committed.lock().expect("no other thread").push(changes.clone());
            Ok(())
        }

        fn reclaim(&self, _: Slot) -> Result<(), String> {
            Ok(())
        }

        fn settle(&self, _: bool) -> Result<(), String> {
            Ok(())
        }

        fn size(&self) -> u64 {
            0
        }

        fn sound(&self) -> Result<(), String> {
            Ok(())
        }
    }

    /// A vote, and the message that rests on it.
    fn vote(id: u64) -> Write {
        let ballot = Ballot {
            round: 1,
            leader: NodeId(1),
        };
        let record = Record::Voted {
            slot: Slot(id),
            ballot,
            value: Value::Noop,
        };
        let address = Address {
            node: NodeId(1),
            incarnation: Incarnation(1),
        };
        let message = Message::Accepted { ballot, slot: Slot(id) };
        let accepted = Envelope {
            cluster: ClusterId(1),
            from: address,
            to: address,
            epoch: Epoch(1),
            message,
        };
        Write {
            id: WriteId(id),
            records: vec![record],
            then: vec![accepted],
        }
    }

    #[test]
    fn a_full_disk_ends_the_journal_for_good() {
        let engine = Arc::new(FullDisk {
            commits_left: Mutex::new(2),
            ..FullDisk::default()
        });
        let queue = Arc::new(Queue::new(100, 1 << 20));
        let (said, heard) = sync_channel(100);
        let failed = said.clone();
        let (sent, released) = sync_channel(100);
        let hooks = Hooks {
            release: Box::new(move |envelopes| sent.send(envelopes.len()).expect("the test listens")),
            persisted: Box::new(move |id| said.send(Ok(id)).expect("the test listens")),
            failed: Box::new(move |error| failed.send(Err(error)).expect("the test listens")),
        };
        let metrics = Metrics::register(&Registry::new()).expect("an empty registry");
        let disk: Arc<dyn Engine> = engine.clone();
        let (thread, _) = spawn(
            disk,
            Arc::clone(&queue),
            Marks::default(),
            Duration::ZERO,
            hooks,
            metrics,
        )
        .expect("a thread");
        for id in 1..=2 {
            queue.push(vec![vote(id)]).expect("an empty queue");
            assert_eq!(heard.recv(), Ok(Ok(WriteId(id))));
        }
        queue.push(vec![vote(3)]).expect("an empty queue");
        let error = JournalError::Write("no space left on device".to_owned());
        assert_eq!(heard.recv(), Ok(Err(error.clone())));
        // Space comes back, but A5 holds: nothing is written, released or reported any more.
        *engine.commits_left.lock().expect("no other thread") = 10;
        assert_eq!(queue.push(vec![vote(4)]), Err(super::super::SubmitError::Failed(error)));
        thread.join().expect("it ended by itself");
        assert!(heard.recv().is_err(), "nothing is said afterwards");
        assert_eq!(
            released.iter().collect::<Vec<_>>(),
            [1, 1],
            "A3: the message of the lost write stays"
        );
        assert_eq!(engine.committed.lock().expect("no other thread").len(), 2);
    }

    /// A disk whose writes do not come back once it has failed, as RocksDB's may.
    struct StuckDisk {
        failed: std::sync::Barrier,
        stuck: std::sync::Barrier,
        sound: std::sync::atomic::AtomicBool,
    }

    impl Engine for StuckDisk {
        fn marks(&self) -> Result<Marks, String> {
            Ok(Marks::default())
        }

        fn scan(&self, _: Slot, _: Slot, _: &mut dyn FnMut(Slot, &[u8]) -> ControlFlow<()>) -> Result<(), String> {
            Ok(())
        }

        fn commit(&self, _: &Changes) -> Result<(), String> {
            self.sound.store(false, std::sync::atomic::Ordering::SeqCst);
            self.failed.wait();
            self.stuck.wait();
            Ok(())
        }

        fn reclaim(&self, _: Slot) -> Result<(), String> {
            Ok(())
        }

        fn settle(&self, _: bool) -> Result<(), String> {
            Ok(())
        }

        fn size(&self) -> u64 {
            0
        }

        fn sound(&self) -> Result<(), String> {
            match self.sound.load(std::sync::atomic::Ordering::SeqCst) {
                true => Ok(()),
                false => Err("a file could not be written".to_owned()),
            }
        }
    }

    #[test]
    fn a_write_that_does_not_come_back_is_no_reason_to_be_silent() {
        let engine = Arc::new(StuckDisk {
            failed: std::sync::Barrier::new(2),
            stuck: std::sync::Barrier::new(2),
            sound: true.into(),
        });
        let queue = Arc::new(Queue::new(100, 1 << 20));
        let (said, heard) = sync_channel(100);
        let failed = said.clone();
        let hooks = Hooks {
            release: Box::new(|_| panic!("A3: the write is not durable")),
            persisted: Box::new(move |id| said.send(Ok(id)).expect("the test listens")),
            failed: Box::new(move |error| failed.send(Err(error)).expect("the test listens")),
        };
        let metrics = Metrics::register(&Registry::new()).expect("an empty registry");
        let disk: Arc<dyn Engine> = engine.clone();
        let (thread, alarm) = spawn(
            Arc::clone(&disk),
            Arc::clone(&queue),
            Marks::default(),
            Duration::ZERO,
            hooks,
            metrics,
        )
        .expect("a thread");
        let watch = super::super::alarm::Watch::start(disk, alarm).expect("a thread");
        queue.push(vec![vote(1)]).expect("an empty queue");
        engine.failed.wait();
        let error = JournalError::Write("a file could not be written".to_owned());
        assert_eq!(heard.recv(), Ok(Err(error.clone())), "while the write is held up");
        assert_eq!(queue.push(vec![vote(2)]), Err(super::super::SubmitError::Failed(error)));
        // It comes back after all, and says nothing.
        engine.stuck.wait();
        thread.join().expect("it ended by itself");
        drop(watch);
        assert!(heard.recv().is_err(), "nothing is said afterwards");
    }

    #[test]
    fn what_is_queued_together_is_committed_together() {
        let engine = Arc::new(FullDisk {
            commits_left: Mutex::new(1),
            ..FullDisk::default()
        });
        let queue = Arc::new(Queue::new(100, 1 << 20));
        queue.push((1..=50).map(vote).collect()).expect("an empty queue");
        queue.push((51..=80).map(vote).collect()).expect("room for more");
        queue.close();
        let (said, heard) = sync_channel(100);
        let hooks = Hooks {
            release: Box::new(|_| {}),
            persisted: Box::new(move |id| said.send(id).expect("the test listens")),
            failed: Box::new(|error| panic!("{error}")),
        };
        let metrics = Metrics::register(&Registry::new()).expect("an empty registry");
        let disk: Arc<dyn Engine> = engine.clone();
        spawn(disk, queue, Marks::default(), Duration::ZERO, hooks, metrics)
            .expect("a thread")
            .0
            .join()
            .expect("it ended by itself");
        assert_eq!(heard.iter().collect::<Vec<_>>(), [WriteId(80)]);
        let committed = engine.committed.lock().expect("no other thread");
        assert_eq!((committed.len(), committed[0].entries.len()), (1, 80));
        assert_eq!(
            committed[0].promised,
            Some(Ballot {
                round: 1,
                leader: NodeId(1)
            }),
            "A2: a vote is a promise"
        );
    }
}
