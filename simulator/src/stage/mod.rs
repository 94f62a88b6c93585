//! A stage for a few replicas, on which one move is made after another: messages are delivered late, twice or never,
//! disks lag, nodes crash. So the harm that a broken rule does is told in as few messages as it takes.
//!
//! - `moves`, `scene`: what can happen, as text; scenes are kept in `simulator/scenes/`.
//! - `world`, `actor`: the nodes with their disks, clocks and clients; nothing moves unless it is told to.
//! - `driver`: what feeds their replicas, and does what they put out.
//! - `judge`: the harm, told from disks, state machines and clients alone.
//! - `search`: random scenes, and the shortest that still does the harm.
//! - `story`, `words`: what happened, for a reader.

mod actor;
mod driver;
mod judge;
mod moves;
mod scene;
mod search;
mod story;
mod words;
mod world;

use moves::Move;
pub use scene::Scene;
pub(crate) use search::{Hunt, Odds, shrink};
pub use story::Story;

use crate::checker::{Property, Violation};
use crate::mutant::Mutant;
use crate::run::caught;
use story::Line;
use world::World;

/// A scene as it was played.
#[derive(Debug)]
pub struct Played {
    /// What did not hold.
    pub violation: Option<Violation>,
    /// What happened.
    pub story: Story,
    /// The moves that did something, named as they were made.
    pub scene: Scene,
}

/// Plays a scene up to the first violation: of one property if `judged` names it, or of any.
#[must_use]
pub fn play(scene: &Scene, mutant: Option<Mutant>, judged: Option<Property>) -> Played {
    Mutant::set(mutant);
    let mut world = World::new(scene, mutant, judged);
    let mut made = Vec::new();
    let played = caught(|| {
        for step in &scene.moves {
            if world.violation().is_some() {
                break;
            }
            let exact = match step {
                Move::Deliver { from, to, what, again } => world.find(from.0, to.0, what).map(|at| Move::Deliver {
                    from: *from,
                    to: *to,
                    what: words::key(&world.network[at].message),
                    again: *again,
                }),
                _ => Some(step.clone()),
            };
            if world.play(step) {
                made.extend(exact);
            }
        }
    });
    if let Err(panic) = played {
        world.panicked(&panic.detail);
    }
    let violation = world.violation().cloned();
    let mut story = world.story;
    if let Some(violation) = &violation {
        story.lines.push(Line::Fact(violation.detail.clone()));
    }
    Played {
        violation,
        story,
        scene: Scene {
            moves: made,
            ..scene.clone()
        },
    }
}
