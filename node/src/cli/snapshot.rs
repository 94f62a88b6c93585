//! `synod snapshot`: backups.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use storage::journal::Identity;
use time::OffsetDateTime;

use super::Format;
use crate::archive::{self, Facts, Shelf};
use crate::settings::{Layers, Settings};

/// Saves a cluster's state to a file, looks at such files, and makes new clusters from them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  synod snapshot save monday.snap --endpoints 10.1.0.1:2379,10.2.0.1:2379
  synod snapshot save --into /backups --keep 14 && synod snapshot status /backups
  synod snapshot status monday.snap -o json
  synod snapshot restore monday.snap --settings new.toml --data-dir /var/lib/synod-new

A snapshot is restored into a new cluster: other name, other certificates, same file for every node. Then each node is
started, without --bootstrap.

Exit codes: 0 done; 1 nobody answered, or the file is not whole, or it cannot be restored there.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Saves the state of the first node that answers
    Save(Save),
    /// Checks a file from end to end and says what is in it
    Status(Status),
    /// Makes the data folder of one node of a new cluster
    Restore(Restore),
}

#[derive(Debug, Args)]
struct Save {
    /// Where to; must not exist yet
    #[arg(required_unless_present = "into")]
    file: Option<PathBuf>,
    /// A folder that gets the file, named by the time: backup-20261121T231500Z.snap
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    into: Option<PathBuf>,
    /// Removes all but so many of the newest backups of the folder, once the new one is there and whole
    #[arg(long, value_name = "NUMBER", requires = "into", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Where nodes serve clients (listen.clients), host:port
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:2379"
    )]
    endpoints: Vec<String>,
    /// How to print what was saved
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Debug, Args)]
struct Status {
    /// The file, or a folder of backups, of which the newest is meant
    file: PathBuf,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Debug, Args)]
struct Restore {
    /// The file
    file: PathBuf,
    /// The settings of the node in the new cluster
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
    /// Its data folder, if not the one in the settings; must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Which member it is, by number or name, if the settings do not say it
    #[arg(long)]
    node: Option<String>,
    /// How to print what was restored
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (done, output) = match &arguments.command {
        Command::Save(told) => (save(told), told.output),
        Command::Status(told) => (status(told), told.output),
        Command::Restore(told) => (restore(told), told.output),
    };
    match done {
        Ok(facts) => {
            print!("{}", show(&facts, output));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("synod snapshot: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn status(told: &Status) -> Result<Facts, String> {
    if told.file.is_dir() {
        let newest = Shelf::open(&told.file)?.newest()?;
        eprintln!("{}", newest.display());
        return archive::read(&newest, &mut |_| Ok(()));
    }
    archive::read(&told.file, &mut |_| Ok(()))
}

fn save(told: &Save) -> Result<Facts, String> {
    let Some(dir) = &told.into else {
        let file = told.file.as_deref().ok_or("name a file, or a folder with --into")?;
        return fetch(told, file);
    };
    let shelf = Shelf::open(dir)?;
    let file = shelf.place(OffsetDateTime::now_utc());
    let facts = fetch(told, &file)?;
    eprintln!("{} is saved", file.display());
    if let Some(keep) = told.keep {
        for old in shelf.clear(keep as usize)? {
            eprintln!("{} is removed", old.display());
        }
    }
    Ok(facts)
}

fn fetch(told: &Save, file: &Path) -> Result<Facts, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let mut reasons = Vec::new();
    for endpoint in &told.endpoints {
        let bar = bar();
        let mut progress = |there, expected| {
            bar.set_length(expected);
            bar.set_position(there);
        };
        let saved = runtime.block_on(archive::save(endpoint, file, &mut progress));
        bar.finish_and_clear();
        match saved {
            Ok(facts) => return Ok(facts),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(reasons.join("; "))
}

/// Only people look at it.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{bar:24} {bytes} of about {total_bytes}, {bytes_per_sec}");
    bar.with_style(style.expect("the template is a constant that is valid"))
}

fn restore(told: &Restore) -> Result<Facts, String> {
    // As the node will have them, so that what a pod is told by its environment holds here too.
    let mut layers = Layers::new()
        .with_file(&told.settings)?
        .with_environment(std::env::vars());
    for (key, value) in [
        ("node", told.node.clone()),
        ("data_dir", told.data_dir.as_deref().map(text)),
    ] {
        if let Some(value) = value {
            layers = layers.with_flag(key, &value);
        }
    }
    let settings = Settings::resolve(&layers).map_err(|faults| faults.to_string())?;
    let member = settings
        .genesis
        .member(settings.node)
        .ok_or_else(|| format!("node {} is not among the members of the settings", settings.node))?;
    let identity = Identity {
        cluster: settings.cluster.clone(),
        cluster_id: settings.cluster_id(),
        node: member.node,
        incarnation: member.incarnation,
    };
    archive::restore(&told.file, &settings.data_dir, &identity)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn show(facts: &Facts, output: Format) -> String {
    match output {
        Format::Json => format!(
            "{:#}\n",
            serde_json::to_value(facts).expect("texts and numbers are JSON")
        ),
        Format::Table => format!(
            "cluster     {} ({:016x})\nslot        {}\nrevision    {}\ncompacted   {}\nkeys        {}\nrows        {}\nbytes       \
             {}\nchecksum    {}, ok\n",
            facts.cluster,
            facts.cluster_id,
            facts.slot,
            facts.revision,
            facts.compacted,
            facts.keys,
            facts.rows,
            facts.bytes,
            facts.checksum
        ),
    }
}
