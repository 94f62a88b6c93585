//! The book: what clients asked and were told, and what follows from it.
//!
//! Everything passes one lock, so there is one clock and one order of "ended before that began". Each answer is held at once against
//! what had been seen when it was asked for (an answer of an older revision is stale); each key is judged when it is closed: by
//! [`order`] (the witness: revisions), by search (the black box: [`simulator::linearizable`]) and by
//! [`once`] (exactly once). At the end the store is compared with how each key was left.

mod key;
mod once;
mod order;
mod tally;
#[cfg(test)]
mod tests;
mod violation;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::json;
use simulator::random::Random;

use crate::wire::{Ask, Entry, Outcome, Said, Told};
use key::{Deed, Key, Kind, Last, Pending, Seen};
pub(crate) use tally::Tally;
pub(crate) use violation::Violation;

/// Keys in use at a time.
const REGISTERS: u64 = 6;
const LISTS: u64 = 3;
/// Revisions of acknowledged writes that are remembered: far more than can be written while one operation is under way.
const REVISIONS: usize = 100_000;
/// Violations that are kept; the first is what matters.
const VIOLATIONS: usize = 50;

/// How much of a question or an answer is told.
const LINE: usize = 120;

const REAL_TIME: &str = "answers are not older than what was seen before";
const UNIQUE: &str = "a revision has one write";
const KEPT: &str = "what was acknowledged stays";

/// See the module.
pub(crate) struct Book {
    start: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    next_value: u64,
    next_key: u64,
    /// Keys by number: those in use, and those to be read once more and judged.
    keys: BTreeMap<u64, Key>,
    active: Vec<u64>,
    closing: VecDeque<u64>,
    retired: BTreeMap<String, Last>,
    /// The highest revision that anybody was told, and by which answer.
    floor: i64,
    floor_by: Arc<str>,
    /// Which write has a revision.
    revisions: BTreeMap<i64, (String, u64)>,
    /// No new operations: what is open is finished and judged.
    finishing: bool,
    measuring: bool,
    last_done: Instant,
    tally: Tally,
    violations: Vec<Violation>,
    history: Option<BufWriter<File>>,
}

/// An operation under way.
pub(crate) struct Job {
    pub(crate) ask: Ask,
    pub(crate) client: u64,
    pub(crate) node: u64,
    called: u64,
    floor: i64,
    floor_by: Arc<str>,
    parts: Vec<(u64, Pending)>,
    /// The last read of a key.
    last: bool,
}

/// A request, what it does to which key, and whether it is a key's last read.
struct Draft {
    ask: Ask,
    deeds: Vec<(u64, Deed)>,
    last: bool,
}

/// What a client is to do.
pub(crate) enum Next {
    Do(Job),
    Wait,
    Finished,
}

/// A key whose last read is done.
pub(crate) struct Closed {
    key: Key,
    entry: Option<Entry>,
}

/// A closed key's name, and what came of judging it.
pub(crate) struct Verdict {
    name: String,
    judged: key::Judged,
}

impl Closed {
    /// Judges it; takes a while.
    pub(crate) fn judge(self) -> Verdict {
        Verdict {
            name: self.key.name.clone(),
            judged: self.key.judge(self.entry),
        }
    }
}

impl Book {
    /// An empty book, whose operations are written to a file as well.
    pub(crate) fn open(history: &Path) -> Result<Book, String> {
        let file = File::create(history).map_err(|error| format!("cannot write {}: {error}", history.display()))?;
        let book = Book::empty();
        book.lock().history = Some(BufWriter::new(file));
        Ok(book)
    }

    fn empty() -> Book {
        let start = Instant::now();
        let mut inner = Inner {
            next_value: 1,
            next_key: 1,
            keys: BTreeMap::new(),
            active: Vec::new(),
            closing: VecDeque::new(),
            retired: BTreeMap::new(),
            floor: 0,
            floor_by: "nobody".into(),
            revisions: BTreeMap::new(),
            finishing: false,
            measuring: false,
            last_done: start,
            tally: Tally::default(),
            violations: Vec::new(),
            history: None,
        };
        for number in 0..REGISTERS + LISTS {
            inner.open_key(if number < REGISTERS { Kind::Register } else { Kind::List });
        }
        Book {
            start,
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// What this client is to ask this node next.
    pub(crate) fn begin(&self, client: u64, node: u64, random: &mut Random) -> Next {
        let mut inner = self.lock();
        let Some(Draft { ask, deeds, last }) = inner.draw(random) else {
            return if inner.keys.is_empty() {
                Next::Finished
            } else {
                Next::Wait
            };
        };
        let called = self.now();
        let (floor, floor_by) = (inner.floor, inner.floor_by.clone());
        let parts = deeds.into_iter().map(|(id, deed)| {
            let key = inner.keys.get_mut(&id).expect("a key in use");
            (id, key.begin(client, deed, called))
        });
        Next::Do(Job {
            ask,
            client,
            node,
            called,
            floor,
            floor_by,
            parts: parts.collect(),
            last,
        })
    }

    /// An operation has ended. A key whose last read this was is handed back, to be judged outside of the lock.
    pub(crate) fn end(&self, job: &Job, outcome: &Outcome) -> Option<Closed> {
        let mut inner = self.lock();
        let at = self.now();
        inner.write_down(job, outcome, at);
        inner.count(job, outcome);
        match outcome {
            Outcome::Done(told) => inner.done(job, told, at),
            Outcome::Refused(_) | Outcome::Unknown(_) => {
                for (id, pending) in &job.parts {
                    let key = inner.keys.get_mut(id).expect("a key with an open operation");
                    match outcome {
                        Outcome::Refused(_) => key.refused(pending),
                        _ => key.unknown(pending),
                    }
                }
            }
        }
        let closed = inner.retire(job, outcome);
        for (id, _) in &job.parts {
            inner.close_if_full(*id);
        }
        closed
    }

    /// Notes what came of judging a key.
    pub(crate) fn absorb(&self, verdict: Verdict) {
        let mut inner = self.lock();
        inner.tally.keys += 1;
        inner.tally.undecided += u64::from(verdict.judged.undecided);
        inner.retired.insert(verdict.name, verdict.judged.last);
        for violation in verdict.judged.violations {
            inner.accuse(violation);
        }
    }

    pub(crate) fn accuse(&self, violation: Violation) {
        self.lock().accuse(violation);
    }

    /// Notes something in the history file that is no operation.
    pub(crate) fn note(&self, what: &str) {
        let at = self.now();
        let mut inner = self.lock();
        inner.line(&json!({ "at_us": at, "event": what }));
    }

    /// From now on, or until now, it counts as an outage if nobody is answered.
    pub(crate) fn measure(&self, on: bool) {
        let mut inner = self.lock();
        inner.pause_ends();
        inner.measuring = on;
        inner.last_done = Instant::now();
    }

    /// No new operations.
    pub(crate) fn finish(&self) {
        let mut inner = self.lock();
        inner.finishing = true;
        for id in std::mem::take(&mut inner.active) {
            if inner.keys[&id].open == 0 {
                inner.closing.push_back(id);
            }
        }
    }

    /// Operations that got done so far.
    pub(crate) fn done(&self) -> u64 {
        self.lock().tally.done()
    }

    pub(crate) fn is_spoilt(&self) -> bool {
        !self.lock().violations.is_empty()
    }

    /// Holds everything that is in the store against how each key was left.
    pub(crate) fn compare(&self, content: &[(String, Entry)]) {
        let mut inner = self.lock();
        let found: BTreeMap<&str, &Entry> = content.iter().map(|(key, entry)| (&key[..], entry)).collect();
        let mut wrong = Vec::new();
        for (key, last) in &inner.retired {
            let entry = found.get(&key[..]).copied();
            if !last.allows(entry) {
                let text = format!("{key} was left as {:?} and is {entry:?} at the end", last.entry);
                wrong.push(Violation::new(KEPT, text));
            }
        }
        for key in found.keys().filter(|key| !inner.retired.contains_key(**key)) {
            wrong.push(Violation::new(
                KEPT,
                format!("there is a key {key}, which nobody wrote"),
            ));
        }
        wrong.into_iter().for_each(|violation| inner.accuse(violation));
    }

    /// Ends the history file; what was counted and found.
    pub(crate) fn close(&self) -> (Tally, Vec<Violation>) {
        let mut inner = self.lock();
        if let Some(history) = &mut inner.history {
            // A disk that is full is seen in a file that ends early.
            let _ = history.flush();
        }
        (inner.tally.clone(), inner.violations.clone())
    }
}

impl Inner {
    fn open_key(&mut self, kind: Kind) {
        let id = self.next_key;
        self.next_key += 1;
        let name = match kind {
            Kind::Register => format!("r/{id}"),
            Kind::List => format!("l/{id}"),
        };
        self.keys.insert(id, Key::new(name, kind));
        self.active.push(id);
    }

    /// The next request, if there is anything to do.
    fn draw(&mut self, random: &mut Random) -> Option<Draft> {
        if let Some(id) = self.closing.pop_front() {
            let key = self.keys[&id].name.clone();
            return Some(Draft {
                ask: Ask::Get { key, stale: false },
                deeds: vec![(id, Deed::Read)],
                last: true,
            });
        }
        if self.finishing {
            return None;
        }
        if random.chance(50) {
            let all = self.active.iter().map(|id| self.keys[id].name.clone());
            let deeds = self.active.iter().map(|id| (*id, Deed::Read));
            return Some(Draft {
                ask: Ask::GetAll(all.collect()),
                deeds: deeds.collect(),
                last: false,
            });
        }
        let id = *random.pick(&self.active);
        let value = self.next_value;
        self.next_value += 1;
        let (deed, ask) = self.keys[&id].draw(value, random);
        Some(Draft {
            ask,
            deeds: vec![(id, deed)],
            last: false,
        })
    }

    fn done(&mut self, job: &Job, told: &Told, at: u64) {
        let stale = job.parts.iter().all(|(_, pending)| pending.deed == Deed::StaleRead);
        let wrote = match (&told.said, &job.parts[0].1.deed) {
            (Said::Put | Said::Compared(true), Deed::Write(value) | Deed::WriteIf(value, _) | Deed::Append(value)) => {
                Some(*value)
            }
            (Said::Deleted(true), _) => Some(0),
            _ => None,
        };
        let least = job.floor + i64::from(wrote.is_some());
        if told.revision < least && !stale {
            let text = format!(
                "an answer at revision {}, although {} had been seen before it was asked for",
                told.revision, job.floor
            );
            let mut violation = Violation::new(REAL_TIME, text);
            violation.lines.push(job.floor_by.to_string());
            violation.lines.push(line(job, told, at));
            self.accuse(violation);
        }
        if told.revision > self.floor {
            self.floor = told.revision;
            self.floor_by = line(job, told, at).into();
        }
        if let Some(value) = wrote {
            let name = self.keys[&job.parts[0].0].name.clone();
            let other = self.revisions.insert(told.revision, (name.clone(), value));
            if let Some(other) = other {
                let text = format!(
                    "revision {} is that of {value} in {name} and of {} in {}",
                    told.revision, other.1, other.0
                );
                self.accuse(Violation::new(UNIQUE, text));
            }
            if self.revisions.len() > REVISIONS {
                self.revisions.pop_first();
            }
        }
        for (part, (id, pending)) in job.parts.iter().enumerate() {
            let seen = match &told.said {
                Said::Found(found) => Seen::Found(found.get(part).cloned().flatten()),
                Said::Put | Said::Compared(true) => Seen::Written,
                Said::Compared(false) => Seen::NotWritten,
                Said::Deleted(there) => Seen::Deleted(*there),
            };
            let key = self.keys.get_mut(id).expect("a key with an open operation");
            key.done(pending, &seen, told.revision, at);
        }
    }

    /// After the last read of a key: the key, or another try later.
    fn retire(&mut self, job: &Job, outcome: &Outcome) -> Option<Closed> {
        if !job.last {
            return None;
        }
        let id = job.parts[0].0;
        let Outcome::Done(Told {
            said: Said::Found(found),
            ..
        }) = outcome
        else {
            self.closing.push_back(id);
            return None;
        };
        let key = self.keys.remove(&id).expect("a key that was read");
        let entry = found.first().cloned().flatten();
        Some(Closed { key, entry })
    }

    fn close_if_full(&mut self, id: u64) {
        let Some(key) = self.keys.get(&id) else { return };
        let (kind, open) = (key.kind(), key.open);
        if let Some(place) = self.active.iter().position(|active| *active == id) {
            if !key.is_full() {
                return;
            }
            self.active.remove(place);
            self.open_key(kind);
        }
        if open == 0 && !self.closing.contains(&id) {
            self.closing.push_back(id);
        }
    }

    fn count(&mut self, job: &Job, outcome: &Outcome) {
        let kind = match &job.ask {
            Ask::Get { stale: true, .. } => "read at one node",
            Ask::Get { .. } => "read",
            Ask::GetAll(_) => "read of all keys",
            Ask::Put { .. } => "put",
            Ask::PutIf { .. } if matches!(job.parts[0].1.deed, Deed::Append(_)) => "append",
            Ask::PutIf { .. } => "put if",
            Ask::Delete(_) => "delete",
        };
        self.tally.count(kind, outcome);
        if matches!(outcome, Outcome::Done(_)) && !matches!(job.ask, Ask::Get { stale: true, .. }) {
            self.pause_ends();
        }
    }

    fn pause_ends(&mut self) {
        if self.measuring {
            self.tally.longest_pause = self.tally.longest_pause.max(self.last_done.elapsed());
        }
        self.last_done = Instant::now();
    }

    fn accuse(&mut self, violation: Violation) {
        self.line(&json!({ "violation": &violation }));
        if self.violations.len() < VIOLATIONS {
            self.violations.push(violation);
        }
    }

    fn write_down(&mut self, job: &Job, outcome: &Outcome, at: u64) {
        if self.history.is_none() {
            return;
        }
        let (outcome, revision, told) = match outcome {
            Outcome::Done(told) => ("done", Some(told.revision), format!("{:?}", told.said)),
            Outcome::Refused(reason) => ("refused", None, reason.clone()),
            Outcome::Unknown(reason) => ("unknown", None, reason.clone()),
        };
        self.line(&json!({
            "called_us": job.called, "answered_us": at, "client": job.client, "node": job.node,
            "asked": format!("{:?}", job.ask), "outcome": outcome, "revision": revision, "told": told,
        }));
    }

    fn line(&mut self, line: &serde_json::Value) {
        if let Some(history) = &mut self.history {
            // As above.
            let _ = writeln!(history, "{line}");
        }
    }
}

/// An answered operation as a line.
fn line(job: &Job, told: &Told, at: u64) -> String {
    let (asked, said) = (format!("{:?}", job.ask), format!("{:?}", told.said));
    let short = |text: &str| text.chars().take(LINE).collect::<String>();
    format!(
        "{:>8} .. {at:<8} client {} at node {}: {} -> {} (revision {})",
        job.called,
        job.client,
        job.node,
        short(&asked),
        short(&said),
        told.revision
    )
}
