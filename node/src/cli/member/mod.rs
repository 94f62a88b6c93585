//! `synod member`: who belongs to a running cluster.
//!
//! Every verb is a change of the configuration like any other ([`walk`]); this is its short form for one member.

mod goal;
mod list;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use quorum::{Configuration, NodeId, Role};
use serde_json::json;

use super::Format;
use super::quorum::apply::{Going, walk};
use super::quorum::live::{Endpoints, Live};
use crate::settings::join::Join;
use goal::Goal;

/// Shows and changes who belongs to a running cluster.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the members, and how far each is
    List(list::List),
    /// Adds a node, as a learner, and writes down what it needs to start
    Add(Add),
    /// Makes a learner a voter, once it has caught up
    Promote(Change),
    /// Makes a voter a learner
    Demote(Change),
    /// Says whether a member votes and may lead, votes and never leads, or only learns
    Role(GiveRole),
    /// Takes a node out
    Remove(Change),
    /// Takes a node whose disk is lost back in a new life, and writes down what it needs to start
    Replace(Replace),
    /// Changes what is said of a member: its address, region, zone or URL
    Update(Update),
    /// Writes down once more what a member needs to start
    Join(JoinAgain),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  synod member add eu-3 --region eu-west-1 --address 10.2.0.3:7400 --out eu-3.join.toml
  # on the new machine
  synod start --settings eu-3.toml --join eu-3.join.toml
  synod member promote eu-3

Exit codes: 0 done; 1 refused, or nobody answers.")]
struct Add {
    /// A name that no member has
    name: String,
    /// Its number; the first that no member has
    #[arg(long)]
    node: Option<u64>,
    /// The region it stands in
    #[arg(long)]
    region: String,
    /// The failure domain within the region; the region itself
    #[arg(long)]
    zone: Option<String>,
    /// Where peers reach it, host:port (QUIC)
    #[arg(long, value_name = "HOST:PORT")]
    address: String,
    /// The URL that clients are told to use
    #[arg(long, value_name = "URL", default_value = "")]
    client_url: String,
    /// Goes on until it has caught up and votes
    #[arg(long)]
    voter: bool,
    /// Where to write what the node needs to start; standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct Change {
    /// The member, by name or number
    member: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example, for a node far from all writers, whose disk is to count and which must never lead:
  synod member role ap-1 acceptor
  synod member role ap-1 voter       # it may lead again

A learner that is to vote must have caught up, as with `promote`. A leader that becomes an acceptor hands over.")]
struct GiveRole {
    /// The member, by name or number
    member: String,
    /// What it is to be
    #[arg(value_enum)]
    role: RoleName,
    #[command(flatten)]
    how: How,
}

/// [`Role`], as it is written on the command line.
#[derive(Copy, Clone, Debug, ValueEnum)]
enum RoleName {
    /// Votes, and may lead
    Voter,
    /// Votes, and never leads
    Acceptor,
    /// Receives everything, and counts in no quorum
    Learner,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Role {
        match name {
            RoleName::Voter => Role::Voter,
            RoleName::Acceptor => Role::Acceptor,
            RoleName::Learner => Role::Learner,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example, for a node whose disk is lost and which is stopped:
  synod member replace eu-2 --out eu-2.join.toml
  # on the machine with the new, empty disk
  synod start --settings eu-2.toml --join eu-2.join.toml")]
struct Replace {
    /// The member, by name or number
    member: String,
    /// Where peers reach it now, host:port; where they did
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Where to write what the node needs to start; standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct Update {
    /// The member, by name or number
    member: String,
    /// Where peers reach it, host:port
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// The region it stands in
    #[arg(long)]
    region: Option<String>,
    /// The failure domain within the region
    #[arg(long)]
    zone: Option<String>,
    /// The URL that clients are told to use
    #[arg(long, value_name = "URL")]
    client_url: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct JoinAgain {
    /// The member, by name or number
    member: String,
    /// Where to write it; standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    whom: Endpoints,
}

/// What all changes have in common.
#[derive(Debug, Args)]
struct How {
    /// Shows what the change means, and changes nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    going: Going,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let done = match &arguments.command {
        Command::List(list) => list::run(list),
        Command::Add(add) => run_add(add),
        Command::Promote(change) => go(&change.how, |goal| goal.give_role(&change.member, Role::Voter)),
        Command::Demote(change) => go(&change.how, |goal| goal.give_role(&change.member, Role::Learner)),
        Command::Role(wish) => go(&wish.how, |goal| goal.give_role(&wish.member, wish.role.into())),
        Command::Remove(change) => go(&change.how, |goal| goal.remove(&change.member)),
        Command::Replace(replace) => run_replace(replace),
        Command::Update(update) => run_update(update),
        Command::Join(join) => run_join(join),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("synod member: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Goes from what there is to what `wish` makes of it.
fn go(how: &How, wish: impl Fn(&Goal<'_>) -> Result<Configuration, String>) -> Result<(), String> {
    let live = Live::ask(&how.going.whom)?;
    let after = wish(&Goal::new(live.newest()))?;
    walk(&live, &after, &how.going, how.dry_run, how.output)
}

fn run_add(add: &Add) -> Result<(), String> {
    let how = &add.how;
    let live = Live::ask(&how.going.whom)?;
    if let Some(known) = live.newest().members().iter().find(|member| member.name == add.name) {
        // The same command again: perhaps the document was lost, or the promotion is still to come.
        if known.address != add.address {
            return Err(format!("{} is a member already, at {}", add.name, known.address));
        }
    } else {
        let told = goal::Newcomer {
            name: &add.name,
            node: add.node.map(NodeId),
            region: &add.region,
            zone: add.zone.as_deref().unwrap_or(&add.region),
            address: &add.address,
            client_url: &add.client_url,
        };
        go(how, |goal| goal.add(&told))?;
    }
    if how.dry_run {
        return Ok(());
    }
    write_join(&how.going.whom, &add.name, add.out.as_deref(), how.output)?;
    if add.voter {
        go(how, |goal| goal.give_role(&add.name, Role::Voter))?;
    }
    Ok(())
}

fn run_replace(replace: &Replace) -> Result<(), String> {
    let how = &replace.how;
    go(how, |goal| goal.replace(&replace.member, replace.address.as_deref()))?;
    if how.dry_run {
        return Ok(());
    }
    write_join(&how.going.whom, &replace.member, replace.out.as_deref(), how.output)
}

fn run_update(update: &Update) -> Result<(), String> {
    go(&update.how, |goal| {
        goal.update(&update.member, |member| {
            for (value, new) in [
                (&mut member.address, &update.address),
                (&mut member.region, &update.region),
                (&mut member.zone, &update.zone),
                (&mut member.client_url, &update.client_url),
            ] {
                if let Some(new) = new {
                    new.clone_into(value);
                }
            }
        })
    })
}

fn run_join(join: &JoinAgain) -> Result<(), String> {
    write_join(&join.whom, &join.member, join.out.as_deref(), Format::Table)
}

/// Writes down what a member needs to start for the first time.
fn write_join(whom: &Endpoints, member: &str, out: Option<&Path>, output: Format) -> Result<(), String> {
    let live = Live::ask(whom)?;
    let newest = live.newest();
    let goal = Goal::new(newest);
    let member = goal.find(member)?;
    let (endpoint, status) = &live.nodes[0];
    let genesis = status
        .genesis
        .clone()
        .ok_or_else(|| format!("{endpoint} does not say how the cluster began"))?;
    let join = Join {
        cluster: status.cluster.clone(),
        node: member.node,
        genesis,
        introduced: newest.proposal().clone(),
    };
    let text = join.to_text();
    match out {
        None => print!("{text}"),
        Some(path) => {
            std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            let path = path.display();
            match output {
                Format::Table => println!(
                    "{path} is written; start node {} ({}) on an empty disk with\n  \
                     synod start --settings FILE --join {path}",
                    member.node, member.name
                ),
                Format::Json => println!("{}", json!({ "step": "document", "file": path.to_string() })),
            }
        }
    }
    Ok(())
}
