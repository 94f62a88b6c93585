//! Every mutant with what it changes, what comes of it, and the verdict that is expected, in the order in which one learns
//! the protocol: first the two phases, then what disks must remember, then a log of many slots, reads and clients.

mod changes;
mod clients;
mod durability;
mod leadership;
mod learning;
mod leases;
mod log;
mod missing;
mod phases;
mod quorums;
mod reads;
mod snapshots;

pub use missing::{MISSING, Missing};

use super::Mutant;
use crate::checker::Property;

/// What must become of a mutant.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// A checker kills it; on the stage it does the harm that this property names.
    Killed(Property),
    /// Nothing wrong is ever said, but a healed cluster does not go on.
    Stuck,
    /// No property is broken, those aside that state the broken rule itself.
    Survives(&'static [Property]),
}

/// A mutant and all that is known of it.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What it is called in the book.
    pub title: &'static str,
    /// What the code does instead of what the rule says.
    pub change: &'static str,
    /// What comes of it, and why.
    pub outcome: &'static str,
    /// What must become of it.
    pub expected: Expected,
}

/// Mutants that are told together.
#[derive(Debug)]
pub struct Chapter {
    /// What it is about.
    pub title: &'static str,
    /// What one must know before.
    pub introduction: &'static str,
    /// The mutants.
    pub entries: &'static [Entry],
}

/// All mutants.
pub const CATALOGUE: &[Chapter] = &[
    phases::VOTES,
    phases::VALUES,
    quorums::COUNTING,
    durability::DISKS,
    log::RECOVERY,
    learning::LEARNING,
    learning::TRIMMING,
    snapshots::SNAPSHOTS,
    reads::READS,
    leases::LEASES,
    clients::CLIENTS,
    leadership::LEADERSHIP,
    changes::CHANGES,
];

/// All entries, in the order of the chapters.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    CATALOGUE.iter().flat_map(|chapter| chapter.entries)
}

impl Entry {
    /// The entry of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Entry> {
        entries().find(|entry| entry.name == name)
    }

    /// The mutant, if this build has it.
    #[must_use]
    pub fn mutant(&self) -> Option<Mutant> {
        Mutant::named(self.name)
    }

    /// The property whose breaking is the mutant's harm.
    #[must_use]
    pub fn harm(&self) -> Option<Property> {
        match self.expected {
            Expected::Killed(property) => Some(property),
            Expected::Stuck => Some(Property::Liveness),
            Expected::Survives(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_one_entry() {
        for mutant in Mutant::all() {
            let known = entries().filter(|entry| entry.name == mutant.name()).count();
            assert_eq!(known, 1, "{}", mutant.name());
        }
        if paxos::MUTABLE {
            for entry in entries() {
                assert!(entry.mutant().is_some(), "there is no mutant {}", entry.name);
            }
        }
    }
}
