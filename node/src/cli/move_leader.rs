//! `synod move-leader`: has another node lead.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tonic::Request;
use tonic::transport::Channel;

use crate::proto::etcdserverpb::cluster_client::ClusterClient;
use crate::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use crate::proto::etcdserverpb::{MemberListRequest, MoveLeaderRequest, StatusRequest};
use crate::settings::parse_duration;

/// Asks the leader to hand over: it waits until what it has proposed is chosen, and the other node takes over at once.
/// Writes pause for about two round trips; none is refused.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  synod move-leader
  synod move-leader --to 3 --endpoints 10.1.0.1:2379,10.2.0.1:2379

Exit codes: 0 another node leads; 1 the leader stayed, or nobody answered.")]
pub(super) struct Arguments {
    /// The node that is to lead; the least reluctant and nearest one that can, if none is named
    #[arg(long, value_name = "NODE")]
    to: Option<u64>,
    /// Client addresses of members, host:port; one is enough
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        env = "SYNOD_CLIENT_ENDPOINTS",
        default_value = "127.0.0.1:2379"
    )]
    endpoints: Vec<String>,
    /// How long to wait
    #[arg(long, value_parser = parse_duration, default_value = "5s")]
    timeout: Duration,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let moved = match runtime {
        Ok(runtime) => runtime.block_on(move_leader(arguments)),
        Err(error) => Err(format!("cannot start the runtime: {error}")),
    };
    match moved {
        Ok((from, to)) => {
            println!("node {to} leads instead of node {from}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("synod move-leader: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Who led, and who leads now.
async fn move_leader(arguments: &Arguments) -> Result<(u64, u64), String> {
    let mut reasons = Vec::new();
    for endpoint in &arguments.endpoints {
        match find_leader(endpoint, arguments.timeout).await {
            Ok((leader, at)) => return ask(leader, &at, arguments).await,
            Err(reason) => reasons.push(reason),
        }
    }
    Err(reasons.join("; "))
}

/// Who leads as far as the member at `endpoint` knows, and at which endpoint it serves clients.
async fn find_leader(endpoint: &str, timeout: Duration) -> Result<(u64, String), String> {
    let named = |error: &dyn std::fmt::Display| format!("{endpoint}: {error}");
    let channel = connect(endpoint, timeout).await?;
    let status = MaintenanceClient::new(channel.clone()).status(StatusRequest {}).await;
    let status = status.map_err(|status| named(&status.message()))?.into_inner();
    let me = status.header.map_or(0, |header| header.member_id);
    match status.leader {
        0 => Err(named(&"it knows no leader")),
        leader if leader == me => Ok((leader, endpoint.to_owned())),
        leader => {
            let asked = MemberListRequest { linearizable: false };
            let members = ClusterClient::new(channel).member_list(asked).await;
            let members = members.map_err(|status| named(&status.message()))?.into_inner().members;
            let urls = members.into_iter().filter(|member| member.id == leader);
            let url = urls.flat_map(|member| member.client_ur_ls).find(|url| !url.is_empty());
            let url = url.ok_or_else(|| {
                named(&format!(
                    "node {leader} leads, but the members' list does not say where it serves clients: name its endpoint"
                ))
            })?;
            let bare = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            Ok((leader, bare.to_owned()))
        }
    }
}

async fn ask(leader: u64, endpoint: &str, arguments: &Arguments) -> Result<(u64, u64), String> {
    let named = |error: &dyn std::fmt::Display| format!("{endpoint}: {error}");
    let channel = connect(endpoint, arguments.timeout).await?;
    let mut client = MaintenanceClient::new(channel);
    let mut request = Request::new(MoveLeaderRequest {
        target_id: arguments.to.unwrap_or(0),
    });
    request.set_timeout(arguments.timeout);
    client
        .move_leader(request)
        .await
        .map_err(|status| named(&status.message()))?;
    let status = client.status(StatusRequest {}).await;
    let now = status.map_err(|status| named(&status.message()))?.into_inner().leader;
    Ok((leader, now))
}

async fn connect(endpoint: &str, timeout: Duration) -> Result<Channel, String> {
    let named = |error: &dyn std::fmt::Display| format!("{endpoint}: {error}");
    Channel::from_shared(format!("http://{endpoint}"))
        .map_err(|error| named(&error))?
        .connect_timeout(timeout)
        .timeout(timeout)
        .connect()
        .await
        .map_err(|error| named(&error))
}
