//! From a member into a file.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::Channel;

use super::decoder::Decoder;
use super::file::{Facts, read};
use crate::proto::etcdserverpb::SnapshotRequest;
use crate::proto::etcdserverpb::maintenance_client::MaintenanceClient;

/// How long a member may take to let itself be reached.
const CONNECT: Duration = Duration::from_secs(5);

/// Saves the state of the member at `endpoint` (`host:port`). Nothing is at `path` unless all of it was checked and is
/// durable. `progress` hears how many bytes are there, and how many are expected, about.
///
/// # Errors
/// A sentence.
pub async fn save(endpoint: &str, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Facts, String> {
    if path.exists() {
        return Err(format!("{} exists already", path.display()));
    }
    let part = beside(path);
    let saved = receive(endpoint, &part, progress).await;
    if let Err(reason) = saved {
        // It is of no use, and may not even be there.
        let _ = fs::remove_file(&part);
        return Err(reason);
    }
    // What counts is what is on the disk.
    let facts = read(&part, &mut |_| Ok(()))?;
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    fs::rename(&part, path).map_err(named)?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(named)?;
    Ok(facts)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

async fn receive(endpoint: &str, part: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), String> {
    let named = |error: std::io::Error| format!("{}: {error}", part.display());
    let asked = |error: &dyn std::fmt::Display| format!("{endpoint}: {error}");
    let channel = Channel::from_shared(format!("http://{endpoint}"))
        .map_err(|error| asked(&error))?
        .connect_timeout(CONNECT)
        .connect()
        .await
        .map_err(|error| asked(&error))?;
    let mut client = MaintenanceClient::new(channel);
    let answer = client.snapshot(SnapshotRequest {}).await;
    let mut stream = answer.map_err(|status| asked(&status.message()))?.into_inner();
    let mut file = File::create(part).map_err(named)?;
    let (mut decoder, mut bytes) = (Decoder::default(), 0);
    while let Some(response) = stream.message().await.map_err(|status| asked(&status.message()))? {
        decoder
            .take(&response.blob, &mut |_| Ok(()), &mut |_, _| Ok(()))
            .map_err(|fault| format!("what {endpoint} sends is no snapshot: {fault}"))?;
        file.write_all(&response.blob).map_err(named)?;
        bytes += response.blob.len() as u64;
        progress(bytes, bytes + response.remaining_bytes);
    }
    decoder
        .finish()
        .map_err(|fault| format!("what {endpoint} sent is no snapshot: {fault}"))?;
    file.sync_all().map_err(named)
}
