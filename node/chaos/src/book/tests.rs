//! A store that lies, and a judge that must notice.

use simulator::random::Concern;

use super::*;

/// One store that answers at once, and what it lies about.
#[derive(Default)]
struct Store {
    revision: i64,
    entries: BTreeMap<String, Entry>,
    lie: Option<Lie>,
    told: u64,
}

#[derive(Copy, Clone, PartialEq)]
enum Lie {
    LostWrite,
    DoubledAppend,
    StaleRead,
    ReusedRevision,
    RefusedAndDone,
}

impl Store {
    fn put(&mut self, key: &str, values: Vec<u64>) {
        self.revision += 1;
        let version = self.entries.get(key).map_or(0, |entry| entry.version) + 1;
        let modified = self.revision;
        let entry = Entry {
            values,
            version,
            modified,
        };
        self.entries.insert(key.to_owned(), entry);
    }

    fn answer(&mut self, ask: &Ask) -> Outcome {
        self.told += 1;
        // Often enough that no lie is hidden by what comes after it, and only once things are going.
        let lie = self.lie.filter(|_| self.told > 300 && self.told.is_multiple_of(7));
        let said = match ask {
            Ask::Get { key, .. } if lie == Some(Lie::StaleRead) => {
                let revision = self.revision - 50;
                let entry = self.entries.get(key).filter(|entry| entry.modified <= revision);
                let said = Said::Found(vec![entry.cloned()]);
                return Outcome::Done(Told { revision, said });
            }
            Ask::Get { key, .. } => Said::Found(vec![self.entries.get(key).cloned()]),
            Ask::GetAll(keys) => Said::Found(keys.iter().map(|key| self.entries.get(key).cloned()).collect()),
            Ask::Put { .. } if lie == Some(Lie::LostWrite) => {
                self.revision += 1;
                Said::Put
            }
            Ask::Put { key, values } => {
                self.put(key, values.clone());
                match lie {
                    Some(Lie::RefusedAndDone) => return Outcome::Refused("no leader".to_owned()),
                    Some(Lie::ReusedRevision) => self.revision -= 1,
                    _ => {}
                }
                Said::Put
            }
            Ask::PutIf { key, is, values } => {
                let entry = self.entries.get(key);
                let holds = match is {
                    crate::wire::If::Version(version) => entry.map_or(0, |entry| entry.version) == *version,
                    crate::wire::If::Value(value) => entry.is_some_and(|entry| entry.values == [*value]),
                    crate::wire::If::Modified(at) => entry.is_some_and(|entry| entry.modified == *at),
                };
                if holds {
                    let mut values = values.clone();
                    if lie == Some(Lie::DoubledAppend) && key.starts_with('l') {
                        values.extend(values.last().copied());
                    }
                    self.put(key, values);
                }
                Said::Compared(holds)
            }
            Ask::Delete(key) => {
                let there = self.entries.remove(key).is_some();
                self.revision += i64::from(there);
                Said::Deleted(there)
            }
        };
        let revision = self.revision;
        Outcome::Done(Told { revision, said })
    }
}

/// The properties that do not hold after some thousand operations on a store with this lie.
fn violated(lie: Option<Lie>) -> Vec<&'static str> {
    let (book, mut store) = (Book::empty(), Store::default());
    store.lie = lie;
    let mut random = Random::new(7, Concern::Workload);
    for count in 0_u64.. {
        if count == 4000 {
            book.finish();
        }
        match book.begin(count % 5, 1, &mut random) {
            Next::Do(job) => {
                let outcome = store.answer(&job.ask);
                // Now and then an answer is lost.
                let outcome = if count.is_multiple_of(41) && !job.last {
                    Outcome::Unknown("lost".to_owned())
                } else {
                    outcome
                };
                if let Some(closed) = book.end(&job, &outcome) {
                    book.absorb(closed.judge());
                }
            }
            Next::Wait => panic!("nobody else is at work"),
            Next::Finished => break,
        }
    }
    let content: Vec<_> = store.entries.clone().into_iter().collect();
    book.compare(&content);
    let (tally, violations) = book.close();
    assert!(tally.keys > 20 && tally.undecided == 0, "{tally:?}");
    let mut properties: Vec<_> = violations.iter().map(|violation| violation.property).collect();
    properties.sort_unstable();
    properties.dedup();
    properties
}

#[test]
fn an_honest_store_is_acquitted_and_every_lie_is_found() {
    assert_eq!(violated(None), <[&str; 0]>::default());
    for (lie, expected) in [
        (Lie::LostWrite, "linearizable"),
        (Lie::DoubledAppend, "appends happen once"),
        (Lie::StaleRead, REAL_TIME),
        (Lie::ReusedRevision, UNIQUE),
        (Lie::RefusedAndDone, "revisions agree with one order"),
    ] {
        let found = violated(Some(lie));
        assert!(found.contains(&expected), "{expected}: {found:?}");
    }
}

#[test]
fn what_is_gone_at_the_end_and_what_nobody_wrote_is_found() {
    let (book, mut store) = (Book::empty(), Store::default());
    let mut random = Random::new(8, Concern::Workload);
    for count in 0_u64.. {
        if count == 500 {
            book.finish();
        }
        let Next::Do(job) = book.begin(1, 1, &mut random) else {
            break;
        };
        if let Some(closed) = book.end(&job, &store.answer(&job.ask)) {
            book.absorb(closed.judge());
        }
    }
    let mut content: Vec<_> = store.entries.into_iter().collect();
    book.compare(&content);
    assert!(!book.is_spoilt());
    content[0].0 = "other".to_owned();
    book.compare(&content);
    let (_, violations) = book.close();
    assert!(violations.len() == 2 && violations.iter().all(|violation| violation.property == KEPT));
}
