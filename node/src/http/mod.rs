//! Metrics, probes and status over plain HTTP, on a port of their own.
//!
//! * `/livez`: the driver turns. Never depends on peers: a restart does not mend a network.
//! * `/readyz`: this node has read its disk and is nearly up to date. Not dependent on a quorum either: in a partition a
//!   node that serves stale reads must stay reachable.
//! * `/health`: etcd's question, whether requests succeed. False without a leader; `?serializable=true` asks about local
//!   reads only.
//! * `/metrics`, `/version`, `/v1/status`.
//! * `POST /v1/reconfigure`: an operator wants another configuration ([`reconfigure`]).
//! * `POST /v1/drain`: somebody is about to stop this node ([`drain`]).
//!
//! Everybody who reaches the port may ask; only operators may change something ([`operators`]).
//!
//! `?verbose` on the probes lists every check.

pub mod drain;
mod operators;
pub mod reconfigure;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use prometheus::{Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

use crate::api::ETCD_VERSION;
use crate::drain::Drain;
use crate::metrics::{NodeGauges, Outlook, QuorumGauges, Quorums, Recent, Summary, openmetrics};
use crate::requests::Requests;
use crate::status::NodeStatus;

/// A driver that has published nothing for so long is stuck, whatever it waits for.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// What the pages show.
pub struct Pages {
    /// Where the status comes from.
    pub requests: Requests,
    /// Where the metrics are registered.
    pub registry: Registry,
    /// Filled from the status at every scrape.
    pub gauges: NodeGauges,
    /// Filled from the status and the peers that are reached, at every scrape.
    pub quorum_gauges: QuorumGauges,
    /// What the quorum systems mean now.
    pub quorums: Arc<Quorums>,
    /// Sends the node's clients elsewhere.
    pub drain: Drain,
    /// The last minute.
    pub recent: Recent,
    /// Slots that the node may lag behind and still be ready.
    pub ready_lag: u64,
    /// How long a change of configuration may take to be chosen.
    pub request_timeout: Duration,
    /// Holds the word that operators have to say; `None`: who comes from this machine is one.
    pub operator_token: Option<PathBuf>,
}

/// Serves the pages until `stop` resolves.
///
/// # Errors
/// The listener failed.
pub async fn serve(pages: Arc<Pages>, listener: TcpListener, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let (sender, stopped) = tokio::sync::oneshot::channel::<()>();
    let service = router(pages.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(async move {
        // A dropped sender stops the server as well.
        let _ = stopped.await;
    });
    let serving = tokio::spawn(server.into_future());
    tokio::select! {
        () = pages.recent.keep() => {}
        () = stop => {}
    }
    drop(sender);
    serving.await.map_err(std::io::Error::other)?
}

fn router(pages: Arc<Pages>) -> Router {
    let changes = Router::new()
        .route("/v1/reconfigure", post(reconfigure::reconfigure))
        .route("/v1/drain", post(drain::drain))
        .route_layer(middleware::from_fn_with_state(pages.clone(), operators::admit));
    Router::new()
        .merge(changes)
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/health", get(health))
        .route("/version", get(version))
        .route("/v1/status", get(status))
        .with_state(pages)
}

/// The status with the four numbers that dashboards share.
#[derive(Serialize)]
struct StatusPage<'a> {
    #[serde(flatten)]
    node: &'a NodeStatus,
    #[serde(flatten)]
    recent: Summary,
    /// What the quorums are like as this node reaches them.
    outlook: Option<Outlook>,
}

async fn status(State(pages): State<Arc<Pages>>) -> Response {
    aside(move || {
        let node = pages.requests.status();
        Json(StatusPage {
            node: &node,
            recent: pages.recent.summary(),
            outlook: pages.quorums.outlook(&node),
        })
        .into_response()
    })
    .await
}

async fn metrics(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let open = accept.is_some_and(openmetrics::is_accepted);
    aside(move || exposition(&pages, open)).await
}

/// Runs on a thread of its own what may take a while: the first look at a wide quorum system.
async fn aside(work: impl FnOnce() -> Response + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(response) => response,
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("the page broke: {error}\n")).into_response(),
    }
}

fn exposition(pages: &Pages, open: bool) -> Response {
    let status = pages.requests.status();
    pages.gauges.update(&status);
    pages.quorum_gauges.update(&status);
    let families = pages.registry.gather();
    if open {
        return (
            [(header::CONTENT_TYPE, openmetrics::CONTENT_TYPE)],
            openmetrics::encode(&families),
        )
            .into_response();
    }
    match TextEncoder::new().encode_to_string(&families) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the metrics do not encode: {error}\n"),
        )
            .into_response(),
    }
}

async fn version() -> Response {
    let synod = env!("CARGO_PKG_VERSION");
    Json(json!({ "etcdserver": ETCD_VERSION, "etcdcluster": "3.5.0", "synod": synod })).into_response()
}

#[derive(Deserialize)]
struct ProbeQuery {
    verbose: Option<String>,
    serializable: Option<String>,
}

/// One thing that a probe looks at: its name, and what is wrong.
type Check = (&'static str, Result<(), String>);

async fn livez(State(pages): State<Arc<Pages>>, Query(query): Query<ProbeQuery>) -> Response {
    probe(&live_checks(&pages.requests.status()), query.verbose.is_some())
}

async fn readyz(State(pages): State<Arc<Pages>>, Query(query): Query<ProbeQuery>) -> Response {
    let status = pages.requests.status();
    let mut checks = live_checks(&status);
    checks.extend(ready_checks(&status, pages.ready_lag));
    probe(&checks, query.verbose.is_some())
}

async fn health(State(pages): State<Arc<Pages>>, Query(query): Query<ProbeQuery>) -> Response {
    let status = pages.requests.status();
    let serializable = query.serializable.is_some_and(|value| value == "true");
    let errors = if serializable { Vec::new() } else { status.errors() };
    match errors.first() {
        None => Json(json!({ "health": "true", "reason": "" })).into_response(),
        Some(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "health": "false", "reason": reason })),
        )
            .into_response(),
    }
}

fn live_checks(status: &NodeStatus) -> Vec<Check> {
    let age = status.published.map(|at| at.elapsed());
    let turning = match age {
        Some(age) if age > STUCK_AFTER => Err(format!("the driver has been silent for {} s", age.as_secs())),
        _ => Ok(()),
    };
    vec![("driver", turning)]
}

fn ready_checks(status: &NodeStatus, ready_lag: u64) -> Vec<Check> {
    let recovered = if status.recovered {
        Ok(())
    } else {
        Err("the disk is being read".to_owned())
    };
    let lag = status.lag();
    let caught_up = match &status.catching_up {
        Some(copy) => Err(format!("catching up: snapshot {} %", copy.percent)),
        None if lag <= ready_lag => Ok(()),
        None => Err(format!(
            "{lag} chosen slots are not applied yet; {ready_lag} are tolerated"
        )),
    };
    let disk = status.disk;
    let space = if disk.enough {
        Ok(())
    } else {
        Err(format!(
            "alarm NOSPACE: {} bytes are free on the disk, and storage.reserve_bytes is {}; this node takes no writes",
            disk.free_bytes, disk.reserve_bytes
        ))
    };
    let staying = if status.draining {
        Err("this node is about to stop: it is being drained".to_owned())
    } else {
        Ok(())
    };
    vec![
        ("recovered", recovered),
        ("caught_up", caught_up),
        ("space", space),
        ("staying", staying),
    ]
}

fn probe(checks: &[Check], verbose: bool) -> Response {
    let failed = checks.iter().any(|(_, result)| result.is_err());
    let code = if failed {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    if !failed && !verbose {
        return (code, "ok\n").into_response();
    }
    let mut text = String::new();
    for (name, result) in checks {
        match result {
            Ok(()) => text.push_str(&format!("[+]{name} ok\n")),
            Err(reason) => text.push_str(&format!("[-]{name} failed: {reason}\n")),
        }
    }
    (code, text).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::snapshots::CatchingUp;

    #[test]
    fn readiness_needs_no_leader_but_a_recovered_node_that_is_nearly_up_to_date() {
        let status = NodeStatus {
            recovered: true,
            chosen: 5,
            known_chosen: 100,
            applied: 5,
            ..NodeStatus::default()
        };
        assert!(ready_checks(&status, 95).iter().all(|(_, result)| result.is_ok()));
        let behind = ready_checks(&status, 94);
        assert_eq!(
            behind[1].1,
            Err("95 chosen slots are not applied yet; 94 are tolerated".to_owned())
        );
        let fetching = NodeStatus {
            catching_up: Some(CatchingUp {
                percent: 37,
                ..CatchingUp::default()
            }),
            ..status.clone()
        };
        assert_eq!(
            ready_checks(&fetching, 95)[1].1,
            Err("catching up: snapshot 37 %".to_owned())
        );
        assert!(ready_checks(&NodeStatus::default(), 10)[0].1.is_err());
        let full = NodeStatus {
            disk: crate::status::Space {
                enough: false,
                ..Default::default()
            },
            ..status.clone()
        };
        assert!(ready_checks(&full, 95)[2].1.is_err());
        let leaving = NodeStatus {
            draining: true,
            ..status
        };
        assert!(ready_checks(&leaving, 95)[3].1.is_err());
    }

    #[test]
    fn a_silent_driver_is_not_live() {
        let mut status = NodeStatus::default();
        assert!(
            live_checks(&status)[0].1.is_ok(),
            "nothing published yet: the node starts"
        );
        status.published = Instant::now().checked_sub(STUCK_AFTER + Duration::from_secs(1));
        assert!(live_checks(&status)[0].1.is_err());
    }

    async fn page(address: std::net::SocketAddr, path: &str) -> String {
        ask(
            address,
            &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        )
        .await
    }

    async fn ask(address: std::net::SocketAddr, request: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        answer
    }

    #[tokio::test]
    async fn every_page_answers() {
        let status = NodeStatus {
            recovered: true,
            node: 3,
            name: "c".to_owned(),
            ..NodeStatus::default()
        };
        let (requests, _desk) = crate::requests::open(crate::clock::Clock::start(), 1, status);
        let registry = Registry::new();
        let metrics = crate::metrics::ApiMetrics::new(&registry);
        let (gauges, recent) = (NodeGauges::new(&registry), Recent::new(metrics));
        let quorums = Arc::new(Quorums::new(Box::new(|_| None)));
        let quorum_gauges = QuorumGauges::new(&registry, quorums.clone());
        let (drain, signs) = Drain::new();
        signs.empty.send_replace(true);
        let pages = Arc::new(Pages {
            requests,
            registry,
            gauges,
            quorum_gauges,
            quorums,
            drain,
            recent,
            ready_lag: 0,
            request_timeout: Duration::from_secs(1),
            operator_token: None,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(pages, listener, async move {
            let _ = stopped.await;
        }));
        for (path, code, part) in [
            ("/livez", "200", "ok"),
            ("/readyz?verbose", "200", "[+]caught_up ok"),
            ("/health", "503", "\"reason\":\"etcdserver: no leader\""),
            ("/health?serializable=true", "200", "\"health\":\"true\""),
            ("/version", "200", "\"etcdserver\":\"3.5."),
            ("/v1/status", "200", "\"consensus_latency_ms\":null"),
            ("/v1/status", "200", "\"name\":\"c\""),
            ("/metrics", "200", "synod_leader_known 0"),
            ("/metrics", "200", "synod_reconfiguration_in_progress 0"),
            ("/nowhere", "404", ""),
        ] {
            let answer = page(address, path).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(part),
                "{path}: {answer}"
            );
        }
        let open = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\nConnection: close\r\n\r\n";
        let answer = ask(address, open).await;
        assert!(
            answer.contains("content-type: application/openmetrics-text") && answer.ends_with("# EOF\n"),
            "{answer}"
        );
        for (json, code, part) in [
            (r#"{"linger_ms":0,"timeout_ms":60000}"#, "200", "\"done\":true"),
            (r#"{"linger_ms":2,"timeout_ms":1}"#, "400", "at least linger_ms"),
        ] {
            let length = json.len();
            let answer = ask(
                address,
                &format!(
                    "POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{json}"
                ),
            )
            .await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(part),
                "{json}: {answer}"
            );
        }
        drop(stop);
        server.await.expect("no panic").expect("it ends well");
    }
}
