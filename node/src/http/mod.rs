//! Metrics, probes and status over plain HTTP, on a port of their own.
//!
//! * `/livez`: the driver turns. Never depends on peers: a restart does not mend a network.
//! * `/readyz`: this node has read its disk and is nearly up to date. Not dependent on a quorum either: in a partition a
//!   node that serves stale reads must stay reachable.
//! * `/health`: etcd's question, whether requests succeed. False without a leader; `?serializable=true` asks about local
//!   reads only.
//! * `/metrics`, `/version`, `/v1/status`.
//! * `POST /v1/reconfigure`: the one page that changes anything ([`reconfigure`]).
//!
//! `?verbose` on the probes lists every check.

pub mod reconfigure;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use prometheus::{Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

use crate::api::ETCD_VERSION;
use crate::metrics::{NodeGauges, Recent, Summary};
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
    /// The last minute.
    pub recent: Recent,
    /// Slots that the node may lag behind and still be ready.
    pub ready_lag: u64,
    /// How long a change of configuration may take to be chosen.
    pub request_timeout: Duration,
}

/// Serves the pages until `stop` resolves.
///
/// # Errors
/// The listener failed.
pub async fn serve(pages: Arc<Pages>, listener: TcpListener, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let (sender, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, router(pages.clone())).with_graceful_shutdown(async move {
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
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/health", get(health))
        .route("/version", get(version))
        .route("/v1/status", get(status))
        .route("/v1/reconfigure", post(reconfigure::reconfigure))
        .with_state(pages)
}

/// The status with the four numbers that dashboards share.
#[derive(Serialize)]
struct StatusPage<'a> {
    #[serde(flatten)]
    node: &'a NodeStatus,
    #[serde(flatten)]
    recent: Summary,
}

async fn status(State(pages): State<Arc<Pages>>) -> Response {
    let node = pages.requests.status();
    Json(StatusPage {
        node: &node,
        recent: pages.recent.summary(),
    })
    .into_response()
}

async fn metrics(State(pages): State<Arc<Pages>>) -> Response {
    pages.gauges.update(&pages.requests.status());
    match TextEncoder::new().encode_to_string(&pages.registry.gather()) {
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
    vec![("recovered", recovered), ("caught_up", caught_up), ("space", space)]
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
            ..status
        };
        assert!(ready_checks(&full, 95)[2].1.is_err());
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
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
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
        let pages = Arc::new(Pages {
            requests,
            registry,
            gauges,
            recent,
            ready_lag: 0,
            request_timeout: Duration::from_secs(1),
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
            ("/nowhere", "404", ""),
        ] {
            let answer = page(address, path).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(part),
                "{path}: {answer}"
            );
        }
        drop(stop);
        server.await.expect("no panic").expect("it ends well");
    }
}
