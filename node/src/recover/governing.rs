//! Which configuration governs which slot, as far as the disks know (R1, R2).

use std::collections::BTreeMap;

use paxos::{Configurations, Slot};
use quorum::{Configuration, Epoch, NodeSet, Phase, QuorumSystem as _};
use storage::Survivor;

use super::place;

/// The configurations of which any disk knows, each with the first slot that it governs.
///
/// A disk remembers two of them only, the newest and the one before; between those and what the cluster was founded with there
/// may be others, which nobody remembers.
pub(super) struct Governing {
    known: BTreeMap<Epoch, (Slot, Configuration)>,
    /// A disk records a change: what follows is not from the settings.
    pub(super) changed: bool,
}

impl Governing {
    /// What the cluster was founded with, and nothing else.
    pub(super) fn founded(genesis: &Configuration) -> Governing {
        Governing {
            known: BTreeMap::from([(genesis.epoch(), (Slot(1), genesis.clone()))]),
            changed: false,
        }
    }

    /// Adds what a disk has recorded, or what follows from a slot that was filled.
    pub(super) fn learn(&mut self, configurations: &Configurations) {
        self.changed = true;
        for (from, configuration) in configurations.entries() {
            // The disks go before the settings: these may have been changed since the cluster was founded.
            self.known.insert(configuration.epoch(), (*from, configuration.clone()));
        }
    }

    /// The configuration of a slot, if it is known.
    pub(super) fn of(&self, slot: Slot) -> Option<&Configuration> {
        let (epoch, (_, configuration)) = self.known.iter().rfind(|(_, (from, _))| *from <= slot)?;
        let next = self.known.range(Epoch(epoch.0 + 1)..).next();
        // Where one that nobody remembers took over is not known either.
        let sure = next.is_none_or(|(later, _)| later.0 == epoch.0 + 1);
        sure.then_some(configuration)
    }

    /// Those that govern `slot` or what follows it, oldest first, each with the first slot that it governs.
    pub(super) fn since(&self, slot: Slot) -> impl Iterator<Item = &(Slot, Configuration)> {
        let first = self.known.values().rev().find(|(from, _)| *from <= slot);
        let first = first.map_or(Slot::ZERO, |(from, _)| *from);
        self.known.values().filter(move |(from, _)| *from >= first)
    }

    /// The last of them.
    pub(super) fn newest(&self) -> &Configuration {
        let newest = self.known.values().next_back();
        &newest.expect("there is one that the cluster was founded with").1
    }

    /// Whether disks hold a quorum of every configuration that governs `slot` or what follows it.
    ///
    /// Every one of them, as phase 1 would have it (R1): what the last one governs may have been chosen as soon as the change to it
    /// was, whether or not the slots before are.
    pub(super) fn have_quorum<'s>(
        &self,
        phase: Phase,
        slot: Slot,
        survivors: impl Iterator<Item = &'s Survivor> + Clone,
    ) -> bool {
        self.since(slot).all(|(_, configuration)| {
            let mut set = NodeSet::default();
            for index in survivors
                .clone()
                .filter_map(|survivor| place(configuration, survivor.identity()))
            {
                set.insert(index);
            }
            configuration.is_quorum(phase, set)
        })
    }
}

#[cfg(test)]
mod tests {
    use quorum::{Incarnation, Member, NodeId, Proposal, Role};

    use super::*;

    fn configuration(epoch: u64) -> Configuration {
        let member = Member {
            node: NodeId(1),
            incarnation: Incarnation(1),
            name: "n1".to_owned(),
            region: "r".to_owned(),
            zone: "z".to_owned(),
            address: "127.0.0.1:7001".to_owned(),
            client_url: String::new(),
            role: Role::Voter,
        };
        let proposal = Proposal {
            epoch: Epoch(epoch),
            alpha: 16,
            system: "majority".parse().expect("a system"),
            members: vec![member],
        };
        Configuration::new(proposal).expect("a valid configuration")
    }

    fn told(entries: &[(u64, u64)]) -> Configurations {
        let entries = entries.iter().map(|(slot, epoch)| (Slot(*slot), configuration(*epoch)));
        Configurations::from_entries(entries.collect()).expect("they follow each other")
    }

    fn epoch_of(governing: &Governing, slot: u64) -> Option<u64> {
        governing.of(Slot(slot)).map(|configuration| configuration.epoch().0)
    }

    #[test]
    fn each_slot_has_the_configuration_that_the_disks_together_know_of() {
        let mut governing = Governing::founded(&configuration(1));
        assert_eq!(
            (epoch_of(&governing, 1), epoch_of(&governing, 1 << 40)),
            (Some(1), Some(1))
        );
        // One disk is ahead of another.
        governing.learn(&told(&[(100, 2), (200, 3)]));
        governing.learn(&told(&[(1, 1), (100, 2)]));
        let found: Vec<_> = [1, 99, 100, 199, 200, 999]
            .map(|slot| epoch_of(&governing, slot))
            .into();
        assert_eq!(found, [1, 1, 2, 2, 3, 3].map(Some));
        let later = |slot| -> Vec<u64> { governing.since(Slot(slot)).map(|(_, of)| of.epoch().0).collect() };
        assert_eq!((later(5), later(199), later(200)), (vec![1, 2, 3], vec![2, 3], vec![3]));
        assert_eq!(governing.newest().epoch(), Epoch(3));
    }

    #[test]
    fn what_nobody_remembers_is_not_guessed() {
        let mut governing = Governing::founded(&configuration(1));
        governing.learn(&told(&[(400, 5), (500, 6)]));
        assert_eq!(epoch_of(&governing, 399), None, "epochs 2 to 4 began before");
        assert_eq!(
            (epoch_of(&governing, 400), epoch_of(&governing, 500)),
            (Some(5), Some(6))
        );
    }
}
