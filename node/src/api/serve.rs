//! Accepting clients.

use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::Api;
use super::connection::Connection;
use super::dispatch::Dispatch;

/// How long nobody is accepted after the system could not: there may be too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves clients on `listener` until `stop` turns true; then accepts no more, and ends when the present clients are done.
pub async fn serve(api: Api, listener: TcpListener, stop: watch::Receiver<bool>) {
    let dispatch = Dispatch::new(api);
    let mut connections = JoinSet::new();
    let mut stopping = pin!(stopped(stop.clone()));
    loop {
        tokio::select! {
            () = &mut stopping => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, client)) => {
                    // Answers are small and are written whole; a system that cannot send them at once sends them later.
                    let _ = socket.set_nodelay(true);
                    let connection = Connection::new(socket, dispatch.clone());
                    let stop = stopped(stop.clone());
                    connections.spawn(async move {
                        if let Err(error) = connection.serve(stop).await {
                            debug!(%client, %error, "a client's connection broke");
                        }
                    });
                }
                Err(error) => {
                    warn!(%error, "could not accept a client");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Resolves when the node stops.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // A sender that is gone is a node that stops.
    let _ = stop.wait_for(|stop| *stop).await;
}
