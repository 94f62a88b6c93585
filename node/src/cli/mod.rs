//! The command line.
//!
//! Results go to standard output, errors as sentences to standard error. Exit codes: 0 done; 1 the answer is no (nobody
//! answered, a configuration is unsafe, a node failed); 2 the command itself was wrong.

pub mod certs;
pub mod demo;
mod disk;
mod drain;
mod get;
mod member;
mod move_leader;
mod quorum;
mod recover;
mod snapshot;
mod start;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::bench;

/// A geo-distributed, strongly consistent key-value store that speaks the etcd v3 API.
#[derive(Debug, Parser)]
#[command(
    name = "synod",
    version,
    about,
    after_help = "\
Examples:
  synod demo
  synod start --settings /etc/synod/synod.toml
  synod status --endpoint 127.0.0.1:7480 --endpoint 127.0.0.1:7481
  synod quorum check cluster.toml
  synod quorum apply --system 'counts 4/2' --dry-run
  synod member list
  synod move-leader --to 3
  synod drain
  synod disk check /var/lib/synod
  synod bench put --endpoints 127.0.0.1:2379 --clients 64

Exit codes: 0 done; 1 the answer is no; 2 the command itself was wrong."
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a node until it is told to stop
    Start(start::Arguments),
    /// Shows what nodes say about themselves
    Status(status::Arguments),
    /// Looks at quorum systems, and changes them
    Quorum(quorum::Arguments),
    /// Shows and changes who belongs to a running cluster
    Member(member::Arguments),
    /// Has another node lead
    MoveLeader(move_leader::Arguments),
    /// Sends a node's clients elsewhere before it is stopped
    Drain(drain::Arguments),
    /// Looks at data folders of nodes that are stopped
    Disk(disk::Arguments),
    /// Makes certificates for development
    Certs(certs::Args),
    /// Starts a cluster over several regions on this machine
    Demo(demo::Args),
    /// Saves a cluster's state to a file, looks at such files, and makes new clusters from them
    Snapshot(snapshot::Arguments),
    /// Makes a snapshot of what is left of a cluster that lost a quorum of disks for good. MAY LOSE ACKNOWLEDGED WRITES
    Recover(recover::Arguments),
    /// Measures how fast a cluster answers
    Bench(bench::Arguments),
}

/// How to print a result.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For machines.
    Json,
}

/// Runs the command that the arguments of this process name.
#[must_use]
pub fn run() -> ExitCode {
    let command = Line::parse().command;
    if command.only_talks() {
        // Whoever reads may have read enough, as `head` does. It ends then, as other tools do.
        sigpipe::reset();
    }
    match command {
        Command::Start(arguments) => start::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Quorum(arguments) => quorum::run(&arguments),
        Command::Member(arguments) => member::run(&arguments),
        Command::MoveLeader(arguments) => move_leader::run(&arguments),
        Command::Drain(arguments) => drain::run(&arguments),
        Command::Disk(arguments) => disk::run(&arguments),
        Command::Certs(arguments) => match certs::run(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("synod certs: {error}");
                ExitCode::FAILURE
            }
        },
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Snapshot(arguments) => snapshot::run(&arguments),
        Command::Recover(arguments) => recover::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    }
}

impl Command {
    /// Whether nothing is left half done if it ends while it prints: it only asks, or may be started again at any point.
    fn only_talks(&self) -> bool {
        match self {
            Command::Status(_)
            | Command::Quorum(_)
            | Command::Member(_)
            | Command::MoveLeader(_)
            | Command::Drain(_)
            | Command::Disk(_) => true,
            Command::Start(_)
            | Command::Certs(_)
            | Command::Demo(_)
            | Command::Snapshot(_)
            | Command::Recover(_)
            | Command::Bench(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_command_has_help() {
        let mut command = Line::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands_mut() {
            assert!(sub.get_about().is_some(), "{} has no help", sub.get_name());
        }
    }
}
