//! The transport on loopback: real sockets, real certificates, several transports in one process.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bytes::Bytes;
use node::{
    cli::certs::{Authority, CertificateFiles},
    relay::Relay,
    transport::{
        Class, Credentials, Identity, Inbound, PeerAddress, QueueLimits, Transport, TransportError, TransportSettings,
        wire::{Encoder, Hello, Kind, VERSIONS, Versions},
    },
};
use prometheus::Registry;
use quorum::NodeId;
use tempfile::TempDir;
use tokio::sync::mpsc;

const CLUSTER: &str = "orders";
const CLUSTER_ID: u64 = 0x5eed;
/// Far beyond what anything here takes: a test that reaches it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with an authority and whatever certificates tests ask it for.
struct Office {
    dir: TempDir,
    authority: Authority,
}

impl Office {
    fn open(cluster: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::create(cluster, 1).expect("an authority");
        authority.write(dir.path(), false).expect("written");
        Self { dir, authority }
    }

    fn ca(&self) -> std::path::PathBuf {
        CertificateFiles::of_authority(self.dir.path()).certificate
    }

    fn credentials(&self, identity: &Identity) -> Credentials {
        self.credentials_trusting(identity, &self.ca())
    }

    fn credentials_trusting(&self, identity: &Identity, ca: &Path) -> Credentials {
        let issued = self.authority.issue(identity, &[], 1).expect("a certificate");
        let files = issued.write(self.dir.path(), identity, true).expect("written");
        Credentials::load(ca, &files.certificate, &files.key).expect("loads")
    }
}

fn identity(node: u64) -> Identity {
    Identity::new(CLUSTER, NodeId(node), "eu-west-1").expect("valid")
}

/// One node: its transport, what arrives there, its metrics.
struct Node {
    transport: Transport,
    inbound: mpsc::Receiver<Inbound>,
    registry: Registry,
}

impl Node {
    async fn start(settings: TransportSettings) -> Self {
        let (sender, inbound) = mpsc::channel(64);
        let registry = Registry::new();
        let transport = Transport::bind(settings, sender, &registry).await.expect("binds");
        Self {
            transport,
            inbound,
            registry,
        }
    }

    fn port(&self) -> u16 {
        self.transport.local_address().port()
    }

    fn meet(&self, peers: &[(u64, u16)]) {
        let peers: Vec<PeerAddress> = peers.iter().map(|(node, port)| peer(*node, *port)).collect();
        self.transport.set_peers(&peers);
    }

    /// The sum of a metric over all series whose labels include these.
    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == name)
            .unwrap_or_else(|| panic!("no {name}"));
        let matches = |metric: &&prometheus::proto::Metric| {
            labels.iter().all(|(name, value)| {
                metric
                    .get_label()
                    .iter()
                    .any(|pair| pair.name() == *name && pair.value() == *value)
            })
        };
        family
            .get_metric()
            .iter()
            .filter(matches)
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }

    async fn connected(&self, peer: u64) {
        until(&format!("a connection to node {peer}"), || {
            self.transport.is_connected(NodeId(peer))
        })
        .await;
    }

    async fn counts(&self, name: &str, reason: &str) {
        until(&format!("{name} to count {reason}"), || {
            self.metric(name, &[("reason", reason)]) >= 1.0
        })
        .await;
    }
}

fn peer(node: u64, port: u16) -> PeerAddress {
    PeerAddress {
        node: NodeId(node),
        address: format!("127.0.0.1:{port}"),
    }
}

fn settings(node: u64, credentials: Credentials) -> TransportSettings {
    let listen = "127.0.0.1:0".parse().expect("an address");
    TransportSettings::new(listen, identity(node), 1, CLUSTER_ID, credentials, Vec::new())
}

/// Waits for a condition that some other task brings about.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"));
}

fn frame(from: u64, to: u64, class: Class, number: u32) -> Bytes {
    // Every tenth frame of the bulk class is large: it takes many packets and the encoder's other path.
    let padding = if class == Class::Bulk && number.is_multiple_of(10) {
        100_000
    } else {
        50
    };
    let mut text = format!("{from} {to} {} {number} ", class.name()).into_bytes();
    text.resize(text.len() + padding, b'.');
    text.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_exchange_frames_of_all_classes_in_order() {
    const FRAMES: u32 = 500;
    let office = Office::open(CLUSTER);
    let mut nodes = Vec::new();
    for node in 1..=3 {
        nodes.push(Node::start(settings(node, office.credentials(&identity(node)))).await);
    }
    let ports: Vec<(u64, u16)> = (1..).zip(nodes.iter().map(Node::port)).collect();
    for node in &nodes {
        node.meet(&ports);
    }
    for (me, node) in (1..).zip(&nodes) {
        for other in (1..=3).filter(|other| *other != me) {
            node.connected(other).await;
            assert!(node.transport.round_trip(NodeId(other)).is_some());
            assert_eq!(node.metric("synod_peer_up", &[("peer", &other.to_string())]), 1.0);
        }
        assert!(!node.transport.is_connected(NodeId(me)), "a node is not its own peer");
    }
    for (me, node) in (1u64..).zip(&nodes) {
        let transport = node.transport.clone();
        // A thread that is none of the runtime's sends as well as any other.
        let sender = std::thread::spawn(move || {
            for number in 0..FRAMES {
                for other in (1..=3).filter(|other| *other != me) {
                    for class in Class::ALL {
                        assert!(transport.send(NodeId(other), class, frame(me, other, class, number)));
                    }
                }
            }
        });
        sender.join().expect("the sender does not panic");
    }
    for (me, node) in (1u64..).zip(&mut nodes) {
        let mut next: BTreeMap<(NodeId, Class), u32> = BTreeMap::new();
        for _ in 0..FRAMES * 6 {
            if next.values().sum::<u32>() == FRAMES * 6 {
                break;
            }
            let inbound = tokio::time::timeout(PATIENCE, node.inbound.recv())
                .await
                .expect("in time")
                .expect("open");
            for received in inbound.frames {
                let number = next.entry((inbound.from, inbound.class)).or_default();
                assert_eq!(received, frame(inbound.from.0, me, inbound.class, *number));
                *number += 1;
            }
        }
        assert_eq!(next.values().sum::<u32>(), FRAMES * 6, "node {me} has all frames");
        assert_eq!(node.metric("synod_peer_dropped_frames_total", &[]), 0.0);
        let received = node.metric("synod_peer_received_bytes_total", &[("class", "bulk")]);
        assert!(received > f64::from(FRAMES / 10 * 100_000 * 2), "{received}");
    }
    for node in &nodes {
        node.transport.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_or_stops_refuses_no_peer() {
    let office = Office::open(CLUSTER);
    let one = Node::start(settings(1, office.credentials(&identity(1)))).await;
    let two = Node::start(settings(2, office.credentials(&identity(2)))).await;
    two.meet(&[(1, one.port())]);
    // Long enough for a dial to arrive; if it comes later, the test is only easier.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!two.transport.is_connected(NodeId(1)), "node 1 knows nobody yet");
    one.meet(&[(2, two.port())]);
    one.connected(2).await;
    two.connected(1).await;
    one.transport.shutdown().await;
    until("node 2 notices", || !two.transport.is_connected(NodeId(1))).await;
    for node in [&one, &two] {
        assert_eq!(node.metric("synod_peer_rejections_total", &[]), 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_authority_is_refused_and_counted_on_both_sides() {
    let (ours, theirs) = (Office::open(CLUSTER), Office::open(CLUSTER));
    let one = Node::start(settings(1, ours.credentials(&identity(1)))).await;
    // The stranger trusts our authority, so that only its own certificate is at fault.
    let stranger = Node::start(settings(2, theirs.credentials_trusting(&identity(2), &ours.ca()))).await;
    stranger.meet(&[]);
    one.meet(&[(2, stranger.port())]);
    one.counts("synod_peer_rejections_total", "unknown_ca").await;
    stranger.meet(&[(1, one.port())]);
    stranger.counts("synod_peer_rejections_total", "refused_by_peer").await;
    assert!(!one.transport.is_connected(NodeId(2)));
    assert!(!stranger.transport.is_connected(NodeId(1)));
    one.transport.shutdown().await;
    stranger.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_identity_is_refused_and_counted() {
    let office = Office::open(CLUSTER);
    let one = Node::start(settings(1, office.credentials(&identity(1)))).await;
    let three = Node::start(settings(3, office.credentials(&identity(3)))).await;
    three.meet(&[]);
    // Node 1 is told that node 2 lives where node 3 does.
    one.meet(&[(2, three.port())]);
    one.counts("synod_peer_rejections_total", "wrong_identity").await;
    assert!(!one.transport.is_connected(NodeId(2)));
    // Node 3 dials node 1, which does not know it.
    three.meet(&[(1, one.port())]);
    one.counts("synod_peer_rejections_total", "unknown_node").await;
    three.counts("synod_peer_rejections_total", "refused_by_peer").await;
    assert!(!three.transport.is_connected(NodeId(1)));
    one.transport.shutdown().await;
    three.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_of_the_same_authority_and_name_is_refused() {
    let office = Office::open(CLUSTER);
    let one = Node::start(settings(1, office.credentials(&identity(1)))).await;
    let mut other = settings(2, office.credentials(&identity(2)));
    other.cluster_id = CLUSTER_ID + 1;
    let two = Node::start(other).await;
    one.meet(&[(2, two.port())]);
    two.meet(&[(1, one.port())]);
    one.counts("synod_peer_rejections_total", "wrong_cluster").await;
    two.counts("synod_peer_rejections_total", "wrong_cluster").await;
    assert!(!one.transport.is_connected(NodeId(2)) && !two.transport.is_connected(NodeId(1)));
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

#[tokio::test]
async fn a_node_does_not_start_with_another_nodes_certificate() {
    let office = Office::open(CLUSTER);
    let (sender, _inbound) = mpsc::channel::<Inbound>(1);
    let wrong = settings(1, office.credentials(&identity(2)));
    let error = Transport::bind(wrong, sender, &Registry::new())
        .await
        .expect_err("refused");
    assert!(matches!(error, TransportError::NotOurCertificate { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_is_a_clear_error() {
    let office = Office::open(CLUSTER);
    let one = Node::start(settings(1, office.credentials(&identity(1)))).await;
    let mut taken = settings(2, office.credentials(&identity(2)));
    taken.listen = one.transport.local_address();
    let (sender, _inbound) = mpsc::channel::<Inbound>(1);
    let error = Transport::bind(taken, sender, &Registry::new())
        .await
        .expect_err("taken");
    let expected = format!("cannot listen for peers on {}/udp", one.transport.local_address());
    assert!(error.to_string().starts_with(&expected), "{error}");
    one.transport.shutdown().await;
}

#[test]
fn credential_errors_name_the_file() {
    let office = Office::open(CLUSTER);
    office.credentials(&identity(1));
    let files = CertificateFiles::of_node(office.dir.path(), NodeId(1));
    let missing = office.dir.path().join("missing.pem");
    for (ca, certificate, key, named) in [
        (&missing, &files.certificate, &files.key, &missing),
        (&office.ca(), &missing, &files.key, &missing),
        (&office.ca(), &files.certificate, &missing, &missing),
        (&office.ca(), &files.key, &files.key, &files.key),
        (&office.ca(), &files.certificate, &files.certificate, &files.certificate),
    ] {
        let error = Credentials::load(ca, certificate, key)
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains(&*named.to_string_lossy()),
            "{error} names {}",
            named.display()
        );
    }
}

/// Dials `to` as node 2 with bare QUIC, and writes these bytes to a stream.
async fn write_raw(office: &Office, to: &Node, bytes: Vec<u8>) -> quinn::ConnectionError {
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    office.credentials(&identity(2));
    let files = CertificateFiles::of_node(office.dir.path(), NodeId(2));
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(office.ca()).expect("loads"))
        .expect("good");
    let mut tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3 exists")
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(files.certificate).expect("loads")],
            PrivateKeyDer::from_pem_file(files.key).expect("loads"),
        )
        .expect("good");
    tls.alpn_protocols = vec![b"synod-peer".to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("has a cipher suite for QUIC");
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("binds");
    let config = quinn::ClientConfig::new(std::sync::Arc::new(crypto));
    let connection = endpoint
        .connect_with(config, to.transport.local_address(), &identity(1).server_name())
        .expect("dials")
        .await
        .expect("connects");
    let mut stream = connection.open_uni().await.expect("opens");
    stream.write_all(&bytes).await.expect("writes");
    stream.finish().expect("finishes");
    tokio::time::timeout(PATIENCE, connection.closed())
        .await
        .expect("the connection is closed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_from_an_authenticated_peer_closes_the_connection_and_is_counted() {
    let office = Office::open(CLUSTER);
    let mut one = Node::start(settings(1, office.credentials(&identity(1)))).await;
    // Port 9 is where nobody listens: node 2 is known, and not there.
    one.meet(&[(2, 9)]);
    let hello = Hello {
        kind: Kind::Frames(Class::Control),
        cluster_id: CLUSTER_ID,
        from: NodeId(2),
        incarnation: 1,
        speaks: VERSIONS,
    };
    let hello_with = |bytes: &[u8]| [&hello.encode()[..], bytes].concat();
    let mut good = Encoder::default();
    good.push(Bytes::from_static(b"good"));
    let good = good.pieces().concat();
    let mut bad_checksum = good.clone();
    bad_checksum[9] ^= 1;
    let mut unknown_kind = hello.encode().to_vec();
    unknown_kind[6] = 7;
    for (reason, bytes) in [
        ("magic", vec![0x47; 64]),
        ("checksum", hello_with(&bad_checksum)),
        ("length", hello_with(&[0xff; 8])),
        ("truncated", hello_with(&good[..10])),
        ("kind", unknown_kind),
    ] {
        let end = write_raw(&office, &one, bytes).await;
        assert!(
            matches!(end, quinn::ConnectionError::ApplicationClosed(_)),
            "{reason}: {end}"
        );
        one.counts("synod_peer_decode_errors_total", reason).await;
    }
    assert_eq!(
        one.metric("synod_peer_decode_errors_total", &[]),
        5.0,
        "each counted once"
    );

    let mut newer = hello.encode().to_vec();
    newer[4] += 1;
    let end = write_raw(&office, &one, newer).await.to_string();
    assert!(
        end.contains(&format!("wire version {}", VERSIONS.newest + 1)) && end.contains("upgrade this node"),
        "{end}"
    );
    one.counts("synod_peer_rejections_total", "wire_version").await;

    let impostor = Hello {
        from: NodeId(3),
        ..hello
    };
    write_raw(&office, &one, impostor.encode().to_vec()).await;
    one.counts("synod_peer_rejections_total", "wrong_identity").await;

    // A good frame before the garbage is delivered, and nothing after it.
    write_raw(&office, &one, hello_with(&[&good[..], &[0xff; 8], &good[..]].concat())).await;
    let inbound = one.inbound.recv().await.expect("open");
    assert_eq!(
        (inbound.from, inbound.frames),
        (NodeId(2), vec![Bytes::from_static(b"good")])
    );
    assert!(one.inbound.try_recv().is_err());
    one.transport.shutdown().await;
}

/// Builds of three versions: one that speaks the first only, one that speaks two, and one that has forgotten the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_upgraded_node_by_node_and_versions_too_far_apart_say_so() {
    let office = Office::open(CLUSTER);
    let build = |node: u64, oldest, newest| TransportSettings {
        speaks: Versions { oldest, newest },
        ..settings(node, office.credentials(&identity(node)))
    };
    let version = |of: &Node, to: u64| of.transport.wire_version(NodeId(to));
    let mut one = Node::start(build(1, 1, 1)).await;
    let mut two = Node::start(build(2, 1, 1)).await;
    for round in 0..3 {
        one.meet(&[(2, two.port())]);
        two.meet(&[(1, one.port())]);
        one.connected(2).await;
        two.connected(1).await;
        let talked = if round == 2 { 2 } else { 1 };
        until("both to know the other's version", || {
            version(&one, 2) == Some(talked) && version(&two, 1) == Some(talked)
        })
        .await;
        let frame = Bytes::from(format!("round {round}"));
        assert!(one.transport.send(NodeId(2), Class::Replication, frame.clone()));
        assert!(two.transport.send(NodeId(1), Class::Replication, frame.clone()));
        for node in [&mut one, &mut two] {
            assert_eq!(
                node.inbound.recv().await.expect("open").frames,
                std::slice::from_ref(&frame)
            );
        }
        // The next node stops, and comes back as a newer build.
        if round == 0 {
            one.transport.shutdown().await;
            one = Node::start(build(1, 1, 2)).await;
        } else if round == 1 {
            two.transport.shutdown().await;
            two = Node::start(build(2, 1, 2)).await;
        }
    }
    // Two versions ahead at once is too much for who has stayed behind.
    let three = Node::start(build(3, 3, 4)).await;
    three.meet(&[(1, one.port())]);
    one.meet(&[(3, three.port())]);
    one.counts("synod_peer_rejections_total", "wire_version").await;
    assert!(!one.transport.is_connected(NodeId(3)) && !three.transport.is_connected(NodeId(1)));
    for node in [one, two, three] {
        node.transport.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_is_dialled_again() {
    let office = Office::open(CLUSTER);
    let mut one = Node::start(settings(1, office.credentials(&identity(1)))).await;
    let two = Node::start(settings(2, office.credentials(&identity(2)))).await;
    let port = two.port();
    one.meet(&[(2, port)]);
    two.meet(&[(1, one.port())]);
    one.connected(2).await;
    two.connected(1).await;
    two.transport.shutdown().await;
    until("the loss to be noticed", || !one.transport.is_connected(NodeId(2))).await;
    assert!(
        !one.transport
            .send(NodeId(2), Class::Control, Bytes::from_static(b"into the void"))
    );
    assert_eq!(
        one.metric("synod_peer_dropped_frames_total", &[("reason", "disconnected")]),
        1.0
    );

    let mut again = settings(2, office.credentials(&identity(2)));
    again.listen.set_port(port);
    again.incarnation = 2;
    // The socket closes a moment after the goodbye, when its driver's task has seen that nobody holds it.
    let free = || std::net::UdpSocket::bind(again.listen).is_ok();
    until("the port to be free", free).await;
    let two = Node::start(again).await;
    two.meet(&[(1, one.port())]);
    one.connected(2).await;
    two.connected(1).await;
    assert!(one.metric("synod_peer_reconnects_total", &[("peer", "2")]) >= 1.0);
    assert!(
        two.transport
            .send(NodeId(1), Class::Control, Bytes::from_static(b"back"))
    );
    let inbound = tokio::time::timeout(PATIENCE, one.inbound.recv())
        .await
        .expect("in time")
        .expect("open");
    assert_eq!(
        (inbound.from, inbound.frames),
        (NodeId(2), vec![Bytes::from_static(b"back")])
    );
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_drops_and_counts_and_classes_do_not_wait_for_each_other() {
    let office = Office::open(CLUSTER);
    let mut tight = settings(1, office.credentials(&identity(1)));
    tight.bulk = QueueLimits {
        frames: 100,
        bytes: 4 << 20,
    };
    let one = Node::start(tight).await;
    // Node 2's driver takes nothing, so its readers stop and the streams' windows close.
    let (sender, mut inbound) = mpsc::channel::<Inbound>(1);
    let registry = Registry::new();
    let two = Transport::bind(settings(2, office.credentials(&identity(2))), sender, &registry)
        .await
        .expect("binds");
    two.set_peers(&[peer(1, one.port())]);
    one.meet(&[(2, two.local_address().port())]);
    one.connected(2).await;

    let large = Bytes::from(vec![7; 1 << 20]);
    let mut accepted = 0u32;
    until("the bulk queue to fill", || {
        let sent = one.transport.send(NodeId(2), Class::Bulk, large.clone());
        accepted += u32::from(sent);
        !sent && accepted > 32
    })
    .await;
    assert!(
        one.metric(
            "synod_peer_dropped_frames_total",
            &[("class", "bulk"), ("reason", "full")]
        ) >= 1.0
    );
    // Replication still leaves node 1, although bulk is stuck: its queue empties onto its own stream.
    let before = one.metric("synod_peer_sent_bytes_total", &[("class", "replication")]);
    assert!(
        one.transport
            .send(NodeId(2), Class::Replication, Bytes::from_static(b"urgent"))
    );
    until("replication to be written", || {
        one.metric("synod_peer_sent_bytes_total", &[("class", "replication")]) > before
    })
    .await;
    let oversized = Bytes::from(vec![0; (16 << 20) + 1]);
    assert!(!one.transport.send(NodeId(2), Class::Bulk, oversized));
    assert_eq!(
        one.metric("synod_peer_dropped_frames_total", &[("reason", "too_long")]),
        1.0
    );

    // Once the driver takes again, everything that was accepted arrives.
    let (mut bulk, mut urgent) = (0, 0);
    while bulk < accepted || urgent < 1 {
        let batch = tokio::time::timeout(PATIENCE, inbound.recv())
            .await
            .expect("in time")
            .expect("open");
        match batch.class {
            Class::Bulk => bulk += batch.frames.len() as u32,
            _ => urgent += batch.frames.len(),
        }
    }
    assert_eq!((bulk, urgent), (accepted, 1));
    one.transport.shutdown().await;
    two.shutdown().await;
}

/// Two nodes that reach each other through a relay only, and the relay.
async fn across_a_relay(
    office: &Office,
    round_trip: Duration,
    adjust: impl Fn(&mut TransportSettings),
) -> (Relay, Node, Node) {
    let start = async |node| {
        let mut settings = settings(node, office.credentials(&identity(node)));
        adjust(&mut settings);
        Node::start(settings).await
    };
    let (one, two, relay) = (start(1).await, start(2).await, Relay::start().expect("starts"));
    let link = |from, to, target: &Node| {
        relay
            .link(NodeId(from), NodeId(to), target.transport.local_address(), round_trip)
            .expect("links")
            .port()
    };
    one.meet(&[(2, link(1, 2, &two))]);
    two.meet(&[(1, link(2, 1, &one))]);
    one.connected(2).await;
    two.connected(1).await;
    (relay, one, two)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_lossy_link_still_delivers_everything_in_order() {
    let office = Office::open(CLUSTER);
    let round_trip = Duration::from_millis(40);
    let (relay, one, mut two) = across_a_relay(&office, round_trip, |_| {}).await;
    let measured = one.transport.round_trip(NodeId(2)).expect("connected");
    assert!(measured >= round_trip, "{measured:?}");
    relay.set_loss(NodeId(1), NodeId(2), 0.05);
    relay.set_loss(NodeId(2), NodeId(1), 0.05);
    for number in 0..2000 {
        assert!(
            one.transport
                .send(NodeId(2), Class::Replication, frame(1, 2, Class::Replication, number))
        );
    }
    let mut next = 0;
    while next < 2000 {
        let inbound = tokio::time::timeout(PATIENCE, two.inbound.recv())
            .await
            .expect("in time")
            .expect("open");
        for received in inbound.frames {
            assert_eq!(received, frame(1, 2, Class::Replication, next));
            next += 1;
        }
    }
    assert!(relay.traffic(NodeId(1), NodeId(2)).lost > 0, "the relay did lose some");
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_in_one_direction_is_noticed_and_heals() {
    let office = Office::open(CLUSTER);
    let (relay, one, mut two) = across_a_relay(&office, Duration::from_millis(2), |settings| {
        settings.idle_timeout = Duration::from_millis(600);
        settings.keep_alive = Duration::from_millis(100);
    })
    .await;
    relay.cut(NodeId(1), NodeId(2));
    // Neither connection survives: one's dialler is not answered, and two's hears no answers.
    until("node 1 to notice", || !one.transport.is_connected(NodeId(2))).await;
    until("node 2 to notice", || !two.transport.is_connected(NodeId(1))).await;
    relay.heal(NodeId(1), NodeId(2));
    one.connected(2).await;
    two.connected(1).await;
    assert!(
        one.transport
            .send(NodeId(2), Class::Control, Bytes::from_static(b"healed"))
    );
    let inbound = tokio::time::timeout(PATIENCE, two.inbound.recv())
        .await
        .expect("in time")
        .expect("open");
    assert_eq!(inbound.frames, vec![Bytes::from_static(b"healed")]);
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

/// Not a test: prints how many small frames per second two transports in one process move.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn throughput() {
    let office = Office::open(CLUSTER);
    let one = Node::start(settings(1, office.credentials(&identity(1)))).await;
    let mut two = Node::start(settings(2, office.credentials(&identity(2)))).await;
    one.meet(&[(2, two.port())]);
    two.meet(&[(1, one.port())]);
    one.connected(2).await;
    two.connected(1).await;

    for (size, total) in [(300usize, 3_000_000u64), (64 << 10, 40_000)] {
        let transport = one.transport.clone();
        let payload = Bytes::from(vec![1; size]);
        let start = std::time::Instant::now();
        let sender = std::thread::spawn(move || {
            let mut refused = 0u64;
            for _ in 0..total {
                while !transport.send(NodeId(2), Class::Replication, payload.clone()) {
                    refused += 1;
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
            refused
        });
        let (mut frames, mut batches) = (0u64, 0u64);
        while frames < total {
            frames += two.inbound.recv().await.expect("open").frames.len() as u64;
            batches += 1;
        }
        let seconds = start.elapsed().as_secs_f64();
        let refused = sender.join().expect("the sender does not panic");
        println!(
            "{size} B: {:.0} frames/s, {:.0} MB/s, {:.1} frames per batch, {refused} pauses for a full queue",
            frames as f64 / seconds,
            frames as f64 * size as f64 / seconds / 1e6,
            frames as f64 / batches as f64,
        );
    }

    let rounds = 20_000;
    let echo = two.transport.clone();
    let echoing = tokio::spawn(async move {
        while let Some(batch) = two.inbound.recv().await {
            for frame in batch.frames {
                echo.send(batch.from, Class::Control, frame);
            }
        }
    });
    let mut one = one;
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        assert!(
            one.transport
                .send(NodeId(2), Class::Control, Bytes::from_static(b"ping"))
        );
        one.inbound.recv().await.expect("open");
    }
    println!(
        "round trip: {:.1} µs",
        start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
    );
    echoing.abort();
    one.transport.shutdown().await;
}
