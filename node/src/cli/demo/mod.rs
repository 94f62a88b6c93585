//! `synod demo`: a geo-distributed cluster on one machine, and what its quorum system buys.
//!
//! Real node processes talk over real QUIC through a [relay](crate::relay) that holds every datagram for as long as the
//! distance between their regions takes. Clients then write and read beside a node of each region, and what they wait is
//! printed beside what quorum system and round trips predict. With another system than majority the same nodes run under
//! majority first, for comparison.
//!
//! * [`plan`]: everything checked before anything starts
//! * [`cluster`]: the processes
//! * [`mod@measure`]: the clients
//! * [`mod@report`]: the table

mod cluster;
mod measure;
mod plan;
mod report;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use cluster::Cluster;
use measure::{measure, requests_per_region};
use plan::{Plan, PlannedNode, PlannedSystem};
use report::{Measured, invitation, report};

/// How often a cluster that stays up is looked after.
const WATCH: Duration = Duration::from_millis(500);

/// Starts a cluster over several regions on this machine and measures what clients in each of them wait.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  synod demo
  synod demo --once --quorum majority
  synod demo --regions us-east-1,us-west-2,eu-west-1 --nodes 3 --quorum 'grid regions each-row/rows'
  synod demo --rtt gcp --regions europe-west1,us-central1,asia-east1
  synod demo --dir /tmp/synod-demo --base-port 23790

Exit codes: 0 done; 1 a node failed; 2 the command itself was wrong.")]
pub struct Args {
    /// Regions; a node in the first is meant to lead
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "REGION,…",
        default_value = "us-east-1,eu-west-1,ap-northeast-1"
    )]
    regions: Vec<String>,
    /// Nodes in each region, or one number for all [default: 2,2,1 for three regions, otherwise 1]
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    nodes: Vec<usize>,
    /// Quorum system, for example majority, "counts 4/2", "grid 2x2 columns/rows" [default: any two commit]
    #[arg(long, value_name = "SYSTEM")]
    quorum: Option<String>,
    /// Round trips between regions: aws, gcp (both of 2020), or a file with lines from,to,milliseconds
    #[arg(long, value_name = "TABLE", default_value = "aws")]
    rtt: String,
    /// Lets nodes reach each other without any delay
    #[arg(long, conflicts_with = "rtt")]
    no_wan: bool,
    /// Keeps settings, logs and data in this folder, which must be new or empty [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keeps the temporary folder
    #[arg(long, conflicts_with = "dir")]
    keep: bool,
    /// First of the ports to listen on, ten for each node [default: any that are free]
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    /// Measured writes and reads in each region
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    samples: u16,
    /// Leaves out the run under majority
    #[arg(long)]
    no_compare: bool,
    /// Ends after the table is printed
    #[arg(long)]
    once: bool,
}

/// Why the demo ended without success.
enum Failure {
    /// Nothing was started.
    Command(String),
    /// Something started and failed.
    Node(String),
}

/// Runs the demo until it is done or told to stop.
pub fn run(args: &Args) -> ExitCode {
    let result = prepare(args).map_err(Failure::Command).and_then(|(plan, folder)| {
        let runtime = tokio::runtime::Runtime::new()
            .map_err(|error| Failure::Node(format!("cannot start the runtime: {error}")))?;
        // The folder goes last, after every process that writes to it.
        let result = runtime.block_on(until_told(play(args, &plan, folder.path())));
        folder.close();
        result.map_err(Failure::Node)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Command(reason)) => {
            eprintln!("synod demo: {reason}");
            ExitCode::from(2)
        }
        Err(Failure::Node(reason)) => {
            eprintln!("synod demo: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(args: &Args) -> Result<(Plan, Folder), String> {
    let plan = Plan::new(args)?;
    let folder = Folder::open(args)?;
    plan.certify(&folder.path().join("certs"))?;
    Ok((plan, folder))
}

/// Runs the work until it is done, or until Ctrl-C or SIGTERM; dropping it stops what it has started.
async fn until_told(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot listen for signals: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        result = work => result,
        _ = interrupt.recv() => { eprintln!("Stopping the nodes."); Ok(()) }
        _ = terminate.recv() => Ok(()),
    }
}

async fn play(args: &Args, plan: &Plan, dir: &Path) -> Result<(), String> {
    let samples = usize::from(args.samples);
    let mut measured = Vec::new();
    let mut last = None;
    for system in &plan.systems {
        // One cluster at a time: they use the same ports, and would compete for the machine.
        drop(last.take());
        let (cluster, leader, figures) = play_system(plan, system, dir, samples).await?;
        last = Some((cluster, leader.clone()));
        measured.push(Measured {
            system: system.text.clone(),
            leader,
            samples: figures,
        });
    }
    println!("{}", report(plan, &measured, samples));
    let Some((mut cluster, leader)) = last.filter(|_| !args.once) else {
        return Ok(());
    };
    println!("{}", invitation(plan, &leader));
    println!("Settings, logs and data: {}", dir.display());
    loop {
        tokio::time::sleep(WATCH).await;
        // Killing a node is what one tries in a demo: the others are to go on.
        for sentence in cluster.bury() {
            println!("{sentence}");
        }
        if cluster.is_extinct() {
            return Err("every node has ended".to_owned());
        }
    }
}

/// Starts the nodes under one system, waits for a leader and measures.
async fn play_system(
    plan: &Plan,
    system: &PlannedSystem,
    dir: &Path,
    samples: usize,
) -> Result<(Cluster, PlannedNode, Vec<measure::Sample>), String> {
    let progress = progress(plan.regions.len() * requests_per_region(samples));
    progress.set_message(format!("{}: starting {} nodes", system.text, plan.nodes.len()));
    let mut cluster = Cluster::start(plan, system, dir)?;
    progress.set_message(format!("{}: waiting for a leader", system.text));
    let leader = cluster.leader().await?;
    let leader = plan.nodes.iter().find(|node| node.node == leader).cloned();
    let leader = leader.ok_or("the nodes follow a leader that is not among them")?;
    progress.set_message(format!(
        "{}: node {} in {} leads, measuring",
        system.text, leader.node, leader.region
    ));
    let bar = progress.clone();
    let figures = measure(plan, system, &leader, samples, move || bar.inc(1)).await;
    progress.finish_and_clear();
    // A node that has died explains a failed request better than the request does.
    cluster.check()?;
    Ok((cluster, leader, figures?))
}

fn progress(requests: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len}");
    let bar = ProgressBar::new(requests as u64);
    bar.set_style(style.expect("the template is a constant"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Where everything the demo writes goes.
enum Folder {
    Given(PathBuf),
    Temporary { dir: TempDir, keep: bool },
}

impl Folder {
    fn open(args: &Args) -> Result<Self, String> {
        let Some(path) = &args.dir else {
            let dir = tempfile::Builder::new().prefix("synod-demo-").tempdir();
            let dir = dir.map_err(|error| format!("cannot create a temporary folder: {error}"))?;
            return Ok(Self::Temporary { dir, keep: args.keep });
        };
        let sentence = |error: std::io::Error| format!("cannot use the folder {}: {error}", path.display());
        match fs::create_dir(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                if fs::read_dir(path).map_err(sentence)?.next().is_some() {
                    return Err(format!(
                        "the folder {} is not empty; empty it or choose another --dir",
                        path.display()
                    ));
                }
            }
            other => other.map_err(sentence)?,
        }
        // Nodes resolve paths from their own settings file.
        Ok(Self::Given(path.canonicalize().map_err(sentence)?))
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Given(path) => path,
            Folder::Temporary { dir, .. } => dir.path(),
        }
    }

    /// Removes the folder, or says where it is.
    fn close(self) {
        match self {
            Folder::Temporary { dir, keep: false } => {
                // What cannot be removed from the temporary folder, the system removes.
                let _ = dir.close();
            }
            Folder::Temporary { dir, keep: true } => eprintln!("Kept {}", dir.keep().display()),
            Folder::Given(_) => {}
        }
    }
}
