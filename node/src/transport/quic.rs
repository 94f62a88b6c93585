//! QUIC as this room uses it: one UDP socket, long fat pipes, few large streams.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TokioRuntime, VarInt,
    congestion::CubicConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::info;

use super::{Credentials, TransportError, TransportSettings};

/// Unread bytes one stream may have on its way: 1 Gbit/s at a round trip of 250 ms.
const STREAM_WINDOW: u32 = 32 << 20;
/// Unread, and unacknowledged, bytes one connection may have on its way. All three streams fit with their windows
/// full, so a class that fills its own never blocks another's writes.
const CONNECTION_WINDOW: u32 = 3 * STREAM_WINDOW + (1 << 20);
/// What may be sent in the first round trip. The default of 14 kB needs seven seconds to reach line rate over 200 ms.
const INITIAL_WINDOW: u64 = 2 << 20;
/// The kernel's buffers: with the default of 208 KiB, bursts lose thousands of packets a second.
const SOCKET_BUFFER: usize = 4 << 20;
/// Never above 6500: with segmentation offload, ten segments then pass 64 KiB and sends fail silently.
const MTU_UPPER_BOUND: u16 = 1452;
/// The round trip to assume before the first is measured. It sets how soon a lost first datagram is sent again: a
/// peer that starts while it is being dialled is noticed within a second.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Close codes, so that the other side can name the reason.
pub(super) const CLOSE_SHUTDOWN: VarInt = VarInt::from_u32(0);
/// The peer was refused; the reason text says why.
pub(super) const CLOSE_REFUSED: VarInt = VarInt::from_u32(1);
/// The peer sent bytes that make no sense.
pub(super) const CLOSE_GARBAGE: VarInt = VarInt::from_u32(2);
/// The peer dialled again, so this connection is of no more use.
pub(super) const CLOSE_REPLACED: VarInt = VarInt::from_u32(3);

/// Binds the socket and makes the endpoint on it, for accepting and for dialling.
pub(super) fn endpoint(settings: &TransportSettings) -> Result<Endpoint, TransportError> {
    let server = server_config(settings, &settings.credentials)?;
    let socket = bind(settings.listen).map_err(|source| TransportError::Listen {
        address: settings.listen,
        source,
    })?;
    Endpoint::new(EndpointConfig::default(), Some(server), socket, Arc::new(TokioRuntime)).map_err(|source| {
        TransportError::Listen {
            address: settings.listen,
            source,
        }
    })
}

/// The configuration for dialling.
pub(super) fn client_config(
    settings: &TransportSettings,
    credentials: &Credentials,
) -> Result<ClientConfig, TransportError> {
    let crypto: QuicClientConfig = credentials.client()?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    let mut transport = transport_config(settings);
    // Only the dialler keeps alive. Were both to, a path cut in one direction would look alive to the side that still
    // hears the other's pings.
    transport.keep_alive_interval(Some(settings.keep_alive));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// The configuration for accepting.
pub(super) fn server_config(
    settings: &TransportSettings,
    credentials: &Credentials,
) -> Result<ServerConfig, TransportError> {
    let crypto: QuicServerConfig = credentials.server()?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config(settings)));
    // Handshakes in flight, from anybody who can reach the port.
    config.max_incoming(256);
    Ok(config)
}

fn transport_config(settings: &TransportSettings) -> quinn::TransportConfig {
    let idle = IdleTimeout::try_from(settings.idle_timeout).expect("settings bound the idle time-out to ten minutes");
    let mut cubic = CubicConfig::default();
    cubic.initial_window(INITIAL_WINDOW);
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MTU_UPPER_BOUND);

    let mut config = quinn::TransportConfig::default();
    config
        .max_idle_timeout(Some(idle))
        .initial_rtt(INITIAL_RTT)
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        // One for each class and one for the welcome.
        .max_concurrent_uni_streams(VarInt::from_u32(4))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW))
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(Some(mtu))
        .congestion_controller_factory(Arc::new(cubic));
    config
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The kernel caps what it gives without an error; less is slower, not wrong.
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    let (receive, send) = (socket.recv_buffer_size()?, socket.send_buffer_size()?);
    if receive.min(send) < SOCKET_BUFFER {
        info!(
            receive,
            send,
            wanted = SOCKET_BUFFER,
            "the kernel gives the peer socket smaller buffers than wanted; raise net.core.rmem_max and wmem_max"
        );
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
