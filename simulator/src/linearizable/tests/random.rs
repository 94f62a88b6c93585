//! Thousands of small histories, right and wrong, judged twice.

use super::brute;
use super::generate::{MadeUp, Shape, corrupt, history, right};
use crate::linearizable::check::by_key;
use crate::linearizable::flaw::{self, Flaw};
use crate::linearizable::list::List;
use crate::linearizable::register::{Content, Register};
use crate::linearizable::search::{Outcome, Search};
use crate::linearizable::{History, Verdict, check};
use crate::random::{Concern, Random};

const LIMIT: u64 = 1_000_000;

/// The history of a seed: every second one has something wrong in it.
fn made_up<M: MadeUp>(seed: u64) -> History<M> {
    let mut random = Random::new(seed, Concern::Workload);
    let shape = Shape {
        operations: 3 + random.index(6),
        clients: 2 + random.index(3),
        keys: 1 + random.below(2),
        unknown: [0, 100, 300][random.index(3)],
    };
    let mut operations = right::<M>(&mut random, shape);
    for _ in 0..seed % 2 * (1 + random.below(2)) {
        corrupt(&mut random, &mut operations);
    }
    history(operations)
}

/// Whether both checkers agree on the history of a seed, and whether it is linearizable.
fn agree<M: MadeUp>(seed: u64) -> (bool, bool) {
    let history = made_up::<M>(seed);
    let right = brute::linearizable(&history);
    let said = check(&history, LIMIT).verdict == Verdict::Linearizable;
    (right == said, right)
}

fn compare<M: MadeUp>(seeds: u64) {
    let mut wrong = 0;
    for seed in 0..seeds {
        let (agreed, right) = agree::<M>(seed);
        assert!(
            agreed,
            "on the history of seed {seed} the checkers disagree: {right} is right"
        );
        assert!(
            right || seed % 2 == 1,
            "the history of seed {seed} was made to be right"
        );
        wrong += u64::from(!right);
    }
    // A comparison in which all histories were of one kind would prove little.
    assert!(wrong > seeds / 20, "only {wrong} of {seeds} histories were wrong");
    println!("{seeds} histories, {wrong} of them not linearizable");
}

#[test]
fn both_checkers_agree_on_registers() {
    compare::<Register>(20_000);
}

#[test]
fn both_checkers_agree_on_lists() {
    compare::<List>(20_000);
}

#[test]
fn every_wrong_history_has_a_window() {
    let mut windows = 0;
    for seed in 0..4000 {
        if let Verdict::NotLinearizable(_, window) = check(&made_up::<Register>(seed), LIMIT).verdict {
            assert!(
                !window.lines.is_empty() && !window.before.is_empty(),
                "seed {seed}: {window}"
            );
            windows += 1;
        }
    }
    assert!(windows > 400, "only {windows} windows");
}

#[test]
fn a_search_made_wrong_is_found_out() {
    let flaws = [
        Flaw::IgnoreRealTime,
        Flaw::IgnoreReplies,
        Flaw::ForgetState,
        Flaw::ForgetPlaced,
        Flaw::NeverBacktrack,
        Flaw::KeepState,
        Flaw::PlaceWritesAtOnce,
        Flaw::DropUnknown,
        Flaw::DemandUnknown,
        Flaw::PlaceUnknownAtOnce,
    ];
    for flaw in flaws {
        let found_out = (0..20_000).find(|seed| {
            let history = made_up::<Register>(*seed);
            flaw::set(Some(flaw));
            let said = by_key(&history).values().all(|operations| {
                let outcome = Search::new(Content::default(), operations).find(&mut 10_000);
                outcome == Outcome::Ordered
            });
            flaw::set(None);
            said != brute::linearizable(&history)
        });
        println!("{flaw:?}: found out at seed {found_out:?}");
        assert!(found_out.is_some(), "{flaw:?} was never found out");
    }
}
