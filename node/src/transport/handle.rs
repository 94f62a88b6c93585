//! The handle the rest of the node holds, and what its tasks share.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use prometheus::Registry;
use quinn::{ClientConfig, Connection, Endpoint};
use quorum::NodeId;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    Class, Credentials, Inbound, PeerAddress, TransportError, TransportSettings, acceptor,
    link::Link,
    metrics::Metrics,
    quic,
    refusal::{Rejection, Repeats},
    tls::Expiry,
    wire::{Hello, Kind},
};

/// How long [`Transport::shutdown`] waits for links to flush and for peers to hear the goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// A bound transport. Clones share one socket and one set of connections; it lives until [`Transport::shutdown`].
#[derive(Clone, Debug)]
pub struct Transport {
    shared: Arc<Shared>,
}

/// What the handle and all tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: TransportSettings,
    /// How this node dials; another one when its certificate was renewed.
    client: RwLock<ClientConfig>,
    pub(super) local_address: SocketAddr,
    pub(super) metrics: Metrics,
    pub(super) repeats: Repeats,
    pub(super) stopping: watch::Sender<bool>,
    /// Whether this node has been told who its peers are; before, it cannot tell a peer from a stranger.
    pub(super) acquainted: watch::Sender<bool>,
    /// Gone after a shutdown: the socket closes with the last handle to it.
    endpoint: Mutex<Option<Endpoint>>,
    /// Written only when membership changes; read for every frame, for a few instructions.
    links: RwLock<BTreeMap<NodeId, Running>>,
    /// The connections peers have dialled to us, the newest of each.
    accepted: Mutex<BTreeMap<NodeId, Connection>>,
}

#[derive(Debug)]
struct Running {
    link: Arc<Link>,
    task: JoinHandle<()>,
}

impl Transport {
    /// Binds the socket and dials every peer. Must be called within a tokio runtime. Nobody is let in, or refused, before
    /// the peers are known: from the settings, or by the first [`Transport::set_peers`].
    ///
    /// Frames from peers go to `inbound`, whose bound is the back-pressure. Its item may be [`Inbound`] itself or any
    /// type made from it, such as the receiver's own event.
    pub async fn bind<E: From<Inbound> + Send + 'static>(
        settings: TransportSettings,
        inbound: mpsc::Sender<E>,
        registry: &Registry,
    ) -> Result<Self, TransportError> {
        settings.check()?;
        settings.check_identity(&settings.credentials)?;
        let endpoint = quic::endpoint(&settings)?;
        let client = quic::client_config(&settings, &settings.credentials)?;
        let local_address = endpoint.local_addr().map_err(|source| TransportError::Listen {
            address: settings.listen,
            source,
        })?;
        let metrics = Metrics::register(registry)?;
        metrics.expiry(settings.credentials.expiry()?);
        let peers = settings.peers.clone();
        let shared = Arc::new(Shared {
            settings,
            endpoint: Mutex::new(Some(endpoint.clone())),
            client: RwLock::new(client),
            local_address,
            metrics,
            repeats: Repeats::default(),
            stopping: watch::Sender::new(false),
            acquainted: watch::Sender::new(false),
            links: RwLock::default(),
            accepted: Mutex::default(),
        });
        let transport = Self { shared };
        if !peers.is_empty() {
            transport.set_peers(&peers);
        }
        tokio::spawn(acceptor::accept(transport.shared.clone(), endpoint, inbound));
        Ok(transport)
    }

    /// The address the transport listens on, with the port it was given.
    pub fn local_address(&self) -> SocketAddr {
        self.shared.local_address
    }

    /// Replaces the set of peers: dials new ones, drops the connections to those no longer listed, and dials changed
    /// addresses from the next attempt on. Must be called within the runtime.
    pub fn set_peers(&self, peers: &[PeerAddress]) {
        let mut links = self.shared.links.write().unwrap_or_else(PoisonError::into_inner);
        links.retain(|node, running| {
            let stays = peers.iter().any(|peer| peer.node == *node);
            if !stays {
                running.link.remove();
                if let Some(connection) = self.shared.accepted().get(node) {
                    connection.close(quic::CLOSE_REFUSED, b"no longer a peer");
                }
            }
            stays
        });
        for peer in peers
            .iter()
            .filter(|peer| peer.node != self.shared.settings.identity.node)
        {
            if let Some(running) = links.get(&peer.node) {
                running.link.set_address(&peer.address);
                continue;
            }
            let link = Arc::new(Link::new(peer, &self.shared));
            let task = tokio::spawn(link.clone().run(self.shared.clone()));
            links.insert(peer.node, Running { link, task });
        }
        drop(links);
        self.shared.acquainted.send_replace(true);
    }

    /// Hands a frame over for sending. Never blocks, and works from any thread, inside the runtime or not.
    ///
    /// Returns false when the frame was dropped: `to` is not a peer or not connected, its queue is full, or the frame
    /// is too long. True is no promise either: the connection may end before the frame is out.
    pub fn send(&self, to: NodeId, class: Class, frame: Bytes) -> bool {
        let links = self.shared.links.read().unwrap_or_else(PoisonError::into_inner);
        links
            .get(&to)
            .is_some_and(|running| running.link.send(class, frame, self.shared.settings.max_frame))
    }

    /// The smoothed round trip of the current connection to a peer; `None` without one.
    pub fn round_trip(&self, to: NodeId) -> Option<Duration> {
        self.shared.link(to)?.round_trip()
    }

    /// The wire version in which this node talks to a peer; `None` without a connection.
    pub fn wire_version(&self, to: NodeId) -> Option<u16> {
        self.shared.link(to)?.wire_version()
    }

    /// Whether frames for this peer have a connection to leave by.
    pub fn is_connected(&self, to: NodeId) -> bool {
        self.shared.link(to).is_some_and(|link| link.is_connected())
    }

    /// Uses these credentials for every connection made from now on, and says when they end. Connections that exist stay.
    ///
    /// # Errors
    /// The certificate is not this node's, has expired, or does not fit its key; then nothing changes.
    pub fn renew(&self, credentials: Credentials) -> Result<Expiry, TransportError> {
        let settings = &self.shared.settings;
        settings.check_identity(&credentials)?;
        let expiry = credentials.expiry()?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        if expiry.node.min(expiry.ca) <= i64::try_from(now).unwrap_or(i64::MAX) {
            return Err(TransportError::Tls(
                "the certificate, or its authority, has expired".to_owned(),
            ));
        }
        let (client, server) = (
            quic::client_config(settings, &credentials)?,
            quic::server_config(settings, &credentials)?,
        );
        *self.shared.client.write().unwrap_or_else(PoisonError::into_inner) = client;
        if let Some(endpoint) = self.shared.endpoint() {
            endpoint.set_server_config(Some(server));
        }
        self.shared.metrics.expiry(expiry);
        Ok(expiry)
    }

    /// Takes no more frames, gives those already taken a second to reach their peers, says goodbye to all, and
    /// lets go of the port.
    pub async fn shutdown(&self) {
        self.shared.stopping.send_replace(true);
        let tasks: Vec<Running> = {
            let mut links = self.shared.links.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *links).into_values().collect()
        };
        for running in tasks {
            let abort = running.task.abort_handle();
            if timeout(GOODBYE, running.task).await.is_err() {
                abort.abort();
            }
        }
        let endpoint = self
            .shared
            .endpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(endpoint) = endpoint {
            endpoint.close(quic::CLOSE_SHUTDOWN, b"shutting down");
            let _ = timeout(GOODBYE, endpoint.wait_idle()).await;
        }
    }
}

impl Shared {
    /// The socket, until the shutdown.
    pub(super) fn endpoint(&self) -> Option<Endpoint> {
        self.endpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How to dial now.
    pub(super) fn client(&self) -> ClientConfig {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The link to a peer, if it is one.
    pub(super) fn link(&self, node: NodeId) -> Option<Arc<Link>> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.get(&node).map(|running| running.link.clone())
    }

    /// The connections peers have dialled to us.
    pub(super) fn accepted(&self) -> MutexGuard<'_, BTreeMap<NodeId, Connection>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node's hello for a stream of this kind.
    pub(super) fn hello(&self, kind: Kind) -> Hello {
        Hello {
            kind,
            cluster_id: self.settings.cluster_id,
            from: self.settings.identity.node,
            incarnation: self.settings.incarnation,
            speaks: self.settings.speaks,
        }
    }

    /// Refuses the number of another cluster.
    pub(super) fn check_cluster(&self, cluster_id: u64) -> Result<(), Rejection> {
        let own = self.settings.cluster_id;
        if cluster_id == own {
            return Ok(());
        }
        Err(Rejection::WrongCluster(format!(
            "its cluster number is {cluster_id:016x} and this one's {own:016x}"
        )))
    }
}
