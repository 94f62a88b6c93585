//! A plan made smaller: what is taken away from the run that a seed stands for.
//!
//! In words it is a list, for example `nodes=3 clients=1 without=flap+bit-rot omit=2+5 fair steady plain events=800`, so that a
//! shrunk run can be repeated from a command line.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::adversary::Strike;
use crate::network::Weather;
use crate::swarm::Plan;
use crate::workload::Kind;

/// What is taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reduction {
    /// Nodes that are left.
    pub(crate) nodes: Option<usize>,
    /// Clients that are left.
    pub(crate) clients: Option<usize>,
    /// Events that are left of the storm.
    pub(crate) events: Option<u64>,
    /// Kinds of strike that never fall.
    pub(crate) without: BTreeSet<Strike>,
    /// Strikes that do not fall, by their number among those that would.
    pub(crate) omitted: BTreeSet<u64>,
    /// No message is lost, repeated, held back or damaged by the weather.
    pub(crate) fair: bool,
    /// All clocks run at the same rate.
    pub(crate) steady: bool,
    /// Clients put and get, and neither retry nor abandon.
    pub(crate) plain: bool,
}

impl Reduction {
    /// The smaller plan.
    pub(crate) fn apply(&self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        if let Some(nodes) = self.nodes {
            plan.keep_nodes(nodes);
        }
        if let Some(clients) = self.clients {
            plan.load.clients = clients;
        }
        if let Some(events) = self.events {
            plan.events = events;
        }
        for strike in &self.without {
            plan.faults.every.remove(strike);
        }
        plan.omitted = self.omitted.clone();
        if self.fair {
            plan.weather = Weather {
                jitter: plan.weather.jitter,
                ..Weather::default()
            };
        }
        if self.steady {
            plan.drift = 0;
        }
        if self.plain {
            plan.load.mix.kind = Kind::Puts;
            (plan.load.mix.oversized, plan.load.retries, plan.load.abandons) = (0, 0, 0);
        }
        plan
    }
}

fn word(strike: Strike) -> String {
    strike.name().replace(' ', "-")
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        let number = |name: &str, number: Option<u64>| number.map(|number| format!("{name}={number}"));
        words.extend(number("nodes", self.nodes.map(|nodes| nodes as u64)));
        words.extend(number("clients", self.clients.map(|clients| clients as u64)));
        words.extend(number("events", self.events));
        if !self.without.is_empty() {
            let names: Vec<_> = self.without.iter().map(|strike| word(*strike)).collect();
            words.push(format!("without={}", names.join("+")));
        }
        if !self.omitted.is_empty() {
            words.push(format!("omit={}", ranges(&self.omitted)));
        }
        for (is, name) in [(self.fair, "fair"), (self.steady, "steady"), (self.plain, "plain")] {
            words.extend(is.then(|| name.to_owned()));
        }
        f.write_str(&words.join(" "))
    }
}

/// Numbers as `1-4+7`.
fn ranges(numbers: &BTreeSet<u64>) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let texts: Vec<_> = runs
        .into_iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    texts.join("+")
}

impl FromStr for Reduction {
    type Err = String;

    fn from_str(text: &str) -> Result<Reduction, String> {
        let mut reduction = Reduction::default();
        for part in text.split_whitespace() {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "nodes" => reduction.nodes = Some(number(value)? as usize),
                "clients" => reduction.clients = Some(number(value)? as usize),
                "events" => reduction.events = Some(number(value)?),
                "without" => {
                    for name in value.split('+') {
                        let known = Strike::ALL.iter().find(|strike| word(**strike) == name);
                        reduction
                            .without
                            .insert(*known.ok_or_else(|| format!("there is no kind of strike {name:?}"))?);
                    }
                }
                "omit" => {
                    for run in value.split('+') {
                        let (first, last) = run.split_once('-').unwrap_or((run, run));
                        reduction.omitted.extend(number(first)?..=number(last)?);
                    }
                }
                "fair" => reduction.fair = true,
                "steady" => reduction.steady = true,
                "plain" => reduction.plain = true,
                _ => return Err(format!("{part:?} is nothing that can be taken away")),
            }
        }
        Ok(reduction)
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_is_taken_away_and_are_understood() {
        let reduction = Reduction {
            nodes: Some(3),
            clients: Some(1),
            events: Some(800),
            without: [Strike::Flap, Strike::BitRot].into(),
            omitted: [1, 2, 3, 7].into(),
            fair: true,
            steady: false,
            plain: true,
        };
        let words = reduction.to_string();
        assert_eq!(
            words,
            "nodes=3 clients=1 events=800 without=flap+bit-rot omit=1-3+7 fair plain"
        );
        assert_eq!(words.parse(), Ok(reduction));
        assert_eq!("".parse(), Ok(Reduction::default()));
        for wrong in ["nodes=x", "without=rain", "omit=3-", "bold"] {
            assert!(wrong.parse::<Reduction>().is_err(), "{wrong}");
        }
    }
}
