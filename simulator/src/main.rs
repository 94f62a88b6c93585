//! `simulate`: runs simulated clusters and reports what was seen.

mod command;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Whoever reads may have read enough, as `head` does.
    sigpipe::reset();
    command::Cli::parse().execute()
}
