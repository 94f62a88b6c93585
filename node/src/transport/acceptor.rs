//! The listening side: let known peers in, read their streams, hand frames on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use quinn::{Connection, ConnectionError, Endpoint, Incoming, ReadError, ReadExactError, RecvStream};
use quorum::NodeId;
use tokio::{
    io::AsyncReadExt,
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tracing::{debug, info, warn};

use super::{
    Class, Inbound,
    handle::Shared,
    link::peer_identity,
    quic::{CLOSE_GARBAGE, CLOSE_REFUSED, CLOSE_REPLACED, CLOSE_SHUTDOWN},
    refusal::Rejection,
    wire::{Decoder, HELLO_LEN, Hello, Kind, WireError},
};

/// Handshakes under way at the same time. More wait, and beyond QUIC's own limit are refused.
const HANDSHAKES: usize = 64;

/// Accepts connections until the endpoint closes. `E` is whatever the receiver's channel holds.
pub(super) async fn accept<E: From<Inbound> + Send + 'static>(
    shared: Arc<Shared>,
    endpoint: Endpoint,
    inbound: mpsc::Sender<E>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    // Peers that dial a node that reads its disk are no strangers: they wait until it knows who they are.
    if shared.acquainted.subscribe().wait_for(|known| *known).await.is_err() {
        return;
    }
    loop {
        let Ok(permit) = handshakes.clone().acquire_owned().await else {
            return;
        };
        let Some(incoming) = endpoint.accept().await else {
            return;
        };
        let (shared, inbound) = (shared.clone(), inbound.clone());
        tokio::spawn(async move {
            let admitted = admit(&shared, incoming).await;
            drop(permit);
            if let Some((peer, connection)) = admitted {
                serve(shared, peer, connection, inbound).await;
            }
        });
    }
}

/// Completes the handshake and says welcome, or refuses.
async fn admit(shared: &Arc<Shared>, incoming: Incoming) -> Option<(NodeId, Connection)> {
    let address = incoming.remote_address();
    let connection = match async { incoming.accept()?.await }.await {
        Ok(connection) => connection,
        Err(error) => {
            match Rejection::from_connection(&error) {
                Some(rejection) => refuse(shared, None, &rejection, &address),
                None => debug!(%address, %error, "a handshake was not completed"),
            }
            return None;
        }
    };
    if *shared.stopping.borrow() {
        // Its links are gone already, so everybody would look like a stranger.
        connection.close(CLOSE_SHUTDOWN, b"shutting down");
        return None;
    }
    let peer = match judge(shared, &connection) {
        Ok(peer) => peer,
        Err(rejection) => {
            refuse(shared, Some(&connection), &rejection, &address);
            return None;
        }
    };
    match welcome(shared, &connection).await {
        Ok(()) => Some((peer, connection)),
        Err(error) => {
            debug!(peer = peer.0, %address, %error, "the peer left before it was welcomed");
            None
        }
    }
}

/// Reads who the peer is out of its certificate, and decides whether it may come in.
fn judge(shared: &Shared, connection: &Connection) -> Result<NodeId, Rejection> {
    let identity = peer_identity(connection).map_err(Rejection::BadCertificate)?;
    let own = &shared.settings.identity;
    if identity.cluster != own.cluster {
        return Err(Rejection::WrongCluster(format!("it is {identity} and this is {own}")));
    }
    if identity.node == own.node {
        return Err(Rejection::WrongIdentity(format!(
            "it carries the certificate of {identity}, which is this node"
        )));
    }
    if shared.link(identity.node).is_none() {
        return Err(Rejection::UnknownNode(identity.node.0));
    }
    Ok(identity.node)
}

async fn welcome(shared: &Shared, connection: &Connection) -> Result<(), ConnectionError> {
    let mut stream = connection.open_uni().await?;
    let closed = || connection.close_reason().unwrap_or(ConnectionError::LocallyClosed);
    stream
        .write_all(&shared.hello(Kind::Welcome).encode())
        .await
        .map_err(|_| closed())?;
    stream.finish().map_err(|_| closed())
}

fn refuse(shared: &Shared, connection: Option<&Connection>, rejection: &Rejection, address: &std::net::SocketAddr) {
    if let Some(connection) = connection {
        connection.close(CLOSE_REFUSED, rejection.to_string().as_bytes());
    }
    shared.metrics.rejected(rejection);
    let reason = rejection.reason();
    match shared.repeats.admit(&format!("refused {reason}"), Instant::now()) {
        Some(suppressed) => warn!(%address, reason, suppressed, "refused a peer: {rejection}"),
        None => debug!(%address, reason, "refused a peer: {rejection}"),
    }
}

/// Reads a peer's streams until its connection ends.
async fn serve<E: From<Inbound> + Send + 'static>(
    shared: Arc<Shared>,
    peer: NodeId,
    connection: Connection,
    inbound: mpsc::Sender<E>,
) {
    let id = connection.stable_id();
    if let Some(before) = shared.accepted().insert(peer, connection.clone()) {
        before.close(CLOSE_REPLACED, b"replaced by a newer connection");
    }
    info!(peer = peer.0, address = %connection.remote_address(), "accepted a connection from peer");

    let mut readers = JoinSet::new();
    let classes = Arc::new(Mutex::new([false; 3]));
    let error = loop {
        match connection.accept_uni().await {
            Ok(stream) => {
                let reader = Reader {
                    shared: shared.clone(),
                    peer,
                    connection: connection.clone(),
                };
                readers.spawn(reader.run(stream, classes.clone(), inbound.clone()));
            }
            Err(error) => break error,
        }
    };
    debug!(peer = peer.0, %error, "the connection from the peer ended");
    // Frames that have arrived whole are still delivered.
    while readers.join_next().await.is_some() {}
    let mut accepted = shared.accepted();
    if accepted
        .get(&peer)
        .is_some_and(|connection| connection.stable_id() == id)
    {
        accepted.remove(&peer);
    }
}

/// Reads one stream.
struct Reader {
    shared: Arc<Shared>,
    peer: NodeId,
    connection: Connection,
}

/// Why a stream is no longer read.
enum End {
    Garbage(WireError),
    Rejected(Rejection),
    /// The connection ended, or the driver did.
    Over,
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Version { .. } => End::Rejected(Rejection::WireVersion(error.to_string())),
            other => End::Garbage(other),
        }
    }
}

impl Reader {
    async fn run<E: From<Inbound>>(
        self,
        mut stream: RecvStream,
        classes: Arc<Mutex<[bool; 3]>>,
        inbound: mpsc::Sender<E>,
    ) {
        let end = match self.read_hello(&mut stream, &classes).await {
            Ok(class) => self.read_frames(&mut stream, class, &inbound).await,
            Err(end) => end,
        };
        match end {
            End::Over => {}
            End::Rejected(rejection) => {
                refuse(
                    &self.shared,
                    Some(&self.connection),
                    &rejection,
                    &self.connection.remote_address(),
                );
            }
            End::Garbage(error) => {
                self.shared.metrics.decode_error(&error);
                let peer = self.peer.0;
                if let Some(suppressed) = self.shared.repeats.admit(&format!("garbage {peer}"), Instant::now()) {
                    warn!(peer, suppressed, "closing the connection from the peer: {error}");
                }
                self.connection.close(CLOSE_GARBAGE, error.to_string().as_bytes());
            }
        }
    }

    async fn read_hello(&self, stream: &mut RecvStream, classes: &Mutex<[bool; 3]>) -> Result<Class, End> {
        let mut bytes = [0; HELLO_LEN];
        match stream.read_exact(&mut bytes).await {
            Ok(()) => {}
            Err(ReadExactError::FinishedEarly(read)) => return Err(WireError::Truncated(read).into()),
            Err(ReadExactError::ReadError(_)) => return Err(End::Over),
        }
        let (hello, _) = Hello::decode(&bytes, self.shared.settings.speaks)?;
        let Kind::Frames(class) = hello.kind else {
            return Err(WireError::Kind(bytes[6]).into());
        };
        if hello.from != self.peer {
            let text = format!(
                "its certificate is node {}'s but it calls itself {}",
                self.peer.0, hello.from.0
            );
            return Err(End::Rejected(Rejection::WrongIdentity(text)));
        }
        self.shared.check_cluster(hello.cluster_id).map_err(End::Rejected)?;
        let mut classes = classes.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut classes[class.index()], true) {
            return Err(WireError::Kind(bytes[6]).into());
        }
        drop(classes);
        if let Some(link) = self.shared.link(self.peer) {
            link.peer_is_alive(hello.incarnation);
        }
        Ok(class)
    }

    async fn read_frames<E: From<Inbound>>(
        &self,
        stream: &mut RecvStream,
        class: Class,
        inbound: &mpsc::Sender<E>,
    ) -> End {
        let Some(link) = self.shared.link(self.peer) else {
            return End::Over;
        };
        let mut decoder = Decoder::new(self.shared.settings.max_frame);
        loop {
            match stream.read_buf(decoder.room()).await {
                Ok(0) => return decoder.finish().map_or_else(End::from, |()| End::Over),
                Ok(bytes) => link.metrics.received(class, bytes as u64),
                Err(error) => {
                    let reset = matches!(
                        error.get_ref().and_then(|inner| inner.downcast_ref::<ReadError>()),
                        Some(ReadError::Reset(_))
                    );
                    return if reset {
                        WireError::Truncated(0).into()
                    } else {
                        End::Over
                    };
                }
            }
            let mut frames = Vec::new();
            let error = loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            if !frames.is_empty()
                && inbound
                    .send(
                        Inbound {
                            from: self.peer,
                            class,
                            frames,
                        }
                        .into(),
                    )
                    .await
                    .is_err()
            {
                self.connection.close(CLOSE_SHUTDOWN, b"shutting down");
                return End::Over;
            }
            if let Some(error) = error {
                return error.into();
            }
        }
    }
}
