//! `etcdserverpb.Maintenance`.

use bytes::Bytes;
use paxos::{ClusterId, Stays};
use quorum::{Epoch, NodeId};
use storage::machine::{Hash, Revision};
use storage::snapshot::Origin;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::error::{not_served, of_stayed, of_unread};
use super::kv::aside;
use super::{Api, ETCD_VERSION, deadline};
use crate::archive::Encoder;
use crate::proto::etcdserverpb::alarm_request::AlarmAction;
use crate::proto::etcdserverpb::maintenance_server::Maintenance;
use crate::proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse, HashKvRequest,
    HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest, MoveLeaderResponse, SnapshotRequest,
    SnapshotResponse, StatusRequest, StatusResponse,
};
use crate::requests::Stayed;

/// Bytes of a snapshot in one message, at most: clients need not allow for large ones.
const BLOB: usize = 512 << 10;

/// Messages of a snapshot that are read ahead of the client.
const QUEUE: usize = 4;

#[tonic::async_trait]
impl Maintenance for Api {
    /// The member's own view; answers whatever state the cluster is in.
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let status = Api::status(self);
        let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        Ok(Response::new(StatusResponse {
            header: Some(self.header(self.inner.store.revision())),
            version: ETCD_VERSION.to_owned(),
            db_size: signed(status.store_bytes),
            leader: status.leader.unwrap_or(0),
            raft_index: status.chosen,
            raft_term: status.ballot_round,
            raft_applied_index: status.applied,
            errors: status.errors(),
            db_size_in_use: signed(status.store_live_bytes),
            is_learner: status.member(status.node).is_some_and(|member| !member.voter),
            storage_version: String::new(),
            db_size_quota: 0,
        }))
    }

    /// A member lists its own alarm. It falls by itself once there is room on the disk again, so lowering it by hand changes
    /// nothing.
    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        let status = Api::status(self);
        match AlarmAction::try_from(request.get_ref().action) {
            Ok(AlarmAction::Get | AlarmAction::Deactivate) => {
                let header = self.header(self.inner.store.revision());
                Ok(Response::new(AlarmResponse {
                    header: Some(header),
                    alarms: (!status.disk.enough)
                        .then(|| AlarmMember {
                            member_id: status.node,
                            alarm: AlarmType::Nospace.into(),
                        })
                        .into_iter()
                        .collect(),
                }))
            }
            Ok(AlarmAction::Activate) => Err(not_served("raising an alarm by hand")),
            Err(_) => Err(Status::invalid_argument(
                "synod: the alarm action is none of GET, ACTIVATE, DEACTIVATE",
            )),
        }
    }

    /// Gives the space of what is gone back to the disk now, as it otherwise happens by and by. The node serves meanwhile.
    async fn defragment(&self, _: Request<DefragmentRequest>) -> Result<Response<DefragmentResponse>, Status> {
        let store = self.inner.store.clone();
        let reclaimed = aside(move || store.reclaim()).await?;
        reclaimed.map_err(|unread| of_unread(unread, &Api::status(self)))?;
        // etcd's answer carries no header.
        Ok(Response::new(DefragmentResponse { header: None }))
    }

    /// A hash over what this member holds now; members that have applied the same answer the same.
    async fn hash(&self, _: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        let hash = self.hash_at(0).await?;
        Ok(Response::new(HashResponse {
            header: Some(self.header(hash.now)),
            hash: hash.hash,
        }))
    }

    /// A hash over what this member holds up to a revision; members that were compacted alike answer the same.
    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        let hash = self.hash_at(request.get_ref().revision).await?;
        Ok(Response::new(HashKvResponse {
            header: Some(self.header(hash.now)),
            hash: hash.hash,
            compact_revision: hash.compacted,
            hash_revision: hash.revision.0,
        }))
    }

    type SnapshotStream = ReceiverStream<Result<SnapshotResponse, Status>>;

    /// This member's state at one moment, checked and with a checksum at its end (`archive`).
    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        self.state_is_whole()?;
        let permit = self.inner.snapshots.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted("etcdserver: too many requests"))?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let api = self.clone();
        tokio::task::spawn_blocking(move || {
            api.stream_snapshot(&sender);
            drop(permit);
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    /// Has another member lead; only the leader can see to it. Beyond etcd: a target of 0 is whichever is best.
    async fn move_leader(&self, request: Request<MoveLeaderRequest>) -> Result<Response<MoveLeaderResponse>, Status> {
        let target = request.get_ref().target_id;
        let to = (target != 0).then_some(NodeId(target));
        let deadline = deadline::of(request.metadata(), self.inner.default_deadline);
        match self.inner.requests.hand_over(to, deadline).await {
            Ok(_) | Err(Stayed::Refused(Stays::AlreadyLeads)) => Ok(Response::new(MoveLeaderResponse {
                header: Some(self.header(self.inner.store.revision())),
            })),
            Err(stayed) => Err(of_stayed(stayed)),
        }
    }
}

impl Api {
    /// Reads, frames and sends; a client that is slow makes this wait, one that is gone ends it.
    fn stream_snapshot(&self, sender: &mpsc::Sender<Result<SnapshotResponse, Status>>) {
        let status = Api::status(self);
        let origin = Origin {
            cluster: status.cluster.clone(),
            cluster_id: ClusterId(status.cluster_id),
            epoch: Epoch(status.epoch),
        };
        let (mut encoder, mut sent, mut at) = (Encoder::default(), 0, Revision::FIRST);
        let mut send = |revision, blob: Bytes, last: bool| {
            sent += blob.len() as u64;
            let remaining = status.store_live_bytes.saturating_sub(sent).max(1);
            let response = SnapshotResponse {
                header: Some(self.header(revision)),
                remaining_bytes: if last { 0 } else { remaining },
                blob,
                version: ETCD_VERSION.to_owned(),
            };
            sender.blocking_send(Ok(response)).is_ok()
        };
        let mut wanted = true;
        let read = self.inner.store.snapshot(origin, &mut |revision, piece| {
            at = revision;
            let mut bytes = encoder.piece(&piece);
            while wanted && !bytes.is_empty() {
                wanted = send(revision, bytes.split_to(bytes.len().min(BLOB)), false);
            }
            wanted
        });
        match read {
            Ok(()) if wanted => _ = send(at, encoder.finish(), true),
            Ok(()) => {}
            // A client that is gone need not know.
            Err(unread) => _ = sender.blocking_send(Err(of_unread(unread, &status))),
        }
    }

    async fn hash_at(&self, revision: i64) -> Result<Hash, Status> {
        self.state_is_whole()?;
        let store = self.inner.store.clone();
        let hash = aside(move || store.hash(revision)).await?;
        hash.map_err(|unread| of_unread(unread, &Api::status(self)))
    }
}
