//! Finding scenes: random moves on a tiny cluster until something does not hold, then taking away every move without which
//! it still does not.

use paxos::{Message, Standing};

use super::moves::{Actor, Company, Move, Turn};
use super::scene::Scene;
use super::world::World;
use super::{Played, play};
use crate::checker::Property;
use crate::mutant::Mutant;
use crate::random::{Concern, Random};
use crate::run::caught;
use crate::seat::Seat;

/// What happens how often in a search, beside the delivery of messages, which has a hundred shares.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Odds {
    pub(crate) stand: u32,
    pub(crate) write: u32,
    pub(crate) read: u32,
    /// Crashes and restarts.
    pub(crate) crash: u32,
    pub(crate) wipe: u32,
    /// Disks that hold back and catch up.
    pub(crate) hold: u32,
    /// State machines that fall behind and catch up.
    pub(crate) stall: u32,
    pub(crate) flush: u32,
    pub(crate) wake: u32,
    /// How many deliveries in a hundred leave a copy under way.
    pub(crate) again: u32,
    /// How many heartbeats, acknowledgements of them and commits in a hundred are delivered when they are drawn.
    pub(crate) chatter: u32,
    pub(crate) moves: usize,
}

impl Odds {
    /// Rival candidates, few writes, nothing else.
    pub(crate) const DUEL: Odds = Odds {
        stand: 16,
        write: 12,
        read: 0,
        crash: 0,
        wipe: 0,
        hold: 0,
        stall: 0,
        flush: 0,
        wake: 0,
        again: 0,
        chatter: 5,
        moves: 40,
    };
}

/// Where to look, and how.
#[derive(Clone, Debug)]
pub(crate) struct Hunt {
    /// The cluster, and the moves that every attempt begins with.
    pub(crate) scene: Scene,
    pub(crate) odds: Odds,
}

impl Hunt {
    /// Tries attempts `0..attempts`; the shortest of the first `enough` scenes that break the property.
    pub(crate) fn search(&self, mutant: Mutant, property: Property, attempts: u64, enough: usize) -> Option<Scene> {
        let mut best: Option<(usize, Scene)> = None;
        let mut found = 0;
        for seed in 0..attempts {
            let Some(scene) = self.attempt(seed, Some(mutant), Some(property)) else {
                continue;
            };
            let scene = shrink(scene, mutant, property);
            let length = play(&scene, Some(mutant), Some(property)).story.len();
            if best.as_ref().is_none_or(|(shortest, _)| length < *shortest) {
                best = Some((length, scene));
            }
            found += 1;
            if found >= enough {
                break;
            }
        }
        best.map(|(_, scene)| scene)
    }

    /// Plays at random; the scene up to the violation, if there was one.
    pub(crate) fn attempt(&self, seed: u64, mutant: Option<Mutant>, property: Option<Property>) -> Option<Scene> {
        Mutant::set(mutant);
        let mut random = Random::new(seed, Concern::Process);
        let mut scene = self.scene.clone();
        let mut world = World::new(&self.scene, mutant, property);
        let played = caught(|| {
            for step in &self.scene.moves {
                world.play(step);
            }
            for _ in 0..self.odds.moves {
                if world.violation().is_some() {
                    break;
                }
                let Some(step) = self.draw(&world, &mut random) else {
                    continue;
                };
                scene.moves.push(step.clone());
                world.play(&step);
            }
        });
        if let Err(panic) = played {
            world.panicked(&panic.detail);
        }
        world.violation().is_some().then_some(scene)
    }

    /// A move that is possible now, by the odds.
    fn draw(&self, world: &World, random: &mut Random) -> Option<Move> {
        let odds = &self.odds;
        let shares = [
            100, odds.stand, odds.write, odds.read, odds.crash, odds.wipe, odds.hold, odds.stall, odds.flush, odds.wake,
        ];
        let mut at = random.below(shares.iter().map(|share| u64::from(*share)).sum());
        let kind = shares.iter().position(|share| {
            let here = at < u64::from(*share);
            at = at.wrapping_sub(u64::from(*share));
            here
        });
        let seats: Vec<Seat> = world.seats().collect();
        let who = *random.pick(&seats);
        let leaders: Vec<Seat> = seats
            .iter()
            .copied()
            .filter(|seat| world.standing(*seat) == Some(Standing::Leading))
            .collect();
        let turn = |turn| Some(Move::Turn(turn, Actor(who)));
        match kind? {
            0 => self.draw_delivery(world, random),
            1 => {
                let others: Vec<u8> = seats.iter().filter(|seat| **seat != who).map(|seat| seat.0).collect();
                let asked = others.into_iter().filter(|_| random.chance(700)).collect();
                Some(Move::Stand(Actor(who), Company(asked)))
            }
            2 if random.chance(850) && leaders.is_empty() => None,
            2 if !leaders.is_empty() && random.chance(850) => Some(Move::Write(Actor(*random.pick(&leaders)))),
            2 => Some(Move::Write(Actor(who))),
            3 if !leaders.is_empty() && random.chance(600) => Some(Move::Read(Actor(*random.pick(&leaders)))),
            3 => Some(Move::Read(Actor(who))),
            4 => turn(if world.runs(who) { Turn::Crash } else { Turn::Restart }),
            5 => turn(Turn::Wipe),
            6 => turn(if world.holds(who) { Turn::Sync } else { Turn::Hold }),
            7 => turn(if world.sleeps(who) { Turn::Go } else { Turn::Stall }),
            8 => turn(Turn::Flush),
            _ => turn(Turn::Wake),
        }
    }

    fn draw_delivery(&self, world: &World, random: &mut Random) -> Option<Move> {
        if world.network.is_empty() {
            return None;
        }
        for _ in 0..8 {
            let envelope = random.pick(&world.network);
            let chatter = matches!(
                envelope.message,
                Message::Heartbeat { .. }
                    | Message::HeartbeatAck { .. }
                    | Message::Commit { .. }
                    | Message::Canvass { .. }
                    | Message::CanvassReply { .. }
            );
            if chatter && !random.chance(self.odds.chatter * 10) {
                continue;
            }
            return Some(Move::Deliver {
                from: Actor(Seat::of(envelope.from.node)),
                to: Actor(Seat::of(envelope.to.node)),
                what: super::words::key(&envelope.message),
                again: random.chance(self.odds.again * 10),
            });
        }
        None
    }
}

/// Takes away every move that the violation does not need.
pub(crate) fn shrink(scene: Scene, mutant: Mutant, property: Property) -> Scene {
    let dies = |scene: &Scene| -> Option<Played> {
        let played = play(scene, Some(mutant), Some(property));
        played.violation.is_some().then_some(played)
    };
    let mut best = scene;
    loop {
        let before = best.clone();
        // What had no effect goes, and what is left is named as it was played.
        if let Some(played) = dies(&best)
            && dies(&played.scene).is_some()
        {
            best = played.scene;
        }
        let mut span = best.moves.len() / 2;
        while span > 0 {
            let mut at = 0;
            while at + span <= best.moves.len() {
                let mut shorter = best.clone();
                shorter.moves.drain(at..at + span);
                if dies(&shorter).is_some() {
                    best = shorter;
                } else {
                    at += 1;
                }
            }
            span /= 2;
        }
        for at in 0..best.moves.len() {
            for simpler in simpler(&best.moves[at]) {
                let mut other = best.clone();
                other.moves[at] = simpler;
                if dies(&other).is_some() {
                    best = other;
                }
            }
        }
        if best == before {
            return best;
        }
    }
}

/// Moves that do less.
fn simpler(step: &Move) -> Vec<Move> {
    match step {
        Move::Stand(who, asked) => asked
            .0
            .iter()
            .map(|seat| {
                let mut fewer = asked.0;
                fewer.remove(seat);
                Move::Stand(*who, Company(fewer))
            })
            .collect(),
        Move::Deliver {
            from,
            to,
            what,
            again: true,
        } => vec![Move::Deliver {
            from: *from,
            to: *to,
            what: what.clone(),
            again: false,
        }],
        _ => Vec::new(),
    }
}
