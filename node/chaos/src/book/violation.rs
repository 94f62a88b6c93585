//! Something that must not be.

use std::fmt;

use serde::Serialize;

/// A contradiction, and what it consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    /// Which property does not hold.
    pub(crate) property: &'static str,
    /// What is wrong, in a sentence.
    pub(crate) text: String,
    /// The few operations that contradict each other, one each.
    pub(crate) lines: Vec<String>,
}

impl Violation {
    pub(crate) fn new(property: &'static str, text: String) -> Violation {
        Violation {
            property,
            text,
            lines: Vec::new(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.text)?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
