//! `etcdserverpb.KV`.

use std::time::Duration;

use paxos::Slot;
use storage::machine::{
    Applied, Command, Compact, Range, RangeReply, Reply, Revision, Txn, TxnReply, validate, validate_range,
    validate_txn,
};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::convert;
use super::error::{of_failure, of_kv, of_read_failure, of_unread, without_state};
use super::{Api, deadline};
use crate::metrics::{Consistency, Operation};
use crate::proto::etcdserverpb::kv_server::Kv;
use crate::proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, TxnRequest, TxnResponse,
};
use crate::requests::Failure;

/// A read of more keys than this leaves the runtime's threads free for others.
const LARGE_READ: i64 = 256;

#[tonic::async_trait]
impl Kv for Api {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let consistency = Consistency::of(request.get_ref().serializable);
        self.measured(Operation::Range, consistency, self.serve_range(request))
            .await
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.measured(Operation::Put, Consistency::Linearizable, self.serve_put(request))
            .await
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        self.measured(
            Operation::Delete,
            Consistency::Linearizable,
            self.serve_delete_range(request),
        )
        .await
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        self.measured(Operation::Txn, Consistency::Linearizable, self.serve_txn(request))
            .await
    }

    async fn compact(&self, request: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        self.measured(
            Operation::Compact,
            Consistency::Linearizable,
            self.serve_compact(request),
        )
        .await
    }
}

impl Api {
    async fn serve_range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let (deadline, request) = self.admit(request)?;
        let serializable = request.serializable;
        let range = convert::range(request).map_err(of_kv)?;
        validate_range(&range).map_err(of_kv)?;
        if serializable {
            self.state_is_whole()?;
        } else {
            self.barrier(deadline).await?;
        }
        let (revision, reply) = self.read_range(range).await?;
        Ok(Response::new(convert::range_response(self.header(revision), reply)))
    }

    async fn serve_put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let (deadline, request) = self.admit(request)?;
        let command = Command::Put(convert::put(request));
        match self.propose(Operation::Put, command, deadline).await? {
            (revision, Reply::Put(reply)) => Ok(Response::new(convert::put_response(self.header(revision), reply))),
            (_, other) => panic!("a put was answered with {other:?}"),
        }
    }

    async fn serve_delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let (deadline, request) = self.admit(request)?;
        let command = Command::DeleteRange(convert::delete_range(request));
        match self.propose(Operation::Delete, command, deadline).await? {
            (revision, Reply::DeleteRange(reply)) => Ok(Response::new(convert::delete_range_response(
                self.header(revision),
                reply,
            ))),
            (_, other) => panic!("a deletion was answered with {other:?}"),
        }
    }

    async fn serve_txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let (deadline, request) = self.admit(request)?;
        let txn = convert::txn(request)?;
        let (revision, reply) = if txn.is_read_only() {
            validate_txn(&txn, self.inner.limits).map_err(of_kv)?;
            self.barrier(deadline).await?;
            self.read_txn(txn).await?
        } else {
            match self.propose(Operation::Txn, Command::Txn(txn), deadline).await? {
                (revision, Reply::Txn(reply)) => (revision, reply),
                (_, other) => panic!("a transaction was answered with {other:?}"),
            }
        };
        Ok(Response::new(convert::txn_response(self.header(revision), reply)))
    }

    /// Forgets history, at every node. Whoever asks for it also waits until this node has removed what nobody can read any
    /// more; that takes as long as it takes, as in etcd, unless the client gives up.
    async fn serve_compact(&self, request: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        let (deadline, CompactionRequest { revision: at, physical }) = self.admit(request)?;
        let command = Command::Compact(Compact { revision: at });
        let (revision, reply) = self.propose(Operation::Compact, command, deadline).await?;
        assert!(
            reply == Reply::Compact,
            "a compaction at revision {at} was answered with {reply:?}"
        );
        if physical {
            let swept = self
                .inner
                .store
                .swept()
                .wait_for(|swept| *swept >= at)
                .await
                .map(|_| ());
            swept.map_err(|_closed| of_failure(Failure::Stopping, &self.status()))?;
        }
        Ok(Response::new(CompactionResponse {
            header: Some(self.header(revision)),
        }))
    }

    /// The time for a request and its message. A client that insists on a leader is told at once that there is none.
    pub(super) fn admit<T>(&self, request: Request<T>) -> Result<(Duration, T), Status> {
        let metadata: &MetadataMap = request.metadata();
        let deadline = deadline::of(metadata, self.inner.default_deadline);
        if metadata.get("hasleader").is_some_and(|value| value == "true") && self.status().leader.is_none() {
            return Err(Status::unavailable("etcdserver: no leader"));
        }
        Ok((deadline, request.into_inner()))
    }

    /// Refuses to show a state that is not there. A linearizable read waits for it instead.
    pub(super) fn state_is_whole(&self) -> Result<(), Status> {
        if self.inner.store.is_whole(Slot(self.status().known_chosen)) {
            Ok(())
        } else {
            Err(without_state())
        }
    }

    /// Resolves when local state is new enough for a linearizable read.
    pub(super) async fn barrier(&self, deadline: Duration) -> Result<(), Status> {
        let barrier = self.inner.requests.read_barrier(deadline).await;
        barrier
            .map(|_slot| ())
            .map_err(|failure| of_read_failure(failure, &self.status()))
    }

    async fn propose(
        &self,
        operation: Operation,
        command: Command,
        deadline: Duration,
    ) -> Result<(Revision, Reply), Status> {
        validate(&command, self.inner.limits).map_err(of_kv)?;
        let proposal = self.inner.requests.propose(command.encode(), deadline);
        let forwarded = self.status().leader != Some(self.inner.identity.member);
        let answer = self.inner.metrics.proposal(operation, forwarded, proposal).await;
        let Applied { revision, result } = answer.map_err(|failure| of_failure(failure, &self.status()))?;
        Ok((revision, result.map_err(of_kv)?))
    }

    async fn read_range(&self, range: Range) -> Result<(Revision, RangeReply), Status> {
        let large = !range.range_end.is_empty() && (range.limit <= 0 || range.limit > LARGE_READ);
        let read = if large {
            let store = self.inner.store.clone();
            aside(move || store.range(&range)).await?
        } else {
            self.inner.store.range(&range)
        };
        let (reply, revision) = read.map_err(|unread| of_unread(unread, &self.status()))?;
        Ok((revision, reply))
    }

    async fn read_txn(&self, txn: Txn) -> Result<(Revision, TxnReply), Status> {
        // Comparisons of single keys are the common case; anything with a branch may read a lot.
        let read = if txn.success.is_empty() && txn.failure.is_empty() {
            self.inner.store.read_txn(&txn)
        } else {
            let store = self.inner.store.clone();
            aside(move || store.read_txn(&txn)).await?
        };
        let (reply, revision) = read.map_err(|unread| of_unread(unread, &self.status()))?;
        Ok((revision, reply))
    }

    async fn measured<T>(
        &self,
        operation: Operation,
        consistency: Consistency,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Response<T>, Status> {
        self.inner.metrics.request(operation, consistency, call).await
    }
}

/// Runs a long read on a thread that may block.
pub(super) async fn aside<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Status::internal(format!("synod: the read failed: {error}")))
}
