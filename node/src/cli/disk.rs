//! `synod disk check`: is a stopped node's data folder whole, and may the node vote?

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use storage::{Inspection, Leftover, Looked, Verdict};

use super::Format;
use crate::settings::join::KEPT;

/// Looks at data folders of nodes that are stopped.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads all of a stopped node's data folder and says whether the node may start, and may vote
    Check(Check),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every entry of the journal and every row of the state is read, and every checksum verified.
No file is opened for writing. A node that runs keeps its folder to itself: stop it first.

Examples:
  synod disk check /var/lib/synod
  synod disk check /var/lib/synod -o json | jq .verdict

Exit codes: 0 healthy; 1 something is wrong, and the verdict says what to do; 2 not checked.")]
struct Check {
    /// The node's data folder (data_dir)
    dir: PathBuf,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Command::Check(check) = &arguments.command;
    let bar = std::io::stderr().is_terminal().then(bar);
    let inspected = Inspection::of(&check.dir, &mut |looked| {
        if let Some(bar) = &bar {
            show(bar, looked);
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let inspection = match inspected {
        Ok(inspection) => inspection,
        Err(error) => {
            eprintln!("synod disk check: {error}");
            return ExitCode::from(2);
        }
    };
    match check.output {
        Format::Table => print!("{}", describe(&inspection)),
        Format::Json => println!("{:#}", to_json(&inspection)),
    }
    match inspection.verdict {
        Verdict::Healthy => ExitCode::SUCCESS,
        Verdict::FetchState | Verdict::MustNotVote | Verdict::NewerBuild => ExitCode::FAILURE,
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:8} {bar:40} {bytes} of about {total_bytes}, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, looked: Looked) {
    bar.set_message(looked.part);
    bar.set_length(looked.of.max(looked.bytes));
    bar.set_position(looked.bytes);
}

/// The verdict in a word, for machines.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "healthy",
        Verdict::FetchState => "fetch_state",
        Verdict::MustNotVote => "must_not_vote",
        Verdict::NewerBuild => "newer_build",
    }
}

/// What it means, and what to do.
fn sentences(inspection: &Inspection) -> (&'static str, String) {
    let dir = inspection.dir.display();
    match inspection.verdict {
        Verdict::Healthy => (
            "healthy: all is as it was written.",
            "Start the node as usual: synod start --settings FILE".to_owned(),
        ),
        Verdict::NewerBuild => (
            "a newer build wrote this folder, and this one cannot judge it.",
            format!("Check it with the newer build: synod disk check {dir}"),
        ),
        Verdict::FetchState if inspection.foreign => (
            "the journal is whole, but the state beside it is another node's.",
            format!(
                "Find out how it came there. If the journal is this node's, the node may vote: mv {dir}/state {dir}/state.foreign, \
                 then start it as usual; it fetches its state from its peers."
            ),
        ),
        Verdict::FetchState => (
            "the node may vote, but its state must be fetched again: the journal is whole, the state is not.",
            format!(
                "Start the node as usual: synod start --settings FILE. It sets {dir}/state aside and fetches it again from a \
                 peer. If it does not notice at the start what is wrong: mv {dir}/state {dir}/state.damaged first."
            ),
        ),
        Verdict::MustNotVote => (
            "the node must not vote: its journal is not whole, so it may have forgotten what it promised.",
            format!(
                "Leave the node stopped and keep {dir} as it is. The cluster goes on without it as long as its quorums do; \
                 docs/operations.md, \"A node that must not vote\", tells how it comes back."
            ),
        ),
    }
}

fn describe(inspection: &Inspection) -> String {
    let (journal, state) = (&inspection.journal, &inspection.state);
    let mut text = String::new();
    let mut line = |name: &str, what: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:9} {what}");
    };
    let (bytes, free) = (mib(inspection.bytes), mib(inspection.free_bytes));
    line(
        "folder",
        format!("{}: {bytes}, {free} free on its disk", inspection.dir.display()),
    );
    line(
        "node",
        match &journal.identity {
            Some(identity) => format!(
                "{} (incarnation {}) of cluster {} ({:016x})",
                identity.node, identity.incarnation, identity.cluster, identity.cluster_id.0
            ),
            None => "unknown: the journal does not say whose it is".to_owned(),
        },
    );
    if let Some(format) = journal.format {
        line(
            "journal",
            format!(
                "format {format}; promised {}, chosen {}, trimmed {}; {} slots up to {}, {}",
                journal.promised,
                journal.chosen,
                journal.trimmed,
                journal.entries,
                journal.last,
                mib(journal.bytes)
            ),
        );
        let synced = journal.synced.map_or("unknown".to_owned(), |number| number.to_string());
        line(
            "",
            format!(
                "last change {}, known to have been durable {synced}; {} log files, {}, {} bytes behind the last whole record",
                journal.last_change,
                journal.log_files,
                mib(journal.log_bytes),
                journal.torn_bytes
            ),
        );
    }
    if let Some(progress) = &state.progress {
        line(
            "state",
            format!(
                "applied {}, revision {}, digest {:016x}; {} versions of keys, {}",
                progress.applied,
                progress.revision.0,
                progress.digest,
                state.versions,
                mib(state.bytes)
            ),
        );
    }
    for leftover in &inspection.leftovers {
        line("beside", format!("{}: {}", leftover.name, what(leftover)));
    }
    for note in &journal.notes {
        line("note", note.clone());
    }
    for fault in &journal.faults {
        line("FAULT", format!("journal: {fault}"));
    }
    for fault in &state.faults {
        line("FAULT", format!("state: {fault}"));
    }
    let (verdict, next) = sentences(inspection);
    line("verdict", verdict.to_owned());
    line("next", next);
    text
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn to_json(inspection: &Inspection) -> Value {
    let (journal, state) = (&inspection.journal, &inspection.state);
    let (verdict, next) = sentences(inspection);
    let identity = journal.identity.as_ref().map(|identity| {
        json!({
            "cluster": identity.cluster,
            "cluster_id": format!("{:016x}", identity.cluster_id.0),
            "node": identity.node.0,
            "incarnation": identity.incarnation.0,
        })
    });
    let leftovers: Vec<Value> = inspection
        .leftovers
        .iter()
        .map(|leftover| json!({ "name": leftover.name, "what": what(leftover) }))
        .collect();
    json!({
        "dir": inspection.dir.display().to_string(),
        "bytes": inspection.bytes,
        "free_bytes": inspection.free_bytes,
        "identity": identity,
        "journal": {
            "format": journal.format,
            "promised": journal.promised.to_string(),
            "chosen": journal.chosen.0,
            "trimmed": journal.trimmed.0,
            "last": journal.last.0,
            "entries": journal.entries,
            "bytes": journal.bytes,
            "log_files": journal.log_files,
            "log_bytes": journal.log_bytes,
            "torn_bytes": journal.torn_bytes,
            "last_change": journal.last_change,
            "synced": journal.synced,
            "faults": journal.faults,
            "notes": journal.notes,
        },
        "state": {
            "applied": state.progress.map(|progress| progress.applied.0),
            "revision": state.progress.map(|progress| progress.revision.0),
            "digest": state.progress.map(|progress| format!("{:016x}", progress.digest)),
            "installed": inspection.installed.0,
            "versions": state.versions,
            "bytes": state.bytes,
            "faults": state.faults,
        },
        "leftovers": leftovers,
        "verdict": word(inspection.verdict),
        "verdict_text": verdict,
        "next": next,
    })
}

/// What lies beside journal and state. The store knows what it puts there itself.
fn what(leftover: &Leftover) -> &'static str {
    if leftover.name == KEPT {
        "what the node was told when it joined; it needs it at every start"
    } else {
        leftover.what
    }
}
