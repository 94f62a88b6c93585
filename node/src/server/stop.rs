//! What makes a node stop in order.

use tokio::io::{AsyncReadExt, stdin};
use tokio::signal::unix::{SignalKind, signal};

/// Resolves when somebody wants the node to stop, and says who.
pub(super) async fn requested(with_stdin: bool) -> &'static str {
    tokio::select! {
        () = signalled(SignalKind::terminate()) => "SIGTERM",
        () = signalled(SignalKind::interrupt()) => "SIGINT",
        () = parent_gone(), if with_stdin => "standard input ended",
    }
}

async fn signalled(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        // Without a handler the signal does what it always does: it ends the process.
        Err(_) => std::future::pending().await,
    }
}

async fn parent_gone() {
    let mut ignored = [0; 64];
    while !matches!(stdin().read(&mut ignored).await, Ok(0) | Err(_)) {}
}
