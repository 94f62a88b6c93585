//! Who may change something: requests that are not mere questions.
//!
//! Without a word of their own (`operators.token_file`) operators come from the machine itself: over loopback, by `ssh`, or
//! by `kubectl exec` and `port-forward`, which ask Kubernetes who they are. With it everybody has to say the word, from
//! loopback too: a proxy beside the node may make everybody look local.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::digest::{SHA256, digest};
use tracing::warn;

use super::Pages;
use crate::settings::token;

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// It comes from elsewhere, and there is no word to say.
    FromElsewhere(IpAddr),
    /// It says no word, or a wrong one.
    WithoutToken,
    /// Nobody can be asked for a word that cannot be read.
    Unreadable(String),
}

/// Lets a request through, or answers why not.
pub(super) async fn admit(
    State(pages): State<Arc<Pages>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let said = request.headers().get(header::AUTHORIZATION);
    let said = said.and_then(|value| value.to_str().ok());
    match judge(pages.operator_token.as_deref(), peer.ip(), said) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            warn!(%peer, path = request.uri().path(), ?refusal, "a change is refused");
            refusal.into_response()
        }
    }
}

fn judge(file: Option<&Path>, peer: IpAddr, said: Option<&str>) -> Result<(), Refusal> {
    let Some(file) = file else {
        return match peer.to_canonical() {
            own if own.is_loopback() => Ok(()),
            other => Err(Refusal::FromElsewhere(other)),
        };
    };
    // Read anew each time: changes are rare, and the file may be renewed.
    let word = token::read(file).map_err(Refusal::Unreadable)?;
    let said = said.and_then(|said| said.split_once(' '));
    let said = said.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    // Of hashes, so that how long it takes tells nothing about the word.
    let hash = |word: &str| digest(&SHA256, word.as_bytes());
    match said {
        Some((_, said)) if hash(said.trim()).as_ref() == hash(&word).as_ref() => Ok(()),
        _ => Err(Refusal::WithoutToken),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::FromElsewhere(peer) => (
                StatusCode::FORBIDDEN,
                format!(
                    "this node takes changes from its own machine only, not from {peer}: run the command there (with Kubernetes \
                     through kubectl exec or port-forward), or set operators.token_file on the node\n"
                ),
            )
                .into_response(),
            Refusal::WithoutToken => (
                StatusCode::UNAUTHORIZED,
                [(header::WWW_AUTHENTICATE, "Bearer")],
                "this node takes changes only from who knows its operators' token: name the file that holds it with --token-file \
                 or in SYNOD_OPERATORS_TOKEN_FILE\n",
            )
                .into_response(),
            Refusal::Unreadable(reason) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("this node cannot tell operators from others: operators.token_file {reason}\n"),
            )
                .into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str) -> IpAddr {
        peer.parse().expect("an address")
    }

    #[test]
    fn without_a_token_only_the_machine_itself_may_change_something() {
        for own in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(judge(None, from(own), None), Ok(()), "{own}");
        }
        for other in ["10.1.0.1", "0.0.0.0", "::ffff:10.1.0.1", "2001:db8::1", "fe80::1"] {
            let refused = judge(None, from(other), Some("Bearer 0123456789abcdef"));
            assert_eq!(refused, Err(Refusal::FromElsewhere(from(other).to_canonical())));
            let answer = refused.expect_err("refused").into_response();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        }
    }

    #[test]
    fn with_a_token_everybody_has_to_say_it_and_it_may_be_renewed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let write = |word: &str| std::fs::write(&path, word).expect("written");
        let judge = |peer: &str, said: Option<&str>| judge(Some(&path), from(peer), said);
        write("0123456789abcdef\n");
        for peer in ["127.0.0.1", "10.1.0.1"] {
            assert_eq!(judge(peer, Some("Bearer 0123456789abcdef")), Ok(()));
            assert_eq!(judge(peer, Some("bearer 0123456789abcdef ")), Ok(()));
            for wrong in [
                "Bearer 0123456789abcdeg",
                "Basic 0123456789abcdef",
                "0123456789abcdef",
                "Bearer ",
                "",
            ] {
                assert_eq!(judge(peer, Some(wrong)), Err(Refusal::WithoutToken), "{wrong}");
            }
            assert_eq!(judge(peer, None), Err(Refusal::WithoutToken));
        }
        write("another word that is");
        assert_eq!(
            judge("127.0.0.1", Some("Bearer 0123456789abcdef"))
                .map_err(IntoResponse::into_response)
                .map_err(|answer| answer.status()),
            Err(StatusCode::SERVICE_UNAVAILABLE)
        );
        write("fedcba9876543210");
        assert_eq!(
            judge("10.1.0.1", Some("Bearer 0123456789abcdef")),
            Err(Refusal::WithoutToken)
        );
        assert_eq!(judge("10.1.0.1", Some("Bearer fedcba9876543210")), Ok(()));
    }
}
