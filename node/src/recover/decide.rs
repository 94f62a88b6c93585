//! What becomes of a slot, by the evidence of the disks that are left.

use paxos::{Ballot, Logged, Value};
use quorum::{Configuration, NodeId, NodeSet, QuorumSystem as _};

/// What one disk says of a slot.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Witness {
    /// Whose disk.
    pub(super) node: NodeId,
    /// Its place among the members, if it is one of them.
    pub(super) index: Option<u8>,
    /// Whether the slot lies in the prefix that this disk knows to be chosen.
    pub(super) knows_chosen: bool,
    /// What its journal holds.
    pub(super) logged: Option<Logged>,
}

/// What becomes of a slot.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Fate {
    /// This value is chosen: no doubt.
    Chosen(Value),
    /// This value has the highest ballot of all votes that are left. It may have been chosen, or another with a higher
    /// ballot on disks that are gone, or none.
    Adopted {
        value: Value,
        ballot: Ballot,
        voters: Vec<NodeId>,
        /// Other values had votes in lower ballots.
        others: usize,
        /// Some value is known to be chosen, and it may be another.
        known: bool,
    },
    /// Something is chosen, and no disk has it.
    Lost,
    /// No disk knows of a vote. It may have been chosen on disks that are gone.
    Unknown,
}

/// Two disks contradict each other, which no crash explains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Contradiction;

/// The fate of a slot that `configuration` governs, if it is known which one does.
///
/// It is what phase 1 would make of these disks (L3 iii), if they were a phase-1 quorum. They need not be. A vote of a disk that
/// is no member's makes no quorum, but says as well as any other what was proposed in its ballot.
pub(super) fn decide(configuration: Option<&Configuration>, witnesses: &[Witness]) -> Result<Fate, Contradiction> {
    let mut chosen: Option<&Value> = None;
    let mut say = |value| match chosen.replace(value) {
        Some(other) if other != value => Err(Contradiction),
        _ => Ok(()),
    };
    for witness in witnesses {
        match &witness.logged {
            Some(Logged::Learned(value)) => say(value)?,
            Some(Logged::Voted(_, value)) if witness.knows_chosen => say(value)?,
            _ => {}
        }
    }
    let mut votes: Vec<(Ballot, &Value, NodeId, Option<u8>)> = Vec::new();
    for witness in witnesses {
        if let Some(Logged::Voted(ballot, value)) = &witness.logged {
            votes.push((*ballot, value, witness.node, witness.index));
        }
    }
    // L5: a phase-2 quorum of votes in one ballot.
    for (ballot, value, ..) in &votes {
        let mut voters = NodeSet::default();
        for (_, other, _, index) in votes.iter().filter(|(other, ..)| other == ballot) {
            if other != value {
                return Err(Contradiction);
            }
            index.map(|index| voters.insert(index));
        }
        if configuration.is_some_and(|configuration| configuration.is_phase2_quorum(voters)) {
            say(value)?;
        }
    }
    if let Some(value) = chosen {
        return Ok(Fate::Chosen(value.clone()));
    }
    let known = witnesses.iter().any(|witness| witness.knows_chosen);
    let Some((ballot, value, ..)) = votes.iter().max_by_key(|(ballot, ..)| *ballot) else {
        return Ok(if known { Fate::Lost } else { Fate::Unknown });
    };
    let of_ballot = votes.iter().filter(|(other, ..)| other == ballot);
    Ok(Fate::Adopted {
        value: (*value).clone(),
        ballot: *ballot,
        voters: of_ballot.map(|(_, _, node, _)| *node).collect(),
        others: votes.iter().filter(|(_, other, ..)| other != value).count(),
        known,
    })
}

#[cfg(test)]
mod tests {
    use paxos::{Batch, Command, CommandId};
    use quorum::{Epoch, Incarnation, Member, Proposal, Role};

    use super::*;

    fn members(count: u64) -> Configuration {
        let member = |node| Member {
            node: NodeId(node),
            incarnation: Incarnation(1),
            name: format!("n{node}"),
            region: "r".to_owned(),
            zone: "z".to_owned(),
            address: format!("127.0.0.1:{}", 7000 + node),
            client_url: String::new(),
            role: Role::Voter,
        };
        let proposal = Proposal {
            epoch: Epoch(1),
            alpha: 16,
            system: "majority".parse().expect("a system"),
            members: (1..=count).map(member).collect(),
        };
        Configuration::new(proposal).expect("a valid configuration")
    }

    fn value(number: u64) -> Value {
        let id = CommandId {
            origin: NodeId(1),
            boot: 1,
            sequence: number,
        };
        let payload = vec![1].into();
        Value::Commands(Batch::pack(&[Command { id, payload }]))
    }

    fn ballot(round: u64) -> Ballot {
        Ballot {
            round,
            leader: NodeId(1),
        }
    }

    fn witness(node: u64, knows_chosen: bool, logged: Option<Logged>) -> Witness {
        Witness {
            node: NodeId(node),
            index: Some(node as u8 - 1),
            knows_chosen,
            logged,
        }
    }

    fn vote(node: u64, round: u64, number: u64) -> Witness {
        witness(node, false, Some(Logged::Voted(ballot(round), value(number))))
    }

    #[test]
    fn what_one_disk_knows_to_be_chosen_is_chosen() {
        let five = members(5);
        let learned = witness(1, false, Some(Logged::Learned(value(7))));
        assert_eq!(decide(Some(&five), &[learned]), Ok(Fate::Chosen(value(7))));
        let known = witness(2, true, Some(Logged::Voted(ballot(1), value(7))));
        // A later ballot carries the chosen value, and a vote of an earlier one counts for nothing.
        let others = [vote(3, 9, 7), vote(4, 1, 7)];
        let all = [std::slice::from_ref(&known), &others].concat();
        assert_eq!(decide(Some(&five), &all), Ok(Fate::Chosen(value(7))));
        assert_eq!(
            decide(Some(&five), &[vote(5, 0, 3), known.clone()]),
            Ok(Fate::Chosen(value(7)))
        );
        assert_eq!(
            decide(
                Some(&five),
                &[known, witness(1, false, Some(Logged::Learned(value(8))))]
            ),
            Err(Contradiction)
        );
    }

    #[test]
    fn a_quorum_of_votes_in_one_ballot_is_a_choice_and_votes_of_two_ballots_are_none() {
        let five = members(5);
        let three = [vote(1, 2, 7), vote(2, 2, 7), vote(3, 2, 7)];
        assert_eq!(decide(Some(&five), &three), Ok(Fate::Chosen(value(7))));
        let mixed = [vote(1, 2, 7), vote(2, 2, 7), vote(3, 3, 8)];
        let adopted = Fate::Adopted {
            value: value(8),
            ballot: ballot(3),
            voters: vec![NodeId(3)],
            others: 2,
            known: false,
        };
        assert_eq!(decide(Some(&five), &mixed), Ok(adopted));
        assert_eq!(
            decide(Some(&five), &[vote(1, 2, 7), vote(2, 2, 8)]),
            Err(Contradiction),
            "L4: one value in a ballot and slot"
        );
    }

    #[test]
    fn without_a_place_among_the_members_a_vote_makes_no_quorum_and_is_evidence_all_the_same() {
        let three = members(3);
        let former = Witness {
            index: None,
            ..vote(9, 2, 7)
        };
        let votes = [vote(1, 2, 7), former];
        let fate = decide(Some(&three), &votes);
        assert!(
            matches!(&fate, Ok(Fate::Adopted { value: of, .. }) if *of == value(7)),
            "{fate:?}"
        );
        let fate = decide(None, &[vote(1, 2, 7), vote(2, 2, 7), vote(3, 2, 7)]);
        assert!(matches!(fate, Ok(Fate::Adopted { .. })), "whose quorum? {fate:?}");
    }

    #[test]
    fn what_is_chosen_and_nowhere_is_lost() {
        let five = members(5);
        let blind = witness(1, true, None);
        assert_eq!(decide(Some(&five), std::slice::from_ref(&blind)), Ok(Fate::Lost));
        let fate = decide(Some(&five), &[blind, vote(2, 9, 3)]);
        assert!(
            matches!(fate, Ok(Fate::Adopted { known: true, .. })),
            "the best guess, and called one: {fate:?}"
        );
        assert_eq!(decide(Some(&five), &[witness(1, false, None)]), Ok(Fate::Unknown));
    }
}
