//! The way to one peer: dial, carry frames while the connection lives, dial again.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, SendStream};
use quorum::NodeId;
use tokio::{net::lookup_host, sync::Notify, task::JoinSet, time::timeout};
use tracing::{debug, info, warn};

use super::{
    Class, Identity, PeerAddress,
    handle::Shared,
    identity::server_name,
    metrics::{Drop, PeerMetrics},
    queue::{Push, Queue},
    quic::{CLOSE_GARBAGE, CLOSE_REFUSED, CLOSE_REPLACED, CLOSE_SHUTDOWN},
    refusal::Rejection,
    wire::{Encoder, HELLO_LEN, Hello, Kind, WireError},
};

/// About how many bytes one write to a stream holds.
const WRITE_BYTES: usize = 256 << 10;
/// A connection that lived this long was a good one: the next dial starts with the shortest pause again.
const SETTLED: Duration = Duration::from_secs(2);
/// How long a dial may take from the first datagram to the welcome: four of the longest round trips on Earth.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a peer that keeps not answering is given.
const DIAL_TIMEOUT_MAX: Duration = Duration::from_secs(6);
/// How often gauges are read off the connection.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);
/// How long frames accepted before a shutdown may take to reach the peer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// One peer: where it is, what waits for it, and the connection to it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) node: NodeId,
    pub(super) metrics: PeerMetrics,
    address: Mutex<String>,
    queues: [Queue; 3],
    connected: AtomicBool,
    dialled: Mutex<Option<Dialled>>,
    /// Ends the pause before the next dial.
    retry: Notify,
    /// The peer is no longer one of ours.
    removed: Notify,
}

/// A connection the peer has welcomed us on.
#[derive(Clone, Debug)]
struct Dialled {
    connection: Connection,
    /// Which life of the peer is at the other end.
    incarnation: u64,
    /// In which version the two talk.
    version: u16,
}

/// Why a dial led nowhere.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("its address does not resolve: {0}")]
    Resolve(io::Error),
    #[error("its address resolves to none this node can reach from {0}")]
    NoAddress(SocketAddr),
    #[error("its address cannot be dialled: {0}")]
    Connect(#[from] quinn::ConnectError),
    #[error("it does not answer")]
    Silent,
    #[error("{0}")]
    Lost(ConnectionError),
    #[error("{0}")]
    Rejected(Rejection),
    #[error("its welcome makes no sense: {0}")]
    Garbage(WireError),
}

impl From<ConnectionError> for DialError {
    fn from(error: ConnectionError) -> Self {
        match (Rejection::from_connection(&error), &error) {
            (Some(rejection), _) => Self::Rejected(rejection),
            (None, ConnectionError::TimedOut) => Self::Silent,
            (None, _) => Self::Lost(error),
        }
    }
}

impl Link {
    pub(super) fn new(peer: &PeerAddress, shared: &Shared) -> Self {
        let settings = &shared.settings;
        Self {
            node: peer.node,
            metrics: shared.metrics.peer(peer.node),
            address: Mutex::new(peer.address.clone()),
            queues: [settings.control, settings.replication, settings.bulk].map(Queue::new),
            connected: AtomicBool::new(false),
            dialled: Mutex::new(None),
            retry: Notify::new(),
            removed: Notify::new(),
        }
    }

    /// Queues a frame, or drops and counts it.
    pub(super) fn send(&self, class: Class, frame: Bytes, max_frame: usize) -> bool {
        let drop = if frame.len() > max_frame {
            Drop::TooLong
        } else {
            match self.queues[class.index()].push(frame) {
                Push::Queued => return true,
                Push::Full => Drop::Full,
                Push::Closed => Drop::Disconnected,
            }
        };
        self.metrics.dropped(class, drop, 1);
        false
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.dialled().as_ref().map(|dialled| dialled.connection.rtt())
    }

    pub(super) fn wire_version(&self) -> Option<u16> {
        self.dialled().as_ref().map(|dialled| dialled.version)
    }

    /// Dials this address from now on.
    pub(super) fn set_address(&self, address: &str) {
        let mut current = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != address {
            address.clone_into(&mut current);
            self.retry.notify_one();
        }
    }

    /// Ends the link's task.
    pub(super) fn remove(&self) {
        self.removed.notify_one();
    }

    /// The peer has just dialled us in this life of its own: it is there, and a connection to an earlier life leads
    /// nowhere, although QUIC would need the whole idle time-out to see it.
    pub(super) fn peer_is_alive(&self, incarnation: u64) {
        match &*self.dialled() {
            Some(dialled) if dialled.incarnation == incarnation => return,
            Some(dialled) => dialled.connection.close(CLOSE_REPLACED, b"the peer has restarted"),
            None => {}
        }
        self.retry.notify_one();
    }

    /// Keeps a connection to the peer until the transport stops or the peer is removed.
    pub(super) async fn run(self: Arc<Self>, shared: Arc<Shared>) {
        tokio::select! {
            () = self.stay_connected(&shared) => {}
            () = self.removed.notified() => {
                if let Some(dialled) = self.dialled().take() {
                    dialled.connection.close(CLOSE_SHUTDOWN, b"no longer a peer");
                }
                self.disconnect();
            }
        }
    }

    async fn stay_connected(self: &Arc<Self>, shared: &Arc<Shared>) {
        let mut stopping = shared.stopping.subscribe();
        let mut backoff = Backoff::new(shared.settings.backoff_min, shared.settings.backoff_max);
        for attempt in 0usize.. {
            let result = tokio::select! {
                result = self.dial(shared, attempt, backoff.failures) => result,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            match result {
                Ok(dialled) => {
                    let since = Instant::now();
                    self.carry(shared, dialled).await;
                    if since.elapsed() >= SETTLED {
                        backoff.reset();
                    }
                }
                Err(error) => self.report(shared, &error),
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next()) => {}
                // A peer that dials us is worth dialling at once.
                () = self.retry.notified() => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
        }
    }

    async fn dial(&self, shared: &Shared, attempt: usize, failures: u32) -> Result<Dialled, DialError> {
        let local = shared.local_address;
        let address = self.address.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found: Vec<SocketAddr> = lookup_host(&address).await.map_err(DialError::Resolve)?.collect();
        found.retain(|address| address.is_ipv4() || local.is_ipv6());
        let Some(address) = found.get(attempt % found.len().max(1)) else {
            return Err(DialError::NoAddress(local));
        };
        let name = server_name(&shared.settings.identity.cluster, self.node);
        let endpoint = shared.endpoint().ok_or(quinn::ConnectError::EndpointStopping)?;
        let connecting = endpoint.connect_with(shared.client(), *address, &name)?;
        drop(endpoint);
        let limit = (DIAL_TIMEOUT + failures * (DIAL_TIMEOUT / 4)).min(DIAL_TIMEOUT_MAX);
        timeout(limit, async {
            let connection = connecting.await?;
            let result = self.await_welcome(shared, &connection).await;
            if let Err(DialError::Rejected(rejection)) = &result {
                connection.close(CLOSE_REFUSED, rejection.to_string().as_bytes());
            }
            let (hello, version) = result?;
            Ok(Dialled {
                connection,
                incarnation: hello.incarnation,
                version,
            })
        })
        .await
        .unwrap_or(Err(DialError::Silent))
    }

    /// Checks that the peer is the one meant, and waits until it says that we are welcome.
    async fn await_welcome(&self, shared: &Shared, connection: &Connection) -> Result<(Hello, u16), DialError> {
        let wrong = |text: String| DialError::Rejected(Rejection::WrongIdentity(text));
        let identity =
            peer_identity(connection).map_err(|text| DialError::Rejected(Rejection::BadCertificate(text)))?;
        if identity.cluster != shared.settings.identity.cluster || identity.node != self.node {
            return Err(wrong(format!("its certificate belongs to {identity}")));
        }
        let mut stream = connection.accept_uni().await?;
        let mut bytes = [0; HELLO_LEN];
        if let Err(error) = stream.read_exact(&mut bytes).await {
            return Err(match error {
                quinn::ReadExactError::FinishedEarly(read) => DialError::Garbage(WireError::Truncated(read)),
                quinn::ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error)) => error.into(),
                quinn::ReadExactError::ReadError(_) => DialError::Garbage(WireError::Truncated(0)),
            });
        }
        let (hello, version) = match Hello::decode(&bytes, shared.settings.speaks) {
            Ok(read) => read,
            Err(error @ WireError::Version { .. }) => {
                return Err(DialError::Rejected(Rejection::WireVersion(error.to_string())));
            }
            Err(error) => return Err(DialError::Garbage(error)),
        };
        if hello.kind != Kind::Welcome {
            return Err(DialError::Garbage(WireError::Kind(bytes[6])));
        }
        if hello.from != self.node {
            return Err(wrong(format!("it calls itself node {}", hello.from.0)));
        }
        shared.check_cluster(hello.cluster_id).map_err(DialError::Rejected)?;
        Ok((hello, version))
    }

    /// Sends what is queued over the connection until it ends.
    async fn carry(self: &Arc<Self>, shared: &Shared, dialled: Dialled) {
        let connection = dialled.connection.clone();
        let address = connection.remote_address();
        let streams = match self.open_streams(shared, &connection).await {
            Ok(streams) => streams,
            Err(error) => {
                connection.close(CLOSE_SHUTDOWN, b"no stream");
                return self.lost(shared, &error);
            }
        };
        let mut writers = JoinSet::new();
        for (class, stream) in Class::ALL.into_iter().zip(streams) {
            self.queues[class.index()].open();
            writers.spawn(write(self.clone(), class, stream, connection.clone()));
        }
        *self.dialled() = Some(dialled);
        self.connected.store(true, Ordering::Release);
        self.metrics.up.set(1);
        info!(peer = self.node.0, %address, round_trip = ?connection.rtt(), "connected to peer");

        let mut stopping = shared.stopping.subscribe();
        let mut gauges = Gauges::default();
        let mut tick = tokio::time::interval(GAUGE_INTERVAL);
        let end = loop {
            tokio::select! {
                error = connection.closed() => break Some(error),
                _ = tick.tick() => gauges.read(&connection, &self.metrics),
                _ = stopping.wait_for(|stopping| *stopping) => break None,
            }
        };
        if end.is_none() {
            self.queues.iter().for_each(Queue::finish);
            // Past the time-out the peer is too slow for what is left, and the protocol survives that.
            let _ = timeout(FLUSH_TIMEOUT, async { while writers.join_next().await.is_some() {} }).await;
            connection.close(CLOSE_SHUTDOWN, b"shutting down");
        }
        self.disconnect();
        if let Some(error) = end {
            self.lost(shared, &error);
        }
    }

    async fn open_streams(&self, shared: &Shared, connection: &Connection) -> Result<Vec<SendStream>, ConnectionError> {
        let mut streams = Vec::with_capacity(Class::ALL.len());
        for class in Class::ALL {
            let mut stream = connection.open_uni().await?;
            let hello = shared.hello(Kind::Frames(class));
            let closed = |connection: &Connection| connection.close_reason().unwrap_or(ConnectionError::LocallyClosed);
            stream.set_priority(class.priority()).map_err(|_| closed(connection))?;
            stream
                .write_all(&hello.encode())
                .await
                .map_err(|_| closed(connection))?;
            streams.push(stream);
        }
        Ok(streams)
    }

    /// Forgets the connection and the frames that waited for it.
    fn disconnect(&self) {
        self.connected.store(false, Ordering::Release);
        *self.dialled() = None;
        self.metrics.up.set(0);
        self.metrics.rtt.set(0.0);
        for class in Class::ALL {
            let dropped = self.queues[class.index()].close();
            self.metrics.dropped(class, Drop::Disconnected, dropped as u64);
        }
    }

    fn lost(&self, shared: &Shared, error: &ConnectionError) {
        self.metrics.reconnects.inc();
        if let Some(rejection) = Rejection::from_connection(error) {
            shared.metrics.rejected(&rejection);
        }
        if let Some(suppressed) = shared.repeats.admit(&format!("lost {}", self.node.0), Instant::now()) {
            warn!(peer = self.node.0, %error, suppressed, "the connection to the peer ended; dialling again");
        }
    }

    fn report(&self, shared: &Shared, error: &DialError) {
        let reason = match error {
            DialError::Rejected(rejection) => {
                shared.metrics.rejected(rejection);
                rejection.reason()
            }
            DialError::Garbage(error) => {
                shared.metrics.decode_error(error);
                error.reason()
            }
            _ => "unreachable",
        };
        match shared
            .repeats
            .admit(&format!("dial {} {reason}", self.node.0), Instant::now())
        {
            Some(suppressed) => warn!(
                peer = self.node.0,
                reason, suppressed, "cannot connect to the peer: {error}"
            ),
            None => debug!(peer = self.node.0, reason, "cannot connect to the peer: {error}"),
        }
    }

    fn dialled(&self) -> MutexGuard<'_, Option<Dialled>> {
        self.dialled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The identity in the certificate of the node at the other end.
pub(super) fn peer_identity(connection: &Connection) -> Result<Identity, String> {
    let chain = connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<rustls_pki_types::CertificateDer<'static>>>().ok())
        .ok_or("it came without a certificate")?;
    let leaf = chain.first().ok_or("it came with an empty certificate chain")?;
    Identity::from_certificate(leaf)
}

/// Writes one class's queue to its stream: whatever waits goes out as few large pieces.
async fn write(link: Arc<Link>, class: Class, mut stream: SendStream, connection: Connection) {
    let queue = &link.queues[class.index()];
    let mut batch = Vec::new();
    let mut encoder = Encoder::default();
    while queue.drain(&mut batch, WRITE_BYTES).await {
        batch.drain(..).for_each(|frame| encoder.push(frame));
        let pieces = encoder.pieces();
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        if stream.write_all_chunks(pieces).await.is_err() {
            // Either the connection is gone, or the peer has stopped this one stream, which leaves it of no use.
            connection.close(CLOSE_GARBAGE, b"a stream was stopped");
            return;
        }
        encoder.clear();
        link.metrics.sent(class, bytes as u64);
    }
    if stream.finish().is_ok() {
        let _ = stream.stopped().await;
    }
}

/// Reads what QUIC knows about the path into the metrics.
#[derive(Debug, Default)]
struct Gauges {
    lost: u64,
}

impl Gauges {
    fn read(&mut self, connection: &Connection, metrics: &PeerMetrics) {
        let path = connection.stats().path;
        metrics.rtt.set(path.rtt.as_secs_f64());
        metrics.mtu.set(i64::from(path.current_mtu));
        metrics.lost.inc_by(path.lost_packets.saturating_sub(self.lost));
        self.lost = path.lost_packets;
    }
}

/// Pauses that double with every failure, each within ±50 % of its middle so that peers do not dial in step.
#[derive(Debug)]
struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    jitter: RandomState,
}

impl Backoff {
    fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            failures: 0,
            jitter: RandomState::new(),
        }
    }

    fn reset(&mut self) {
        self.failures = 0;
    }

    fn next(&mut self) -> Duration {
        let middle = self.min.saturating_mul(1 << self.failures.min(16)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let random = self.jitter.hash_one((self.failures, Instant::now())) % 1024;
        middle / 2 + middle * (random as u32) / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(50), ms(2000));
        for middle in [50, 100, 200, 400, 800, 1600, 2000, 2000] {
            let pause = backoff.next();
            assert!(
                pause >= ms(middle) / 2 && pause <= ms(middle) * 3 / 2,
                "{pause:?} around {middle} ms"
            );
        }
        for _ in 0..100 {
            backoff.next();
        }
        backoff.reset();
        assert!(backoff.next() <= ms(75));
    }
}
