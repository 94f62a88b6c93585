//! `etcdserverpb.Cluster`.

use storage::machine::Revision;
use tonic::{Request, Response, Status};

use super::Api;
use super::error::not_served;
use crate::proto::etcdserverpb::cluster_server::Cluster;
use crate::proto::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
};
use crate::status::MemberStatus;

#[tonic::async_trait]
impl Cluster for Api {
    async fn member_list(&self, request: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        let (deadline, request) = self.admit(request)?;
        if request.linearizable {
            self.barrier(deadline).await?;
        }
        let members = self.status().members.iter().map(member).collect();
        // etcd's membership answers carry no revision.
        Ok(Response::new(MemberListResponse {
            header: Some(self.header(Revision(0))),
            members,
        }))
    }

    async fn member_add(&self, _: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        Err(not_served(
            "MemberAdd (members are those of the settings at the first start)",
        ))
    }

    async fn member_remove(&self, _: Request<MemberRemoveRequest>) -> Result<Response<MemberRemoveResponse>, Status> {
        Err(not_served(
            "MemberRemove (members are those of the settings at the first start)",
        ))
    }

    async fn member_update(&self, _: Request<MemberUpdateRequest>) -> Result<Response<MemberUpdateResponse>, Status> {
        Err(not_served(
            "MemberUpdate (members are those of the settings at the first start)",
        ))
    }

    async fn member_promote(
        &self,
        _: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        Err(not_served(
            "MemberPromote (members are those of the settings at the first start)",
        ))
    }
}

fn member(status: &MemberStatus) -> Member {
    Member {
        id: status.node,
        name: status.name.clone(),
        // Peers speak QUIC; the scheme keeps etcd's tools from dialling it.
        peer_ur_ls: vec![format!("quic://{}", status.peer_address)],
        client_ur_ls: if status.client_url.is_empty() {
            Vec::new()
        } else {
            vec![status.client_url.clone()]
        },
        is_learner: !status.voter,
    }
}
