//! Small instances explored to the end, the reductions held against doing without, and some mutants killed.

use simulator::explorer::{Bounds, Ending, Exploration, Reach, explore};

/// Explores everything within the bounds; nothing may be violated, and each of `reached` must have been possible.
fn exhaust(bounds: &Bounds, reached: &[Reach]) -> Exploration {
    let exploration = explore(bounds, |_, _| true).expect("the bounds make sense");
    match &exploration.ending {
        Ending::Exhausted => {}
        Ending::Violated(violation, path) => panic!("{}\n{violation}", path.join("\n")),
        ending => panic!("{ending:?} after {} states", exploration.states),
    }
    for reach in reached {
        assert!(
            exploration.reached.of(*reach) > 0,
            "it never happened that {}",
            reach.name()
        );
    }
    println!("{} states, depth {}: {bounds:?}", exploration.states, exploration.depth);
    exploration
}

const DUEL: [Reach; 6] = [
    Reach::Chosen,
    Reach::Applied,
    Reach::Duelled,
    Reach::Adopted,
    Reach::Differed,
    Reach::GaveWay,
];

#[test]
fn three_nodes_and_two_duelling_proposers_are_explored_to_the_end() {
    exhaust(&Bounds::smallest(3), &DUEL);
    exhaust(
        &Bounds {
            ballots: 3,
            ..Bounds::smallest(3)
        },
        &DUEL,
    );
}

#[test]
fn two_nodes_with_a_crash_are_explored_to_the_end() {
    let bounds = Bounds {
        ballots: 3,
        crashes: 1,
        ..Bounds::smallest(2)
    };
    exhaust(
        &bounds,
        &[&DUEL[..], &[Reach::LostWrites, Reach::CrashedAfter]].concat(),
    );
}

#[test]
fn three_nodes_with_a_crash_are_explored_to_the_end() {
    let bounds = Bounds {
        crashes: 1,
        ..Bounds::smallest(3)
    };
    exhaust(
        &bounds,
        &[&DUEL[..], &[Reach::LostWrites, Reach::CrashedAfter]].concat(),
    );
}

#[test]
fn three_nodes_that_fetch_what_they_missed_are_explored_to_the_end() {
    let bounds = Bounds {
        fetches: 1,
        ..Bounds::smallest(3)
    };
    exhaust(&bounds, &[&DUEL[..], &[Reach::Learned]].concat());
}

#[test]
fn a_change_of_configuration_is_explored_to_the_end() {
    let change = |nodes: usize| Bounds {
        slots: 2,
        change: true,
        ..Bounds::smallest(nodes)
    };
    let moved = [Reach::Changed, Reach::Moved];
    exhaust(&change(3), &moved);
    let crash = Bounds {
        crashes: 1,
        ..change(2)
    };
    exhaust(
        &crash,
        &[&moved[..], &[Reach::Retired, Reach::LostWrites, Reach::CrashedAfter]].concat(),
    );
    // Who keeps what is said in answers to heartbeats.
    let retired = Bounds {
        ballots: 1,
        courtesies: true,
        ..change(3)
    };
    exhaust(&retired, &[&moved[..], &[Reach::Retired]].concat());
}

/// A reduction must not make anything impossible: what can be chosen, in which ballot, is the same without.
fn compare_with_plain(bounds: &Bounds) {
    let reduced = exhaust(bounds, &[Reach::Chosen]);
    let plain = exhaust(
        &Bounds {
            plain: true,
            ..bounds.clone()
        },
        &[Reach::Chosen],
    );
    assert!(reduced.states < plain.states, "{} states either way", plain.states);
    assert_eq!(reduced.outcomes, plain.outcomes, "{bounds:?}");
    println!("{} outcomes", plain.outcomes.len());
}

#[test]
fn reductions_lose_no_outcome_of_two_nodes() {
    compare_with_plain(&Bounds::smallest(2));
    compare_with_plain(&Bounds {
        crashes: 1,
        ..Bounds::smallest(2)
    });
    compare_with_plain(&Bounds {
        slots: 2,
        ..Bounds::smallest(2)
    });
    compare_with_plain(&Bounds {
        duplicates: 1,
        ..Bounds::smallest(2)
    });
    compare_with_plain(&Bounds {
        slots: 2,
        change: true,
        ..Bounds::smallest(2)
    });
}

#[test]
#[ignore = "takes half a minute"]
fn reductions_lose_no_outcome_of_three_nodes() {
    compare_with_plain(&Bounds::smallest(3));
}

#[test]
fn an_exploration_repeats_itself() {
    let counts = || {
        let bounds = Bounds {
            duplicates: 1,
            ..Bounds::smallest(3)
        };
        let exploration = exhaust(&bounds, &DUEL);
        (exploration.states, exploration.steps, exploration.depth)
    };
    assert_eq!(counts(), counts());
}

/// The core made wrong: what breaks a rule is found, and where the rule is only sufficient, nothing is.
#[cfg(feature = "mutants")]
mod mutants {
    use super::exhaust;
    use paxos::mutant::Mutant as Core;
    use simulator::explorer::{Bounds, Ending, explore};
    use simulator::{Mutant, Property};

    fn kill(mutant: Core, bounds: Bounds, by: Property, steps: usize) {
        let bounds = Bounds {
            mutant: Some(Mutant::Core(mutant)),
            ..bounds
        };
        let exploration = explore(&bounds, |_, _| true).expect("the bounds make sense");
        let Ending::Violated(violation, path) = exploration.ending else {
            panic!("{mutant:?} survived {} states", exploration.states)
        };
        assert_eq!(violation.property, by, "{violation}");
        assert!(
            path.len() <= steps,
            "{mutant:?} took {} steps:\n{}",
            path.len(),
            path.join("\n")
        );
    }

    #[test]
    fn broken_rules_are_found() {
        let smallest = || Bounds::smallest(3);
        kill(Core::PromiseLowered, smallest(), Property::PromisesGrow, 3);
        kill(Core::AcceptUnchecked, smallest(), Property::NoVoteBelow, 8);
        kill(Core::VoteBeforeWrite, smallest(), Property::Evidence, 6);
        kill(Core::AdoptNone, smallest(), Property::Adoption, 10);
        kill(Core::ChosenByOne, smallest(), Property::Claims, 6);
        kill(Core::AnyVoteBlessed, smallest(), Property::Claims, 14);
        let three = Bounds {
            ballots: 3,
            ..smallest()
        };
        kill(Core::AdoptLowest, three, Property::Adoption, 16);
        let crash = Bounds {
            crashes: 1,
            ..smallest()
        };
        kill(Core::BallotReused, crash.clone(), Property::Ballots, 4);
        let twice = Bounds { duplicates: 1, ..crash };
        kill(Core::DuplicatesCounted, twice, Property::Claims, 12);
        let reminder = Bounds {
            reminders: 1,
            ..smallest()
        };
        kill(Core::TwoValues, reminder, Property::OneValue, 6);
        let change = |slots: u64| Bounds {
            slots,
            change: true,
            ..smallest()
        };
        kill(Core::NewcomersUnasked, change(2), Property::Adoption, 8);
        kill(Core::RetiredWhenChosen, change(2), Property::Configurations, 8);
        kill(Core::InForceAtOnce, change(3), Property::Claims, 11);
    }

    /// The rules on the way judge soon; agreement alone, judged by votes, sees the same mutants later.
    #[test]
    fn broken_rules_are_found_by_agreement_alone() {
        let only = || Bounds {
            only: Some(Property::Agreement),
            ..Bounds::smallest(3)
        };
        kill(Core::AcceptUnchecked, only(), Property::Agreement, 30);
        kill(Core::AdoptNone, only(), Property::Agreement, 30);
        kill(Core::PromiseLowered, only(), Property::Agreement, 30);
    }

    #[test]
    fn what_breaks_no_rule_survives() {
        for mutant in [Core::VoteKept, Core::Thrifty] {
            exhaust(
                &Bounds {
                    ballots: 3,
                    mutant: Some(Mutant::Core(mutant)),
                    ..Bounds::smallest(3)
                },
                &[],
            );
        }
    }
}
