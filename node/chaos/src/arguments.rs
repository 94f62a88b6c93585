//! The command line, and the rounds that it asks for.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::plan::Plan;
use crate::report::Report;
use crate::round::{Game, play};
use crate::sabotage::Sabotage;

/// How long the storm of one round is, unless there is less time.
const STORM: Duration = Duration::from_secs(120);

/// How to report.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One object, at the end
    Json,
}

/// Breaks real clusters on this machine, and judges what their clients saw.
///
/// Each round starts a cluster in three regions behind a relay, with clients of the etcd API, and then for two minutes kills and
/// pauses processes, cuts and spoils the network, slows and wipes disks, and changes quorums, members and leader. Then all is
/// healed, the cluster must work, and every answer that any client ever had must fit into one order.
#[derive(Debug, Parser)]
#[command(
    name = "synod-chaos",
    version,
    after_help = "\
Examples:
  synod-chaos                              one minute
  synod-chaos --minutes 10                 fresh clusters for ten minutes
  synod-chaos --seed 17 --rounds 1         the plan of seed 17: the same faults in the same order
  synod-chaos --minutes 60 -o json

Exit codes: 0 nothing contradicts anything; 1 a violation, with the place of its history; 2 it could not run; 130 interrupted."
)]
pub(crate) struct Arguments {
    /// How long the storms are, all together
    #[arg(long, value_name = "MIN", default_value_t = 1.0)]
    minutes: f64,
    /// The first round's seed; the next one's is one more [default: from the clock]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// No more rounds than so many
    #[arg(long, value_name = "N")]
    rounds: Option<u64>,
    /// Keeps settings, histories, logs and data of all rounds in this folder, which must be new [default: only of a round that
    /// fails, in a temporary one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The binary to break [default: synod, beside this one]
    #[arg(long, value_name = "FILE")]
    synod: Option<PathBuf>,
    /// How to report
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    /// Does harm behind the judge's back, which must be found
    #[arg(long, value_name = "KIND", hide = true)]
    sabotage: Option<Sabotage>,
}

impl Arguments {
    pub(crate) fn execute(self) -> ExitCode {
        let runtime = tokio::runtime::Runtime::new();
        let done = match runtime {
            Ok(runtime) => runtime.block_on(self.run()),
            Err(error) => Err(format!("cannot start the runtime: {error}")),
        };
        match done {
            Ok(code) => code,
            Err(reason) => {
                eprintln!("synod-chaos: {reason}");
                ExitCode::from(2)
            }
        }
    }

    async fn run(&self) -> Result<ExitCode, String> {
        let synod = self.binary()?;
        let interrupted = on_interrupt()?;
        if let Some(dir) = &self.dir {
            std::fs::create_dir(dir).map_err(|error| format!("cannot create {}: {error}", dir.display()))?;
        }
        let first = self.seed.unwrap_or_else(seed_of_the_clock);
        let whole = Duration::try_from_secs_f64(self.minutes * 60.0).map_err(|error| format!("--minutes: {error}"))?;
        let begun = Instant::now();
        let mut report = Report::default();
        let mut left = whole;
        for round in 0..self.rounds.unwrap_or(u64::MAX) {
            if left.is_zero() || !report.is_good() || *interrupted.borrow() {
                break;
            }
            // No round is so short that nothing happens in it.
            let storm = if left < STORM * 3 / 2 { left } else { STORM };
            left -= storm;
            let plan = Plan::of(first.wrapping_add(round));
            eprintln!(
                "round {}, seed {}: {} nodes, {}, leases {}, {} clients",
                round + 1,
                plan.seed,
                plan.founders,
                plan.system,
                plan.lease
                    .map_or("off".to_owned(), |lease| format!("{} ms", lease.as_millis())),
                plan.clients
            );
            self.round(&mut report, plan, storm, &synod, interrupted.clone())
                .await?;
            eprintln!(
                "  {:.0} s so far, {} operations done, {}",
                begun.elapsed().as_secs_f64(),
                report.operations(),
                if report.is_good() { "no violation" } else { "VIOLATED" }
            );
        }
        match self.output {
            Output::Text => print!("{report}"),
            Output::Json => println!("{:#}", report.to_json()),
        }
        Ok(match (report.is_good(), *interrupted.borrow()) {
            (false, _) => ExitCode::FAILURE,
            (true, true) => ExitCode::from(130),
            (true, false) => ExitCode::SUCCESS,
        })
    }

    async fn round(
        &self,
        report: &mut Report,
        plan: Plan,
        storm: Duration,
        synod: &Path,
        interrupted: watch::Receiver<bool>,
    ) -> Result<(), String> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("synod-chaos-{}-", plan.seed))
            .tempdir_in(self.dir.clone().unwrap_or_else(std::env::temp_dir))
            .map_err(|error| format!("cannot create a folder: {error}"))?;
        let game = Game {
            plan,
            folder: folder.path(),
            synod,
            storm,
            sabotage: self.sabotage,
            interrupted,
        };
        match play(game).await {
            Ok(round) => {
                let bad = !round.violations.is_empty();
                let kept = (bad || self.dir.is_some()).then(|| folder.keep());
                report.add(round, kept.filter(|_| bad));
                Ok(())
            }
            Err(reason) => Err(format!(
                "{reason}\nsettings and logs are in {}",
                folder.keep().display()
            )),
        }
    }

    /// The program to break.
    fn binary(&self) -> Result<PathBuf, String> {
        let beside = || {
            let own = std::env::current_exe().ok()?;
            Some(own.parent()?.join("synod"))
        };
        let path = self
            .synod
            .clone()
            .or_else(beside)
            .ok_or("where is synod? Name it with --synod")?;
        path.canonicalize().map_err(|error| {
            format!(
                "{}: {error}; build it with cargo build --release -p node",
                path.display()
            )
        })
    }
}

/// Becomes true on Ctrl-C and SIGTERM.
fn on_interrupt() -> Result<watch::Receiver<bool>, String> {
    let failed = |error: std::io::Error| format!("cannot listen for signals: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (told, hears) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        eprintln!("Stopping the nodes.");
        told.send_replace(true);
        // Whoever is told last keeps the sender waiting.
        told.closed().await;
    });
    Ok(hears)
}

/// A seed that differs from run to run.
fn seed_of_the_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs()
}
