//! Commands take effect once (X1): what was done of each node's commands, as part of the replicated state.
//!
//! A session is a process of a node. Its commands are numbered from 1, and a command that is chosen twice, because it was put
//! to a second leader when the first one's fate was in doubt, does nothing the second time. Each node has one row here: its
//! newest process, and the numbers that are done, as runs. Processes of a node are numbered upwards, so whatever an earlier
//! one still has under way does nothing once a later one has been heard of, and can be forgotten. Nothing here expires: rows
//! are as many as there ever were nodes, and each is bounded.
//!
//! Replies are not kept. The process that took a command from its client is the only one that answers, and it applies every
//! slot itself; if it takes over a peer's state instead, it begins anew, and its client does not know.

use std::collections::{BTreeMap, BTreeSet};

use paxos::CommandId;
use quorum::NodeId;

use super::keys;
use crate::tables::{Step, TableBatch, Tables, TablesError};

/// Numbers that lie further below the newest one that is done are taken for done. A node has far fewer commands under way.
const WINDOW: u64 = 1 << 16;

/// Most runs that are kept of one process; below them every number is taken for done. Commands that were refused are the holes
/// between runs, and so are those under way that were overtaken.
const RUNS: usize = 256;

/// What is to become of a command.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// It takes effect.
    First,
    /// It is done already, or comes too late: it takes no effect any more.
    Closed,
}

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions {
    sessions: BTreeMap<NodeId, Session>,
    unwritten: BTreeSet<NodeId>,
}

/// What is done of the newest process of a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Session {
    boot: u64,
    /// Every number up to here is done, or will never be.
    closed: u64,
    /// Numbers above that are done: first and last of each run, ascending, with a hole before each.
    runs: Vec<(u64, u64)>,
}

impl Sessions {
    /// What the tables say.
    pub(super) fn load(tables: &impl Tables) -> Result<Sessions, TablesError> {
        let mut sessions = BTreeMap::new();
        let mut fault = None;
        tables.scan(
            keys::SESSIONS,
            Some(keys::SESSIONS_END),
            &mut |key, bytes| match keys::session_node(key).zip(Session::decode(bytes)) {
                Some((node, session)) => {
                    sessions.insert(NodeId(node), session);
                    Step::Next
                }
                None => {
                    fault = Some(format!("the row \"{}\" is no session", key.escape_ascii()));
                    Step::Stop
                }
            },
        )?;
        match fault {
            Some(what) => Err(TablesError::Damaged { what }),
            None => Ok(Sessions {
                sessions,
                unwritten: BTreeSet::new(),
            }),
        }
    }

    /// The newest process of a node that was heard of; 0 if there is none.
    pub(super) fn newest(&self, node: NodeId) -> u64 {
        self.sessions.get(&node).map_or(0, |session| session.boot)
    }

    /// X1: notes that a command is chosen, and says whether it takes effect.
    pub(super) fn take(&mut self, id: CommandId) -> Turn {
        let session = self.sessions.entry(id.origin).or_default();
        if id.boot < session.boot {
            return Turn::Closed;
        }
        if id.boot > session.boot {
            *session = Session {
                boot: id.boot,
                ..Session::default()
            };
        }
        let turn = session.take(id.sequence);
        if turn == Turn::First {
            self.unwritten.insert(id.origin);
        }
        turn
    }

    /// Adds to a batch what the tables do not have yet.
    pub(super) fn drain_into(&mut self, batch: &mut impl TableBatch) {
        for node in std::mem::take(&mut self.unwritten) {
            batch.put(&keys::session(node.0), &self.sessions[&node].encode());
        }
    }
}

impl Session {
    fn take(&mut self, number: u64) -> Turn {
        if number <= self.closed {
            return Turn::Closed;
        }
        // Commands mostly come in order: the place is at the end, or next to it.
        let after = self.runs.iter().rposition(|(first, _)| *first <= number);
        let at = after.map_or(0, |before| before + 1);
        if after.is_some_and(|before| number <= self.runs[before].1) {
            return Turn::Closed;
        }
        let follows = after.is_some_and(|before| self.runs[before].1 + 1 == number);
        let leads = self.runs.get(at).is_some_and(|(first, _)| number + 1 == *first);
        match (follows, leads) {
            (true, true) => {
                self.runs[at - 1].1 = self.runs[at].1;
                self.runs.remove(at);
            }
            (true, false) => self.runs[at - 1].1 = number,
            (false, true) => self.runs[at].0 = number,
            (false, false) => self.runs.insert(at, (number, number)),
        }
        self.close();
        Turn::First
    }

    /// Gives up holes that are too old or too many.
    fn close(&mut self) {
        let newest = self.runs.last().map_or(self.closed, |(_, last)| *last);
        self.closed = self.closed.max(newest.saturating_sub(WINDOW));
        while let Some((first, last)) = self.runs.first().copied() {
            if first > self.closed + 1 && self.runs.len() <= RUNS {
                return;
            }
            self.closed = self.closed.max(last);
            self.runs.remove(0);
        }
    }

    /// Process and closed numbers, then each run as the length of the hole before it and its own. The window keeps both small.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + 8 * self.runs.len());
        bytes.extend_from_slice(&self.boot.to_le_bytes());
        bytes.extend_from_slice(&self.closed.to_le_bytes());
        let mut end = self.closed;
        for (first, last) in &self.runs {
            for length in [first - end - 1, last - first + 1] {
                let length = u32::try_from(length).expect("a run lies in the window");
                bytes.extend_from_slice(&length.to_le_bytes());
            }
            end = *last;
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Session> {
        let (boot, rest) = bytes.split_first_chunk()?;
        let (closed, rest) = rest.split_first_chunk()?;
        let (boot, closed) = (u64::from_le_bytes(*boot), u64::from_le_bytes(*closed));
        let (lengths, []) = rest.as_chunks::<8>() else {
            return None;
        };
        let mut end = closed;
        let runs = lengths.iter().try_fold(Vec::new(), |mut runs, lengths| {
            let length = |at: usize| u64::from(u32::from_le_bytes(std::array::from_fn(|index| lengths[at + index])));
            let (hole, run) = (length(0), length(4));
            let first = end.checked_add(hole)?.checked_add(1)?;
            end = first.checked_add(run)?.checked_sub(1)?;
            runs.push((first, end));
            (hole > 0 && run > 0).then_some(runs)
        })?;
        (runs.len() <= RUNS).then_some(Session { boot, closed, runs })
    }
}

/// Whether a row is a session: it has no meaning in another cluster, whose nodes begin anew.
#[must_use]
pub fn is_session(table_key: &[u8]) -> bool {
    keys::session_node(table_key).is_some()
}

/// Whether a session's row can be read.
#[cfg(feature = "rocks")]
pub(super) fn is_sound(bytes: &[u8]) -> bool {
    Session::decode(bytes).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tables::MemoryTables;

    fn id(origin: u64, boot: u64, sequence: u64) -> CommandId {
        CommandId {
            origin: NodeId(origin),
            boot,
            sequence,
        }
    }

    #[test]
    fn a_command_takes_effect_once_and_an_earlier_process_none() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.take(id(1, 5, 1)), Turn::First);
        assert_eq!(sessions.take(id(1, 5, 3)), Turn::First);
        assert_eq!(sessions.take(id(1, 5, 1)), Turn::Closed);
        assert_eq!(sessions.take(id(1, 5, 2)), Turn::First, "a hole is open");
        assert_eq!(sessions.take(id(1, 4, 9)), Turn::Closed, "an earlier process");
        assert_eq!(sessions.take(id(2, 4, 9)), Turn::First, "another node");
        assert_eq!(sessions.take(id(1, 6, 1)), Turn::First, "a later process");
        assert_eq!(sessions.take(id(1, 5, 4)), Turn::Closed);
        assert_eq!((sessions.newest(NodeId(1)), sessions.newest(NodeId(3))), (6, 0));
    }

    #[test]
    fn a_session_is_bounded_whatever_is_refused() {
        let mut session = Session::default();
        for number in 1..=3 * WINDOW {
            assert_eq!(session.take(2 * number), Turn::First);
            assert!(session.runs.len() <= RUNS);
        }
        assert!(session.encode().len() <= 16 + 8 * RUNS);
        assert_eq!(session.take(1), Turn::Closed, "given up");
        assert_eq!(session.take(6 * WINDOW - 3), Turn::First, "still open");
        let mut sparse = Session::default();
        assert_eq!(sparse.take(1), Turn::First);
        assert_eq!(sparse.take(3), Turn::First);
        assert_eq!(sparse.take(u64::from(u32::MAX) * 8), Turn::First);
        assert_eq!(sparse.runs.len(), 1);
        assert_eq!(Session::decode(&sparse.encode()), Some(sparse));
    }

    #[test]
    fn rows_that_are_no_sessions_are_damage() {
        for (key, value) in [(&b"s1234567"[..], &[0; 16][..]), (b"s12345678", &[0; 15])] {
            let tables = MemoryTables::new();
            let mut batch = tables.batch(0);
            batch.put(key, value);
            tables.write(batch).expect("memory");
            let error = Sessions::load(&tables).err().expect("damage").to_string();
            assert!(error.contains("is no session"), "{error}");
        }
    }

    proptest! {
        /// Against a set of all numbers; within the bounds nothing is given up.
        #[test]
        fn a_session_is_a_set(numbers in prop::collection::vec(1..200_u64, 0..300)) {
            let mut sessions = Sessions::default();
            let mut known = BTreeSet::new();
            for number in numbers {
                let turn = if known.insert(number) { Turn::First } else { Turn::Closed };
                prop_assert_eq!(sessions.take(id(1, 1, number)), turn);
            }
            let tables = MemoryTables::new();
            let mut batch = tables.batch(0);
            sessions.drain_into(&mut batch);
            tables.write(batch).expect("memory");
            let loaded = Sessions::load(&tables).expect("what was written");
            prop_assert_eq!(loaded.sessions, sessions.sessions);
        }

        #[test]
        fn rubbish_is_no_session_or_a_bounded_one(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(session) = Session::decode(&bytes) {
                prop_assert_eq!(session.encode(), bytes);
            }
        }
    }
}
