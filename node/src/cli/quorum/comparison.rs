//! Two configurations side by side: what each costs and survives, what becomes of the members, and what stands against it.

use std::fmt::Write;

use quorum::latency::{Prediction, RoundTrips, predict};
use quorum::resilience::Domain;
use quorum::{Configuration, Obstacle, Phase, QuorumSystem};
use serde_json::{Value, json};
use tabled::builder::Builder;
use tabled::settings::Style;

use super::describe;

/// What a change means.
pub(in crate::cli) struct Comparison<'a> {
    pub(in crate::cli) before: &'a Configuration,
    pub(in crate::cli) after: &'a Configuration,
    pub(in crate::cli) round_trips: &'a RoundTrips,
}

/// How the risks are called on the command line, from the smaller thing whose loss is accepted to the larger.
pub(in crate::cli) fn risk_name(domain: Domain) -> &'static str {
    match domain {
        Domain::Node => "one-disk",
        Domain::Zone | Domain::Region => "one-zone",
    }
}

impl Comparison<'_> {
    /// For people.
    pub(in crate::cli) fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let mut table = Builder::default();
        table.push_record([
            String::new(),
            format!("now (epoch {})", self.before.epoch()),
            format!("after (epoch {})", self.after.epoch()),
        ]);
        let mut row = |name: String, tell: &dyn Fn(&Configuration) -> String| {
            table.push_record([name, tell(self.before), tell(self.after)]);
        };
        row("quorum system".to_owned(), &|it| it.spec().to_string());
        row("voters, learners".to_owned(), &|it| {
            let voters = it.universe().len();
            format!("{voters}, {}", it.members().len() - voters)
        });
        if [self.before, self.after].iter().any(|it| it.leaders() != it.universe()) {
            row("voters that may lead".to_owned(), &|it| it.leaders().len().to_string());
        }
        for (phase, purpose) in [(Phase::One, "electing"), (Phase::Two, "committing")] {
            row(format!("{phase} ({purpose}): smallest quorum"), &|it| {
                smallest(it, phase)
            });
            for domain in Domain::ALL {
                row(format!("  may lose any so many {domain}s"), &|it| {
                    survives(it, phase, domain)
                });
            }
        }
        for (name, time) in [
            (
                "commit, leader in",
                (|it: &Prediction| it.commit) as fn(&Prediction) -> Option<u64>,
            ),
            ("election, next leader in", |it| it.election),
        ] {
            for region in self.regions() {
                row(format!("{name} {region}"), &|it| self.predicted(it, &region, time));
            }
        }
        writeln!(out, "{}", table.build().with(Style::sharp()))?;
        for (member, fates) in self.after.fates(self.before) {
            for fate in fates {
                writeln!(out, "{} (node {}) {fate}", member.name, member.node)?;
            }
        }
        let newcomers = self.newcomers();
        if !newcomers.is_empty() {
            writeln!(out, "must catch up before it counts: {}", newcomers.join(", "))?;
        }
        for obstacle in self.after.obstacles(self.before) {
            match &obstacle {
                Obstacle::Risk { domain, .. } => {
                    let risk = risk_name(*domain);
                    writeln!(out, "RISK: {obstacle}")?;
                    writeln!(out, "      only done if it is accepted by name: --accept-risk {risk}")?;
                }
                _ => writeln!(out, "REFUSED: {obstacle}")?,
            }
        }
        Ok(())
    }

    fn newcomers(&self) -> Vec<String> {
        let newcomers = self.after.new_voters(self.before);
        newcomers.iter().map(|member| member.name.clone()).collect()
    }

    /// The regions of both, in their order.
    fn regions(&self) -> Vec<String> {
        let mut regions: Vec<String> = Vec::new();
        for configuration in [self.before, self.after] {
            for unit in configuration.units(Domain::Region) {
                if !regions.contains(&unit.name) {
                    regions.push(unit.name);
                }
            }
        }
        regions
    }

    fn predicted(&self, of: &Configuration, region: &str, time: fn(&Prediction) -> Option<u64>) -> String {
        let predictions = predict(of, self.round_trips);
        match predictions.iter().find(|prediction| prediction.region == region) {
            Some(prediction) => time(prediction).map_or_else(|| "not known".to_owned(), millis),
            None => "nobody may lead".to_owned(),
        }
    }

    /// For machines.
    pub(in crate::cli) fn json(&self) -> Value {
        let fates = self.after.fates(self.before).into_iter().map(|(member, fates)| {
            let fates: Vec<String> = fates.iter().map(ToString::to_string).collect();
            json!({ "node": member.node, "name": member.name, "fates": fates })
        });
        let obstacles = self.after.obstacles(self.before).into_iter().map(|obstacle| {
            let accept = match &obstacle {
                Obstacle::Risk { domain, .. } => Some(risk_name(*domain)),
                _ => None,
            };
            json!({ "reason": obstacle.to_string(), "accept_risk": accept })
        });
        let side = |configuration: &Configuration| {
            let mut side = describe::to_json(configuration);
            side["epoch"] = json!(configuration.epoch());
            side["predictions"] = predictions_json(&predict(configuration, self.round_trips));
            side
        };
        json!({
            "before": side(self.before),
            "after": side(self.after),
            "fates": fates.collect::<Vec<_>>(),
            "must_catch_up": self.newcomers(),
            "obstacles": obstacles.collect::<Vec<_>>(),
        })
    }
}

fn smallest(configuration: &Configuration, phase: Phase) -> String {
    let voters = configuration.universe().len();
    match configuration.smallest_quorum(phase) {
        Ok(size) => format!("{size} of {voters}"),
        Err(_) => "too many to list".to_owned(),
    }
}

fn survives(configuration: &Configuration, phase: Phase, domain: Domain) -> String {
    match configuration.tolerance(phase, domain) {
        Ok(tolerance) => tolerance.survives.to_string(),
        Err(_) => "too many to tell".to_owned(),
    }
}

/// Microseconds as milliseconds.
pub(super) fn millis(micros: u64) -> String {
    format!("{:.1} ms", micros as f64 / 1000.0)
}

/// Predictions for machines; times in milliseconds.
pub(super) fn predictions_json(predictions: &[Prediction]) -> Value {
    let millis = |micros: Option<u64>| micros.map(|micros| micros as f64 / 1000.0);
    let told = predictions.iter().map(|prediction| {
        json!({
            "region": prediction.region,
            "leader": prediction.leader,
            "commit_ms": millis(prediction.commit),
            "election_ms": millis(prediction.election),
        })
    });
    Value::Array(told.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorum::{Epoch, Proposal};

    fn configuration(epoch: u64, system: &str) -> Configuration {
        let mut text = format!("epoch = {epoch}\nsystem = \"{system}\"\n");
        for (node, region) in [(1, "us"), (2, "us"), (3, "eu"), (4, "eu"), (5, "ap")] {
            text += &format!(
                "[[member]]\nnode = {node}\nname = \"{region}-{node}\"\nregion = \"{region}\"\naddress = \"h:{node}\"\n"
            );
        }
        let proposal: Proposal = toml::from_str(&text).expect("a proposal");
        Configuration::new(proposal).expect("safe")
    }

    #[test]
    fn both_sides_are_shown_with_what_is_refused_and_how_to_accept_it() {
        let (before, after) = (configuration(1, "majority"), configuration(2, "counts 4/2"));
        let mut round_trips = RoundTrips::default();
        let members = before.members();
        round_trips.note(&members[0], &members[1], 900);
        for far in &members[2..] {
            round_trips.note(&members[0], far, 80_000);
        }
        let comparison = Comparison {
            before: &before,
            after: &after,
            round_trips: &round_trips,
        };
        let text = comparison.table();
        let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "");
        for part in [
            "quorum system majority counts 4/2",
            "phase 1 (electing): smallest quorum 3 of 5 4 of 5",
            "phase 2 (committing): smallest quorum 3 of 5 2 of 5",
            "may lose any so many nodes 2 3",
            "commit, leader in us 80.0 ms 0.9 ms",
            "RISK: phase 2 quorum {us-1, us-2} lies within one zone",
            "--accept-risk one-zone",
        ] {
            assert!(squeezed.contains(part), "{part} is missing in\n{squeezed}");
        }
        let json = comparison.json();
        assert_eq!(json["after"]["predictions"][0]["commit_ms"], 0.9);
        assert_eq!(json["obstacles"][0]["accept_risk"], "one-zone");
        assert_eq!(json["before"]["epoch"], json!(Epoch(1)));
    }
}
