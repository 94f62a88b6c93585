//! What commands ask the real machine. Nothing here reaches into a run.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A seed that differs from run to run: this is the only place where the real clock decides anything.
pub(super) fn clock_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs() * 1_000_000
}

/// CPU time of this process so far, as Linux counts it.
pub(super) fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    let ticks: u64 = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// The revision of the sources in the current folder.
pub(super) fn revision() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let text = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    match text.as_deref().map(str::trim) {
        None | Some("") => "unknown".to_owned(),
        Some(revision) => revision.to_owned(),
    }
}
