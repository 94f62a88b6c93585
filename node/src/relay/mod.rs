//! # Relay: a wide area network inside one machine
//!
//! A node that should believe its peer is an ocean away dials a relay's socket instead of the peer's. The relay holds
//! every datagram for half the pair's round trip and passes it on, so real processes with real sockets see the delays,
//! losses and partitions of a real network, one link at a time.
//!
//! ```text
//!  node a ──▶ socket of (a → b) ──▶ half a round trip ──▶ node b
//!  node a ◀── half a round trip ◀── socket of (a → b) ◀── node b        (what b answers on that connection)
//! ```
//!
//! Each ordered pair has a socket of its own, because each node dials every peer. What may happen to datagrams belongs
//! to the [`Direction`] they travel, whichever of the pair's two sockets they pass: cutting 1 → 2 stops both what 1
//! sends over its own connection and what it answers on 2's.
//!
//! ## Why threads
//!
//! The runtime's timers are rounded to whole milliseconds, as much as a whole round trip within a region. Here one
//! thread per socket receives, and one thread holds the [`schedule`] and sends; it sleeps on a condition variable, which
//! the kernel wakes within some ten microseconds.
//!
//! ## What is not here
//!
//! No bandwidth limit, no jitter, no reordering: datagrams of one direction leave in the order they came, since QUIC
//! would take reordering for loss. A queue that is full drops, like a router's.

mod direction;
pub mod rtt;
mod schedule;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use quorum::NodeId;
use socket2::{Domain, Protocol, Socket, Type};

use direction::Direction;
pub use direction::Traffic;
use schedule::{Datagram, Schedule};

/// The largest datagram there is.
const DATAGRAM: usize = 65_536;
/// The kernel's buffers, for bursts that come while the relay's thread waits for a core.
const SOCKET_BUFFER: usize = 4 << 20;
/// What may be under way in one direction: 1 Gbit/s over half a second.
const QUEUE_BYTES: usize = 64 << 20;

/// A running relay. Dropping it stops its threads and closes its sockets.
#[derive(Debug)]
pub struct Relay {
    schedule: Arc<Schedule>,
    stopping: Arc<AtomicBool>,
    directions: Mutex<BTreeMap<(NodeId, NodeId), Arc<Direction>>>,
    receivers: Mutex<Vec<(SocketAddr, JoinHandle<()>)>>,
    sender: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts a relay without links.
    pub fn start() -> io::Result<Self> {
        let schedule = Arc::new(Schedule::default());
        let sender = thread::Builder::new().name("relay-send".into()).spawn({
            let schedule = schedule.clone();
            move || schedule.run()
        })?;
        Ok(Self {
            schedule,
            stopping: Arc::default(),
            directions: Mutex::default(),
            receivers: Mutex::default(),
            sender: Some(sender),
        })
    }

    /// Opens the loopback socket that node `from` dials instead of node `to`, whose own socket is `target`; returns the
    /// socket's address. A datagram takes half of `round_trip` each way.
    pub fn link(&self, from: NodeId, to: NodeId, target: SocketAddr, round_trip: Duration) -> io::Result<SocketAddr> {
        let socket = bind()?;
        let address = socket.local_addr()?;
        let (there, back) = (self.direction(from, to), self.direction(to, from));
        there.set_delay(round_trip / 2);
        back.set_delay(round_trip / 2);
        let receiver = Receiver {
            socket: Arc::new(socket),
            target,
            there,
            back,
            schedule: self.schedule.clone(),
            stopping: self.stopping.clone(),
        };
        let thread = thread::Builder::new()
            .name(format!("relay-{from}-{to}"))
            .spawn(move || receiver.run())?;
        self.receivers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((address, thread));
        Ok(address)
    }

    /// Drops everything that travels from `from` to `to` from now on; what is under way still arrives.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.direction(from, to).set_cut(true);
    }

    /// Ends [`Relay::cut`].
    pub fn heal(&self, from: NodeId, to: NodeId) {
        self.direction(from, to).set_cut(false);
    }

    /// Loses datagrams from `from` to `to` with this probability, 0 to 1.
    pub fn set_loss(&self, from: NodeId, to: NodeId, probability: f64) {
        self.direction(from, to).set_loss(probability);
    }

    /// Changes how long datagrams from `from` take to `to`; they still never overtake each other.
    pub fn set_delay(&self, from: NodeId, to: NodeId, delay: Duration) {
        self.direction(from, to).set_delay(delay);
    }

    /// What has become of the datagrams from `from` to `to` so far.
    pub fn traffic(&self, from: NodeId, to: NodeId) -> Traffic {
        self.direction(from, to).traffic()
    }

    fn direction(&self, from: NodeId, to: NodeId) -> Arc<Direction> {
        let mut directions: MutexGuard<'_, _> = self.directions.lock().unwrap_or_else(PoisonError::into_inner);
        directions
            .entry((from, to))
            .or_insert_with(|| Arc::new(Direction::new(QUEUE_BYTES)))
            .clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.schedule.stop();
        let receivers = std::mem::take(&mut *self.receivers.lock().unwrap_or_else(PoisonError::into_inner));
        // A datagram wakes a receiver out of its read, and it then sees that it is to stop. Should none come through,
        // the thread is left behind rather than waited for.
        if let Ok(knock) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            for (address, thread) in receivers {
                if knock.send_to(&[], address).is_ok() {
                    let _ = thread.join();
                }
            }
        }
        if let Some(sender) = self.sender.take() {
            let _ = sender.join();
        }
    }
}

/// Takes datagrams from one socket and puts them on the schedule.
struct Receiver {
    socket: Arc<UdpSocket>,
    /// Where node `to` listens.
    target: SocketAddr,
    there: Arc<Direction>,
    back: Arc<Direction>,
    schedule: Arc<Schedule>,
    stopping: Arc<AtomicBool>,
}

impl Receiver {
    fn run(self) {
        let mut buffer = vec![0; DATAGRAM];
        // Where node `from` dials from, once it has.
        let mut dialler = None;
        loop {
            let received = self.socket.recv_from(&mut buffer);
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            // An error is about a datagram sent earlier, to a node that is down.
            let Ok((length, source)) = received else { continue };
            let now = Instant::now();
            let (direction, destination) = if source == self.target {
                (&self.back, dialler)
            } else {
                dialler = Some(source);
                (&self.there, Some(self.target))
            };
            let Some(destination) = destination else { continue };
            let Some(due) = direction.admit(now, length) else {
                continue;
            };
            self.schedule.push(Datagram {
                due,
                destination,
                bytes: buffer[..length].into(),
                socket: self.socket.clone(),
                direction: direction.clone(),
            });
        }
    }
}

fn bind() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    Ok(socket.into())
}
