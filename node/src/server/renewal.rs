//! Takes up renewed certificates while the node runs.
//!
//! Whoever renews certificates writes them to the same files; what runs on them is rarely told. So the files are read every
//! few seconds, and a change is taken up as a whole or not at all: as long as the new files do not fit together or are not
//! this node's, the old certificate stays in use, the log says what is wrong, and a counter tells whoever watches.
//! Connections that exist stay as they are; every new one, dialled or accepted, uses what is new.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::metrics::RenewalMetrics;
use crate::settings::Certificates;
use crate::transport::{Credentials, Transport};

/// How often the files are read.
const EVERY: Duration = Duration::from_secs(5);

/// The bytes of the three files, or why one cannot be read.
type Content = Result<[Vec<u8>; 3], String>;

/// Reads the files until `stop` turns true.
pub(super) async fn run(
    files: Certificates,
    transport: Transport,
    metrics: RenewalMetrics,
    mut stop: watch::Receiver<bool>,
) {
    let paths = [files.authority, files.certificate, files.key];
    let mut seen = content(&paths).await;
    let mut rounds = interval(EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = rounds.tick() => {}
        }
        let now = content(&paths).await;
        // What is wrong is said once, not every few seconds.
        if now == seen {
            continue;
        }
        let renewed = now.clone().and_then(|[authority, certificate, key]| {
            let [ca, leaf, secret] = &paths;
            let credentials = Credentials::read((ca, &authority), (leaf, &certificate), (secret, &key));
            let credentials = credentials.map_err(|error| error.to_string())?;
            transport.renew(credentials).map_err(|error| error.to_string())
        });
        metrics.changed(renewed.is_ok());
        match renewed {
            Ok(expiry) => info!(
                expires = expiry.node,
                "the certificate was renewed: new connections use the new one"
            ),
            Err(reason) => warn!(
                %reason,
                "the certificate's files have changed and cannot be used: the old certificate stays in use"
            ),
        }
        seen = now;
    }
}

async fn content(paths: &[PathBuf; 3]) -> Content {
    let mut read = [Vec::new(), Vec::new(), Vec::new()];
    for (path, bytes) in paths.iter().zip(&mut read) {
        let there = tokio::fs::read(path).await;
        *bytes = there.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(read)
}
