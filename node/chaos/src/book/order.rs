//! The witness: revisions order all writes, and every answer about a key must agree with that order.
//!
//! A node says at which revision a write was done and at which one a read was made. So nothing has to be searched for: the writes
//! of a key stand in the order of their revisions, and a read at revision 40 shows the last one up to 40. What a write of unknown
//! outcome did is known as soon as somebody sees its value.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::violation::Violation;
use crate::wire::Entry;

const ORDER: &str = "revisions agree with one order";

/// What is known of the write of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Under way, or of unknown outcome.
    Open,
    Done(i64),
    Refused,
}

/// What is known of one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    fates: HashMap<u64, Fate>,
    /// What was there from a revision on: the number of the write, or nothing.
    changes: BTreeMap<i64, Option<u64>>,
    /// Each read once: its revision, the write it showed and that write's revision.
    reads: BTreeSet<(i64, Option<(u64, i64)>)>,
    /// Whether there is a deletion of unknown outcome, of which no value tells.
    perhaps_deleted: bool,
}

impl Order {
    pub(crate) fn asked(&mut self, value: u64) {
        self.fates.insert(value, Fate::Open);
    }

    pub(crate) fn refused(&mut self, value: u64) {
        self.fates.insert(value, Fate::Refused);
    }

    pub(crate) fn written(&mut self, value: u64, revision: i64) {
        self.fates.insert(value, Fate::Done(revision));
        self.changes.insert(revision, Some(value));
    }

    pub(crate) fn deleted(&mut self, revision: i64) {
        self.changes.insert(revision, None);
    }

    pub(crate) fn perhaps_deleted(&mut self) {
        self.perhaps_deleted = true;
    }

    pub(crate) fn read(&mut self, revision: i64, found: Option<&Entry>) {
        let shown = found.map(|entry| (entry.values.last().copied().unwrap_or(0), entry.modified));
        self.reads.insert((revision, shown));
    }

    /// Writes of which nobody knows whether they happened, or will.
    pub(crate) fn open(&self) -> Vec<u64> {
        let open = self.fates.iter().filter(|(_, fate)| **fate == Fate::Open);
        open.map(|(value, _)| *value).collect()
    }

    pub(crate) fn is_perhaps_deleted(&self) -> bool {
        self.perhaps_deleted
    }

    /// Whether one order explains all.
    pub(crate) fn judge(mut self, key: &str) -> Result<(), Violation> {
        let wrong = |text: String| Err(Violation::new(ORDER, format!("{key}: {text}")));
        for (at, shown) in &self.reads {
            let Some((value, modified)) = *shown else { continue };
            if modified > *at {
                return wrong(format!("a read at revision {at} shows a write of revision {modified}"));
            }
            match self.fates.get(&value) {
                None => return wrong(format!("a read at revision {at} shows {value}, which nobody wrote")),
                Some(Fate::Refused) => {
                    return wrong(format!(
                        "a read at revision {at} shows {value}, whose write was refused as certainly not done"
                    ));
                }
                Some(Fate::Done(revision)) if *revision != modified => {
                    return wrong(format!(
                        "the write of {value} was done at revision {revision}; a read at {at} shows it at {modified}"
                    ));
                }
                Some(Fate::Open | Fate::Done(_)) => {}
            }
            if let Some(other) = self.changes.insert(modified, Some(value))
                && other != Some(value)
            {
                return wrong(format!(
                    "revision {modified} wrote {}, and a read at {at} shows that it wrote {value}",
                    name(other)
                ));
            }
        }
        for (at, shown) in &self.reads {
            let newest = self.changes.range(..=at).next_back();
            let (fits, newest) = match (shown, newest) {
                (Some((_, modified)), Some((revision, value))) => (modified == revision, (*revision, *value)),
                (None, Some((revision, Some(value)))) => (self.perhaps_deleted, (*revision, Some(*value))),
                (None, None | Some((_, None))) => continue,
                (Some(_), None) => unreachable!("what was read is among the changes"),
            };
            if !fits {
                let shown = shown.map_or_else(
                    || "nothing".to_owned(),
                    |(value, from)| format!("{value} of revision {from}"),
                );
                return wrong(format!(
                    "a read at revision {at} shows {shown}, although revision {} wrote {}",
                    newest.0,
                    name(newest.1)
                ));
            }
        }
        Ok(())
    }
}

fn name(value: Option<u64>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(value: u64, modified: i64) -> Entry {
        Entry {
            values: vec![value],
            version: 1,
            modified,
        }
    }

    /// Values 1 and 2 are written at revisions 10 and 20, 3 is refused, 4 unknown.
    fn order() -> Order {
        let mut order = Order::default();
        for value in 1..=4 {
            order.asked(value);
        }
        order.written(1, 10);
        order.written(2, 20);
        order.refused(3);
        order
    }

    fn with(reads: &[(i64, Option<Entry>)]) -> Result<(), Violation> {
        let mut order = order();
        for (at, found) in reads {
            order.read(*at, found.as_ref());
        }
        order.judge("k")
    }

    #[test]
    fn what_agrees_is_let_through() {
        assert_eq!(
            with(&[(5, None), (10, Some(shows(1, 10))), (19, Some(shows(1, 10)))]),
            Ok(())
        );
        assert_eq!(with(&[(25, Some(shows(2, 20))), (40, Some(shows(4, 30)))]), Ok(()));
        // A deletion that nobody answered for may have happened, and only that explains this.
        let mut order = order();
        order.read(30, None);
        assert!(order.clone().judge("k").is_err());
        order.perhaps_deleted();
        assert_eq!(order.judge("k"), Ok(()));
    }

    #[test]
    fn what_does_not_agree_is_found() {
        for (reads, text) in [
            (vec![(25, Some(shows(1, 10)))], "although revision 20 wrote 2"),
            (vec![(25, None)], "shows nothing, although revision 20 wrote 2"),
            (vec![(25, Some(shows(9, 22)))], "which nobody wrote"),
            (vec![(25, Some(shows(3, 22)))], "refused as certainly not done"),
            (vec![(25, Some(shows(2, 22)))], "was done at revision 20"),
            (vec![(15, Some(shows(2, 20)))], "shows a write of revision 20"),
            (vec![(40, Some(shows(4, 20)))], "revision 20 wrote 2, and a read"),
            // Seen once, it must be seen by every later read.
            (
                vec![(30, Some(shows(4, 25))), (40, Some(shows(2, 20)))],
                "although revision 25 wrote 4",
            ),
        ] {
            let violation = with(&reads).expect_err(text);
            assert!(violation.text.contains(text), "{violation}");
        }
    }
}
