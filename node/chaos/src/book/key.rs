//! One key: what was asked of it and answered, until it is closed and judged.
//!
//! A key lives for a few hundred operations. So the search for an order stays short, and what is remembered stays bounded however
//! long a run is.

use std::collections::HashMap;

use bytes::Bytes;
use simulator::linearizable::list::{self, Elements, List};
use simulator::linearizable::register::{self, Content, Held, Register};
use simulator::linearizable::{Call, History, Model, Verdict, check};
use simulator::random::Random;

use super::once;
use super::order::Order;
use super::violation::Violation;
use crate::wire::{Ask, Entry, If};

/// Operations after which a key is closed …
const OPERATIONS: u32 = 200;
/// … or appends, because a list is written whole each time …
const APPENDS: usize = 60;
/// … or writes of unknown outcome: each may come at any later moment, which is what makes a search long.
const UNKNOWN: u32 = 5;
/// Steps of the search for an order, for one key.
const STEPS: u64 = 3_000_000;

const LINEARIZABLE: &str = "linearizable";

/// What a key is used for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Register,
    List,
}

/// What an operation does to its key, for the books.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    Read,
    /// Read at one node, which may lag.
    StaleRead,
    Write(u64),
    WriteIf(u64, If),
    Append(u64),
    Delete,
}

impl Deed {
    pub(super) fn is_write(&self) -> bool {
        !matches!(self, Deed::Read | Deed::StaleRead)
    }

    fn value(&self) -> Option<u64> {
        match self {
            Deed::Write(value) | Deed::WriteIf(value, _) | Deed::Append(value) => Some(*value),
            Deed::Read | Deed::StaleRead | Deed::Delete => None,
        }
    }
}

/// What the key's part of an answer was.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    Found(Option<Entry>),
    Written,
    NotWritten,
    Deleted(bool),
}

enum Track {
    Register(History<Register>),
    List(History<List>, HashMap<u64, once::Fate>),
}

/// A key in use.
pub(crate) struct Key {
    pub(super) name: String,
    track: Track,
    order: Order,
    begun: u32,
    unknown: u32,
    /// Operations under way.
    pub(super) open: u32,
    /// What was seen last: what a comparison may name.
    seen: Option<Entry>,
}

/// An operation on a key that is under way.
pub(super) struct Pending {
    pub(super) deed: Deed,
    /// Its place in the history, unless only the witness hears of it.
    call: Option<Call>,
}

/// A key that is judged.
pub(crate) struct Judged {
    pub(crate) violations: Vec<Violation>,
    /// No order was found within the limit, and none excluded.
    pub(crate) undecided: bool,
    pub(crate) last: Last,
}

/// How a key was left.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Last {
    pub(crate) entry: Option<Entry>,
    /// Writes of unknown outcome, which may come still.
    pub(crate) open: Vec<u64>,
    /// Whether a deletion may come still.
    pub(crate) perhaps_deleted: bool,
}

impl Key {
    pub(super) fn new(name: String, kind: Kind) -> Key {
        Key {
            name,
            track: match kind {
                Kind::Register => Track::Register(History::default()),
                Kind::List => Track::List(History::default(), HashMap::new()),
            },
            order: Order::default(),
            begun: 0,
            unknown: 0,
            open: 0,
            seen: None,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.track {
            Track::Register(_) => Kind::Register,
            Track::List(..) => Kind::List,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        let appends = match &self.track {
            Track::Register(_) => 0,
            Track::List(_, appends) => appends.len(),
        };
        self.begun >= OPERATIONS || self.unknown >= UNKNOWN || appends >= APPENDS
    }

    /// What a client may do with it next; `value` is a number that nobody has written.
    pub(super) fn draw(&self, value: u64, random: &mut Random) -> (Deed, Ask) {
        let key = self.name.clone();
        let values = vec![value];
        match (&self.track, random.below(100)) {
            (Track::List(..), 0..50) => {
                let (list, is) = match &self.seen {
                    Some(entry) => (entry.values.clone(), If::Modified(entry.modified)),
                    None => (Vec::new(), If::Version(0)),
                };
                let values = [list, values].concat();
                (Deed::Append(value), Ask::PutIf { key, is, values })
            }
            (Track::Register(_), 0..30) => (Deed::Write(value), Ask::Put { key, values }),
            (Track::Register(_), 30..50) => {
                let is = match &self.seen {
                    Some(entry) if random.chance(500) => If::Value(entry.values[0]),
                    Some(entry) => If::Version(entry.version),
                    None => If::Version(0),
                };
                (Deed::WriteIf(value, is), Ask::PutIf { key, is, values })
            }
            (Track::Register(_), 50..55) => (Deed::Delete, Ask::Delete(key)),
            (_, 90..) => (Deed::StaleRead, Ask::Get { key, stale: true }),
            _ => (Deed::Read, Ask::Get { key, stale: false }),
        }
    }

    /// Somebody asks, at this moment.
    pub(super) fn begin(&mut self, client: u64, deed: Deed, at: u64) -> Pending {
        self.begun += 1;
        self.open += 1;
        if let Some(value) = deed.value() {
            self.order.asked(value);
        }
        let key = Bytes::from(self.name.clone());
        let call = match &mut self.track {
            _ if deed == Deed::StaleRead => None,
            Track::Register(history) => {
                let op = match deed {
                    Deed::Write(value) => register::Op::Put(value),
                    Deed::WriteIf(value, If::Value(is)) => {
                        register::Op::CompareAndPut(register::Compare::Value(is), value)
                    }
                    Deed::WriteIf(value, If::Version(is)) => {
                        register::Op::CompareAndPut(register::Compare::Version(is.unsigned_abs()), value)
                    }
                    Deed::Delete => register::Op::Delete,
                    _ => register::Op::Get,
                };
                Some(history.call(client, key, op, at))
            }
            Track::List(history, appends) => {
                let op = match deed {
                    Deed::Append(element) => {
                        appends.insert(element, once::Fate::Unknown);
                        list::Op::Append(element)
                    }
                    _ => list::Op::Read,
                };
                Some(history.call(client, key, op, at))
            }
        };
        Pending { deed, call }
    }

    /// It is answered.
    pub(super) fn done(&mut self, pending: &Pending, seen: &Seen, revision: i64, at: u64) {
        self.open -= 1;
        match (&pending.deed, seen) {
            (Deed::Read | Deed::StaleRead, Seen::Found(found)) => {
                self.order.read(revision, found.as_ref());
                if pending.deed == Deed::Read {
                    self.seen.clone_from(found);
                }
            }
            (Deed::Delete, Seen::Deleted(true)) => self.order.deleted(revision),
            (_, Seen::NotWritten) => {
                if let Some(value) = pending.deed.value() {
                    self.order.refused(value);
                }
            }
            (_, Seen::Written) => {
                if let Some(value) = pending.deed.value() {
                    self.order.written(value, revision);
                }
            }
            _ => {}
        }
        let Some(call) = pending.call else { return };
        match &mut self.track {
            Track::Register(history) => history.answer(call, reply_of_register(&pending.deed, seen), at),
            Track::List(history, appends) => match (&pending.deed, seen) {
                (Deed::Append(element), Seen::Written) => {
                    appends.insert(*element, once::Fate::Done);
                    history.answer(call, list::Reply::Done, at);
                }
                (Deed::Append(element), _) => {
                    // The list was another than the one it was to be appended to.
                    appends.insert(*element, once::Fate::Refused);
                    history.refuse(call);
                }
                (_, Seen::Found(found)) => {
                    let elements = found.as_ref().map(|entry| entry.values.clone()).unwrap_or_default();
                    history.answer(call, list::Reply::Found(Elements(elements)), at);
                }
                (deed, seen) => unreachable!("{deed:?} was answered with {seen:?}"),
            },
        }
    }

    /// It is certainly not done.
    pub(super) fn refused(&mut self, pending: &Pending) {
        self.open -= 1;
        if let Some(value) = pending.deed.value() {
            self.order.refused(value);
            if let Track::List(_, appends) = &mut self.track {
                appends.insert(value, once::Fate::Refused);
            }
        }
        match (&mut self.track, pending.call) {
            (Track::Register(history), Some(call)) => history.refuse(call),
            (Track::List(history, _), Some(call)) => history.refuse(call),
            (_, None) => {}
        }
    }

    /// Nobody knows whether it is done.
    pub(super) fn unknown(&mut self, pending: &Pending) {
        self.open -= 1;
        self.unknown += u32::from(pending.deed.is_write());
        if pending.deed == Deed::Delete {
            self.order.perhaps_deleted();
        }
    }

    /// Judges everything; `entry` is what the last read of all found.
    pub(crate) fn judge(self, entry: Option<Entry>) -> Judged {
        let Key { name, track, order, .. } = self;
        let (mut violations, undecided) = match &track {
            Track::Register(history) => black_box(history),
            Track::List(history, appends) => {
                let (mut violations, undecided) = black_box(history);
                let list = entry.as_ref().map(|entry| &entry.values[..]).unwrap_or_default();
                violations.extend(once::judge(&name, appends, list));
                (violations, undecided)
            }
        };
        let last = Last {
            entry,
            open: order.open(),
            perhaps_deleted: order.is_perhaps_deleted(),
        };
        violations.extend(order.judge(&name).err());
        Judged {
            violations,
            undecided,
            last,
        }
    }
}

fn reply_of_register(deed: &Deed, seen: &Seen) -> register::Reply {
    match (deed, seen) {
        (_, Seen::Found(found)) => {
            let held = found.as_ref().map(|entry| Held {
                value: entry.values.first().copied().unwrap_or(0),
                version: entry.version.unsigned_abs(),
            });
            register::Reply::Got(Content(held))
        }
        (_, Seen::Deleted(there)) => register::Reply::Deleted(*there),
        (Deed::WriteIf(..), seen) => register::Reply::Compared(*seen == Seen::Written),
        _ => register::Reply::Done,
    }
}

/// Whether some order explains what clients saw, believing nobody: whether it was found wrong, and whether that is open.
fn black_box<M: Model>(history: &History<M>) -> (Vec<Violation>, bool) {
    match check(history, STEPS).verdict {
        Verdict::Linearizable => (Vec::new(), false),
        Verdict::Undecided(_) => (Vec::new(), true),
        Verdict::NotLinearizable(key, window) => {
            let key = String::from_utf8_lossy(&key).into_owned();
            let mut violation = Violation::new(LINEARIZABLE, format!("{key}: no order explains what clients saw"));
            violation.lines.push(format!("before: {}", window.before.join(", or ")));
            violation.lines.extend(window.lines);
            (vec![violation], false)
        }
    }
}

impl Last {
    /// Whether the key may hold this by now.
    pub(crate) fn allows(&self, found: Option<&Entry>) -> bool {
        match (found, &self.entry) {
            (None, None) => true,
            (None, Some(_)) => self.perhaps_deleted,
            (Some(found), entry) => {
                entry.as_ref() == Some(found) || found.values.last().is_some_and(|last| self.open.contains(last))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(values: &[u64], version: i64, modified: i64) -> Entry {
        Entry {
            values: values.to_vec(),
            version,
            modified,
        }
    }

    /// Plays operations one after the other, each with its answer.
    fn play(kind: Kind, deeds: &[(Deed, Seen, i64)]) -> Judged {
        let mut key = Key::new("k".to_owned(), kind);
        let (mut at, mut last) = (0, None);
        for (deed, seen, revision) in deeds {
            let pending = key.begin(1, deed.clone(), at);
            key.done(&pending, seen, *revision, at + 5);
            at += 10;
            if let Seen::Found(found) = seen {
                last.clone_from(found);
            }
        }
        key.judge(last)
    }

    fn properties(judged: &Judged) -> Vec<&'static str> {
        judged.violations.iter().map(|violation| violation.property).collect()
    }

    #[test]
    fn what_is_right_is_let_through() {
        let fine = [
            (Deed::Write(1), Seen::Written, 10),
            (Deed::WriteIf(2, If::Version(1)), Seen::Written, 11),
            (Deed::WriteIf(3, If::Version(1)), Seen::NotWritten, 11),
            (Deed::Read, Seen::Found(Some(entry(&[2], 2, 11))), 15),
            (Deed::Delete, Seen::Deleted(true), 16),
            (Deed::Read, Seen::Found(None), 16),
        ];
        assert_eq!(play(Kind::Register, &fine).violations, []);
        let fine = [
            (Deed::Append(1), Seen::Written, 10),
            (Deed::Append(2), Seen::NotWritten, 10),
            (Deed::Append(3), Seen::Written, 12),
            (Deed::Read, Seen::Found(Some(entry(&[1, 3], 2, 12))), 15),
        ];
        assert_eq!(play(Kind::List, &fine).violations, []);
    }

    #[test]
    fn a_lost_write_is_found_by_both() {
        let lost = [
            (Deed::Write(1), Seen::Written, 10),
            (Deed::Write(2), Seen::Written, 11),
            (Deed::Read, Seen::Found(Some(entry(&[1], 1, 10))), 12),
        ];
        let judged = play(Kind::Register, &lost);
        assert_eq!(properties(&judged), ["linearizable", "revisions agree with one order"]);
        let told = judged.violations[0].to_string();
        assert!(told.contains("client 1: get -> 1 (version 1)"), "{told}");
        // The same if the order of revisions does not tell, because the write is not there at all.
        let deleted = [(Deed::Write(1), Seen::Written, 10), (Deed::Read, Seen::Found(None), 12)];
        assert_eq!(properties(&play(Kind::Register, &deleted)).len(), 2);
    }

    #[test]
    fn a_write_that_took_effect_twice_is_found() {
        let twice = [
            (Deed::Write(1), Seen::Written, 10),
            (Deed::Read, Seen::Found(Some(entry(&[1], 2, 10))), 12),
        ];
        assert_eq!(properties(&play(Kind::Register, &twice)), ["linearizable"]);
    }

    #[test]
    fn a_doubled_append_and_a_lost_one_are_found() {
        let doubled = [
            (Deed::Append(1), Seen::Written, 10),
            (Deed::Read, Seen::Found(Some(entry(&[1, 1], 2, 11))), 12),
        ];
        let judged = play(Kind::List, &doubled);
        let found = properties(&judged);
        assert!(found.starts_with(&["linearizable", "appends happen once"]), "{found:?}");
        let lost = [
            (Deed::Append(1), Seen::Written, 10),
            (Deed::Append(2), Seen::Written, 11),
            (Deed::Read, Seen::Found(Some(entry(&[2], 2, 11))), 12),
        ];
        assert_eq!(
            properties(&play(Kind::List, &lost)),
            ["linearizable", "appends happen once"]
        );
    }

    #[test]
    fn a_stale_read_is_found_although_its_revision_fits() {
        let stale = [
            (Deed::Write(1), Seen::Written, 10),
            (Deed::Write(2), Seen::Written, 20),
            // An honest answer of a node that does not know of revision 20; only time tells.
            (Deed::Read, Seen::Found(Some(entry(&[1], 1, 10))), 15),
        ];
        assert_eq!(properties(&play(Kind::Register, &stale)), ["linearizable"]);
        let mut allowed = stale;
        allowed[2].0 = Deed::StaleRead;
        assert_eq!(play(Kind::Register, &allowed).violations, []);
    }

    #[test]
    fn what_was_left_in_doubt_may_come_later_and_nothing_else() {
        let mut key = Key::new("k".to_owned(), Kind::Register);
        let put = key.begin(1, Deed::Write(7), 1);
        key.unknown(&put);
        let last = key.judge(Some(entry(&[1], 1, 10))).last;
        assert!(last.allows(Some(&entry(&[1], 1, 10))) && last.allows(Some(&entry(&[7], 2, 30))));
        assert!(
            !last.allows(None) && !last.allows(Some(&entry(&[8], 2, 30))) && !last.allows(Some(&entry(&[1], 2, 11)))
        );
    }
}
