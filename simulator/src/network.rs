//! The network between nodes: each direction of each link loses, repeats, delays and so reorders, damages, and can be cut,
//! clogged, degraded, or reset.
//!
//! It is meaner than the real transport, whose streams keep their order: nothing in the core may rest on that.

use std::time::Duration;

use crate::clock::Moment;
use crate::coverage::{Fault, Tally};
use crate::random::Random;
use crate::seat::Seat;

/// How badly the links of one run behave, the same for all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    /// Messages lost, in a thousand.
    pub(crate) loss: u32,
    /// Messages repeated, in a thousand.
    pub(crate) repeat: u32,
    /// Messages held back, in a thousand.
    pub(crate) straggle: u32,
    /// How long a held back message takes, on average.
    pub(crate) straggle_mean: Duration,
    /// Random part of every delay, on average.
    pub(crate) jitter: Duration,
    /// Messages damaged, in ten thousand.
    pub(crate) damage: u32,
}

/// One direction between two nodes.
#[derive(Copy, Clone, Debug, Default)]
struct Link {
    delay: Duration,
    /// How many cuts lie on it.
    cuts: u32,
    /// How many times it is degraded.
    degraded: u32,
    /// What is sent before then waits until then.
    clogged: Moment,
    /// Counts its connections: what was sent on an earlier one is lost.
    connection: u32,
}

/// Messages lost on a degraded link, in a thousand.
const DEGRADED_LOSS: u32 = 300;
/// How many times as long a degraded link takes.
const DEGRADED_DELAY: u32 = 8;

/// All links of the cluster.
pub(crate) struct Network {
    nodes: usize,
    /// By `from * nodes + to`.
    links: Vec<Link>,
    weather: Weather,
    random: Random,
}

impl Network {
    pub(crate) fn new(delays: Vec<Vec<Duration>>, weather: Weather, random: Random) -> Network {
        let nodes = delays.len();
        let link = |delay| Link {
            delay,
            ..Link::default()
        };
        Network {
            nodes,
            links: delays.concat().into_iter().map(link).collect(),
            weather,
            random,
        }
    }

    fn link(&self, from: Seat, to: Seat) -> usize {
        from.index() * self.nodes + to.index()
    }

    /// The mean round trip between two nodes, as a transport would smooth it.
    pub(crate) fn round_trip(&self, one: Seat, other: Seat) -> Duration {
        let (there, back) = (self.links[self.link(one, other)], self.links[self.link(other, one)]);
        there.delay + back.delay + self.weather.jitter * 2
    }

    /// Which connection carries what is sent from one node to the other now.
    pub(crate) fn connection(&self, from: Seat, to: Seat) -> u32 {
        self.links[self.link(from, to)].connection
    }

    /// Whether a message is damaged under way, and if so by which bit.
    pub(crate) fn damages(&mut self, bytes: usize) -> Option<usize> {
        let damaged = self.weather.damage > 0 && self.random.below(10_000) < u64::from(self.weather.damage);
        damaged.then(|| self.random.index(bytes * 8))
    }

    /// Whether messages get from one node to the other.
    pub(crate) fn is_open(&self, from: Seat, to: Seat) -> bool {
        self.links[self.link(from, to)].cuts == 0
    }

    /// When a message sent now arrives: not at all, once, or twice.
    pub(crate) fn carry(&mut self, now: Moment, from: Seat, to: Seat, tally: &mut Tally) -> [Option<Moment>; 2] {
        if from == to {
            return [Some(now), None];
        }
        if !self.is_open(from, to) {
            tally.faults.hit(Fault::Cut);
            return [None, None];
        }
        let loss = match self.links[self.link(from, to)].degraded {
            0 => self.weather.loss,
            _ => self.weather.loss.max(DEGRADED_LOSS),
        };
        if self.random.chance(loss) {
            tally.faults.hit(Fault::Lost);
            return [None, None];
        }
        let first = self.arrival(now, from, to, tally);
        if !self.random.chance(self.weather.repeat) {
            return [Some(first), None];
        }
        tally.faults.hit(Fault::Repeated);
        [Some(first), Some(self.arrival(now, from, to, tally))]
    }

    fn arrival(&mut self, now: Moment, from: Seat, to: Seat, tally: &mut Tally) -> Moment {
        let link = self.links[self.link(from, to)];
        let mut delay = link.delay + self.random.exponential(self.weather.jitter);
        if link.degraded > 0 {
            delay *= DEGRADED_DELAY;
        }
        if self.random.chance(self.weather.straggle) {
            tally.faults.hit(Fault::Straggled);
            delay += self.random.exponential(self.weather.straggle_mean);
        }
        now.max(link.clogged) + delay
    }

    fn link_mut(&mut self, from: Seat, to: Seat) -> &mut Link {
        let link = self.link(from, to);
        &mut self.links[link]
    }

    /// Cuts a directed link once more.
    pub(crate) fn cut(&mut self, from: Seat, to: Seat) {
        self.link_mut(from, to).cuts += 1;
    }

    /// Takes back one cut of a directed link.
    pub(crate) fn heal(&mut self, from: Seat, to: Seat) {
        let cuts = &mut self.link_mut(from, to).cuts;
        *cuts = cuts.saturating_sub(1);
    }

    /// Holds everything that is sent on a directed link until then.
    pub(crate) fn clog(&mut self, from: Seat, to: Seat, until: Moment) {
        let clogged = &mut self.link_mut(from, to).clogged;
        *clogged = until.max(*clogged);
    }

    /// Makes a directed link slow and lossy, or takes that back.
    pub(crate) fn degrade(&mut self, from: Seat, to: Seat, worse: bool) {
        let degraded = &mut self.link_mut(from, to).degraded;
        *degraded = if worse {
            *degraded + 1
        } else {
            degraded.saturating_sub(1)
        };
    }

    /// Loses everything that is under way on a directed link.
    pub(crate) fn reset(&mut self, from: Seat, to: Seat) {
        self.link_mut(from, to).connection += 1;
    }

    /// From now on nothing is lost, repeated or held back, and nothing is cut.
    pub(crate) fn calm(&mut self) {
        self.weather.loss = 0;
        self.weather.repeat = 0;
        self.weather.straggle = 0;
        self.weather.damage = 0;
        for link in &mut self.links {
            (link.cuts, link.degraded, link.clogged) = (0, 0, Moment::START);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Concern;

    fn network(weather: Weather) -> Network {
        let delays = vec![vec![Duration::from_millis(1); 2]; 2];
        Network::new(delays, weather, Random::new(3, Concern::Network))
    }

    #[test]
    fn loses_and_repeats_as_often_as_told() {
        let mut tally = Tally::default();
        let mut network = network(Weather {
            loss: 250,
            repeat: 100,
            ..Weather::default()
        });
        let mut arrived = 0;
        for _ in 0..20_000 {
            arrived += network
                .carry(Moment::START, Seat(0), Seat(1), &mut tally)
                .iter()
                .flatten()
                .count();
        }
        let (lost, repeated) = (tally.faults.of(Fault::Lost), tally.faults.of(Fault::Repeated));
        assert_eq!(arrived as u64, 20_000 - lost + repeated);
        assert!(
            (4_700..5_300).contains(&lost) && (1_300..1_700).contains(&repeated),
            "{lost} lost, {repeated} twice"
        );
    }

    #[test]
    fn a_clogged_link_delivers_late_and_a_degraded_one_slowly() {
        let mut tally = Tally::default();
        let mut network = network(Weather::default());
        let until = Moment::START + Duration::from_secs(3);
        network.clog(Seat(0), Seat(1), until);
        let arrives = |network: &mut Network, tally: &mut Tally, from, to| {
            std::iter::repeat_with(|| network.carry(Moment::START, Seat(from), Seat(to), tally)[0])
                .take(200)
                .flatten()
                .collect::<Vec<_>>()
        };
        let late = arrives(&mut network, &mut tally, 0, 1);
        assert!(late.iter().all(|at| *at > until) && late.len() == 200);
        assert!(
            arrives(&mut network, &mut tally, 1, 0)[0] < until,
            "the other way is free"
        );
        network.degrade(Seat(1), Seat(0), true);
        let slow = arrives(&mut network, &mut tally, 1, 0);
        assert!(slow.len() < 180 && slow[0] >= Moment::START + Duration::from_millis(8));
        let before = network.connection(Seat(0), Seat(1));
        network.reset(Seat(0), Seat(1));
        assert_ne!(network.connection(Seat(0), Seat(1)), before);
    }

    #[test]
    fn a_cut_is_one_way_and_counts() {
        let mut tally = Tally::default();
        let mut network = network(Weather::default());
        network.cut(Seat(0), Seat(1));
        network.cut(Seat(0), Seat(1));
        assert_eq!(network.carry(Moment::START, Seat(0), Seat(1), &mut tally), [None, None]);
        assert!(network.carry(Moment::START, Seat(1), Seat(0), &mut tally)[0].is_some());
        network.heal(Seat(0), Seat(1));
        assert!(!network.is_open(Seat(0), Seat(1)));
        network.heal(Seat(0), Seat(1));
        assert!(network.is_open(Seat(0), Seat(1)));
    }
}
