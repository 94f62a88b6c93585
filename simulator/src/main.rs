//! `simulate`: runs simulated clusters and reports what was seen.

mod command;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    command::Cli::parse().execute()
}
