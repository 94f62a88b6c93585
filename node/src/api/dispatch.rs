//! From a request's path to the service that it names.

use std::convert::Infallible;

use hyper::body::Incoming;
use hyper::service::Service;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service as _};

use super::Api;
use crate::proto::etcdserverpb::cluster_server::ClusterServer;
use crate::proto::etcdserverpb::kv_server::KvServer;
use crate::proto::etcdserverpb::maintenance_server::MaintenanceServer;

/// What a message may be larger than the largest request, so that the answer to a request that is too large is etcd's
/// error and not the transport's.
const OVERHEAD: usize = 512 << 10;

/// Chooses the service by the first part of the path. Three comparisons cost less than a general router.
#[derive(Clone)]
pub(super) struct Dispatch {
    kv: KvServer<Api>,
    cluster: ClusterServer<Api>,
    maintenance: MaintenanceServer<Api>,
}

impl Dispatch {
    pub(super) fn new(api: Api) -> Dispatch {
        let largest = api.inner.limits.max_request_bytes + OVERHEAD;
        Dispatch {
            kv: KvServer::new(api.clone())
                .max_decoding_message_size(largest)
                .max_encoding_message_size(usize::MAX),
            cluster: ClusterServer::new(api.clone()),
            maintenance: MaintenanceServer::new(api),
        }
    }
}

impl Service<http::Request<Incoming>> for Dispatch {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let path = request.uri().path();
        if path.starts_with("/etcdserverpb.KV/") {
            self.kv.clone().call(request)
        } else if path.starts_with("/etcdserverpb.Maintenance/") {
            self.maintenance.clone().call(request)
        } else if path.starts_with("/etcdserverpb.Cluster/") {
            self.cluster.clone().call(request)
        } else {
            let service = path.split('/').nth(1).unwrap_or_default();
            let status = Status::unimplemented(format!("synod: the service {service} is not served yet"));
            Box::pin(std::future::ready(Ok(status.into_http())))
        }
    }
}
