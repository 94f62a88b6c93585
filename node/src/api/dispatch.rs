//! The gRPC server: from a socket to the service that a request's path names.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::Api;
use crate::proto::etcdserverpb::cluster_server::ClusterServer;
use crate::proto::etcdserverpb::kv_server::KvServer;
use crate::proto::etcdserverpb::maintenance_server::MaintenanceServer;

/// What a message may be larger than the largest request, so that the answer to a request that is too large is etcd's
/// error and not the transport's.
const OVERHEAD: usize = 512 << 10;

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Requests in flight on one connection; a proxy or a load generator may send everything through one.
const MAX_STREAMS: u32 = 16 << 10;
/// Requests that a client may cancel faster than they are looked at before it counts as an attack.
const MAX_RESET_STREAMS: usize = 1024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// The server ended because its transport failed.
#[derive(Debug, thiserror::Error)]
#[error("the client API failed: {0}")]
pub struct ServeError(#[from] tonic::transport::Error);

/// Serves clients on `listener` until `stop` resolves; then accepts no more, and ends when the present clients are done.
///
/// # Errors
/// The listener failed.
pub async fn serve(api: Api, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let largest = api.inner.limits.max_request_bytes + OVERHEAD;
    let dispatch = Dispatch {
        kv: KvServer::new(api.clone())
            .max_decoding_message_size(largest)
            .max_encoding_message_size(usize::MAX),
        cluster: ClusterServer::new(api.clone()),
        maintenance: MaintenanceServer::new(api),
    };
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_pending_accept_reset_streams(Some(MAX_RESET_STREAMS))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .serve_with_incoming_shutdown(dispatch, incoming, stop)
        .await?;
    Ok(())
}

/// Chooses the service by the first part of the path. Three comparisons cost less than a general router.
#[derive(Clone)]
struct Dispatch {
    kv: KvServer<Api>,
    cluster: ClusterServer<Api>,
    maintenance: MaintenanceServer<Api>,
}

impl Service<http::Request<Body>> for Dispatch {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if path.starts_with("/etcdserverpb.KV/") {
            self.kv.call(request)
        } else if path.starts_with("/etcdserverpb.Maintenance/") {
            self.maintenance.call(request)
        } else if path.starts_with("/etcdserverpb.Cluster/") {
            self.cluster.call(request)
        } else {
            let service = path.split('/').nth(1).unwrap_or_default();
            let status = Status::unimplemented(format!("synod: the service {service} is not served yet"));
            Box::pin(std::future::ready(Ok(status.into_http())))
        }
    }
}
