//! What makes a node stop in order.

use tokio::io::{AsyncReadExt, stdin};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Who wants the node to stop, once somebody does.
pub(super) type Wish = watch::Receiver<Option<&'static str>>;

/// Listens on a thread of its own, so that nothing is missed while the node starts anew.
pub(super) fn listen(with_stdin: bool) -> std::io::Result<Wish> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (said, heard) = watch::channel(None);
    let work = move || {
        let reason = runtime.block_on(requested(with_stdin));
        said.send_replace(Some(reason));
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(work)?;
    Ok(heard)
}

/// Resolves when somebody wants the node to stop, and says who.
pub(super) async fn wished(mut wish: Wish) -> &'static str {
    match wish.wait_for(Option::is_some).await.map(|reason| *reason) {
        Ok(Some(reason)) => reason,
        // Without a listener a signal ends the process.
        _ => std::future::pending().await,
    }
}

async fn requested(with_stdin: bool) -> &'static str {
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
