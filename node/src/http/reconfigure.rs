//! `POST /v1/reconfigure`: an operator wants another configuration.
//!
//! The page takes a [`Wish`] as JSON and answers with [`Said`]. It decides nothing: the leader judges the change, wherever it
//! was asked for. Asking again does no harm, because the epoch in the wish says which configuration it follows (R2). The body
//! must be declared as JSON, which no foreign web page can make a browser do without being asked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use clap::ValueEnum;
use paxos::{Objection, Refusal, Waivers};
use quorum::{Configuration, Proposal};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::Pages;
use crate::requests::{Failure, Reconfigured};

/// A configuration that is to follow the newest one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Members and quorum system, with the epoch after the newest.
    pub configuration: Proposal,
    /// What the operator accepts; whatever is not named is refused.
    #[serde(default)]
    pub accept: Vec<Risk>,
}

/// What an operator may accept in so many words (R5, R7).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Too few new members have caught up, so commits may wait until they have
    Behind,
    /// One disk that is lost can take acknowledged writes with it
    OneDisk,
    /// One zone that is lost can take acknowledged writes with it
    OneZone,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Said {
    /// It is chosen and takes effect.
    Chosen {
        /// The number of the configuration.
        epoch: u64,
        /// The slot in which it was chosen.
        slot: u64,
        /// The first slot that it governs.
        from_slot: u64,
    },
    /// It is certainly not done.
    Refused {
        /// Why.
        reason: String,
        /// Whether the same wish may be granted a little later.
        again: bool,
    },
    /// It may or may not be done: the status tells.
    Unknown {
        /// Why that is not known.
        reason: String,
    },
}

/// What is accepted, as the core is told. Who can bear the loss of a disk that holds the only copy can bear that of its zone.
#[must_use]
pub fn waivers(accept: &[Risk]) -> Waivers {
    let accepts = |risk| accept.contains(&risk);
    Waivers {
        behind: accepts(Risk::Behind),
        one_disk: accepts(Risk::OneDisk),
        one_zone: accepts(Risk::OneZone) || accepts(Risk::OneDisk),
    }
}

impl Said {
    /// From what the node answered.
    #[must_use]
    pub fn of(answer: Result<Reconfigured, Failure>) -> Said {
        match answer {
            Ok(done) => Said::Chosen {
                epoch: done.epoch.0,
                slot: done.slot.0,
                from_slot: done.from.0,
            },
            Err(failure @ Failure::Refused(refusal)) => Said::Refused {
                reason: failure.to_string(),
                again: passes(refusal),
            },
            Err(failure) => Said::Unknown {
                reason: failure.to_string(),
            },
        }
    }

    fn code(&self) -> StatusCode {
        match self {
            Said::Chosen { .. } => StatusCode::OK,
            Said::Refused { again: false, .. } => StatusCode::CONFLICT,
            Said::Refused { again: true, .. } | Said::Unknown { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Whether what stands in the way goes by by itself.
fn passes(refusal: Refusal) -> bool {
    match refusal {
        Refusal::NoLeader | Refusal::NoQuorum | Refusal::NotLeader | Refusal::Overloaded => true,
        Refusal::Change(objection) => matches!(
            objection,
            Objection::Pending { .. } | Objection::Unsettled { .. } | Objection::Behind { .. }
        ),
        Refusal::TooLarge | Refusal::NoSpace => false,
    }
}

pub(super) async fn reconfigure(State(pages): State<Arc<Pages>>, Json(wish): Json<Wish>) -> Response {
    let said = match Configuration::new(wish.configuration) {
        Ok(configuration) => {
            info!(epoch = %configuration.epoch(), system = %configuration.spec(), accept = ?wish.accept, "an operator wants another configuration");
            let asked = pages
                .requests
                .reconfigure(configuration, waivers(&wish.accept), pages.request_timeout);
            Said::of(asked.await)
        }
        Err(faults) => Said::Refused {
            reason: faults.to_string(),
            again: false,
        },
    };
    info!(?said, "the operator is answered");
    (said.code(), Json(said)).into_response()
}

#[cfg(test)]
mod tests {
    use paxos::{Doubt, Slot};
    use quorum::Epoch;

    use super::*;

    #[test]
    fn what_passes_may_be_asked_again_and_what_does_not_may_not() {
        let refused = |refusal| Said::of(Err(Failure::Refused(refusal)));
        let unsettled = refused(Refusal::Change(Objection::Unsettled { newest: Epoch(3) }));
        assert!(matches!(unsettled, Said::Refused { again: true, .. }), "{unsettled:?}");
        let zone = refused(Refusal::Change(Objection::OneZone {
            node: quorum::NodeId(1),
        }));
        assert!(matches!(zone, Said::Refused { again: false, .. }), "{zone:?}");
        assert!(matches!(
            Said::of(Err(Failure::Unknown(Doubt::TimedOut))),
            Said::Unknown { .. }
        ));
        let done = Reconfigured {
            epoch: Epoch(2),
            slot: Slot(7),
            from: Slot(23),
        };
        let text = serde_json::to_string(&Said::of(Ok(done))).expect("plain data");
        assert_eq!(text, r#"{"outcome":"chosen","epoch":2,"slot":7,"from_slot":23}"#);
    }

    #[test]
    fn nothing_is_accepted_that_was_not_named() {
        assert_eq!(waivers(&[]), Waivers::NONE);
        let disk = waivers(&[Risk::OneDisk]);
        assert!(disk.one_disk && disk.one_zone && !disk.behind);
        let wish: Result<Wish, _> = serde_json::from_str(r#"{"configuration":{"member":[]},"accept":["one-planet"]}"#);
        assert!(wish.is_err());
    }
}
