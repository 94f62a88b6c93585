//! `synod recover --unsafe`: a file with what is left of a cluster that lost too many disks.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::recover::{Recovered, Wreck, recover};
use crate::settings::{Layers, Settings};

/// Makes a snapshot of what is left of a cluster that lost a quorum of disks for good. MAY LOSE ACKNOWLEDGED WRITES
#[derive(Debug, Args)]
#[command(after_help = "\
A cluster that has a phase-1 and a phase-2 quorum of its disks needs none of this: start those nodes. A cluster that lost its
data but has a backup may be better off with `synod snapshot restore`. This command is for the rest: it reads the disks that
are left, changes none of them, and writes two files: the best state that can be had, and a report of what is certain, what
is a guess, and what is lost. Stop every node of the cluster first, and see that none of the others comes back.

Example, with nodes 2 and 3 of three gone:
  synod recover --unsafe --settings node-1.toml --from /var/lib/synod --to rescued.snap
  less rescued.snap.report
  synod snapshot restore rescued.snap --settings new-1.toml --data-dir /var/lib/synod-new

Exit codes: 0 the files are written; 1 not; 2 the command itself was wrong.")]
pub(super) struct Arguments {
    /// Says that acknowledged writes may be lost, and that this is accepted
    #[arg(long = "unsafe")]
    accepted: bool,
    /// Settings of a node of the lost cluster: its name, and what it was founded with. The disks say what was changed since
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
    /// The data folder of a node that is left; once for each
    #[arg(long, value_name = "DIR", required = true)]
    from: Vec<PathBuf>,
    /// The snapshot to write; must not exist
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The report to write; must not exist [default: the snapshot's name with .report]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    if !arguments.accepted {
        eprintln!(
            "synod recover: this makes up its mind about writes whose outcome nobody knows any more, and may lose acknowledged \
             ones. Say --unsafe if that is accepted; synod recover --help says what else there is."
        );
        return ExitCode::from(2);
    }
    eprintln!(
        "synod recover: UNSAFE. What was chosen on disks that are not named here may be lost. No disk is changed.\n\
         synod recover: No node of this cluster may run, now or later."
    );
    match work(arguments) {
        Ok((recovered, report)) => {
            print!("{}", recovered.report.text());
            println!("{}", next_steps(arguments, &report));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("synod recover: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &Arguments) -> Result<(Recovered, PathBuf), String> {
    let layers = Layers::new().with_file(&arguments.settings)?;
    let settings = Settings::resolve(&layers).map_err(|faults| faults.to_string())?;
    let report = arguments.report.clone().unwrap_or_else(|| {
        let mut name = arguments.to.as_os_str().to_owned();
        name.push(".report");
        name.into()
    });
    if report.exists() {
        return Err(format!("{} exists already", report.display()));
    }
    let wreck = Wreck {
        cluster: &settings.cluster,
        cluster_id: settings.cluster_id().0,
        genesis: &settings.genesis,
        folders: &arguments.from,
    };
    let bar = std::io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template("{msg} {bar:24} {bytes} of about {total_bytes}");
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    });
    let recovered = recover(&wreck, &arguments.to, &mut |folder: &Path, looked| {
        if let Some(bar) = &bar {
            bar.set_message(format!("{}/{}", folder.display(), looked.part));
            bar.set_length(looked.of.max(looked.bytes));
            bar.set_position(looked.bytes);
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let recovered = recovered?;
    std::fs::write(&report, recovered.report.text()).map_err(|error| format!("{}: {error}", report.display()))?;
    Ok((recovered, report))
}

fn next_steps(arguments: &Arguments, report: &Path) -> String {
    let to = arguments.to.display();
    format!(
        "The report is in {}. Next, for each node of a NEW cluster (another `cluster` name, new certificates):\n  \
         synod snapshot restore {to} --settings NEW.toml\n  synod start --settings NEW.toml",
        report.display()
    )
}
