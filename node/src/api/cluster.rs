//! `etcdserverpb.Cluster`.
//!
//! etcd adds a member by the URL of its peers alone. Here a member also has a region, because quorums are made of them, so the
//! URL carries it: `http://10.2.0.3:7400?region=eu-west-1&zone=eu-west-1b&name=eu-3` (peers speak QUIC, but etcdctl knows no such
//! scheme). What could put acknowledged writes at
//! risk is not done through this service, for it has no words to accept it with: `synod member` and `synod quorum apply` have.

use std::time::Duration;

use paxos::{Objection, Refusal, Waivers};
use quorum::{Configuration, Epoch, Incarnation, NodeId, Proposal, Role};
use storage::machine::Revision;
use tonic::{Request, Response, Status};

use super::Api;
use super::error::of_failure;
use crate::proto::etcdserverpb::cluster_server::Cluster;
use crate::proto::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
};
use crate::requests::Failure;

#[tonic::async_trait]
impl Cluster for Api {
    async fn member_list(&self, request: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        let (deadline, request) = self.admit(request)?;
        if request.linearizable {
            self.barrier(deadline).await?;
        }
        let members = members(&self.newest()?);
        // etcd's membership answers carry no revision.
        let header = Some(self.header(Revision(0)));
        Ok(Response::new(MemberListResponse { header, members }))
    }

    async fn member_add(&self, request: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        let (deadline, request) = self.admit(request)?;
        let peer = Peer::parse(&request.peer_ur_ls)?;
        let (changed, node) = self
            .change(deadline, |proposal| {
                let taken = |address: &str| proposal.members.iter().any(|member| member.address == address);
                if taken(&peer.address) {
                    return Err(Status::failed_precondition("etcdserver: Peer URLs already exists"));
                }
                let used = |node| proposal.members.iter().any(|member| member.node == node);
                let node = (1..).map(NodeId).find(|node| !used(*node)).unwrap_or(NodeId(u64::MAX));
                let life = Incarnation(proposal.epoch.0);
                let role = if request.is_learner { Role::Learner } else { Role::Voter };
                proposal.members.push(peer.member(node, life, role)?);
                Ok(node)
            })
            .await?;
        let member = changed.member(node).map(member);
        Ok(Response::new(MemberAddResponse {
            header: Some(self.header(Revision(0))),
            member,
            members: members(&changed),
        }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        let (deadline, request) = self.admit(request)?;
        let (changed, ()) = self
            .change(deadline, |proposal| {
                find(proposal, request.id)?;
                proposal.members.retain(|member| member.node.0 != request.id);
                Ok(())
            })
            .await?;
        Ok(Response::new(MemberRemoveResponse {
            header: Some(self.header(Revision(0))),
            members: members(&changed),
        }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        let (deadline, request) = self.admit(request)?;
        let peer = Peer::parse(&request.peer_ur_ls)?;
        let (changed, ()) = self
            .change(deadline, |proposal| {
                let member = find(proposal, request.id)?;
                member.address.clone_from(&peer.address);
                for (value, new) in [
                    (&mut member.region, &peer.region),
                    (&mut member.zone, &peer.zone),
                    (&mut member.name, &peer.name),
                ] {
                    if let Some(new) = new {
                        value.clone_from(new);
                    }
                }
                Ok(())
            })
            .await?;
        Ok(Response::new(MemberUpdateResponse {
            header: Some(self.header(Revision(0))),
            members: members(&changed),
        }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        let (deadline, request) = self.admit(request)?;
        let (changed, ()) = self
            .change(deadline, |proposal| {
                let member = find(proposal, request.id)?;
                if member.role != Role::Learner {
                    return Err(Status::failed_precondition(
                        "etcdserver: can only promote a learner member",
                    ));
                }
                member.role = Role::Voter;
                Ok(())
            })
            .await?;
        Ok(Response::new(MemberPromoteResponse {
            header: Some(self.header(Revision(0))),
            members: members(&changed),
        }))
    }
}

impl Api {
    /// The newest configuration that this node knows.
    fn newest(&self) -> Result<Configuration, Status> {
        let status = self.status();
        let newest = status
            .newest()
            .ok_or_else(|| Status::unavailable("etcdserver: no leader"))?;
        Configuration::new(newest.configuration.clone()).map_err(|faults| Status::internal(faults.to_string()))
    }

    /// Changes the newest configuration; returns what it has become.
    async fn change<T>(
        &self,
        deadline: Duration,
        change: impl FnOnce(&mut Proposal) -> Result<T, Status>,
    ) -> Result<(Configuration, T), Status> {
        // So that the configuration is the newest that was acknowledged to anybody.
        self.barrier(deadline).await?;
        let mut proposal = self.newest()?.proposal().clone();
        proposal.epoch = Epoch(proposal.epoch.0 + 1);
        let told = change(&mut proposal)?;
        let configuration = Configuration::new(proposal).map_err(|faults| {
            Status::failed_precondition(format!("synod: the quorum system does not fit then: {faults}"))
        })?;
        let asked = self
            .inner
            .requests
            .reconfigure(configuration.clone(), Waivers::NONE, deadline);
        match asked.await {
            Ok(_) => Ok((configuration, told)),
            Err(failure) => Err(refusal(failure, self)),
        }
    }
}

/// etcd's words, where it has some.
fn refusal(failure: Failure, api: &Api) -> Status {
    match failure {
        Failure::Refused(Refusal::Change(objection)) => match objection {
            Objection::Behind { .. } => Status::failed_precondition(
                "etcdserver: can only promote a learner member which is in sync with leader",
            ),
            Objection::OneDisk { .. } | Objection::OneZone { .. } => Status::failed_precondition(format!(
                "synod: {objection}; if that is accepted, use `synod member` or `synod quorum apply` with --accept-risk"
            )),
            Objection::Pending { .. } | Objection::Unsettled { .. } => {
                Status::unavailable(format!("synod: {objection}"))
            }
            _ => Status::failed_precondition(format!("synod: {objection}")),
        },
        failure => of_failure(failure, &api.status()),
    }
}

fn find(proposal: &mut Proposal, id: u64) -> Result<&mut quorum::Member, Status> {
    let mut members = proposal.members.iter_mut();
    members
        .find(|member| member.node.0 == id)
        .ok_or_else(|| Status::not_found("etcdserver: member not found"))
}

/// A node as the URL of its peers describes it.
#[derive(Debug, PartialEq)]
struct Peer {
    address: String,
    region: Option<String>,
    zone: Option<String>,
    name: Option<String>,
}

impl Peer {
    fn parse(urls: &[String]) -> Result<Peer, Status> {
        let [url] = urls else {
            return Err(Status::invalid_argument("synod: a member has one peer URL"));
        };
        let wrong = |what: &str| {
            Status::invalid_argument(format!(
                "synod: the peer URL \"{}\" {what}; it looks like http://10.2.0.3:7400?region=eu-west-1&zone=eu-west-1b&name=eu-3",
                url.escape_debug()
            ))
        };
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut peer = Peer {
            address: address.trim_end_matches('/').to_owned(),
            region: None,
            zone: None,
            name: None,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| wrong("has a word without a value"))?;
            let place = match key {
                "region" => &mut peer.region,
                "zone" => &mut peer.zone,
                "name" => &mut peer.name,
                _ => return Err(wrong("says something other than region, zone and name")),
            };
            *place = Some(value.to_owned());
        }
        Ok(peer)
    }

    fn member(&self, node: NodeId, incarnation: Incarnation, role: Role) -> Result<quorum::Member, Status> {
        let region = self.region.clone().ok_or_else(|| {
            Status::invalid_argument(
                "synod: quorums are made of regions, so the peer URL must name one: http://HOST:PORT?region=REGION",
            )
        })?;
        Ok(quorum::Member {
            node,
            incarnation,
            name: self.name.clone().unwrap_or_else(|| format!("node-{node}")),
            zone: self.zone.clone().unwrap_or_else(|| region.clone()),
            region,
            address: self.address.clone(),
            client_url: String::new(),
            role,
        })
    }
}

fn members(configuration: &Configuration) -> Vec<Member> {
    configuration.members().iter().map(member).collect()
}

fn member(known: &quorum::Member) -> Member {
    Member {
        id: known.node.0,
        name: known.name.clone(),
        // Peers speak QUIC; the scheme keeps etcd's tools from dialling it.
        peer_ur_ls: vec![format!("quic://{}", known.address)],
        client_ur_ls: if known.client_url.is_empty() {
            Vec::new()
        } else {
            vec![known.client_url.clone()]
        },
        is_learner: known.role == Role::Learner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Peer, Status> {
        Peer::parse(&[url.to_owned()])
    }

    #[test]
    fn a_peer_url_says_where_a_node_stands() {
        let peer = parse("http://10.2.0.3:7400?region=eu-west-1&name=eu-3").expect("good");
        let member = peer
            .member(NodeId(6), Incarnation(3), Role::Learner)
            .expect("it has a region");
        assert_eq!(
            (member.address.as_str(), member.region.as_str()),
            ("10.2.0.3:7400", "eu-west-1")
        );
        assert_eq!((member.zone.as_str(), member.name.as_str()), ("eu-west-1", "eu-3"));
        let plain = parse("http://10.2.0.3:7400").expect("as etcdctl sends it");
        let refused = plain
            .member(NodeId(6), Incarnation(3), Role::Voter)
            .expect_err("no region");
        assert!(refused.message().contains("must name one"), "{refused}");
        for bad in ["http://h:1?colour=red", "http://h:1?region"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Peer::parse(&[]).is_err());
    }
}
