//! What a configuration is and survives, in words and as JSON.

use std::fmt::Write;

use quorum::resilience::Domain;
use quorum::{Configuration, Phase, QuorumSystem, TooMany};
use serde_json::{Value, json};

/// Fatal sets shown in the table; JSON has them all.
const SHOWN_SETS: usize = 8;

/// What a configuration survives, in words.
pub(super) fn describe(configuration: &Configuration) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = report(configuration, &mut text);
    text
}

fn report(configuration: &Configuration, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "{} is safe: every phase 1 quorum meets every phase 2 quorum",
        configuration.spec()
    )?;
    let voters = configuration.universe().len();
    let learners = configuration.members().len() - voters;
    write!(out, "{voters} voters")?;
    let leaders = configuration.leaders().len();
    if leaders < voters {
        write!(out, ", {leaders} of which may lead,")?;
    }
    if learners > 0 {
        write!(out, " and {learners} learners")?;
    }
    let regions: Vec<String> = configuration
        .units(Domain::Region)
        .iter()
        .map(|unit| unit.name.clone())
        .collect();
    writeln!(out, " in {}", regions.join(", "))?;
    for (phase, role) in [(Phase::One, "electing a leader"), (Phase::Two, "committing a write")] {
        match configuration.smallest_quorum(phase) {
            Ok(size) => writeln!(
                out,
                "\n{phase} ({role}): the smallest quorum has {size} of {voters} nodes"
            )?,
            Err(_) => writeln!(out, "\n{phase} ({role}): too many quorums to list")?,
        }
        for domain in Domain::ALL {
            report_tolerance(configuration, phase, domain, out)?;
        }
    }
    for hazard in configuration.hazards() {
        writeln!(out, "\nwarning: {hazard}")?;
    }
    Ok(())
}

fn report_tolerance(configuration: &Configuration, phase: Phase, domain: Domain, out: &mut String) -> std::fmt::Result {
    let tolerance = match configuration.tolerance(phase, domain) {
        Ok(tolerance) => tolerance,
        Err(TooMany { .. }) => return writeln!(out, "  {domain}s: too many combinations to tell"),
    };
    write!(
        out,
        "  survives the loss of any {}",
        counted(tolerance.survives, domain)
    )?;
    if let Ok(fatal) = &tolerance.fatal {
        let units = configuration.units(domain);
        let least = fatal.first().map_or(0, Vec::len);
        let worst: Vec<_> = fatal.iter().filter(|set| set.len() == least).collect();
        let named = worst.iter().take(SHOWN_SETS).map(|set| {
            let names: Vec<&str> = set.iter().map(|position| units[*position].name.as_str()).collect();
            format!("{{{}}}", names.join(", "))
        });
        write!(out, "; fatal: {}", named.collect::<Vec<_>>().join(" "))?;
        if worst.len() > SHOWN_SETS {
            write!(out, " and {} more", worst.len() - SHOWN_SETS)?;
        }
    }
    writeln!(out)
}

pub(super) fn counted(count: u32, domain: Domain) -> String {
    if count == 1 {
        format!("1 {domain}")
    } else {
        format!("{count} {domain}s")
    }
}

/// The same for machines.
pub(super) fn to_json(configuration: &Configuration) -> Value {
    let phases = [("phase1", Phase::One), ("phase2", Phase::Two)].map(|(key, phase)| {
        let tolerances = Domain::ALL.map(|domain| {
            let units = configuration.units(domain);
            let value = match configuration.tolerance(phase, domain) {
                Ok(tolerance) => json!({
                    "survives": tolerance.survives,
                    "fatal": tolerance.fatal.ok().map(|sets| {
                        let named = sets.iter().map(|set| {
                            set.iter().map(|position| units[*position].name.clone()).collect::<Vec<_>>()
                        });
                        named.collect::<Vec<_>>()
                    }),
                }),
                Err(_) => Value::Null,
            };
            (domain.to_string(), value)
        });
        let resilience: serde_json::Map<String, Value> = tolerances.into_iter().collect();
        let smallest = configuration.smallest_quorum(phase).ok();
        (
            key.to_owned(),
            json!({ "smallest_quorum": smallest, "resilience": resilience }),
        )
    });
    let phases: serde_json::Map<String, Value> = phases.into_iter().collect();
    let hazards: Vec<String> = configuration.hazards().iter().map(ToString::to_string).collect();
    json!({
        "valid": true,
        "system": configuration.spec().to_string(),
        "alpha": configuration.alpha(),
        "voters": configuration.universe().len(),
        "leaders": configuration.leaders().len(),
        "members": configuration.members(),
        "phases": phases,
        "hazards": hazards,
    })
}
