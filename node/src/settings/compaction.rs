//! When the store is compacted by itself.

use std::time::Duration;

use super::keys::{self, Keys};
use super::units;

/// When the leader compacts the store without being asked to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// What is kept.
    pub keep: Keep,
    /// How often the leader looks whether there is something to compact.
    pub interval: Duration,
}

/// How much history is kept.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of it, until a client compacts.
    Everything,
    /// So many revisions.
    Revisions(i64),
    /// What was there so long ago, and what came since.
    Age(Duration),
}

/// Each compaction makes every node walk through its store once.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

impl Compaction {
    pub(super) fn read(keys: &mut Keys) -> Option<Compaction> {
        let mode = keys.or("compaction.mode", "off", |text| {
            ["off", "revisions", "age"]
                .into_iter()
                .find(|mode| *mode == text)
                .ok_or_else(|| format!("\"{text}\" is none of \"off\", \"revisions\", \"age\""))
        });
        let keep = match mode {
            Some("revisions") => {
                let count = |text: &str| keys::integer(text, 1..=u64::from(u32::MAX));
                keys.or("compaction.keep", 10_000, count)
                    .map(|count| Keep::Revisions(i64::try_from(count).unwrap_or(i64::MAX)))
            }
            Some("age") => keys
                .or("compaction.keep", Duration::from_secs(3600), units::duration)
                .map(Keep::Age),
            // What it would mean, only a mode can tell.
            _ => keys.or("compaction.keep", (), |_| Ok(())).map(|()| Keep::Everything),
        };
        let interval = keys.or("compaction.interval", Duration::from_secs(300), units::duration);
        let compaction = Compaction {
            keep: keep?,
            interval: interval?,
        };
        mode?;
        if compaction.interval < LEAST_INTERVAL {
            keys.fault(
                "compaction.interval",
                "is shorter than a second: nodes would do little else",
            );
        }
        Some(compaction)
    }
}
