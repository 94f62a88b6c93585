//! `synod quorum`: what a quorum system costs and survives, what it would be like with another one, and how to get there.

pub(in crate::cli) mod apply;
mod check;
pub(in crate::cli) mod comparison;
mod describe;
pub(in crate::cli) mod live;
mod show;
pub(in crate::cli) mod steps;
pub(in crate::cli) mod target;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Looks at quorum systems, and changes them.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Proves that a quorum system is safe, or shows two quorums that do not meet
    Check(check::Check),
    /// Shows what a running cluster decides with, what that survives, and what it costs in time
    Show(show::Show),
    /// Changes the quorum system or the members of a running cluster, after showing what that means
    Apply(apply::Apply),
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.command {
        Command::Check(check) => check::run(check),
        Command::Show(show) => show::run(show),
        Command::Apply(apply) => apply::run(apply),
    }
}
