//! The client edge: etcd's v3 gRPC API over one node.
//!
//! ```text
//! serve ─▶ connection ─▶ dispatch ─▶ kv │ cluster │ maintenance ─▶ convert ─▶ Requests (writes, read barriers)
//!                                                                      └─────▶ Store (reads of local state)
//! ```
//!
//! A write is checked, encoded and proposed; the node's applier answers. A linearizable read first asks how new the local
//! state must be, then reads it here: any node serves it, and no read goes through the log. A serializable read is
//! served from local state at once. A transaction that writes nothing is a read, and unlike etcd's is linearizable.
//!
//! Every request ends within its client's deadline, with etcd's error code and text, because client libraries recognise
//! errors by their text ([`error`]).
//!
//! Not here yet: watches, leases, authentication (UNIMPLEMENTED), and TLS for clients.

mod cluster;
mod codec;
mod connection;
mod convert;
mod deadline;
mod dispatch;
pub mod error;
mod kv;
mod maintenance;
mod serve;
mod store;

use std::sync::Arc;
use std::time::Duration;

use storage::machine::{Limits, Revision};
use tokio::sync::Semaphore;

pub use codec::Codec;
pub use serve::serve;
pub use store::{Store, Unread};

use crate::metrics::ApiMetrics;
use crate::proto::etcdserverpb::ResponseHeader;
use crate::requests::Requests;
use crate::status::NodeStatus;

/// The version of etcd whose behaviour this API follows; clients that look for features parse it.
pub const ETCD_VERSION: &str = "3.5.21";

/// The services' common part. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    requests: Requests,
    store: Arc<dyn Store>,
    identity: Identity,
    limits: Limits,
    default_deadline: Duration,
    metrics: ApiMetrics,
    /// Who may have a snapshot streamed; each keeps a thread busy and old files alive.
    snapshots: Arc<Semaphore>,
}

/// Most snapshots that are streamed at the same time.
const SNAPSHOTS: usize = 2;

/// The numbers that every response carries.
#[derive(Copy, Clone, Debug)]
pub struct Identity {
    /// The cluster's.
    pub cluster: u64,
    /// This node's.
    pub member: u64,
}

impl Api {
    /// The API of one node. A request whose client sets no deadline gets `default_deadline`.
    #[must_use]
    pub fn new(
        requests: Requests,
        store: Arc<dyn Store>,
        identity: Identity,
        limits: Limits,
        default_deadline: Duration,
        metrics: ApiMetrics,
    ) -> Api {
        Api {
            inner: Arc::new(Inner {
                requests,
                store,
                identity,
                limits,
                default_deadline,
                metrics,
                snapshots: Arc::new(Semaphore::new(SNAPSHOTS)),
            }),
        }
    }

    fn status(&self) -> Arc<NodeStatus> {
        self.inner.requests.status()
    }

    fn header(&self, revision: Revision) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.inner.identity.cluster,
            member_id: self.inner.identity.member,
            revision: revision.0,
            raft_term: self.status().ballot_round,
        }
    }
}
