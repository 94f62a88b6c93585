//! `etcdserverpb.Maintenance`.

use tonic::{Request, Response, Status};

use super::error::not_served;
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
        let bytes = i64::try_from(status.store_bytes).unwrap_or(i64::MAX);
        Ok(Response::new(StatusResponse {
            header: Some(self.header(self.inner.store.revision())),
            version: ETCD_VERSION.to_owned(),
            db_size: bytes,
            leader: status.leader.unwrap_or(0),
            raft_index: status.chosen,
            raft_term: status.ballot_round,
            raft_applied_index: status.applied,
            errors: status.errors(),
            db_size_in_use: bytes,
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

    async fn defragment(&self, _: Request<DefragmentRequest>) -> Result<Response<DefragmentResponse>, Status> {
        Err(not_served("Defragment (the store compacts itself in the background)"))
    }

    async fn hash(&self, _: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        Err(not_served("Hash"))
    }

    async fn hash_kv(&self, _: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        Err(not_served("HashKV"))
    }

    async fn move_leader(&self, _: Request<MoveLeaderRequest>) -> Result<Response<MoveLeaderResponse>, Status> {
        Err(not_served("MoveLeader"))
    }
}
