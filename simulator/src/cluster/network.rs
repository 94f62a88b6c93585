//! What goes wrong between nodes: cuts of every shape, clogs, resets, bad links.

use std::time::Duration;

use crate::adversary::Strike;
use crate::coverage::Fault;
use crate::random::Random;
use crate::seat::Seat;

use super::event::{Change, Event};
use super::{Cluster, Phase};

/// Directed links.
type Links = Vec<(Seat, Seat)>;

impl Cluster {
    pub(super) fn strike_network(&mut self, strike: Strike, target: Seat, random: &mut Random) {
        let lasting = self.lasting(random);
        let outward = random.chance(500);
        let towards = |from: Seat, to: Seat| if outward { from == target } else { to == target };
        match strike {
            Strike::Isolate => self.cut(Fault::Isolation, lasting, |from, to| from == target || to == target),
            Strike::OneWay => self.cut(Fault::OneWay, lasting, towards),
            Strike::Split => {
                let side = random.word();
                let on = |seat: Seat| side >> seat.0 & 1;
                self.cut(Fault::Split, lasting, |from, to| on(from) != on(to));
            }
            Strike::Bridge => {
                let side = random.word();
                let on = |seat: Seat| side >> seat.0 & 1;
                let apart = |from: Seat, to: Seat| from != target && to != target && on(from) != on(to);
                self.cut(Fault::Bridge, lasting, apart);
            }
            Strike::Ring => self.cut_to_ring(lasting, random),
            Strike::Region => {
                let members = self.plan.configuration.members();
                let region = &members[target.index()].region;
                let inside: Vec<bool> = members.iter().map(|member| member.region == *region).collect();
                let one_way = random.chance(300);
                self.cut(Fault::RegionCut, lasting, |from, to| {
                    let (from, to) = (inside[from.index()], inside[to.index()]);
                    from != to && (!one_way || from == outward)
                });
            }
            Strike::Scramble => {
                let word = random.word();
                let is_cut = |from: Seat, to: Seat| word >> (from.0 * 8 + to.0) & 1 == 1;
                self.cut(Fault::Scramble, lasting, is_cut);
            }
            Strike::Flap => self.flap(target, lasting, random),
            Strike::Swizzle => self.swizzle(lasting, random),
            Strike::Reset => {
                self.tally.faults.hit(Fault::Reset);
                for peer in Seat::all(self.nodes.len()) {
                    self.network.reset(target, peer);
                    self.network.reset(peer, target);
                }
            }
            Strike::Degrade => {
                self.tally.faults.hit(Fault::Degraded);
                let links = self.links(|from, to| from == target || to == target);
                self.change_weather(&Change::Degrade(links.clone()));
                self.later(lasting, Event::Weather(Change::Improve(links)));
            }
            _ => unreachable!("{strike:?} is no fault of the network"),
        }
    }

    fn links(&self, which: impl Fn(Seat, Seat) -> bool) -> Links {
        Seat::all(self.nodes.len())
            .flat_map(|from| Seat::all(self.nodes.len()).map(move |to| (from, to)))
            .filter(|(from, to)| from != to && which(*from, *to))
            .collect()
    }

    fn cut(&mut self, fault: Fault, lasting: Duration, which: impl Fn(Seat, Seat) -> bool) {
        self.tally.faults.hit(fault);
        let links = self.links(which);
        self.change_weather(&Change::Cut(links.clone()));
        self.later(lasting, Event::Weather(Change::Heal(links)));
    }

    /// Each node hears its neighbours on a ring, just as many as make a majority with itself.
    fn cut_to_ring(&mut self, lasting: Duration, random: &mut Random) {
        let count = self.nodes.len();
        let mut order: Vec<usize> = (0..count).collect();
        random.shuffle(&mut order);
        let reach = (count / 2).div_ceil(2);
        let apart = |from: Seat, to: Seat| {
            let distance = order[from.index()].abs_diff(order[to.index()]);
            distance.min(count - distance) > reach
        };
        self.cut(Fault::Ring, lasting, apart);
    }

    /// The links between two nodes, or one direction of them, go down and up.
    fn flap(&mut self, target: Seat, lasting: Duration, random: &mut Random) {
        self.tally.faults.hit(Fault::Flap);
        let other = Seat(((target.index() + 1 + random.index(self.nodes.len() - 1)) % self.nodes.len()) as u8);
        let both = random.chance(500);
        let links = self.links(|from, to| (from, to) == (target, other) || (both && (from, to) == (other, target)));
        let times = random.between(2, 12) as u32;
        let beat = lasting / times;
        for time in 0..times {
            let down = beat * time + random.exponential(beat / 4);
            let up = down + random.exponential(beat / 2);
            self.later(down, Event::Weather(Change::Cut(links.clone())));
            self.later(up, Event::Weather(Change::Heal(links.clone())));
        }
    }

    /// The links among some nodes are clogged one by one in a random order, and unclogged in another.
    fn swizzle(&mut self, lasting: Duration, random: &mut Random) {
        self.tally.faults.hit(Fault::Swizzle);
        let side = random.word();
        let mut links = self.links(|from, to| side >> from.0 & 1 == 1 || side >> to.0 & 1 == 1);
        random.shuffle(&mut links);
        let count = links.len().max(1) as u32;
        for (turn, link) in (0u32..).zip(links) {
            let begins = lasting / 2 * turn / count;
            let ends = lasting / 2 + random.span(Duration::ZERO, lasting / 2);
            let until = self.now + ends;
            self.later(begins, Event::Weather(Change::Clog(link, until)));
        }
    }

    /// Something begins or ends on some links.
    pub(super) fn change_weather(&mut self, change: &Change) {
        if self.phase != Phase::Storm {
            return;
        }
        match change {
            Change::Cut(links) => links.iter().for_each(|(from, to)| self.network.cut(*from, *to)),
            Change::Heal(links) => links.iter().for_each(|(from, to)| self.network.heal(*from, *to)),
            Change::Degrade(links) => links
                .iter()
                .for_each(|(from, to)| self.network.degrade(*from, *to, true)),
            Change::Improve(links) => links
                .iter()
                .for_each(|(from, to)| self.network.degrade(*from, *to, false)),
            Change::Clog((from, to), until) => self.network.clog(*from, *to, *until),
        }
    }
}
