//! What is wrong with the settings.

use std::fmt;

/// One fault: where, which key, what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where the value came from, for example `synod.toml line 12` or `SYNOD_NODE`; empty for what is missing.
    pub origin: String,
    /// The line, if it came from a file; for sorting.
    pub line: usize,
    /// The key; empty if the text as a whole is at fault.
    pub key: String,
    /// What is wrong, as the rest of a sentence about the key.
    pub reason: String,
}

impl Fault {
    /// A fault of a value.
    #[must_use]
    pub fn new(origin: &str, key: &str, reason: impl Into<String>) -> Fault {
        let line = origin
            .rsplit_once(" line ")
            .and_then(|(_, line)| line.parse().ok())
            .unwrap_or(0);
        Fault {
            origin: origin.to_owned(),
            line,
            key: key.to_owned(),
            reason: reason.into(),
        }
    }
}

impl Ord for Fault {
    fn cmp(&self, other: &Fault) -> std::cmp::Ordering {
        (self.line, &self.key, &self.reason).cmp(&(other.line, &other.key, &other.reason))
    }
}

impl PartialOrd for Fault {
    fn partial_cmp(&self, other: &Fault) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.origin.is_empty() {
            write!(f, "{}: ", self.origin)?;
        }
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        f.write_str(&self.reason)
    }
}

/// All faults of one set of settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the settings have a fault:")?,
            count => write!(f, "the settings have {count} faults:")?,
        }
        for fault in &self.0 {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
