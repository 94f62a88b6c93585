//! `synod quorum check`: is a quorum system safe, and what does it buy?

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use quorum::resilience::Domain;
use quorum::{Configuration, Phase, QuorumSystem, TooMany};
use serde_json::{Value, json};

use super::Format;
use crate::settings::document;
use crate::settings::{Fault, genesis};

/// Fatal sets shown in the table; JSON has them all.
const SHOWN_SETS: usize = 8;

/// Looks at quorum systems.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Proves that a quorum system is safe, or shows two quorums that do not meet
    Check(Check),
}

#[derive(Debug, Args)]
#[command(after_help = "\
The file is TOML with `system`, optionally `alpha`, and a [[member]] table for each node; a node's settings file will do.

Examples:
  synod quorum check deploy/synod.toml
  synod quorum check cluster.toml -o json

Exit codes: 0 the configuration is safe; 1 it is not, or the file is faulty; 2 the file cannot be read.")]
struct Check {
    /// The file to check
    file: PathBuf,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Command::Check(check) = &arguments.command;
    let text = match std::fs::read_to_string(&check.file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("synod quorum check: cannot read {}: {error}", check.file.display());
            return ExitCode::from(2);
        }
    };
    match (read(&check.file, &text), check.output) {
        (Ok(configuration), Format::Table) => {
            print!("{}", describe(&configuration));
            ExitCode::SUCCESS
        }
        (Ok(configuration), Format::Json) => {
            println!("{:#}", to_json(&configuration));
            ExitCode::SUCCESS
        }
        (Err(faults), Format::Table) => {
            eprintln!("synod quorum check: {} cannot be used:", check.file.display());
            for fault in faults {
                eprintln!("  {fault}");
            }
            ExitCode::FAILURE
        }
        (Err(faults), Format::Json) => {
            let faults: Vec<Value> = faults
                .iter()
                .map(|fault| json!({ "line": fault.line, "key": fault.key, "reason": fault.reason }))
                .collect();
            println!("{:#}", json!({ "valid": false, "faults": faults }));
            ExitCode::FAILURE
        }
    }
}

/// The configuration in a file, or everything that is wrong with it.
fn read(path: &Path, text: &str) -> Result<Configuration, Vec<Fault>> {
    let (values, mut faults) = document::parse(&path.display().to_string(), text);
    let checked = genesis::check(&values);
    faults.extend(genesis::strangers(&values));
    match checked {
        Ok(configuration) if faults.is_empty() => Ok(configuration),
        Ok(_) => Err(faults),
        Err(more) => {
            faults.extend(more);
            faults.sort();
            Err(faults)
        }
    }
}

fn describe(configuration: &Configuration) -> String {
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

fn counted(count: u32, domain: Domain) -> String {
    if count == 1 {
        format!("1 {domain}")
    } else {
        format!("{count} {domain}s")
    }
}

fn to_json(configuration: &Configuration) -> Value {
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
        "members": configuration.members(),
        "phases": phases,
        "hazards": hazards,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(system: &str) -> String {
        let mut text = format!("system = \"{system}\"\n");
        for (node, region) in [(1, "us"), (2, "us"), (3, "eu"), (4, "eu"), (5, "ap")] {
            let name = format!("{region}-{node}");
            text += &format!(
                "[[member]]\nnode = {node}\nname = \"{name}\"\nregion = \"{region}\"\naddress = \"h:{node}\"\n"
            );
        }
        text
    }

    #[test]
    fn a_safe_system_is_described_with_what_it_survives() {
        let configuration = read(Path::new("f"), &file("counts 4/2")).expect("safe");
        let text = describe(&configuration);
        for line in [
            "counts 4/2 is safe: every phase 1 quorum meets every phase 2 quorum",
            "5 voters in us, eu, ap",
            "phase 1 (electing a leader): the smallest quorum has 4 of 5 nodes",
            "  survives the loss of any 1 node; fatal:",
            "  survives the loss of any 0 regions; fatal: {us} {eu}",
            "phase 2 (committing a write): the smallest quorum has 2 of 5 nodes",
            "  survives the loss of any 3 nodes; fatal:",
            "  survives the loss of any 1 region; fatal:",
            "warning: phase 2 quorum {us-1, us-2} lies within one zone: losing us can lose acknowledged data",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        let json = to_json(&configuration);
        assert_eq!(json["phases"]["phase1"]["resilience"]["region"]["survives"], 0);
        assert_eq!(json["phases"]["phase2"]["smallest_quorum"], 2);
    }

    #[test]
    fn an_unsafe_system_is_refused_with_its_line_and_a_counterexample() {
        let faults = read(Path::new("f"), &file("counts 3/2")).expect_err("unsafe");
        assert_eq!(faults.len(), 1, "{faults:?}");
        let text = faults[0].to_string();
        assert!(
            text.starts_with("f line 1: system is wrong: phase 1 quorum {"),
            "{text}"
        );
        assert!(text.contains("are disjoint"), "{text}");
    }

    #[test]
    fn every_fault_of_the_file_is_found() {
        let text = file("counts 3/2")
            .replace("node = 4", "node = 3")
            .replace("name = \"ap-5\"", "name = \"us-1\"")
            + "colour = 1\n";
        let faults = read(Path::new("f"), &text).expect_err("faulty");
        let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(
            text.iter()
                .any(|fault| fault.contains("member.colour is not a known key")),
            "{text:?}"
        );
        let text = file("majority")
            .replace("node = 4", "node = 3")
            .replace("name = \"ap-5\"", "name = \"us-1\"");
        let faults = read(Path::new("f"), &format!("colour = 1\n{text}")).expect_err("faulty");
        let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(text.len(), 3, "{text:?}");
        assert!(text[0].contains("line 1: colour is not a known key"), "{text:?}");
    }

    #[test]
    fn a_whole_settings_file_will_do() {
        let sample = include_str!("../../../deploy/synod.toml");
        assert!(read(Path::new("deploy/synod.toml"), sample).is_ok());
    }
}
