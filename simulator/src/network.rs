//! The network between nodes: each direction of each link loses, repeats, delays and so reorders, and can be cut.
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
}

/// All links of the cluster.
pub(crate) struct Network {
    nodes: usize,
    /// One-way delay of each directed link, by `from * nodes + to`.
    delays: Vec<Duration>,
    /// How many cuts lie on each directed link.
    cuts: Vec<u32>,
    weather: Weather,
    random: Random,
}

impl Network {
    pub(crate) fn new(delays: Vec<Vec<Duration>>, weather: Weather, random: Random) -> Network {
        let nodes = delays.len();
        Network {
            nodes,
            delays: delays.concat(),
            cuts: vec![0; nodes * nodes],
            weather,
            random,
        }
    }

    fn link(&self, from: Seat, to: Seat) -> usize {
        from.index() * self.nodes + to.index()
    }

    /// The mean round trip between two nodes, as a transport would smooth it.
    pub(crate) fn round_trip(&self, one: Seat, other: Seat) -> Duration {
        self.delays[self.link(one, other)] + self.delays[self.link(other, one)] + self.weather.jitter * 2
    }

    /// Whether messages get from one node to the other.
    pub(crate) fn is_open(&self, from: Seat, to: Seat) -> bool {
        self.cuts[self.link(from, to)] == 0
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
        if self.random.chance(self.weather.loss) {
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
        let mut delay = self.delays[self.link(from, to)] + self.random.exponential(self.weather.jitter);
        if self.random.chance(self.weather.straggle) {
            tally.faults.hit(Fault::Straggled);
            delay += self.random.exponential(self.weather.straggle_mean);
        }
        now + delay
    }

    /// Cuts a directed link once more.
    pub(crate) fn cut(&mut self, from: Seat, to: Seat) {
        let link = self.link(from, to);
        self.cuts[link] += 1;
    }

    /// Takes back one cut of a directed link.
    pub(crate) fn heal(&mut self, from: Seat, to: Seat) {
        let link = self.link(from, to);
        self.cuts[link] = self.cuts[link].saturating_sub(1);
    }

    /// From now on nothing is lost, repeated or held back, and nothing is cut.
    pub(crate) fn calm(&mut self) {
        self.weather.loss = 0;
        self.weather.repeat = 0;
        self.weather.straggle = 0;
        self.cuts.fill(0);
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
