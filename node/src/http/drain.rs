//! `POST /v1/drain`: somebody is about to stop this node.
//!
//! Answers when the node is drained, or when the time that was given is over. As with [`super::reconfigure`], the body must
//! be declared as JSON.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Pages;
use crate::drain::Terms;

/// The longest that a drain may take: a connection that waits longer looks dead to what is in between.
const LONGEST: Duration = Duration::from_secs(600);

/// How to drain, in milliseconds.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// How long to serve on while the news travels that this node is not ready.
    pub linger_ms: u64,
    /// How long the whole may take, lingering included.
    pub timeout_ms: u64,
}

pub(super) async fn drain(State(pages): State<Arc<Pages>>, Json(wish): Json<Wish>) -> Response {
    let (linger, timeout) = (
        Duration::from_millis(wish.linger_ms),
        Duration::from_millis(wish.timeout_ms),
    );
    if timeout > LONGEST || linger > timeout {
        let reason = format!(
            "timeout_ms must be at least linger_ms and at most {}\n",
            LONGEST.as_millis()
        );
        return (StatusCode::BAD_REQUEST, reason).into_response();
    }
    // Whoever hangs up does not end the drain.
    let (drain, requests) = (pages.drain.clone(), pages.requests.clone());
    match tokio::spawn(async move { drain.run(&requests, Terms { linger, timeout }).await }).await {
        Ok(drained) => Json(drained).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("the drain broke: {error}\n")).into_response(),
    }
}
