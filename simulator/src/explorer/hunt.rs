//! Which instance kills a mutant: small ones first, each with more of one thing that may happen.

use quorum::SystemSpec;

use crate::checker::{Property, Violation};
use crate::explorer::bounds::Bounds;
use crate::explorer::search::{Ending, explore};
use crate::mutant::Mutant;

/// What became of a mutant.
#[derive(Clone, Debug)]
pub enum Hunted {
    /// An instance killed it.
    Killed {
        /// The instance, in the words of the command line.
        instance: &'static str,
        /// How many states it took.
        states: u64,
        /// The path.
        path: Vec<String>,
        /// What it violated.
        violation: Violation,
    },
    /// No instance did.
    Survived {
        /// How many instances were seen to the end, out of how many.
        exhausted: (usize, usize),
        /// In how many instances a replica asked whether it is wrong in this way, and was.
        asked: usize,
    },
}

/// The instances, smallest first, in the words of the command line.
#[must_use]
pub fn instances() -> Vec<(&'static str, Bounds)> {
    let three = || Bounds::smallest(3);
    let counts = |phase1, phase2| SystemSpec::Counts { phase1, phase2 };
    let changed = |slots| Bounds {
        slots,
        change: true,
        ..three()
    };
    vec![
        ("--nodes 3", three()),
        (
            "--system 'counts 3/1'",
            Bounds {
                system: counts(3, 1),
                ..three()
            },
        ),
        (
            "--reminders 1",
            Bounds {
                reminders: 1,
                ..three()
            },
        ),
        (
            "--duplicates 1",
            Bounds {
                duplicates: 1,
                ..three()
            },
        ),
        ("--fetches 1", Bounds { fetches: 1, ..three() }),
        ("--ballots 3", Bounds { ballots: 3, ..three() }),
        ("--crashes 1", Bounds { crashes: 1, ..three() }),
        ("--slots 2", Bounds { slots: 2, ..three() }),
        (
            "--slots 2 --pages",
            Bounds {
                slots: 2,
                pages: true,
                ..three()
            },
        ),
        (
            "--slots 2 --fetches 1",
            Bounds {
                slots: 2,
                fetches: 1,
                ..three()
            },
        ),
        ("--slots 2 --change", changed(2)),
        ("--slots 3 --change", changed(3)),
        (
            "--slots 2 --change --crashes 1",
            Bounds {
                crashes: 1,
                ..changed(2)
            },
        ),
        (
            "--crashes 1 --duplicates 1",
            Bounds {
                crashes: 1,
                duplicates: 1,
                ..three()
            },
        ),
        (
            "--slots 2 --ballots 3",
            Bounds {
                slots: 2,
                ballots: 3,
                ..three()
            },
        ),
    ]
}

/// Hunts a mutant through the instances, with at most `states` states in each; judges `only` one property, or all.
///
/// # Errors
/// If an instance makes no sense.
pub fn hunt(mutant: Mutant, states: u32, only: Option<Property>) -> Result<Hunted, String> {
    let instances = instances();
    let (mut exhausted, mut asked) = (0, 0);
    let of = instances.len();
    for (instance, bounds) in instances {
        let bounds = Bounds {
            mutant: Some(mutant),
            only,
            states,
            ..bounds
        };
        let exploration = explore(&bounds, |_, _| true)?;
        asked += usize::from(exploration.asked > 0);
        match exploration.ending {
            Ending::Violated(violation, path) => {
                return Ok(Hunted::Killed {
                    instance,
                    states: exploration.states,
                    path,
                    violation,
                });
            }
            Ending::Exhausted => exhausted += 1,
            Ending::TooDeep | Ending::TooMany | Ending::Stopped => {}
        }
    }
    Ok(Hunted::Survived {
        exhausted: (exhausted, of),
        asked,
    })
}
