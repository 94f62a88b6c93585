//! Breadth first through all states, each once: so the first violation that is met has a shortest path.

use std::collections::{BTreeSet, HashSet, VecDeque};

use crate::checker::Violation;
use crate::coverage::Counts;
use crate::explorer::bounds::Bounds;
use crate::explorer::fingerprint::{ByPrint, Print};
use crate::explorer::rules::{Next, Rules};
use crate::explorer::story;
use crate::explorer::world::{Action, World};
use crate::mutant::Mutant;

/// How an exploration ended.
#[derive(Clone, Debug)]
pub enum Ending {
    /// Every state within the bounds was seen, and none violates anything.
    Exhausted,
    /// A state violates a property.
    Violated(Violation, Vec<String>),
    /// There is more within the bounds: the limit of steps from the start was met.
    TooDeep,
    /// There is more within the bounds: the limit of states was met.
    TooMany,
    /// There is more within the bounds: it was told to stop.
    Stopped,
}

/// What an exploration saw.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// Distinct states.
    pub states: u64,
    /// Steps taken between them, those that led to a known state too.
    pub steps: u64,
    /// Steps from the start to the furthest state.
    pub depth: u32,
    /// Distinct states of single nodes.
    pub node_states: usize,
    /// Distinct messages.
    pub messages: usize,
    /// How often each [`Reach`](super::Reach) was seen, among the pairs of a past and what a node then did.
    pub reached: Counts,
    /// Every way in which slots were chosen, in words.
    pub outcomes: BTreeSet<String>,
    /// How often a replica asked whether it is wrong, and was.
    pub asked: u64,
    /// How it ended.
    pub ending: Ending,
}

/// How each state was first reached: from which, by what.
#[derive(Default)]
struct Paths(Vec<(u32, Action)>);

impl Paths {
    /// The steps from the start to a state; the start is number 0.
    fn to(&self, mut state: u32) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(before) = state.checked_sub(1) {
            let (from, action) = self.0[before as usize];
            actions.push(action);
            state = from;
        }
        actions.reverse();
        actions
    }
}

/// A state that waits to be explored.
struct Waiting {
    world: World,
    number: u32,
    depth: u32,
}

/// Explores everything within `bounds`, as long as `go_on` says so; it is asked now and then, with the numbers of distinct
/// states and of the steps from the start.
///
/// # Errors
/// If the bounds make no sense.
pub fn explore(bounds: &Bounds, mut go_on: impl FnMut(u64, u32) -> bool) -> Result<Exploration, String> {
    let mut rules = Rules::new(bounds)?;
    Mutant::set(bounds.mutant);
    let start = rules.start();
    let mut seen: HashSet<Print, ByPrint> = HashSet::default();
    seen.insert(start.print());
    let mut paths = Paths::default();
    let mut waiting = VecDeque::from([Waiting {
        world: start.clone(),
        number: 0,
        depth: 0,
    }]);
    let (mut steps, mut deepest, mut explored) = (0, 0, 0_u64);
    let mut ending = Ending::Exhausted;
    'search: while let Some(Waiting { world, number, depth }) = waiting.pop_front() {
        deepest = depth;
        explored += 1;
        if explored.is_multiple_of(1 << 14) && !go_on(seen.len() as u64, depth) {
            ending = Ending::Stopped;
            break;
        }
        if bounds.depth.is_some_and(|limit| depth >= limit) {
            ending = Ending::TooDeep;
            continue;
        }
        for action in rules.actions(&world) {
            steps += 1;
            match rules.next(&world, action) {
                Next::Nowhere => {}
                Next::World(world) => {
                    if !seen.insert(world.print()) {
                        continue;
                    }
                    if seen.len() as u64 > u64::from(bounds.states) {
                        ending = Ending::TooMany;
                        break 'search;
                    }
                    paths.0.push((number, action));
                    waiting.push_back(Waiting {
                        world,
                        number: paths.0.len() as u32,
                        depth: depth + 1,
                    });
                }
                Next::Violated(violation) => {
                    deepest = depth + 1;
                    let mut actions = paths.to(number);
                    actions.push(action);
                    let lines = story::tell(&mut rules, &start, &actions);
                    ending = Ending::Violated(violation, lines);
                    break 'search;
                }
            }
        }
    }
    let asked = Mutant::asked();
    Mutant::set(None);
    Ok(Exploration {
        states: seen.len() as u64,
        steps,
        depth: deepest,
        node_states: rules.nodes.len(),
        messages: rules.messages.len(),
        outcomes: rules.outcomes(),
        reached: rules.reached,
        asked,
        ending,
    })
}
