//! Datagrams on their way, by the moment they are due.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::direction::Direction;

/// A datagram on its way.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) due: Instant,
    pub(super) destination: SocketAddr,
    pub(super) bytes: Box<[u8]>,
    /// The socket it leaves by, the one it came by.
    pub(super) socket: Arc<UdpSocket>,
    pub(super) direction: Arc<Direction>,
}

/// What is under way in all directions. Its size is bounded by the directions' own queues.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    heap: BinaryHeap<Reverse<Entry>>,
    next: u64,
    stopping: bool,
}

/// Ordered by due time, then by arrival: the datagrams of a direction leave in the order they came.
#[derive(Debug)]
struct Entry {
    number: u64,
    datagram: Datagram,
}

impl Entry {
    fn key(&self) -> (Instant, u64) {
        (self.datagram.due, self.number)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Schedule {
    pub(super) fn push(&self, datagram: Datagram) {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let first = state
            .heap
            .peek()
            .is_none_or(|Reverse(entry)| datagram.due < entry.datagram.due);
        state.heap.push(Reverse(Entry { number, datagram }));
        drop(state);
        if first {
            self.changed.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_one();
    }

    /// Sends what is due until stopped.
    pub(super) fn run(&self) {
        let mut due = Vec::new();
        while self.wait(&mut due) {
            for datagram in due.drain(..) {
                let sent = datagram.socket.send_to(&datagram.bytes, datagram.destination).is_ok();
                datagram.direction.released(datagram.bytes.len(), sent);
            }
        }
    }

    /// Waits until something is due and moves it to `due`; false once stopped.
    fn wait(&self, due: &mut Vec<Datagram>) -> bool {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return false;
            }
            let now = Instant::now();
            while state
                .heap
                .peek()
                .is_some_and(|Reverse(entry)| entry.datagram.due <= now)
            {
                due.extend(state.heap.pop().map(|Reverse(entry)| entry.datagram));
            }
            if !due.is_empty() {
                return true;
            }
            state = match state.heap.peek().map(|Reverse(entry)| entry.datagram.due - now) {
                Some(left) => {
                    self.changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
