//! `etcdserverpb.Maintenance`.

use storage::machine::Hash;
use tonic::{Request, Response, Status};

use super::error::{not_served, of_kv};
use super::kv::aside;
use super::{Api, ETCD_VERSION};
use crate::proto::etcdserverpb::alarm_request::AlarmAction;
use crate::proto::etcdserverpb::maintenance_server::Maintenance;
use crate::proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, HashKvRequest, HashKvResponse, HashRequest,
    HashResponse, MoveLeaderRequest, MoveLeaderResponse, StatusRequest, StatusResponse,
};

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

    /// There is nothing that raises an alarm yet, so the list is empty, and lowering one changes nothing.
    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        match AlarmAction::try_from(request.get_ref().action) {
            Ok(AlarmAction::Get | AlarmAction::Deactivate) => {
                let header = self.header(self.inner.store.revision());
                Ok(Response::new(AlarmResponse {
                    header: Some(header),
                    alarms: Vec::new(),
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
        aside(move || store.reclaim()).await?;
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

    async fn move_leader(&self, _: Request<MoveLeaderRequest>) -> Result<Response<MoveLeaderResponse>, Status> {
        Err(not_served("MoveLeader"))
    }
}

impl Api {
    async fn hash_at(&self, revision: i64) -> Result<Hash, Status> {
        let store = self.inner.store.clone();
        aside(move || store.hash(revision)).await?.map_err(of_kv)
    }
}
