//! `synod quorum check`: is a quorum system safe, and what does it buy?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use quorum::Configuration;
use serde_json::{Value, json};

use super::describe::{describe, to_json};
use crate::cli::Format;
use crate::settings::document;
use crate::settings::{Fault, genesis};

#[derive(Debug, Args)]
#[command(after_help = "\
The file is TOML with `system`, optionally `alpha`, and a [[member]] table for each node; a node's settings file will do.

Examples:
  synod quorum check deploy/synod.toml
  synod quorum check cluster.toml -o json

Exit codes: 0 the configuration is safe; 1 it is not, or the file is faulty; 2 the file cannot be read.")]
pub(super) struct Check {
    /// The file to check
    file: PathBuf,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

pub(super) fn run(check: &Check) -> ExitCode {
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
        let sample = include_str!("../../../../deploy/synod.toml");
        assert!(read(Path::new("deploy/synod.toml"), sample).is_ok());
    }
}
