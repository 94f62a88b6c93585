//! The commands of `simulate`, one to a file. Each has its arguments, a `clap` struct, and an `execute`.
//!
//! | file | command |
//! |---|---|
//! | `run` | `simulate run`, also what is meant when no command is named: seeds under faults, every checker on |
//! | `explore` | `simulate explore`: every path through a small cluster, up to a bound |
//! | `mutants` | `simulate mutants`: what becomes of every mutant, as a table |
//! | `explain` | `simulate explain`: what a mutant does wrong, as a sequence of messages |
//! | `trace` | `simulate trace`: a run in the words of the TLA+ model |
//! | `choice` | which mutant and which properties: arguments that several commands share |
//! | `report`, `progress` | what all runs amounted to, and how far they are |
//! | `host` | what commands ask the real machine: time, CPU time, revision |

mod choice;
mod explain;
mod explore;
mod host;
mod mutants;
mod progress;
mod report;
mod run;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs simulated clusters of the real replica under faults, one per seed, with every checker on.
#[derive(Parser)]
#[command(name = "simulate", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Arguments,
}

#[derive(Subcommand)]
enum Command {
    /// Run seeds and report what was seen; the default.
    Run(run::Arguments),
    /// Explore every path of two or three nodes, up to a bound.
    Explore(explore::Arguments),
    /// Break every rule in turn and see who notices.
    Mutants(mutants::Arguments),
    /// Tell what a mutant does wrong, message by message.
    Explain(explain::Arguments),
    /// Print a run's first steps as a TLA+ module, for the model to explain.
    Trace(trace::Arguments),
}

impl Cli {
    pub(crate) fn execute(self) -> ExitCode {
        match self.command.unwrap_or(Command::Run(self.run)) {
            Command::Run(arguments) => run::execute(&arguments),
            Command::Explore(arguments) => explore::execute(&arguments),
            Command::Mutants(arguments) => mutants::execute(&arguments),
            Command::Explain(arguments) => explain::execute(&arguments),
            Command::Trace(arguments) => trace::execute(&arguments),
        }
    }
}
