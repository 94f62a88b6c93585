//! Takes typed values out of the merged settings and collects what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use config::{Map, Value, ValueKind};

use super::fault::Fault;
use crate::transport::identity::check_label;

/// Keys whose value is one text or number, and so may also come from the environment or a flag.
pub(super) const SCALARS: [&str; 44] = [
    "cluster",
    "node",
    "data_dir",
    "join",
    "listen.peers",
    "listen.clients",
    "listen.http",
    "operators.token_file",
    "certificates.authority",
    "certificates.certificate",
    "certificates.key",
    "timing.heartbeat_interval",
    "timing.election_timeout",
    "timing.request_timeout",
    "timing.batch_interval",
    "reluctance",
    "hand_back",
    "reads.lease",
    "reads.clock_drift_ppm",
    "limits.max_request_bytes",
    "limits.max_txn_ops",
    "limits.max_waiting_requests",
    "limits.max_batch_bytes",
    "limits.max_inflight_bytes",
    "limits.eager_slots",
    "limits.max_queued",
    "limits.max_queued_bytes",
    "limits.cache_bytes",
    "limits.keep_slots",
    "limits.max_log_bytes",
    "limits.max_log_slots",
    "limits.ready_lag",
    "compaction.mode",
    "compaction.keep",
    "compaction.interval",
    "catch_up.max_bytes_per_second",
    "scrub.bytes_per_second",
    "scrub.rest",
    "storage.reserve_bytes",
    "canary.interval",
    "log.format",
    "log.level",
    "sync_delay",
    "clock_rate_ppm",
];

/// Keys of the genesis configuration, which are read as a whole; the file is the place for them.
pub(super) const GENESIS: [&str; 5] = ["epoch", "alpha", "system", "member", "dial"];

/// The key that a variable names: `LISTEN_CLIENTS` is `listen.clients`.
pub(super) fn of_variable(name: &str) -> Option<String> {
    let all = SCALARS.iter().chain(&["alpha", "system"]);
    all.copied()
        .find(|key| key.replace('.', "_").eq_ignore_ascii_case(name))
        .map(str::to_owned)
}

/// The merged settings, consumed key by key.
pub(super) struct Keys {
    left: BTreeMap<String, Value>,
    origins: BTreeMap<String, String>,
    known: BTreeSet<&'static str>,
    faults: Vec<Fault>,
    folder: Option<(String, PathBuf)>,
}

impl Keys {
    pub(super) fn new(values: Map<String, Value>, folder: Option<(String, PathBuf)>) -> Keys {
        let mut left = BTreeMap::new();
        flatten("", values, &mut left);
        let origins = left
            .iter()
            .map(|(key, value)| (key.clone(), value.origin().unwrap_or("").to_owned()))
            .collect();
        Keys {
            left,
            origins,
            known: BTreeSet::new(),
            faults: Vec::new(),
            folder,
        }
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let there = self.left.contains_key(key);
        let value = self.scalar(key, parse);
        if !there {
            self.fault(key, &format!("is missing; set it in the file, or as {}", variable(key)));
        }
        value
    }

    /// The value of a key, or the default if it is not there; `None` only if it is faulty.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.left.contains_key(key) {
            self.scalar(key, parse)
        } else {
            self.known.insert(key);
            Some(default)
        }
    }

    /// A path that must be given; one from the file is relative to the file's folder.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = self.required(key, |text| {
            if text.is_empty() {
                Err("is empty; a path is needed".to_owned())
            } else {
                Ok(PathBuf::from(text))
            }
        })?;
        let origin = self.origins.get(key).map_or("", String::as_str);
        let folder = self
            .folder
            .as_ref()
            .filter(|(name, _)| origin.starts_with(&format!("{name} line ")));
        Some(folder.map_or(path.clone(), |(_, folder): &(String, PathBuf)| {
            Path::new(folder).join(&path)
        }))
    }

    /// A path that may be left out.
    pub(super) fn optional_path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.known.insert(key);
        if self.left.contains_key(key) {
            self.path(key)
        } else {
            None
        }
    }

    /// A single value as it stands there, without taking it.
    pub(super) fn peek(&self, key: &str) -> Option<String> {
        self.left.get(key)?.clone().into_string().ok()
    }

    /// A value that is more than a text.
    pub(super) fn whole(&mut self, key: &'static str) -> Option<Value> {
        self.known.insert(key);
        self.left.remove(key)
    }

    /// Notes a fault of a key, at the place its value came from.
    pub(super) fn fault(&mut self, key: &str, reason: &str) {
        let origin = self.origins.get(key).cloned().unwrap_or_default();
        self.faults.push(Fault::new(&origin, key, reason));
    }

    /// Notes a fault at a place.
    pub(super) fn fault_at(&mut self, origin: &str, key: &str, reason: impl Into<String>) {
        self.faults.push(Fault::new(origin, key, reason));
    }

    /// All faults; whatever was not taken is unknown.
    pub(super) fn finish(mut self) -> Vec<Fault> {
        for (key, value) in std::mem::take(&mut self.left) {
            let origin = value.origin().unwrap_or("");
            let known: Vec<&str> = self.known.iter().copied().collect();
            // An unknown variable is its own key; what it is like is another variable.
            let reason = match nearest(&key, &known) {
                _ if key == origin => {
                    let variables: Vec<String> = known.iter().map(|key| variable(key)).collect();
                    let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
                    unknown("variable", nearest(&key, &variables))
                }
                near => unknown("key", near),
            };
            self.faults.push(Fault::new(
                if key == origin { "the environment" } else { origin },
                &key,
                reason,
            ));
        }
        self.faults
    }

    fn scalar<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        debug_assert!(
            SCALARS.contains(&key) || GENESIS.contains(&key),
            "{key} is missing in SCALARS"
        );
        self.known.insert(key);
        let value = self.left.remove(key)?;
        let text = match &value.kind {
            ValueKind::Array(_) | ValueKind::Table(_) | ValueKind::Nil => {
                self.fault(key, "is not a single value");
                return None;
            }
            _ => value.into_string().unwrap_or_default(),
        };
        match parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(reason) => {
                self.fault(key, &reason);
                None
            }
        }
    }
}

/// Faults of all keys that no settings have.
pub(super) fn strangers(values: Map<String, Value>) -> Vec<Fault> {
    let mut flat = BTreeMap::new();
    flatten("", values, &mut flat);
    let known: Vec<&str> = SCALARS.iter().chain(&GENESIS).copied().collect();
    flat.retain(|key, _| !known.contains(&key.as_str()));
    let fault = |(key, value): (String, Value)| {
        Fault::new(
            value.origin().unwrap_or(""),
            &key,
            unknown("key", nearest(&key, &known)),
        )
    };
    flat.into_iter().map(fault).collect()
}

pub(super) fn unknown(what: &str, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("is not a known {what}; did you mean {near}?"),
        None => format!("is not a known {what}"),
    }
}

/// The environment variable of a key.
fn variable(key: &str) -> String {
    format!("SYNOD_{}", key.replace('.', "_").to_uppercase())
}

/// Tables become dotted keys; `system` may be a table that belongs together.
fn flatten(prefix: &str, table: Map<String, Value>, into: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key
        } else {
            format!("{prefix}.{key}")
        };
        match value.kind {
            ValueKind::Table(inner) if path != "system" => flatten(&path, inner, into),
            _ => {
                into.insert(path, value);
            }
        }
    }
}

/// The known key that `key` was probably meant to be.
pub(super) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |candidate: &str| {
        // The right key in the wrong section is one mistake.
        let misplaced = 1 + strsim::damerau_levenshtein(&last(key), &last(candidate));
        misplaced.min(strsim::damerau_levenshtein(key, candidate))
    };
    let (near, distance) = known
        .iter()
        .map(|candidate| (*candidate, distance(candidate)))
        .min_by_key(|pair| pair.1)?;
    (distance <= 1 + last(key).len() / 3).then_some(near)
}

/// A cluster's name, which also stands in certificates.
pub(super) fn cluster(text: &str) -> Result<String, String> {
    check_label("the name", text)
        .map(|()| text.to_owned())
        .map_err(|reason| format!("is wrong: {reason}"))
}

pub(super) fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("\"{text}\" is not an address such as 127.0.0.1:2379 or [::]:2379"))
}

pub(super) fn integer(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let (least, most) = (range.start(), range.end());
    let number: Option<u64> = text.trim().parse().ok();
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("\"{text}\" is not a whole number between {least} and {most}"))
}
